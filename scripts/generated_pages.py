"""Writing of generated pages into a directory of the documentation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def replace_pages(folder: Path, pages: Mapping[str, str]) -> None:
    """Write pages, by file name, and remove the other pages of the directory, whose subjects no longer exist."""
    folder.mkdir(exist_ok=True)
    for file in folder.glob("*.md"):
        if file.name not in pages:
            file.unlink()
    for name, content in pages.items():
        (folder / name).write_text(content, encoding="utf-8")
