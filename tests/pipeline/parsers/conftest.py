"""Fixtures of the parsers' tests: a frozen clock, and what a parser returns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest

from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.parsers import PARSERS, Settings, Unreadable
from stellar.pipeline.records import Record

# 2026-06-15T12:00:00Z
NOW = 1_781_524_800_000
LOCATION = SourceLocation("parsers/x.json", "parserConfig")


@pytest.fixture(autouse=True)
def frozen_clock() -> Iterator[None]:
    """The time is NOW."""
    with mock.patch("time.time_ns", return_value=NOW * 1_000_000):
        yield


@pytest.fixture
def parse() -> Callable[..., list[Any]]:
    """A function that parses a message by a parser with options: a record, or (text, message) of an error, for each."""

    def parse(name: str, text: str, **options: Any) -> list[Any]:
        return [_shown(each) for each in PARSERS[name](Settings(options, LOCATION))(text)]

    return parse


@pytest.fixture
def parse_one(parse: Callable[..., list[Any]]) -> Callable[..., Any]:
    """A function that parses a message with one record, and returns the record without its timestamp and original."""

    def parse_one(name: str, text: str, **options: Any) -> Any:
        (record,) = parse(name, text, **options)
        assert isinstance(record, dict), record
        return {key: value for key, value in record.items() if key not in ("timestamp", "original_string")}

    return parse_one


def _shown(each: Record | Unreadable) -> Any:
    return (each.text, str(each.error)) if isinstance(each, Unreadable) else each
