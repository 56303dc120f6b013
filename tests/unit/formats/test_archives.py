"""What holds alike for the formats that are zip archives: PyTorch's two and OpenVINO."""

import shutil
from importlib.util import find_spec

import pytest

from ferlab.errors import ExportError
from ferlab.formats import FORMATS, read

from .torch_files import SPECS, answers_alike, check_flips, exported, made, repacked

CASES = [(heads, "probabilities") for heads in SPECS] + [("both, rgb", "logits")]


@pytest.fixture(scope="module", params=["torchscript", "torch_export", "openvino"])
def kind(request):
    if missing := [package for package in FORMATS[request.param].packages if find_spec(package) is None]:
        pytest.skip(f"{missing[0]} is not installed")
    return request.param


@pytest.fixture(scope="module")
def original(kind, tmp_path_factory):
    return exported(kind, made(SPECS["both, rgb"]), tmp_path_factory.mktemp(kind))


@pytest.fixture
def path(original, tmp_path):
    return shutil.copy(original, tmp_path / original.name)


@pytest.mark.parametrize(("heads", "graph"), CASES)
def test_it_answers_like_its_bundle(tmp_path, kind, heads, graph):
    bundle = made(SPECS[heads])
    path = exported(kind, bundle, tmp_path, graph)
    for threads in (1, 2):
        file = read(path, threads)
        assert (file.spec, file.model, file.provenance) == (bundle.spec, bundle.model, bundle.provenance)
        assert (file.seal.kind, file.seal.graph) == (kind, graph)
        answers_alike(bundle, file)


@pytest.mark.parametrize("keep", [0, 30, 5000, -1])
def test_a_truncated_file_is_refused(path, keep):
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ExportError, match="export it again"):
        read(path)


def test_a_flipped_bit_changes_nothing_unnoticed(path):
    check_flips(path, SPECS["both, rgb"], 60)


@pytest.mark.parametrize("fault", ["compressed", "twice"])
def test_a_strange_archive_is_refused(path, fault):
    with pytest.raises(ExportError, match="export it again"):
        read(repacked(path, fault))


def test_what_was_verified_is_what_is_run(path, monkeypatch):
    """A file that is exchanged right after it was read is not read a second time."""
    good, real = path.read_bytes(), type(path).read_bytes

    def exchanged(self):
        data = real(self)
        if self == path:
            path.write_bytes(b"exchanged")
        return data

    monkeypatch.setattr(type(path), "read_bytes", exchanged)
    file = read(path)
    monkeypatch.undo()
    path.write_bytes(good)
    answers_alike(made(SPECS["both, rgb"]), file)
