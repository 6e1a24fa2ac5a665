"""The functions that expressions can call, one module a family.

Other distributions add theirs by an entry point of the group `stellar.functions`, which names a module, a function or a
Library.

LIBRARY         what an expression may call anywhere
SHELL_LIBRARY   that, and what only a shell may do: reach files and the environment, and show tables
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import cached_property

from stellar.functions import (
    bloom,
    cardinality,
    collections,
    conversion,
    dates,
    encoding,
    enrichments,
    formats,
    functional,
    fuzzy,
    geo,
    geohash,
    hashing,
    jsons,
    maas,
    math,
    network,
    outliers,
    regexps,
    sampling,
    statistics,
    strings,
    validation,
)
from stellar.library import Function, Library

# fmt: off
FAMILIES = (
    strings, regexps, fuzzy, formats, conversion, encoding, hashing, jsons, math, dates, collections,
    functional, network, validation, statistics, outliers, geo, geohash, enrichments, cardinality, bloom,
    sampling, maas,
)
# fmt: on
GROUP = "stellar.functions"


class _WithInstalled(Library):
    """A library, and what other distributions have installed in addition.

    To look for that takes longer than to compile an expression. So it waits until a name is asked for that is not in
    the library itself, or the whole list.
    """

    def __init__(self, own: Library) -> None:
        self.own = own
        self.name = own.name

    @cached_property
    def functions(self) -> dict[str, Function]:  # type: ignore[override]
        return {**dict(_installed(self.own)), **self.own.functions}

    def __getitem__(self, name: str) -> Function:
        return self.own.functions.get(name) or self.functions[name]


def _installed(own: Library) -> Iterator[tuple[str, Function]]:
    from importlib.metadata import entry_points  # it takes as long to load as all of the language

    for entry_point in entry_points(group=GROUP):
        where = f"the Stellar functions {entry_point.name} = {entry_point.value}"
        try:
            found = Library.of(entry_point.load())
        except Exception as error:  # noqa: BLE001 - whatever a stranger's module may raise
            warnings.warn(f"{where} can't be loaded: {error}", RuntimeWarning, stacklevel=2)
            continue
        for name, function in found.items():
            if name in own:
                warnings.warn(f"{where} have a {name}, but that name is taken", RuntimeWarning, stacklevel=2)
            yield name, function


LIBRARY = _WithInstalled(Library.of(*FAMILIES, name="stellar.functions:LIBRARY"))
SHELL_LIBRARY: Library


def __getattr__(name: str) -> Library:
    """The shell's library, which is loaded when it is first wanted."""
    if name != "SHELL_LIBRARY":
        raise AttributeError(f"module {__name__} has no attribute {name}")
    from stellar.functions import files, shell, system

    own = Library.of(LIBRARY.own, files, system, shell, name=f"{__name__}:{name}")
    library = globals()[name] = _WithInstalled(own)
    return library
