"""Graphs that nobody could afford to run, in every format: refused in a moment, before anything is allocated."""

import re
import time

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from ferlab.errors import ExportError
from ferlab.files import TEXT
from ferlab.formats import read
from ferlab.formats.onnx import metadata
from ferlab.formats.onnx_graph import cost, parsed
from ferlab.formats.openvino_graph import representation
from ferlab.formats.seal import Seal, digest, parse
from ferlab.limits import PRODUCTS, RESULT, STEPS, TOGETHER, Budget
from ferlab.spec import ModelSpec

from .torch_files import SPECS, edited, exported, faces, forged, made

SPEC = ModelSpec(("neutral", "anger", "fear"), size=16)


def test_a_budget_ends_where_it_says():
    for spent in (
        {"shape": [RESULT // 4]},
        {"shape": [1], "products": PRODUCTS - 1},
        {"shape": [1], "workspace": 2**28},
    ):
        Budget().spend("x", **spent)
        shape = [2 * each for each in spent.pop("shape")]
        with pytest.raises(ExportError, match="'x'"):
            Budget().spend("x", shape, **{key: 2 * value for key, value in spent.items()})
    Budget(2).spend("x", [RESULT // 2])  # two faces may cost twice as much
    all_results, operators = Budget(), Budget()
    for _ in range(TOGETHER // RESULT):
        all_results.spend("x", [RESULT // 4])
    with pytest.raises(ExportError, match="bytes in all"):
        all_results.spend("x", [1])
    for _ in range(STEPS):
        operators.spend("x", [1])
    with pytest.raises(ExportError, match="operators"):
        operators.spend("x", [1])


# TorchScript

CODE = "model/code/__torch__.py"
PIXELS = "torch.to(images, 6)"
ONES = "torch.ones([15000, 15000])"


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return exported("torchscript", made(SPECS["both, rgb"]), tmp_path_factory.mktemp("original"))


@pytest.mark.parametrize(
    ("instead", "said"),
    [
        ("torch.to(images, 999)", "dtype 999"),  # the process would be killed
        ("torch.to(images, 6, memory_format=77)", "memory_format 77"),
        ("torch.to(images, torch.device('cuda:0'), 6)", "cuda:0"),
        ("torch.add_(torch.to(images, 6), CONSTANTS.c0)", r"torch\.add_"),
        ("torch.dropout(torch.to(images, 6), 0.5, True)", "no random numbers"),
        ("torch.mul(torch.to(images, 6), torch.remainder(1, 0))", r"remainder\.int"),
        ("torch.mul(torch.to(images, 6), torch.mean(torch.zeros([1000000, 1000000])))", "bytes in one result"),
        ("torch.mean(torch.clone(torch.expand(torch.to(images, 6), [9999999, -1, -1, -1])), [0], True)", "one result"),
        (f"torch.add(torch.to(images, 6), torch.sum(torch.matmul({ONES}, {ONES})))", "multiplications"),
        (
            "torch.max_pool2d(torch.upsample_nearest2d(torch.to(images, 6), [4000, 4000]), [2000, 2000], [1, 1])",
            "multiplications",
        ),
    ],
)  # fmt: skip
def test_torchscript_that_costs_too_much_or_crashes_is_refused(original, tmp_path, instead, said):
    def change(parts):
        code = parts[CODE].decode()
        assert PIXELS in code
        parts[CODE] = code.replace(PIXELS, instead, 1).encode()

    path = tmp_path / original.name
    path.write_bytes(original.read_bytes())
    forged(path, change)
    with pytest.raises(ExportError, match=said) as caught:
        read(path)
    assert "\n" not in str(caught.value)


def test_what_grows_with_the_batch_is_refused_when_the_batch_comes(original, tmp_path):
    """Of one face this is a copy; of a thousand it is a thousand times as much as a thousand faces need."""

    def change(parts):
        code = parts[CODE].decode()
        code = code.replace("input = torch.addcmul(CONSTANTS.c0, torch.to(images, 6)", (
            "n = torch.size(images, 0)\n        big = torch.mean(torch.zeros([n, n, n, 500]))\n"
            "        input = torch.addcmul(CONSTANTS.c0, torch.mul(torch.to(images, 6), big)"
        ), 1)  # fmt: skip
        parts[CODE] = code.encode()

    path = tmp_path / original.name
    path.write_bytes(original.read_bytes())
    file = read(forged(path, change))
    file.answers(faces(file.spec, 2))
    with pytest.raises(ExportError, match="batch of 2000"):
        file.answers(np.zeros((2000, 3, 16, 16), np.uint8))


def test_code_and_seal_have_an_end(original, tmp_path):
    """Parsed, a text takes a hundred times its size."""
    path = tmp_path / original.name
    path.write_bytes(original.read_bytes())
    forged(path, lambda parts: parts.update({CODE: parts[CODE] + b" " * TEXT}))
    with pytest.raises(ExportError, match="must have at most"):
        read(path)
    with pytest.raises(ExportError, match="of itself"):
        parse(b" " * (TEXT + 1), "", path)


def test_sizes_of_a_pt2_end_at_64_bits(tmp_path):
    path = exported("torch_export", made(SPECS["both, rgb"]), tmp_path)

    def change(model):
        def node(number):
            of = {"as_int": 2**32} if not number else {"as_sym_int": {"as_name": f"n{number - 1}"}}
            inputs = [{"name": name, "arg": of, "kind": 1} for name in "ab"]
            outputs = [{"as_sym_int": {"as_name": f"n{number}"}}]
            return {"target": "_operator.mul", "inputs": inputs, "outputs": outputs, "metadata": {}, "name": "n"}

        model["graph_module"]["graph"]["nodes"][:0] = [node(number) for number in range(40)]

    forged(path, edited("model/models/model.json", change))
    with pytest.raises(ExportError, match="64 bits"):
        read(path)


# ONNX


def model(nodes, constants=(), shape=("batch", 1, 16, 16)):
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, shape)
    answers = helper.make_tensor_value_info("expression", TensorProto.FLOAT, ("batch", 3))
    nodes = [helper.make_node("Cast", ["images"], ["x"], to=TensorProto.FLOAT), *nodes]
    values = [numpy_helper.from_array(np.asarray(value), name) for name, value in dict(constants).items()]
    graph = helper.make_graph(nodes, "g", [images], [answers], values)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


NODE = helper.make_node
DOUBLED = [NODE("Concat", [f"x{i}" if i else "x"] * 2, [f"x{i + 1}"], axis=1) for i in range(40)]
INNER = helper.make_graph([NODE("Identity", ["x"], ["y"])], "b", [], [helper.make_empty_tensor_value_info("y")])


@pytest.mark.parametrize(
    ("nodes", "constants", "said"),
    [
        (DOUBLED, {}, "bytes in one result"),
        ([NODE("Expand", ["x", "s"], ["y"])], {"s": np.array([1, 10**7, 16, 16])}, "bytes in one result"),
        ([NODE("ConstantOfShape", ["s"], ["y"])], {"s": np.array([10**6, 10**6])}, "bytes in one result"),
        (
            [NODE("ConstantOfShape", ["s"], ["a"]), NODE("MatMul", ["a", "a"], ["y"])],
            {"s": np.array([16000, 16000])},
            "multiplications",
        ),
        ([NODE("Loop", ["", "", "x"], ["y"], body=INNER)], {}, "known operators alone, got 'Loop'"),
        ([NODE("If", ["x"], ["y"], then_branch=INNER, else_branch=INNER)], {}, "got 'If'"),
        ([NODE("FusedMatMul", ["x", "x"], ["y"], domain="com.microsoft")], {}, "got 'FusedMatMul'"),
        ([NODE("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], strides=[0, 0])], {}, "strides of MaxPool"),
        ([NODE("Div", ["a", "b"], ["y"])], {"a": np.array([1]), "b": np.array([0])}, "divide none but fractions"),
        ([NODE("Range", ["a", "r", "a"], ["y"]), NODE("ReduceSum", ["x"], ["r"], keepdims=0)], {"a": 1.0}, "sizes"),
    ],
)
def test_onnx_that_costs_too_much_or_crashes_is_refused(nodes, constants, said):
    with pytest.raises(ExportError, match=said) as caught:
        cost(parsed(model(nodes, constants).SerializeToString()), SPEC, 1)
    assert "\n" not in str(caught.value)


def sealed_onnx(content, path):
    seal = Seal("onnx", "probabilities", SPEC, {"name": "mlp", "options": {}}, {})
    path.write_bytes(content + metadata(seal.text(digest(content)).encode()))
    return path


def test_onnxruntime_s_own_format_is_refused(tmp_path):
    import onnxruntime

    simple = model([NODE("ReduceMean", ["x", "a"], ["m"], keepdims=0), NODE("MatMul", ["m", "w"], ["expression"])],
                   {"a": np.array([2, 3]), "w": np.ones((1, 3), np.float32)})  # fmt: skip
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "model.ort")
    onnxruntime.InferenceSession(simple.SerializeToString(), options, providers=["CPUExecutionProvider"])
    assert read(sealed_onnx(simple.SerializeToString(), tmp_path / "good.onnx")).spec == SPEC
    with pytest.raises(ExportError, match="must be an ONNX model"):
        read(sealed_onnx((tmp_path / "model.ort").read_bytes(), tmp_path / "model.onnx"))


def test_an_answer_that_is_not_finite_is_an_error(tmp_path):
    nodes = [NODE("ReduceMean", ["x", "a"], ["m"], keepdims=0), NODE("MatMul", ["m", "w"], ["l"]),
             NODE("Log", ["l"], ["expression"])]  # fmt: skip
    content = model(nodes, {"a": np.array([2, 3]), "w": np.ones((1, 3), np.float32)}).SerializeToString()
    file = read(sealed_onnx(content, tmp_path / "model.onnx"))
    images = np.stack([np.full((1, 16, 16), pixel, np.uint8) for pixel in (1, 0, 7)])
    for answer in (file.answers, file.logits):
        with pytest.raises(ExportError, match="NaN or infinity as expression of 1 faces"):
            answer(images)


# OpenVINO


@pytest.fixture(scope="module")
def openvino_file(tmp_path_factory):
    pytest.importorskip("openvino")
    return exported("openvino", made(SPECS["both, rgb"]), tmp_path_factory.mktemp("original"))


def test_only_openvino_s_own_representation_is_read(openvino_file, tmp_path):
    """OpenVINO goes by the look of model.xml: of an ONNX model it would read the files that are named in it."""
    path = tmp_path / openvino_file.name
    for content in (
        model(DOUBLED[:1]).SerializeToString(),
        b'<?xml version="1.0"?><!DOCTYPE net [<!ENTITY a "b">]><net/>',
    ):
        path.write_bytes(openvino_file.read_bytes())
        forged(path, lambda parts, content=content: parts.update({"model.xml": content}))
        with pytest.raises(ExportError, match=r"model\.xml must be") as caught:
            read(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("pattern", "replacement", "said"),
    [
        (r'type="ReLU"', 'type="Loop"', "known layers alone, got 'Loop'"),
        (r'version="opset1"', 'version="extension"', "known layers alone"),
        (r'pads_begin="1, 1"', 'pads_begin="99999, 99999"', "bytes|such images"),
        (r"<edges>", "<edges><body/>", "of one graph, got <body>"),
    ],
)
def test_openvino_that_costs_too_much_is_refused(openvino_file, tmp_path, pattern, replacement, said):
    def change(parts):
        text, count = re.subn(pattern, replacement, parts["model.xml"].decode(), count=1)
        assert count
        parts["model.xml"] = text.encode()

    path = tmp_path / openvino_file.name
    path.write_bytes(openvino_file.read_bytes())
    began = time.process_time()
    with pytest.raises(ExportError, match=said):
        read(forged(path, change))
    assert time.process_time() - began < 10


def test_constants_alone_compute_nothing_large():
    layer = '<layer id="{}" name="c" type="{}" version="opset1"><data shape="{}"/></layer>'
    layers = layer.format(0, "Const", "64") + "".join(layer.format(i, "Concat", "") for i in range(1, 40))
    edges = "".join(
        f'<edge from-layer="{i}" from-port="0" to-layer="{i + 1}" to-port="{j}"/>' for i in range(39) for j in (0, 1)
    )
    xml = f"<net><layers>{layers}</layers><edges>{edges}</edges></net>"
    with pytest.raises(ExportError, match="Concat of constants"):
        representation(xml.encode())
