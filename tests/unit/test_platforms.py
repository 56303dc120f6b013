"""What this machine has and another lacks, taken away: Macs, Windows, and Apple's GPUs, none of which is here."""

import ctypes
import os
import pickle
import platform
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ferlab import config, files, formats
from ferlab.benchmark import turns
from ferlab.bundle import pick_device
from ferlab.commands import ui
from ferlab.config import compose, typed
from ferlab.data.images import ArrayImages, FileImages, Picked, write_image
from ferlab.data.loaders import Streamed
from ferlab.data.mixed import Joined
from ferlab.data.source import Source, Split
from ferlab.data.synthetic import DrawnImages
from ferlab.errors import ConfigError, ExportError
from ferlab.interrupt import StopRequest
from ferlab.labels import FERPLUS
from ferlab.provenance import quoted
from ferlab.spec import ModelSpec
from ferlab.training import build, engine, fit, state
from ferlab.training.clock import Clock
from ferlab.training.config import EngineOptions, TrainConfig

CPU, MPS = torch.device("cpu"), torch.device("mps")


@pytest.mark.parametrize("system", ["win32", "darwin"])
def test_glibc_is_asked_for_nothing_where_it_is_not(system, monkeypatch):
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(ctypes, "CDLL", None)  # CDLL(None) is an error on Windows
    engine._keep_memory()


@pytest.mark.skipif(not Path("/proc/meminfo").is_file(), reason="is checked against Linux's /proc/meminfo")
def test_the_memory_of_this_machine_is_known():
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    total = next(line for line in lines if line.startswith("MemTotal"))
    assert build._memory(CPU) == pytest.approx(1024 * int(total.split()[1]), rel=0.02)
    assert build._memory(MPS) == build._memory(CPU)  # it shares it


def test_windows_is_asked_for_its_memory_in_its_own_words(monkeypatch):
    def tell(pointer):
        memory = (ctypes.c_uint64 * 8).from_address(ctypes.addressof(pointer._obj))
        assert int(memory[0]) & 0xFFFFFFFF == 64  # the size of a MEMORYSTATUSEX, which Windows insists on
        memory[1] = 16 * 2**30  # ullTotalPhys
        return 1

    kernel = SimpleNamespace(GlobalMemoryStatusEx=tell)
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(ctypes, "windll", SimpleNamespace(kernel32=kernel), raising=False)
    assert build._memory(CPU) == 16 * 2**30


def test_on_windows_the_pages_server_ends_with_its_workers(monkeypatch):
    asked, waited = [], []
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(subprocess, "run", lambda command, **_: asked.append(command))
    ui._end(SimpleNamespace(pid=7, wait=lambda: waited.append(True)))
    assert asked == [["taskkill", "/T", "/F", "/PID", "7"]]
    assert waited


def test_every_extra_is_used_and_named():
    root = Path(__file__).parents[2]
    extras = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    of_formats = {each.extra for each in formats.FORMATS.values() if each.extra}
    code = "".join(file.read_text(encoding="utf-8") for file in (root / "src" / "ferlab").rglob("*.py"))
    others = set(extras) - of_formats
    assert others == {"video", "encryption", "tune", "lan"}
    assert all(f"ferlab[{extra}]" in code or f"extra {extra}" in code for extra in others)
    assert of_formats < set(extras)
    readme = (root / "README.md").read_text(encoding="utf-8")
    assert all(f"`{extra}` to " in readme.replace("\n", " ") for extra in extras)


@pytest.mark.parametrize("name", [name for name in formats.FORMATS if name.startswith("tflite")])
def test_where_tflite_cannot_be_written_the_error_says_where_it_can(name, monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(platform, "system", lambda: "Windows")
    monkeypatch.setattr(platform, "machine", lambda: "AMD64")
    monkeypatch.setattr(formats, "find_spec", lambda package: None if package == "litert_torch" else True)
    with pytest.raises(ExportError) as caught:
        formats.check(name)
    must = "must be written on Linux on x86-64 or macOS on arm64, got Windows on AMD64; or use onnx_int8"
    assert str(caught.value) == f"{name} {must}"


@pytest.fixture
def apple_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)


def test_an_apple_gpu_is_chosen_and_trains_in_float32_with_channels_first(apple_gpu):
    assert pick_device("auto") == "mps"
    assert engine.precision("auto", "mps") == "32-true"
    assert (fit.exact(MPS), fit.exact(CPU)) == (torch.float32, torch.float64)
    assert [engine.is_nhwc(None, device) for device in (MPS, CPU)] == [False, True]
    assert [engine.is_nhwc(asked, MPS) for asked in (True, False)] == [True, False]
    assert compose("train", ["data=synthetic"])["trainer"]["channels_last"] is None


def test_an_apple_gpu_trains_in_one_process(apple_gpu, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError) as caught:
        engine.launch(EngineOptions())
    assert str(caught.value) == "trainer.device=mps must train in one process, got 2; set trainer.device=cpu"


def test_a_checkpoint_has_the_random_state_of_an_apple_gpu(apple_gpu, monkeypatch):
    kept, set_again = torch.arange(4, dtype=torch.uint8), []
    monkeypatch.setattr(torch.mps, "get_rng_state", lambda: kept)
    monkeypatch.setattr(torch.mps, "set_rng_state", set_again.append)
    values = state._random_state()
    state._set_random_state(values)
    assert set_again == [kept]
    del values["mps"]  # as in checkpoints made before
    state._set_random_state(values)
    assert len(set_again) == 1


def test_an_apple_gpu_is_waited_for(monkeypatch):
    waited = []
    monkeypatch.setattr(torch.mps, "synchronize", lambda: waited.append(True))
    turns.wait(CPU)
    assert not waited
    turns.wait(MPS)
    assert waited


def test_reading_processes_that_start_anew_get_all_they_need(tmp_path):
    """Those of Macs and Windows are not forked: what they read with is pickled."""
    faces = np.random.default_rng(0).integers(0, 256, (3, 9, 9, 3), dtype=np.uint8)
    write_image(tmp_path / "0.png", faces[0])
    np.save(tmp_path / "faces.npy", faces[..., 0])
    pixels, rows = np.load(tmp_path / "faces.npy", mmap_mode="r"), np.arange(3)
    picked = Picked(ArrayImages(pixels, rows, tmp_path / "faces.csv", rows + 2), np.array([2, 0]))
    images = Joined((FileImages.of(tmp_path, ["0.png"]), picked))
    split = Split("train", images, np.zeros(3, np.int64))
    sample = config.instantiate(compose("train", ["augment=strong", "data=synthetic"])["augment"]["sample"])
    loader = Streamed(split, ModelSpec(FERPLUS, size=16), CPU, sample, False, 0, 0).loader
    again, start, stack = pickle.loads(pickle.dumps((loader.dataset, loader.worker_init_fn, loader.collate_fn)))
    assert callable(start)
    keys = [(0, place, place) for place in range(3)]
    assert torch.equal(stack([again[key] for key in keys]), stack([loader.dataset[key] for key in keys]))


def test_printed_commands_are_quoted_for_the_shell_that_is_there(monkeypatch):
    words = ["ferlab", "resume=C:\\my runs\\new"]
    assert quoted(words) == "ferlab 'resume=C:\\my runs\\new'"
    monkeypatch.setattr(sys, "platform", "win32")
    assert quoted(words) == 'ferlab "resume=C:\\my runs\\new"'


def test_what_is_left_of_writing_is_removed_once_it_is_closed(tmp_path, monkeypatch):
    """Windows removes no open file."""
    (tmp_path / ".report.json.x1").touch()
    held, unlink = [], Path.unlink
    monkeypatch.setattr(files, "lock", held.append)

    def strict(path, **options):
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(held[-1])
        unlink(path, **options)

    monkeypatch.setattr(Path, "unlink", strict)
    files.sweep(tmp_path / "report.json")
    assert not list(tmp_path.iterdir())


class NoFloat64(TorchDispatchMode):
    """Stands for a device that has no float64."""

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        result = function(*arguments, **(keywords or {}))
        for each in result if isinstance(result, tuple | list) else [result]:
            assert not (isinstance(each, torch.Tensor) and each.dtype == torch.float64), function
        return result


@pytest.mark.parametrize(
    "words",
    [
        ["loss.class_weights=0.5", "loss.label_smoothing=0.1", "trainer.clip=1", "trainer.ema=0.9"],
        ["loss=multitask", "loss.uncertainty=true", "model.heads=[expression,affect]", "augment.mix.mixup=0.4",
         "augment.mix.probability=0.5", "trainer.accumulate=2"],
        ["loss=balanced_softmax"],
        ["loss=focal", "optimizer=adamw"],
    ],
    ids=lambda words: words[0],
)  # fmt: skip
def test_an_epoch_needs_no_float64_where_there_is_none(words, monkeypatch):
    noise = np.random.default_rng(0)
    pixels, labels = noise.integers(0, 256, (32, 16, 16, 3), dtype=np.uint8), np.arange(32) % 8
    affect = noise.uniform(-1, 1, (32, 2)).astype(np.float32)
    split = Split("train", DrawnImages(pixels, "noise"), labels, affect=affect)
    source = Source("noise", FERPLUS, {"train": split, "validation": split}, "noise", "none")
    tiny = ["data=synthetic", "model.size=16", "model.options.width=4", "trainer.batch_size=16", "trainer.epochs=1"]
    options = typed(compose("train", [*tiny, *words]), TrainConfig)
    fabric = engine.launch(EngineOptions(device="cpu", precision="32-true", deterministic=False, threads=1))
    spec = build.model_spec(options.model, source)
    run = build.build_fit(options, source, spec, fabric, StopRequest(), lambda step: None, Clock())
    monkeypatch.setattr(fit, "exact", lambda device: torch.float32)
    with NoFloat64():
        assert fit.train_epoch(run)
    assert run.state.position.labelled == 32
