"""The tables of settings in the documentation are those of the code."""

from __future__ import annotations

import pytest

pytest.importorskip("scripts", reason="generators are in the checkout, not in the wheel")

from scripts.settings import PAGES, render


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_tables_of_settings_are_fresh(page):
    text = page.read_text(encoding="utf-8")
    assert render(page, text) == text, "run: python -m scripts.settings"
