from ferlab.training.folder import RunFolder


def test_holding_a_folder_clears_what_a_killed_run_left_there(tmp_path):
    folder = RunFolder(tmp_path)
    folder.config.touch()
    kept = [folder.config, folder.predictions, folder.past]
    for file in kept[1:]:
        file.touch()
        (tmp_path / f".{file.name}.x1y2{file.suffix}").write_text("half")
    with folder.locked():
        assert sorted(tmp_path.iterdir()) == sorted(kept)
