"""Analysis of documents with arbitrary content."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lsprotocol import types as lsp
from pygls.workspace import PositionCodec

from stellar.language.source import Span
from stellar.lsp import documents
from stellar.lsp.documents import Document, create_document
from stellar.lsp.server import OpenText
from stellar.pipeline import editor

STATEMENTS = """\
# a comment
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
def test_any_content_can_be_analysed(name: str, typed: list[tuple[int, int, str]], offset: int) -> None:
    source = FILES[name]
    for start, removed, inserted in typed:
        source = source[:start] + inserted + source[start + removed :]
    offset = min(offset, len(source))
    found = create_document(source, Path(name))
    assert found is not None
    text = OpenText(Path("/", name).as_uri(), source)
    for notice in found.notices:
        assert 0 <= notice.span.start <= notice.span.end <= len(source) + 1
        text.range(notice.span)
    for fragment in found.fragments:
        assert fragment.offsets.in_text(fragment.whole.start) == 0
    if (result := documents.find_candidates(found, offset)) is not None:
        fragment, candidates = result
        assert all(fragment.offsets.in_file(each.start) <= offset for each in candidates)
    documents.find_open_call(found, offset)
    if (word := documents.find_word(found, offset)) is not None:
        span = word.fragment.to_document(word.span)
        assert span.start <= offset <= span.end
        documents.find_assignment(found, word)


@given(st.text("ab😀\n\r\u2028\x85", max_size=20), st.sampled_from(list(lsp.PositionEncodingKind)))
def test_positions_are_converted_back_to_offsets(source: str, encoding: lsp.PositionEncodingKind) -> None:
    text = OpenText("file:///x.stellar", source, position_codec=PositionCodec(encoding))
    for offset in range(len(source) + 1):
        if source[max(0, offset - 1) : offset + 1] != "\r\n":  # there is no position between these
            start = text.range(Span(offset, offset)).start
            assert text.offset(start) == offset


@pytest.mark.parametrize(("line", "character"), [(0, 99), (99, 0), (1, 99)])
def test_a_position_after_the_end_is_the_end(line: int, character: int) -> None:
    text = OpenText("file:///x.stellar", "a😀\nb😀")
    offset = text.offset(lsp.Position(line, character))
    assert 0 <= offset <= len(text.source)


def test_the_source_of_each_fragment_is_padded_with_spaces() -> None:
    found: Document | None = create_document(STATEMENTS, Path("rules.stellar"))
    assert found is not None
    assert [each.name for each in found.fragments] == ["host", None, "risky", "m"]
    for fragment in found.fragments:
        original = STATEMENTS[fragment.whole.start : fragment.whole.start + len(fragment.source)]
        assert all(ours in (theirs, " ") for ours, theirs in zip(fragment.source, original, strict=True))


SENSORS = {
    "enrichments/x.json": '{"enrichment": {"fieldMap": {"stellar": {"config": [%s]}}}}',
    "rules.stellar": "%s",
}
EXPRESSIONS = [f"x{number} := TO_UPPER(a{number}) == 'b'" for number in range(50)]


def count_analyses() -> int:
    """Return how many expressions have been compiled or analysed."""
    return editor._compile_memoized.cache_info().misses + documents.analyse.cache_info().misses


@pytest.mark.parametrize(("name", "analyses"), [("enrichments/x.json", 2), ("rules.stellar", 1)])
@pytest.mark.parametrize("settings", ["{}", '{"stellar.function.resolver.excludes": "TO_LOWER"}'])
def test_only_the_edited_expression_is_analysed_again(name: str, analyses: int, settings: str, tmp_path: Path) -> None:
    (tmp_path / "global.json").write_text(settings)
    for cache in (editor._compile_memoized, documents.analyse):
        cache.cache_clear()

    def check(expressions: list[str]) -> list[str]:
        shown = "\n".join(expressions) if name == "rules.stellar" else ", ".join(f'"{each}"' for each in expressions)
        found = create_document(SENSORS[name] % shown, tmp_path / name)
        assert found is not None
        return [notice.message for notice in found.notices]

    assert check(EXPRESSIONS) == []
    before = count_analyses()
    assert check(EXPRESSIONS) == []
    assert count_analyses() == before
    edited = [*EXPRESSIONS[:7], "x7 := NOPE(a)", *EXPRESSIONS[8:]]
    assert [message.split("\n")[0] for message in check(edited)] == ["unknown function NOPE"]
    assert count_analyses() == before + analyses
    assert check(edited) == check(edited)
    assert count_analyses() == before + analyses
