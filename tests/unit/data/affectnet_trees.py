"""AffectNet's releases, written by hand from rows of (name, expression, valence, arousal) with given landmarks."""

import cv2
import numpy as np

PARTS = {"train": "train_set", "validation": "val_set"}
HEADER = "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"
NO_LANDMARKS = np.zeros((68, 2))


def jpeg(path, shade=90, shape=(12, 12, 3)):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = cv2.imencode(".jpg", np.full(shape, shade, np.uint8))[1].tobytes()
    path.write_bytes(picture + path.name.encode())  # no two files are equal; what follows the picture is not decoded


def landmarks(left=(3, 4), right=(9, 4)):
    """Two rings of six points about the eyes; the other points lie far away, so that their use would show."""
    ring = np.stack([np.cos(np.arange(6) * np.pi / 3), np.sin(np.arange(6) * np.pi / 3)], 1)
    points = np.full((68, 2), 1000.0)
    points[36:42], points[42:48] = ring + left, ring + right
    return points


def note(root, face, kind, value, part="train"):
    np.save(root / PARTS[part] / "annotations" / f"{face}_{kind}.npy", value)


def write_npy(root, rows, part="train", points=NO_LANDMARKS):
    """rows: (name, expression, valence, arousal), saved as 0-d text, as released."""
    for folder in ("annotations", "images"):
        (root / PARTS[part] / folder).mkdir(parents=True, exist_ok=True)
    for face, *values in rows:
        jpeg(root / PARTS[part] / "images" / f"{face}.jpg")
        for kind, value in zip(("exp", "val", "aro"), values, strict=True):
            note(root, face, kind, np.array(str(value)), part)
        note(root, face, "lnd", points.ravel(), part)
    return root


def csv_row(name, expression, valence, arousal, box=(2, 3, 6, 6), points=NO_LANDMARKS):
    numbers = points if isinstance(points, str) else ";".join(f"{value:.4f}" for value in np.ravel(points))
    return ",".join(map(str, (name, *box, numbers, expression, valence, arousal)))


def write_csv(root, lines, name="training.csv", header=True):
    """lines: of csv_row; the pictures that they name are written too."""
    root.mkdir(exist_ok=True)
    (root / name).write_text("\n".join([HEADER] * header + lines) + "\n")
    for line in lines:
        jpeg(root / "Manually_Annotated_Images" / line.split(",")[0])
    return root
