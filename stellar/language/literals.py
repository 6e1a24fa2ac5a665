"""Literal arguments that a function interprets: regular expressions, date patterns, names of hashes.

A function declares the kinds of its arguments, and checks of expressions report invalid and misleading literals. At
compilation literals are not checked: like Metron, a call raises an error only when it is evaluated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

# All arguments of a call; those that are not literals are UNKNOWN
Arguments = Sequence[object]
Pitfalls = Iterator[tuple[str, str]]


def _find_no_pitfalls(_: object, __: Arguments) -> Pitfalls:
    return iter(())


class LiteralKind(NamedTuple):
    """The meaning of an argument that is a literal.

    validate: raises ValueError or LookupError for an invalid literal
    hint: how to write a valid literal
    find_pitfalls: yields messages and hints for a valid literal that probably has another meaning than intended

    Both functions are called with the literal, and with all arguments of the call, which are UNKNOWN if they are not
    literals.
    """

    validate: Callable[[object, Arguments], object]
    hint: str
    find_pitfalls: Callable[[object, Arguments], Pitfalls] = _find_no_pitfalls


def check_strings(validate: Callable[[str], object]) -> Callable[[object, Arguments], None]:
    """Return a `validate` for a literal that is a string, or a list of strings, each of which is validated."""

    def validate_all(literal: object, _: Arguments) -> None:
        for each in literal if isinstance(literal, list) else [literal]:
            if isinstance(each, str):
                validate(each)

    return validate_all
