"""Compiled code in the cache of a program.

What is stored is the code object of the generated function, and how to find the objects that its globals refer to, its
links: helpers and classes by name, functions by the name in the library, and constants as they are. So nothing that is
stored refers to an object of another process. A global of another kind is not stored, and its expression is compiled by
each process.

Stored code is used if the source, the options and the compiler are the same, which the key contains, and each function
that it calls has the same fingerprint.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, lru_cache, partial
from itertools import chain
from types import BuiltinMethodType
from typing import TYPE_CHECKING, Any

from stellar.language import runtime
from stellar.language.compiler.functions import FunctionCode
from stellar.language.inline import Inline, Prepared, describe_forms
from stellar.language.library import UNKNOWN, Library, Written
from stellar.language.limits import Steps
from stellar.language.python_values import OWN

if TYPE_CHECKING:
    from stellar.language.compiler.builder import PreparedCall
    from stellar.language.syntax import Syntax
    from stellar.util.disk_cache import Pack

# The globals whose name determines the object: helpers, and what inline forms may call
_BY_NAME: dict[str, Any] = {
    **vars(builtins),
    **vars(runtime),
    "OWN": OWN,
    "Steps": Steps,
}
_HELPERS: dict[str, Callable[..., Any]] = {
    "accept": runtime.accept,
    "read_argument": runtime.read_argument,
    "items": runtime.items,
}
_HELPERS_BY_ID = {id(helper): name for name, helper in _HELPERS.items()}

# A kind of link, and what determines the object
Link = tuple[Any, ...]


class _Unlinked(Exception):
    """A link leads to no object."""


@cache
def _make_prefix(predicate: bool, strict: bool, fast: bool) -> str:
    """Return the start of the keys of expressions with the same options."""
    from stellar.language.fingerprints import language_fingerprint  # programs without a cache do not need it

    return f"{language_fingerprint()}{predicate:d}{strict:d}{fast:d}"


@lru_cache(maxsize=1024)
def _make_globals(names: tuple[str, ...]) -> dict[str, Any]:
    return {name: _BY_NAME[name] for name in names}


def find_code(pack: Pack, syntax: Syntax, strict: bool, fast: bool) -> FunctionCode | None:
    """Return the code of an expression; None if it is not stored, or if a function that it calls has changed."""
    found = pack.get(_make_prefix(syntax.predicate, strict, fast) + syntax.source)
    if found is None:
        return None
    code, names, links, variables, functions, fingerprints = found
    library = syntax.library
    for name, fingerprint in fingerprints:
        if name not in library or library[name].fingerprint != fingerprint:
            return None
    linked = _make_globals(names).copy()
    try:
        for name, link in links:
            linked[name] = _LINKERS[link[0]](library, *link[1:])
    except _Unlinked:
        return None
    return FunctionCode(code, linked, variables, functions)


def store_code(
    pack: Pack,
    syntax: Syntax,
    compiled: FunctionCode,
    prepared: Mapping[str, PreparedCall],
    strict: bool,
    fast: bool,
) -> None:
    """Store the code of an expression, unless it refers to something that other processes could not find.

    prepared: for each global that `prepare` of a function returned, its call
    """
    code, names, variables, functions = compiled
    library = syntax.library
    if "raise_call_error" in names:  # whether that is an error of the compilation depends on the caller
        return
    fingerprints = tuple((name, library[name].fingerprint) for name in sorted(functions))
    by_name: list[str] = []
    links: list[tuple[str, Link]] = []
    for name, value in names.items():  # in this order what a call prepared is compared before its values are linked
        if _BY_NAME.get(name) is value:
            by_name.append(name)
            continue
        call = prepared.get(name)
        link = call and ("prepared", *_describe_call(call), describe_forms(call.prepared.inline))
        link = link or _make_link(value, library, functions, prepared.values())
        if link is None:
            return
        links.append((name, link))
    if all(fingerprint is not None for _, fingerprint in fingerprints):
        key = _make_prefix(syntax.predicate, strict, fast) + syntax.source
        pack.put(key, (code, tuple(by_name), tuple(links), variables, functions, fingerprints))


def _describe_call(call: PreparedCall) -> tuple[str, tuple[tuple[Any, bool], ...]]:
    """Return the name of the function and its arguments, each with True, or None and False for UNKNOWN."""
    return call.function, tuple((None, False) if value is UNKNOWN else (value, True) for value in call.literals)


def _make_link(value: Any, library: Library, functions: Iterable[str], calls: Iterable[PreparedCall]) -> Link | None:
    """Return the link to an object; None if it has none."""
    if isinstance(value, Written):
        return ("written", str(value))
    # Also a list or map may be that of a form, and have other items in another process
    found = chain(_list_links(value, library, functions), _list_inline_links(value, library, functions, calls))
    if (link := next(found, None)) is not None:
        return link
    if isinstance(value, list | dict | frozenset):
        return ("constant", value)
    if isinstance(value, BuiltinMethodType) and isinstance(table := value.__self__, dict) and value == table.get:
        return ("look_up", table)
    if isinstance(value, partial) and (helper := _HELPERS_BY_ID.get(id(value.func))) is not None:
        function, *arguments = value.args
        is_found = library.get(function.name) is value.args[0]
        return ("check", helper, function.name, *arguments) if is_found else None
    return None


def _list_links(value: Any, library: Library, functions: Iterable[str]) -> Iterator[Link]:
    """Yield the links from functions to an object: an implementation, or the class of a parameter."""
    for name in functions:
        if library[name].implementation is value:
            yield ("function", name)
        for index, parameter in enumerate(library[name].parameters):
            if value in parameter.kind.classes:
                yield ("class", name, index, parameter.kind.classes.index(value))


def _list_inline_links(
    value: Any, library: Library, functions: Iterable[str], calls: Iterable[PreparedCall]
) -> Iterator[Link]:
    """Yield the links to an object that is a value of an inline form, of a function or of what it prepared."""
    forms: list[tuple[tuple[Inline, ...], str, Any]] = [(library[name].inline, name, None) for name in functions]
    forms += [(call.prepared.inline, *_describe_call(call)) for call in calls]
    for inline, name, literals in forms:
        for index, form in enumerate(inline):
            for key, each in form.values.items():
                if each is value:
                    yield ("inline", name, literals, index, key)


# -- Links to objects -------------------------------------------------------------------------------------------------


def _link_function(library: Library, name: str) -> Any:
    return library[name].implementation


def _prepare(library: Library, name: str, literals: tuple[tuple[Any, bool], ...]) -> Prepared:
    prepared = library[name].prepare_call(value if is_known else UNKNOWN for value, is_known in literals)
    if prepared is None:
        raise _Unlinked
    return prepared


def _link_prepared(library: Library, name: str, literals: tuple[tuple[Any, bool], ...], forms: object) -> Any:
    prepared = _prepare(library, name, literals)
    if describe_forms(prepared.inline) != forms:  # the code contains them
        raise _Unlinked
    return prepared.function


def _link_inline(
    library: Library, name: str, literals: tuple[tuple[Any, bool], ...] | None, index: int, key: str
) -> Any:
    forms = library[name].inline if literals is None else _prepare(library, name, literals).inline
    return forms[index].values[key]


def _link_check(library: Library, helper: str, name: str, *arguments: int) -> Any:
    return partial(_HELPERS[helper], library[name], *arguments)


def _link_class(library: Library, name: str, parameter: int, index: int) -> Any:
    return library[name].parameters[parameter].kind.classes[index]


def _link_constant(_: Library, value: Any) -> Any:
    return value


def _link_look_up(_: Library, table: dict[Any, Any]) -> Any:
    return table.get


def _link_written(_: Library, value: str) -> Any:
    return Written(value)


_LINKERS: dict[str, Callable[..., Any]] = {
    "function": _link_function,
    "prepared": _link_prepared,
    "inline": _link_inline,
    "check": _link_check,
    "class": _link_class,
    "constant": _link_constant,
    "look_up": _link_look_up,
    "written": _link_written,
}
