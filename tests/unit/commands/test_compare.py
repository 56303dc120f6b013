"""Which bundles `ferlab compare` takes."""

import pytest

from ferlab.commands.compare import find
from ferlab.errors import BundleError


@pytest.fixture
def outputs(tmp_path):
    """Two runs with a bundle, one without, and a bundle of its own."""
    for name in ("a/bundle", "b/bundle", "alone"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "spec.json").touch()
    (tmp_path / "stopped").mkdir()
    return tmp_path


def test_a_glob_leaves_out_and_counts_what_has_no_bundle(outputs):
    assert find(f"{outputs}/*") == ([outputs / "a", outputs / "alone", outputs / "b"], 1)


def test_what_is_named_is_taken_as_it_is(outputs):
    named = [str(outputs / "b"), str(outputs / "stopped")]
    assert find(named) == ([outputs / "b", outputs / "stopped"], 0)  # and refused where it is opened


@pytest.mark.parametrize(("pattern", "got"), [("s*", "1 without a bundle"), ("x*", "nothing"), ("x", "nothing")])
def test_nothing_to_compare_is_an_error(outputs, pattern, got):
    with pytest.raises(BundleError, match=f"bundles must be runs' or bundles' folders, got {got} at"):
        find(f"{outputs}/{pattern}")
