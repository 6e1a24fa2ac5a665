"""The table of settings in the documentation is that of the code."""

from __future__ import annotations

import pytest

pytest.importorskip("scripts", reason="generators are in the checkout, not in the wheel")

from scripts.settings import PAGE, page


def test_the_table_of_settings_is_fresh():
    text = PAGE.read_text(encoding="utf-8")
    assert page(text) == text, "run: python -m scripts.settings"
