"""Packages that only some functions need, and that come with an extra of this distribution."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def needed(package: str, extra: str) -> Any:
    """The package, loaded.

    Raises LookupError, telling what to install, if it is not there.
    """
    try:
        return import_module(package)
    except ImportError as error:
        raise LookupError(f"this needs the package {package}: pip install 'stellar-maas[{extra}]'") from error
