"""Shortening and escaping of strings and values for messages.

The cost is limited by the length of the result, not by the size of the value: of a long string only the beginning is
quoted, of a large or deep collection only the first items are visited, and code of foreign classes is not called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import FunctionType

MAX_SHOWN_CHARACTERS = 400  # of a string on a terminal
LONGEST = 40
# A longer integer is described by its size
MOST_BITS = 128
# Modules of the standard library whose classes have a short `repr` of constant cost
_MODULES = frozenset({"datetime", "decimal", "fractions", "ipaddress", "uuid"})
_NUMPY_SCALARS = "biufcmM"


def abbreviate(string: str, most: int = LONGEST) -> str:
    """Return a string of at most `most` characters; a longer one ends in `...`."""
    return string if len(string) <= most else f"{string[: most - 3]}..."


def escape(text: str) -> str:
    """Return a string for a terminal: shortened to 400 characters, with unprintable characters escaped."""
    short = text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[:MAX_SHOWN_CHARACTERS]}…"
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in short)


def abbreviate_value(value: object, most: int = LONGEST) -> str:
    """Return a value as an expression would write it, at most `most` characters long.

    An object that is not a Stellar value is described by its type.
    """
    if (write := _WRITERS.get(type(value))) is not None:
        return abbreviate(write(value, most), most)
    pieces: list[str] = []
    length = 0
    for piece in _write(value, most):
        pieces.append(piece)
        length += len(piece)
        if length > most:
            break
    return abbreviate("".join(pieces), most)


def quote(value: object, most: int = 200) -> str:
    """Return a value for a message, such as a name or a pattern: a string in quotes, anything long shortened."""
    return abbreviate_value(value, most)


def describe_type(value: object) -> str:
    """Return `an object of type Fraction`, or the noun that the class declares as STELLAR_NOUN."""
    cls = type(value)
    return getattr(cls, "STELLAR_NOUN", None) or f"an object of type {abbreviate(cls.__name__)}"


def _write(value: object, most: int) -> Iterator[str]:
    """Yield the pieces of a value. Each level yields a character first, so the depth is limited by the length."""
    cls = type(value)
    for kind, write in _WRITERS.items():
        if issubclass(cls, kind):
            yield write(value, most)
            return
    try:
        if issubclass(cls, Mapping):
            yield from _write_items("{}", _write_entries(value, most))  # type: ignore[arg-type]
        elif issubclass(cls, list | tuple | set | frozenset):
            brackets = "[]" if issubclass(cls, list | tuple) else "{}"
            yield from _write_items(brackets, (_write(item, most) for item in value))  # type: ignore[attr-defined]
        else:
            yield _write_object(value)
    except Exception:  # noqa: BLE001 - raised by a foreign class: a message about its object must not fail
        yield describe_type(value)


def _write_items(brackets: str, items: Iterable[Iterator[str]]) -> Iterator[str]:
    yield brackets[0]
    for index, item in enumerate(items):
        if index:
            yield ", "
        yield from item
    yield brackets[1]


def _write_entries(value: Mapping[object, object], most: int) -> Iterator[Iterator[str]]:
    for key, item in value.items():
        yield _write_entry(key, item, most)


def _write_entry(key: object, item: object, most: int) -> Iterator[str]:
    yield from _write(key, most)
    yield " : "
    yield from _write(item, most)


def _write_object(value: object) -> str:
    cls = type(value)
    is_scalar = cls.__module__ == "numpy" and getattr(getattr(value, "dtype", None), "kind", "O") in _NUMPY_SCALARS
    return repr(value) if cls.__module__ in _MODULES or (is_scalar and value.ndim == 0) else describe_type(value)  # type: ignore[attr-defined]


def _write_integer(value: int, _: int) -> str:
    bits = int.bit_length(value)
    return int.__repr__(value) if bits <= MOST_BITS else f"an integer of {bits} bits"


# In this order, because a bool is also an int
_WRITERS: dict[type, Callable[..., str]] = {
    str: lambda value, most: repr(str.__getitem__(value, slice(most))),
    bool: lambda value, _: "true" if value else "false",
    int: _write_integer,
    float: lambda value, _: float.__repr__(value),
    type(None): lambda *_: "null",
    bytes: lambda value, most: repr(bytes.__getitem__(value, slice(most))),
    FunctionType: lambda *_: "a lambda",
}
