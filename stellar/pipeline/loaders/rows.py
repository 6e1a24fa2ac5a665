"""The rows that an extractor yields, and the lines that it rejects."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from stellar.pipeline.loaders.sources import Source, TextLine, UnreadableLine


class ExtractedRow(NamedTuple):
    """A row of an enrichment.

    kind: the type, such as malicious_ip
    indicator: the key
    value: the members of the enrichment
    line: the number of its first line, from 1
    raw: the text that it was extracted from
    """

    kind: str
    indicator: str
    value: Mapping[str, Any]
    line: int
    raw: str


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A line or a document that gives no row.

    line: the number of its first line, from 1
    reason: the problem, with the expected form
    raw: its text, which may be shortened
    """

    line: int
    reason: str
    raw: str


@dataclass(frozen=True, slots=True)
class IgnoredRow:
    """A line without data, such as a comment, or an object of a kind that is not loaded."""


IGNORED = IgnoredRow()

Extracted = ExtractedRow | RejectedRow | IgnoredRow
ExtractLine = Callable[[TextLine], Extracted]  # raises ValueError for a line that is rejected
# Yields the rows of a source; raises ValueError if the source as a whole is not readable
Extractor = Callable[[Source], Iterator[Extracted]]


def extract_lines(lines: Iterable[TextLine | UnreadableLine], extract: ExtractLine) -> Iterator[Extracted]:
    """Yield the row of each line. One that is not readable, or for which `extract` raises ValueError, is rejected."""
    for line in lines:
        if isinstance(line, UnreadableLine):
            yield RejectedRow(line.number, line.reason, line.start)
            continue
        try:
            yield extract(line)
        except ValueError as error:
            yield RejectedRow(line.number, str(error), line.text)
