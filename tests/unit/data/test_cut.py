import numpy as np
import pytest

from ferlab.data.cut import stratified_cut

LABELS = np.repeat([0, 1, 2, -1, 5], [100, 30, 4, 10, 1])


def counts(rows):
    return {int(label): int((LABELS[rows] == label).sum()) for label in np.unique(LABELS)}


def test_every_class_gives_its_share_and_keeps_a_face():
    assert counts(stratified_cut(LABELS, 0.1, 0)) == {0: 10, 1: 3, 2: 1, -1: 1, 5: 0}
    assert counts(stratified_cut(LABELS, 0.99, 0)) == {0: 99, 1: 29, 2: 3, -1: 9, 5: 0}


def test_rows_rise_and_none_comes_twice():
    rows = stratified_cut(LABELS, 0.5, 3)
    assert (np.diff(rows) > 0).all()
    assert rows.dtype == np.int64


def test_the_cut_is_fixed_by_the_seed_and_grows_with_the_share():
    small, again, other = (stratified_cut(LABELS, 0.2, seed) for seed in (7, 7, 8))
    assert small.tolist() == again.tolist()
    assert small.tolist() != other.tolist()
    assert set(small) < set(stratified_cut(LABELS, 0.4, 7))


def test_faces_are_drawn_at_random_from_all_over_a_class():
    hits = np.zeros(len(LABELS))
    for seed in range(200):
        hits[stratified_cut(LABELS, 0.3, seed)] += 1
    assert hits[:100].mean() == pytest.approx(60)  # exactly: 30 of 100 in each of 200 cuts
    assert hits[:100].min() > 30  # 4.6 standard deviations
    assert hits[:100].max() < 90


def test_a_class_does_not_depend_on_the_others():
    alone = stratified_cut(LABELS[LABELS == 0], 0.1, 0)
    together = stratified_cut(LABELS, 0.1, 0)
    assert together[LABELS[together] == 0].tolist() == alone.tolist()


def test_no_faces_give_no_rows():
    assert stratified_cut(np.empty(0, np.int64), 0.1, 0).tolist() == []
