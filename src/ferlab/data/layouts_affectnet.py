"""Drawn faces in AffectNet's layouts, with what its rules are for: faces without an expression, and unknown affect."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from ferlab.data.affectnet_annotations import EXPRESSIONS, UNKNOWN
from ferlab.data.affectnet_csv import COLUMNS, LISTS, PICTURES
from ferlab.data.affectnet_npy import FOLDERS
from ferlab.data.drawn import landmarks
from ferlab.data.source import Split, SplitName
from ferlab.data.synthetic import face_rng, sample_face
from ferlab.labels import AFFECTNET
from ferlab.spec import Image

ABSENT: dict[SplitName, str] = {"test": "AffectNet's test part is not public"}
PERIOD = 24  # of this many faces one each is none, uncertain and non-face, and one each has no valence or no arousal


@dataclass(frozen=True)
class Face:
    """One drawn face as AffectNet would have it.

    Attributes:
        picture: (size, size, 3) uint8 RGB.
        expression: index in EXPRESSIONS.
        affect: valence and arousal, -2 where unknown.
        landmarks: (68, 2) x and y in pixels of the picture, zeros where there is no expression.
    """

    picture: Image
    expression: int
    affect: tuple[float, float]
    landmarks: npt.NDArray[np.float64]


def write_npy(out: Path, splits: Mapping[SplitName, Split], seed: int) -> None:
    """`train_set/images/0.jpg` and `train_set/annotations/0_{exp,val,aro,lnd}.npy`, numbers as text as released."""
    for split, part in FOLDERS.items():
        notes = out / part / "annotations"
        notes.mkdir(parents=True)
        for i, face in enumerate(_faces(splits.get(split), seed)):
            write_jpeg(out / part / "images" / f"{i}.jpg", face.picture)
            for kind, value in (("exp", face.expression), ("val", face.affect[0]), ("aro", face.affect[1])):
                np.save(notes / f"{i}_{kind}.npy", np.array(str(value)))
            np.save(notes / f"{i}_lnd.npy", face.landmarks.ravel())


def write_annotations(out: Path, splits: Mapping[SplitName, Split], seed: int) -> None:
    """The pictures of the npy release, and a list a part without landmarks."""
    for split, part in FOLDERS.items():
        lines = ["number,exp,valence,arousal"]
        for i, face in enumerate(_faces(splits.get(split), seed)):
            write_jpeg(out / part / "images" / f"{i}.jpg", face.picture)
            lines.append(f"{i},{face.expression},{face.affect[0]},{face.affect[1]}")
        if split in splits:
            (out / f"{part}_annotation_without_lnd.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_csv(out: Path, splits: Mapping[SplitName, Split], seed: int) -> None:
    """The older release: each face somewhere in a larger picture, and a list a part that says where."""
    for split, name in LISTS.items():
        lines = [",".join(COLUMNS)]
        for i, face in enumerate(_faces(splits.get(split), seed)):
            path = f"{i % 10}/{name[0]}{i:07x}.jpg"
            rng = np.random.default_rng((seed, *name.encode(), i))
            size = len(face.picture)
            left, top = (int(value) for value in rng.integers(0, (size + 1, size // 2 + 1)))
            scene = np.empty((size + size // 2, 2 * size, 3), np.uint8)
            scene[:] = rng.integers(0, 256, 3)
            scene[top : top + size, left : left + size] = face.picture
            write_jpeg(out / PICTURES[0] / path, scene)
            points = face.landmarks + (face.landmarks != 0).any() * np.array([left, top])
            numbers = ";".join(f"{value:.2f}" for value in points.ravel())
            lines.append(
                f"{path},{left},{top},{size},{size},{numbers},{face.expression},{face.affect[0]},{face.affect[1]}"
            )
        if split in splits:
            (out / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_jpeg(path: Path, picture: Image) -> None:
    """Write (h, w, 3) RGB to `path`; OSError if that fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes())


def _faces(split: Split | None, seed: int) -> Iterator[Face]:
    """The faces of a split drawn with that seed, some spoilt as AffectNet's are."""
    if split is None or split.affect is None:
        return
    for i, label in enumerate(split.labels):
        picture = split.read(i)
        valence, arousal = (round(float(value), 6) for value in split.affect[i])
        kind = i % PERIOD
        if kind in (5, 11, 17):
            expression = EXPRESSIONS.index({5: "none", 11: "uncertain", 17: "non-face"}[kind])
            yield Face(picture, expression, (UNKNOWN, UNKNOWN), np.zeros((68, 2)))
            continue
        _, features, looks = sample_face(AFFECTNET, face_rng(split.name, i, seed))
        points = landmarks(features, looks, len(picture))
        yield Face(picture, int(label), (UNKNOWN if kind == 8 else valence, UNKNOWN if kind == 20 else arousal), points)
