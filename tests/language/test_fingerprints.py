"""Fingerprints of functions: they need the source file of the module."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from stellar.language.fingerprints import function_fingerprint
from stellar.language.library import Library, stellar


@stellar("TWICE")
def twice(number: int) -> int:
    """Return a number twice."""
    return 2 * number


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """A module of which the function is a part."""
    module = ModuleType("fingerprinted_functions")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(twice, "__module__", module.__name__)
    module.__file__ = str(tmp_path / "fingerprinted_functions.py")
    return module


def fingerprint() -> str | None:
    return function_fingerprint(Library.of(twice)["TWICE"])


def test_a_function_of_a_module_whose_file_is_gone_has_no_fingerprint(module: ModuleType) -> None:
    assert fingerprint() is None


def test_a_fingerprint_changes_with_the_file(module: ModuleType) -> None:
    assert module.__file__
    found = []
    for content in ("1", "1", "2"):
        Path(module.__file__).write_text(content, encoding="utf-8")
        found.append(fingerprint())
    assert found[0] == found[1] != found[2]
