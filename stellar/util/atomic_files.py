"""Replacement of files so that readers see the old or the new content, never a part."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path


def replace_content(file: str, content: bytes) -> None:
    """Replace the content of a file atomically; its permissions stay the same. Raise OSError if that fails."""
    path = Path(file).resolve()  # replace the target of a link, not the link
    descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as out:
            out.write(content)
        Path(draft).chmod(path.stat().st_mode & 0o7777)
        Path(draft).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(draft).unlink()
        raise
