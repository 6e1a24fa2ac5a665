"""The parsers of products agree with Metron's."""

from __future__ import annotations

import json

import pytest
from cases import DATA
from parser_cases import find_difference

PRODUCTS = ("bro", "fireeye", "ise", "lancope", "logstash", "paloalto", "snort", "sourcefire")


@pytest.fixture(scope="module")
def differences() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {name: [] for name in PRODUCTS}
    for line in (DATA / "parsers.jsonl").read_text(encoding="utf-8").split("\n"):
        case = json.loads(line) if line else {"cat": ""}
        name = case["cat"].removesuffix("_options")
        if name in found and (difference := find_difference(case)[1]):
            found[name].append(f"{case['id']}: {difference}")
    return found


@pytest.mark.parametrize("name", PRODUCTS)
def test_a_parser_agrees_with_metron(name: str, differences: dict[str, list[str]]) -> None:
    assert differences[name] == []
