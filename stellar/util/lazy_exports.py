"""Public names of a package that are loaded when they are first used.

So a program that only registers a model loads neither the language nor an HTTP client.
"""

from __future__ import annotations

import sys
from importlib import import_module

TYPE_CHECKING = False  # not imported from typing, which takes longer to load than everything here
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any


def export_lazily(
    package: str, homes: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return the `__getattr__`, `__dir__` and `__all__` of a package.

    package: its name
    homes: the public names that each module defines; a module whose name begins with a dot is relative to the package
    """
    home_of = {name: module for module, names in homes.items() for name in names}

    def load(name: str) -> Any:
        if (module := home_of.get(name)) is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(module, package), name)
        setattr(sys.modules[package], name, value)  # found without this function from now on
        return value

    names = sorted(home_of)
    return load, lambda: names, names
