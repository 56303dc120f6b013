from ferlab.live.spans import merged, numbered, without


def test_what_is_left_outside_of_holes() -> None:
    spans = [(0.0, 10.0, "a"), (10.0, 12.0, "b")]
    assert without(spans, [(2, 3), (9, 11), (4, 4)]) == [(0, 2, "a"), (3, 9, "a"), (11, 12, "b")]
    assert without(spans, [(0, 12)]) == []
    assert without(spans, [(12, 20), (-5, 0)]) == spans


def test_spans_of_the_same_time() -> None:
    assert merged([(5, 6), (0, 2), (1, 3), (3, 4), (9, 9)]) == [(0, 4), (5, 6)]
    assert merged([(0, 9), (1, 2)]) == [(0, 9)]


def test_a_number_is_one_more_after_a_gap() -> None:
    spans = [(0.0, 1.0, "a"), (1.0, 2.0, "b"), (2.1, 3.0, "c"), (3.0, 4.0, "d")]
    assert [number for number, _ in numbered(spans, 5)] == [5, 5, 6, 6]
