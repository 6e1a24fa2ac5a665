"""Samples: requests to which an instance must respond correctly before it is registered.

    samples.jsonl           in the model's directory, one sample a line: {"args": {"host": "a.com"}, "result": {…}}
    maas deploy --warm-up 'host=a.com&port=80'      a request whose result is not compared

The result is optional. Its keys must be in the response with equal values; the response may have others. Numbers are
compared as numbers, and floats with a tolerance.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

from maas_runtime.runner.files import read_regular_file
from maas_runtime.store.base import SAMPLES_FILE
from stellar.maas.schema import read_json
from stellar.util.abbreviate import abbreviate, quote

MAX_BYTES, MAX_LINE_BYTES, MAX_SAMPLES = 4 << 20, 65_536, 1000
MAX_WARM_UPS, MAX_WARM_UP_LENGTH = 20, 4096
TOLERANCE = 1e-9  # relative, of floats

Json = Any


@dataclass(frozen=True)
class Sample:
    """A request and its expected result.

    origin: where it comes from, such as "samples.jsonl line 3"
    result: None if any JSON object will do
    """

    origin: str
    arguments: Mapping[str, Json]
    result: Mapping[str, Json] | None = None


def read_samples(folder: Path) -> list[Sample]:
    """Return the samples in a model's directory; none if it has no such file.

    Raises ValueError for an invalid file, with the line.
    """
    file = folder / SAMPLES_FILE
    try:
        data = read_regular_file(file, MAX_BYTES)
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise ValueError(f"invalid {SAMPLES_FILE}: {error}") from None
    lines = data.split(b"\n")
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if len(numbered) > MAX_SAMPLES:
        raise ValueError(f"invalid {SAMPLES_FILE}: {len(numbered):,} samples, expected at most {MAX_SAMPLES:,}")
    return [_parse_line(f"{SAMPLES_FILE} line {number}", line) for number, line in numbered]


def _parse_line(origin: str, line: bytes) -> Sample:
    if len(line) > MAX_LINE_BYTES:
        raise ValueError(f"invalid {origin}: {len(line):,} bytes, expected at most {MAX_LINE_BYTES:,}")
    try:
        sample = read_json(line)
    except ValueError as error:
        raise ValueError(f"invalid {origin}: {error}") from None
    expected = 'expected a JSON object such as {"args": {"host": "a.com"}, "result": {"score": 1}}'
    if not isinstance(sample, dict) or not isinstance(sample.get("args"), dict):
        raise ValueError(f"invalid {origin}: {expected}")
    if unknown := sorted(sample.keys() - {"args", "result"}):
        raise ValueError(f"invalid {origin}: unknown key {abbreviate(json.dumps(unknown[0]))}; {expected}")
    if "result" in sample and not isinstance(sample["result"], dict):
        raise ValueError(f"invalid {origin}: result: expected a JSON object, got {_describe(sample['result'])}")
    return Sample(origin, sample["args"], sample.get("result"))


def parse_warm_up(arguments: Sequence[str]) -> list[Sample]:
    """Return the samples of `--warm-up` options, each a query such as `host=a.com&port=80`.

    Raises ValueError for an invalid one.
    """
    if len(arguments) > MAX_WARM_UPS:
        raise ValueError(f"too many warm-up requests: {len(arguments)}, expected at most {MAX_WARM_UPS}")
    return [_parse_query(query) for query in arguments]


def _parse_query(query: str) -> Sample:
    shown = abbreviate(query, 80)
    if not query.isprintable() or len(query) > MAX_WARM_UP_LENGTH:
        raise ValueError(f"invalid warm-up request {quote(shown)}: too long, or contains control characters")
    parsed: dict[str, str | None] = {}
    for pair in query.split("&"):
        name, equals, value = pair.partition("=")
        if not name or name in parsed:
            raise ValueError(
                f"invalid warm-up request {quote(shown)}: expected distinct names, such as host=a.com&port=80"
            )
        parsed[unquote_plus(name)] = unquote_plus(value) if equals else None
    return Sample(f"warm-up {quote(shown)}", parsed)


# --- comparison


def find_difference(expected: Json, got: Json) -> str | None:
    """Return the first difference of a result, such as `expected score 1, got 2`; None if it is as expected.

    Keys that are not expected are ignored, at any depth.
    """
    pending = [("", expected, got)]  # not recursive: a file can nest values deeper than Python's stack
    while pending:
        path, wanted, found = pending.pop()
        if isinstance(wanted, dict) and isinstance(found, dict):
            if missing := [key for key in wanted if key not in found]:
                return f"expected {_join(path, missing[0])} {_describe(wanted[missing[0]])}, got no such key"
            pending += [(_join(path, key), wanted[key], found[key]) for key in reversed(wanted)]
        elif isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
            members = zip(wanted, found, strict=True)
            pending += [(f"{path}[{index}]", *pair) for index, pair in reversed([*enumerate(members)])]
        elif not _are_equal(wanted, found):
            return f"expected {path} {_describe(wanted)}, got {_describe(found)}"
    return None


def _join(path: str, key: str) -> str:
    name = key if key.isidentifier() else json.dumps(abbreviate(key))
    return abbreviate(f"{path}.{name}" if path else name, 200)


def _are_equal(wanted: Json, found: Json) -> bool:
    """Return whether two JSON values that are not both objects, or arrays of the same length, are equal."""
    if not (_is_number(wanted) and _is_number(found)):
        return type(wanted) is type(found) and not isinstance(wanted, list) and bool(wanted == found)
    if wanted == found or (isinstance(wanted, int) and isinstance(found, int)):
        return bool(wanted == found)
    try:
        return math.isclose(wanted, found, rel_tol=TOLERANCE)
    except OverflowError:  # an integer that is too large for a float
        return False


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _describe(value: Json) -> str:
    if isinstance(value, dict):
        return f"an object with {len(value)} keys"
    if isinstance(value, list):
        return f"an array of {len(value)}"
    return abbreviate(json.dumps(value), 80)
