"""What a detector's crop costs: faces of a dataset laid into larger pictures, found again, cut and answered.

    python benchmarks/crop.py bundle=outputs/… detector_file=face_detection_yunet_2026may.onnx [data.root=… faces=4000]

A dataset's pictures are themselves crops, so the crop to find again is the whole picture. `ferlab.live.crop.FITS` is
what is printed as fit: medians over training faces of where the picture lies about the detector's box. The costs are
then measured on the validation split, on the faces that are found, each accuracy beside that of the untouched picture
with the standard error of their paired difference. `data=` is the dataset that the bundle was trained on.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from ferlab.bundle import Bundle
    from ferlab.data.source import Split
    from ferlab.live.detect import Detector
    from ferlab.live.frame import Faces

SIDE = 160  # pixels to which a face is enlarged
PICTURE = 320  # side of the picture that it is laid into, in the grey of its mean
CORNER = (PICTURE - SIDE) // 2
FIT_FACES = 2000


def main(overrides: list[str]) -> None:
    """Print the fit, what is found, and an accuracy for each way to cut."""
    from ferlab import config
    from ferlab.bundle import load_bundle
    from ferlab.faces import FaceCrop
    from ferlab.live.crop import FITS, Fit, crops
    from ferlab.live.frame import Faces
    from ferlab.live.haar import Haar
    from ferlab.live.yunet import YuNet

    given = dict(override.split("=", 1) for override in overrides)
    bundle = load_bundle(given["bundle"])
    dataset = str(bundle.provenance["dataset"])
    chosen = [] if "data" in given else [f"data={dataset}"]
    passed = [word for word in overrides if word.startswith(("data=", "data."))]
    source = config.instantiate(config.compose("verify", [*chosen, *passed, f"file={given['bundle']}"]).data)
    train, validation = source.split("train"), source.split("validation")
    for detector in (YuNet(Path(given["detector_file"]), sides=(PICTURE,)), Haar()):
        found = [find(detector, train, i)[1] for i in spread(train, FIT_FACES)]
        boxes = np.concatenate([faces.boxes for faces in found])
        longer = boxes[:, 2:].max(1)
        offsets = (PICTURE / 2 - boxes[:, :2] - boxes[:, 2:] / 2) / longer[:, None]
        numbers = np.column_stack([SIDE / longer, offsets])
        fit = Fit(*(round(float(value), 2) for value in np.median(numbers, 0)))
        low, high = np.percentile(numbers, [16, 84], 0)
        print(f"{detector.name}: {len(boxes):,} of {len(found):,} training faces found")
        print(f"  {fit}; 68 % of faces: side {low[0]:.2f}–{high[0]:.2f}, right {low[1]:+.2f}–{high[1]:+.2f}, "
              f"down {low[2]:+.2f}–{high[2]:+.2f}; in use {FITS.get((detector.name, dataset))}")  # fmt: skip
        face = FaceCrop(bundle.spec.face.margin)
        ways = {"picture": [], "enlarged and back": [], "box as it is": [], "fitted": []}
        labels, chosen = [], spread(validation, int(given.get("faces", 4000)))
        for i in chosen:
            picture, faces = find(detector, validation, i)
            if not len(faces):
                continue
            whole = Faces.found([[CORNER, CORNER, SIDE, SIDE]])
            ways["picture"].append(validation.read(i))
            ways["enlarged and back"] += crops(picture, whole, FaceCrop())
            ways["box as it is"] += crops(picture, faces, face)
            ways["fitted"] += crops(picture, faces, face, fit)
            labels.append(validation.labels[i])
        print(f"  {len(labels):,} of {len(chosen):,} validation faces found; accuracy, % (difference ± standard error)")
        right = {way: answer(bundle, cut) == np.array(labels) for way, cut in ways.items()}
        for way, hits in right.items():
            change = hits.astype(float) - right["picture"]
            error = change.std() / np.sqrt(len(change))
            print(f"  {way:<18} {100 * hits.mean():6.2f}  ({100 * change.mean():+.2f} ± {100 * error:.2f})", flush=True)


def spread(split: "Split", most: int) -> list[int]:
    """At most so many faces of a split, evenly."""
    return np.unique(np.linspace(0, len(split) - 1, min(most, len(split))).round().astype(int)).tolist()


def find(detector: "Detector", split: "Split", i: int) -> "tuple[np.ndarray, Faces]":
    """A larger picture with a face in its middle, and what is found of it, at most one."""
    from ferlab.live.frame import Frame

    face = split.read(i)
    picture = np.full((PICTURE, PICTURE, 3), face.mean(), np.uint8)
    picture[CORNER : CORNER + SIDE, CORNER : CORNER + SIDE] = cv2.resize(
        face, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC
    )
    return picture, detector(Frame(0, 0.0, picture))[:1]


def answer(bundle: "Bundle", faces: list[np.ndarray]) -> np.ndarray:
    """The likeliest class of each face."""
    prepared = [bundle.spec.prepare(face) for face in faces]
    parts = [np.stack(prepared[i : i + 64]) for i in range(0, len(prepared), 64)]
    return np.concatenate([bundle.logits(part)["expression"].argmax(1) for part in parts])


if __name__ == "__main__":
    main(sys.argv[1:])
