"""What is known of documents, whatever is typed into them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lsprotocol import types as lsp
from pygls.workspace import PositionCodec

from stellar.language.source import Span
from stellar.lsp import documents
from stellar.lsp.documents import Document, document
from stellar.lsp.server import OpenText

STATEMENTS = """\
# what a record is
host := URL_TO_HOST(url)  // the host
😀 := 1
risky := host in ['a', "😀"] and
  not(exists(ip)) ? MAP_GET('k', {'k' : x}) : TO_UPER('\\n')
%explain x
m := MAP([1, 2], (a, b) -> a + b)
?TRIM
"""
CONFIGURATION = r"""{ "parserClassName" : "JSONMap", // one
  "fieldTransformations" : [ { "transformation" : "STELLAR", "output" : ["a", "b"],
    "config" : { "a" : "TO_UPER(\"\ud83d\ude00\", '\u0041')", "b" : "a and b or c" } } ],
  "filterClassName" : "STELLAR", "parserConfig" : { "filter.query" : "exists(a)" } }"""
FILES = {"rules.stellar": STATEMENTS, "parsers/squid.json": CONFIGURATION}

TYPED = st.lists(
    st.tuples(
        st.integers(0, 300), st.integers(0, 12), st.text("\"'\\{}[](),:=+ \n\r\tTRIMab😀\u2028\x0c/#?%", max_size=4)
    ),
    max_size=4,
)


@settings(deadline=None)
@given(st.sampled_from(sorted(FILES)), TYPED, st.integers(0, 400))
def test_whatever_is_typed_there_is_an_answer(name: str, typed: list[tuple[int, int, str]], offset: int) -> None:
    source = FILES[name]
    for start, removed, inserted in typed:
        source = source[:start] + inserted + source[start + removed :]
    offset = min(offset, len(source))
    found = document(source, Path(name))
    assert found is not None
    text = OpenText(Path("/", name).as_uri(), source)
    for notice in found.notices:
        assert 0 <= notice.span.start <= notice.span.end <= len(source) + 1
        text.range(notice.span)
    for piece in found.pieces:
        assert piece.where.in_text(piece.whole.start) == 0
    if (offered := documents.candidates(found, offset)) is not None:
        piece, candidates = offered
        assert all(piece.where.in_file(each.start) <= offset for each in candidates)
    documents.called_at(found, offset)
    if (word := documents.word_at(found, offset)) is not None:
        span = word.piece.in_document(word.span)
        assert span.start <= offset <= span.end
        documents.assignment_of(found, word)


@given(st.text("ab😀\n\r\u2028\x85", max_size=20), st.sampled_from(list(lsp.PositionEncodingKind)))
def test_positions_lead_back_to_their_offsets(source: str, encoding: lsp.PositionEncodingKind) -> None:
    text = OpenText("file:///x.stellar", source, position_codec=PositionCodec(encoding))
    for offset in range(len(source) + 1):
        if source[max(0, offset - 1) : offset + 1] != "\r\n":  # between these there is no position
            place = text.range(Span(offset, offset)).start
            assert text.offset(place) == offset


@pytest.mark.parametrize(("line", "character"), [(0, 99), (99, 0), (1, 99)])
def test_a_position_behind_the_end_is_the_end(line: int, character: int) -> None:
    text = OpenText("file:///x.stellar", "a😀\nb😀")
    offset = text.offset(lsp.Position(line, character))
    assert 0 <= offset <= len(text.source)


def test_the_source_of_each_piece_is_the_text_without_what_is_no_expression() -> None:
    found: Document | None = document(STATEMENTS, Path("rules.stellar"))
    assert found is not None
    assert [each.name for each in found.pieces] == ["host", None, "risky", "m"]
    for piece in found.pieces:
        stands = STATEMENTS[piece.whole.start : piece.whole.start + len(piece.source)]
        assert all(ours in (theirs, " ") for ours, theirs in zip(piece.source, stands, strict=True))
