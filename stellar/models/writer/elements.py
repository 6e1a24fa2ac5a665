"""Elements of a document, and the strings of their attributes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import date, time
from typing import TypeAlias
from xml.sax.saxutils import escape, quoteattr

from stellar.models.errors import NotExported
from stellar.models.pmml.xml import Element
from stellar.models.values import to_string
from stellar.util.abbreviate import quote

NAMESPACE = "http://www.dmg.org/PMML-4_4"

Attribute: TypeAlias = str | bool | int | float | None
# Characters that XML 1.0 cannot express
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SPECIAL = re.compile(r'[\s"\\]')
_BREAKS = {"\r": "&#13;"}  # a parser replaces it by a line feed


def build(name: str, /, *children: Element | None, **attributes: Attribute) -> Element:
    """Return an element; attributes and children of None are left out."""
    strings = {key.replace("_", "-"): write_value(value) for key, value in attributes.items() if value is not None}
    element = Element(name, strings, 0)
    element.children = [child for child in children if child is not None]
    return element


def build_list(name: str, children: Iterable[Element], /, **attributes: Attribute) -> Element | None:
    """Return an element with children, None if there are none."""
    element = build(name, *children, **attributes)
    return element if element.children else None


def build_text(name: str, text: str, /, **attributes: Attribute) -> Element:
    """Return an element with text."""
    if text.isspace():
        raise NotExported(f"<{name}> cannot have whitespace alone as its value; replace {quote(text)} in the model")
    element = build(name, **attributes)
    element.text = text
    return element


def unless(value: Attribute, default: Attribute) -> Attribute:
    """Return a value, or None if it is the default, which need not be written."""
    return None if value == default else value


def write_value(value: str | bool | int | float | date | time) -> str:
    """Return the string of a value, from which a reader gets the same value."""
    return (
        repr(float(value)).replace("inf", "INF").replace("nan", "NaN") if isinstance(value, float) else to_string(value)
    )


def build_array(items: Iterable[str], kind: str) -> Element:
    """Return an Array. Strings are quoted if they need to be."""
    strings = list(items)
    if any('\\"' in f'{string}"' for string in strings):
        raise NotExported("a category with a backslash before a quote, or at its end, cannot be written; rename it")
    words = [_quote(string) if not string or _SPECIAL.search(string) else string for string in strings]
    element = build("Array", n=len(words), type=kind)
    element.text = " ".join(words)
    return element


def _quote(string: str) -> str:
    escaped = string.replace('"', '\\"')
    return f'"{escaped}"'


def build_numbers(numbers: Iterable[float]) -> Element:
    """Return an Array of numbers."""
    return build_array(map(write_value, numbers), "real")


def build_table(rows: Iterable[dict[str, str]]) -> Element:
    """Return an InlineTable of rows, by column."""
    return build("InlineTable", *(build("row", *(build_text(*cell) for cell in row.items())) for row in rows))


# -- Text -------------------------------------------------------------------------------------------------------------


def write_xml(root: Element) -> str:
    """Return the document of an element, indented. Elements are written in a loop, as trees may be deep."""
    text = "".join(_write_lines(root))
    if (match := _FORBIDDEN.search(text)) is not None:
        raise NotExported(f"XML has no character {quote(ascii(match[0]))}; remove it from names and categories")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'


def _write_lines(root: Element) -> Iterator[str]:
    stack: list[tuple[Element, int] | str] = [(root, 0)]
    while stack:
        if isinstance(item := stack.pop(), str):
            yield item
            continue
        element, depth = item
        margin = " " * depth
        start = f"{margin}<{element.name}{_write_attributes(element)}"
        if not element.children:
            text = escape(element.text, _BREAKS)
            yield f"{start}>{text}</{element.name}>\n" if text else f"{start}/>\n"
            continue
        yield f"{start}>\n"
        stack.append(f"{margin}</{element.name}>\n")
        stack.extend((child, depth + 1) for child in reversed(element.children))


def _write_attributes(element: Element) -> str:
    return "".join(f" {name}={quoteattr(value)}" for name, value in element.attributes.items())
