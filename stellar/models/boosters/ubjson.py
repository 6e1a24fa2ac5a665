"""UBJSON: the binary form of JSON, with typed arrays, that XGBoost writes by default."""

from __future__ import annotations

import struct
from typing import Any, NoReturn

from stellar.models.errors import InvalidModel, KeyOrigin
from stellar.util.abbreviate import quote

# The size and format of the numbers by their markers
_NUMBERS = {
    "i": (1, "b"),
    "U": (1, "B"),
    "I": (2, "h"),
    "u": (2, "H"),
    "l": (4, "i"),
    "m": (4, "I"),
    "L": (8, "q"),
    "M": (8, "Q"),
    "d": (4, "f"),
    "D": (8, "d"),
}
_CONSTANTS: dict[str, Any] = {"Z": None, "T": True, "F": False}


class _Container:
    """An object or array that is being read.

    remaining: number of its values if it is stated, else None
    """

    __slots__ = ("remaining", "value")

    def __init__(self, value: Any, remaining: int | None) -> None:
        self.value = value
        self.remaining = remaining


class UbjsonParser:
    """A parser of one document, with a stack of open containers instead of recursion."""

    def __init__(self, data: bytes, values: int, containers: int, depth: int) -> None:
        self._data = data
        self._position = 0
        self._values = values
        self._containers = containers
        self._depth = depth
        self._open: list[_Container] = []

    def parse(self) -> Any:
        """Return the value of the document."""
        value = self._read_value(self._read_marker())
        while self._open:
            self._continue(self._open[-1])
        if self._position < len(self._data):
            self._refuse(f"{len(self._data) - self._position} bytes after the end of the document")
        return value

    def _continue(self, container: _Container) -> None:
        """Read the next value of a container, or its end."""
        if container.remaining == 0 or (container.remaining is None and self._reads_end(container)):
            self._open.pop()
            return
        if container.remaining is not None:
            container.remaining -= 1
        if isinstance(container.value, dict):
            key = self._read_string()
            if key in container.value:
                self._refuse(f"the object has the key {quote(key, 80)} twice")
            container.value[key] = self._read_value(self._read_marker())
        else:
            container.value.append(self._read_value(self._read_marker()))

    def _reads_end(self, container: _Container) -> bool:
        end = b"}" if isinstance(container.value, dict) else b"]"
        if self._data[self._position : self._position + 1] != end:
            return False
        self._position += 1
        return True

    def _read_value(self, marker: str) -> Any:
        self._count(1)
        if marker in _NUMBERS:
            return self._read_numbers(marker, 1)[0]
        if marker in _CONSTANTS:
            return _CONSTANTS[marker]
        if marker == "S":
            return self._read_string()
        if marker == "C":
            return self._take(1).decode("latin-1")
        if marker in "[{":
            return self._read_container(marker)
        self._refuse(f"unsupported marker {quote(marker)}")

    def _read_container(self, marker: str) -> Any:
        self._containers -= 1
        if self._containers < 0:
            self._refuse("too many objects and arrays; train a smaller model")
        if len(self._open) >= self._depth:
            self._refuse(f"objects or arrays are nested deeper than {self._depth}")
        kind = None
        if self._skips(b"$"):
            kind = self._read_marker()
            if marker == "{" or kind not in _NUMBERS:
                self._refuse(f"unsupported type {quote(kind)} of a container")
        length = self._read_length() if self._skips(b"#") else None
        if kind is not None:
            if length is None:
                self._refuse("a typed array has no length")
            self._count(length)
            return self._read_numbers(kind, length)
        container = _Container({} if marker == "{" else [], length)
        self._open.append(container)
        return container.value

    def _read_numbers(self, marker: str, count: int) -> tuple[Any, ...]:
        size, code = _NUMBERS[marker]
        return struct.unpack(f">{count}{code}", self._take(count * size))

    def _read_string(self) -> str:
        start = self._position
        try:
            return self._take(self._read_length()).decode()
        except UnicodeDecodeError:
            self._position = start
            self._refuse("invalid UTF-8 in a string")

    def _read_length(self) -> int:
        marker = self._read_marker()
        if marker not in _NUMBERS or marker in "dD":
            self._refuse(f"expected a length, got the marker {quote(marker)}")
        length = self._read_numbers(marker, 1)[0]
        if length < 0:
            self._refuse(f"negative length {length}")
        return int(length)

    def _read_marker(self) -> str:
        marker = self._take(1)
        while marker == b"N":  # no operation
            marker = self._take(1)
        return marker.decode("latin-1")

    def _skips(self, marker: bytes) -> bool:
        if self._data[self._position : self._position + 1] != marker:
            return False
        self._position += 1
        return True

    def _take(self, size: int) -> bytes:
        end = self._position + size
        if end > len(self._data):
            self._refuse(f"the document ends within a value of {size} bytes")
        taken = self._data[self._position : end]
        self._position = end
        return taken

    def _count(self, values: int) -> None:
        self._values -= values
        if self._values < 0:
            self._refuse("too many values; train a smaller model")

    def _refuse(self, reason: str) -> NoReturn:
        message = f"invalid UBJSON: {reason}; export the model again"
        raise InvalidModel(message, KeyOrigin(f"byte {self._position}", 0))


def parse_ubjson(data: bytes, values: int, containers: int, depth: int) -> Any:
    """Return the value of a document. Arrays of numbers are tuples.

    Raise InvalidModel, with the byte, if it is invalid or exceeds a limit.
    """
    return UbjsonParser(data, values, containers, depth).parse()
