"""The page of rules names tests and cases that exist."""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "metron-rules.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| ((?:PIPELINE|PARSERS|Checks)[^|]*) \| (.*) \| ([^|]*) \|$", PAGE, re.MULTILINE)


def test_every_rule_has_a_test() -> None:
    assert len(ROWS) > 90
    assert [rule for _, rule, tests in ROWS if "`" not in tests] == []


def test_every_section_has_rules() -> None:
    sections = {name for section, _, _ in ROWS for name in re.findall(r"(?:PIPELINE|PARSERS) §\d+", section)}
    pipeline = {f"PIPELINE §{number}" for number in (3, 4, 5, 6, 7, 9, 10, 11, 12)}
    assert sections >= pipeline | {f"PARSERS §{number}" for number in range(19)}


def test_every_test_exists() -> None:
    for path, _, name in re.findall(r"`(tests/[\w/]+\.py)(::(\w+))?`", PAGE):
        source = (ROOT / path).read_text(encoding="utf-8")
        assert not name or re.search(rf"^(async )?def {name}\b", source, re.MULTILINE), f"{path} has no {name}"


def test_every_category_of_cases_exists_and_is_listed() -> None:
    data = ROOT / "tests" / "conformance" / "data" / "parsers.jsonl"
    categories = {json.loads(line)["cat"] for line in data.read_text(encoding="utf-8").splitlines()}
    assert set(re.findall(r"cases `(\w+)`", PAGE)) <= categories
