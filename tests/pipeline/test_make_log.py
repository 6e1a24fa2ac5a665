"""The generator of the demonstration's log."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.parsers import Settings, Unreadable
from stellar.pipeline.parsers.grok import GrokParser

PROGRAM = Path(__file__).parents[2] / "examples" / "squid" / "make_log.py"
SQUID = GrokParser(
    Settings(
        {"grokPath": "/patterns/squid", "patternLabel": "SQUID_STRICT", "timestampField": "timestamp"},
        SourceLocation("x"),
    )
)


def made(*options: str) -> list[str]:
    done = subprocess.run([sys.executable, str(PROGRAM), *options], capture_output=True, text=True, check=True)
    return done.stdout.split("\n")[:-1]


def test_every_line_has_the_form_of_squid() -> None:
    lines = made("--lines", "1500")
    assert len(lines) == 1500
    for line in lines:
        assert re.match(r"\d{10}\.\d{3} +\d+ \d+\.\d+\.\d+\.\d+ TCP_\w+/\d{3} \d+ [A-Z]+ \S+ - HIER_\w+/\S+ \S+$", line)
        (record,) = SQUID(line)
        assert isinstance(record, dict)
        assert record["timestamp"] >= 1571163620277
        assert (record["ip_dst_addr"] is None) == ("HIER_NONE/-" in line)
    text = "\n".join(lines)
    for wanted in ("http://yahoo.com/", "http://cnn.com/", " CONNECT ", "TCP_HIT/200", "TCP_DENIED/403"):
        assert wanted in text


def test_the_same_seed_makes_the_same_log() -> None:
    assert made("--lines", "50", "--seed", "5") == made("--lines", "50", "--seed", "5")
    assert made("--lines", "50", "--seed", "5") != made("--lines", "50", "--seed", "6")


def test_garbage_is_optional() -> None:
    outcomes = [outcome for line in made("--lines", "100", "--garbage", "7") for outcome in SQUID(line)]
    assert len(outcomes) == 107
    assert sum(isinstance(outcome, Unreadable) for outcome in outcomes) == 7


def test_the_example_has_its_own_copy_of_the_shipped_pattern() -> None:
    from importlib.resources import files

    shipped = (files("stellar.java") / "patterns" / "squid").read_text(encoding="utf-8")
    assert (PROGRAM.parent / "config" / "patterns" / "squid").read_text(encoding="utf-8") == shipped


@pytest.mark.parametrize("options", [("--lines", "x"), ("--speed", "1")])
def test_invalid_options_are_rejected(options: tuple[str, ...]) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        made(*options)
