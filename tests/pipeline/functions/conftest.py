"""Fixtures of functions that read and run configurations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import stellar
from stellar.functions import SHELL_LIBRARY
from stellar.language.context import NOTHING, Context
from stellar.stores.configurations import ConfigurationStore, DirectoryConfigurations

Evaluate = Callable[..., Any]


@pytest.fixture
def evaluate() -> Evaluate:
    """A function that evaluates an expression over its keyword arguments, without services."""

    def evaluate_one(expression: str, context: Context = NOTHING, **record: Any) -> Any:
        return stellar.evaluate(expression, record, context, library=SHELL_LIBRARY)

    return evaluate_one


@pytest.fixture
def in_directory(tmp_path: Path) -> Context:
    """A context with the configurations of `tmp_path / "config"`."""
    return Context({ConfigurationStore: DirectoryConfigurations(tmp_path / "config")})
