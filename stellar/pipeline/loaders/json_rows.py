"""The extractor of JSON: each line is an object, or the whole file is a list of objects."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from stellar.functions.jsons import DECODER
from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.loaders.rows import IGNORED, Extracted, ExtractedRow, ExtractLine, RejectedRow, extract_lines
from stellar.pipeline.loaders.sources import Source, TextLine, UnreadableLine
from stellar.util.abbreviate import quote

if TYPE_CHECKING:
    from stellar.pipeline.config.schema import ExtractorOptions

MAX_DOCUMENT_BYTES = 256 * 1024 * 1024


class JsonExtractor:
    """Extracts a row of each JSON object. Its members are the value, or those that `columns` names.

    is_whole: True if a file is one document: an object, or a list of objects

    Raises ConfigError for invalid options.
    """

    def __init__(self, options: ExtractorOptions, location: SourceLocation, *, is_whole: bool = False) -> None:
        name = options.indicator_column or options.indicator
        if name is None:
            raise location.error("missing key 'indicator_column'; name the member of each object that is the indicator")
        self._indicator: str = name
        self._kind, self._kind_member = options.type, options.type_column
        self._members = _read_members(options.columns, location / "columns")
        self._is_whole = is_whole

    def __call__(self, source: Source) -> Iterator[Extracted]:
        """Yield the rows of a file. Raises ValueError for a document above 256 MiB and for invalid JSON."""
        return self._extract_document(source) if self._is_whole else extract_lines(source.lines(), self._extract_line)

    @property
    def extracts_lines(self) -> bool:
        """See LineExtractor."""
        return not self._is_whole

    def begin(self, lines: Iterator[TextLine | UnreadableLine]) -> tuple[list[Extracted], ExtractLine | None]:
        """See LineExtractor. There is no header."""
        return [], self._extract_line

    def _extract_line(self, line: TextLine) -> Extracted:
        return self._extract(_decode(line.text), line.number, line.text) if line.text.strip() else IGNORED

    def _extract_document(self, source: Source) -> Iterator[Extracted]:
        content = bytearray()
        for chunk in source.chunks():
            content += chunk
            if len(content) > MAX_DOCUMENT_BYTES:
                raise ValueError(
                    f"{source.name}: the document has more than {MAX_DOCUMENT_BYTES:,} bytes; convert it to one object "
                    "per line, and set inputFormat to BY_LINE"
                )
        try:
            document = _decode(content.decode("utf-8-sig"))
        except UnicodeDecodeError as error:
            raise ValueError(f"{source.name}: invalid UTF-8 at byte {error.start}; convert the file to UTF-8") from None
        except ValueError as error:
            raise ValueError(f"{source.name}: {error}") from None
        for number, item in enumerate(document if isinstance(document, list) else [document], 1):
            try:
                yield self._extract(item, number, "")
            except ValueError as error:
                yield RejectedRow(number, str(error), json.dumps(item)[:1000])

    def _extract(self, value: Any, number: int, raw: str) -> Extracted:
        if not isinstance(value, dict):
            raise ValueError("expected a JSON object")
        kind = self._kind or (_read_key(value, self._kind_member) if self._kind_member is not None else "")
        indicator = _read_key(value, self._indicator)
        if self._members is not None:
            value = {name: value[member] for name, member in self._members.items() if member in value}
        return ExtractedRow(kind, indicator, value, number, raw or json.dumps(value)[:1000])


def _decode(text: str) -> Any:
    try:
        return DECODER.decode(text)
    except RecursionError:
        raise ValueError("invalid JSON: nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"invalid JSON: {error}") from None


def _read_key(value: Mapping[str, Any], member: str) -> str:
    found = value.get(member)
    if isinstance(found, str):
        return found
    if isinstance(found, int) and not isinstance(found, bool):
        return str(found)
    problem = "the object has no member" if member not in value else "expected a string or an integer in"
    raise ValueError(f"{problem} {quote(member)}")


def _read_members(columns: object, location: SourceLocation) -> dict[str, str] | None:
    """Return the members of objects by their names in the value; None for all members under their own names."""
    if columns is None:
        return None
    if isinstance(columns, str):
        columns = [name.strip() for name in columns.split(",")]
    if isinstance(columns, list):
        columns = {name: name for name in columns}
    if not isinstance(columns, dict) or not all(isinstance(each, str) for pair in columns.items() for each in pair):
        raise location.error("expected a list of members, or a map from name to member")
    return columns
