"""Lines and columns of errors in configuration files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from stellar.language.errors import ConfigError, StellarError
from stellar.language.source import Span, position
from stellar.pipeline.config.embedded_expressions import Configuration, detect_kind, parse_configuration
from stellar.pipeline.config.locations import ConfigErrors
from stellar.util.cached_properties import cached_property

Position = tuple[int, int]


class Positions:
    """Finds the lines and columns of paths in files, each of which is read once.

    texts: configurations that are not in files, by the names that locations have instead
    """

    def __init__(self, texts: Mapping[str, str] = MappingProxyType({})) -> None:
        self._files = {name: _File(f"{name}.json", text) for name, text in texts.items()}

    def find(
        self, file: str, path: str, error: BaseException | None = None, *, is_key: bool = False
    ) -> Position | None:
        """Return the line and the column, from 1, of a path in a file; None if the file cannot be read.

        error: the error of the expression at the path, whose position in the expression is added
        is_key: if True, the position of the key, not of the value
        """
        return self._open(file).find(path, error, is_key)

    def has_expression(self, file: str, path: str) -> bool:
        """Return True if a JSON file has a string with an expression at a path."""
        return self._open(file).has_expression(path)

    def _open(self, file: str) -> _File:
        if file not in self._files:
            self._files[file] = _File(file)
        return self._files[file]

    def find_error(self, error: ConfigError) -> Position | None:
        """Return the line and the column, from 1, of an error; None if its file cannot be read."""
        return self.find(error.file, error.path, error.__cause__, is_key=error.message.startswith("unknown key "))


class _File:
    def __init__(self, name: str, source: str | None = None) -> None:
        self._name = name
        if source is not None:
            self._source = source

    def find(self, path: str, error: BaseException | None, is_key: bool) -> Position | None:
        if self._source is None:
            return None
        if not self._name.endswith(".json"):
            return self._find_definition(self._source, path)
        problem = self._configuration.problem
        if not path and problem is None:
            return None
        offset = problem.offset if problem is not None else self._find_offset(self._configuration, path, error, is_key)
        return position(self._configuration.source, offset)

    def has_expression(self, path: str) -> bool:
        return self._name.endswith(".json") and any(text.path == path for text in self._configuration.texts)

    def _find_definition(self, source: str, name: str) -> Position | None:
        """Return the position of a Grok pattern in a file of patterns."""
        lines = (number for number, line in enumerate(source.split("\n"), 1) if name and line.split()[:1] == [name])
        return next(((number, 1) for number in lines), None)

    def _find_offset(self, configuration: Configuration, path: str, error: BaseException | None, is_key: bool) -> int:
        if isinstance(error, StellarError):
            for text in configuration.texts:
                if text.path == path:
                    start = error.span.start + text.expression.start
                    return text.in_file(Span(start, start)).start
        key = configuration.key(path) if is_key else None
        return configuration.span(path).start if key is None else key.span.start

    @cached_property
    def _source(self) -> str | None:
        try:
            return Path(self._name).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError):
            return None

    @cached_property
    def _configuration(self) -> Configuration:
        source = self._source or ""
        return parse_configuration(source, detect_kind(self._name, source))


def describe_error(error: ConfigError) -> str:
    """Return the message of an error, with file, line and column."""
    where = _name_position(error, Positions())
    return f"{where}: {error.path}: {error.message}" if error.path else f"{where}: {error.message}"


def add_positions(error: ConfigError, texts: Mapping[str, str]) -> ConfigErrors:
    """Return the errors with line and column as a part of the names of their files.

    texts: the configurations by the names of their files
    """
    positions = Positions(texts)
    return ConfigErrors([_add_position(each, positions) for each in error.errors])


def _add_position(error: ConfigError, positions: Positions) -> ConfigError:
    positioned = ConfigError(_name_position(error, positions), error.path, error.message)
    positioned.__cause__ = error.__cause__
    return positioned


def _name_position(error: ConfigError, positions: Positions) -> str:
    found = positions.find_error(error)
    return error.file if found is None else f"{error.file}:{found[0]}:{found[1]}"
