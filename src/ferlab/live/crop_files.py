"""The crops that the model saw, as an image folder with a folder a label: what was it looking at?"""

import csv
import io
from typing import Any

import cv2
import numpy as np

from ferlab.evaluation.text import no_formula
from ferlab.live.pipeline import Seen
from ferlab.live.store import Store
from ferlab.spec import Image, ModelSpec

CROPS, TABLE = "crops", "crops.csv"
NO_LABEL = "faces"  # the folder of a model without labels
NO_NAME = '/\\:*?"<>|%'  # what a folder's name cannot hold on one system or another, and the sign that stands for it


class Crops:
    """Writes every crop after `ModelSpec.prepare`, and a row of crops.csv with the model's own answers: a `Sink`.

    Args:
        store: takes the files.
        spec: of the model.
    """

    name = CROPS

    def __init__(self, store: Store, spec: ModelSpec) -> None:
        self._store, self._spec, self._begun, self._written = store, spec, False, 0

    def write(self, seen: Seen) -> None:
        """See `Sink.write`."""
        if not self._begun:
            self._begun = True
            said = ["label", "confidence", *self._spec.expression] if self._spec.expression else []
            affect = ["valence", "arousal"] if self._spec.affect else []
            self._row(["file", "frame", "time", "track", *said, *affect])
        for i, person in enumerate(seen.people):
            folder = NO_LABEL if person.label is None else folder_name(person.label)
            file = f"{folder}/{seen.frame.index:06d}_{person.track}.png"
            self._store.put(f"{CROPS}/{file}", png(seen.inputs[i]))
            row = [file, seen.frame.index, round(seen.frame.time, 4), person.track]
            if person.label is not None and person.confidence is not None:
                row += [person.label, round(person.confidence, 6)]
            numbers = np.concatenate([seen.raw[i], seen.raw_affect[i]]).tolist()
            self._row([*row, *(round(value, 6) for value in numbers)])
            self._written += 1

    def close(self) -> None:
        """See `Sink.close`."""

    def summary(self) -> dict[str, Any]:
        """See `Sink.summary`."""
        return {"written": self._written}

    def _row(self, cells: list[Any]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow(no_formula(c) if isinstance(c, str) else c for c in cells)
        self._store.add(f"{CROPS}/{TABLE}", text.getvalue().encode(errors="backslashreplace"))


def folder_name(label: str) -> str:
    """A label as a folder is called: what no name can hold is %2F and the like."""
    shown = "".join(f"%{ord(letter):02X}" if letter in NO_NAME else letter for letter in label)
    return f"%2E{shown[1:]}" if shown.startswith(".") else shown


def png(prepared: Image) -> bytes:
    """A prepared image (c, s, s) uint8, grey or RGB, as a PNG file, which loses nothing."""
    picture = prepared[0] if len(prepared) == 1 else prepared.transpose(1, 2, 0)[:, :, ::-1]
    return cv2.imencode(".png", picture)[1].tobytes()
