"""The interface of parsers, and their settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.records import Record
from stellar.util.abbreviate import quote


class Unreadable(NamedTuple):
    """A section of a raw message that a parser could not read, with the error."""

    text: str
    error: Exception


class Parser(Protocol):
    """Parses a raw message into records."""

    def __call__(self, text: str) -> Iterable[Record | Unreadable]:
        """Return the records in a message; no records is not an error.

        A section that cannot be read gives an Unreadable, and the sections after it are still parsed. An exception
        means that the whole message cannot be read.
        """

    def complaint(self, record: Record) -> str | None:
        """Return the reason why a record is invalid after its transformations, or None if it is valid."""


class Settings(NamedTuple):
    """The settings of a parser.

    options: `parserConfig`
    location: the source location of `parserConfig`, for errors
    directory: the directory in which files named by options are searched first
    read_remote: reads a file that is not in the directory; raises FileNotFoundError if it does not exist there either,
        other OSErrors and ValueError if it cannot be read; None to skip this search
    """

    options: Mapping[str, Any]
    location: SourceLocation
    directory: Path | None = None
    read_remote: Callable[[str], bytes] | None = None

    def text(self, name: str, default: str | None = None) -> str:
        """Return a string option. Raises ConfigError for another type, or if it is missing and has no default."""
        value = self.options.get(name, default)
        if value is None:
            raise (self.location / name).error(f"missing key {quote(name)}; the parser requires it")
        if not isinstance(value, str):
            raise (self.location / name).error(f"expected a string, got {quote(value)}")
        return value

    def texts(self, name: str) -> list[str]:
        """Return an option that is a list of strings or one string, as a list; empty if it is missing.

        Raises ConfigError for another type.
        """
        value = self.options.get(name, [])
        values = [value] if isinstance(value, str) else value
        if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
            raise (self.location / name).error(f"expected a list of strings, got {quote(value)}")
        return values

    def truth(self, name: str, default: bool = False) -> bool:
        """Return a boolean option; the strings "true" and "false" are accepted. Raises ConfigError otherwise."""
        value = self.options.get(name, default)
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        if not isinstance(value, bool):
            raise (self.location / name).error(f"expected true or false, got {quote(value)}")
        return value


ParserFactory = Callable[[Settings], Parser]


def find_missing_fields(record: Record) -> str | None:
    """Return an error if `original_string` or `timestamp` is missing, otherwise None."""
    if "original_string" in record and "timestamp" in record:
        return None
    missing = [name for name in ("original_string", "timestamp") if name not in record]
    return f"record has no {' and no '.join(missing)}"
