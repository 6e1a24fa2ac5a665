"""Java's files of properties: a key and a value on a line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Entry(NamedTuple):
    """A key and its value, and the line that they begin on."""

    line: int
    key: str
    value: str


def read(path: Path) -> dict[str, str]:
    """The values of a file by their keys; of a key that stands there twice, the last.

    The file is UTF-8, or if it is not, ISO-8859-1, in which Java reads it.
    Raises ValueError, with the file and the line, if an escape is none; OSError if the file can't be read.
    """
    return {entry.key: entry.value for entry in entries(path)}


def entries(path: Path) -> Iterator[Entry]:
    """The keys and values of a file in its order, with their lines; raises what `read` does."""
    for number, line in _logical_lines(_text(path)):
        parts = _PARTS.fullmatch(line)
        assert parts is not None  # any text has a key and a value, which may be empty
        try:
            yield Entry(number, _unescaped(parts["key"]), _unescaped(parts["value"]))
        except ValueError as error:
            raise ValueError(f"{path}:{number}: {error}") from error


# A key ends at the first =, : or blank that no backslash stands before
_PARTS = re.compile(r"(?P<key>(?:\\.|[^\\=:\s])*)\s*[=:]?\s*(?P<value>.*)", re.DOTALL)
_ESCAPE = re.compile(r"\\(?:u(?P<code>[0-9a-fA-F]{4})|(?P<other>.?))", re.DOTALL)
_ESCAPED = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}


def _text(path: Path) -> str:
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("iso-8859-1")


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines that say something, each with its number; one that ends in a backslash goes on in the next."""
    first, begun = 0, ""
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), 1):
        stripped = line.lstrip(" \t\f")
        if not begun:
            if not stripped or stripped[0] in "#!":
                continue
            first = number
        begun += stripped
        if (len(begun) - len(begun.rstrip("\\"))) % 2 == 0:
            yield first, begun
            begun = ""
        else:
            begun = begun[:-1]
    if begun:
        yield first, begun


def _unescaped(text: str) -> str:
    if "\\" not in text:
        return text
    # A character beyond U+FFFF is written as two escapes, which are halves of it
    unescaped = _ESCAPE.sub(_character, text)
    try:
        return unescaped.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"half of a character in {text!r}: two escapes, \\uD8.. and \\uDC.., make a whole one"
        ) from error


def _character(escape: re.Match[str]) -> str:
    if escape["code"] is not None:
        return chr(int(escape["code"], 16))
    if escape["other"] == "u":
        raise ValueError("behind \\u stand four digits of 0 to 9 and a to f; a backslash itself is written \\\\")
    return _ESCAPED.get(escape["other"], escape["other"])
