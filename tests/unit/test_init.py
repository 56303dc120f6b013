"""What `import ferlab` offers, and that it costs nothing until it is used."""

import subprocess
import sys

import pytest

import ferlab


def test_importing_and_completing_import_nothing_heavy():
    heavy = {"torch", "numpy", "pandas", "cv2", "rich"}
    code = f"import sys, ferlab; dir(ferlab); print(sorted(set(sys.modules) & {heavy}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ferlab.__all__)
def test_every_name_is_there_is_offered_and_says_what_it_is(name):
    assert name in dir(ferlab)
    assert getattr(ferlab, name).__doc__


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        ferlab.lod  # noqa: B018
