import numpy as np
import pytest

from ferlab.data.ferplus import COLUMNS, apply_rule, ferplus
from ferlab.errors import ConfigError, DataError
from ferlab.labels import FERPLUS

# neutral happiness surprise sadness anger disgust fear contempt unknown NF -> under each rule the shares, or None
RULES = {
    # All rules agree on ten votes for one class.
    "one class": ([0, 10, 0, 0, 0, 0, 0, 0, 0, 0], {"happiness": 1}, {"happiness": 1}, {"happiness": 1}),
    # The lone votes go: 6 + 2 are left. 6 > 4. Leading: 6/8 = 75 % and stop. Multi: 2/8 = 25 % < 30 %.
    "outliers": ([6, 0, 2, 1, 1, 0, 0, 0, 0, 0], {"neutral": 1}, {"neutral": 1}, {"neutral": 1}),
    # 5 of 8 is over half; leading: 5/8 < 75 %, so sadness too; multi: 3/8 = 37 %.
    "two": (
        [5, 0, 0, 3, 1, 1, 0, 0, 0, 0],
        {"neutral": 1},
        {"neutral": 5 / 8, "sadness": 3 / 8},
        {"neutral": 0.5, "sadness": 0.5},
    ),
    # A tie of 5 and 5 is no majority: exactly half is not over it.
    "a tie": (
        [0, 0, 5, 0, 0, 0, 5, 0, 0, 0],
        None,
        {"surprise": 0.5, "fear": 0.5},
        {"surprise": 0.5, "fear": 0.5},
    ),
    # 4, 3, 3: leading takes 4 (40 %), then both threes at once: three classes. Multi: 40, 30, 30 %, all at least 30 %.
    "three with a tie for the second": (
        [4, 0, 0, 3, 3, 0, 0, 0, 0, 0],
        None,
        {"neutral": 0.4, "sadness": 0.3, "anger": 0.3},
        {"neutral": 1 / 3, "sadness": 1 / 3, "anger": 1 / 3},
    ),
    # Four classes tie: more than three is unknown. Multi: 25 % each, none.
    "four tie": ([2, 2, 2, 2, 1, 1, 0, 0, 0, 0], None, None, None),
    # Two each for five: the same.
    "five tie": ([2, 2, 2, 2, 2, 0, 0, 0, 0, 0], None, None, None),
    # All votes are lone: nothing is left.
    "all lone": ([1, 1, 1, 1, 1, 1, 1, 1, 1, 1], None, None, None),
    # Unknown in the second place: 6 of 10 is a majority; leading takes 6, then stops at unknown; 6 > 5, so it counts.
    # Multi: 60 % and 40 % of unknown, which is cut off, and the rest renormalised.
    "unknown second": ([0, 6, 0, 0, 0, 0, 0, 0, 4, 0], {"happiness": 1}, {"happiness": 1}, {"happiness": 1}),
    # 5 of 10, unknown 5: no majority; leading takes happiness, then meets unknown; 5 is not over half: unknown.
    "unknown level": ([0, 5, 0, 0, 0, 0, 0, 0, 5, 0], None, None, {"happiness": 1}),
    # Unknown first: stop at once, and the row is unknown.
    "unknown first": ([0, 4, 0, 0, 0, 0, 0, 0, 6, 0], None, None, None),
    # NF first: no face.
    "NF first": ([0, 0, 0, 3, 0, 0, 0, 0, 0, 7], None, None, None),
    "all NF": ([0, 0, 0, 0, 0, 0, 0, 0, 0, 10], None, None, None),
    # 4, 3, 2 of 9: leading needs 6.75; 4 + 3 = 7 is enough. Multi: 44 and 33 %, not 22 %.
    "nine votes": (
        [0, 0, 0, 0, 4, 3, 2, 0, 1, 0],
        None,
        {"anger": 4 / 7, "disgust": 3 / 7},
        {"anger": 0.5, "disgust": 0.5},
    ),
    # A lone vote for unknown is an outlier as well.
    "lone unknown": ([0, 0, 0, 0, 0, 0, 0, 9, 1, 0], {"contempt": 1}, {"contempt": 1}, {"contempt": 1}),
}


@pytest.mark.parametrize("case", RULES)
def test_the_rules_against_rows_worked_out_by_hand(case):
    votes, majority, leading, multi = RULES[case]
    assert sum(votes) == 10
    for rule, expected in zip(
        ("majority", "probability", "cross_entropy", "multi_target"), (majority, leading, leading, multi), strict=True
    ):
        shares, keep = apply_rule(np.array([votes]), rule)
        assert bool(keep[0]) == (expected is not None), rule
        if expected is not None:
            found = {name: share for name, share in zip(FERPLUS, shares[0], strict=True) if share}
            assert found == pytest.approx(expected), rule


def test_the_rules_work_on_rows_together_as_on_each_alone():
    votes = np.array([case[0] for case in RULES.values()])
    for rule in ("majority", "probability", "multi_target"):
        together, kept = apply_rule(votes, rule)
        for i in range(len(votes)):
            alone, keep = apply_rule(votes[i : i + 1], rule)
            assert keep[0] == kept[i]
            np.testing.assert_array_equal(alone[0], together[i])


def rewrite(folder, change):
    """Change the rows of fer2013new.csv, each a list of twelve words."""
    file = folder / "fer2013new.csv"
    lines = [line.split(",") for line in file.read_text().splitlines()]
    lines[1:] = change(lines[1:])
    file.write_text("\n".join(",".join(line) for line in lines) + "\n")


def with_votes(folder, votes, names=None):
    """Give the first training rows these votes, and names; all other rows ten votes for neutral."""

    def change(rows):
        result = []
        for i, row in enumerate(rows):
            given = votes[i] if i < len(votes) else [10] + [0] * 9
            name = names[i] if names and i < len(names) else f"fer{i:07d}.png"
            result.append([row[0], name, *map(str, given)])
        return result

    rewrite(folder, change)


VOTES = [
    [0, 10, 0, 0, 0, 0, 0, 0, 0, 0],  # happiness under every rule
    [5, 0, 0, 3, 1, 1, 0, 0, 0, 0],  # neutral, or 5/8 neutral and 3/8 sadness
    [0, 0, 5, 0, 0, 0, 5, 0, 0, 0],  # nothing, or half surprise and half fear
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 10],  # nothing
    [0, 10, 0, 0, 0, 0, 0, 0, 0, 0],  # nameless
    [0, 0, 0, 0, 0, 0, 0, 9, 1, 0],  # contempt
]
NAMES = ["a", "b", "c", "d", "", "f"]


def test_majority_drops_and_counts_what_it_drops_and_joins_the_right_faces(written):
    folder = written("ferplus", train=8, validation=3, test=2)
    with_votes(folder, VOTES, NAMES)
    source = ferplus(str(folder))
    train = source.splits["train"]
    assert source.labels == FERPLUS
    assert train.labels.tolist() == [1, 0, 7, 0, 0]
    assert train.votes is None
    assert [train.images.name(i).rsplit(":")[-1] for i in range(5)] == ["2", "3", "7", "8", "9"]  # lines of fer2013.csv
    assert dict(source.dropped) == {"train: no FER+ picture": 1, "train: no label under the majority rule": 2}
    faces = [line.split(",")[1] for line in (folder / "fer2013.csv").read_text().splitlines()[1:]]
    for i, row in enumerate([0, 1, 5, 6, 7]):
        np.testing.assert_array_equal(train.read(i)[..., 0].ravel(), np.array(faces[row].split(), np.uint8))


@pytest.mark.parametrize("rule", ["cross_entropy", "probability"])
def test_distributions_in_training_and_majority_elsewhere(written, rule):
    folder = written("ferplus", train=8, validation=3, test=2)
    with_votes(folder, VOTES, NAMES)
    source = ferplus(str(folder), rule=rule)
    train = source.splits["train"]
    assert train.draw == (rule == "probability")
    assert train.votes.dtype == np.float32
    np.testing.assert_allclose(train.votes.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(train.votes[1], [5 / 8, 0, 0, 3 / 8, 0, 0, 0, 0])
    np.testing.assert_allclose(train.votes[2], [0, 0, 0.5, 0, 0, 0, 0.5, 0])
    assert len(train) == 6
    for name in ("validation", "test"):
        assert source.splits[name].votes is None


def test_the_evaluation_splits_use_majority_whatever_the_rule(written):
    folder = written("ferplus", train=2, validation=3, test=0)
    with_votes(folder, [VOTES[0], VOTES[0], VOTES[2], VOTES[1], VOTES[0]])
    for rule in ("majority", "multi_target", "probability"):
        source = ferplus(str(folder), rule=rule)
        assert source.splits["validation"].labels.tolist() == [0, 1]
        assert source.dropped["validation: no label under the majority rule"] == 1


def test_seven_classes_leave_contempt_out_and_share_its_votes(written):
    folder = written("ferplus", train=4, validation=1, test=0)
    with_votes(folder, [[0, 0, 0, 0, 0, 0, 0, 10, 0, 0], [6, 0, 0, 0, 0, 0, 0, 4, 0, 0]])
    source = ferplus(str(folder), classes=7)
    assert source.labels == FERPLUS[:7]
    assert source.splits["train"].labels.tolist() == [0, 0, 0]
    assert source.dropped["train: contempt"] == 1
    soft = ferplus(str(folder), rule="cross_entropy", classes=7).splits["train"]
    np.testing.assert_allclose(soft.votes[0], [1, 0, 0, 0, 0, 0, 0])


def test_most_drawn_faces_get_the_drawn_class_and_some_none(written):
    """The votes of the drawn layout are plausible: FER+ keeps 87 % under the majority rule."""
    folder = written("ferplus", train=400, validation=0, test=0)
    source = ferplus(str(folder))
    assert 0.7 < len(source.splits["train"]) / 400 < 0.97
    assert set(source.dropped) == {"train: no FER+ picture", "train: no label under the majority rule"}
    votes = [row.split(",")[2:] for row in (folder / "fer2013new.csv").read_text().splitlines()[1:]]
    assert all(sum(map(int, row)) == 10 for row in votes)


def test_files_of_two_releases_are_an_error(written):
    folder = written("ferplus")
    rewrite(folder, lambda rows: rows[:-1])
    with pytest.raises(DataError, match=r"fer2013new\.csv must have one row a face .*got 95 for 96"):
        ferplus(str(folder))


def test_rows_out_of_order_are_an_error_with_the_line(written):
    folder = written("ferplus")
    rewrite(folder, lambda rows: [*rows[:59], rows[60], rows[59], *rows[61:]])
    with pytest.raises(DataError, match=r"fer2013new\.csv:61: Usage must be Training as in .*got PublicTest"):
        ferplus(str(folder))


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        (4, "11", r"fer2013new\.csv:4: votes must be 0 to 10"),
        (4, "-1", r"fer2013new\.csv:4: votes must be 0 to 10"),
        (4, "many", r"fer2013new\.csv: .*many"),
        (0, "training", r"fer2013new\.csv:4: Usage must be Training"),
    ],
)
def test_a_malformed_vote_is_an_error(written, column, value, message):
    folder = written("ferplus")

    def change(rows):
        rows[2][column] = value
        return rows

    rewrite(folder, change)
    with pytest.raises(DataError, match=message):
        ferplus(str(folder))


def test_other_columns_are_an_error(written):
    folder = written("ferplus")
    file = folder / "fer2013new.csv"
    file.write_text(file.read_text().replace("contempt", "scorn", 1))
    with pytest.raises(DataError, match=r"fer2013new\.csv.*contempt"):
        ferplus(str(folder))


@pytest.mark.parametrize("name", ["fer2013.csv", "fer2013new.csv"])
def test_a_missing_file_is_named(written, name):
    folder = written("ferplus")
    (folder / name).unlink()
    with pytest.raises(DataError, match=rf"got no {name}"):
        ferplus(str(folder))


def test_a_wrong_option_is_an_error_with_the_nearest(written):
    with pytest.raises(ConfigError, match="did you mean 'majority'"):
        ferplus("nowhere", rule="majorty")
    with pytest.raises(ConfigError, match="8, or 7 without contempt, got 6"):
        ferplus("nowhere", classes=6)


def test_the_columns_are_those_of_the_official_file():
    assert ",".join(COLUMNS) == "neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"


def test_a_split_says_by_which_rule_it_is_labelled(written):
    source = ferplus(str(written("ferplus")), rule="cross_entropy", classes=7)
    assert source.protocol_of("train") == "FER+, 7 classes, cross_entropy rule"
    assert source.protocol_of("validation") == source.protocol_of("test") == "FER+, 7 classes, majority rule"
    assert "trained on the cross_entropy rule, evaluated on the majority rule" in source.protocol
