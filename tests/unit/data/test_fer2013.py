import cv2
import numpy as np
import pytest

from ferlab.data.fer2013 import fer2013
from ferlab.data.synthetic import draw_split
from ferlab.errors import DataError, LabelError
from ferlab.labels import FER2013

PIXELS = " ".join(str(i % 256) for i in range(2304))
GOOD = [f"{i % 7},{PIXELS},{usage}" for i, usage in enumerate(["Training"] * 4 + ["PublicTest"] * 2 + ["PrivateTest"])]
HEADER = "emotion,pixels,Usage"


def drawn(split, n):
    """The faces that the layouts hold, as grey pixels, and their labels."""
    faces = draw_split(split, n, 48, 0, FER2013)
    grey = [cv2.cvtColor(faces.read(i), cv2.COLOR_RGB2GRAY) for i in range(n)]
    return np.stack(grey), faces.labels


def read(split):
    """All pixels of a split, (n, h, w), having checked that the three channels are equal."""
    images = np.stack([split.read(i) for i in range(len(split))])
    assert images.dtype == np.uint8
    assert (images == images[..., :1]).all()
    return images[..., 0]


@pytest.mark.parametrize("layout", ["fer2013", "icml_face_data"])
def test_the_csv_gives_back_every_pixel_and_label_in_order(written, layout):
    source = fer2013(str(written(layout)))
    assert source.labels == FER2013
    assert {name: len(split) for name, split in source.splits.items()} == {"train": 60, "validation": 20, "test": 16}
    for name, split in source.splits.items():
        pixels, labels = drawn(name, len(split))
        np.testing.assert_array_equal(read(split), pixels)
        np.testing.assert_array_equal(split.labels, labels)


def test_the_second_reading_is_the_same(written):
    folder = written("fer2013")
    assert (
        fer2013(str(folder)).digest() == fer2013(str(folder)).digest() == fer2013(str(folder / "fer2013.csv")).digest()
    )


def test_the_headers_of_icml_face_data_have_spaces_and_another_order(written):
    """Were they not, this layout would test nothing."""
    header = (written("icml_face_data") / "icml_face_data.csv").read_text().splitlines()[0]
    assert header == "emotion, Usage, pixels"


def test_kaggles_folders_hold_the_same_faces_under_alphabetical_names(written):
    folder = written("kaggle")
    names = ["angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"]
    assert sorted(p.name for p in (folder / "train").iterdir()) == names
    source = fer2013(str(folder))
    assert source.labels == FER2013
    expected = {"train": [("train", 60)], "validation": [("validation", 20), ("test", 16)]}
    for name, parts in expected.items():
        faces = {(p.tobytes(), int(x)) for split, n in parts for p, x in zip(*drawn(split, n), strict=True)}
        split = source.splits[name]
        assert {(p.tobytes(), int(x)) for p, x in zip(read(split), split.labels, strict=True)} == faces


def test_kaggles_folders_have_no_test_split_and_say_why(written):
    source = fer2013(str(written("kaggle")))
    with pytest.raises(DataError, match=r"no test split here: .*merges PublicTest and PrivateTest"):
        source.split("test")
    assert source.official["validation"] == 7178


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_folder_of_no_class_is_named_with_the_classes(written, split):
    folder = written("kaggle")
    (folder / split / "bored").mkdir()
    with pytest.raises(LabelError) as caught:
        fer2013(str(folder))
    assert str(caught.value).startswith(
        f"{folder}/{split}/bored: label must be an emotion name, got 'bored'; one of: neu"
    )


def test_an_absent_usage_is_an_absent_split_with_the_reason(written):
    source = fer2013(str(written("fer2013", test=0)))
    assert list(source.splits) == ["train", "validation"]
    with pytest.raises(DataError, match="has no PrivateTest rows"):
        source.split("test")


def test_a_picture_is_named_by_its_line(written):
    source = fer2013(str(written("fer2013")))
    assert source.splits["train"].images.name(0).endswith("fer2013.csv:2")
    assert source.splits["validation"].images.name(3).endswith("fer2013.csv:65")


def test_reading_gives_a_picture_of_ones_own(written):
    split = fer2013(str(written("fer2013"))).splits["train"]
    before = split.read(0).copy()
    split.read(0)[:] = 0
    np.testing.assert_array_equal(split.read(0), before)


def test_windows_line_ends_quotes_and_a_byte_order_mark_are_read(tmp_path):
    rows = [f'{i % 7},"{PIXELS}",{usage}' for i, usage in enumerate(["Training", "PublicTest"])]
    (tmp_path / "fer2013.csv").write_bytes(("\ufeff" + "\r\n".join([HEADER, *rows]) + "\r\n").encode())
    source = fer2013(str(tmp_path))
    assert source.splits["validation"].labels.tolist() == [1]
    np.testing.assert_array_equal(read(source.splits["train"])[0].ravel(), np.arange(2304) % 256)


def test_every_number_of_digits_is_read(tmp_path):
    values = np.random.default_rng(0).choice([0, 9, 10, 99, 100, 255], 2304)
    (tmp_path / "fer2013.csv").write_text(f"{HEADER}\n0,{' '.join(map(str, values))},Training\n")
    np.testing.assert_array_equal(read(fer2013(str(tmp_path)).splits["train"])[0].ravel(), values)


def replaced(row, column, value):
    parts = row.split(",")
    parts[column] = value
    return ",".join(parts)


MALFORMED = {
    "a pixel too few": (replaced(GOOD[2], 1, PIXELS[: PIXELS.rindex(" ")]), "2304 pixels, got 2303"),
    "a pixel too many": (replaced(GOOD[2], 1, PIXELS + " 7"), "2304 pixels, got 2305"),
    "no pixel": (replaced(GOOD[2], 1, ""), "2304 pixels, got 0"),
    "a pixel of 256": (replaced(GOOD[2], 1, "256" + PIXELS[1:]), "0 to 255, got 256"),
    "a pixel of 1000": (replaced(GOOD[2], 1, "1000" + PIXELS[1:]), "0 to 255, got 1000"),
    "a pixel of -1": (replaced(GOOD[2], 1, "-1" + PIXELS[1:]), "0 to 255, got '-1'"),
    "a pixel of 1.5": (replaced(GOOD[2], 1, "1.5" + PIXELS[1:]), r"0 to 255, got '1\.5'"),
    "a word": (replaced(GOOD[2], 1, "x" + PIXELS[1:]), "0 to 255, got 'x'"),
    "a NaN": (replaced(GOOD[2], 1, "nan" + PIXELS[1:]), "0 to 255, got 'nan'"),
    "label 7": (replaced(GOOD[2], 0, "7"), "emotion must be one of 0, 1, .*got '7'"),
    "no label": (replaced(GOOD[2], 0, ""), "emotion must be one of"),
    "a label by name": (replaced(GOOD[2], 0, "happy"), "emotion must be one of .*got 'happy'"),
    "an unknown usage": (replaced(GOOD[2], 2, "training"), "Usage must be one of Training, .*got 'training'"),
    "no usage": (replaced(GOOD[2], 2, ""), "Usage must be one of"),
    "an extra column": (GOOD[2] + ",1", "3 columns"),
    "a missing column": ("3,Training", "3 columns"),
    "an empty line": ("", "Usage must be one of"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_row_is_named_by_file_and_line_and_caches_nothing(tmp_path, cache, case):
    row, message = MALFORMED[case]
    file = tmp_path / "fer2013.csv"
    file.write_text("\n".join([HEADER, *GOOD[:2], row, *GOOD[3:]]) + "\n")
    with pytest.raises(DataError, match=rf"fer2013\.csv:4: .*{message}"):
        fer2013(str(tmp_path))
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize("keep", [0.2, 0.5, 0.999])
@pytest.mark.parametrize("layout", ["fer2013", "icml_face_data"])
def test_a_truncated_last_row_is_an_error(written, cache, layout, keep):
    """A download that broke off; at 0.999 of the row in the middle of its last column."""
    file = written(layout, train=5, validation=0, test=0) / f"{layout}.csv"
    text = file.read_text().rstrip("\n")
    start = text.rindex("\n")
    file.write_text(text[: start + int((len(text) - start) * keep)])
    with pytest.raises(DataError, match=rf"{layout}\.csv:6: "):
        fer2013(str(file))
    assert list(cache.iterdir()) == []


def test_a_bad_row_far_down_is_named_right(tmp_path):
    """Beyond the first block of the CSV reader, which is 8 MB."""
    file = tmp_path / "fer2013.csv"
    with open(file, "w") as opened:
        opened.write(HEADER + "\n" + (GOOD[0] + "\n") * 1800)
        opened.write(replaced(GOOD[0], 0, "8") + "\n" + GOOD[1] + "\n")
    with pytest.raises(DataError, match=r"fer2013\.csv:1802: emotion"):
        fer2013(str(tmp_path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"fer2013\.csv:1: columns must be"),
        ("emotion,pixels\n0,1 2 3\n", r"fer2013\.csv:1: columns must be"),
        ("label,pixels,Usage\n", r"fer2013\.csv:1: columns must be emotion, pixels, Usage, got 'label,pixels,Usage'"),
        (GOOD[0] + "\n" + GOOD[1] + "\n", r"fer2013\.csv:1: columns must be"),
        (HEADER + "\n", r"fer2013\.csv"),
        ("\x00\x01\x02\xff", r"fer2013\.csv:1: columns must be"),
    ],
    ids=["empty", "two columns", "another name", "no header", "header alone", "binary"],
)
def test_a_file_that_is_not_fer2013_is_an_error(tmp_path, cache, text, message):
    (tmp_path / "fer2013.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        fer2013(str(tmp_path))
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize("place", [b"Training", b"0 1 2"])
def test_bytes_that_are_no_text_are_an_error_with_the_line(tmp_path, place):
    row = GOOD[0].encode().replace(place, place[:3] + b"\xff" + place[3:], 1)
    (tmp_path / "fer2013.csv").write_bytes(b"\n".join([HEADER.encode(), GOOD[0].encode(), row, b""]))
    with pytest.raises(DataError, match=r"fer2013\.csv:3: a row must be plain text"):
        fer2013(str(tmp_path))


def test_a_missing_file_says_what_is_needed_and_where(tmp_path):
    with pytest.raises(DataError, match=rf"fer2013\.csv or icml_face_data\.csv.* in {tmp_path}; .*set data\.root"):
        fer2013(str(tmp_path))
