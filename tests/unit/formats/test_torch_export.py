import io
import json
import logging
import shutil

import numpy as np
import pytest
import torch

from ferlab.errors import ExportError
from ferlab.formats import read

from .torch_files import (
    SPECS,
    Sorting,
    answers_alike,
    bombs,
    edited,
    exported,
    faces,
    forged,
    made,
    parts_of,
)

MODEL = "model/models/model.json"
WEIGHTS = "model/data/weights/model_weights_config.json"
CONSTANTS = "model/data/constants/model_constants_config.json"


@pytest.fixture(scope="module")
def bundle():
    return made(SPECS["both, rgb"])


@pytest.fixture(scope="module")
def original(bundle, tmp_path_factory):
    return exported("torch_export", bundle, tmp_path_factory.mktemp("torch_export"))


@pytest.fixture
def path(original, tmp_path):
    return shutil.copy(original, tmp_path / original.name)


@pytest.fixture
def mark(tmp_path):
    return tmp_path / "executed"


def test_a_transformer_takes_any_batch(tmp_path):
    bundle = made(SPECS["expression, gray"], {"name": "vit_tiny", "options": {"patch": 8}})
    answers_alike(bundle, read(exported("torch_export", bundle, tmp_path)))


def test_torch_alone_reads_the_graph_and_the_seal(bundle, original):
    extra = {"ferlab.json": ""}
    module = torch.export.load(original, extra_files=extra).module()
    assert json.loads(extra["ferlab.json"])["digest"] == bundle.spec.digest
    for number in (1, 2, 7):
        images = torch.from_numpy(faces(bundle.spec, number))
        wanted = bundle.answers(images.numpy())
        for given in (images, images.float()):
            for head, answer in zip(bundle.spec.heads, module(given), strict=True):
                np.testing.assert_allclose(answer.detach().numpy(), wanted[head], atol=1e-5)


def test_a_file_names_no_folder_of_this_machine_and_holds_no_pickle(original):
    parts, _, _ = parts_of(original)
    assert parts["model/data/sample_inputs/model.pt"] == b""
    assert not [name for name, data in parts.items() if b"forward\\n" in data or b".py" in data]
    assert not [name for name, data in parts.items() if data[:2] in (b"\x80\x02", b"PK")]


def by_torch(path):
    """What torch does with a file; a bomb may end it."""
    logging.disable(logging.CRITICAL)
    try:
        torch.export.load(io.BytesIO(path.read_bytes())).module()
    except Exception:
        pass
    finally:
        logging.disable(logging.NOTSET)


def weight_as_pickle(parts, name, prefix, data):
    """Let the first weight or constant of a table be a pickle in a part of its own."""
    table = json.loads(parts[name])
    entry = next(iter(table["config"].values()))
    entry.update(path_name=prefix, use_pickle=True)
    parts[name] = json.dumps(table).encode()
    parts[f"{name.rpartition('/')[0]}/{prefix}"] = data


UNPICKLED = {
    "sample inputs": lambda parts, bomb: parts.update({"model/data/sample_inputs/model.pt": bomb["torch"]}),
    "legacy weights": lambda parts, bomb: parts.update({"model/data/weights/model.pt": bomb["torch"]}),
    "legacy constants": lambda parts, bomb: parts.update({"model/data/constants/model.pt": bomb["torch"]}),
    "a weight": lambda parts, bomb: weight_as_pickle(parts, WEIGHTS, "weight_0", bomb["torch"]),
    "a constant": lambda parts, bomb: weight_as_pickle(parts, CONSTANTS, "tensor_0", bomb["torch"]),
    "an opaque object": lambda parts, bomb: weight_as_pickle(parts, CONSTANTS, "opaque_obj_0", bomb["pickle"]),
}


@pytest.mark.parametrize("place", UNPICKLED)
def test_a_pickle_that_torch_would_execute_is_refused(path, mark, place):
    forged(path, lambda parts: UNPICKLED[place](parts, bombs(mark)))
    by_torch(path)
    assert mark.exists()  # so this file is a danger
    mark.rmdir()
    with pytest.raises(ExportError) as caught:
        read(path)
    assert not mark.exists()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["pickle", "torch"])
@pytest.mark.parametrize(
    "name",
    [
        "models/model.json",
        "models/other.json",
        "data/weights/weight_0",
        "data/weights/weight_99",
        "data/weights/model_weights_config.json",
        "data/constants/tensor_0",
        "data/constants/model_constants_config.json",
        "data/constants/custom_obj_0",
        "data/aotinductor/model/x.so",
        "data/sample_inputs/other.pt",
        "extra/x",
        "data.pkl",
        "executorch/x",
        "../outside",
    ],
)
def test_a_pickle_in_any_part_executes_nothing(bundle, path, mark, tmp_path, name, kind):
    forged(path, lambda parts: parts.update({f"model/{name}": bombs(mark)[kind]}))
    try:
        read(path).answers(faces(bundle.spec, 1))
    except ExportError:
        pass
    else:
        assert name in (
            "data/weights/weight_0",
            "data/weights/weight_99",
            "data/constants/tensor_0",
        )  # bytes of numbers
    assert {each.name for each in tmp_path.iterdir()} == {path.name}


def test_a_guard_that_torch_may_compile_is_not_read(bundle, path, mark):
    code = f"__import__('pathlib').Path('{mark}').mkdir() is None"
    forged(path, edited(MODEL, lambda model: model.update(guards_code=[code])))
    answers_alike(bundle, read(path))
    assert not mark.exists()


def test_a_size_that_torch_would_evaluate_is_not_read(bundle, path, mark):
    def change(model):
        values = model["graph_module"]["graph"]["tensor_values"]
        size = next(size for value in values.values() for size in value["sizes"] if "as_expr" in size)
        size["as_expr"]["expr_str"] = f"__import__('pathlib').Path('{mark}').mkdir() or 5"

    forged(path, edited(MODEL, change))
    by_torch(path)
    assert mark.exists()  # so this file is a danger
    mark.rmdir()
    answers_alike(bundle, read(path))
    assert not mark.exists()


def calling(target, *args):
    """Puts a call in front of the graph's first."""
    inputs = [{"name": "x", "arg": {"as_string": arg}, "kind": 1} for arg in args]
    node = {"target": target, "inputs": inputs, "outputs": [], "metadata": {}, "name": "call"}
    return edited(MODEL, lambda model: model["graph_module"]["graph"]["nodes"].insert(0, node))


@pytest.mark.parametrize(
    "target",
    [
        "torch.os.system",
        "torch.ops.aten.from_file.default",
        "torch.ops.aten.save.default",
        "torch.load",
        "torch.ops.aten.add.__class__",
        "torch.ops.aten.add.nothing",
        "torch.ops.aten.add.out",
        "torch.ops.aten.__class__.x",
        "torch.ops.load_library",
        "torch.ops.image.write_file.default",
        "torch.ops.aten.add.Tensor.__call__",
        "add",
        "_operator.methodcaller",
        "_operator.attrgetter",
        "math.sqrt",
        "#namespace:op",
        "builtins.eval",
        "",
    ],
)
def test_an_operator_that_is_not_known_is_refused(path, tmp_path, target):
    forged(path, calling(target, f"touch {tmp_path}/executed"))
    with pytest.raises(ExportError, match="known operators"):
        read(path)
    assert {each.name for each in tmp_path.iterdir()} == {path.name}


def first(model):
    return model["graph_module"]["graph"]["nodes"][0]


FAULTS = {
    "another version": (lambda m: m["schema_version"].update(major=9), "version 8, got 9"),
    "a subgraph": (lambda m: first(m)["inputs"].append({"name": "x", "arg": {"as_graph": {}}, "kind": 1}), "as_graph"),
    "an unknown value": (lambda m: first(m)["inputs"][0].update(arg={"as_tensor": {"name": "x"}}), "cannot run"),
    "two kinds": (lambda m: first(m)["inputs"][0].update(arg={"as_int": 1, "as_bool": True}), "as torch.export writes"),
    "no nodes": (lambda m: m["graph_module"]["graph"].update(nodes=[]), "cannot run"),
    "no graph": (lambda m: m.pop("graph_module"), "as torch.export writes"),
    "a list": (lambda m: m["graph_module"].update(graph=[]), "as torch.export writes"),
    "other outputs": (lambda m: m["graph_module"]["graph"]["outputs"].reverse(), "must answer"),
    "one output": (lambda m: m["graph_module"]["graph"]["outputs"].pop(), "cannot run"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_graph_is_refused_in_one_line(path, fault):
    change, said = FAULTS[fault]
    forged(path, edited(MODEL, change))
    with pytest.raises(ExportError, match=said) as caught:
        read(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda meta: meta["sizes"][0].update(as_int=10**6),
        lambda meta: meta["storage_offset"].update(as_int=10**6),
        lambda meta: meta["storage_offset"].update(as_int=-1),
        lambda meta: meta["strides"][0].update(as_int=10**6),
        lambda meta: meta.update(dtype=99),
        lambda meta: meta["sizes"].__setitem__(0, {"as_expr": {"expr_str": "1"}}),
    ],
)
def test_weights_must_lie_within_their_bytes(path, change):
    forged(path, edited(WEIGHTS, lambda table: change(next(iter(table["config"].values()))["tensor_meta"])))
    with pytest.raises(ExportError, match=r"as torch\.export writes it"):
        read(path)


def test_a_network_with_an_unknown_operator_is_not_written(bundle, tmp_path):
    strange = made(bundle.spec)
    strange.net.backbone = Sorting(strange.net.backbone)
    with pytest.raises(ExportError, match=r"got 'torch\.ops\.aten\.sort\.default'; export it as onnx"):
        exported("torch_export", strange, tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_torch_itself_saves_is_refused(path):
    torch.export.save(torch.export.export(torch.nn.ReLU(), (torch.zeros(2),)), path)
    with pytest.raises(ExportError, match="got none of its seal"):
        read(path)
