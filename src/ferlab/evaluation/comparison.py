"""Several models on the same faces, in one table: repeats over seeds are one row, differences are paired by face."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ferlab import __version__
from ferlab.bundle import Bundle
from ferlab.data.source import Source
from ferlab.errors import BundleError, ConfigError, suggest
from ferlab.evaluation.checks import common_heads, label_ids
from ferlab.evaluation.expression import Expression
from ferlab.evaluation.paired import ALPHA, Difference, difference, holm, mean_interval, p_value
from ferlab.evaluation.predictions import Predictions
from ferlab.evaluation.repeats import named
from ferlab.evaluation.report import Report, unseen_only
from ferlab.evaluation.text import percent
from ferlab.files import read_json
from ferlab.metrics import LOWER_IS_BETTER
from ferlab.provenance import commit

FORMAT = 2  # of compare.json; in 1 no p was corrected, and members had `selection` in place of `seen`
COLUMNS = {
    "accuracy": "accuracy, %",
    "macro_f1": "macro F1, %",
    "mean_recall": "mean recall, %",
    "nll": "NLL, nats",
    "ece": "ECE, %",
    "valence_ccc": "valence CCC",
    "arousal_ccc": "arousal CCC",
}
EXPRESSION_METRICS = tuple(COLUMNS)[:5]
LOWER = LOWER_IS_BETTER | {"ece"}


@dataclass(frozen=True)
class Member:
    """One bundle: where it lies, how it was trained, what it had seen of these faces, and its scores (see COLUMNS)."""

    path: str
    seed: int | None
    digest: str
    trained: str
    seen: str
    scores: dict[str, float]
    provenance: dict[str, Any]


@dataclass(frozen=True)
class Model:
    """A row of the table: one bundle, or several that differ only in their seed.

    Attributes:
        name: as `repeats.group` gives it.
        model, parameters, size, colour: as in `report.Scored`.
        seeds: how many members.
        scores, spread: metric -> mean and sample standard deviation over the members; the latter is empty for one.
        interval: of the accuracy, 95 % over the faces; for one bundle that of its report.
        recall: label -> mean recall over the members, for the labels that occur, in the dataset's order.
        epoch_s: seconds that the kept epoch took, mean over the members that know it; None if none does.
        difference: to the reference; None for the reference itself.
        members: at least one.
    """

    name: str
    model: dict[str, Any]
    parameters: int | None
    size: int
    colour: str
    seeds: int
    scores: dict[str, float]
    spread: dict[str, float]
    interval: tuple[float, float]
    recall: dict[str, float]
    epoch_s: float | None
    difference: Difference | None
    members: list[Member]


@dataclass(frozen=True)
class Comparison:
    """All that a reader needs; `dataclasses.asdict` of it is compare.json.

    Attributes:
        format, created, ferlab, protocol: as in `Report`.
        summary: the differences in words.
        correction: how p was corrected, and why.
        cautions: `text` and the names of the `models` that it concerns.
        dataset: as in `Report`, and `classes`, label -> faces, those that occur.
        settings: tta, unseen, bootstrap, seed, sort and alpha.
        metrics: those of COLUMNS that a model has.
        reference: name of the model that the others are compared with.
        models: the best first.
        baselines, baseline_note: as in `Expression`.
    """

    format: int
    created: str
    ferlab: dict[str, str | None]
    protocol: str
    summary: str
    correction: str
    cautions: list[dict[str, Any]]
    dataset: dict[str, Any]
    settings: dict[str, Any]
    metrics: list[str]
    reference: str
    models: list[Model]
    baselines: dict[str, dict[str, float]]
    baseline_note: str


@dataclass(frozen=True)
class Entry:
    """What the table needs of one bundle.

    Attributes:
        report: its score on the split.
        scores: those of COLUMNS that it has; nll and ece at the bundle's own temperature.
        correct: (n,) bool over the labelled faces, in the same order for every bundle.
    """

    report: Report
    scores: Mapping[str, float]
    correct: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, report: Report, predictions: Predictions) -> "Entry":
        """From a report, and the answers that it is of."""
        scores = {name: report.scores[name] for name in COLUMNS if name in report.scores}
        labelled = predictions.take(predictions.labelled)
        return cls(report, scores, labelled.probabilities().argmax(1) == labelled.labels)


def expression_of(report: Report) -> Expression:
    """The expression part of a report that `check` has let through."""
    assert report.expression is not None, "check it first"
    return report.expression


@dataclass(frozen=True)
class Row:
    """Entries that differ only in their seed, one at least, and their name."""

    name: str
    entries: tuple[Entry, ...]

    def values(self) -> dict[str, list[float]]:
        """Metric -> its value for each entry, for the metrics that all of them have."""
        shared = [name for name in COLUMNS if all(name in entry.scores for entry in self.entries)]
        return {name: [entry.scores[name] for entry in self.entries] for name in shared}

    @property
    def scores(self) -> dict[str, float]:
        """The mean over the entries of each metric."""
        return {name: float(np.mean(values)) for name, values in self.values().items()}

    @property
    def correct(self) -> npt.NDArray[np.float64]:
        """(n,) share of the entries that get each face right."""
        result: npt.NDArray[np.float64] = np.mean([entry.correct for entry in self.entries], axis=0)
        return result


def comparison(rows: Sequence[Row], sort: str = "accuracy", reference: str | None = None) -> Comparison:
    """Sort the rows, those without that metric last, and compare each with the one called `reference`.

    Without a name the reference is the first row. These very scores have chosen it then, so p is corrected by Holm's
    method over all pairs of rows: of eight equal models the best would else be called better than one of the others
    in nearly half of all runs.
    """

    def place(row: Row) -> tuple[bool, float]:
        value = row.scores.get(sort, 0.0)
        return sort not in row.scores, value if sort in LOWER else -value

    ordered = sorted(rows, key=place)
    base = next((row for row in ordered if row.name == reference), ordered[0])
    corrected = _corrected(ordered) if reference is None else {}
    first = base.entries[0].report
    expression, how = expression_of(first), first.settings
    models = []
    for row in ordered:
        apart = None
        if row is not base:
            single = len(row.entries) == len(base.entries) == 1
            p_holm = corrected.get(row.name)
            apart = difference(row.correct, base.correct, single, how["bootstrap"], how["seed"], p_holm)
        models.append(_model(row, apart))
    dataset = {key: getattr(first.dataset, key) for key in ("name", "protocol", "licence", "digest", "split")}
    classes = {name: expression.classes[name].support for name in models[0].recall}
    faces = expression.faces
    return Comparison(
        format=FORMAT,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        ferlab={"version": __version__, "commit": commit()},
        protocol=f"{dataset['protocol']}; {dataset['split']} split, {faces:,} images"
        f"{unseen_only(how['unseen'], first.seen.left_out)}, the same for every model; tta {how['tta']}; "
        f"ferlab {__version__}, commit {commit() or 'unknown'}",
        summary=_summary(models, base),
        correction=_correction(len(rows), reference is None),
        cautions=_cautions(ordered),
        dataset=dataset | {"images": faces, "classes": classes},
        settings={key: how[key] for key in ("tta", "unseen", "bootstrap", "seed")} | {"sort": sort, "alpha": ALPHA},
        metrics=[name for name in COLUMNS if any(name in model.scores for model in models)],
        reference=base.name,
        models=models,
        baselines=expression.baselines,
        baseline_note=expression.baseline_note,
    )


def _corrected(rows: Sequence[Row]) -> dict[str, float]:
    """Name of each row but the first -> p of its difference to the first, corrected over all pairs of rows."""
    pairs = list(combinations(rows, 2))
    plain = [p_value(a.correct, b.correct, len(a.entries) == len(b.entries) == 1) for a, b in pairs]
    return {b.name: p for (a, b), p in zip(pairs, holm(plain), strict=True) if a is rows[0]}


def _correction(models: int, chosen_here: bool) -> str:
    if models < 3:
        return "p is of one comparison, so there is nothing to correct"
    if chosen_here:
        return (
            f"p is corrected by Holm's method for all {models * (models - 1) // 2} pairs of {models} models, for the "
            "best of many is partly the luckiest; reference=… names one beforehand and leaves p plain"
        )
    return (
        f"p is not corrected, for the reference was named: of {models - 1} models that are as good as it, each is "
        "called better or worse in up to one run of twenty"
    )


def _summary(models: Sequence[Model], base: Row) -> str:
    """The differences in words, the models of one verdict together."""
    verdicts: dict[str, list[str]] = {}
    for model in models:
        if model.difference is not None:
            verdicts.setdefault(model.difference.words, []).append(model.name)
    told = "; ".join(f"{words}: {', '.join(names)}" for words, names in verdicts.items())
    return f"Against {base.name} ({percent(base.scores['accuracy'])} % accuracy): {told or 'no other model'}"


def _model(row: Row, apart: Difference | None) -> Model:
    reports = [entry.report for entry in row.entries]
    bundle, values = reports[0].bundle, row.values()
    times = [seconds for report in reports if (seconds := epoch_s(Path(report.bundle.path))) is not None]
    return Model(
        name=row.name,
        model=bundle.model,
        parameters=bundle.parameters,
        size=bundle.size,
        colour=bundle.colour,
        seeds=len(reports),
        scores=row.scores,
        spread={name: float(np.std(each, ddof=1)) for name, each in values.items()} if len(reports) > 1 else {},
        interval=_interval(row),
        recall=_recall(reports),
        epoch_s=float(np.mean(times)) if times else None,
        difference=apart,
        members=[_member(entry) for entry in row.entries],
    )


def _interval(row: Row) -> tuple[float, float]:
    report = row.entries[0].report
    if len(row.entries) == 1:
        return expression_of(report).intervals["accuracy"]
    return mean_interval(row.correct, report.settings["bootstrap"], report.settings["seed"])


def _recall(reports: Sequence[Report]) -> dict[str, float]:
    classes = [expression_of(report).classes for report in reports]
    labels = [name for name in reports[0].dataset.labels if name in classes[0] and classes[0][name].support]
    return {name: float(np.mean([each[name].recall or 0 for each in classes])) for name in labels}


def _member(entry: Entry) -> Member:
    report = entry.report
    return Member(
        path=report.bundle.path,
        seed=report.bundle.provenance.get("seed"),
        digest=report.bundle.digest,
        trained=report.trained,
        seen=report.seen.text,
        scores={name: entry.scores[name] for name in COLUMNS if name in entry.scores},
        provenance=report.bundle.provenance,
    )


def epoch_s(bundle: Path) -> float | None:
    """Seconds that the kept epoch took to train and validate, if the metrics in the bundle's folder say so.

    Raises:
        BundleError: metrics.json is there and cannot be read.
    """
    file = bundle / "metrics.json"
    try:
        value = read_json(file).get("time/epoch_s")
        return None if value is None else float(value)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise BundleError(f"{file} must hold keys and values as JSON: {error}; copy the bundle again") from error


def _cautions(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Those of each report, and what only a comparison can see."""

    def known(entry: Entry, key: str) -> Any:
        return entry.report.bundle.provenance.get(key)

    recipes = Counter(known(row.entries[0], "recipe") for row in rows)
    said: dict[str, list[str]] = {}
    for row in rows:
        texts = [text for entry in row.entries for text in (*entry.report.cautions, *_extra_labels(entry.report))]
        recipe = known(row.entries[0], "recipe")
        if recipe and recipes[recipe] > 1:
            texts.append(f"of one recipe, {recipe}, but with other data or with one seed twice: not taken together")
        commits = dict.fromkeys(str(known(entry, "commit")) for entry in row.entries)
        if len(row.entries) > 1 and (len(commits) > 1 or any(name.endswith("+changes") for name in commits)):
            texts.append(f"trained at {', '.join(commits)}: more than the seed may differ")
        for text in dict.fromkeys(texts):
            said.setdefault(text, []).append(row.name)
    return [{"text": text, "models": names} for text, names in said.items()]


def _extra_labels(report: Report) -> list[str]:
    names = [name for name, row in expression_of(report).classes.items() if not row.support]
    return [f"the model also answers {', '.join(names)}, which no face here is: a mistake each time"] if names else []


def check(
    groups: Mapping[str, Sequence[Bundle]], source: Source, split_name: str, sort: str, reference: str | None
) -> str | None:
    """Find what is wrong before minutes of work; returns the name of the group that `reference` names.

    Raises:
        DataError: no such split.
        BundleError, LabelError: a bundle that cannot answer the split's labels, or a split without expressions.
        ConfigError: nothing to compare, no such metric or no such reference.
    """
    split = source.split(split_name)
    bundles = [bundle for members in groups.values() for bundle in members]
    if len(bundles) < 2:
        raise ConfigError(f"bundles must be two or more, got only {bundles[0].path}; ferlab evaluate scores one")
    heads = set()
    for bundle in bundles:
        common, left_out = common_heads(bundle, source, split)
        if "expression" not in common:
            raise BundleError(f"{bundle.path} cannot be compared by accuracy: {'; '.join(left_out)}; leave it out")
        label_ids(bundle, source, split)
        heads |= set(common)
    known = tuple(COLUMNS) if "affect" in heads else EXPRESSION_METRICS
    if sort not in known:
        raise ConfigError(f"sort must be a metric of these models and this data, got '{sort}'; {suggest(sort, known)}")
    return None if reference is None else named(reference, groups)
