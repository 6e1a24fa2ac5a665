"""Source locations in configuration files, errors that name them, and JSON with comments."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

from stellar.java.jackson import read_first_value
from stellar.language.errors import ConfigError
from stellar.language.source import Span, position, snippet
from stellar.util.abbreviate import quote

T = TypeVar("T")
Other = TypeVar("Other")

log = logging.getLogger(__name__)


class SourceLocation(NamedTuple):
    """A location in a configuration file: the file as the user named it, and a path in its JSON."""

    file: str
    path: str = ""

    def __truediv__(self, step: str | int) -> SourceLocation:
        """Return the location of a member or an element: `location / "config" / 0` is `config[0]`."""
        if isinstance(step, int):
            return SourceLocation(self.file, f"{self.path}[{step}]")
        if re.fullmatch(r"\w+", step):
            return SourceLocation(self.file, f"{self.path}.{step}" if self.path else step)
        return SourceLocation(self.file, f"{self.path}[{json.dumps(step, ensure_ascii=False)}]")

    def error(self, message: str) -> ConfigError:
        """Return an error about this location."""
        return ConfigError(self.file, self.path, message)

    def __str__(self) -> str:
        return f"{self.file}: {self.path}" if self.path else self.file


class ConfigErrors(ConfigError):
    """Several errors; its message is that of the first.

    rest: the configuration without the invalid values, if it is usable
    """

    def __init__(self, errors: Sequence[ConfigError], rest: Any = None) -> None:
        first, *others = errors
        more = f" (and {len(others)} more)" if others else ""
        super().__init__(first.file, first.path, f"{first.message}{more}")
        self._errors = tuple(errors)
        self.rest = rest

    @property
    def errors(self) -> tuple[ConfigError, ...]:
        return self._errors


@dataclass(frozen=True, slots=True)
class ErrorCollector:
    """Raises the first error of a configuration, or collects all of them.

    found: the list that errors are added to; None to raise them
    """

    found: list[ConfigError] | None = None

    def add(self, error: ConfigError) -> None:
        """Add an error, or raise it if errors are not collected."""
        if self.found is None:
            raise error
        self.found.append(error)

    def attempt(self, make: Callable[[], T], otherwise: Other) -> T | Other:
        """Return the result of `make`, or a replacement if it raises a ConfigError that is collected.

        The replacement is the usable rest of the configuration, if the error has one, or else `otherwise`.
        """
        try:
            return make()
        except ConfigError as error:
            if self.found is None:
                raise
            self.found.extend(error.errors)
            rest = error.rest if isinstance(error, ConfigErrors) else None
            return otherwise if rest is None else cast(T, rest)

    def raise_found(self) -> None:
        """Raise ConfigErrors if errors were collected; an error that was found twice, as in a shared file, is one."""
        if self.found:
            raise ConfigErrors(list({str(error): error for error in self.found}.values()))


RAISE_FIRST = ErrorCollector()


def read_text(path: Path) -> str:
    """Return the content of a configuration file.

    Raises ConfigError if it cannot be read or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), "", f"invalid UTF-8 at byte {error.start}; save the file as UTF-8") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(str(path), "", f"cannot read the file: {reason}; {_suggest_fix(error)}") from error


def _suggest_fix(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "check the path, or create the file"
    if isinstance(error, PermissionError):
        return "give the user that runs this command permission to read it"
    return "expected a file with JSON"


def parse_object(text: str, file: str) -> dict[str, Any]:
    """Parse a JSON object, in which `//` and `/* */` comments are allowed. Text after it is ignored, with a warning.

    file: the name of the file, for errors

    Raises ConfigError for invalid JSON, with line, column and excerpt, and for other values than an object.
    """
    if not text.strip():
        raise ConfigError(file, "", "the file is empty; expected a JSON object {…}")
    try:
        value, rest = read_first_value(text, partial(_object, file))
    except json.JSONDecodeError as error:
        line, column = position(text, error.pos)
        shown = snippet(text, Span(error.pos, error.pos + 1))
        message = f"invalid JSON: {error.msg} at line {line}, column {column}\n{shown}"
        raise ConfigError(file, "", message) from error
    except ValueError as error:
        raise ConfigError(file, "", f"invalid JSON: {error}") from error
    if not isinstance(value, dict):
        kind = {list: "a list", str: "a string", bool: "true or false"}.get(type(value), json.dumps(value))
        raise ConfigError(file, "", f"expected a JSON object {{…}}, got {kind}")
    if rest:
        log.warning("%s: text after the JSON object is ignored: %s", file, quote(rest, 40))
    return value


def _object(file: str, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    for name in members:
        _check_key(name)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = ", ".join(quote(name) for name in members if names.count(name) > 1)
        log.warning("%s: duplicate key %s in an object; the last one is used", file, repeated)
    return members


def _check_key(name: str) -> None:
    """Raise ValueError for a key that is no Unicode text, which could not be shown or stored."""
    if name.isascii():
        return
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ValueError(f"the key {name!a} contains half of a surrogate pair") from None
