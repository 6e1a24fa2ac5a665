"""Tests of the conversion between spans and Python's positions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from stellar.language.compiler.source_map import SourceMap
from stellar.language.source import Span

SOURCES = ["a + b", "a +\n b\n\n", "é + '東京' + 𝄞", "'é' +\n'東\n京' // 𝄞\n+ x", "'\ud800' + x", ""]


def count_bytes(string: str) -> int:
    return len(string.encode(errors="surrogatepass"))


@pytest.mark.parametrize("source", SOURCES)
def test_a_position_is_a_line_and_the_bytes_before_it_in_that_line(source):
    positions = SourceMap(source)
    for offset in range(len(source) + 1):
        before = source[:offset].split("\n")
        line, column = len(before), count_bytes(before[-1])
        expected = {"lineno": line, "col_offset": column, "end_lineno": line, "end_col_offset": column}
        assert positions[Span(offset, offset)] == expected


@pytest.mark.parametrize("source", SOURCES)
def test_a_span_is_restored_from_its_position(source):
    positions = SourceMap(source)
    for start in range(len(source) + 1):
        for end in range(start, len(source) + 1):
            at = positions[Span(start, end)]
            found = positions.to_span(at["lineno"], at["col_offset"], at["end_lineno"], at["end_col_offset"])
            assert found == Span(start, end)


class CountedSource(str):
    """A source that counts the characters that its methods visit."""

    visited = 0

    def __iter__(self) -> Iterator[str]:
        for character in super().__iter__():
            CountedSource.visited += 1
            yield character

    def __contains__(self, item: object) -> bool:
        CountedSource.visited += len(self)
        return super().__contains__(item)  # type: ignore[operator]

    def __getitem__(self, index: Any) -> str:
        CountedSource.visited += len(self) if isinstance(index, slice) else 1
        return super().__getitem__(index)

    def __getattribute__(self, name: str) -> Any:
        if name in ("count", "encode", "find", "index", "isascii", "rfind", "rindex", "split", "splitlines"):
            CountedSource.visited += len(self)
        return super().__getattribute__(name)


@pytest.mark.parametrize("line", ["x + 1 +\n", "'é' + ", "x + y + ", "'é' +\n"])
def test_the_source_is_read_a_fixed_number_of_times_for_all_positions(line):
    source = CountedSource(line * 2_000)
    CountedSource.visited = 0
    positions = SourceMap(source)
    for offset in range(len(source)):
        positions[Span(offset, offset + 1)]
    assert CountedSource.visited <= 5 * len(source)
