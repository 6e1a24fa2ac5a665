"""The sessions in docs/shell.md show the actual output."""

from __future__ import annotations

import pytest

pytest.importorskip("scripts", reason="the page is in the checkout, not in the wheel")

from scripts.shell_page import PAGE, mask_durations, update_page


def test_the_page_shows_the_output_of_the_shell():
    source = PAGE.read_text(encoding="utf-8")
    assert source.count("```shell") >= 8
    assert mask_durations(update_page(source)) == mask_durations(source), "run python -m scripts.shell_page"
