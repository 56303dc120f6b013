import numpy as np
import pytest

from ferlab.data import cut
from ferlab.data.cut import HEAD, first_copies
from ferlab.data.images import FileImages
from ferlab.errors import DataError

LABELS = np.repeat([0, 1, 2, -1, 5], [100, 30, 4, 10, 1])


def stratified_cut(labels, share, seed):
    return cut.stratified_cut(labels, np.arange(len(labels)), share, seed)


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


def test_the_faces_held_out_never_change():
    """NumPy's PCG64 seeded with (seed, class id + 1) puts ten rows in the order 8, 2, 1 … and 8, 5, 6 …."""
    labels = np.ones(10, np.int64)
    assert stratified_cut(labels, 0.1, 0).tolist() == [8]
    assert stratified_cut(labels, 0.3, 0).tolist() == [1, 2, 8]
    assert stratified_cut(labels, 0.3, 1).tolist() == [5, 6, 8]


def test_copies_go_to_the_side_of_the_first_and_count_once():
    labels = np.array([0, 0, 1, 1, 0, 1, 0, 1])
    copies = np.array([0, 1, 2, 3, 0, 1, 6, 7])  # row 5 repeats row 1 under another label
    for seed in range(20):
        rows = set(cut.stratified_cut(labels, copies, 0.34, seed).tolist())
        assert (0 in rows) == (4 in rows)
        assert (1 in rows) == (5 in rows)
        assert len(rows & {0, 1, 6}) == len(rows & {2, 3, 7}) == 1


def test_equal_files_are_copies_of_the_first_of_them(tmp_path):
    head = bytes(HEAD)
    contents = [b"a", b"b", b"a", b"a ", head + b"1", head + b"2", head[1:] + b"1"]
    names = [str(i) for i in range(len(contents))]
    for name, content in zip(names, contents, strict=True):
        (tmp_path / name).write_bytes(content)
    assert first_copies(FileImages.of(tmp_path, names)).tolist() == [0, 1, 0, 3, 4, 4, 6]
    (tmp_path / "2").unlink()
    with pytest.raises(DataError, match=r"cannot read .*/2: No such file or directory; restore the file"):
        first_copies(FileImages.of(tmp_path, names))
