"""The npy release, and the rules that all releases share."""

import pickle

import numpy as np
import pytest
from affectnet_trees import NO_LANDMARKS, jpeg, landmarks, note, write_csv, write_npy

from ferlab.data.affectnet import affectnet
from ferlab.data.affectnet_npy import read_array
from ferlab.errors import ConfigError, DataError
from ferlab.faces import FaceCrop
from ferlab.labels import AFFECTNET, AFFECTNET_7

ROWS = [
    ("0", 0, 0.1, -0.2),
    ("1", 7, -0.5, 0.25),
    ("2", 8, -2, -2),  # none
    ("3", 9, -2, -2),  # uncertain
    ("4", 10, -2, -2),  # non-face
    ("5", 6, -2, 0.75),  # an expression without valence
    ("6", 1, 1, -1),
    ("10", 1, 0.5, -2),
]


@pytest.fixture
def root(tmp_path):
    write_npy(tmp_path / "affectnet", ROWS)
    return write_npy(tmp_path / "affectnet", [("0", 3, 0, 0), ("1", 7, 0, 0)], "validation")


def names(split):
    return [split.images.name(i).rsplit("/")[-1] for i in range(len(split))]


# what is kept


def test_the_npy_release_by_hand(root):
    source = affectnet(str(root))
    train, validation = source.splits["train"], source.splits["validation"]
    assert source.labels == AFFECTNET
    assert names(train) == ["0.jpg", "1.jpg", "10.jpg", "5.jpg", "6.jpg"]
    assert train.labels.tolist() == [0, 7, 1, 6, 1]
    nan = np.nan
    expected = [(0.1, -0.2), (-0.5, 0.25), (0.5, nan), (nan, 0.75), (1, -1)]
    np.testing.assert_array_equal(train.affect, np.array(expected, np.float32))
    assert validation.labels.tolist() == [3, 7]
    assert dict(source.dropped) == {
        "official train part, none": 1,
        "official train part, uncertain": 1,
        "official train part, non-face": 1,
    }
    assert train.read(0).shape == (12, 12, 3)
    assert "npy release" in source.protocol
    assert "not public" in source.absent["test"]
    assert source.mapping["3"] == "surprise"
    assert "research" in source.licence
    assert source.confidential


def test_seven_classes_leave_contempt_out(root):
    source = affectnet(str(root), classes=7)
    assert source.labels == AFFECTNET_7
    assert source.splits["train"].labels.tolist() == [0, 1, 6, 1]
    assert source.splits["validation"].labels.tolist() == [3]
    assert source.dropped["official train part, contempt"] == 1
    assert source.dropped["official validation part, contempt"] == 1


def test_the_official_numbers_are_those_of_the_release(root, tmp_path):
    assert dict(affectnet(str(root)).official) == {"train": 287651, "validation": 3999}
    assert dict(affectnet(str(root), classes=7).official) == {"train": 283901, "validation": 3500}
    older = write_csv(tmp_path / "csv", ["a/0.jpg,1,1,4,4,,0,0,0"])
    assert dict(affectnet(str(older)).official) == {"train": 287651, "validation": 4000}
    # The difference between 8 and 7 classes is contempt: 3,750 faces (Mollahosseini et al. 2017, table 3) and 500.
    assert 287651 - 283901 == 3750


@pytest.mark.parametrize(
    ("expression", "valence"),
    [(np.array("6"), np.array("-0.5")), (np.array(6), np.array(-0.5)), (np.array([6.0]), np.float32(-0.5))],
    ids=["text", "numbers", "one element"],
)
def test_annotations_are_text_or_numbers(root, expression, valence):
    note(root, "0", "exp", expression)
    note(root, "0", "val", valence)
    train = affectnet(str(root)).splits["train"]
    assert train.labels[0] == 6
    assert train.affect[0].tolist() == pytest.approx([-0.5, -0.2])


def test_a_part_that_is_not_there_is_absent_with_its_place(tmp_path):
    source = affectnet(str(write_npy(tmp_path, ROWS[:2])))
    assert list(source.splits) == ["train"]
    assert source.absent["validation"] == f"{tmp_path} has no official validation part"


def test_nothing_holds_an_object_for_each_picture(root):
    """280,000 names as objects would be copied into every reading worker."""
    for align in (False, True):
        for part in ("train", "validation"):
            rows = ROWS if part == "train" else [("0", 3, 0, 0), ("1", 7, 0, 0)]
            write_npy(root, rows, part, landmarks())
        images = affectnet(str(root), align=align).splits["train"].images
        files = images.images if align else images
        assert files.names.dtype.kind == "S"
        assert len(pickle.dumps(images)) < 2000 + 40 * len(images)


# alignment


def test_eyes_are_the_means_of_their_points_and_level_after_alignment(root):
    for part, rows in (("train", ROWS), ("validation", [("0", 3, 0, 0), ("1", 7, 0, 0)])):
        write_npy(root, rows, part, landmarks((3, 4), (9, 6)))
    source = affectnet(str(root))
    images = source.splits["train"].images
    assert source.face == FaceCrop(margin=0.0, aligned=True)
    assert "eyes level" in source.protocol
    np.testing.assert_allclose(images.eyes, np.tile(np.array([[3, 4], [9, 6]]), (5, 1, 1)), atol=1e-6)
    assert np.isnan(images.boxes).all()  # the whole picture
    assert images.read(0).shape == (12, 12, 3)
    assert affectnet(str(root), align=False).face == FaceCrop()


def test_alignment_needs_the_landmarks_of_every_face_that_is_kept(root):
    write_npy(root, ROWS, "train", landmarks())
    write_npy(root, [("0", 3, 0, 0), ("1", 7, 0, 0)], "validation", landmarks())
    for face in ("2", "3", "4"):  # they are left out, so theirs do not matter
        note(root, face, "lnd", NO_LANDMARKS.ravel())
    assert affectnet(str(root)).face.aligned
    note(root, "1", "lnd", NO_LANDMARKS.ravel())  # all zeros: none
    (root / "val_set" / "annotations" / "0_lnd.npy").unlink()
    assert not affectnet(str(root)).face.aligned
    with pytest.raises(DataError, match=r"align=true needs .* none for 1 of train and 1 of validation"):
        affectnet(str(root), align=True)
    assert not affectnet(str(root), align=False).face.aligned


# a part of train to select on


def many(root, n=40):
    rows = [(str(i), i % 8, 0, 0) for i in range(n)]
    write_npy(root, rows)
    return write_npy(root, [("0", 3, 0, 0), ("1", 7, 0, 0)], "validation")


def test_a_holdout_is_cut_off_train_and_the_official_part_becomes_the_test(tmp_path):
    root = many(tmp_path)
    whole, source = affectnet(str(root)), affectnet(str(root), holdout=0.2)
    train, validation, test = (source.splits[name] for name in ("train", "validation", "test"))
    assert sorted(names(train) + names(validation)) == names(whole.splits["train"])
    assert validation.counts(8).tolist() == [1] * 8  # 0.2 of 5 faces each
    assert len(train) == 32
    assert names(test) == names(whole.splits["validation"])
    assert dict(source.absent) == {}
    assert dict(source.official) == {"test": 3999}
    assert (
        "validation = 0.2 of train, stratified, copies together, seed 0; test = the official validation part"
        in source.protocol
    )
    assert names(affectnet(str(root), holdout=0.2).splits["validation"]) == names(validation)
    assert names(affectnet(str(root), holdout=0.2, seed=1).splits["validation"]) != names(validation)
    kept = [name for name, label in zip(names(validation), validation.labels, strict=True) if label < 7]
    assert names(affectnet(str(root), holdout=0.2, classes=7).splits["validation"]) == kept


def test_a_holdout_needs_a_train_part_and_copes_without_an_official_validation_part(tmp_path):
    root = write_npy(tmp_path / "a", [("0", 3, 0, 0)], "validation")
    with pytest.raises(DataError, match=r"holdout cuts a part off train, but .* has no official train part"):
        affectnet(str(root), holdout=0.1)
    source = affectnet(str(write_npy(tmp_path / "b", [("0", 1, 0, 0), ("1", 1, 0, 0)])), holdout=0.5)
    assert {name: len(split) for name, split in source.splits.items()} == {"train": 1, "validation": 1}
    assert list(source.absent) == ["test"]


# faults


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("exp", "11", r"1_exp\.npy: expression must be 0 to 10, got 11"),
        ("exp", "-1", r"1_exp\.npy: expression must be 0 to 10, got -1"),
        ("exp", "1.5", r"1_exp\.npy: expression must be 0 to 10, got 1.5"),
        ("exp", "nan", r"1_exp\.npy: expression must be 0 to 10, got nan"),
        ("exp", "happy", r"1_exp\.npy must hold one number, got 'happy'"),
        ("val", "1.7", r"1_val\.npy: valence must be -1 to 1, or -2, got 1.7"),
        ("aro", "-1.01", r"1_aro\.npy: arousal must be -1 to 1, or -2, got -1.01"),
        ("aro", "nan", r"1_aro\.npy: arousal must be -1 to 1, or -2, got nan"),
        ("val", ["0.1", "0.2"], r"1_val\.npy must hold one number"),
        ("lnd", np.zeros(10), r"1_lnd\.npy must hold 136 finite numbers, got 10"),
        ("lnd", np.full(136, np.inf), r"1_lnd\.npy must hold 136 finite numbers"),
        ("lnd", np.full(136, "x"), r"1_lnd\.npy must hold numbers"),
    ],
)
def test_a_value_that_means_nothing_is_an_error_with_its_file(root, kind, value, message):
    note(root, "1", kind, np.array(value))
    with pytest.raises(DataError, match=message):
        affectnet(str(root))


@pytest.mark.parametrize("keep", [0, 5, 60, 131])
def test_a_truncated_annotation_is_an_error(root, keep):
    file = root / "train_set" / "annotations" / "1_exp.npy"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"1_exp\.npy must be an array without objects, .*unpack the release again"):
        affectnet(str(root))


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("unpickled",))


def test_pickled_objects_are_refused_and_never_loaded(root):
    file = root / "train_set" / "annotations" / "1_exp.npy"
    np.save(file, np.array(Bomb(), dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"1_exp\.npy must be an array without objects, got pickled objects"):
        affectnet(str(root))
    file.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(DataError, match=r"1_exp\.npy must be an array without objects"):
        affectnet(str(root))


@pytest.mark.parametrize(
    "array",
    [np.array("-0.25"), np.array(3), np.arange(6.0).reshape(2, 3), np.asfortranarray(np.arange(6).reshape(2, 3))],
    ids=["text", "number", "table", "columns first"],
)
@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
def test_arrays_are_read_as_numpy_reads_them(tmp_path, array, version):
    path = tmp_path / "a.npy"
    with open(path, "wb") as file:
        np.lib.format.write_array(file, array, version)
    read = read_array(str(path))
    np.testing.assert_array_equal(read, np.load(path))
    assert read.dtype == array.dtype


@pytest.mark.parametrize("kind", ["exp", "val", "aro"])
def test_a_missing_annotation_is_named_with_the_number_of_them(root, kind):
    for face in ("10", "5"):
        (root / "train_set" / "annotations" / f"{face}_{kind}.npy").unlink()
    with pytest.raises(DataError, match=rf"10_{kind}\.npy is missing, one of 2"):
        affectnet(str(root))


def test_a_picture_without_any_annotation_is_an_error(root):
    for kind in ("exp", "val", "aro", "lnd"):
        (root / "train_set" / "annotations" / f"6_{kind}.npy").unlink()
    with pytest.raises(DataError, match=r"6_exp\.npy is missing, one of 1"):
        affectnet(str(root))


def test_missing_pictures_are_an_error_or_on_request_dropped_and_counted(root):
    for face in ("1", "5", "3"):  # nobody misses the picture of 3, which is left out anyway
        (root / "train_set" / "images" / f"{face}.jpg").unlink()
    with pytest.raises(DataError, match=r"images/1\.jpg is missing, the first of 2 .*data\.missing=drop"):
        affectnet(str(root))
    source = affectnet(str(root), missing="drop")
    assert names(source.splits["train"]) == ["0.jpg", "10.jpg", "6.jpg"]
    assert source.splits["train"].labels.tolist() == [0, 1, 1]
    assert source.dropped["official train part, picture missing"] == 2
    for face in ("0", "6", "10"):
        (root / "train_set" / "images" / f"{face}.jpg").unlink()
    with pytest.raises(DataError, match="must list faces of the 8 classes, got none"):
        affectnet(str(root), missing="drop")


def test_pictures_without_annotation_are_counted(root):
    assert affectnet(str(root)).unread == {}
    images = root / "train_set" / "images"
    for name in ("9.png", "more/9.jpg", "more/notes.txt"):
        jpeg(images / name)
    assert affectnet(str(root)).unread == {f"{images}/": 2}


def test_a_folder_without_pictures_is_an_error(root):
    (root / "train_set" / "images").rename(root / "elsewhere")
    with pytest.raises(DataError, match=r"0\.jpg is missing, the first of 5"):
        affectnet(str(root))


def test_none_or_two_releases_are_an_error_that_says_what_to_do(root, tmp_path):
    with pytest.raises(DataError, match=rf"affectnet needs .* in {tmp_path}; ask its authors .*data\.root"):
        affectnet(str(tmp_path))
    write_csv(root, ["a/0.jpg,1,1,4,4,,0,0,0"])
    with pytest.raises(DataError, match=r"one release of AffectNet, got npy, csv; set data\.release"):
        affectnet(str(root))
    assert len(affectnet(str(root), release="csv").splits["train"]) == 1
    assert len(affectnet(str(root), release="npy").splits["train"]) == 5
    with pytest.raises(DataError, match=r"needs train_set_annotation….csv or labels.csv \(annotations\)"):
        affectnet(str(root), release="annotations")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": 6}, "8, or 7 without contempt, got 6"),
        ({"release": "nyp"}, "unknown data.release 'nyp'; did you mean 'npy'"),
        ({"holdout": 1.0}, "data.holdout must be a share of train"),
        ({"holdout": -0.1}, "data.holdout must be a share of train"),
        ({"seed": -1}, "data.seed must be 0 or more"),
        ({"missing": "dorp"}, "unknown data.missing 'dorp'; did you mean 'drop'"),
        ({"margin": 0.1}, "margin widens the boxes of the csv release, got 0.1 for npy"),
    ],
)
def test_options_that_mean_nothing_are_errors(root, options, message):
    with pytest.raises(ConfigError, match=message):
        affectnet(str(root), **options)


# the cache


def test_annotations_are_read_once_and_again_when_one_changes(root, monkeypatch):
    import ferlab.data.affectnet_npy as module

    first = affectnet(str(root))
    with monkeypatch.context() as patch:
        patch.setattr(module, "read_array", lambda path: pytest.fail("read again"))
        second = affectnet(str(root))
    for name in ("train", "validation"):
        np.testing.assert_array_equal(first.splits[name].labels, second.splits[name].labels)
        np.testing.assert_array_equal(first.splits[name].affect, second.splits[name].affect)
        assert names(first.splits[name]) == names(second.splits[name])
    assert first.digest() == second.digest()
    note(root, "0", "exp", np.array("4"))  # as long as before
    assert affectnet(str(root)).splits["train"].labels.tolist() == [4, 7, 1, 6, 1]
