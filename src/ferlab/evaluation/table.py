"""Every scored face with its truth and its answers: predictions.csv, and the same as a data frame."""

import csv
import io
from typing import Any

import numpy as np

from ferlab.data.source import Split
from ferlab.evaluation.affect import answered
from ferlab.evaluation.predictions import Predictions
from ferlab.evaluation.text import no_formula
from ferlab.labels import AFFECT

FILE = "predictions.csv"


def table(predictions: Predictions, split: Split) -> dict[str, Any]:
    """The answers by column, n values each.

    Returns:
        row: position of the face in its split. image: where it is stored. hash: sixteen hex digits of
        `ferlab.past.face_hash`, the same for the same pixels in any dataset. true: the label, missing where there is
        none. For a model with expressions: predicted, and p_<label> float32, the probability at the model's
        temperature, averaged over the views, in the order of its labels. For one with affect: true_valence and
        true_arousal, NaN where unknown, valence and arousal. For each attribute slice_<name>, "" where unknown.
    """
    rows, names = predictions.rows, np.array([*predictions.names, None], object)
    columns: dict[str, Any] = {
        "row": rows,
        "image": [split.images.name(int(row)) for row in rows],
        "hash": [f"{face:016x}" for face in predictions.faces.tolist()],
        "true": names[predictions.labels],  # -1, no label, is the None at the end
    }
    if predictions.logits is not None:
        shares = predictions.probabilities()
        columns["predicted"] = names[shares.argmax(1)]
        columns |= {f"p_{name}": shares[:, i].astype(np.float32) for i, name in enumerate(predictions.names)}
    if predictions.affect is not None:
        columns |= {f"true_{name}": predictions.target[:, i] for i, name in enumerate(AFFECT)}
        columns |= {name: answered(predictions)[:, i] for i, name in enumerate(AFFECT)}
    return columns | {f"slice_{name}": values for name, values in predictions.slices.items()}


def as_csv(columns: dict[str, Any]) -> str:
    """The table as CSV: a number has the digits that its float32 needs, and what is unknown is empty.

    A text that a spreadsheet would take for a formula begins with an apostrophe.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(map(no_formula, columns))
    writer.writerows(zip(*(map(_cell, values) for values in columns.values()), strict=True))
    return file.getvalue()


def _cell(value: Any) -> str:
    if value is None or value != value:  # NaN
        return ""
    return no_formula(value) if isinstance(value, str) else str(value)
