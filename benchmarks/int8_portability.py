"""Whether 8-bit files answer alike on all x86 processors: each is run here and under emulated ones, on the same faces.

    python benchmarks/int8_portability.py bundle=outputs/… [data=… data.root=… faces=512]

Takes `bundle/` and every 8-bit file in `exports/` of a run's folder, and faces of the validation split; `data=` is the
dataset that the bundle was trained on, as for `ferlab verify`. Needs Linux on x86-64 and `qemu-x86_64` (Debian:
apt-get install qemu-user); about half a minute for 512 faces of 48 pixels, some minutes for 224.

Processors multiply and add 8-bit numbers in different ways: those with VNNI in 32 bits, those before it (Intel until
2019, AMD until 2022) with AVX2's vpmaddubsw, whose sum of two products saturates at 16 bits, older ones with SSE.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from ferlab.formats import FORMATS, read

PROCESSORS = {"here": "", "Nehalem": "SSE4.2", "Haswell": "AVX2, no VNNI"}  # qemu emulates nothing newer
BATCH = 64


def main(overrides: list[str]) -> None:
    """Print a row for each file on each processor."""
    from ferlab import config
    from ferlab.bundle import load_bundle
    from ferlab.evaluation.parity import answer_all, draw, parity

    given = dict(override.split("=", 1) for override in overrides)
    bundle = load_bundle(given["bundle"])
    folder = (bundle.path or Path()).absolute().parent / "exports"
    files = [path for name, each in FORMATS.items() if "int8" in name and (path := folder / each.file).exists()]
    dataset = [] if "data" in given else [f"data={bundle.provenance['dataset']}"]
    settings = config.compose("verify", [*dataset, *overrides, f"file={folder}"])
    sample = draw(bundle, config.instantiate(settings.data), "validation", settings.faces)
    float32 = answer_all(bundle, sample.images)
    print(f"{len(sample.images):,} validation faces; against float32 {' ' * 26}against the same file here")
    print(f"{'file':<20}{'processor':<24}agree, %  accuracy, % (float32)   agree, %  worst difference")
    for file in files:
        here = None
        for processor, ability in PROCESSORS.items():
            answers = emulated(file, processor, sample.images)
            here = here or answers
            own, other = parity(float32, answers, sample), parity(here, answers, sample)
            accuracy = f"{100 * own.accuracy.file:8.2f} ({100 * own.accuracy.bundle:.2f})" if own.accuracy else "–"
            print(
                f"{file.name:<20}{f'{processor} {ability}':<24}{100 * (own.agreement or 0):8.2f}  {accuracy:<27}"
                f"{100 * (other.agreement or 0):8.2f}  {other.worst:.2g}",
                flush=True,
            )


def emulated(file: Path, processor: str, images: np.ndarray) -> dict[str, np.ndarray]:
    """The file's answers to prepared faces, computed by a process of its own on that processor."""
    emulator = [] if processor == "here" else ["qemu-x86_64", "-cpu", processor]
    with tempfile.TemporaryDirectory() as folder:
        faces, answers = Path(folder) / "faces.npy", Path(folder) / "answers.npz"
        np.save(faces, images)
        # Emulated, Python does not find its environment by its own path, and OpenBLAS not its kernels.
        found = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OPENBLAS_CORETYPE": "Nehalem"}
        command = [*emulator, sys.executable, __file__, "--answer", str(file), str(faces), str(answers)]
        done = subprocess.run(command, env={**os.environ, **found}, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{file.name} cannot be run on {processor}: {done.stderr[-500:]}")
        return dict(np.load(answers))


def answer(file: str, faces: str, answers: str) -> None:
    """What the process on the other processor does."""
    runner, images = read(file), np.load(faces)
    parts = [runner.answers(images[start : start + BATCH]) for start in range(0, len(images), BATCH)]
    np.savez(answers, **{head: np.concatenate([part[head] for part in parts]) for head in parts[0]})


if __name__ == "__main__":
    if sys.argv[1:2] == ["--answer"]:
        answer(*sys.argv[2:])
    else:
        main(sys.argv[1:])
