"""Where in a configuration something stands, so that every complaint can say so; reading JSON that has comments."""

from __future__ import annotations

import importlib
import json
import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

from stellar.language.errors import ConfigError
from stellar.language.source import Span, position, snippet

T = TypeVar("T")
Other = TypeVar("Other")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SourceLocation:
    """A place in a configuration file: the file as the user named it, and a path inside its JSON."""

    file: str
    path: str = ""

    def __truediv__(self, step: str | int) -> SourceLocation:
        """The place of a member or of an element: `place / "config" / 0` is `config[0]`."""
        if isinstance(step, int):
            return SourceLocation(self.file, f"{self.path}[{step}]")
        if re.fullmatch(r"\w+", step):
            return SourceLocation(self.file, f"{self.path}.{step}" if self.path else step)
        return SourceLocation(self.file, f"{self.path}[{json.dumps(step, ensure_ascii=False)}]")

    def error(self, message: str) -> ConfigError:
        """The complaint about what stands here."""
        return ConfigError(self.file, self.path, message)

    def __str__(self) -> str:
        return f"{self.file}: {self.path}" if self.path else self.file


class ConfigErrors(ConfigError):
    """The first of several complaints about one file.

    complaints: all of them
    mended: what the file says without what they are about, if that can be told
    """

    def __init__(self, complaints: Sequence[ConfigError], mended: Any = None) -> None:
        first, *others = complaints
        more = f" (and {len(others)} more)" if others else ""
        super().__init__(first.file, first.path, f"{first.message}{more}")
        self.complaints = tuple(complaints)
        self.mended = mended


@dataclass(frozen=True, slots=True)
class ErrorCollector:
    """Takes what is wrong with configurations: the first problem is raised, or all are collected.

    found: where they are collected; None for raising
    """

    found: list[ConfigError] | None = None

    def attempt(self, make: Callable[[], T], otherwise: Other) -> T | Other:
        """What `make` makes; if it raises a ConfigError that is collected, what is left of that, or something else."""
        try:
            return make()
        except ConfigError as error:
            if self.found is None:
                raise
            if not isinstance(error, ConfigErrors):
                self.found.append(error)
                return otherwise
            self.found.extend(error.complaints)
            return otherwise if error.mended is None else cast(T, error.mended)


FIRST = ErrorCollector()


def imported(name: str, place: SourceLocation, wanted: str) -> Callable[..., Any]:
    """The Python function of a dotted path, which stands at a place and makes what is wanted there.

    wanted: what it must make, for complaints; it must at least be callable

    Raises ConfigError if there is no such function; so does the result, for whatever goes wrong when it is called.
    """
    module, _, attribute = name.rpartition(".")
    try:
        function = getattr(importlib.import_module(module), attribute)
    except (Exception, SystemExit) as error:  # a module may raise anything when it is loaded
        raise place.error(f"there is no Python function {name}: {_said(error, ImportError, AttributeError)}") from error
    if not callable(function):
        raise place.error(f"{name} is a {type(function).__name__}; a function is wanted")

    def make(*arguments: Any) -> Any:
        try:
            made = function(*arguments)
        except ConfigError:
            raise
        except (Exception, SystemExit) as error:  # it is not ours, and may raise anything
            raise place.error(f"{name} makes no {wanted}: {_said(error)}") from error
        if not callable(made):
            raise place.error(f"{name} makes no {wanted}: it returned {made!r:.60}, which can't be called")
        return made

    return make


def _said(error: BaseException, *plain: type[BaseException]) -> str:
    """What an exception says, behind its class unless that is a plain one."""
    if isinstance(error, SystemExit):
        return "it would end the program"
    return str(error) if isinstance(error, plain) else f"{type(error).__name__}: {error}"


# A text is matched first, so that `//` inside of one is no comment; an unclosed `/*` stays, for JSON to complain about
_TEXT_OR_COMMENT = re.compile(r'"(?:[^"\\]|\\.)*"|//[^\n]*|/\*.*?\*/', re.DOTALL)


def without_comments(text: str) -> str:
    """JSON text with blanks in place of `//` and `/* */` comments, so that lines and columns stay true."""

    def blank(match: re.Match[str]) -> str:
        found = match.group()
        return found if found.startswith('"') else re.sub(r"[^\n]", " ", found)

    return _TEXT_OR_COMMENT.sub(blank, text)


def read_text(path: Path) -> str:
    """The text of a configuration file.

    Raises ConfigError, with the mend, if it cannot be read or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), "", f"not UTF-8 at byte {error.start}; save the file as UTF-8") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(str(path), "", f"cannot be read: {reason}; {_mend(error)}") from error


def _mend(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "check the path, or create the file"
    if isinstance(error, PermissionError):
        return "give the user who runs this the right to read it"
    return "a file with JSON is wanted here"


def object_in(text: str, file: str) -> dict[str, Any]:
    """The JSON object in the text of a file, in which `//` and `/* */` comments may stand.

    Raises ConfigError if the text is not JSON (with line, column and carets) or holds something else.
    """
    if not text.strip():
        raise ConfigError(file, "", "the file is empty; a JSON object {…} is wanted")
    try:
        value = json.loads(without_comments(text), object_pairs_hook=partial(_object, file))
    except json.JSONDecodeError as error:
        line, column = position(text, error.pos)
        shown = snippet(text, Span(error.pos, error.pos + 1))
        message = f"not JSON: {error.msg} at line {line}, column {column}\n{shown}"
        raise ConfigError(file, "", message) from error
    except RecursionError as error:
        raise ConfigError(file, "", "nested too deep to be read; is this a configuration?") from error
    if not isinstance(value, dict):
        kind = {list: "a list", str: "a text", bool: "true or false"}.get(type(value), json.dumps(value))
        raise ConfigError(file, "", f"holds {kind}; a JSON object {{…}} is wanted")
    return value


def _object(file: str, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        twice = ", ".join(repr(name) for name in members if names.count(name) > 1)
        log.warning("%s: %s stands twice in one object; the last one counts", file, twice)
    return members
