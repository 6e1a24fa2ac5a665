"""JSON lines are read by Polars only if nothing is lost; otherwise they are read one by one."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stellar.columns import RecordColumns, read_records
from stellar.columns.evaluation import are_same
from stellar.columns.json_lines import read_flat

FIRST = '{"n": 1, "x": 2.5, "s": "a", "u": true}\n'


def read_pairs(line: str) -> dict[str, Any]:
    """Return the object of a line without nulls; of equal keys, the last one."""
    return {name: value for name, value in json.loads(line).items() if value is not None}


@pytest.mark.parametrize(
    "line",
    [
        '{"n": 2, "x": -0.5, "s": "", "u": false}',
        '{"n": -9223372036854775808, "x": 1e10, "s": "10.0.0.1"}',
        '{"x": 5.0, "s": "5"}',
        '{"x": 1E2, "s": "true"}',
        '{"s": "[1]"}',
        '{"n": null, "x": null, "s": null, "u": null}',
        '{"n":3,"x":0.1,"s":"a:b","late":"x"}',
        '{"s": "\\u00e9\\n\\u0000\\"", "x": 5e-324}',
        "{}",
    ],
)
def test_flat_objects_are_read_at_once(line: str) -> None:
    frame = read_flat(f"{FIRST}{line}\n".encode())
    assert frame is not None
    columns = RecordColumns.from_frame(frame)
    assert list(columns.records(range(2), columns.frame.columns)) == [read_pairs(FIRST), read_pairs(line)]


@pytest.mark.parametrize(
    "line",
    [
        '{"x": 5}',
        '{"n": 5.0}',
        '{"s": 5}',
        '{"s": true}',
        '{"s": [1]}',
        '{"s": {"s": "a"}}',
        '{"u": 1}',
        '{"m": {"k": 1}}',
        '{"m": [1, 2.5]}',
        '{"n": 9223372036854775808}',
        '{"x": 1e400}',
        '{"s": "\\ud800"}',
        '{"s": "a", "s": "b"}',
        '{"n": 1, "n": null, "x": 1.5, "x": 2.5}',
        '{"s": "\\": \\"", "s": "b"}',
        '{"s": "{\\"s\\": 1}"}',
        '{"n"\t: 1}',
        "",
    ],
)
def test_other_objects_are_read_one_by_one(line: str, tmp_path: Path) -> None:
    content = f"{FIRST}{line}\n"
    assert read_flat(content.encode()) is None
    (tmp_path / "a.jsonl").write_text(content, encoding="utf-8")
    columns = read_records(str(tmp_path / "a.jsonl"))
    expected = [read_pairs(each) for each in content.splitlines() if each]
    found = list(columns.records(range(len(columns)), [*columns.frame.columns, *columns.others]))
    assert found == expected
    assert all(are_same(found[-1][name], value) for name, value in expected[-1].items())


def test_a_field_after_the_first_lines_is_found() -> None:
    frame = read_flat((FIRST * 3000 + '{"late": "x", "x": 1.5}\n').encode())
    assert frame is not None
    assert frame["late"].to_list() == [None] * 3000 + ["x"]


GENERATORS: dict[str, Callable[[random.Random], Any]] = {
    "int": lambda rnd: rnd.choice((0, 1, -5, 2**63 - 1, rnd.randint(-(10**6), 10**6))),
    "float": lambda rnd: rnd.choice((0.5, -0.0, 1e300, rnd.uniform(-1e3, 1e3), 5e-324, 1e16, math.pi)),
    "half": lambda rnd: rnd.randint(-9, 9) + 0.5,
    "str": lambda rnd: rnd.choice(("", "a", "5", "5.5", "true", "null", "[", "{", "é", "a\\b", '"q":', "NaN", "inf")),
    "word": lambda rnd: rnd.choice(("GET", "10.0.0.1", "a:b")),
    "bool": lambda rnd: rnd.random() < 0.5,
    "mixed": lambda rnd: rnd.choice((1, 1.0, "1", True, [1], {"mixed": 1}, 2**64)),
}


@pytest.mark.parametrize("seed", range(3))
def test_generated_lines_have_the_values_of_python(seed: int, tmp_path: Path) -> None:
    rnd = random.Random(seed)
    path = tmp_path / "a.jsonl"
    at_once = 0
    for _ in range(150):
        names = rnd.sample([*GENERATORS][:-1], 4) + (["mixed"] if rnd.random() < 0.2 else [])
        records = [{name: GENERATORS[name](rnd) for name in names if rnd.random() < 0.9} for _ in range(20)]
        separators = rnd.choice(((",", ":"), (", ", ": ")))
        content = "".join(json.dumps(each, separators=separators) + "\n" for each in records)
        path.write_text(content, encoding="utf-8")
        at_once += read_flat(content.encode()) is not None
        found = list(read_records(str(path)).records(range(20), names))
        for one, other in zip(found, records, strict=True):
            assert one.keys() == other.keys()
            assert all(are_same(one[name], other[name]) for name in one), (one, other)
    assert at_once > 30
