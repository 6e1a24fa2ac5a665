"""Arguments of the functions that take configurations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from stellar.language.errors import ConfigError
from stellar.language.runtime import describe
from stellar.pipeline.config.locations import SourceLocation

T = TypeVar("T")


def read_argument(function: str, read: Callable[[str, SourceLocation], T], text: str) -> T:
    """Return the configuration in an argument. Raises ValueError with all errors."""
    try:
        return read(text, SourceLocation("config"))
    except ConfigError as error:
        raise ValueError(f"{function} expected a valid configuration: {list_errors(error)}") from error


def list_errors(error: ConfigError) -> str:
    """Return the messages of an error, which may be several ones, each on a line."""
    return "\n".join(map(str, error.errors))


def require_text(function: str, value: str | None) -> str:
    """Return a configuration that is neither null nor empty. Raises ValueError."""
    if not value:
        raise ValueError(f"{function} expected a configuration as JSON, got {describe(value)}")
    return value


def require_map(function: str, value: Any, path: str) -> dict[str, Any]:
    """Return the value at a path of a configuration, which must be a map. Raises ValueError."""
    if not isinstance(value, dict):
        raise ValueError(f"{function} expected a map in {path}, got {describe(value)}")
    return value
