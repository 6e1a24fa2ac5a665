"""Java properties files: a key and a value per line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from stellar.util.abbreviate import quote

# A key ends at the first =, : or whitespace without a backslash before it
_KEY_AND_VALUE = re.compile(r"(?P<key>(?:\\.|[^\\=:\s])*)\s*[=:]?\s*(?P<value>.*)")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.?))")
_ESCAPED = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}


class Property(NamedTuple):
    """A key, its value, and the number of the line on which they begin."""

    line: int
    key: str
    value: str


def read(path: Path) -> dict[str, str]:
    """Return the values of a file by key; the last value of a repeated key wins.

    The file is UTF-8 or else ISO-8859-1, Java's encoding of such files. Raise OSError if it can't be read, and
    ValueError, with file and line, for an invalid escape.
    """
    return {entry.key: entry.value for entry in read_entries(path)}


def read_entries(path: Path) -> Iterator[Property]:
    """Yield the keys and values in the file's order; raises what `read` raises."""
    data = path.read_bytes()
    try:
        source = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        source = data.decode("iso-8859-1")
    for number, line in _logical_lines(source):
        match = _KEY_AND_VALUE.fullmatch(line)
        assert match is not None  # every line matches: key and value may be empty
        try:
            yield Property(number, _unescape(match["key"]), _unescape(match["value"]))
        except ValueError as error:
            raise ValueError(f"{path}:{number}: {error}") from error


def _logical_lines(source: str) -> Iterator[tuple[int, str]]:
    """Yield lines with their numbers, continuation lines joined, without comments and empty lines."""
    first, joined = 0, ""
    for number, line in enumerate(re.split(r"\r\n|\r|\n", source), 1):
        stripped = line.lstrip(" \t\f")
        if not joined and (not stripped or stripped[0] in "#!"):
            continue
        first = first or number
        joined += stripped
        if (len(joined) - len(joined.rstrip("\\"))) % 2:  # an odd backslash at the end continues the line
            joined = joined[:-1]
            continue
        yield first, joined
        first, joined = 0, ""
    if joined:
        yield first, joined


def _unescape(value: str) -> str:
    # Characters above U+FFFF are written as two escapes, a surrogate pair
    unescaped = _ESCAPE.sub(_character, value)
    try:
        return unescaped.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError as error:
        raise ValueError(f"invalid escape in {quote(value)}: unpaired surrogate") from error


def _character(escape: re.Match[str]) -> str:
    code, other = escape.groups()
    if other == "u":
        raise ValueError("invalid escape \\u: expected four hexadecimal digits; write \\\\ for a backslash")
    return chr(int(code, 16)) if code else _ESCAPED.get(other, other)
