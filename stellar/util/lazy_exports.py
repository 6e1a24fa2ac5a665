"""Public names of a package that are imported on first use.

A program that only registers a model imports neither the language nor an HTTP client.
"""

from __future__ import annotations

import sys
from importlib import import_module

TYPE_CHECKING = False  # not imported from typing, which takes longer than the rest of this module
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any


def export_lazily(
    package: str, modules: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return the `__getattr__`, `__dir__` and `__all__` of a package.

    package: the name of the package
    modules: the public names by the module that defines them; a name with a leading dot is relative to the package
    """
    module_of = {name: module for module, names in modules.items() for name in names}

    def load(name: str) -> Any:
        if (module := module_of.get(name)) is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(module, package), name)
        setattr(sys.modules[package], name, value)  # later look-ups do not call this function
        return value

    names = sorted(name for name in module_of if not name.startswith("__"))  # __version__ is an attribute only
    return load, lambda: names, names
