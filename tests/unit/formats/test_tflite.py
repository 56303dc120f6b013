"""TFLite files answer like their bundle, say what they are, and are refused when they are not what they say."""

import zipfile

import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from flatbuffers.number_types import Int8Flags, Uint8Flags
from flatbuffers.table import Table

from ferlab import formats
from ferlab.bundle import Bundle
from ferlab.commands.export import ExportConfig, check
from ferlab.errors import ConfigError, ExportError
from ferlab.formats import tflite, tflite_fp16, tflite_int8
from ferlab.formats.interface import interface
from ferlab.formats.seal import Seal, seal_archive, unseal_archive
from ferlab.models import build
from ferlab.spec import ModelSpec

LABELS = ("anger", "happiness", "neutral")
MODEL = {"name": "custom_cnn", "options": {"widths": [4, 8], "hidden": 8, "dropout": 0.1}}
GRAY = {"colour": "gray", "mean": (0.5,), "std": (0.25,)}
RGB = {"colour": "rgb", "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.25, 0.3)}
CASES = {
    "expression, gray": (ModelSpec(LABELS, size=16, temperature=1.7, **GRAY), "probabilities", "nhwc"),
    "affect, rgb": (ModelSpec((), affect=True, size=16, **RGB), "probabilities", "nchw"),
    "both, rgb, logits": (ModelSpec(LABELS, affect=True, size=16, temperature=1.7, **RGB), "logits", "nhwc"),
}
GREY = "expression, gray"


def made(spec):
    torch.manual_seed(0)
    net = build(spec, MODEL["name"], MODEL["options"]).eval()
    with torch.no_grad():
        for head in net.heads.values():
            head.weight.mul_(20)  # else an untrained network answers alike for every face
    return Bundle(spec, MODEL, net, {"dataset": "drawn"})


def faces_of(spec, n, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, spec.channels, spec.size, spec.size), dtype=np.uint8)


def sealed(case, kind="tflite"):
    spec, graph, layout = CASES[case]
    return Seal(kind, graph, spec, MODEL, {"dataset": "drawn"}, layout)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Case -> the path of its float32 file, each converted once."""
    folder, paths = tmp_path_factory.mktemp("tflite"), {}

    def one(case):
        if case not in paths:
            paths[case] = folder / f"{len(paths)}.tflite"
            tflite.write(made(CASES[case][0]), sealed(case), paths[case], faces_of(CASES[case][0], 1), "")
        return paths[case]

    return one


@pytest.fixture(scope="module")
def model(written):
    """The float32 model of the grey case with float images, which the 8-bit ones are made of."""
    return tflite.model_of(made(CASES[GREY][0]), sealed(GREY), "float32")


@pytest.fixture
def ways(model, monkeypatch):
    """Way -> the path of the grey case's 8-bit file; the conversion is shared."""
    monkeypatch.setattr(tflite_int8, "model_of", lambda *_: model)

    def one(way, path, n=32):
        spec = CASES[GREY][0]
        tflite_int8.write(made(spec), sealed(GREY, "tflite_int8"), path, faces_of(spec, n), way)
        return path

    return one


@pytest.mark.parametrize("case", CASES)
def test_a_file_answers_like_its_bundle(written, case):
    spec, graph, layout = CASES[case]
    exported, bundle, images = formats.read(written(case)), made(spec), faces_of(spec, 5, seed=1)
    assert (exported.spec, exported.seal.graph, exported.seal.layout) == (spec, graph, layout)
    wanted = bundle.answers(images)
    if "expression" in wanted:
        assert wanted["expression"].std(0).min() > 0.01  # so that faces in another order or layout would show
    for head, values in exported.answers(images).items():
        np.testing.assert_allclose(values, wanted[head], atol=1e-5)
    assert set(wanted) == set(spec.heads)
    if graph == "logits":
        np.testing.assert_allclose(
            exported.logits(images)["expression"], bundle.logits(images)["expression"], atol=1e-4
        )
    assert {head: len(values) for head, values in exported.answers(images[:0]).items()} == dict.fromkeys(spec.heads, 0)


@pytest.mark.parametrize("case", CASES)
def test_plain_litert_opens_a_file_by_its_path_and_feeds_pixels(written, case):
    spec, graph, layout = CASES[case]
    interpreter = Interpreter(str(written(case)))
    interpreter.allocate_tensors()
    picture = np.random.default_rng(2).integers(0, 256, (16, 16, spec.channels), dtype=np.uint8)
    images = picture[None] if layout == "nhwc" else picture.transpose(2, 0, 1)[None]
    answers = interpreter.get_signature_runner()(images=images)
    bundle = made(spec)
    wanted = (bundle.logits if graph == "logits" else bundle.answers)(picture.transpose(2, 0, 1)[None])
    assert set(answers) == set(spec.heads)
    for head in spec.heads:
        np.testing.assert_allclose(answers[head], wanted[head], atol=1e-4)


@pytest.mark.parametrize("case", CASES)
def test_the_file_takes_and_gives_what_is_said_of_it(written, case):
    run = Interpreter(str(written(case))).get_signature_runner()
    said = interface(sealed(case))
    for key, stated in (("inputs", run.get_input_details()), ("outputs", run.get_output_details())):
        wanted = {each["name"]: (each["dtype"], each["shape"]) for each in said[key]}
        assert wanted == {name: (it["dtype"].__name__, list(it["shape"])) for name, it in stated.items()}


@pytest.mark.parametrize("case", CASES)
def test_other_programs_find_the_labels_and_what_the_images_are(written, case):
    """By TFLite's own metadata, whose offsets are those of its schema, version 1.0.0."""
    spec = CASES[case][0]
    model = schema.Model.GetRootAs(written(case).read_bytes())
    entries = {model.Metadata(i).Name(): model.Metadata(i).Buffer() for i in range(model.MetadataLength())}
    data = model.Buffers(entries[b"TFLITE_METADATA"]).DataAsNumpy().tobytes()
    assert data[4:8] == b"M001"
    start = int.from_bytes(data[:4], "little")
    about = Table(data, start)
    assert text(about, 7) == "1.0.0"
    (subgraph,) = tables(about, 3)
    (images,) = tables(subgraph, 2)
    outputs = tables(subgraph, 3)
    assert text(images, 0) == "images"
    content = table(images, 3)
    assert content.Get(Uint8Flags, content.Pos + content.Offset(4)) == 2  # ImageProperties
    picture = table(content, 1)
    assert picture.Get(Int8Flags, picture.Pos + picture.Offset(4)) == {"rgb": 1, "gray": 2}[spec.colour]
    stated = model.Subgraphs(0)
    names = [stated.Tensors(index).Name() for index in stated.OutputsAsNumpy()]
    signature = model.SignatureDefs(0)
    tensors = [signature.Outputs(i) for i in range(signature.OutputsLength())]
    by_tensor = {stated.Tensors(each.TensorIndex()).Name(): each.Name().decode() for each in tensors}
    assert [text(each, 0) for each in outputs] == [by_tensor[name] for name in names]  # the graph's own order
    files = {text(each, 0): [text(file, 0) for file in tables(each, 6)] for each in outputs}
    assert files == {head: ["labels.txt"] if head == "expression" else [] for head in spec.heads}
    with zipfile.ZipFile(written(case)) as archive:
        if spec.expression:
            assert archive.read("labels.txt").decode().splitlines() == list(spec.expression)


def place(found, slot):
    return found.Offset(4 + 2 * slot)


def text(found, slot):
    return found.String(found.Pos + place(found, slot)).decode()


def table(found, slot):
    return Table(found.Bytes, found.Indirect(found.Pos + place(found, slot)))


def tables(found, slot):
    if not place(found, slot):
        return []
    start = found.Vector(place(found, slot))
    return [Table(found.Bytes, found.Indirect(start + 4 * i)) for i in range(found.VectorLen(place(found, slot)))]


def test_other_labels_behind_the_model_are_refused(written, tmp_path):
    found = unseal_archive(written(GREY), True)
    path = tmp_path / "model.tflite"
    path.write_bytes(found.prefix)
    seal_archive(path, found.seal, {"labels.txt": "happiness\nanger\nneutral\n"})
    with pytest.raises(ExportError, match=r"must hold the labels of its specification as labels\.txt, got others"):
        formats.read(path)
    path.write_bytes(found.prefix)
    seal_archive(path, found.seal)  # as files were made before
    formats.read(path)


def test_half_precision_halves_the_weights(written, tmp_path):
    case = "both, rgb, logits"
    whole = unseal_archive(written(case), True).prefix
    half = tflite_fp16.halved(whole)
    tflite.save(half, sealed(case, "tflite_fp16"), tmp_path / "model.tflite")
    spec = CASES[case][0]
    images = faces_of(spec, 5, seed=1)
    wanted = made(spec).answers(images)
    for head, values in formats.read(tmp_path / "model.tflite").answers(images).items():
        np.testing.assert_allclose(values, wanted[head], atol=1e-2)
        assert np.abs(values - wanted[head]).max() > 1e-7  # else nothing was rounded
    restored = [operation.types[0] for operation in tflite_int8.operations(half) if operation.name == "DEQUANTIZE"]
    layers = [operation for operation in tflite_int8.operations(whole) if operation.name in tflite_int8.LAYERS]
    assert restored == ["FLOAT16"] * len(layers)


def test_8_bit_is_integer_from_the_pixels_to_the_last_layer(ways, tmp_path, capfd):
    path = ways("minmax", tmp_path / "model.tflite")
    assert capfd.readouterr() == ("", "")
    found = tflite_int8.operations(unseal_archive(path, True).prefix)
    assert (found[0].name, found[0].types) == ("QUANTIZE", ["UINT8", "INT8"])
    names = [operation.name for operation in found]
    last = names.index("DEQUANTIZE")
    assert names[last + 1 :] == ["SOFTMAX"]
    assert {kind for operation in found[1:last] for kind in (operation.types[0], operation.types[-1])} == {"INT8"}
    images = Interpreter(str(path)).get_input_details()[0]
    assert (images["dtype"], images["quantization"]) == (np.uint8, (1.0, 0))  # pixels are what they are
    spec = CASES[GREY][0]
    faces = faces_of(spec, 32)
    answers, wanted = formats.read(path).answers(faces)["expression"], made(spec).answers(faces)["expression"]
    assert np.abs(answers - wanted).max() < 0.1 * np.ptp(wanted)
    np.testing.assert_allclose(answers.sum(1), 1, atol=1e-6)


def test_ranges_hold_every_face_or_the_covered_share(model):
    # A network's pixels have a range that does not depend on the faces; its activations grow with the contrast.
    faces = np.linspace(0, 1, 11, dtype=np.float32)[:, None, None, None] * faces_of(CASES[GREY][0], 1)[0, 0, ..., None]
    every, most = (tflite_int8.calibrated(model, faces, share) for share in (1.0, 0.9))
    exact = {name: (float(each["min"][0]), float(each["max"][0])) for name, each in every.items()}
    assert exact["serving_default_images"] == (0, 255)
    single = [tflite_int8.calibrated(model, face[None], 1.0) for face in faces]
    last = tflite_int8.last_given(model)
    assert len(last) == 1  # the logits
    for name in exact.keys() - {"serving_default_images"}:
        extremes = [(float(each[name]["min"][0]), float(each[name]["max"][0])) for each in single]
        assert exact[name] == pytest.approx((min(low for low, _ in extremes), max(high for _, high in extremes)))
        kept = sorted(high for _, high in extremes)[-1 if name in last else -2]
        assert float(most[name]["max"][0]) == pytest.approx(kept)


def test_the_most_harmful_layers_stay_in_float(ways, model, tmp_path, monkeypatch):
    layers = [operation.scope for operation in tflite_int8.operations(model) if operation.name in tflite_int8.LAYERS]
    exact = tflite_int8._answers
    hurt = layers[1]

    def worse(content, faces, path):
        float_images = [operation for operation in tflite_int8.operations(content) if operation.scope == hurt]
        return exact(content, faces, path) + (not float_images or "INT8" in float_images[0].types)

    monkeypatch.setattr(tflite_int8, "_answers", worse)
    found = tflite_int8.operations(unseal_archive(ways("float_layers", tmp_path / "model.tflite"), True).prefix)
    left = [each for each in found if each.name in tflite_int8.LAYERS and "FLOAT32" in each.types]
    assert len(left) == max(1, round(len(layers) / 4))
    assert hurt in [each.scope for each in left]


def test_a_layer_that_stayed_in_float_unasked_is_refused(model, tmp_path, monkeypatch, ways):
    with pytest.raises(ExportError, match="must have its layers in int8, got FLOAT32, FLOAT32, FLOAT32"):
        tflite_int8.check(model, [], tmp_path / "model.tflite")
    monkeypatch.setattr(tflite_int8, "quantise", lambda model, *_: model)
    with pytest.raises(ExportError, match="must have its layers in int8"):
        ways("minmax", tmp_path / "model.tflite")
    assert not (tmp_path / "model.tflite").exists()


def test_no_byte_of_a_file_can_change_or_go(written, tmp_path, monkeypatch):
    monkeypatch.setattr(tflite, "runner", lambda *_: pytest.fail("the runtime saw what was not verified"))
    content, path = written(GREY).read_bytes(), tmp_path / "model.tflite"
    model = len(unseal_archive(written(GREY), True).prefix)
    for place in [*range(0, model, 97), model - 1]:
        flipped = bytearray(content)
        flipped[place] ^= 1 << place % 8
        refused(path, bytes(flipped), "damaged|none of its seal")
    for end in (0, 1, 100, model, model + 40, len(content) - 1):
        refused(path, content[:end], "none of its seal")
    refused(path, b"\0" + content, "damaged|none of its seal")


@pytest.mark.parametrize("content", [b"", b"TFL3", b"{}", b"PK\5\6" + bytes(18)])
def test_other_files_are_refused(tmp_path, content):
    refused(tmp_path / "model.tflite", content, "none of its seal")


def wider(model, schema):
    """The first layer's result of 10**9 columns."""
    model.subgraphs[0].tensors[model.subgraphs[0].operators[1].outputs[0]].shape[2] = 10**9


def looping(model, schema):
    for code in model.operatorCodes:
        code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.WHILE


def another(model, schema):
    model.subgraphs.append(model.subgraphs[0])


def sized_by_data(model, schema):
    code = next(i for i, each in enumerate(model.operatorCodes) if each.builtinCode == schema.BuiltinOperator.RESHAPE)
    reshape = next(operator for operator in model.subgraphs[0].operators if operator.opcodeIndex == code)
    model.buffers[model.subgraphs[0].tensors[reshape.inputs[1]].buffer].data = None


def without_stride(model, schema):
    for operator in model.subgraphs[0].operators:
        if isinstance(operator.builtinOptions, schema.Conv2DOptionsT):
            operator.builtinOptions.strideH = 0


def outside(model, schema):
    model.buffers[-1].offset, model.buffers[-1].size = 10**6, 100


def lying(model, schema):
    """A result that is smaller than LiteRT finds."""
    model.subgraphs[0].tensors[model.subgraphs[0].operators[1].outputs[0]].shape[2] = 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (wider, "bytes in one result"),
        (looping, "known operators alone, got 'WHILE'"),
        (another, "must hold one graph, got 2"),
        (sized_by_data, "sizes must be known beforehand"),
        (without_stride, "stride of CONV_2D"),
        (outside, "outside of the model"),
        (lying, "shape that it states"),
    ],
)
def test_a_graph_that_costs_too_much_or_crashes_is_refused(written, tmp_path, change, said):
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools.flatbuffer_utils import convert_object_to_bytearray, read_model_from_bytearray

    found = unseal_archive(written(GREY), prefixed=True)
    model = read_model_from_bytearray(found.prefix)
    change(model, schema)
    path = tmp_path / "model.tflite"
    path.write_bytes(convert_object_to_bytearray(model))
    seal_archive(path, found.seal)
    with pytest.raises(ExportError, match=said) as caught:
        formats.read(path)
    assert "\n" not in str(caught.value)


def test_a_plain_tflite_file_is_refused(written, tmp_path):
    refused(tmp_path / "model.tflite", unseal_archive(written(GREY), True).prefix, "none of its seal")


def test_a_seal_of_another_model_is_refused(written, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(unseal_archive(written(GREY), True).prefix)
    seal_archive(path, sealed("affect, rgb"))
    with pytest.raises(ExportError, match=r"must take images \(1, 3, 16, 16\) uint8 and give.*affect.*got") as caught:
        formats.read(path)
    assert "\n" not in str(caught.value)
    path.write_bytes(b"\x1c\0\0\0TFL3" + bytes(100))
    seal_archive(path, sealed(GREY))
    with pytest.raises(ExportError, match="must hold one graph, got 0"):
        formats.read(path)


def refused(path, content, said):
    path.write_bytes(content)
    with pytest.raises(ExportError, match=said) as caught:
        formats.read(path)
    assert "\n" not in str(caught.value)


def test_the_seal_is_an_archive_that_other_tools_see(written):
    with zipfile.ZipFile(written(GREY)) as archive:
        assert archive.namelist() == ["labels.txt", "ferlab.json"]


def test_threads_reach_the_runtime(written, monkeypatch):
    given = []

    class Spied(Interpreter):
        def __init__(self, **options):
            given.append(options["num_threads"])
            super().__init__(**options)

    monkeypatch.setattr("ai_edge_litert.interpreter.Interpreter", Spied)
    formats.read(written(GREY), threads=2)
    assert set(given) == {2}


def test_a_missing_package_is_named_with_its_extra(written, monkeypatch):
    monkeypatch.setattr(formats, "find_spec", lambda name: None if name == "ai_edge_litert" else object())
    for call in (lambda: formats.check("tflite_int8"), lambda: formats.read(written(GREY))):
        with pytest.raises(ExportError, match=r"needs ai_edge_litert; install it by pip install 'ferlab\[tflite\]'"):
            call()


def test_what_cannot_be_converted_is_said_in_one_line(monkeypatch, tmp_path):
    def convert(*_, **__):
        raise RuntimeError("Lowering not found: aten.nothing\n\nWhile executing …")

    monkeypatch.setattr("litert_torch.convert", convert)
    with pytest.raises(ExportError, match=r"cannot convert .*custom_cnn.*: Lowering not found: aten\.nothing; use"):
        tflite.write(made(CASES[GREY][0]), sealed(GREY), tmp_path / "model.tflite", faces_of(CASES[GREY][0], 1), "")


def test_what_cannot_be_quantised_is_said_in_one_line(monkeypatch, tmp_path, ways):
    def calibrated(*_):
        raise ValueError("Ranks of scales (4) and zps (4) must be the same\nas the tensor rank (3).")

    monkeypatch.setattr(tflite_int8, "calibrated", calibrated)
    with pytest.raises(ExportError, match=r"cannot quantise .*custom_cnn.*: Ranks of .* must be the same; use another"):
        ways("minmax", tmp_path / "model.tflite")


def test_the_layout_can_be_chosen_where_there_are_two():
    check(ExportConfig(bundle="b", format=["tflite", "tflite_int8"], layout="nchw"))
    with pytest.raises(ConfigError, match="layout of onnx must be nchw, got nhwc"):
        check(ExportConfig(bundle="b", format=["tflite", "onnx"], layout="nhwc"))
    with pytest.raises(ConfigError, match="layout of tflite must be nhwc or nchw, got chwn"):
        check(ExportConfig(bundle="b", format="tflite", layout="chwn"))


@pytest.mark.parametrize(("between", "left"), [("MUL", {"answer"}), ("RSQRT", {"between", "answer"})])
def test_what_follows_the_last_layer_stays_in_float_and_so_does_layer_normalisation(monkeypatch, between, left):
    found = [("MUL", "pixels"), ("CONV_2D", "layer"), (between, "between"), ("CONV_2D", "last"), ("SOFTMAX", "answer")]
    chain = [tflite_int8.Operation(name, scope, [n], [n + 1], []) for n, (name, scope) in enumerate(found)]
    monkeypatch.setattr(tflite_int8, "operations", lambda _: chain)
    assert set(tflite_int8.floating(b"")) == left
