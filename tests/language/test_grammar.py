"""Tests that the parser's tables match the grammar, which has no conflicts."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("lark", reason="the grammar's tables are made with lark")
pytest.importorskip("interegular", reason="lark's strict mode compares the terminals with interegular")

from scripts import tables


def test_the_tables_match_the_grammar():
    built, stored = tables.build(), Path(tables.PACKAGE / "language" / "tables.py").read_text()
    assert built == stored, "stellar/language/tables.py is out of date: run python -m scripts.tables"


def test_strict_mode_rejects_a_conflict(tmp_path, monkeypatch):
    grammar = (tables.PACKAGE / "grammar.lark").read_text()
    (tmp_path / "grammar.lark").write_text(
        f"{grammar}\n?twice: atom\n".replace("?operand: sum", "?operand: sum | twice")
    )
    monkeypatch.setattr(tables, "PACKAGE", tmp_path)
    with pytest.raises(Exception, match="collision"):
        tables.build()
