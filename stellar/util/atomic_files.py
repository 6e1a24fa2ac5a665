"""Replacement of files so that readers see the old or the new content, never a mixture."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path


def replace_content(file: str, content: bytes) -> None:
    """Replace the content of a file atomically, or create it; its permissions stay the same.

    The content is on the disk when the file is replaced. Raise OSError if that fails.
    """
    path = Path(file).resolve()  # replace the target of a link, not the link
    descriptor, draft = tempfile.mkstemp(prefix=f".{path.name[:60]}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        Path(draft).chmod(_find_mode(path))
        Path(draft).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(draft).unlink()
        raise


def _find_mode(path: Path) -> int:
    """Return the permissions of a file; those of a new one if it does not exist."""
    try:
        return path.stat().st_mode & 0o7777
    except FileNotFoundError:
        return 0o644
