"""Messages as lines of JSON."""

from __future__ import annotations

import io
import json
import logging
import sys
from typing import Any

import pytest

from stellar.monitoring.json_logs import JsonFormatter, JsonMessages, format_message


@pytest.fixture
def target() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def lines(target: io.StringIO) -> JsonMessages:
    return JsonMessages(target, "stellar-pipeline")


def read(target: io.StringIO) -> list[tuple[str, str]]:
    """Return levels and messages of the objects that were written."""
    found = map(json.loads, target.getvalue().splitlines())
    return [(each["level"], each["message"]) for each in found]


def test_each_line_is_one_object_without_the_name_of_the_program(target: io.StringIO, lines: JsonMessages) -> None:
    print("stellar-pipeline: 3 lines read", file=lines)
    print("a.log:1: parse: broken\n\nlast", file=lines, end="")
    assert read(target) == [("INFO", "3 lines read"), ("INFO", "a.log:1: parse: broken")]
    lines.finish()
    assert read(target)[2:] == [("INFO", "last")]


def test_a_message_of_several_lines_is_one_object(target: io.StringIO, lines: JsonMessages) -> None:
    lines.write_message("ERROR", "broken\n  here")
    assert read(target) == [("ERROR", "broken\n  here")]


def test_hostile_messages_remain_one_line(target: io.StringIO, lines: JsonMessages) -> None:
    for text in ("\x1b[31m", "\ud800", "\u2028", "\0", '"}\\', "\r"):
        print(text, file=lines)
    assert [message for _, message in read(target)] == ["\x1b[31m", "\ud800", "\u2028", "\0", '"}\\', "\r"]
    assert target.getvalue().isascii()
    assert target.getvalue().count("\n") == 6


def test_a_message_has_its_time() -> None:
    assert json.loads(format_message("INFO", "started", 1.5)) == {"time": 1500, "level": "INFO", "message": "started"}


def test_a_log_record_has_the_traceback_of_its_exception() -> None:
    def format_record(**options: Any) -> dict[str, Any]:
        record = logging.LogRecord("stellar", logging.WARNING, __file__, 1, "%s failed", ("it",), None, **options)
        return dict(json.loads(JsonFormatter().format(record)))

    assert {key: value for key, value in format_record().items() if key != "time"} == {
        "level": "WARNING", "message": "it failed",
    }  # fmt: skip
    try:
        raise ValueError("broken")
    except ValueError:
        record = logging.LogRecord("stellar", logging.ERROR, __file__, 1, "failed", (), sys.exc_info())
    assert json.loads(JsonFormatter().format(record))["traceback"].endswith("ValueError: broken")
