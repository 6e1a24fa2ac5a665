"""The example notebook contains its current output; `python -m scripts.notebook` updates it."""

from __future__ import annotations

import nbformat
import pytest

from scripts.notebook import NOTEBOOK, execute


@pytest.mark.usefixtures("kernels")
def test_the_example_contains_the_output_of_its_cells():
    stored = nbformat.read(NOTEBOOK, as_version=4)
    assert [cell.get("outputs") for cell in execute().cells] == [cell.get("outputs") for cell in stored.cells]
