"""The report of an evaluation: one record, of which report.json, the terminal's tables and the page are three views."""

from collections.abc import Mapping
from dataclasses import dataclass, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ferlab import __version__
from ferlab.data.source import Source, Split
from ferlab.errors import printable
from ferlab.evaluation.affect import Affect, score_affect
from ferlab.evaluation.baselines import affect_baseline, baselines
from ferlab.evaluation.camera import Camera
from ferlab.evaluation.checks import Seen, common_heads, count_caution, crop_caution, seen_faces
from ferlab.evaluation.expression import Expression, score_expression
from ferlab.evaluation.predictions import Predictions
from ferlab.evaluation.settings import Settings
from ferlab.evaluation.slices import Attribute, score_slices
from ferlab.evaluation.table import table
from ferlab.evaluation.tta import crop_side, view_count
from ferlab.labels import AFFECT
from ferlab.provenance import commit
from ferlab.runner import Runner

if TYPE_CHECKING:
    from pandas import DataFrame

SHOWN = ("accuracy", "macro_f1", "valence_ccc", "arousal_ccc")  # scores, where a report is printed
FORMAT = 3  # of report.json; 2 had `selection` in place of `seen` and `trained`, and none of the figures' numbers


@dataclass(frozen=True)
class Scored:
    """The model: where it lies, what it is and answers, and its provenance, plain values."""

    path: str
    digest: str
    model: dict[str, Any]
    parameters: int | None
    size: int
    colour: str
    labels: list[str]
    affect: bool
    provenance: dict[str, Any]


@dataclass(frozen=True)
class Dataset:
    """The faces: how many were scored, and how many more the split has; the rest is as in `Source`."""

    name: str
    protocol: str
    licence: str
    confidential: bool
    digest: str
    split: str
    images: int
    left_out: int
    labels: list[str]
    mapping: dict[str, str]
    dropped: dict[str, int]


@dataclass(frozen=True)
class Report:
    """All that a reader needs of a model's score on a split; `document` of it is report.json.

    Attributes:
        format: FORMAT.
        created: the time, UTC.
        ferlab: `version` and `commit` of the code that scored.
        protocol: one sentence without which the score means nothing: data, filter, split, number of faces, views, code.
        trained: one sentence on how the model was trained.
        cautions: what a reader must know before believing the scores.
        left_out: a sentence for each head that the model or the split lacks.
        bundle, dataset: what was scored, on what.
        settings: tta, views a face, unseen, bootstrap and seed.
        seen: what the model knew of these faces.
        expression, affect: the score of each head; None where the model lacks it or no face is labelled for it.
        camera: what is left of the expressions' accuracy when the faces come from a camera; None unless asked for.
        slices: attribute -> the scores of its values; empty if the split has none.
        answers, faces: what was scored, and the split that it is of; not in report.json.
    """

    format: int
    created: str
    ferlab: dict[str, str | None]
    protocol: str
    trained: str
    cautions: list[str]
    left_out: list[str]
    bundle: Scored
    dataset: Dataset
    settings: dict[str, Any]
    seen: Seen
    expression: Expression | None
    affect: Affect | None
    camera: Camera | None
    slices: dict[str, Attribute]
    answers: Predictions
    faces: Split

    def document(self) -> dict[str, Any]:
        """report.json: everything but the answers and the faces, as plain values."""
        result: dict[str, Any] = _plain({k: v for k, v in vars(self).items() if k not in ("answers", "faces")})
        return result

    @property
    def scores(self) -> dict[str, float]:
        """Every score by name: those of `expression`, ece at the bundle's temperature, valence_ccc and arousal_ccc."""
        result: dict[str, float] = {}
        if self.expression is not None:
            own = self.expression.calibration.ece_bundle
            result |= self.expression.scores
            result["ece"] = self.expression.calibration.ece_before if own is None else own
        if self.affect is not None:
            found = self.affect.scores
            result |= {f"{name}_ccc": found[name]["ccc"] for name in AFFECT if name in found}
        return result

    @property
    def confusion(self) -> "DataFrame | None":
        """Faces by true label (rows) and predicted one (columns); None if no expressions were scored."""
        import pandas as pd

        if self.expression is None:
            return None
        names = list(self.expression.classes)
        return pd.DataFrame(self.expression.confusion, pd.Index(names, name="true"), pd.Index(names, name="predicted"))

    @property
    def predictions(self) -> "DataFrame":
        """A row a scored face, the columns of predictions.csv: see `ferlab.evaluation.table.table`."""
        import pandas as pd

        return pd.DataFrame(table(self.answers, self.faces))

    def write(self, folder: str | Path, show_faces: bool | None = None) -> Path:
        """Write report.html, report.json and predictions.csv, as `ferlab.evaluation.page.write_report` does.

        Returns:
            The page.
        """
        from ferlab.evaluation.page import write_report

        return write_report(self, Path(folder).expanduser(), show_faces)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from ferlab.evaluation.page import render_summary

        return render_summary(self)

    def __repr__(self) -> str:
        where = f"{self.bundle.model.get('name')} on {self.dataset.name} {self.dataset.split}"
        shown = [f"{key} {self.scores[key]:.3f}" for key in SHOWN if key in self.scores]
        return printable(f"Report({where}, {self.dataset.images:,} faces: {', '.join(shown)})")


def _plain(value: Any) -> Any:
    """Dataclasses as dicts, also within dicts and lists."""
    if is_dataclass(value):
        value = vars(value)
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def score(predictions: Predictions, model: Runner, source: Source, settings: Settings, left_out: int = 0) -> Report:
    """Score answers, each head on the faces that are labelled for it.

    Args:
        predictions: of faces of the split that `settings` names.
        model, source: who answered, and on what.
        settings: how.
        left_out: labelled faces that were taken away because a model had seen them.
    """
    split = source.split(settings.split)
    scored = split.take(predictions.rows)
    labelled, rated = predictions.take(predictions.labelled), predictions.take(predictions.rated)
    expression, affect = None, None
    if len(labelled):
        guesses = baselines(source, scored, settings.seed)
        expression = score_expression(labelled, split, guesses, settings)
    if len(rated):
        constant = affect_baseline(source, scored.take(np.flatnonzero(predictions.rated)), rated.target)
        affect = score_affect(rated, source.labels, constant, settings)
    seen = seen_faces(model, predictions.faces, left_out)
    return Report(
        format=FORMAT,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        ferlab={"version": __version__, "commit": commit()},
        protocol=protocol(source, split, model, settings, len(predictions), left_out),
        trained=trained(model.provenance),
        cautions=_cautions(seen, model, source, split, expression, affect),
        left_out=list(common_heads(model, source, split)[1]),
        bundle=_model(model),
        dataset=_dataset(source, split, len(predictions)),
        settings={
            "tta": settings.tta,
            "views": view_count(settings.tta),
            "unseen": settings.unseen,
            "bootstrap": settings.bootstrap,
            "seed": settings.seed,
        },
        seen=seen,
        expression=expression,
        affect=affect,
        camera=None,
        slices=score_slices(predictions, settings),
        answers=predictions,
        faces=split,
    )


def protocol(source: Source, split: Split, model: Runner, settings: Settings, faces: int, left_out: int) -> str:
    """How the evaluation was done: data, filter, labels, split, number of faces, views, code."""
    size = model.spec.size
    seen = {
        "plain": "one plain view a face",
        "flip": "mean of the face and its mirror image",
        "ten_crop": f"ten-crop ({crop_side(size)} of {size} pixels, enlarged, with mirrors)",
    }[settings.tta]
    return (
        f"{source.protocol_of(split.name)}; {split.name} split, {faces:,} images"
        f"{unseen_only(settings.unseen, left_out)}; {seen}; "
        f"ferlab {__version__}, commit {commit() or 'unknown'}"
    )


def unseen_only(unseen: bool, left_out: int) -> str:
    """What a protocol says after the number of faces, if only unseen ones were scored."""
    return f" never trained or selected on ({left_out:,} others left out)" if unseen else ""


def trained(provenance: Mapping[str, Any]) -> str:
    """How the model was trained, as far as its provenance says."""
    if not provenance.get("dataset"):
        return "how the model was trained is not known"
    said = [str(provenance.get("protocol") or provenance["dataset"])]
    start, teacher = (_origin(provenance, key) for key in ("weights", "teacher"))
    said.append(
        f"{f'from {start}' if start else 'from scratch'}, {f'taught by {teacher}' if teacher else 'no teacher'}"
    )
    if selected := provenance.get("selected"):
        said.append(f"selected by {selected}")
    if (seed := provenance.get("seed")) is not None:
        said.append(f"seed {seed}")
    return "; ".join([*said, f"commit {provenance.get('commit') or 'unknown'}"])


def _origin(provenance: Mapping[str, Any], key: str) -> str | None:
    """Where the start weights or the teacher lay; None if there were none."""
    found = provenance.get(key, "something that is not known")
    return str(found.get("path")) if isinstance(found, Mapping) else found


def _cautions(
    seen: Seen, model: Runner, source: Source, split: Split, expression: Expression | None, affect: Affect | None
) -> list[str]:
    n = len(split)
    said = [seen.text if seen.flatters else None, crop_caution(model, source), count_caution(source, split)]
    if expression is not None:
        if missing := int((split.labels < 0).sum()):
            said.append(f"{missing:,} of {n:,} faces have no expression label and were left out")
        if expression.calibration.ece_after is None:
            said.append(f"{expression.faces} faces are too few to fit a temperature on some and apply it to others")
    if affect is not None and split.affect is not None:
        lacking = np.isnan(split.affect).sum(0)
        said += [
            f"{missing:,} of {n:,} faces have no {name} and were left out of its scores"
            for name, missing in zip(AFFECT, lacking, strict=True)
            if missing
        ]
    return [caution for caution in said if caution]


def _model(model: Runner) -> Scored:
    spec = model.spec
    return Scored(
        path=str(model.path),
        digest=spec.digest,
        model=dict(model.model),
        parameters=model.parameters,
        size=spec.size,
        colour=spec.colour,
        labels=list(spec.expression),
        affect=spec.affect,
        provenance=dict(model.provenance),
    )


def _dataset(source: Source, split: Split, images: int) -> Dataset:
    return Dataset(
        name=source.name,
        protocol=source.protocol_of(split.name),
        licence=source.licence,
        confidential=source.confidential,
        digest=source.digest(),
        split=split.name,
        images=images,
        left_out=len(split) - images,
        labels=list(source.labels),
        mapping=dict(source.mapping),
        dropped=dict(source.dropped),
    )
