"""Datasets on disk, drawn for one test."""

import pytest

from ferlab.data.layouts import write

NUMBERS = {"train": 60, "validation": 20, "test": 16}


@pytest.fixture
def written(tmp_path):
    """A function that writes a small dataset in a layout and returns its folder."""

    def write_layout(layout, **numbers):
        folder = tmp_path / layout
        write(layout, folder, **(NUMBERS | numbers))
        return folder

    return write_layout
