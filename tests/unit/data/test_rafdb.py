import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ferlab.data import rafdb as module
from ferlab.data.cut import stratified_cut
from ferlab.data.drawn import landmarks
from ferlab.data.images import read_image
from ferlab.data.layouts_rafdb import five_of
from ferlab.data.rafdb import rafdb, rafdb_compound
from ferlab.data.synthetic import draw_split, face_rng, sample_face
from ferlab.data.verify import verify
from ferlab.errors import ConfigError, DataError, SpecError
from ferlab.faces import FaceCrop, cut
from ferlab.labels import RAFDB, RAFDB_COMPOUND

LIST = "EmoLabel/list_patition_label.txt"
PARTS = [("train", "train_{:05d}", 60, 1), ("validation", "train_{:05d}", 20, 61), ("test", "test_{:04d}", 16, 1)]


def drawn(labels=RAFDB):
    """What the layouts hold: face -> its pixels and class id; those drawn for validation stand among train's."""
    result = {}
    for split, name, n, first in PARTS:
        faces = draw_split(split, n, 48, 0, labels)
        result |= {name.format(first + i): (faces.read(i), int(faces.labels[i])) for i in range(n)}
    return result


def face_of(split, i):
    return Path(split.images.name(i)).stem.removesuffix("_aligned")


def members(source):
    """Split -> face -> its class id."""
    return {
        name: {face_of(split, i): int(split.labels[i]) for i in range(len(split))}
        for name, split in source.splits.items()
    }


def edit(folder, change, name=LIST):
    """Change the lines of a text file in place."""
    file = folder / name
    lines = file.read_text().splitlines()
    change(lines)
    file.write_text("".join(f"{line}\n" for line in lines))


# copies


def as_written(folder):
    return folder


def spelt_right(folder):
    (folder / LIST).rename(folder / "EmoLabel" / "list_partition_label.txt")
    return folder


def nested(folder):
    aligned = folder / "Image" / "aligned"
    aligned.rename(folder / "aligned")
    aligned.mkdir()
    (folder / "aligned").rename(aligned / "aligned")
    return folder


def below_basic(folder):
    shutil.copytree(folder, folder / "basic")
    shutil.rmtree(folder / "EmoLabel")
    return folder


def from_windows(folder):
    (folder / LIST).write_bytes(b"\xef\xbb\xbf" + (folder / LIST).read_bytes().replace(b"\n", b"\r\n") + b"\r\n")
    return folder


def in_another_order(folder):
    edit(folder, lambda lines: np.random.default_rng(0).shuffle(lines))
    return folder


def inside(folder):
    return folder / "DATASET"


def without_lists(folder):
    for part in ("train", "test"):
        (folder / f"{part}_labels.csv").unlink()
    return folder


@pytest.mark.parametrize(
    ("layout", "change"),
    [
        *(("rafdb", f) for f in (as_written, spelt_right, nested, below_basic, from_windows, in_another_order)),
        ("rafdb_original", as_written),
        *(("rafdb_kaggle", f) for f in (as_written, inside, without_lists)),
    ],
)
def test_every_copy_gives_the_same_pictures_labels_and_splits(written, layout, change):
    source = rafdb(str(change(written(layout))))
    assert source.labels == RAFDB
    assert source.face == FaceCrop(margin=0.0, aligned=True)
    copy = "Kaggle's copy" if layout == "rafdb_kaggle" else "the official tree"
    assert source.protocol.startswith(f"RAF-DB, 7 basic classes, aligned pictures of {copy}, ")
    faces = drawn()
    train = sorted(face for face in faces if face.startswith("train"))
    rows = stratified_cut(np.array([faces[face][1] for face in train]), np.arange(len(train)), 0.1, 0)
    held_out = {train[row] for row in rows}
    expected = {name: {} for name in ("train", "validation", "test")}
    for face, (_, label) in faces.items():
        expected["test" if face.startswith("test") else "validation" if face in held_out else "train"][face] = label
    assert members(source) == expected
    for split in source.splits.values():
        for i in range(len(split)):  # JPEG changes a pixel by 3 on average; another face differs by 36 and more
            assert np.abs(split.read(i).astype(int) - faces[face_of(split, i)][0]).mean() < 6


def test_the_compound_set_is_read_from_its_tree_or_the_folder_above(written):
    folder = written("rafdb_compound")
    source = rafdb_compound(str(folder))
    assert source.labels == RAFDB_COMPOUND
    assert "11 compound classes" in source.protocol
    assert source.confidential
    found = {face: label for split in members(source).values() for face, label in split.items()}
    assert found == {face: label for face, (_, label) in drawn(RAFDB_COMPOUND).items()}
    assert len(set(found.values())) > 7
    digest = source.digest()
    folder.rename(folder.parent / "compound")
    assert rafdb_compound(str(folder.parent)).digest() == digest


@pytest.mark.parametrize(
    ("read", "ends"),
    [
        (rafdb, {"1": "surprise", "7": "neutral"}),
        (rafdb_compound, {"1": "happily surprised", "11": "disgustedly surprised"}),
    ],
)
def test_ids_on_disk_count_from_one(written, read, ends):
    folder = written(read.__name__)
    source = read(str(folder))
    assert ends.items() <= source.mapping.items()
    listed = dict(line.split(".jpg ") for line in (folder / LIST).read_text().splitlines())
    found = {face: str(i + 1) for split in members(source).values() for face, i in split.items()}
    assert found == listed
    assert all(source.mapping[i] == source.labels[int(i) - 1] for i in listed.values())


# the validation split


def test_equal_files_stay_on_one_side(written):
    folder = written("rafdb")
    pictures = folder / "Image" / "aligned"
    for i in range(2, 31):
        shutil.copy(pictures / "train_00001_aligned.jpg", pictures / f"train_{i:05d}_aligned.jpg")
    sizes = set()
    for seed in range(8):
        split = {
            face: name
            for name, faces in members(rafdb(str(folder), validation=0.4, seed=seed)).items()
            for face in faces
        }
        assert len({split[f"train_{i:05d}"] for i in range(1, 31)}) == 1
        sizes.add(sum(name == "validation" for name in split.values()))
    assert min(sizes) < 30 < 45 < max(sizes)  # the copies move as one, now to this side and now to that


def test_the_cut_is_told_and_taken_from_train_alone(written):
    folder = str(written("rafdb"))
    source = rafdb(folder, validation=0.25, seed=7)
    assert source.protocol.endswith("official test; validation: 25 % of each class of train, copies together, seed 7")
    whole, cut_off = rafdb(folder), members(source)
    assert cut_off["test"] == members(whole)["test"]
    assert all(face.startswith("test") for face in cut_off["test"])
    assert not cut_off["train"].keys() & cut_off["validation"].keys()
    assert cut_off["validation"] != members(whole)["validation"]


def test_official_counts_allow_for_the_cut(written, monkeypatch):
    folder = written("rafdb")
    found = verify(rafdb(str(folder)))
    held_out = len(found.source.splits["validation"])
    assert dict(found.source.official) == {"train": 12_271 - held_out, "test": 3_068}
    assert found.miscounted == {"train": (80 - held_out, 12_271 - held_out), "test": (16, 3_068)}
    compound = rafdb_compound(str(written("rafdb_compound")))
    assert compound.official["train"] + len(compound.splits["validation"]) == 3_162
    assert compound.official["test"] == 792
    monkeypatch.setattr(module, "BASIC", replace(module.BASIC, official=(80, 16)))
    assert verify(rafdb(str(folder), validation=0.3)).as_published


def test_a_split_without_faces_is_absent(written):
    source = rafdb(str(written("rafdb", validation=0, test=0)))
    with pytest.raises(DataError, match=r"rafdb has no test split here: .*rafdb has too few faces"):
        source.split("test")


# original pictures


def numbers(folder, kind, face, suffix):
    text = (folder / "Annotation" / kind / f"{face}_{suffix}.txt").read_text()
    return [[float(word) for word in line.split()] for line in text.splitlines()]


def test_original_pictures_are_cut_by_their_boxes(written):
    folder = written("rafdb_original")
    split = rafdb(str(folder), pictures="original", align=False).splits["train"]
    corners = set()
    for i in range(len(split)):
        ((left, top, right, bottom),) = numbers(folder, "boundingbox", face_of(split, i), "boundingbox")
        picture = read_image(folder / "Image" / "original" / f"{face_of(split, i)}.jpg")
        assert picture.shape == (72, 96, 3)
        np.testing.assert_array_equal(split.read(i), picture[int(top) : int(bottom), int(left) : int(right)])
        corners.add((left, top))
    assert len(corners) > 20


def test_an_aligned_cut_gives_back_the_face_with_level_eyes(written):
    """The layout turns each drawn face by a random angle; a cut that undoes it differs only by interpolation."""
    source = rafdb(str(written("rafdb_original")), pictures="original")
    assert source.face == FaceCrop(margin=0.0, aligned=True)
    assert "original pictures of the official tree" in source.protocol
    faces, split = drawn(), source.splits["test"]
    whole, middle = np.array([0, 0, 48, 48], np.float32), slice(10, 38)
    for i in range(len(split)):
        face = face_of(split, i)
        _, expression, looks = sample_face(RAFDB, face_rng("test", int(face[-4:]) - 1, 0))
        eyes = five_of(landmarks(expression, looks, 48))[:2].astype(np.float32)
        expected = cut(faces[face][0], whole, eyes, source.face)
        assert split.read(i).shape == (48, 48, 3)
        assert np.abs(split.read(i).astype(int) - expected)[middle, middle].mean() < 8


def test_a_margin_widens_the_cut_and_is_recorded(written):
    source = rafdb(str(written("rafdb_original", size=40)), pictures="original", margin=0.25, align=False)
    assert source.face == FaceCrop(margin=0.25, aligned=False)
    assert source.splits["train"].read(0).shape == (60, 60, 3)


def test_unaligned_cuts_need_no_landmarks_and_aligned_ones_do(written):
    folder = written("rafdb_original")
    shutil.rmtree(folder / "Annotation" / "manual")
    assert rafdb(str(folder), pictures="original", align=False).splits["train"].slices == {}
    with pytest.raises(DataError, match=r"needs the eyes, got no folder .*manual; restore it or set data\.align=false"):
        rafdb(str(folder), pictures="original")


# attributes


@pytest.mark.parametrize("pictures", ["aligned", "original"])
def test_attributes_become_slices_of_each_face(written, pictures):
    folder = written("rafdb_original")
    codes = {"train_00001": (0, 0, 0), "train_00002": (1, 1, 1), "train_00003": (2, 2, 2), "test_0001": (0, 1, 4)}
    for face, three in codes.items():

        def change(lines, three=three):
            lines[5:] = map(str, three)

        edit(folder, change, f"Annotation/manual/{face}_manu_attri.txt")
    found = {}
    for split in rafdb(str(folder), pictures=pictures).splits.values():
        assert set(split.slices) == {"gender", "race", "age"}
        for i in range(len(split)):
            found[face_of(split, i)] = tuple(str(split.slices[name][i]) for name in ("gender", "race", "age"))
    assert found["train_00001"] == ("male", "Caucasian", "0-3")
    assert found["train_00002"] == ("female", "African-American", "4-19")
    assert found["train_00003"] == ("", "Asian", "20-39")
    assert found["test_0001"] == ("male", "African-American", "70+")
    assert {age for _, _, age in found.values()} == {"0-3", "4-19", "20-39", "40-69", "70+"}


def test_no_annotation_no_slices(written):
    assert all(split.slices == {} for split in rafdb(str(written("rafdb"))).splits.values())


# faults


def put(i, text):
    def change(lines):
        lines[i] = text

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put(2, "train_00003.jpg"), r"label\.txt:3: a line must be train_….jpg or .* got 'train_00003.jpg'"),
        (put(2, "train_00003.jpg 5 5"), r"label\.txt:3: a line must be"),
        (put(2, "train_00003.jpg five"), r"label\.txt:3: a line must be"),
        (put(2, "train_00003.jpg -1"), r"label\.txt:3: a line must be"),
        (put(2, ""), r"label\.txt:3: a line must be"),
        (put(2, "valid_00003.jpg 5"), r"label\.txt:3: a line must be train_….jpg or test_….jpg .* got 'valid_00003"),
        (put(2, "../train_00003.jpg 5"), r"label\.txt:3: a line must be"),
        (put(2, "train_00003.jpg 0"), r"label\.txt:3: the class id must be 1 to 7, got 0; correct that line"),
        (put(2, "train_00003.jpg 12"), r"label\.txt:3: the class id must be 1 to 7, got 12; correct that line"),
        (put(2, "train_00003.jpg 8"), r"label\.txt:3: .* got 8; for the compound set use data=rafdb_compound"),
        (put(2, "train_00002.jpg 5"), r"label\.txt:3: a face must be listed once, got train_00002 again"),
        (put(2, "train_00999.jpg 5"), r"train_00999_aligned\.jpg must be there, the first of 1 missing files"),
        (list.clear, r"label\.txt must list faces, got none"),
    ],
)
def test_a_list_that_is_wrong_is_an_error_with_its_line(written, change, message):
    folder = written("rafdb")
    edit(folder, change)
    with pytest.raises(DataError, match=message):
        rafdb(str(folder))


def test_missing_pictures_are_counted_and_the_first_is_named(written):
    folder = written("rafdb")
    for face in ("train_00007", "train_00041", "test_0002"):
        (folder / "Image" / "aligned" / f"{face}_aligned.jpg").unlink()
    with pytest.raises(DataError, match=r"train_00007_aligned\.jpg must be there, the first of 3 missing files"):
        rafdb(str(folder))
    with pytest.raises(DataError, match=r"cannot read the folder .*original: No such file .*restore the pictures that"):
        rafdb(str(folder), pictures="original")


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("manual/train_00003_manu_attri", put(1, "12.5"), r"attri\.txt:2: a line must be x, y in pixels, got '12.5'"),
        ("manual/train_00003_manu_attri", put(4, "1 nan"), r"attri\.txt:5: a line must be x, y"),
        ("manual/train_00003_manu_attri", put(0, "left right"), r"attri\.txt:1: a line must be x, y"),
        ("manual/train_00003_manu_attri", put(5, "3"), r"attri\.txt:6: gender must be 0 to 2, got '3'"),
        ("manual/train_00003_manu_attri", put(6, "-1"), r"attri\.txt:7: race must be 0 to 2, got '-1'"),
        ("manual/train_00003_manu_attri", put(7, "5"), r"attri\.txt:8: age must be 0 to 4, got '5'"),
        ("manual/train_00003_manu_attri", list.pop, r"attri\.txt:8: the file must have 8 lines, got 7"),
        ("manual/train_00003_manu_attri", lambda x: x.append("1"), r"attri\.txt:9: the file must have 8 lines, got 9"),
        ("boundingbox/test_0002_boundingbox", put(0, "1 2 3"), r"box\.txt:1: a line must be left, top, right, bottom"),
        ("boundingbox/test_0002_boundingbox", put(0, "1 2 3 inf"), r"box\.txt:1: a line must be left, top"),
        ("boundingbox/test_0002_boundingbox", put(0, "9 2 9 8"), r"box\.txt:1: a box must have left < right"),
        ("boundingbox/test_0002_boundingbox", put(0, "1 9 3 8"), r"box\.txt:1: a box must have left < right and top"),
        ("boundingbox/test_0002_boundingbox", list.clear, r"box\.txt:1: the file must have 1 lines, got 0"),
    ],
)
def test_an_annotation_that_is_wrong_is_an_error_with_its_line(written, name, change, message):
    folder = written("rafdb_original")
    edit(folder, change, f"Annotation/{name}.txt")
    with pytest.raises(DataError, match=message):
        rafdb(str(folder), pictures="original")


@pytest.mark.parametrize("pictures", ["aligned", "original"])
def test_a_missing_annotation_is_never_taken_for_unknown(written, pictures):
    folder = written("rafdb_original")
    (folder / "Annotation" / "manual" / "test_0005_manu_attri.txt").unlink()
    with pytest.raises(DataError, match=r"test_0005_manu_attri\.txt must be there, the first of 1 missing files"):
        rafdb(str(folder), pictures=pictures)


def test_a_missing_box_is_an_error(written):
    folder = written("rafdb_original")
    (folder / "Annotation" / "boundingbox" / "test_0005_boundingbox.txt").unlink()
    assert len(rafdb(str(folder)).splits["test"]) == 16  # aligned pictures need none
    with pytest.raises(DataError, match=r"test_0005_boundingbox\.txt must be there"):
        rafdb(str(folder), pictures="original")


def test_the_other_set_is_an_error_that_names_its_dataset(written):
    basic, compound = written("rafdb"), written("rafdb_compound")
    with pytest.raises(DataError, match="for the compound set use data=rafdb_compound"):
        rafdb(str(compound))
    with pytest.raises(DataError, match="no class id above 7, so it is the basic set; use data=rafdb"):
        rafdb_compound(str(basic))
    (compound.parent / "a").mkdir()
    compound.rename(compound.parent / "a" / "compound")
    with pytest.raises(DataError, match="holds the compound set only, not the basic one; use data=rafdb_compound"):
        rafdb(str(compound.parent / "a"))


def test_nothing_there_says_what_is_needed(tmp_path):
    for read in (rafdb, rafdb_compound):
        with pytest.raises(DataError, match=rf"^{read.__name__} needs EmoLabel/list_patition_label\.txt and Image/ in"):
            read(str(tmp_path))


# Kaggle's copy


def test_kaggles_copy_has_neither_compound_classes_nor_original_pictures(written):
    folder = str(written("rafdb_kaggle"))
    with pytest.raises(DataError, match="Kaggle's copy, which has aligned faces of the basic set only"):
        rafdb_compound(folder)
    with pytest.raises(DataError, match="Kaggle's copy, which has aligned faces of the basic set only"):
        rafdb(folder, pictures="original")


def copied_to(target):
    def change(folder):
        picture = next((folder / "DATASET" / "train" / "4").iterdir())
        path = folder / "DATASET" / target.format(picture.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(picture, path)

    return change


def listed_otherwise(folder):
    edit(folder, put(1, "train_00001_aligned.jpg,7"), "train_labels.csv")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (copied_to("train/8/{}"), r"8: a class folder must be 1 to 7, got '8'"),
        (copied_to("train/5/{}"), r"train_\d+_aligned\.jpg is also in class 4"),
        (copied_to("test/4/{}"), r"test/4/train_\d+_aligned\.jpg: a picture must be called test_….jpg"),
        (copied_to("train/4/notes.txt"), r"notes\.txt: a picture must be called train_….jpg"),
        (listed_otherwise, r"train_labels\.csv: train_00001 has class 7 in the list and \d as a folder"),
        (lambda f: edit(f, list.pop, "test_labels.csv"), r"csv: test_0016 has class none in the list and \d as a fol"),
        (lambda f: edit(f, put(3, "x"), "test_labels.csv"), r"test_labels\.csv:4: a line must be"),
    ],
)
def test_a_fault_in_kaggles_copy_is_an_error(written, change, message):
    folder = written("rafdb_kaggle")
    change(folder)
    with pytest.raises(DataError, match=message):
        rafdb(str(folder))


def test_hidden_files_in_kaggles_copy_are_passed_over(written):
    folder = written("rafdb_kaggle")
    (folder / "DATASET" / "train" / "4" / ".DS_Store").write_text("")
    assert sum(len(split) for split in rafdb(str(folder)).splits.values()) == 96


def test_empty_class_folders_are_an_error(tmp_path):
    (tmp_path / "train" / "1").mkdir(parents=True)
    with pytest.raises(DataError, match="must hold pictures in its class folders, got none"):
        rafdb(str(tmp_path))


# options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"validation": 0}, r"data\.validation must be a share between 0 and 1, got 0: RAF-DB has no validation split"),
        ({"validation": 1.0}, "between 0 and 1, got 1"),
        ({"validation": float("nan")}, "between 0 and 1, got nan"),
        ({"seed": -1}, r"data\.seed must be 0 or more, got -1"),
        ({"pictures": "orignal"}, r"unknown data\.pictures 'orignal'; did you mean 'original'"),
        ({"margin": 0.2}, r"how original pictures are cut, got 0\.2 and true for aligned ones"),
        ({"align": False}, r"got 0 and false for aligned ones; set data\.pictures=original"),
    ],
)
def test_impossible_options_are_errors(options, message):
    for read in (rafdb, rafdb_compound):
        with pytest.raises(ConfigError, match=message):
            read("nowhere", **options)


def test_an_impossible_margin_is_an_error():
    with pytest.raises(SpecError, match="face margin must be a fraction"):
        rafdb("nowhere", pictures="original", margin=3)
