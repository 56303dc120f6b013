import io
import json
import shutil
import warnings

import numpy as np
import pytest
import torch

from ferlab.errors import ExportError
from ferlab.formats import read, torch_archive

from .torch_files import (
    SPECS,
    Bomb,
    Sorting,
    answers_alike,
    bombs,
    exported,
    faces,
    forged,
    made,
    parts_of,
)

CODE = "model/code/__torch__.py"


@pytest.fixture(scope="module")
def bundle():
    return made(SPECS["both, rgb"])


@pytest.fixture(scope="module")
def original(bundle, tmp_path_factory):
    return exported("torchscript", bundle, tmp_path_factory.mktemp("torchscript"))


@pytest.fixture
def path(original, tmp_path):
    return shutil.copy(original, tmp_path / original.name)


def by_torch(data, **extra):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return torch.jit.load(io.BytesIO(data), **extra)


def test_a_transformer_takes_any_batch(tmp_path):
    bundle = made(SPECS["expression, gray"], {"name": "vit_tiny", "options": {"patch": 8}})
    answers_alike(bundle, read(exported("torchscript", bundle, tmp_path)))


def test_torch_alone_reads_the_graph_and_the_seal(bundle, original):
    extra = {"ferlab.json": ""}
    module = by_torch(original.read_bytes(), _extra_files=extra)
    images = torch.from_numpy(faces(bundle.spec, 3))
    wanted = bundle.answers(images.numpy())
    for given in (images, images.float()):
        for head, answer in zip(bundle.spec.heads, module(given), strict=True):
            np.testing.assert_allclose(answer.numpy(), wanted[head], atol=1e-5)
    assert json.loads(extra["ferlab.json"])["digest"] == bundle.spec.digest


def test_the_same_network_gives_the_same_content(bundle, original, tmp_path):
    assert parts_of(exported("torchscript", bundle, tmp_path))[0] == parts_of(original)[0]


def test_threads_are_those_asked_for_and_put_back(bundle, original, path):
    before, seen = torch.get_num_threads(), []

    def run(images):
        seen.append(torch.get_num_threads())
        return torch.zeros(len(images), 3), torch.zeros(len(images), 2)

    torch_archive.opened(path, read(path).seal, lambda images: None, lambda: run, 3)
    assert seen == [3]
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("kind", ["pickle", "torch"])
@pytest.mark.parametrize(
    "name",
    ["data.pkl", "constants.pkl", "constants/0", "code/__torch__.py", "code/__torch__.py.debug_pkl", "attributes.pkl",
     "bytecode.pkl", "model.json", "data/0", "version", "byteorder", ".data/ts_code/0/data.pkl", "extra/constants.json",
     "extra/x", "constants/99", "../outside"],
)  # fmt: skip
def test_a_pickle_in_any_part_is_refused(path, tmp_path, name, kind):
    mark = tmp_path / "executed"
    forged(path, lambda parts: parts.__setitem__(f"model/{name}", bombs(mark)[kind]))
    with pytest.raises(ExportError) as caught:
        read(path)
    assert not mark.exists()
    assert "\n" not in str(caught.value)
    assert {each.name for each in tmp_path.iterdir()} == {path.name}


def test_a_pickle_beside_the_archive_s_folder_is_refused(path, tmp_path):
    forged(path, lambda parts: parts.__setitem__("../outside", bombs(tmp_path / "executed")["pickle"]))
    with pytest.raises(ExportError, match=r"got '\.\./outside'"):
        read(path)
    assert {each.name for each in tmp_path.iterdir()} == {path.name}


def with_line(line):
    """Puts a line in front of the function's first."""

    def change(parts):
        head, body = parts[CODE].split(b":\n        ", 1)
        parts[CODE] = head + b":\n        " + line.encode() + b"\n        " + body

    return change


def test_code_that_writes_a_file_is_refused_though_torch_would_run_it(bundle, path, tmp_path):
    mark = tmp_path / "executed"
    forged(path, with_line(f"saved = torch.save(images, '{mark}')"))
    by_torch(path.read_bytes())(torch.from_numpy(faces(bundle.spec, 1)))
    assert mark.exists()  # so this file is a danger
    mark.unlink()
    with pytest.raises(ExportError, match=r"known operators, got 'torch\.save'"):
        read(path)
    assert not mark.exists()


@pytest.mark.parametrize(
    "line",
    [
        "x = torch.from_file('/tmp/x', True, 8)",
        "x = ops.image.write_file('/tmp/x', images)",
        "x = ops.aten.save(images, '/tmp/x')",
        "x = images.save('/tmp/x')",
        "x = (torch.relu)(images).numpy()",
        "x = self.training",
        "x = torch.add.save",
        "x = print('hello')",
        "x = [torch.save(y, 'x') for y in [images]]",
        "x = images if torch.save(images, 'x') else images",
        "x = (lambda: images)()",
        "x = f'{images}'",
        "x = torch.gelu(images, approximate='a\\nb')",
        "x = b'bytes'",
        "if True: x = torch.save(images, 'x')",
        "while True: pass",
        "import os",
        "global x",
        "del images",
        "assert images",
        "(y := images)",
    ],
)
def test_code_with_more_than_known_operators_is_refused(path, line):
    forged(path, with_line(line))
    with pytest.raises(ExportError, match="known operators") as caught:
        read(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    def forward", "    def __setstate__(self, state: int) -> None:\n        return None\n    def forward"),
        ("    def forward", "    @torch.jit.ignore\n    def forward"),
        ("images: Tensor)", "images: Tensor=torch.save(1, 'x'))"),
        ("class Answers", "import os\nclass Answers"),
        ("__buffers__ = []", "__buffers__ = [torch.save(1, 'x')]"),
        ("class Answers(Module)", "class Answers(Module, metaclass=x)"),
        ("        return", "        # type: (Tensor) -> Tensor\n        return"),
        ("class Answers(Module):", "class Answers(Module:"),
        ("class Answers(Module):", "(" * 5000),
        ("class Answers", "\0class Answers"),
    ],
)
def test_code_around_the_function_must_be_as_it_was(path, old, new):
    def change(parts):
        assert old in parts[CODE].decode()
        parts[CODE] = parts[CODE].decode().replace(old, new, 1).encode()

    forged(path, change)
    with pytest.raises(ExportError) as caught:
        read(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("described", "said"),
    [
        ({"dtype": "float32", "shape": [1000]}, "must be as long"),  # PyTorch would read beyond its end
        ({"dtype": "float32", "shape": [-1]}, "dtype and a shape"),
        ({"dtype": "float32", "shape": [True]}, "dtype and a shape"),
        ({"dtype": "object", "shape": [1]}, "dtype and a shape"),
        ({"dtype": "float32", "shape": "1"}, "dtype and a shape"),
        ({"shape": [1]}, "as ferlab writes it"),
        (7, "as ferlab writes it"),
    ],
)
def test_constants_must_be_what_they_say(path, described, said):
    def change(parts):
        constants = json.loads(parts["model/extra/constants.json"])
        parts["model/extra/constants.json"] = json.dumps([described, *constants[1:]]).encode()

    forged(path, change)
    with pytest.raises(ExportError, match=said):
        read(path)


def test_a_graph_that_answers_something_else_is_refused(path):
    def change(parts):
        code = parts[CODE].decode()
        returned = code.rsplit("return ", 1)[1].strip()
        first, second = returned.strip("()").split(", ")
        parts[CODE] = code.replace(f"return {returned}", f"return ({second}, {first})").encode()

    forged(path, change)
    with pytest.raises(ExportError, match="must answer"):
        read(path)


def test_a_graph_that_cannot_run_is_refused_in_one_line(path):
    forged(path, with_line("x = torch.matmul(images, CONSTANTS.c999)"))
    with pytest.raises(ExportError, match="PyTorch cannot run") as caught:
        read(path)
    assert "\n" not in str(caught.value)


def test_a_network_with_an_unknown_operator_is_not_written(bundle, tmp_path):
    strange = made(bundle.spec)
    strange.net.backbone = Sorting(strange.net.backbone)
    with pytest.raises(ExportError, match=r"got 'torch\.sort'; export it as onnx"):
        exported("torchscript", strange, tmp_path)


def test_what_torch_itself_saves_is_refused(path, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        torch.jit.script(torch.nn.Linear(2, 2)).save(path)
    with pytest.raises(ExportError, match="must hold its parts uncompressed"):
        read(path)
    torch.save(Bomb(tmp_path / "executed"), path)
    with pytest.raises(ExportError, match="got none of its seal"):
        read(path)
    assert not (tmp_path / "executed").exists()
