import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

import ferlab
from ferlab import formats
from ferlab.errors import ExportError
from ferlab.formats.interface import interface
from ferlab.formats.onnx import metadata, model_of, read, save, write
from ferlab.formats.seal import digest

HEADS = {"single": {}, "multitask": {"affect": True}, "affect": {"expression": (), "affect": True}}


@pytest.fixture(scope="module")
def written():
    """What was exported already: equal bundles are converted once."""
    return {}


@pytest.fixture
def exported(tmp_path, make_bundle, make_seal, faces, written):
    """A function that exports a bundle: the bundle and the file."""

    def make(graph="probabilities", **fields):
        bundle, path, key = make_bundle(**fields), tmp_path / "model.onnx", repr((graph, sorted(fields.items())))
        if key not in written:
            write(bundle, make_seal(bundle, graph=graph), path, faces, "")
            written[key] = path.read_bytes()
        path.write_bytes(written[key])
        return bundle, path

    return make


def test_load_opens_it_and_it_predicts_as_the_bundle_does(exported):
    bundle, path = exported(affect=True)
    crops = np.random.default_rng(1).integers(0, 256, (3, 20, 24, 3), dtype=np.uint8)
    loaded = ferlab.load(str(path))
    for answer, wanted in zip(loaded.predict(crops), bundle.predict(crops), strict=True):
        assert answer.expression == pytest.approx(wanted.expression, abs=1e-5)
        assert (answer.valence, answer.arousal) == pytest.approx((wanted.valence, wanted.arousal), abs=1e-5)
    assert loaded.labels == bundle.labels
    assert repr(loaded) == f"Exported(custom_cnn; neutral, happiness, anger, valence and arousal; 16 px gray; {path})"
    with pytest.raises(ExportError, match=r"embeddings must come from a bundle, got .*model.onnx, which gives answers"):
        loaded.embeddings(crops)


def refused(path, said):
    with pytest.raises(ExportError, match=said) as caught:
        formats.read(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("heads", HEADS)
def test_the_file_takes_and_gives_what_is_said_of_it(exported, make_seal, faces, heads):
    bundle, path = exported(**HEADS[heads])
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    said = interface(make_seal(bundle))
    for key, stated in (("inputs", session.get_inputs()), ("outputs", session.get_outputs())):
        dtypes = {"uint8": "tensor(uint8)", "float32": "tensor(float)"}
        wanted = [(each["name"], dtypes[each["dtype"]], each["shape"]) for each in said[key]]
        assert wanted == [(each.name, each.type, each.shape) for each in stated]
    for each, values in zip(said["outputs"], session.run(None, {"images": faces}), strict=True):
        least, most = each["range"]
        assert least <= values.min() < values.max() <= most
        assert len(each["labels"]) == values.shape[1]


@pytest.mark.parametrize("graph", ["probabilities", "logits"])
@pytest.mark.parametrize("heads", HEADS)
def test_it_answers_as_the_bundle_does_for_any_number_of_faces(exported, faces, heads, graph):
    bundle, path = exported(graph, **HEADS[heads])
    runner = formats.read(path)
    expected = bundle.answers(faces)
    assert all(values.std(0).min() > 0.01 for values in expected.values())  # so that a constant would show
    for chosen in (slice(0, 1), slice(0, 3), slice(None)):
        answers = runner.answers(faces[chosen])
        assert set(answers) == set(bundle.spec.heads)
        for head, values in answers.items():
            np.testing.assert_allclose(values, expected[head][chosen], atol=1e-5)
    logits, wanted = runner.logits(faces), bundle.logits(faces)
    if "expression" in wanted:  # from probabilities they are right but for a constant a face
        for values in (logits, wanted):
            values["expression"] -= values["expression"].mean(1, keepdims=True)
    for head, values in logits.items():
        np.testing.assert_allclose(values, wanted[head], atol=1e-3)


def test_it_says_what_it_is(exported):
    bundle, path = exported()
    runner = formats.read(path)
    assert (runner.spec, runner.model, runner.provenance, runner.path) == (
        bundle.spec, bundle.model, bundle.provenance, path,
    )  # fmt: skip


def test_plain_onnxruntime_runs_it_and_sees_the_seal(exported, faces):
    bundle, path = exported(affect=True)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [(i.name, i.shape[1:], i.type) for i in session.get_inputs()] == [("images", [1, 16, 16], "tensor(uint8)")]
    assert [output.name for output in session.get_outputs()] == ["expression", "affect"]
    expression, affect = session.run(None, {"images": faces})
    np.testing.assert_allclose(expression, bundle.answers(faces)["expression"], atol=1e-5)
    np.testing.assert_allclose(affect, bundle.answers(faces)["affect"], atol=1e-5)
    assert '"dataset": "drawn"' in session.get_modelmeta().custom_metadata_map["ferlab.json"]


def test_it_says_nothing_of_the_machine_that_wrote_it(exported):
    """torch's exporter notes a stack trace with every node."""
    _, path = exported()
    content = path.read_bytes()
    for word in (b".py", b"stack_trace", str(Path(__file__).parents[3]).encode()):
        assert word not in content


def test_reading_it_needs_no_torch(exported):
    _, path = exported()
    code = f"""
import sys
import numpy as np
import ferlab
from ferlab import formats
print(formats.read({str(path)!r}).answers(np.zeros((2, 1, 16, 16), np.uint8))["expression"].shape)
assert not {{"torch", "hydra"}} & set(sys.modules), set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("(2, 3)\n", 0), done.stderr


@pytest.mark.parametrize("place", [0, 100, -3000, -1])
def test_a_flipped_bit_is_refused(exported, place):
    _, path = exported()
    data = bytearray(path.read_bytes())
    data[place] ^= 4
    path.write_bytes(data)
    refused(path, r"damaged or was changed|none of its seal|does not describe")


def test_what_ferlab_did_not_export_is_refused(exported, make_bundle, make_seal, tmp_path):
    bundle = make_bundle()
    foreign = tmp_path / "foreign.onnx"
    onnx.save(model_of(bundle, make_seal(bundle)), foreign)
    refused(foreign, "got none of its seal")


def test_a_field_after_the_seal_is_refused(exported):
    """Protobuf merges what follows: a second graph would replace parts of the first."""
    _, path = exported()
    path.write_bytes(path.read_bytes() + metadata(b"{}"))
    refused(path, "does not describe its model")
    path.write_bytes(path.read_bytes() + b"\x08\x0a")
    refused(path, "got none of its seal")


@pytest.mark.parametrize("style", ["plain", "value first", "padded"])
def test_weights_in_another_file_are_refused_however_they_are_written(make_bundle, make_seal, tmp_path, style):
    """Forged with a right seal: reading it must not open the file that it names."""
    bundle = make_bundle()
    model = model_of(bundle, make_seal(bundle))
    weights = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    (tmp_path / "secret.bin").write_bytes(weights.raw_data)
    weights.ClearField("raw_data")
    weights.data_location = onnx.TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="secret.bin")
    content = model.SerializeToString()
    entry = b"\x0a\x08location\x12\x0asecret.bin"
    assert content.count(entry) == 1
    if style == "value first":
        content = content.replace(entry, b"\x12\x0asecret.bin\x0a\x08location")
        assert onnx.load_from_string(content).graph.initializer
    elif style == "padded":  # one byte longer, so the lengths around it are made up for by a shorter name
        content = content.replace(entry, b"\x0a\x88\x00location\x12\x09secret.bi")
        assert onnx.load_from_string(content).graph.initializer
    path = tmp_path / "model.onnx"
    path.write_bytes(content + metadata(make_seal(bundle).text(digest(content)).encode()))
    refused(path, "must hold its weights itself")


def test_another_specification_than_the_graphs_is_one_line(make_bundle, make_seal, tmp_path, faces):
    """Forged with a right seal: fewer labels than the graph answers, a head that it lacks, another size."""
    bundle = make_bundle()
    path = tmp_path / "model.onnx"
    save(model_of(bundle, make_seal(bundle)), make_seal(make_bundle(("anger", "fear"))), path)
    with pytest.raises(ExportError, match=r"must give \{'expression': \(20, 2\)\}, got \{'expression': \(20, 3\)\}"):
        formats.read(path).answers(faces)
    save(model_of(bundle, make_seal(bundle)), make_seal(make_bundle(affect=True)), path)
    refused(path, r"give \['expression', 'affect'\], got other names")
    save(model_of(bundle, make_seal(bundle)), make_seal(make_bundle(size=24)), path)
    refused(path, "sizes must follow from its images")


def test_what_onnxruntime_cannot_run_is_one_line(make_bundle, make_seal, tmp_path):
    content = b"\x08\x0a\x3a\x02\x0a\x00"
    path = tmp_path / "model.onnx"
    path.write_bytes(content + metadata(make_seal(make_bundle()).text(digest(content)).encode()))
    refused(path, "must be one graph of known operators")


def test_a_file_that_is_gone_is_one_line(tmp_path):
    refused(tmp_path / "model.onnx", "which is none; check the path")
    with pytest.raises(ExportError, match="No such file"):
        read(tmp_path / "model.onnx", 1)


def test_more_bytes_than_the_format_can_hold_are_not_read(tmp_path):
    path = tmp_path / "model.onnx"
    with open(path, "wb") as file:
        file.truncate(2**40)
    refused(path, "must have at most 2,147,483,648 bytes")


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("spec.json", lambda text: text.replace("neutral", "fear"), "it was edited"),
        ("spec.json", lambda text: '{"format": 1}', "no 'spec'"),
        ("spec.json", lambda text: '{"format": 1, "spec": 5, "digest": 1}', "well typed"),
        ("spec.json", lambda text: "{", "must be JSON"),
        ("label_map.json", lambda text: text.replace("neutral", "fear"), "as in spec.json"),
        ("label_map.json", lambda text: "[]", "as in spec.json"),
    ],
)
def test_documents_beside_it_that_were_edited_are_refused(exported, name, change, said):
    from ferlab.documents import write_documents
    from ferlab.errors import FerlabError

    bundle, path = exported()
    write_documents(path.parent, bundle.spec, bundle.model, bundle.provenance)
    assert formats.read(path).spec == bundle.spec
    file = path.with_name(name)
    file.write_text(change(file.read_text()))
    with pytest.raises(FerlabError, match=said) as caught:
        formats.read(path)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_documents_of_another_model_beside_it_are_refused(exported, make_bundle):
    from ferlab.documents import write_documents

    _, path = exported()
    other = make_bundle(temperature=1.25)
    write_documents(path.parent, other.spec, other.model, other.provenance)
    refused(path, "keep the files of one export together")
