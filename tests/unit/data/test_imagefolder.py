import os

import cv2
import numpy as np
import pytest

from ferlab.data.imagefolder import imagefolder
from ferlab.data.images import read_image
from ferlab.data.synthetic import draw_split
from ferlab.errors import ConfigError, DataError, LabelError
from ferlab.labels import FERPLUS


def put(folder, name="a.png", value=0, size=(48, 48)):
    folder.mkdir(parents=True, exist_ok=True)
    picture = np.full((*size, 3), value, np.uint8)
    (folder / name).write_bytes(cv2.imencode(".png", picture)[1].tobytes())
    return folder / name


@pytest.fixture
def tree(tmp_path):
    """Two classes under names that are aliases, a picture each in train and val."""
    for i, name in enumerate(["Happy", "angry"]):
        put(tmp_path / "train" / name, value=50 + i)
        put(tmp_path / "val" / name, value=60 + i)
    return tmp_path


def test_drawn_faces_come_back_with_every_pixel_and_label(written):
    source = imagefolder(str(written("imagefolder", size=40)))
    assert source.labels == FERPLUS
    for name, split in source.splits.items():
        drawn = draw_split(name, len(split), 40, 0)
        expected = {(drawn.read(i).tobytes(), int(drawn.labels[i])) for i in range(len(drawn))}
        assert {(split.read(i).tobytes(), int(split.labels[i])) for i in range(len(split))} == expected


def test_folders_are_mapped_by_alias_and_the_mapping_is_told(tree):
    source = imagefolder(str(tree))
    assert set(source.labels) == {"happiness", "anger"}
    assert dict(source.mapping) == {"Happy": "happiness", "angry": "anger"}
    for split in source.splits.values():
        for i in range(2):
            expected = "happiness" if "Happy" in split.images.name(i) else "anger"
            assert source.labels[split.labels[i]] == expected
    assert sorted(source.splits) == ["train", "validation"]


def test_splits_may_spell_a_class_differently(tree):
    put(tree / "train" / "sadness")
    put(tree / "val" / "sad")
    source = imagefolder(str(tree))
    assert len(source.labels) == 3
    assert source.splits["validation"].counts(3).tolist() == [1, 1, 1]


def test_an_absent_split_has_a_reason(tree):
    with pytest.raises(DataError, match=r"no test split here: .*has no test/ folder"):
        imagefolder(str(tree)).split("test")


def test_two_folders_for_one_class_are_an_error(tree):
    put(tree / "train" / "anger")
    with pytest.raises(DataError, match="'anger' and 'angry' both mean anger; merge them"):
        imagefolder(str(tree))


def test_a_file_that_is_no_picture_is_an_error(tree):
    (tree / "train" / "angry" / "notes.txt").write_text("hm")
    with pytest.raises(DataError, match=r"notes\.txt must be a picture"):
        imagefolder(str(tree))


def test_hidden_files_are_passed_over(tree):
    (tree / "train" / "angry" / ".DS_Store").write_text("")
    (tree / "train" / ".thumbnails").mkdir()
    assert len(imagefolder(str(tree)).splits["train"]) == 2


def test_an_unknown_class_is_an_error_with_the_nearest(tree):
    put(tree / "train" / "suprised")
    with pytest.raises(LabelError) as caught:
        imagefolder(str(tree))
    assert str(caught.value).startswith(
        f"{tree}/train/suprised: label must be an emotion name, got 'suprised'; did you"
    )
    assert str(caught.value).endswith("or declare labels of your own: 'data.labels=[Happy,angry,suprised]'")


def test_labels_of_ones_own_are_kept_exactly_and_in_their_order(tmp_path):
    for i, name in enumerate(["engaged", "Bored", "happiness"]):
        put(tmp_path / "train" / name, value=i)
        put(tmp_path / "val" / name, value=10 + i)
    source = imagefolder(str(tmp_path), labels=["happiness", "engaged", "Bored"])
    assert source.labels == ("happiness", "engaged", "Bored")
    split = source.splits["train"]
    assert {split.read(i)[0, 0, 0]: source.labels[split.labels[i]] for i in range(3)} == {
        0: "engaged", 1: "Bored", 2: "happiness",
    }  # fmt: skip
    with pytest.raises(LabelError, match=r"train/Bored: the folder must be one of data\.labels, engaged, happiness;"):
        imagefolder(str(tmp_path), labels=["engaged", "happiness"])
    with pytest.raises(LabelError, match="label 'happy' must have its canonical name; write 'happiness'"):
        imagefolder(str(tmp_path), labels=["happy", "engaged", "Bored"])


def test_without_a_validation_folder_a_tenth_is_held_out_with_its_copies(tmp_path):
    for i in range(20):
        put(tmp_path / "happy", f"{i}.png", value=i // 2)  # each twice
        put(tmp_path / "sad", f"{i}.png", value=100 + i)
    source = imagefolder(str(tmp_path))
    train, validation = source.splits["train"], source.splits["validation"]
    assert sorted(source.splits) == ["train", "validation"]
    assert "validation: 10 % of each class of train, copies together, seed 0" in source.protocol
    assert validation.counts(2).tolist() == [2, 2]
    assert train.counts(2).tolist() == [18, 18]
    seen = [{split.read(i)[0, 0, 0] for i in range(len(split))} for split in (train, validation)]
    assert not seen[0] & seen[1]
    assert imagefolder(str(tmp_path), seed=1).digest() != source.digest()
    assert imagefolder(str(tmp_path)).digest() == source.digest()
    with pytest.raises(ConfigError, match=r"data\.validation must be a share between 0 and 1 .* got 1 and 0"):
        imagefolder(str(tmp_path), validation=1)


def test_nothing_that_holds_pictures_is_left_out_without_a_word(tree):
    assert dict(imagefolder(str(tree)).unread) == {}
    (tree / "README.txt").write_text("no picture")
    put(tree / "more" / "happy")
    put(tree / "more" / "happy", "b.png")
    put(tree, "loose.png")
    assert dict(imagefolder(str(tree)).unread) == {f"{tree}/more/": 2, f"{tree}/": 1}


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda root: put(root / "train" / "angry" / "2019"), r"angry/2019 must be a picture, got a folder; move its"),
        (lambda root: put(root / "train", "loose.png"), r"loose\.png must lie in a class folder, as must 0 more"),
        (lambda root: put(root / "valid" / "angry"), "one folder for validation, got val and valid"),
        (
            lambda root: (root / "train" / "angry" / "b.png").symlink_to("gone"),
            r"b\.png must lead to .* link to nothing",
        ),
        (lambda root: (root / "train" / "sad").symlink_to("gone"), r"train/sad must lead to .* link to nothing"),
        (lambda root: open(os.fsencode(root) + b"/train/angry/\xff.png", "wb").close(), r"UTF-8, got b'\\xff\.png'"),
    ],
    ids=["a folder", "loose", "two for one split", "link", "link of a class", "no text"],
)
def test_what_would_be_lost_is_an_error(tree, spoil, said):
    spoil(tree)
    with pytest.raises(DataError, match=said):
        imagefolder(str(tree))


def test_what_is_no_file_is_not_waited_for(tree):
    os.mkfifo(tree / "train" / "angry" / "pipe.png")
    source = imagefolder(str(tree))
    with pytest.raises(DataError, match=r"cannot read .*pipe\.png: it is no regular file"):
        source.digest()
    with pytest.raises(DataError, match=r"cannot read .*pipe\.png: it is no regular file"):
        read_image(tree / "train" / "angry" / "pipe.png")


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_an_unreadable_picture_is_named_when_it_is_read_and_never_replaced(tree, content):
    broken = tree / "train" / "angry" / "b.png"
    broken.write_bytes(content)
    split = imagefolder(str(tree)).splits["train"]
    assert len(split) == 3
    position = next(i for i in range(3) if split.images.name(i) == str(broken))
    with pytest.raises(DataError, match=r"b\.png must be a picture, got \d+ bytes"):
        split.read(position)


def test_a_truncated_picture_is_an_error_and_not_half_a_face(tree):
    whole = put(tree / "train" / "angry", "b.png")
    rng = np.random.default_rng(0)
    encoded = cv2.imencode(".jpg", rng.integers(0, 256, (96, 96, 3), np.uint8))[1].tobytes()
    whole.with_suffix(".jpg").write_bytes(encoded[: len(encoded) // 2])
    whole.unlink()
    split = imagefolder(str(tree)).splits["train"]
    position = next(i for i in range(3) if split.images.name(i).endswith("b.jpg"))
    with pytest.raises(DataError, match=r"b\.jpg"):
        split.read(position)


def test_a_picture_that_went_away_is_an_error(tree):
    split = imagefolder(str(tree)).splits["train"]
    for path in map(split.images.path, range(len(split))):
        path.unlink()
    with pytest.raises(DataError, match=r"cannot read .*No such file"):
        split.read(0)


def test_grey_transparent_and_deep_pictures_become_rgb(tree):
    folder = tree / "train" / "angry"
    values = {"grey": np.full((9, 9), 70, np.uint8), "clear": np.full((9, 9, 4), 70, np.uint8)}
    values["deep"] = np.full((9, 9, 3), 70 * 257, np.uint16)
    for name, picture in values.items():
        (folder / f"{name}.png").write_bytes(cv2.imencode(".png", picture)[1].tobytes())
    split = imagefolder(str(tree)).splits["train"]
    for i in range(len(split)):
        image = split.read(i)
        assert image.ndim == 3
        assert image.dtype == np.uint8
        if split.images.name(i).endswith(("grey.png", "clear.png", "deep.png")):
            assert (image == 70).all()


@pytest.mark.parametrize(("bits", "factor"), [(8, 256), (12, 16)])
def test_a_deep_picture_of_shallow_values_is_no_black_face(tree, bits, factor):
    path = tree / "train" / "angry" / "b.png"
    values = np.full((9, 9), 2**bits - 1, np.uint16)
    path.write_bytes(cv2.imencode(".png", values)[1].tobytes())
    split = imagefolder(str(tree)).splits["train"]
    position = next(i for i in range(3) if split.images.name(i) == str(path))
    with pytest.raises(DataError) as caught:
        split.read(position)
    use = f"must use its 16 bits a value, got values of {bits} bits, which would be read as black"
    assert str(caught.value) == f"{path} {use}; multiply them by {factor} or store it in 8 bits"
    path.write_bytes(cv2.imencode(".png", values * factor)[1].tobytes())
    assert split.read(position).min() >= 254
    path.write_bytes(cv2.imencode(".png", values * 0)[1].tobytes())
    assert split.read(position).max() == 0  # black is black


def test_empty_folders_are_errors(tmp_path):
    with pytest.raises(DataError, match=r"needs <class>/ or train/<class>/ folders in .*set data\.root"):
        imagefolder(str(tmp_path))
    (tmp_path / "train").mkdir()
    with pytest.raises(DataError, match="one folder a class, got none"):
        imagefolder(str(tmp_path))
    (tmp_path / "train" / "happy").mkdir()
    with pytest.raises(DataError, match=r"must hold pictures .*got none"):
        imagefolder(str(tmp_path))


def test_the_digest_follows_the_content(tree):
    before = imagefolder(str(tree)).digest()
    assert imagefolder(str(tree)).digest() == before
    put(tree / "train" / "angry", value=51 + 1)
    assert imagefolder(str(tree)).digest() != before
