"""Mutations of model files and of their records."""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

_ATTRIBUTE = re.compile(rb'([\w-]+)="([^"]*)"')
_NUMBER = re.compile(rb"[-+]?\d+(\.\d+)?(e[-+]?\d+)?")
_TAG = re.compile(rb"<(/?)([A-Za-z][\w-]*)")

VALUES = (b"", b"0", b"-1", b"1e308", b"-1e308", b"NaN", b"abc", b"true", b"1.5", b"999999999999", b"\xc3\xa9", b"a b")
NUMBERS = (
    b"",
    b"0",
    b"-1",
    b"1",
    b"2",
    b"3",
    b"7",
    b"1e308",
    b"-1e-320",
    b"nan",
    b"inf",
    b"999999999999",
    b"0.5",
    b"x",
)
JSON_VALUES: tuple[Any, ...] = (
    None, True, 0, 1, -1, 3, 2**31, 2**70, 0.5, 1e308, -1e-320, float("nan"), float("inf"), "", "1", "x",
    [], [1], {}, [[]],
)  # fmt: skip
RECORD_VALUES: tuple[Any, ...] = (
    None, 0, 1, -1, 2**40, 10**400, 1.5, 1e308, -1e308, float("nan"), float("inf"), "", "x", "1", "1e400", "NaN",
    True, False, [], [1], ["a", None], {}, {"a": 1}, b"x", (1,), object(),
)  # fmt: skip


Mutation = Callable[[bytes, random.Random], bytes]


def mutate(document: bytes, chance: random.Random) -> bytes:
    """Return a PMML document with one to three mutations."""
    return _apply(_OF_XML, document, chance)


def mutate_file(file: bytes, chance: random.Random) -> bytes:
    """Return a model file of XGBoost or LightGBM with one to three mutations."""
    return _apply(_OF_JSON if file.startswith(b"{") and b"\0" not in file else _OF_TEXT, file, chance)


def _apply(mutations: Sequence[Mutation], document: bytes, chance: random.Random) -> bytes:
    for _ in range(chance.choice((1, 1, 2, 3))):
        document = chance.choice(mutations)(document, chance)
    return document


def _choose(pattern: re.Pattern[bytes], document: bytes, chance: random.Random) -> re.Match[bytes] | None:
    matches = list(pattern.finditer(document))
    return chance.choice(matches) if matches else None


def _change_value(document: bytes, chance: random.Random) -> bytes:
    if (match := _choose(_ATTRIBUTE, document, chance)) is None:
        return document
    other = _choose(_ATTRIBUTE, document, chance)
    value = chance.choice((*VALUES, other[2] if other else b"", match[2] + b"0", match[2][:-1]))
    return document[: match.start(2)] + value + document[match.end(2) :]


def _remove_attribute(document: bytes, chance: random.Random) -> bytes:
    if (match := _choose(_ATTRIBUTE, document, chance)) is None:
        return document
    return document[: match.start()] + document[match.end() :]


def _rename_element(document: bytes, chance: random.Random) -> bytes:
    one, other = _choose(_TAG, document, chance), _choose(_TAG, document, chance)
    if one is None or other is None:
        return document
    return re.sub(rb"(</?)" + one[2] + rb"\b", rb"\1" + other[2], document, count=chance.choice((0, 2)))


def _remove_bytes(document: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(document) or 1)
    return document[:start] + document[start + chance.choice((1, 10, 300)) :]


def _copy_bytes(document: bytes, chance: random.Random) -> bytes:
    start, at = chance.randrange(len(document) or 1), chance.randrange(len(document) or 1)
    return document[:at] + document[start : start + chance.choice((1, 60, 400))] + document[at:]


def _truncate(document: bytes, chance: random.Random) -> bytes:
    return document[: chance.randrange(len(document) or 1)]


def _change_number(document: bytes, chance: random.Random) -> bytes:
    if (match := _choose(_NUMBER, document, chance)) is None:
        return document
    other = _choose(_NUMBER, document, chance)
    value = chance.choice((*NUMBERS, other[0] if other else b"", match[0] + b"0", match[0][:-1]))
    return document[: match.start()] + value + document[match.end() :]


def _change_byte(document: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(document) or 1)
    return document[:at] + bytes([chance.randrange(256)]) + document[at + 1 :]


def _copy_line(document: bytes, chance: random.Random) -> bytes:
    lines = document.split(b"\n")
    at = chance.randrange(len(lines))
    lines[at : at + chance.choice((0, 1))] = [chance.choice(lines)]
    return b"\n".join(lines)


def _change_json(document: bytes, chance: random.Random) -> bytes:
    """Replace, remove or move a value of a JSON document."""
    try:
        tree = json.loads(document)
    except (ValueError, RecursionError):
        return _change_byte(document, chance)
    values = list(_walk(tree))
    if values:
        owner, key = chance.choice(values)
        other, name = chance.choice(values)
        if chance.random() < 0.2:
            del owner[key]
        else:
            owner[key] = copy.deepcopy(chance.choice((*JSON_VALUES, other[name], str(other[name]))))
    return json.dumps(tree).encode()


def _walk(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Return the containers of a document, each with a key; of long lists a few indexes."""
    keys = list(tree) if isinstance(tree, dict) else range(0, len(tree), len(tree) // 8 + 1)
    for key in keys:
        yield tree, key
        if isinstance(tree[key], dict | list):
            yield from _walk(tree[key])


_BYTES: tuple[Mutation, ...] = (_remove_bytes, _copy_bytes, _truncate)
_OF_XML = (*[_change_value] * 4, *[_remove_attribute] * 2, _rename_element, *_BYTES)
_OF_TEXT = (*[_change_number] * 4, *[_change_byte] * 2, _copy_line, *_BYTES)
_OF_JSON = (*[_change_json] * 6, *[_change_number] * 2, _change_byte, *_BYTES)


def mutate_record(record: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    """Return a record with some values replaced."""
    return {name: chance.choice(RECORD_VALUES) if chance.random() < 0.3 else value for name, value in record.items()}
