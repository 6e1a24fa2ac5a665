"""Attributes and arrays of elements, checked."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import TypeVar

from stellar.models.errors import InvalidModel
from stellar.models.pmml.xml import Element
from stellar.models.values import find_conversion, parse_double, parse_integer
from stellar.util.abbreviate import quote
from stellar.util.suggestions import suggest_name

T = TypeVar("T")


def required(element: Element, name: str) -> str:
    """Return an attribute. Raise InvalidModel if it is missing."""
    try:
        return element.attributes[name]
    except KeyError:
        raise InvalidModel(f"missing attribute {quote(name)}; add it", element.origin) from None


def _parse(element: Element, name: str, parse: Callable[[str], T]) -> T | None:
    if (string := element.attributes.get(name)) is None:
        return None
    try:
        return parse(string)
    except ValueError as error:
        raise InvalidModel(f"invalid {quote(name)}: {error}", element.origin) from None


def optional_number(element: Element, name: str) -> float | None:
    """Return the number of an attribute, or None."""
    return _parse(element, name, parse_double) if name in element.attributes else None


def number(element: Element, name: str, default: float | None = None) -> float:
    """Return the number of an attribute, which is required if there is no default."""
    value = optional_number(element, name)
    if value is None:
        return parse_text(element, required(element, name)) if default is None else default
    return value


def parse_text(element: Element, string: str) -> float:
    """Return the number of a string within an element."""
    try:
        return parse_double(string)
    except ValueError as error:
        raise InvalidModel(str(error), element.origin) from None


def integer(element: Element, name: str, default: int) -> int:
    """Return the integer of an attribute."""
    value = _parse(element, name, parse_integer)
    return default if value is None else value


def boolean(element: Element, name: str, default: bool | None) -> bool | None:
    """Return the boolean of an attribute."""

    def parse(string: str) -> bool:
        if string not in _BOOLEANS:
            raise ValueError(f"expected true or false, got {quote(string, 80)}")
        return _BOOLEANS[string]

    value = _parse(element, name, parse)
    return default if value is None else value


_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


def choice(element: Element, name: str, choices: Collection[str], default: str | None = None) -> str:
    """Return an attribute that has one of some values."""
    value = element.attributes.get(name, default)
    if value is None:
        value = required(element, name)
    if value not in choices:
        known = list(choices)
        raise InvalidModel(f"unsupported {name} {quote(value, 80)}; {suggest_name(value, known)}", element.origin)
    return value


def optional_choice(element: Element, name: str, choices: Collection[str]) -> str | None:
    """Return an attribute that has one of some values, or None."""
    return choice(element, name, choices) if name in element.attributes else None


def data_type(element: Element, name: str = "dataType") -> str | None:
    """Return the data type of an element, or None if the attribute is missing."""
    if (value := element.attributes.get(name)) is not None and find_conversion(value) is None:
        raise InvalidModel(f"unsupported {name} {quote(value, 80)}", element.origin)
    return value


# -- Arrays -----------------------------------------------------------------------------------------------------------

_ITEM = re.compile(r'"((?:[^"\\]|\\.)*)"|([^\s"]+)')


def read_array(element: Element) -> tuple[str, ...]:
    """Return the items of an Array, of which strings may be quoted."""
    if '"' not in element.text:
        items = element.text.split()
    else:
        items = [
            match[2] if match[1] is None else match[1].replace('\\"', '"') for match in _ITEM.finditer(element.text)
        ]
    return tuple(_check_count(element, items))


def _check_count(element: Element, items: list[str]) -> list[str]:
    if (count := integer(element, "n", len(items))) != len(items):
        raise InvalidModel(f"expected {count} items by the attribute n, got {len(items)}", element.origin)
    return items


MOST_COLUMNS = 100_000  # of a sparse array, which is stored as a dense one


def read_numbers(element: Element, longest: int = MOST_COLUMNS) -> tuple[float, ...]:
    """Return the numbers of an Array or a sparse array.

    longest: largest number of them; a sparse array of more is refused before memory is taken
    """
    if not element.name.endswith("SparseArray"):
        return tuple(parse_text(element, item) for item in read_array(element))
    indices, entries = _read_sparse(element)
    count = integer(element, "n", max(indices, default=0))
    if not 0 <= count <= longest:
        raise InvalidModel(f"invalid n {count}: expected 0–{longest}", element.origin)
    numbers = [number(element, "defaultValue", 0.0)] * count
    for index, entry in zip(indices, entries, strict=True):
        if not 1 <= index <= count:
            raise InvalidModel(f"invalid index {index}: expected 1–{count}", element.origin)
        numbers[index - 1] = entry
    return tuple(numbers)


def _read_sparse(element: Element) -> tuple[list[int], list[float]]:
    indices: list[int] = []
    entries: list[float] = []
    for child in element.children:
        values = [parse_text(child, item) for item in child.text.split()]
        if child.name == "Indices":
            indices = [int(value) if abs(value) < MOST_COLUMNS * 10 else 0 for value in values]
        elif child.name.endswith("-Entries"):
            entries = values
    if len(indices) != len(entries):
        raise InvalidModel(f"{len(indices)} indices for {len(entries)} entries", element.origin)
    return indices, entries


def find_array(element: Element) -> Element:
    """Return the array of numbers in an element."""
    for child in element.children:
        if child.name in ("Array", "REAL-SparseArray", "INT-SparseArray"):
            return child
    raise InvalidModel("missing <Array>; add it", element.origin)


def find_required(element: Element, *names: str) -> Element:
    """Return the first child that has one of some names."""
    for child in element.children:
        if child.name in names:
            return child
    raise InvalidModel(f"missing <{'> or <'.join(names)}>; add it", element.origin)


def read_rows(element: Element) -> tuple[dict[str, str], ...]:
    """Return the rows of the InlineTable of an element, as strings by column."""
    if (table := element.find("InlineTable")) is None:
        raise InvalidModel("missing <InlineTable>; tables elsewhere are not supported", element.origin)
    return tuple({cell.name: cell.text for cell in row.children} for row in table.find_all("row"))
