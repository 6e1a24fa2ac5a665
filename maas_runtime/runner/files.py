"""Reading of files that a model may have written, by mistake or on purpose, with any content."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def read_regular_file(file: Path, max_bytes: int) -> bytes:
    """Return the content of a regular file. Never blocks and never follows a link.

    Raises ValueError for a link, a special file and a file that is too large, OSError for one that cannot be read.
    """
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ValueError("expected a regular file, got a link") from None
        raise
    with open(descriptor, "rb") as handle:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("expected a regular file")
        if len(data := handle.read(max_bytes + 1)) > max_bytes:
            raise ValueError(f"too large: expected at most {max_bytes:,} bytes")
    return data
