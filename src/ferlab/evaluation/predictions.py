"""What a model answers for the faces of a split: scores, comparisons and calibration are functions of this alone."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ferlab.data.hashes import Hashes, face_hash
from ferlab.data.source import Source, Split
from ferlab.errors import BundleError, DataError
from ferlab.evaluation.checks import common_heads, label_ids
from ferlab.evaluation.tta import views
from ferlab.files import replacing, why_unwritable
from ferlab.runner import Runner, softmax
from ferlab.spec import Image, ModelSpec

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Watch = Callable[[Sequence[int]], Iterable[int]]
FORMAT = 1
KINDS: dict[str, type[np.generic]] = {
    "faces": np.uint64, "rows": np.int64, "labels": np.int64,
    "target": np.float32, "logits": np.float32, "affect": np.float32,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Predictions:
    """The answers to n faces, with what is known of them.

    Attributes:
        faces: (n,) uint64, `ferlab.data.hashes.face_hash` of the untouched pixels.
        rows: (n,) int64, positions of the faces in their split.
        names: k label names, which `labels` and the logits are in the order of: the model's, or the dataset's if the
            model answers no expressions.
        labels: (n,) int64 annotated classes, positions in `names`; -1 where there is none.
        target: (n, 2) float32 annotated valence and arousal; NaN where unknown.
        logits: (n, v, k) float32 of v views of each face, or None.
        affect: (n, v, 2) float32 answered valence and arousal, or None.
        slices: attribute -> (n,) its value for each face, "" where unknown.
        temperature: of the model; its logits are divided by it.

    Raises:
        DataError: shapes that do not fit, or a label that `names` lacks.
    """

    faces: Hashes
    rows: Ints
    names: tuple[str, ...]
    labels: Ints
    target: Floats
    logits: Floats | None
    affect: Floats | None
    slices: Mapping[str, npt.NDArray[np.str_]] = field(default_factory=dict)
    temperature: float = 1.0

    def __post_init__(self) -> None:
        n, k = len(self.faces), len(self.names)
        columns: dict[str, Any] = {"rows": self.rows, "labels": self.labels, **self.slices}
        wanted: dict[str, tuple[int, ...]] = dict.fromkeys(columns, (n,)) | {"target": (n, 2)}
        columns |= {"target": self.target}
        for name, values, width in (("logits", self.logits, k), ("affect", self.affect, 2)):
            if values is not None:
                columns[name], wanted[name] = values, (n, values.shape[1] if values.ndim > 1 else 0, width)
        for name, values in columns.items():
            if values.shape != wanted[name]:
                raise DataError(f"predictions must have {name} {wanted[name]}, got {values.shape}; make them again")
        if n and not -1 <= self.labels.min() <= self.labels.max() < k:
            got = f"{self.labels.min()} to {self.labels.max()}"
            raise DataError(f"predictions must have labels from -1 to {k - 1}, got {got}; make them again")

    def __len__(self) -> int:
        return len(self.faces)

    def __repr__(self) -> str:
        answers = [", ".join(self.names)] * (self.logits is not None)
        answers += ["valence and arousal"] * (self.affect is not None)
        return f"Predictions({len(self):,} faces: {', '.join(answers)})"

    @property
    def labelled(self) -> npt.NDArray[np.bool_]:
        """(n,) whether the expression head can be scored on a face."""
        return np.logical_and(self.labels >= 0, self.logits is not None)

    @property
    def rated(self) -> npt.NDArray[np.bool_]:
        """(n,) whether the affect head can be scored on a face."""
        return np.logical_and(~np.isnan(self.target).all(1), self.affect is not None)

    def take(self, chosen: npt.NDArray[Any]) -> "Predictions":
        """Those of some faces, by position or as (n,) bool."""
        return replace(
            self,
            faces=self.faces[chosen],
            rows=self.rows[chosen],
            labels=self.labels[chosen],
            target=self.target[chosen],
            logits=None if self.logits is None else self.logits[chosen],
            affect=None if self.affect is None else self.affect[chosen],
            slices={name: values[chosen] for name, values in self.slices.items()},
        )

    def probabilities(self, temperature: float | None = None) -> npt.NDArray[np.float64]:
        """(n, k): softmax(logits / temperature) averaged over the views; by default the model's own temperature."""
        assert self.logits is not None, "the model answers no expressions"
        result: npt.NDArray[np.float64] = softmax(self.logits / (temperature or self.temperature)).mean(1)
        return result

    def pooled_logits(self) -> npt.NDArray[np.float64]:
        """(n, k) logarithms of the probabilities at temperature 1: what a temperature can be fitted to."""
        return np.log(np.maximum(self.probabilities(1.0), np.finfo(np.float64).tiny))

    def save(self, file: Path) -> None:
        """Write all of it to `file` as safetensors, atomically; DataError if that fails, as on a full disk."""
        values = {name: np.unique(column, return_inverse=True) for name, column in self.slices.items()}
        tensors = {name: array for name in KINDS if (array := getattr(self, name)) is not None}
        tensors |= {f"slice {name}": codes.astype(np.int64) for name, (_, codes) in values.items()}
        facts = {"names": self.names, "temperature": self.temperature}
        facts |= {"slices": {name: found.tolist() for name, (found, _) in values.items()}}
        contiguous = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
        try:
            with replacing(file) as temporary:
                save_file(contiguous, temporary, metadata={"format": str(FORMAT), "predictions": json.dumps(facts)})
        except (OSError, SafetensorError) as error:
            raise DataError(f"cannot write the predictions {file}: {why_unwritable(error)}; free some space") from error

    @classmethod
    def load(cls, file: Path) -> "Predictions":
        """What `save` wrote; DataError if it is missing, damaged or something else."""
        if not file.is_file():
            raise DataError(f"predictions must be a file, got {file}, which is none; check the path")
        try:
            with safe_open(file, "np") as opened:
                facts, names = opened.metadata() or {}, list(opened.keys())
                arrays = {name: opened.get_tensor(name) for name in names}
            if facts.get("format") != str(FORMAT):
                raise ValueError(f"format {facts.get('format')} in place of {FORMAT}")
            known = json.loads(facts["predictions"])
            codes = {name: arrays.pop(f"slice {name}") for name in known["slices"]}
            slices = {name: np.array(values, np.str_)[codes[name]] for name, values in known["slices"].items()}
            for name, array in arrays.items():
                if array.dtype != KINDS[name]:
                    raise ValueError(f"{name} must be {np.dtype(KINDS[name])}, got {array.dtype}")
                if name in ("logits", "affect") and not np.isfinite(array).all():
                    raise ValueError(f"{name} must be finite, got NaN or infinity")
            heads = {name: arrays.pop(name, None) for name in ("logits", "affect")}
            labels, temperature = tuple(map(str, known["names"])), float(known["temperature"])
            if not 0 < temperature < float("inf"):
                raise ValueError(f"temperature must be positive and finite, got {temperature}")
            return cls(**arrays, **heads, names=labels, slices=slices, temperature=temperature)
        except (
            SafetensorError,
            OSError,
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            IndexError,
            RecursionError,
            DataError,
        ) as error:
            reason = " ".join(str(error).split())[:200]
            raise DataError(f"{file} must hold predictions: {reason}; make them again") from error


def predict(
    model: Runner, source: Source, split: str, tta: str = "plain", batch_size: int = 256, watch: Watch = iter
) -> Predictions:
    """Answer the faces of a split that are labelled for a head of the model, reading each once.

    Args:
        model, source: who answers, and on what; labels are mapped by name.
        split: its name.
        tta: a name in `ferlab.evaluation.tta.VIEWS`.
        batch_size: faces at a time; each view is a batch of its own.
        watch: wraps the sequence of batch starts, for a progress bar.

    Raises:
        DataError: no such split, or a face that cannot be read.
        LabelError: faces with a label that the model cannot name.
        BundleError: the split has labels for no head of the model.
        BundleError, ExportError: an answer is not finite.
        ConfigError: no such tta.
    """
    augment, part = views(tta), source.split(split)
    common, _ = common_heads(model, source, part)
    names = model.spec.expression or source.labels
    labels, target = part.labels, np.full((len(part), 2), np.nan, np.float32)
    if model.spec.expression:
        labels = label_ids(model, source, part) if "expression" in common else np.full(len(part), -1)
    if part.affect is not None and "affect" in common:
        target = part.affect
    rows = np.flatnonzero(("expression" in common) & (labels >= 0) | ~np.isnan(target).all(1))
    hashes, answers = [], []
    for start in watch(range(0, len(rows), batch_size)):
        faces = [part.read(int(row)) for row in rows[start : start + batch_size]]
        hashes += [face_hash(face) for face in faces]
        prepared = np.stack([model.spec.prepare(face) for face in faces])
        answers.append([model.logits(view) for view in augment(prepared)])
    heads = {
        head: np.concatenate([np.stack([view[head] for view in batch], axis=1) for batch in answers])
        for head in answers[0][0]
    }
    return Predictions(
        faces=np.array(hashes, np.uint64),
        rows=rows,
        names=names,
        labels=labels[rows],
        target=target[rows],
        logits=heads.get("expression"),
        affect=heads.get("affect"),
        slices={name: column[rows] for name, column in part.slices.items()},
        temperature=model.spec.temperature,
    )


def prepared(spec: ModelSpec, split: Split, rows: Ints) -> Image:
    """The faces at `rows` as the network takes them, (n, c, s, s) uint8."""
    return np.stack([spec.prepare(split.read(int(row))) for row in rows])


def unseen(predictions: Predictions, models: Sequence[Runner]) -> Predictions:
    """Those of the faces that no model, nor a parent of one, was trained or selected on.

    Raises:
        BundleError: a model that does not say what it has seen.
        DataError: there is no such face.
    """
    known = np.zeros(len(predictions), bool)
    for model in models:
        if model.past is None or not model.past.whole:
            raise BundleError(
                f"{model.path} must say which faces it and its parents have seen, got no such record; train it again "
                "or leave out unseen=true"
            )
        known |= np.logical_or(*model.past.seen(predictions.faces))
    if known.all():
        raise DataError(
            f"unseen=true must leave a face to score, got {len(known):,} that were all seen; choose other data"
        )
    return predictions.take(~known)
