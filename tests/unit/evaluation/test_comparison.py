import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ferlab.bundle import Bundle
from ferlab.data.images import ArrayImages
from ferlab.data.source import Source, Split
from ferlab.errors import BundleError, ConfigError, LabelError
from ferlab.evaluation.comparison import Entry, Row, check, comparison, epoch_s
from ferlab.evaluation.predictions import predict
from ferlab.evaluation.report import score
from ferlab.evaluation.settings import Settings
from ferlab.metrics import affect_scores
from ferlab.models import build
from ferlab.runner import softmax
from ferlab.spec import ModelSpec

LABELS = ("anger", "happiness", "neutral")
SETTINGS = Settings(bootstrap=50, batch_size=16)
N = 40


def made(labels=LABELS, seed=0, path="/runs/a/bundle", provenance=None, **fields):
    torch.manual_seed(seed)
    spec = ModelSpec(labels, size=16, **fields)
    net = build(spec, "custom_cnn", {"widths": [4], "hidden": 8}).eval()
    torch.nn.init.normal_(net.heads["expression"].weight, std=4)  # so that answers differ between noise faces
    known = {"dataset": "drawn", "data_digest": "d"} | (provenance or {})
    return Bundle(spec, {"name": "custom_cnn", "options": {}}, net, known, Path(path))


@pytest.fixture(scope="module")
def data():
    """Noise faces of three classes; the last two have no label, and the first ten no affect."""
    rng = np.random.default_rng(0)
    images = ArrayImages(rng.integers(0, 256, (N, 16, 16), dtype=np.uint8), np.arange(N), Path("f.csv"), np.arange(N))
    ids = np.append(np.arange(N - 2) % 3, [-1, -1])
    affect = rng.uniform(-1, 1, (N, 2)).astype(np.float32)
    affect[:10] = np.nan
    return Source("faces", LABELS, {"validation": Split("validation", images, ids, affect=affect)}, "noise", "none")


def entry(bundle, data, settings=SETTINGS):
    predictions = predict(bundle, data, settings.split, settings.tta, settings.batch_size)
    return Entry.of(score(predictions, bundle, data, settings), predictions)


@pytest.fixture(scope="module")
def scored(data):
    return entry(made(), data)


def found(rows, name, **options):
    """The model of that name in a comparison."""
    return next(model for model in comparison(rows, **options).models if model.name == name)


def answers(bundle, data, head):
    split = data.split("validation")
    return bundle.logits(np.stack([bundle.spec.prepare(split.read(i)) for i in range(N)]))[head]


def test_scores_are_those_of_a_direct_computation(data):
    bundle = made(temperature=1.7)
    scored = entry(bundle, data)
    probabilities = softmax(answers(bundle, data, "expression") / 1.7)[:-2]  # the last two have no label
    labels = data.split("validation").labels[:-2]
    correct = probabilities.argmax(1) == labels
    np.testing.assert_array_equal(scored.correct, correct)
    assert 0 < scored.scores["accuracy"] == correct.mean() < 1
    assert scored.scores["nll"] == pytest.approx(-np.log(probabilities[np.arange(N - 2), labels]).mean(), rel=1e-5)
    confidence = probabilities.max(1)
    bins = np.ceil(confidence * 15)
    gaps = [abs(correct[bins == b].sum() - confidence[bins == b].sum()) for b in np.unique(bins)]
    assert scored.scores["ece"] == pytest.approx(sum(gaps) / (N - 2), rel=1e-5)  # at the bundle's temperature
    assert "valence_ccc" not in scored.scores


def test_ccc_is_over_the_faces_with_affect_and_mirrors_are_averaged(data):
    bundle = made(affect=True)
    split = data.split("validation")
    prepared = np.stack([bundle.spec.prepare(split.read(i)) for i in range(N)])
    mean = np.mean([bundle.logits(view)["affect"] for view in (prepared, prepared[..., ::-1])], axis=0)
    expected = affect_scores(mean[10:], split.affect[10:])
    scores = entry(bundle, data, replace(SETTINGS, tta="flip")).scores
    assert scores["valence_ccc"] == pytest.approx(expected["valence"]["ccc"], rel=1e-5)
    assert scores["arousal_ccc"] == pytest.approx(expected["arousal"]["ccc"], rel=1e-5)


def test_models_are_compared_by_label_not_by_its_place(data):
    one = made()
    order = [2, 0, 1]
    other = made(tuple(LABELS[i] for i in order))
    state = one.net.state_dict()
    head = {name: value[order] for name, value in state.items() if name.startswith("heads.expression")}
    other.net.load_state_dict(state | head)
    rows = [Row(name, (entry(bundle, data),)) for name, bundle in (("one", one), ("other", other))]
    first, other = comparison(rows).models
    apart = other.difference
    assert (apart.accuracy, apart.only_here, apart.only_reference, apart.p) == (0, 0, 0, 1)
    assert first.recall == other.recall
    assert list(other.recall) == list(LABELS)


def with_scores(scored, **values):
    return replace(scored, scores={**scored.scores, **values})


def test_a_row_of_seeds_is_mean_and_sample_standard_deviation(scored):
    row = Row("x", tuple(with_scores(scored, accuracy=value) for value in (0.6, 0.7, 0.8)))
    model = found([row], "x")
    assert model.scores["accuracy"] == pytest.approx(0.7)
    assert model.spread["accuracy"] == pytest.approx(0.1)  # over n - 1; over n it would be 0.0816
    assert model.spread["nll"] == 0
    assert model.seeds == 3
    assert found([Row("x", (scored,))], "x").spread == {}


def test_a_row_of_seeds_is_paired_by_its_mean_over_seeds(scored):
    patterns = np.zeros((3, N - 2), bool)
    patterns[0, :10] = patterns[1, 5:15] = patterns[2, :12] = True
    a, b, c = (replace(with_scores(scored, accuracy=p.mean()), correct=p) for p in patterns)
    seeds, single = Row("seeds", (a, b)), Row("single", (c,))
    apart = found([seeds, single], "seeds").difference
    assert apart.accuracy == pytest.approx(10 / 38 - 12 / 38)
    assert apart.only_here is None
    assert found([seeds, single], "single", reference="seeds").difference.only_reference is None
    low, high = found([seeds, single], "seeds").interval
    assert low < 10 / 38 < high
    assert found([seeds, single], "single").interval == scored.report.expression.intervals["accuracy"]
    counted = found([Row("a", (a,)), single], "a").difference
    assert (counted.only_here, counted.only_reference, counted.p) == (0, 2, 0.5)


def test_p_is_corrected_over_all_pairs_unless_the_reference_was_named(scored):
    rows = []
    for name, wrong in (("a", 0), ("b", 7), ("c", 8)):  # b and c each miss faces that a gets right
        right = np.arange(N - 2) >= wrong
        rows.append(Row(name, (replace(with_scores(scored, accuracy=right.mean()), correct=right),)))
    chosen, named = comparison(rows), comparison(rows, reference="a")
    assert [model.difference.p for model in chosen.models[1:]] == [2 / 2**7, 2 / 2**8]
    # Of the three pairs, a and c have the smallest p, 3 times 0.0078; a and b 2 times 0.0156; b and c 1.
    assert [model.difference.p_holm for model in chosen.models[1:]] == pytest.approx([4 / 2**7, 6 / 2**8])
    assert chosen.correction.startswith("p is corrected by Holm's method for all 3 pairs of 3 models")
    assert [model.difference.p_holm for model in named.models[1:]] == [None, None]
    assert named.correction.startswith("p is not corrected, for the reference was named")
    assert "nothing to correct" in comparison(rows[:2]).correction


def test_rows_are_sorted_by_any_metric_and_those_without_it_come_last(scored):
    rows = [
        Row("high nll", (with_scores(scored, accuracy=0.7, nll=2.0),)),
        Row("low nll", (with_scores(scored, accuracy=0.6, nll=1.0, valence_ccc=0.1),)),
        Row("middle", (with_scores(scored, accuracy=0.65, nll=1.5, valence_ccc=0.4),)),
    ]

    def order(sort):
        return [model.name for model in comparison(rows, sort).models]

    assert order("accuracy") == ["high nll", "middle", "low nll"]
    assert order("nll") == ["low nll", "middle", "high nll"]
    assert order("valence_ccc") == ["middle", "low nll", "high nll"]


def test_the_reference_is_the_first_row_or_the_named_one(scored):
    rows = [Row("a", (with_scores(scored, accuracy=0.6),)), Row("b", (with_scores(scored, accuracy=0.7),))]
    assert comparison(rows).reference == "b"
    assert [model.name for model in comparison(rows).models if model.difference] == ["a"]
    assert comparison(rows, reference="a").reference == "a"
    assert [model.name for model in comparison(rows, reference="a").models] == ["b", "a"]


def test_a_caution_is_said_once_with_the_rows_that_it_concerns(data):
    bundles = {
        "a": [made(provenance={"recipe": "r", "commit": "c1", "seed": seed}) for seed in (0, 0)],
        "b": [made(provenance={"recipe": "q", "commit": f"c{seed}", "seed": seed}) for seed in (1, 2)],
        "c": [made((*LABELS, "contempt"), provenance={"recipe": "r", "data_digest": None})],
    }
    rows = [Row(n, tuple(entry(b, data) for b in g)) for n, g in bundles.items()]
    said = {caution["text"]: caution["models"] for caution in comparison(rows).cautions}
    unlabelled = f"2 of {N} faces have no expression label and were left out"
    assert sorted(said[unlabelled]) == ["a", "b", "c"]
    assert said["trained at c1, c2: more than the seed may differ"] == ["b"]
    assert said["the model also answers contempt, which no face here is: a mistake each time"] == ["c"]
    assert sorted(said["what the model was trained and selected on is not known"]) == ["a", "b", "c"]
    (recipe,) = (names for text, names in said.items() if text.startswith("of one recipe, r,"))
    assert sorted(recipe) == ["a", "c"]


GROUPS = {"a": [made()], "b_wide": [made(path="/runs/1/10-00-00_b/bundle")]}


@pytest.mark.parametrize(
    ("reference", "expected"),
    [(None, None), ("b_wide", "b_wide"), ("/runs/1/10-00-00_b", "b_wide"), ("/runs/a/bundle", "a")],
)
def test_a_reference_is_a_name_a_run_or_a_bundle(data, reference, expected):
    assert check(GROUPS, data, "validation", "accuracy", reference) == expected


@pytest.mark.parametrize(
    ("sort", "reference", "said"),
    [
        ("acuracy", None, "got 'acuracy'; did you mean 'accuracy'"),
        ("valence_ccc", None, "sort must be a metric of these models and this data, got 'valence_ccc'; one of"),
        ("accuracy", "b_wid", "got 'b_wid'; did you mean 'b_wide'"),
    ],
)
def test_a_wrong_sort_or_reference_names_the_nearest(data, sort, reference, said):
    with pytest.raises(ConfigError, match=said):
        check(GROUPS, data, "validation", sort, reference)


def test_ccc_can_be_sorted_by_where_a_model_has_it(data):
    check(GROUPS | {"c": [made(affect=True)]}, data, "validation", "valence_ccc", None)


def test_a_bundle_that_lacks_a_label_is_named_before_anything_is_scored(data):
    with pytest.raises(LabelError, match=r"the bundle /runs/c must know .* neutral \(12 faces\)"):
        check(GROUPS | {"c": [made(("anger", "happiness"), path="/runs/c")]}, data, "validation", "accuracy", None)


def test_one_bundle_is_no_comparison(data):
    with pytest.raises(ConfigError, match="two or more, got only /runs/a/bundle; ferlab evaluate"):
        check({"a": [made()]}, data, "validation", "accuracy", None)


def test_a_pipe_in_place_of_a_bundles_metrics_is_not_waited_for(tmp_path):
    assert epoch_s(tmp_path) is None
    os.mkfifo(tmp_path / "metrics.json")
    with pytest.raises(BundleError, match=r"metrics\.json must hold keys and values as JSON: .*no regular file"):
        epoch_s(tmp_path)
