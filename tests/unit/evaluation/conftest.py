from pathlib import Path

import numpy as np
import pytest

from ferlab.bundle import Bundle
from ferlab.data.images import ArrayImages
from ferlab.data.source import Source, Split
from ferlab.evaluation.predictions import predict
from ferlab.evaluation.report import score
from ferlab.evaluation.settings import Settings
from ferlab.models import build
from ferlab.spec import ModelSpec

LABELS = ("anger", "happiness")


def made_split(labels, affect=None, slices=None, name="validation"):
    """Grey faces, the i-th all of brightness i."""
    n = len(labels)
    pixels = np.repeat(np.arange(n, dtype=np.uint8), 256).reshape(n, 16, 16)
    images = ArrayImages(pixels, np.arange(n), Path("faces.csv"), np.arange(n) + 2)
    rated = None if affect is None else np.array(affect, np.float32)
    columns = {key: np.array(values, np.str_) for key, values in (slices or {}).items()}
    return Split(name, images, np.array(labels, np.int64), affect=rated, slices=columns)


def made_source(*splits, labels=LABELS):
    return Source("drawn", labels, {split.name: split for split in splits}, "drawn faces", "none")


def reported(model, source, **settings):
    """The report of a model on a source."""
    how = Settings(**{"bootstrap": 10} | settings)
    return score(predict(model, source, how.split, how.tta, how.batch_size), model, source, how)


@pytest.fixture
def answering(monkeypatch):
    """A function that makes a bundle which answers face i with the i-th row of what it is given."""

    def make(expression=None, affect=None, labels=LABELS):
        spec = ModelSpec(() if expression is None else labels, affect=affect is not None, size=16)
        given = {"expression": expression, "affect": affect}
        answers = {head: np.array(rows, np.float32) for head, rows in given.items() if rows is not None}

        def logits(self, images):
            return {head: rows[images[:, 0, 0, 0]] for head, rows in answers.items()}

        monkeypatch.setattr(Bundle, "logits", logits)
        net = build(spec, "custom_cnn", {"widths": [4], "hidden": 8}).eval()
        return Bundle(spec, {"name": "custom_cnn", "options": {}}, net, {}, Path("run/bundle"))

    return make
