"""Expressions embedded in configuration files: finding and replacing them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellar.language.source import Span
from stellar.pipeline.config.embedded_expressions import (
    EmbeddedText,
    Kind,
    detect_kind,
    find_texts,
    parse_configuration,
    replace_texts,
)
from stellar.pipeline.config.json_positions import JsonString, Object, parse_json
from stellar.pipeline.pipeline import Pipeline

PARSER = {
    "parserClassName": "JSONMap",
    "filterClassName": "STELLAR",
    "parserConfig": {"filter.query": "exists(url)", "other": "TRIM('not Stellar')"},
    "fieldTransformations": [
        {
            "transformation": "STELLAR",
            "output": ["a", "b c"],
            "config": {"a": "TRIM(url)", "b c": "a", "n": 1, "z": None},
        },
        {"transformation": "REMOVE", "input": "c", "config": {"condition": "exists(a)"}},
        {"transformation": "RENAME", "config": {"d": "e"}},
    ],
}
ENRICHMENT = {
    "enrichment": {
        "fieldMap": {
            "geo": [],
            "stellar": {
                "config": {
                    "alone": "TRIM(a)",
                    "group": {"x": "1 + 1", "y": "x"},
                    "listed": ["u := 'v'", "  w :=  u  "],
                }
            },
        },
        "config": {"limit": "TRIM('not Stellar')"},
    },
    "threatIntel": {
        "fieldMap": {"stellar": {"type": "STELLAR", "config": ["threat := exists(u)"]}},
        "triageConfig": {
            "riskLevelRules": [
                {"name": "one", "comment": "TRIM(", "rule": "exists(a)", "score": 5},
                {"rule": "exists(b)", "score": "5 + 5", "reason": "FORMAT('%s', b)"},
            ],
            "aggregator": "MAX",
        },
    },
}
GLOBALS = {
    "es.ip": "TRIM('not Stellar')",
    "fieldValidations": [
        {"input": ["a"], "validation": "STELLAR", "config": {"condition": "exists(a)"}},
        {"validation": "REGEX_MATCH", "config": {"pattern": ".*", "condition": "not Stellar"}},
    ],
}
PROFILER = {
    "profiles": [
        {
            "profile": "counts",
            "foreach": "ip_src_addr",
            "onlyif": "protocol == 'HTTP'",
            "groupBy": ["DAY_OF_WEEK(timestamp)", "hour"],
            "init": {"count": "0"},
            "update": {"count": "count + 1"},
            "result": "count",
            "expires": 30,
        },
        {"profile": "other", "foreach": "'all'", "result": {"profile": "s", "triage": {"mean": "STATS_MEAN(s)"}}},
    ],
    "timestampField": "timestamp",
}
EXTRACTOR = {
    "config": {
        "columns": {"rank": 0, "domain": 1},
        "value_transform": {"domain": "DOMAIN_REMOVE_TLD(domain)"},
        "value_filter": "LENGTH(domain) > 0",
        "indicator_transform": {"indicator": "TRIM(indicator)"},
        "indicator_filter": "exists(indicator)",
        "state_init": "0",
        "state_update": {"state": "state + 1"},
        "state_merge": "REDUCE(states, (s, x) -> s + x, 0)",
        "separator": ",",
    },
    "extractor": "CSV",
}
ALL: dict[Kind, dict[str, Any]] = {
    "parsers": PARSER,
    "enrichments": ENRICHMENT,
    "global": GLOBALS,
    "profiler": PROFILER,
    "extractor": EXTRACTOR,
}


def found(value: object, kind: Kind) -> list[EmbeddedText]:
    return find_texts(json.dumps(value, indent=2), kind)


def expressions(value: object, kind: Kind) -> dict[str, str]:
    return {text.path: text.text[text.expression.start : text.expression.end] for text in found(value, kind)}


def test_embedded_expressions_are_those_that_the_pipeline_compiles(make_pipeline: Callable[..., Pipeline]) -> None:
    pipeline = make_pipeline(parser=PARSER, enrichment=ENRICHMENT, globals=GLOBALS)
    of_numbers = {"fieldTransformations[0].config.n"}  # numbers are not strings in the file
    compiled = {
        location.path: (expression.source, expression.predicate)
        for location, expression in pipeline.expressions
        if location.path not in of_numbers
    }
    ours = {}
    for kind in ("parsers", "enrichments", "global"):
        for text in found(ALL[kind], kind):
            expression = text.text[text.expression.start : text.expression.end]
            ours[text.path] = (expression, text.predicate)
    assert ours == compiled


@pytest.mark.parametrize(
    "enrichment",
    [
        {"enrichment": {"fieldMap": {"stellar": ["a := 1", "b := a"]}}},
        {"threatintel": {"fieldMap": {"stellar": {"config": {"a": "1"}}}}},
        {"threatIntel": {"triageConfig": {"riskLevelRules": {"exists(a)": 5, 'a == "b"': "2 + 3"}}}},
    ],
)
def test_expressions_of_older_forms_are_found(
    make_pipeline: Callable[..., Pipeline], enrichment: dict[str, Any]
) -> None:
    pipeline = make_pipeline(enrichment=enrichment)
    compiled = {location.path: expression.source for location, expression in pipeline.expressions}
    assert expressions(enrichment, "enrichments") == compiled
    assert compiled


def test_all_expressions_of_a_profile_are_found() -> None:
    assert expressions(PROFILER, "profiler") == {
        "profiles[0].foreach": "ip_src_addr",
        "profiles[0].onlyif": "protocol == 'HTTP'",
        "profiles[0].groupBy[0]": "DAY_OF_WEEK(timestamp)",
        "profiles[0].groupBy[1]": "hour",
        "profiles[0].init.count": "0",
        "profiles[0].update.count": "count + 1",
        "profiles[0].result": "count",
        "profiles[1].foreach": "'all'",
        "profiles[1].result.profile": "s",
        "profiles[1].result.triage.mean": "STATS_MEAN(s)",
    }
    assert [text.path for text in found(PROFILER, "profiler") if text.predicate] == ["profiles[0].onlyif"]


def test_an_assignment_has_a_name_and_an_expression() -> None:
    stage = {"enrichment": {"fieldMap": {"stellar": {"config": ["a.b := ' := '", "1 + 1"]}}}}
    assigned, not_yet = found(stage, "enrichments")
    assert assigned.assignment
    assert assigned.name == "a.b"
    assert assigned.text[assigned.expression.start : assigned.expression.end] == "' := '"
    assert not_yet.assignment
    assert not_yet.name is None


def test_the_order_is_that_of_the_file() -> None:
    for kind, value in ALL.items():
        starts = [text.json.inner.start for text in found(value, kind)]
        assert starts == sorted(starts)


def test_expressions_of_an_extractor_are_found() -> None:
    assert expressions(EXTRACTOR, "extractor") == {
        "config.value_transform.domain": "DOMAIN_REMOVE_TLD(domain)",
        "config.value_filter": "LENGTH(domain) > 0",
        "config.indicator_transform.indicator": "TRIM(indicator)",
        "config.indicator_filter": "exists(indicator)",
        "config.state_init": "0",
        "config.state_update.state": "state + 1",
        "config.state_merge": "REDUCE(states, (s, x) -> s + x, 0)",
    }
    assert [text.path for text in found(EXTRACTOR, "extractor") if text.predicate] == [
        "config.value_filter",
        "config.indicator_filter",
    ]


def test_fields_named_by_transformations_are_found() -> None:
    assert parse_configuration(json.dumps(PARSER), "parsers").fields == {"a", "b c", "c", "e"}


@pytest.mark.parametrize(
    ("file", "source", "kind"),
    [
        ("parsers/squid.json", "", "parsers"),
        ("/etc/metron/enrichments/squid.json", "", "enrichments"),
        ("config/profiler.json", "", "profiler"),
        ("global.json", "", "global"),
        ("squid.json", '{"fieldTransformations": [', "parsers"),
        ("squid.json", '{"threatintel": {}}', "enrichments"),
        ("squid.json", '{"profiles": []}', "profiler"),
        ("squid.json", '{"fieldValidations": []}', "global"),
        ("squid.json", '{"extractor": "CSV"}', "extractor"),
        ("package.json", '{"name": "x"}', None),
        ("package.json", "[]", None),
    ],
)
def test_the_kind_is_detected_by_the_path_or_else_by_the_keys(file: str, source: str, kind: Kind | None) -> None:
    assert detect_kind(file, source) == kind


def test_a_file_of_unknown_kind_has_no_expressions() -> None:
    assert parse_configuration(json.dumps(PARSER), None).texts == ()


@pytest.mark.parametrize("root", ["", "[]", '"a text"', "1", "{", "}", '{"fieldTransformations": {"a": 1}}'])
def test_other_json_has_no_expressions(root: str) -> None:
    for kind in ALL:
        assert find_texts(root, kind) == []


# -- Offsets -----------------------------------------------------------------------------------------------------------


def one(raw: str) -> JsonString:
    value = parse_json(f'// before\n  "{raw}"')
    assert isinstance(value, JsonString)
    return value


@pytest.mark.parametrize(
    ("raw", "decoded"),
    [
        (r"\"a\" == b", '"a" == b'),
        (r"\u0041\n\t\/\\", "A\n\t/\\"),
        (r"\ud83d\ude00x", "\U0001f600x"),
        (r"\ud83d x", "\ud83d x"),
        ("\U0001f600\\u0041", "\U0001f600A"),
    ],
)
def test_escapes_are_decoded_as_json_does(raw: str, decoded: str) -> None:
    assert json.loads(f'"{raw}"') == decoded
    assert one(raw).decoded == decoded


def test_the_backslash_of_an_invalid_escape_is_ignored() -> None:
    assert one(r"\d\u00zz").decoded == "du00zz"


def test_an_offset_in_an_escape_is_that_of_its_character() -> None:
    text = one(r"a\u0041b")
    start = text.inner.start
    assert [text.in_text(start + index) for index in range(9)] == [0, 1, 1, 1, 1, 1, 1, 2, 3]
    assert [text.in_file(index) - start for index in range(4)] == [0, 1, 7, 8]


def test_an_offset_outside_of_a_string_is_the_nearest_inside() -> None:
    text = one("abc")
    assert text.in_text(0) == 0
    assert text.in_text(1000) == 3


PIECES = st.lists(st.sampled_from(["a", "ü", "\U0001f600", r"\n", r"\"", r"\\", r"\u0041", r"\ud83d\ude00", r"\ud83d"]))


@given(PIECES)
def test_offsets_convert_in_both_directions(pieces: list[str]) -> None:
    raw = "".join(pieces)
    text = one(raw)
    assert text.decoded == json.loads(f'"{raw}"')
    for offset in range(len(text.decoded) + 1):
        assert text.in_text(text.in_file(offset)) == offset
    for offset, character in enumerate(text.decoded):
        piece = raw[text.in_file(offset) - text.inner.start : text.in_file(offset + 1) - text.inner.start]
        assert json.loads(f'"{piece}"') == character


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


def plain(value: Any, source: str) -> Any:
    match value:
        case JsonString():
            return value.decoded
        case Object():
            return {key.decoded: plain(member, source) for key, member in value.members}
    if hasattr(value, "items"):
        return [plain(item, source) for item in value.items]
    return json.loads(source[value.span.start : value.span.end])


@given(JSON, st.sampled_from([None, 2]), st.booleans())
def test_valid_json_is_parsed_as_by_the_json_module(value: Any, indent: int | None, ascii_only: bool) -> None:
    source = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    assert plain(parse_json(source), source) == value


# -- Incomplete JSON ---------------------------------------------------------------------------------------------


@given(st.text(alphabet='{}[],:"\\/* a1\n', max_size=30))
def test_any_input_is_parsed_without_an_error(source: str) -> None:
    for kind in ALL:
        parse_configuration(source, kind)


@pytest.mark.parametrize("kind", ALL)
def test_expressions_of_a_truncated_file_are_found(kind: Kind) -> None:
    source = json.dumps(ALL[kind], indent=1)
    whole = find_texts(source, kind)
    # In these files the key `transformation` precedes the expressions, which are found only after it
    for length in range(len(source) + 1):
        complete = [text for text in whole if text.json.span.end <= length]
        cut = {text.path: text.json for text in find_texts(source[:length], kind)}
        assert [text.path for text in complete if cut.get(text.path) != text.json] == []


BROKEN = """\
{ // a comment with "quotes"
  "fieldTransformations" : [
    { "transformation" : "STELLAR"
      "output" : [ "a", "b"
      "config" : {
        "a" : "TRIM(b)" /* "c" : "no" */
        "b" : ,
        "c" :
        "d" : "UPPER(
        "e" : 'single',
        "f" : "fine"
"""


def test_commas_brackets_and_quotes_may_be_missing() -> None:
    found = parse_configuration(BROKEN, "parsers")
    assert [(text.name, text.text) for text in found.texts] == [("a", "TRIM(b)"), ("d", "UPPER("), ("f", "fine")]
    assert not found.texts[1].json.closed
    assert found.problem is not None
    assert BROKEN[: found.problem.offset].endswith('"STELLAR"\n      ')


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ('{"a": "\\d"}', "Invalid \\escape"),
        ("[" * 100_000, "nested too deeply"),
        (f"[{'1' * 10_000}]", "Exceeds the limit"),
    ],
)
def test_a_syntax_error_of_json_is_reported(source: str, message: str) -> None:
    problem = parse_configuration(source, "parsers").problem
    assert problem is not None
    assert message in problem.message


def test_comments_are_valid() -> None:
    assert parse_configuration('// one\n{"a": /* two */ "// three"}', None).problem is None


# -- The spans of errors -----------------------------------------------------------------------------------------

CONFIGURATION = """\
{
  "threatintel" : { "fieldMap" : { "stellar" : ["a := 1", 5] },
    "triageConfig" : { "riskLevelRules" : { "exists(a)" : "x", "b" : 1 } } },
  "odd.key[" : "v"
}"""


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("", "{"),
        ("threatIntel", '"threatintel"'),
        ("threatIntel.fieldMap.stellar.config[0]", '"a := 1"'),
        ("threatIntel.fieldMap.stellar.config[1]", '"stellar"'),
        ("threatIntel.triageConfig.aggregator", '"triageConfig"'),
        ('threatIntel.triageConfig.riskLevelRules["exists(a)"].rule', '"exists(a)"'),
        ('threatIntel.triageConfig.riskLevelRules["exists(a)"].score', '"x"'),
        ("threatIntel.triageConfig.riskLevelRules.b.score", "1"),
        ('["odd.key["]', '"v"'),
        ('["odd.key["].deeper[0]', '"v"'),
        ("missing", "{"),
        ("[what is no path", "{"),
    ],
)
def test_an_error_has_a_span_in_the_file(path: str, shown: str) -> None:
    span = parse_configuration(CONFIGURATION, "enrichments").span(path)
    assert CONFIGURATION[span.start : span.end] == shown


def test_an_expression_is_found_by_an_offset_in_the_file() -> None:
    source = '{"profiles": [{"foreach": "ab", "profile": "n"}]}'
    found = parse_configuration(source, "profiler")
    start = source.index("ab")
    assert [found.text_at(offset) is not None for offset in range(start - 1, start + 4)] == [
        False, True, True, True, False,
    ]  # fmt: skip


# -- Replacement ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ALL)
def test_nothing_changes_but_what_is_replaced(kind: Kind) -> None:
    source = json.dumps(ALL[kind], indent=3).replace('": ', '"\t:  ').replace("\n", "\r\n")
    before = find_texts(source, kind)
    changed = replace_texts(source, [(text, f'"{text.text}"\n') for text in reversed(before[::2])])
    after = find_texts(changed, kind)
    assert [text.text for text in after[::2]] == [f'"{text.text}"\n' for text in before[::2]]
    assert [text.json.raw for text in after[1::2]] == [text.json.raw for text in before[1::2]]
    assert replace_texts(changed, zip(after, [text.text for text in before], strict=True)) == source


def test_an_unchanged_string_retains_its_escapes() -> None:
    source = r'{"profiles": [{"foreach": "\u0041\/"}]}'
    [text] = find_texts(source, "profiler")
    assert replace_texts(source, [(text, "A/")]) == source


@pytest.mark.parametrize(("raw", "written"), [(r"'\u00fc'", r"'\u00fc' "), ("'ü'", "'ü' "), ("'u'", "'ü'")])
def test_non_ascii_characters_are_escaped_only_if_they_were_before(raw: str, written: str) -> None:
    source = f'{{"profiles": [{{"foreach": "{raw}"}}]}}'
    [text] = find_texts(source, "profiler")
    assert replace_texts(source, [(text, json.loads(f'"{written}"'))]) == source.replace(raw, written)


def test_a_span_in_a_string_converts_to_a_span_in_the_file() -> None:
    source = r'{"profiles": [{"foreach": "\"a\" + TRIM(x)"}]}'
    [text] = find_texts(source, "profiler")
    start = text.text.index("TRIM")
    span = text.in_file(Span(start, start + 4))
    assert source[span.start : span.end] == "TRIM"
    assert text.in_text(span.start) == start
