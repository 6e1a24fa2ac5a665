"""Runs the example notebook anew, and keeps what its cells show: `python -m scripts.notebook`.

Jupyter has to find the kernel, as it does where the package is installed with its extra `jupyter`.
"""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parent.parent / "examples" / "notebook" / "stellar.ipynb"


def executed() -> nbformat.NotebookNode:
    """The notebook with what its cells show now."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=60, record_timing=False).execute()
    return notebook


if __name__ == "__main__":
    nbformat.write(executed(), NOTEBOOK)
