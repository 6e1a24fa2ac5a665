"""The sessions in docs/shell.md go as they are written there."""

from __future__ import annotations

import pytest

pytest.importorskip("scripts", reason="the page is in the checkout, not in the wheel")

from scripts.shell_page import PAGE, page, without_durations


def test_the_page_tells_what_the_shell_shows():
    text = PAGE.read_text(encoding="utf-8")
    assert text.count("```shell") >= 8
    assert without_durations(page(text)) == without_durations(text), "run python -m scripts.shell_page"
