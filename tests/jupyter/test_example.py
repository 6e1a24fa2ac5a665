"""The example notebook shows what its cells come to; `python -m scripts.notebook` makes it anew."""

from __future__ import annotations

import nbformat
import pytest

from scripts.notebook import NOTEBOOK, executed


@pytest.mark.usefixtures("kernels")
def test_the_example_shows_what_its_cells_come_to():
    shown = nbformat.read(NOTEBOOK, as_version=4)
    assert [cell.get("outputs") for cell in executed().cells] == [cell.get("outputs") for cell in shown.cells]
