import base64

import matplotlib as mpl
import numpy as np
import pytest

from ferlab.evaluation import plots
from ferlab.evaluation.calibration import reliability
from ferlab.evaluation.expression import ClassScore
from ferlab.labels import RAFDB_COMPOUND

COUNTS = np.array([[8, 2, 0], [1, 3, 0], [0, 0, 0]])
NAMES = ("anger", "fear", "contempt")


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_confusion_matrix_shows_counts_or_shares_of_each_row():
    axes = plots.confusion_matrix(COUNTS, NAMES).axes[0]
    assert texts(axes) == ["8", "2", "0", "1", "3", "0", "0", "0", "0"]
    assert [t.get_text() for t in axes.get_yticklabels()] == list(NAMES)
    shares = plots.confusion_matrix(COUNTS, NAMES, normalised=True).axes[0]
    assert texts(shares) == ["80.0", "20.0", "0.0", "25.0", "75.0", "0.0", "–", "–", "–"]


def test_a_class_without_faces_is_faint():
    labels = plots.confusion_matrix(COUNTS, NAMES).axes[0].get_yticklabels()
    assert [label.get_color() for label in labels] == [plots.INK, plots.INK, plots.FAINT]


def test_long_names_stay_inside_the_picture():
    k = len(RAFDB_COMPOUND)
    figure = plots.confusion_matrix(np.eye(k, dtype=int), RAFDB_COMPOUND)
    figure.draw_without_rendering()
    width, height = figure.bbox.size
    boxes = [
        label.get_window_extent() for label in (*figure.axes[0].get_xticklabels(), *figure.axes[0].get_yticklabels())
    ]
    assert all(box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height for box in boxes)


def test_recall_bars_leave_out_a_class_without_faces():
    rows = {"anger": (2, 1.0), "fear": (1200, 0.5), "contempt": (0, None)}
    classes = {name: ClassScore(faces, 0, recall, None, None) for name, (faces, recall) in rows.items()}
    axes = plots.recall_bars(classes, 0.75).axes[0]
    assert texts(axes) == ["50.0 % of 1,200", "100.0 % of 2"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["fear", "anger"]
    assert list(axes.lines[0].get_xdata()) == [0.75, 0.75]


def test_reliability_legend_states_each_error():
    curve = reliability(np.array([[0.75, 0.25]] * 4), np.array([0, 0, 1, 1]))
    figure = plots.reliability_diagram({"before": curve})
    assert "before: ECE 25.0 %" in [t.get_text() for t in figure.legends[0].get_texts()]


def test_no_line_of_the_reliability_diagram_leads_to_a_bin_with_few_faces():
    sure = np.array([[0.55, 0.45]] * 20 + [[0.75, 0.25]] * 20 + [[0.95, 0.05]] * 3)
    curve = reliability(sure, np.array([0, 1] * 10 + [0] * 15 + [1] * 5 + [1] * 3))
    axes = plots.reliability_diagram({"before": curve}).axes[0]
    np.testing.assert_allclose(axes.lines[1].get_xydata(), [[0.55, 0.5], [0.75, 0.75]])  # behind it is the diagonal
    filled, hollow = axes.collections
    assert len(filled.get_offsets()) == 2
    np.testing.assert_allclose(hollow.get_offsets(), [[0.95, 0]])


def test_confidence_histogram_counts_right_and_wrong():
    figure = plots.confidence_histogram([0, 1, 1000], [2, 0, 3])
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["correct (1,001)", "wrong (5)"]
    bars = [
        (round(bar.get_x() + bar.get_width() / 2, 3), bar.get_y(), bar.get_height()) for bar in figure.axes[0].patches
    ]
    assert bars[:3] == [(0.167, 0, 0), (0.5, 0, 1), (0.833, 0, 1000)]
    assert bars[3:] == [(0.167, 0, 2), (0.5, 1, 0), (0.833, 1000, 3)]  # on top of the correct ones


def test_forest_draws_each_model_its_seeds_and_its_difference_to_the_reference():
    accuracy = np.array([[0.7, 0.68, 0.72], [0.6, 0.57, 0.63]])
    difference = np.array([[np.nan] * 3, [-0.1, -0.12, -0.08]])
    left, right = plots.forest(["best", "seeds"], accuracy, [[0.7], [0.59, 0.61]], difference, "best").axes
    assert [text.get_text() for text in left.get_yticklabels()] == ["best", "seeds"]
    assert left.get_ylim() == (1.5, -0.5)  # the first on top
    dots, ticks = (each.get_offsets().tolist() for each in left.collections[1:])
    assert dots == [[70, 0], [60, 1]]
    assert ticks == [[59, 1], [61, 1]]  # none for the model of one seed
    lines = [path.vertices.tolist() for path in right.collections[0].get_paths()]
    assert lines[-1] == [[-12, 1], [-8, 1]]


@pytest.mark.parametrize("epochs", [1, 5])
def test_curves_draw_what_the_rows_have(epochs):
    rows = [{"epoch": i, "train/loss": 1 / i, "validation/accuracy": 0.1 * (i % 4)} for i in range(1, epochs + 1)]
    figure = plots.curves(rows)
    by_title = {axes.get_title("left"): axes for axes in figure.axes}
    assert set(by_title) == {"Training loss", "Accuracy"}  # there is no F1 and no learning rate in the rows
    np.testing.assert_allclose(by_title["Training loss"].lines[0].get_ydata(), [row["train/loss"] for row in rows])
    legend = [t.get_text() for t in by_title["Accuracy"].get_legend().get_texts()]
    assert f"best: {0.3 if epochs == 5 else 0.1:.4g} in epoch {3 if epochs == 5 else 1}" in legend


def test_settings_of_matplotlib_stay_as_they_were():
    before = dict(mpl.rcParams)
    plots.data_uri(plots.confusion_matrix(COUNTS, NAMES))
    assert dict(mpl.rcParams) == before


def test_data_uri_is_the_same_svg_each_time():
    first, second = (plots.data_uri(plots.confusion_matrix(COUNTS, NAMES)) for _ in range(2))
    assert first == second
    assert base64.b64decode(first.split(",")[1]).lstrip().startswith(b"<?xml")
