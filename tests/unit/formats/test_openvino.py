import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from ferlab.errors import ExportError
from ferlab.formats import read
from ferlab.formats.interface import interface

from .torch_files import SPECS, bombs, exported, faces, forged, made, parts_of

pytestmark = pytest.mark.skipif(find_spec("openvino") is None, reason="the extra openvino is not installed")


@pytest.fixture(scope="module")
def bundle():
    return made(SPECS["both, rgb"])


@pytest.fixture(scope="module")
def original(bundle, tmp_path_factory):
    return exported("openvino", bundle, tmp_path_factory.mktemp("openvino"))


@pytest.fixture
def path(original, tmp_path):
    return shutil.copy(original, tmp_path / original.name)


def test_an_answer_stays_as_it_was_when_the_next_face_is_asked(bundle, original):
    file = read(original)
    first = file.answers(faces(bundle.spec, 1))
    kept = {head: answer.copy() for head, answer in first.items()}
    file.answers(255 - faces(bundle.spec, 1))
    for head, answer in first.items():
        np.testing.assert_array_equal(answer, kept[head])


def _sizes(port):
    return [-1 if size.is_dynamic else size.get_length() for size in port.partial_shape]


def test_unzipped_it_is_what_openvino_takes(bundle, original, tmp_path):
    import openvino

    shutil.unpack_archive(original, tmp_path, "zip")
    compiled = openvino.Core().compile_model(tmp_path / "model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    images = faces(bundle.spec, 3)
    said = interface(read(original).seal)
    for key, stated in (("inputs", compiled.inputs), ("outputs", compiled.outputs)):
        types = {"uint8": "u8", "float32": "f32"}
        wanted = [({each["name"]}, types[each["dtype"]], [-1, *each["shape"][1:]]) for each in said[key]]
        found = [(it.names, it.element_type.get_type_name(), list(map(int, _sizes(it)))) for it in stated]
        assert wanted == found
    for head, answer in bundle.answers(images).items():
        np.testing.assert_allclose(compiled(images)[head], answer, atol=1e-4)
    assert compiled.input(0).get_partial_shape().to_string() == "[?,3,16,16]"


def test_reading_needs_no_torch_and_reports_to_nobody(original, tmp_path):
    """OpenVINO writes an identity to the home folder and reports to Google Analytics on import."""
    code = f"""
import sys
from ferlab.formats import read
read({str(original)!r})
assert "torch" not in sys.modules
assert "openvino_telemetry" not in sys.modules
"""
    environment = os.environ | {"HOME": str(tmp_path), "CI": ""}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert not list(tmp_path.iterdir())


def test_a_signal_is_survived_once_two_files_were_closed(original):
    """Each Core puts up a stack for signals and restores the one before: closed in this order, one that is gone."""
    code = f"""
import signal
from ferlab.formats import read
first, second = read({str(original)!r}), read({str(original)!r})
del first
del second
signal.signal(signal.SIGUSR1, lambda *_: print("handled"))
signal.raise_signal(signal.SIGUSR1)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("handled\n", 0), done.stderr


@pytest.mark.parametrize("kind", ["pickle", "torch"])
@pytest.mark.parametrize("name", ["model.xml", "model.bin", "data.pkl", "../outside", "/outside", "model.xml/x"])
def test_a_pickle_in_any_part_is_refused(path, tmp_path, name, kind):
    mark = tmp_path / "executed"
    forged(path, lambda parts: parts.update({name: bombs(mark)[kind]}))
    with pytest.raises(ExportError) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    assert {each.name for each in tmp_path.iterdir()} == {path.name}


def replacing(pattern, replacement):
    def change(parts):
        text, count = re.subn(pattern, replacement, parts["model.xml"].decode(), count=1)
        assert count
        parts["model.xml"] = text.encode()

    return change


@pytest.mark.parametrize(
    "change",
    [
        replacing(r'type="Convolution"', 'type="Strange"'),
        replacing(r'version="opset1"', 'version="strange"'),
        replacing(r'offset="\d+"', 'offset="99999999"'),
        replacing(r'size="\d+"', 'size="99999999"'),
        replacing(r'shape="[^"?]+"', 'shape="9999, 9999"'),
        replacing(r'output_names="affect"', 'output_names="other"'),
        replacing(r"<edges>", "<edges><edge"),
        lambda parts: parts.update({"model.xml": b""}),
        lambda parts: parts.update({"model.bin": b""}),
        lambda parts: parts.pop("model.bin"),
    ],
)
def test_a_faulty_graph_is_refused_in_one_line(path, change):
    forged(path, change)
    with pytest.raises(ExportError, match="openvino") as caught:
        read(path)
    assert "\n" not in str(caught.value)


def test_a_file_holds_the_graph_and_the_weights_only(original):
    parts, sealed, _ = parts_of(original)
    assert (set(parts), sealed) == ({"model.xml", "model.bin"}, "ferlab.json")
