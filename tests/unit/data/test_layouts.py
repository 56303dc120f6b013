import pytest

from ferlab.data.layouts import LAYOUTS, write
from ferlab.errors import ConfigError, DataError


def test_one_seed_writes_the_same_files(tmp_path):
    for layout in LAYOUTS:
        for name in ("a", "b"):
            write(layout, tmp_path / layout / name, 9, 3, 3)
        first, second = (tmp_path / layout / name for name in ("a", "b"))
        files = sorted(p.relative_to(first) for p in first.rglob("*") if p.is_file())
        assert files
        assert files == sorted(p.relative_to(second) for p in second.rglob("*") if p.is_file())
        assert all((first / f).read_bytes() == (second / f).read_bytes() for f in files)


def test_a_split_that_a_layout_has_no_place_for_is_not_drawn(tmp_path):
    write("affectnet", tmp_path / "a", 4, 2, 50)
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["train_set", "val_set"]
    assert len(list((tmp_path / "a").rglob("*.jpg"))) == 6
    with pytest.raises(ConfigError, match="one at least"):
        write("affectnet", tmp_path / "b", 0, 0, 50)


def test_files_that_are_there_are_never_touched(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match="must be a new or an empty folder"):
        write("fer2013", tmp_path / "mine", 3, 0, 0)
    with pytest.raises(DataError, match="must be a new or an empty folder"):
        write("fer2013", tmp_path / "mine" / "thesis.txt", 3, 0, 0)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize(
    ("layout", "options", "message"),
    [
        ("fer2031", {}, "unknown layout 'fer2031'; did you mean 'fer2013'"),
        ("fer2013", {"size": 64}, "pictures of 48 pixels, got size 64"),
        ("imagefolder", {"train": -1}, "0 or more"),
        ("imagefolder", {"train": 0, "validation": 0, "test": 0}, "one at least"),
    ],
)
def test_impossible_options_are_errors_and_write_nothing(tmp_path, layout, options, message):
    with pytest.raises(ConfigError, match=message):
        write(layout, tmp_path / "out", **options)
    assert list(tmp_path.iterdir()) == []


def test_a_place_where_nothing_can_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot write to .*File exists"):
        write("imagefolder", tmp_path / "file" / "out", 2, 0, 0)
