"""The page from a CSV feed to an alert: five commands, whose output is compared in test_command_blocks."""

from __future__ import annotations

import re

import pytest

from .test_command_blocks import ROOT, read_steps

PAGE = "docs/feed-to-alert.md"
SHOWN = re.findall(
    r"^<!-- (\S+) -->\n```json\n(.*?)^```$", (ROOT / PAGE).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
)


def test_the_page_goes_from_a_feed_to_an_alert_in_five_commands() -> None:
    first, *_, last = steps = read_steps(PAGE)
    assert len(steps) == 5
    assert not any(re.search(r"&&|;|\n.", step.command) for step in steps)
    assert "phishing" in first.output
    assert '"is_alert": "true"' in last.output


@pytest.mark.parametrize(("name", "text"), SHOWN)
def test_the_page_shows_the_files_as_they_are(name: str, text: str) -> None:
    assert text == (ROOT / name).read_text(encoding="utf-8")


def test_the_page_shows_each_json_file_of_the_example() -> None:
    found = {str(path.relative_to(ROOT)) for path in (ROOT / "examples/bad_hosts").rglob("*.json")}
    assert {name for name, _ in SHOWN} == found


def test_the_index_links_the_page() -> None:
    assert "(feed-to-alert.md)" in (ROOT / "docs/index.md").read_text(encoding="utf-8")
