"""Updates the output in the example notebook: `python -m scripts.notebook`.

Requires the package with its extra `jupyter`, which installs the kernel.
"""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parent.parent / "examples" / "notebook" / "stellar.ipynb"


def execute() -> nbformat.NotebookNode:
    """Return the notebook with the current output of its cells."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=60, record_timing=False).execute()
    return notebook


if __name__ == "__main__":
    nbformat.write(execute(), NOTEBOOK)
