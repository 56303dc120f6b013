"""The older release of whole pictures, and the lists that others made."""

import cv2
import numpy as np
import pytest
from affectnet_trees import HEADER, csv_row, jpeg, landmarks, write_csv

from ferlab.data.affectnet import affectnet
from ferlab.errors import ConfigError, DataError, LabelError
from ferlab.faces import FaceCrop

LINES = [
    csv_row("b/1.jpg", 4, 0.5, -0.25),
    csv_row("a/9.jpg", 0, -2, 0.125, box=(0, 0, 5, 4)),
    csv_row("a/2.jpg", 10, -2, -2, box=("NULL",) * 4, points=""),
    csv_row("a/3.jpg", 7, -1, 1),
    csv_row("a/4.jpg", 1, 0, 0, box=("NULL",) * 4, points="NULL"),  # a face that the release has no box of
    csv_row("a/5.jpg", 1, 0, 0, box=(0, 0, 0, 7)),
]


@pytest.fixture
def root(tmp_path):
    write_csv(tmp_path / "affectnet", LINES)
    return write_csv(tmp_path / "affectnet", [csv_row("c/1.jpg", 5, 0, 0)], "validation.csv")


def below(split, folder):
    return [split.images.name(i).removeprefix(f"{folder}/") for i in range(len(split))]


# the older release


def test_the_csv_release_by_hand(root):
    source = affectnet(str(root))
    train = source.splits["train"]
    assert below(train, root / "Manually_Annotated_Images") == ["a/3.jpg", "a/9.jpg", "b/1.jpg"]
    assert train.labels.tolist() == [7, 0, 4]
    expected = np.array([(-1, 1), (np.nan, 0.125), (0.5, -0.25)], np.float32)
    np.testing.assert_array_equal(train.affect, expected)
    assert dict(source.dropped) == {"official train part, non-face": 1, "official train part, no face box": 2}
    assert "csv release, faces cut by the boxes" in source.protocol
    assert source.splits["validation"].labels.tolist() == [5]


def test_pictures_that_neither_list_has_are_counted(root):
    assert affectnet(str(root)).unread == {}
    pictures = root / "Manually_Annotated_Images"
    for name in ("a/99.jpg", "new/1.jpg"):
        jpeg(pictures / name)
    assert affectnet(str(root)).unread == {f"{pictures}/": 2}


def test_faces_are_cut_by_their_boxes_and_the_margin(tmp_path):
    root = write_csv(tmp_path, [csv_row("a/1.jpg", 0, 0, 0, box=(10, 20, 16, 16))])
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[20:36, 10:26] = (255, 160, 80)  # BGR
    (root / "Manually_Annotated_Images" / "a" / "1.jpg").write_bytes(cv2.imencode(".png", picture)[1].tobytes())
    face = affectnet(str(root)).splits["train"].read(0)
    assert face.shape == (16, 16, 3)
    assert (face == (80, 160, 255)).all()
    source = affectnet(str(root), margin=0.25)
    wider = source.splits["train"].read(0)
    assert source.face == FaceCrop(margin=0.25)
    assert "margin 0.25" in source.protocol
    assert wider.shape == (24, 24, 3)
    assert (wider[4:20, 4:20] == (80, 160, 255)).all()
    assert (wider[:4] == 0).all()


def test_landmarks_give_the_eyes_and_level_them(tmp_path):
    rows = [csv_row(f"a/{i}.jpg", 0, 0, 0, points=landmarks((3, 4 + i), (9, 5))) for i in range(3)]
    source = affectnet(str(write_csv(tmp_path, rows)))
    assert source.face == FaceCrop(aligned=True)
    expected = np.array([[(3, 4 + i), (9, 5)] for i in range(3)])
    np.testing.assert_allclose(source.splits["train"].images.eyes, expected, atol=1e-4)


@pytest.mark.parametrize(
    "folder",
    ["Manually_Annotated_Images", "Manually_Annotated/Manually_Annotated_Images", "Manually_Annotated_compressed"],
)
def test_lists_and_pictures_are_found_where_people_unpack_them(root, folder):
    lists = root / "Manually_Annotated_file_lists"
    lists.mkdir()
    for name in ("training.csv", "validation.csv"):
        (root / name).rename(lists / name)
    target = root / folder
    target.parent.mkdir(exist_ok=True)
    (root / "Manually_Annotated_Images").rename(target)
    assert len(affectnet(str(root)).splits["train"]) == 3


def test_a_list_without_its_header_is_read_alike(root):
    before = affectnet(str(root)).splits["train"]
    write_csv(root, LINES, header=False)
    after = affectnet(str(root)).splits["train"]
    assert after.labels.tolist() == before.labels.tolist()
    np.testing.assert_array_equal(after.affect, before.affect)


def test_without_its_folder_of_pictures_the_release_is_an_error(root):
    (root / "Manually_Annotated_Images").rename(root / "pictures")
    with pytest.raises(DataError, match=r"training\.csv needs its pictures in .*Manually_Annotated_Images/"):
        affectnet(str(root))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (csv_row("a/7.jpg", 11, 0, 0), r"training\.csv:4: expression must be 0 to 10, got 11"),
        (csv_row("a/7.jpg", "", 0, 0), r"training\.csv:4: expression must be 0 to 10, got nan"),
        (csv_row("a/7.jpg", "sad", 0, 0), r"training\.csv:4: expression must be a number, got 'sad'"),
        (csv_row("a/7.jpg", 3, 1.7, 0), r"training\.csv:4: valence must be -1 to 1, or -2, got 1\.7"),
        (csv_row("a/7.jpg", 3, 0, "NULL"), r"training\.csv:4: arousal must be -1 to 1, or -2, got nan"),
        (csv_row("a/7.jpg", 3, 0, 0, box=(1, "x", 3, 3)), r"training\.csv:4: face_y must be a number, got 'x'"),
        (csv_row("a/7.jpg", 3, 0, 0, points="1;2;3"), r"training\.csv:4: facial_landmarks must be 136 numbers, got 3"),
        (
            csv_row("a/7.jpg", 3, 0, 0, points=";".join(["1"] * 135 + ["?"])),
            r"training\.csv:4: facial_landmarks must be a number, got '\?'",
        ),
        (
            csv_row("a/7.jpg", 3, 0, 0, points=";".join(["1"] * 135 + ["nan"])),
            r"training\.csv:4: facial_landmarks must be finite numbers",
        ),
        ("a/7.jpg,1,2,3", r"training\.csv: a row must have 9 columns: .*Row #4: Expected 9 columns, got 4"),
    ],
)
def test_a_malformed_row_is_an_error_with_its_line(root, line, message):
    write_csv(root, [*LINES[:2], line, *LINES[2:]])
    with pytest.raises(DataError, match=message):
        affectnet(str(root))


def test_lines_are_counted_over_more_than_one_batch(tmp_path):
    """pyarrow hands the file over in parts of 8 MB."""
    rows = [csv_row("a/1.jpg", 0, 0, 0, points=landmarks())] * 12_000
    rows[11_500] = csv_row("a/1.jpg", 0, 3, 0)
    assert len("\n".join(rows)) > 8 << 20
    with pytest.raises(DataError, match=r"training\.csv:11502: valence must be -1 to 1"):
        affectnet(str(write_csv(tmp_path, rows[:1] + rows[1:])))


@pytest.mark.parametrize("text", ["", "\n", "a,b,c\n1,2,3\n", HEADER.replace("arousal", "arousl") + "\n"])
def test_other_columns_are_an_error_that_names_them(root, text):
    (root / "training.csv").write_text(text)
    with pytest.raises(DataError, match=r"training\.csv:1: columns must be subDirectory_filePath"):
        affectnet(str(root))


def test_a_list_without_rows_is_an_error(root):
    (root / "training.csv").write_text(HEADER + "\n")
    with pytest.raises(DataError, match=r"training\.csv must have a row a face, got none"):
        affectnet(str(root))


def test_a_list_is_parsed_once_and_again_when_it_changes(root, monkeypatch):
    import ferlab.data.affectnet_csv as module

    first = affectnet(str(root))
    with monkeypatch.context() as patch:
        patch.setattr(module, "_batches", lambda *args: pytest.fail("parsed again"))
        assert affectnet(str(root)).digest() == first.digest()
    write_csv(root, [LINES[0].replace("0.5,-0.25", "0.5,-0.75"), *LINES[1:]])
    assert affectnet(str(root)).splits["train"].affect[2].tolist() == [0.5, -0.75]


# the lists that others made


def write_list(root, text, name="train_set_annotation_without_lnd.csv", pictures=("3", "12")):
    root.mkdir(exist_ok=True)
    (root / name).write_text(text)
    for picture in pictures:
        jpeg(root / name[: name.index("_set") + 4] / "images" / f"{picture}.jpg")
    return root


@pytest.mark.parametrize(
    "text",
    [
        "number,exp,valence,arousal\n12,6,0.5,-2\n3,1,0.25,-0.5\n",
        "image,Expression,val,aro\n12.jpg,6,0.5,-2\n3.jpg,1,0.25,-0.5\n",
        ",path,label,arousal,valence\n0,train_set/images/12.jpg,6,-2,0.5\n1,train_set/images/3.jpg,1,-0.5,0.25\n",
        '"subDirectory_filePath","exp","val","aro"\r\n"12.jpg",6,0.5,-2\r\n"3.jpg",1,0.25,-0.5\r\n',
    ],
)
def test_lists_of_the_newer_pictures_under_all_names_of_their_columns(tmp_path, text):
    write_list(tmp_path, text)
    source = affectnet(
        str(write_list(tmp_path, "number,exp,valence,arousal\n0,9,-2,-2\n1,2,0,0\n", "val_set.csv", "01"))
    )
    train = source.splits["train"]
    assert below(train, tmp_path) == ["train_set/images/12.jpg", "train_set/images/3.jpg"]
    assert train.labels.tolist() == [6, 1]
    np.testing.assert_array_equal(train.affect, np.array([(0.5, np.nan), (0.25, -0.5)], np.float32))
    assert source.splits["validation"].labels.tolist() == [2]
    assert source.dropped == {"official validation part, uncertain": 1}
    assert "annotations release" in source.protocol
    assert source.official["validation"] == 3999
    assert not source.face.aligned


def test_labels_csv_has_words_for_labels_paths_from_the_root_and_one_part(tmp_path):
    words = {"anger/1.jpg": "anger", "anger/2.jpg": "happy", "sad/3.jpg": "contempt", "sad/4.jpg": "anger"}
    rows = [f"{i},{path},{word},0.8" for i, (path, word) in enumerate(words.items())]
    (tmp_path / "labels.csv").write_text("\n".join([",pth,label,relFCs", *rows]) + "\n")
    for path in words:
        jpeg(tmp_path / path)
    source = affectnet(str(tmp_path))
    assert source.splits["train"].labels.tolist() == [6, 1, 7, 6]  # by the list's word, not by the folder
    assert source.splits["train"].affect is None
    assert source.mapping == {"anger": "anger", "happy": "happiness", "contempt": "contempt"}
    assert set(source.absent) == {"validation", "test"}
    assert source.official == {}
    cut = affectnet(str(tmp_path), holdout=0.5)
    assert {name: len(split) for name, split in cut.splits.items()} == {"train": 3, "validation": 1}
    (tmp_path / "labels.csv").write_text("pth,label\nanger/1.jpg,hungry\n")
    with pytest.raises(LabelError, match="must be an emotion name, got 'hungry'"):
        affectnet(str(tmp_path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "number,mood,valence,arousal\n3,1,0,0\n",
            r"lnd\.csv:1: a column must hold the expression \(expression, exp, label",
        ),
        ("exp,valence,arousal\n1,0,0\n", r"lnd\.csv:1: a column must hold the picture .* got columns exp, valence"),
        ("number,exp,valence\n3,1,0\n", r"lnd\.csv:1: a column must hold the arousal"),
        ("number,exp,label\n3,1,1\n", r"lnd\.csv:1: columns exp and label both mean expression"),
        ("number,exp,valence,arousal\n3,1,0,0\n12,1,0,1.7\n", r"lnd\.csv:3: arousal must be -1 to 1, or -2, got 1\.7"),
        ("number,exp,valence,arousal\n3,1,0,0\n12,1,0\n", r"lnd\.csv: a row must have 4 columns: .*Row #3"),
        ("number,exp,valence,arousal\n", r"lnd\.csv must have a row a face, got none"),
        ("number,exp,valence,arousal\n4,1,0,0\n", r"train_set/images/4\.jpg is missing, the first of 1"),
    ],
)
def test_lists_that_do_not_fit_are_errors_that_name_file_and_columns(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        affectnet(str(write_list(tmp_path, text)))


def test_two_lists_of_one_part_are_an_error(tmp_path):
    text = "number,exp,valence,arousal\n3,1,0,0\n"
    write_list(tmp_path, text)
    (tmp_path / "train_set.csv").write_text(text)
    with pytest.raises(DataError, match=r"one train_set….csv, got train_set\.csv and train_set_annotation"):
        affectnet(str(tmp_path))
    (tmp_path / "train_set.csv").rename(tmp_path / "labels.csv")
    with pytest.raises(DataError, match=r"labels\.csv or train_set….csv, got both"):
        affectnet(str(tmp_path))


def test_a_margin_is_for_whole_pictures(tmp_path):
    with pytest.raises(ConfigError, match=r"got 0\.1 for annotations"):
        affectnet(str(write_list(tmp_path, "number,exp\n3,1\n")), margin=0.1)
