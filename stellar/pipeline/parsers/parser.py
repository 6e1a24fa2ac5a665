"""What a parser is, and what it is made from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.records import Record


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A part of a raw message that a parser could not read: its text, and why."""

    text: str
    error: Exception


class Parser(Protocol):
    """Turns the text of one raw message into records."""

    def __call__(self, text: str) -> Iterable[Record | Unreadable]:
        """The records in a text; none is no error.

        A part that cannot be read is Unreadable, and does not stop the rest. An exception says that the
        whole text cannot be read.
        """

    def complaint(self, record: Record) -> str | None:
        """What is wrong with a record after its transformations; None if it is valid."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a parser is configured with.

    options: `parserConfig`
    place: where `parserConfig` stands, for complaints
    directory: where files that options name are looked for first
    """

    options: Mapping[str, Any]
    place: SourceLocation
    directory: Path | None = None

    def text(self, name: str, default: str | None = None) -> str:
        """An option that is a text. Raises ConfigError if it is missing and has no default, or is something else."""
        value = self.options.get(name, default)
        if value is None:
            raise (self.place / name).error(f"the key {name!r} is missing; this parser needs it")
        if not isinstance(value, str):
            raise (self.place / name).error(f"a text is wanted, not {value!r}")
        return value

    def texts(self, name: str) -> list[str]:
        """An option that is a list of texts, or one text; missing is empty. Raises ConfigError for anything else."""
        value = self.options.get(name, [])
        values = [value] if isinstance(value, str) else value
        if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
            raise (self.place / name).error("a list of texts is wanted")
        return values

    def truth(self, name: str, default: bool = False) -> bool:
        """An option that is true or false, or either as a text. Raises ConfigError for anything else."""
        value = self.options.get(name, default)
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        if not isinstance(value, bool):
            raise (self.place / name).error(f"true or false is wanted, not {value!r}")
        return value


ParserFactory = Callable[[Settings], Parser]


def lacks_the_usual(record: Record) -> str | None:
    """The check of most parsers: `original_string` and `timestamp` must be there."""
    missing = [name for name in ("original_string", "timestamp") if name not in record]
    return f"the record has no {' and no '.join(missing)}" if missing else None
