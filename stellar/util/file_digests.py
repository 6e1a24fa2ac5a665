"""Digests of source files, on which cached values depend."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from importlib.util import find_spec

_LENGTH = 16  # of 64 hexadecimal digits


def digest_files(files: Iterable[str]) -> str:
    """Return a digest of the contents of files. Raises OSError for a file that cannot be read."""
    digest = hashlib.sha256()
    for file in files:
        with open(file, "rb", buffering=0) as source:
            digest.update(source.read())
    return digest.hexdigest()[:_LENGTH]


def list_sources(*directories: str) -> list[str]:
    """Return the Python files in directories, sorted; none of a package that is in an archive."""
    return [
        os.path.join(directory, name)
        for directory in filter(os.path.isdir, directories)
        for name in sorted(os.listdir(directory))
        if name.endswith(".py")
    ]


def find_package_file(package: str, name: str) -> list[str]:
    """Return the file of a package with its version, without importing it; none if it is not a file."""
    found = find_spec(package)
    file = None if found is None or found.origin is None else os.path.join(os.path.dirname(found.origin), name)
    return [file] if file is not None and os.path.isfile(file) else []
