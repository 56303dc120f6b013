import hashlib
import json
import zipfile

import pytest

from ferlab.errors import ExportError
from ferlab.formats.seal import ENTRY, Seal, digest, parse, seal_archive, unseal_archive
from ferlab.spec import ModelSpec

SPEC = ModelSpec(("anger", "fear"), size=24, temperature=1.25)
SEAL = Seal("tflite", "probabilities", SPEC, {"name": "mlp", "options": {"widths": [4]}}, {"dataset": "fer2013"})


def edited(change, content="c" * 64):
    found = json.loads(SEAL.text(content))
    change(found)
    return json.dumps(found)


def again(found):
    """The digest over a seal that somebody edits by hand, of which the content's stays."""
    said = {key: value for key, value in found.items() if key not in ("content", "sealed")}
    found["sealed"] = hashlib.sha256(json.dumps(said, sort_keys=True).encode() + found["content"].encode()).hexdigest()


@pytest.fixture
def archive(tmp_path):
    """A function that makes a zip archive of parts, named in a folder as PyTorch does or at the top."""

    def make(parts, name="model.zip", compression=zipfile.ZIP_STORED):
        path = tmp_path / name
        with zipfile.ZipFile(path, "w", compression) as file:
            for part, data in parts.items():
                file.writestr(part, data)
        return path

    return make


@pytest.fixture
def prefixed(tmp_path):
    """A sealed file that is no archive but for its end."""
    path = tmp_path / "model.tflite"
    path.write_bytes(b"TFL3" + bytes(range(256)) * 4)
    seal_archive(path, SEAL)
    return path


def refused(path, said, is_prefixed=True):
    with pytest.raises(ExportError, match=said) as caught:
        unseal_archive(path, is_prefixed)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_seal_comes_back_whole(tmp_path):
    assert parse(SEAL.text("c" * 64), "c" * 64, tmp_path) == SEAL


def test_a_seal_comes_back_whatever_its_provenance_holds(tmp_path):
    odd = Seal(
        "onnx", "logits", SPEC, {"name": "mlp"}, {"mapping": {10: "fear", 3: "anger"}, "ü": ["日本", 1e-7, None]}
    )
    found = parse(odd.text("c"), "c", tmp_path)
    assert found.provenance == {"mapping": {"10": "fear", "3": "anger"}, "ü": ["日本", 1e-7, None]}


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f.update(graph="logits"),
        lambda f: f.update(kind="onnx"),
        lambda f: f["provenance"].update(dataset="ferplus"),
        lambda f: f["model"]["options"].update(widths=[5]),
        lambda f: f.update(content="d" * 64),
        lambda f: f.update(sealed=None),
        lambda f: f.update(more=1),
    ],
)
def test_anything_edited_inside_it_shows(tmp_path, change):
    with pytest.raises(ExportError, match=r"damaged or was changed: its digest of what is "):
        parse(edited(change), "c" * 64, tmp_path)


def test_labels_renamed_with_their_digest_made_anew_show(tmp_path):
    def rename(found):
        found["spec"]["expression"] = ["fear", "anger"]
        found["digest"] = ModelSpec.from_dict(found["spec"]).digest

    with pytest.raises(ExportError, match="what is said of it"):
        parse(edited(rename), "c" * 64, tmp_path)


def test_other_content_shows(tmp_path):
    with pytest.raises(ExportError, match=f"must be '{'c' * 16}', got dddddddddddddddd; copy"):
        parse(SEAL.text("c" * 64), "d" * 64, tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f.update(format=2), "must have format 1, got 2"),
        (lambda f: f.update(format="1\nferlab: fine"), r"got '1\\nferlab: fine'"),
        (lambda f: f.pop("provenance"), "no 'provenance'"),
        (lambda f: f.pop("content"), "no 'content'"),
        (lambda f: f.pop("digest"), "no 'digest'"),
        (lambda f: f["spec"].update(size=32), "it was edited"),
        (lambda f: f["spec"].update(size="24"), "well typed: affect must be"),
        (lambda f: f["spec"].update(expression=[1, 2]), "label must be printable text"),
        (
            lambda f: f["spec"].update(expression=["anger", "an\nger"]),
            r"label must be printable text of 1 to 64 characters, got 'an\\nger'",
        ),
        (lambda f: f.update(spec=5), "well typed"),
        (lambda f: f.update(spec=None), "well typed"),
        (lambda f: f.update(spec=["size"]), "well typed"),
        (lambda f: (f.update(graph="odds\n"), again(f)), r"must say what its graph gives, got 'odds\\n'"),
        (lambda f: (f.update(kind=3), again(f)), "must say what its graph gives"),
        (lambda f: (f.update(model="mlp"), again(f)), "must name its model and provenance by key"),
        (lambda f: (f.update(provenance=[]), again(f)), "must name its model and provenance by key"),
    ],
)
def test_what_is_no_seal_of_this_format_is_one_line(tmp_path, change, said):
    with pytest.raises(ExportError, match=said) as caught:
        parse(edited(change), "c" * 64, tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "nothing", "[]", "5", "null", "NaN", b"\xff\xfe{", "[" * 100_000, '{"format": 1}', "1" * 5000]
)
def test_what_is_no_seal_at_all_is_one_line(tmp_path, text):
    with pytest.raises(ExportError, match="does not describe its model") as caught:
        parse(text, "c", tmp_path)
    assert "\n" not in str(caught.value)


def test_a_digest_is_that_of_the_parts_in_a_row():
    assert digest(b"ab", b"c") == hashlib.sha256(b"abc").hexdigest()


def test_a_prefixed_file_keeps_its_bytes_and_gains_a_seal(prefixed):
    assert prefixed.read_bytes().startswith(b"TFL3" + bytes(range(256)) * 4)
    assert unseal_archive(prefixed, True).seal == SEAL


@pytest.mark.parametrize("folder", ["", "archive/"])
def test_an_archive_keeps_its_parts_and_gains_a_seal(archive, folder):
    path = archive({f"{folder}data.pkl": b"weights", f"{folder}code/net.py": b"code"})
    seal_archive(path, SEAL)
    assert unseal_archive(path, False).seal == SEAL
    with zipfile.ZipFile(path) as file:
        assert file.read(f"{folder}data.pkl") == b"weights"
        assert set(file.namelist()) - {f"{folder}data.pkl", f"{folder}code/net.py"} == {
            f"archive/extra/{ENTRY}" if folder else ENTRY
        }


def test_a_changed_byte_before_the_archive_shows(prefixed):
    data = bytearray(prefixed.read_bytes())
    data[100] ^= 1
    prefixed.write_bytes(data)
    refused(prefixed, "damaged or was changed")


def test_bytes_put_before_everything_show(prefixed):
    prefixed.write_bytes(b"more" + prefixed.read_bytes())
    refused(prefixed, "damaged or was changed")


@pytest.mark.parametrize(
    "parts",
    [
        {"a": b"2", "b": b"1"},  # two parts that changed places
        {"a": b"1"},  # one that is gone
        {"a": b"1", "b": b"2", "c": b""},  # one that came
        {"a": b"1", "B": b"2"},  # one that was renamed
    ],
)
def test_an_archive_with_other_parts_shows(archive, parts):
    path = archive({"a": b"1", "b": b"2"})
    seal_archive(path, SEAL)
    with zipfile.ZipFile(path) as file:
        text = file.read(ENTRY)
    refused(archive({**parts, ENTRY: text}, "other.zip"), "damaged or was changed", False)


def test_a_part_cannot_move_into_what_stands_before(archive, tmp_path):
    """The same bytes in the same order, cut elsewhere, are other content."""
    path = archive({"a": b"1"})
    seal_archive(path, SEAL)
    with zipfile.ZipFile(path) as file:
        text = file.read(ENTRY)
    moved = tmp_path / "moved.zip"
    moved.write_bytes(b"a 1\n1" + archive({ENTRY: text}, "rest.zip").read_bytes())
    refused(moved, "damaged or was changed", True)


def test_compressed_parts_are_refused_before_they_grow(archive):
    """A zip bomb: 200 MB of zeros in 200 KB."""
    path = archive({"a": bytes(1000)})
    seal_archive(path, SEAL)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as file:
        file.writestr("bomb", bytes(200_000_000))
    assert path.stat().st_size < 1_000_000
    refused(path, "uncompressed", False)


def test_parts_that_overlap_are_refused_before_they_are_read(archive):
    """A zip bomb without compression: a hundred names for the same bytes."""
    path = archive({f"{i:03}": b"" for i in range(100)} | {"100": bytes(1_000_000)})
    data = path.read_bytes()
    with zipfile.ZipFile(path) as file:
        entries = file.infolist()
        start = file.start_dir
    central = bytearray(data[start:])
    last = entries[-1]
    for number in range(100):
        at = central.index(f"{number:03}".encode()) - 46
        central[at + 16 : at + 28] = central[central.index(b"100") - 46 + 16 : central.index(b"100") - 46 + 28]
        central[at + 42 : at + 46] = last.header_offset.to_bytes(4, "little")
    path.write_bytes(data[:start] + central)
    refused(path, "bytes that its parts claim", False)


def test_a_part_twice_is_refused(archive):
    path = archive({"a": b"1"})
    seal_archive(path, SEAL)
    with zipfile.ZipFile(path, "a") as file, pytest.warns(UserWarning, match="Duplicate"):
        file.writestr("a", b"2")
    refused(path, "each part once", False)


def test_without_a_seal_nothing_is_trusted(archive, tmp_path):
    refused(archive({"a": b"1"}), "got none of its seal", False)
    (tmp_path / "empty").write_bytes(b"")
    refused(tmp_path / "empty", "got none of its seal")
    refused(tmp_path, "it is a folder")
    refused(tmp_path / "nowhere", "No such file")
