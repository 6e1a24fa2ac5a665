"""Import of packages that only some functions need, installed by an extra of this distribution."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def import_optional(package: str, extra: str) -> Any:
    """Import a package.

    extra: the extra of this distribution that installs it

    Raises LookupError with the command to install it if it is missing.
    """
    try:
        return import_module(package)
    except ImportError as error:
        raise LookupError(f"the package {package} is not installed; run pip install 'stellar-maas[{extra}]'") from error
