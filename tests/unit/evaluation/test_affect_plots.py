import numpy as np
import pytest

from ferlab.evaluation import affect_plots
from ferlab.evaluation.affect import EDGES, ClassMean, Density
from ferlab.evaluation.slice_plots import slice_intervals
from ferlab.evaluation.slices import Attribute

VALENCE, AROUSAL = Density([30, 1], [22, 17], [2, 1]), Density([3], [4], [5])


def binned(axes):
    """(x, y) -> faces of the filled squares of a panel; x and y are the squares' middles."""
    grid = axes.collections[0].get_array().reshape(32, 32)
    middles = (EDGES[:-1] + EDGES[1:]) / 2
    rows, columns = np.nonzero(~np.ma.getmaskarray(grid))
    return {(round(middles[c], 2), round(middles[r], 2)): int(grid[r, c]) for r, c in zip(rows, columns, strict=True)}


def test_agreement_has_true_values_along_x_and_says_the_ccc():
    densities = {"valence": VALENCE, "arousal": AROUSAL}
    valence, arousal, _ = affect_plots.agreement(densities, {"valence": 0.4567, "arousal": -0.1}).axes
    assert binned(valence) == {(0.91, 0.41): 2, (-0.91, 0.09): 1}
    assert sum(binned(arousal).values()) == 5
    assert valence.get_title("left") == "Valence: CCC 0.457"
    assert (valence.get_xlabel(), valence.get_ylabel()) == ("true valence", "predicted valence")


def test_circumplex_shows_the_faces_as_annotated_and_as_answered():
    true, predicted, _ = affect_plots.circumplex(VALENCE, AROUSAL).axes
    assert binned(true) == {(0.91, 0.41): 2, (-0.91, 0.09): 1}
    assert list(binned(predicted).values()) == [5]


def test_an_arrow_leads_from_the_true_to_the_predicted_mean_of_a_class():
    true, predicted = {"valence": 0.9, "arousal": 0.8}, {"valence": 0.4, "arousal": 0.1}
    axes = affect_plots.class_means({"anger": ClassMean(1200, true, predicted)}).axes[0]
    arrow = next(text for text in axes.texts if text.xy != text.xyann)
    assert arrow.xyann == pytest.approx((0.9, 0.8))
    assert arrow.xy == pytest.approx((0.4, 0.1))
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["anger (1,200)"]


def test_slices_are_dots_on_their_intervals_hollow_where_faces_are_few():
    def value(faces, accuracy, low, high):
        return {"expression": {"faces": faces, "accuracy": accuracy, "accuracy_interval": (low, high)}}

    rated = {"affect": {"faces": 40, "valence_ccc": 0.4, "valence_ccc_interval": (0.2, 0.6)}}
    values = {"20-39": value(1000, 0.7, 0.6, 0.8), "70+": value(29, 0.5, 0.2, 0.9) | rated}
    figure = slice_intervals({"age": Attribute(values, {}, ["70+"], 0, [])}, {"accuracy": 0.65, "valence_ccc": 0.3})
    accuracy, ccc = figure.axes
    assert [label.get_text() for label in accuracy.get_yticklabels()] == ["age", "20-39", "70+"]
    overall, *drawn = accuracy.lines
    assert list(overall.get_xdata()) == [0.65, 0.65]
    assert [list(line.get_xdata()) for line in drawn] == [[0.6, 0.8], [0.7], [0.2, 0.9], [0.5]]
    assert [line.get_markerfacecolor() == "white" for line in drawn[1::2]] == [False, True]
    assert [text.get_text() for text in accuracy.texts] == ["1,000", "29"]
    assert [list(line.get_ydata()) for line in ccc.lines[1:]] == [[2, 2], [2]]  # only the last value has affect
