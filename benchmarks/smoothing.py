"""How steady and how quick the presets of `ferlab live` are, and the filter that looks ahead, on answers to real faces.

    python benchmarks/smoothing.py bundle=…/model_int8.onnx data=ferplus [data.root=…]

A person shows an expression for four seconds and then another one, at 30 frames/s; a frame is a picture of the
validation split that is labelled so. Each is shown for one frame, or for a fifth of a second: errors of a real camera
last longer than a frame. A switch of the shown label is spurious if the truth did not change within the second before.
The response is from a change to the first frame with the right label.
"""

import sys
from pathlib import Path

import numpy as np

FPS, LASTS, MINUTES, RESPONSE = 30, 4.0, 10, 1.0
CENTRED = (0.2, 0.5, 1.0)  # of `ferlab predict`, s
HELD = (1 / FPS, 0.2)  # seconds for which a picture is shown
COMMON = ("neutral", "happiness", "surprise", "sadness", "anger")


def main(overrides: list[str]) -> None:
    """Print a line for each preset."""
    from ferlab import config
    from ferlab.formats import open_model
    from ferlab.live.smooth import PRESETS

    given = dict(override.split("=", 1) for override in overrides)
    passed = [word for word in overrides if word.startswith(("data=", "data."))]
    split = config.instantiate(config.compose("verify", [*passed, f"file={given['bundle']}"]).data).split("validation")
    runner = open_model(given["bundle"])
    faces = [runner.spec.prepare(split.read(i)) for i in range(len(split))]
    parts = [runner.answers(np.stack(faces[i : i + 64]))["expression"] for i in range(0, len(faces), 64)]
    answers = np.concatenate(parts)
    pictures = {label: answers[split.labels == label] for label in map(runner.labels.index, COMMON)}
    print("preset        held, s  spurious switches in 5 s  response, s (median)  missed, %  right frames, %")
    for name, how in PRESETS.items():
        for held in HELD:
            truth, drawn = script(pictures, held)
            print(f"{name:<12}  {held:7.2f}  " + measured(truth, shown(how, drawn)), flush=True)
    for window in CENTRED:
        for held in HELD:
            truth, drawn = script(pictures, held)
            labels = looked_ahead(window, drawn, runner.labels)
            print(f"{f'centred={window}':<12}  {held:7.2f}  " + measured(truth, labels), flush=True)


def script(pictures: dict[int, np.ndarray], held: float) -> tuple[np.ndarray, np.ndarray]:
    """The true label of each frame (n,), and what the model answers (n, k)."""
    rng, truth, answers = np.random.default_rng(0), [], []
    label = -1
    for _ in range(int(MINUTES * 60 / LASTS)):
        label = int(rng.choice([each for each in pictures if each != label]))
        frames = round(LASTS * FPS)
        picked = pictures[label][rng.integers(len(pictures[label]), size=frames)]
        truth += [label] * frames
        answers.append(picked[np.arange(frames) // max(1, round(held * FPS))])
    return np.array(truth), np.concatenate(answers)


def shown(how: object, answers: np.ndarray) -> np.ndarray:
    """The label that is shown of each frame (n,)."""
    from ferlab.live.smooth import Smoother

    smoother = Smoother(how)
    return np.array([smoother(i / FPS, [0], each[None])[1][0].label for i, each in enumerate(answers)])


def looked_ahead(window: float, answers: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """The label of each frame (n,) of a video that is smoothed to both sides."""
    from ferlab.live.centred import centred
    from ferlab.live.frame import Frame
    from ferlab.live.pictures import Picture
    from ferlab.runner import Prediction

    none = np.zeros((1, 1, 3), np.uint8)
    video = (
        (
            Picture(Path("clip.mp4"), Frame(i, i / FPS, none), None, []),
            [Prediction(dict(zip(names, each, strict=True)))],
        )
        for i, each in enumerate(answers.tolist())
    )
    return np.array([names.index(said.label) for _, (said,) in centred(video, window)])


def measured(truth: np.ndarray, labels: np.ndarray) -> str:
    """Spurious switches in 5 s, the median response in s, changes that were missed, and right frames."""
    changes, switches = (np.flatnonzero(np.diff(each)) + 1 for each in (truth, labels))
    young = np.zeros(len(truth), bool)
    for start in (0, *changes):
        young[start : start + round(RESPONSE * FPS)] = True
    spurious = 5 * FPS * (~young[switches]).sum() / (~young).sum()
    after = [labels[start : start + round(LASTS * FPS)] == truth[start] for start in changes]
    waits = [int(right.argmax()) / FPS if right.any() else np.inf for right in after]
    return (f"{spurious:24.2f}  {np.median(waits):21.2f}  {100 * np.isinf(waits).mean():9.1f}  "
            f"{100 * (labels == truth).mean():15.1f}")  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1:])
