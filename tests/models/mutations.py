"""Mutated PMML documents and records, and the outcome of each."""

from __future__ import annotations

import random
import re
from typing import Any

from stellar.models.errors import InvalidModel, NotScored
from stellar.models.loading import read_pmml

_ATTRIBUTE = re.compile(rb'([\w-]+)="([^"]*)"')
_TAG = re.compile(rb"<(/?)([A-Za-z][\w-]*)")

VALUES = (b"", b"0", b"-1", b"1e308", b"-1e308", b"NaN", b"abc", b"true", b"1.5", b"999999999999", b"\xc3\xa9", b"a b")
RECORD_VALUES: tuple[Any, ...] = (
    None, 0, 1, -1, 2**40, 10**400, 1.5, 1e308, -1e308, float("nan"), float("inf"), "", "x", "1", "1e400", "NaN",
    True, False, [], [1], ["a", None], {}, {"a": 1}, b"x", (1,), object(),
)  # fmt: skip


def mutate(document: bytes, chance: random.Random) -> bytes:
    """Return a document with one to three mutations."""
    for _ in range(chance.choice((1, 1, 2, 3))):
        document = chance.choice(_MUTATIONS)(document, chance)
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


_MUTATIONS = (
    _change_value, _change_value, _change_value, _change_value, _remove_attribute, _remove_attribute,
    _rename_element, _remove_bytes, _copy_bytes, _truncate,
)  # fmt: skip


def mutate_record(record: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    """Return a record with some values replaced."""
    return {name: chance.choice(RECORD_VALUES) if chance.random() < 0.3 else value for name, value in record.items()}


def find_outcome(document: bytes, records: list[dict[str, Any]]) -> str:
    """Return invalid, scored or refused. Other exceptions than ours are raised."""
    try:
        model = read_pmml(document)
    except InvalidModel:
        return "invalid"
    outcomes = set()
    for record in records:
        try:
            model.score(record)
        except NotScored:
            outcomes.add("refused")
        else:
            outcomes.add("scored")
    return "scored" if "scored" in outcomes else "refused"
