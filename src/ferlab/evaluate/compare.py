"""Several bundles on the same faces, in one table: repeats over seeds are one row, differences are paired by face."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ferlab.bundle import Bundle
from ferlab.data.source import Source
from ferlab.errors import BundleError, ConfigError, suggest
from ferlab.evaluate.checks import common_heads, label_ids
from ferlab.evaluate.evaluation import Evaluation, Settings, evaluate
from ferlab.evaluate.expression import BEFORE, OWN, Expression
from ferlab.evaluate.paired import Difference, difference, mean_interval
from ferlab.evaluate.predictions import Watch
from ferlab.evaluate.repeats import run_folder
from ferlab.labels import AFFECT
from ferlab.metrics import LOWER_IS_BETTER

EXPRESSION_METRICS = ("accuracy", "macro_f1", "mean_recall", "nll", "ece")
AFFECT_METRICS = ("valence_ccc", "arousal_ccc")
METRICS = EXPRESSION_METRICS + AFFECT_METRICS
LOWER = LOWER_IS_BETTER | {"ece"}


@dataclass(frozen=True)
class Scored:
    """One bundle on the split.

    Attributes:
        evaluation: all that `ferlab evaluate` says of it; `expression` is its part.
        scores: those of METRICS that it has; nll and ece at the bundle's own temperature.
        correct: (n,) bool over the labelled faces, in the same order for every bundle.
    """

    evaluation: Evaluation
    expression: Expression
    scores: Mapping[str, float]
    correct: npt.NDArray[np.bool_]


def score(bundle: Bundle, source: Source, settings: Settings, watch: Watch = iter) -> Scored:
    """Evaluate a bundle and keep what the table needs; raises what `evaluate` raises."""
    evaluation = evaluate(bundle, source, settings, watch)
    expression, affect = evaluation.expression, evaluation.affect
    assert expression is not None, "check it first"
    scores = {name: expression.result.scores[name] for name in EXPRESSION_METRICS if name != "ece"}
    scores |= {"ece": expression.curves.get(OWN, expression.curves[BEFORE]).ece}
    if affect is not None:
        scores |= {f"{name}_ccc": affect.scores[name]["ccc"] for name in AFFECT if name in affect.scores}
    correct = expression.probabilities.argmax(1) == expression.predictions.labels
    return Scored(evaluation, expression, scores, correct)


@dataclass(frozen=True)
class Row:
    """A line of the table: one bundle, or several that differ only in their seed.

    Attributes:
        name: as `repeats.group` gives it.
        members: at least one.
    """

    name: str
    members: tuple[Scored, ...]

    @property
    def scores(self) -> dict[str, float]:
        """The mean over the members of each metric that all of them have."""
        return {name: float(np.mean(values)) for name, values in self._values().items()}

    @property
    def spread(self) -> dict[str, float]:
        """The sample standard deviation over the members; empty for one."""
        values = self._values() if len(self.members) > 1 else {}
        return {name: float(np.std(each, ddof=1)) for name, each in values.items()}

    def _values(self) -> dict[str, list[float]]:
        shared = [name for name in METRICS if all(name in member.scores for member in self.members)]
        return {name: [member.scores[name] for member in self.members] for name in shared}

    @property
    def correct(self) -> npt.NDArray[np.float64]:
        """(n,) share of the members that get each face right."""
        result: npt.NDArray[np.float64] = np.mean([member.correct for member in self.members], axis=0)
        return result

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the accuracy over the faces; for one bundle the one of its report."""
        first = self.members[0]
        if len(self.members) == 1:
            return first.expression.intervals["accuracy"]
        return mean_interval(self.correct, first.evaluation.settings.bootstrap, first.evaluation.settings.seed)

    @property
    def recall(self) -> dict[str, float]:
        """Label -> mean recall over the members, for the labels that occur, in the dataset's order."""
        results = [member.expression.result for member in self.members]
        each = [dict(zip(result.names, result.recall.tolist(), strict=True)) for result in results]
        occurring = {name for name, faces in zip(results[0].names, results[0].support, strict=True) if faces}
        labels = [name for name in self.members[0].evaluation.source.labels if name in occurring]
        return {name: float(np.mean([recall[name] for recall in each])) for name in labels}


@dataclass(frozen=True)
class Comparison:
    """The table.

    Attributes:
        rows: the best first.
        reference: one of them.
        differences: name of every other row -> how its accuracy differs from the reference's.
        sort: the metric that the rows are sorted by.
        cautions: what a reader must know -> the names of the rows that it concerns.
    """

    rows: tuple[Row, ...]
    reference: Row
    differences: Mapping[str, Difference]
    sort: str
    cautions: Mapping[str, tuple[str, ...]]


def compare(rows: Sequence[Row], sort: str = "accuracy", reference: str | None = None) -> Comparison:
    """Sort the rows, those without that metric last, and compare each with the one called `reference`.

    Without a name the reference is the first row.
    """

    def place(row: Row) -> tuple[bool, float]:
        value = row.scores.get(sort, 0.0)
        return sort not in row.scores, value if sort in LOWER else -value

    ordered = tuple(sorted(rows, key=place))
    base = next((row for row in ordered if row.name == reference), ordered[0])
    how = base.members[0].evaluation.settings
    differences = {}
    for row in ordered:
        if row is not base:
            single = len(row.members) == len(base.members) == 1
            differences[row.name] = difference(row.correct, base.correct, single, how.bootstrap, how.seed)
    return Comparison(ordered, base, differences, sort, _cautions(ordered))


def _cautions(rows: Sequence[Row]) -> dict[str, tuple[str, ...]]:
    """Those of each evaluation, and what only a comparison can see."""
    recipes = Counter(_trained(row.members[0]).get("recipe") for row in rows)
    said: dict[str, list[str]] = {}
    for row in rows:
        texts = [text for member in row.members for text in (*member.evaluation.cautions, *_extra_labels(member))]
        recipe = _trained(row.members[0]).get("recipe")
        if recipe and recipes[recipe] > 1:
            texts.append(f"of one recipe, {recipe}, but with other data or with one seed twice: not taken together")
        commits = dict.fromkeys(str(_trained(member).get("commit")) for member in row.members)
        if len(row.members) > 1 and (len(commits) > 1 or any(commit.endswith("+changes") for commit in commits)):
            texts.append(f"trained at {', '.join(commits)}: more than the seed may differ")
        for text in dict.fromkeys(texts):
            said.setdefault(text, []).append(row.name)
    return {text: tuple(names) for text, names in said.items()}


def _trained(member: Scored) -> Mapping[str, Any]:
    return member.evaluation.bundle.provenance


def _extra_labels(scored: Scored) -> list[str]:
    result = scored.expression.result
    names = [name for name, faces in zip(result.names, result.support, strict=True) if not faces]
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
    known = METRICS if "affect" in heads else EXPRESSION_METRICS
    if sort not in known:
        raise ConfigError(f"sort must be a metric of these models and this data, got '{sort}'; {suggest(sort, known)}")
    return None if reference is None else _named(reference, groups)


def _named(reference: str, groups: Mapping[str, Sequence[Bundle]]) -> str:
    """The group of this name, or with the bundle or run in this folder."""
    for name, members in groups.items():
        folders = {path for bundle in members if bundle.path for path in (bundle.path.resolve(), run_folder(bundle))}
        if reference == name or Path(reference).resolve() in folders:
            return name
    raise ConfigError(f"reference must be one of the bundles, got '{reference}'; {suggest(reference, groups)}")
