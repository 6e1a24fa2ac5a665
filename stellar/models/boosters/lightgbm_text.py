"""The text files of LightGBM: sections of lines `key=value`, read within bounds."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NoReturn, TypeVar

from stellar.models.errors import InvalidModel, KeyOrigin
from stellar.util.abbreviate import quote

T = TypeVar("T", int, float)


@dataclass(frozen=True, slots=True)
class TextLimits:
    """Bounds of a file.

    size: bytes
    lines: of all sections
    """

    size: int = 64 * 2**20
    lines: int = 1_000_000


class Section:
    """A section: its header, and values by key.

    name: such as `tree 3`
    line: of the header
    values: with the line of each
    """

    def __init__(self, name: str, line: int) -> None:
        self.name = name
        self.line = line
        self.values: dict[str, tuple[bytes, int]] = {}

    @property
    def origin(self) -> KeyOrigin:
        """The section as the source of a form."""
        return KeyOrigin(self.name, self.line)

    def add(self, line: bytes, number: int) -> None:
        """Add a line. A line without a value is a flag."""
        key, _, value = line.partition(b"=")
        name = key.decode("utf-8", "replace")
        if name in self.values:
            raise InvalidModel("the key occurs twice; export the model again", KeyOrigin(f"{name:.80}", number))
        self.values[name] = (value, number)

    def refuse(self, key: str, message: str) -> NoReturn:
        """Raise InvalidModel for a key."""
        line = self.values[key][1] if key in self.values else self.line
        raise InvalidModel(message, KeyOrigin(f"{key} of {self.name}", line))

    def string(self, key: str) -> str:
        """Return the value of a key, which is required."""
        if key not in self.values:
            self.refuse(key, "missing key; export the model again")
        try:
            return self.values[key][0].decode()
        except UnicodeDecodeError:
            self.refuse(key, "invalid UTF-8; export the model again")

    def integer(self, key: str, low: int, high: int) -> int:
        """Return an integer within bounds."""
        string = self.string(key)
        if not string.isascii() or not string.isdigit() or len(string) > 18 or not low <= int(string) <= high:
            self.refuse(key, f"expected an integer from {low} to {high}, got {quote(string, 80)}")
        return int(string)

    def integers(self, key: str, count: int) -> list[int]:
        """Return the integers of a line, separated by spaces."""
        return self._parse(key, count, _parse_integer, "integers")

    def numbers(self, key: str, count: int) -> list[float]:
        """Return the numbers of a line. None is NaN."""
        return self._parse(key, count, _parse_number, "numbers")

    def _parse(self, key: str, count: int, parse: Callable[[str], T], description: str) -> list[T]:
        string = self.string(key)
        # Counted before the list takes memory
        found = string.count(" ") + 1 if string else 0
        if found != count:
            self.refuse(key, f"expected {count} {description}, got {found}; export the model again")
        try:
            return [parse(item) for item in string.split(" ")] if string else []
        except ValueError as error:
            self.refuse(key, f"expected {description}: {error}; export the model again")


def _parse_integer(item: str) -> int:
    if not item.lstrip("-").isdigit() or len(item) > 12:
        raise ValueError(f"got {quote(item, 80)}")
    return int(item)


def _parse_number(item: str) -> float:
    try:
        number = float(item)
    except ValueError:
        raise ValueError(f"got {quote(item, 80)}") from None
    if number != number or "_" in item:
        raise ValueError(f"got {quote(item, 80)}")
    return number


@dataclass(frozen=True, slots=True)
class TextModel:
    """A file in sections.

    categories: JSON of the names of categories, with its line
    """

    header: Section
    trees: tuple[Section, ...]
    categories: tuple[bytes, int] | None


def read_sections(data: bytes, limits: TextLimits) -> TextModel:
    """Return the sections of a file. Raise InvalidModel, with the line, if the file is truncated or exceeds a limit."""
    if len(data) > limits.size:
        raise InvalidModel(f"more than {limits.size} bytes; train a smaller model", KeyOrigin("file", 1))
    lines = _number_lines(data, limits)
    first = next(lines, (1, b""))
    if first[1] != b"tree":
        raise InvalidModel("expected 'tree', as in a model file of LightGBM", KeyOrigin("file", 1))
    header = Section("the header", 1)
    section = header
    trees: list[Section] = []
    for number, line in lines:
        if line == b"end of trees":
            return TextModel(header, tuple(trees), _find_categories(lines))
        if line.startswith(b"Tree="):
            if line != b"Tree=%d" % len(trees):
                raise InvalidModel(f"expected Tree={len(trees)}; export the model again", KeyOrigin("Tree", number))
            section = Section(f"tree {len(trees)}", number)
            trees.append(section)
        elif line:
            section.add(line, number)
    raise InvalidModel("the file ends before 'end of trees'; export the model again", section.origin)


def _number_lines(data: bytes, limits: TextLimits) -> Iterator[tuple[int, bytes]]:
    for number, line in enumerate(io.BytesIO(data), 1):
        if number > limits.lines:
            raise InvalidModel(f"more than {limits.lines} lines; train a smaller model", KeyOrigin("file", number))
        yield number, line.rstrip(b"\r\n")


def _find_categories(lines: Iterator[tuple[int, bytes]]) -> tuple[bytes, int] | None:
    prefix = b"pandas_categorical:"
    return next(((line[len(prefix) :], number) for number, line in lines if line.startswith(prefix)), None)
