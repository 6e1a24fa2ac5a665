"""Values of YAML files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stellar.util.yaml_reader import YamlErrors, YamlReader


def read(tmp_path: Path, text: str) -> Any:
    file = tmp_path / "file.yaml"
    file.write_text(text, encoding="utf-8")
    return YamlReader(file).root.to_value()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("-5", -5),
        ("007", 7),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("'5'", "5"),
        ('"true"', "true"),
        ("'null'", "null"),
        ("no", "no"),
        ("yes", "yes"),
        ("2026-06-15", "2026-06-15"),
        ("12:30", "12:30"),
        ("0x10", "0x10"),
        ("1_000", "1_000"),
        ("a b", "a b"),
        ("[1, [a]]", [1, ["a"]]),
        ("{1: {b: }}", {"1": {"b": None}}),
    ],
)
def test_a_scalar_is_a_value_of_yaml_1_2(tmp_path: Path, text: str, value: Any) -> None:
    found = read(tmp_path, f"value: {text}")["value"]
    assert found == value
    assert type(found) is type(value)


def test_a_block_is_a_string(tmp_path: Path) -> None:
    assert read(tmp_path, "a: |\n  5\n  6\nb: >-\n  c\n  d\n") == {"a": "5\n6\n", "b": "c d"}


@pytest.mark.parametrize("text", ["a: &b 1\nc: *b", "a: !!set {}", "a: 1\n---\nb: 1", "a: 1\na: 2"])
def test_forms_that_configuration_does_not_need_are_rejected(tmp_path: Path, text: str) -> None:
    with pytest.raises(YamlErrors, match=r"file\.yaml:\d+:\d+: "):
        read(tmp_path, text)
