"""Configuration files of Metron in an editor."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from lsp_editor import CURSOR, Editor, apply_edits, extract
from lsprotocol import types as lsp

from stellar.lsp.documents import LARGEST

pytestmark = pytest.mark.asyncio(loop_scope="module")

PARSER = r"""{
  // comments are allowed
  "parserClassName" : "JSONMap",
  "fieldTransformations" : [
    { "transformation" : "STELLAR", "output" : ["host", "note"],
      "config" : {
        "host" : "URL_TO_HOST(url)",
        "quoted" : "JOIN(['\"😀\"', TO_UPER(host)], \"\")",
        "note" : "if host == \u0027x\u0027 then 1 else a and b or c"
      } }
  ]
}
"""


async def test_a_good_configuration_has_no_diagnostics(editor: Editor) -> None:
    example = Path(__file__).parents[2] / "examples" / "squid" / "config"
    for path in sorted(example.rglob("*.json")):
        file = editor.open(str(path), path.read_text(encoding="utf-8"))
        assert await file.diagnostics() == []


async def test_errors_of_an_expression_are_shown_within_it(editor: Editor) -> None:
    file = editor.open("parsers/squid.json", PARSER)
    assert await file.diagnostics() == [
        ("TO_UPER", "unknown function TO_UPER"),
        (
            "a and b or c",
            "`and` and `or` have one precedence and group from the right: a and b or c is a and (b or c)",
        ),
    ]


async def test_errors_of_the_pipeline_are_shown_at_their_values(editor: Editor) -> None:
    text = """{
  "parserClassName" : "JSONMapp",
  "parserConfig" : { "readCharst" : "UTF-8" },
  "sensorTopics" : "squid",
  "fieldTransformations" : [ { "transformation" : "STELAR" }, {} ]
}"""
    found = await editor.open("parsers/squid.json", text).full_diagnostics()
    assert [(extract(text, each.range), each.code, each.severity) for each in found] == [
        ('"sensorTopics"', "configuration", lsp.DiagnosticSeverity.Error),
        ("{", "configuration", lsp.DiagnosticSeverity.Error),
    ]
    without = text.replace('"sensorTopics" : "squid",', "").replace(", {}", "")
    found = await editor.open("parsers/other.json", without).full_diagnostics()
    assert [(extract(without, each.range), each.severity) for each in found] == [
        ('"JSONMapp"', lsp.DiagnosticSeverity.Error),
        ('"readCharst"', lsp.DiagnosticSeverity.Warning),
        ('"STELAR"', lsp.DiagnosticSeverity.Error),
    ]


async def test_warnings_of_the_pipeline_are_shown(editor: Editor) -> None:
    text = """{ "index" : "squid", "threatintel" : { "triageConfig" : { "riskLevelRules" : [
        { "rule" : "a", "score" : 1, "comments" : "one" }, { "rule" : "a", "score" : 2 } ] } },
      "configuration" : { "a" : 1, "a" : 2 } }"""
    found = await editor.open("enrichments/squid.json", text).full_diagnostics()
    assert {each.severity for each in found} == {lsp.DiagnosticSeverity.Warning}
    assert [(extract(text, each.range), each.message) for each in found] == [
        ("{", "duplicate key 'a' in an object; the last one is used"),
        ('"index"', "belongs to indexing/, has no effect here"),
        ('"threatintel"', "read as 'threatIntel'"),
        ('"comments"', "read as 'comment'"),
        ('"rule"', "an earlier rule has the same condition, so this one has no effect"),
    ]


async def test_errors_of_other_files_are_not_reported(editor: Editor) -> None:
    (editor.folder / "global.json").write_text("{", encoding="utf-8")
    file = editor.open("parsers/squid.json", '{"parserClassName": "JSONMap"}')
    assert await file.diagnostics() == []


async def test_invalid_json_does_not_hide_diagnostics_of_expressions(editor: Editor) -> None:
    file = editor.open("parsers/squid.json", PARSER)
    await file.diagnostics()
    file.replace(
        '"host" : "URL_TO_HOST(url)",',
        '"host" : "URL_TO_HOST(',
    )
    assert [message for _, message in await file.diagnostics()] == [
        "this ( is not closed",
        "not JSON: Invalid control character at",
        "unknown function TO_UPER",
        "`and` and `or` have one precedence and group from the right: a and b or c is a and (b or c)",
    ]
    file.rewrite("")
    assert await file.diagnostics() == [("", "not JSON: Expecting value")]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("package.json", '{"name": "TRIM(", ‸}'),
        ("profiler.json", '{"profiles": [{"onlyif": "TRIM(‸"}]}' + " " * LARGEST),
    ],
    ids=["other", "large"],
)
async def test_other_files_are_ignored(editor: Editor, name: str, text: str) -> None:
    file = editor.open(name, text)
    assert await file.diagnostics() == []
    assert await file.labels() == []
    assert await file.hover() is None
    assert await file.definition() is None
    assert await file.signature() is None
    assert await file.symbols() == []
    assert await file.actions() == []


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        (
            "enrichments/squid.json",
            '{"threatIntel": {"triageConfig": {"riskLevelRules": '
            '[{"rule": "a ==", "score": "TRIN(1)"}], "aggregator": "MX"}}}',
            [("", "unexpected end of the expression"), ("TRIN", "unknown function TRIN"), ('"MX"', None)],
        ),
        (
            "enrichments/squid.json",
            '{"enrichment": {"fieldMap": {"stellar": {"config": ["a := TRIN(1)", "no assignment"]}}}}',
            [("TRIN", "unknown function TRIN"), ('"no assignment"', None)],
        ),
        (
            "global.json",
            '{"fieldValidations": [{"validation": "STELLAR", "config": {"condition": "TRIN(1)"}}, '
            '{"validation": "IPP"}]}',
            [("TRIN", "unknown function TRIN"), ('"IPP"', None)],
        ),
        ("profiler.json", '{"profiles": [{"onlyif": "TRIN(1)"}]}', [("TRIN", "unknown function TRIN")]),
        (
            "blocklist.json",
            '{"extractor": "CSV", "config": {"value_filter": "TRIN(1)", "type": 5}}',
            [("TRIN", "unknown function TRIN"), ("5", "expected a string, got 5")],
        ),
        ("loose.json", '{"profiles": [{"onlyif": "TRIN(1)"}]}', [("TRIN", "unknown function TRIN")]),
    ],
)
async def test_every_kind_of_file_is_checked(
    editor: Editor, name: str, text: str, expected: list[tuple[str, str | None]]
) -> None:
    found = await editor.open(name, text).diagnostics()
    assert [source for source, _ in found] == [source for source, _ in expected]
    for (_, message), (_, expected_message) in zip(found, expected, strict=True):
        assert expected_message in (None, message)


async def test_functions_are_restricted_by_the_saved_global_configuration(editor: Editor) -> None:
    saved = {"stellar.function.resolver.excludes": "URL_.*"}
    (editor.folder / "global.json").write_text(json.dumps(saved), encoding="utf-8")
    file = editor.open("parsers/squid.json", PARSER.replace("TO_UPER", "TO_UPPER").replace(" and b", ""))
    assert await file.diagnostics() == [("URL_TO_HOST", "unknown function URL_TO_HOST")]
    (editor.folder / "global.json").write_text("{}", encoding="utf-8")
    file.client.diagnostics.pop(file.uri)
    file.client.text_document_did_save(lsp.DidSaveTextDocumentParams(file.document))
    assert await file.diagnostics() == []


async def test_modules_that_a_configuration_names_are_not_imported(editor: Editor) -> None:
    (editor.folder / "harmful.py").write_text("raise SystemExit", encoding="utf-8")
    steps = [{"transformation": "harmful.step"}, {"transformation": "STELLAR", "config": {"a": "1 +"}}]
    text = json.dumps({"parserClassName": "harmful.parser", "fieldTransformations": steps})
    assert await editor.open("parsers/squid.json", text).diagnostics() == [("", "unexpected end of the expression")]
    (editor.folder / "global.json").write_text('{"stellar.function.library": "harmful:LIBRARY"}', encoding="utf-8")
    text = json.dumps({"profiles": [{"onlyif": "MY_OWN(1, TRIM())"}]})
    # With an own library, unknown functions are not reported
    assert await editor.open("profiler.json", text).diagnostics() == [
        ("TRIM()", "TRIM takes at least 1 argument, not 0")
    ]


# -- Requests ---------------------------------------------------------------------------------------------------------


def replace_last(text: str) -> str:
    """Return a configuration whose last expression is replaced."""
    return PARSER.replace(r"if host == \u0027x\u0027 then 1 else a and b or c", text)


async def test_hover_and_definition_find_assignments_of_other_expressions(editor: Editor) -> None:
    file = editor.open("parsers/squid.json", replace_last(f'\\"😀\\" == ho{CURSOR}st'))
    assert await file.hover() == "```stellar\nhost := URL_TO_HOST(url)\n```"
    assert await file.definition() == "URL_TO_HOST(url)"


async def test_an_assignment_in_a_list_is_a_definition(editor: Editor) -> None:
    text = '{"enrichment": {"fieldMap": {"stellar": ["\\u0061b := 1", "c := a‸b + 1"]}}}'
    file = editor.open("enrichments/squid.json", text)
    assert await file.definition() == "\\u0061b"
    assert await file.symbols() == [("ab", "\\u0061b", "1"), ("c", "c", "ab + 1")]


async def test_functions_and_fields_are_completed_within_expressions(editor: Editor) -> None:
    file = editor.open("parsers/squid.json", replace_last(f'\\"😀\\" == h{CURSOR}'))
    assert await file.labels() == ["host"]
    file = editor.open("parsers/squid.json", replace_last(f'\\"😀\\" == TO_UP{CURSOR}'))
    [item] = await file.completions()
    assert isinstance(item.text_edit, lsp.TextEdit)
    assert apply_edits(file.text, [item.text_edit]) == replace_last('\\"😀\\" == TO_UPPER(')


async def test_all_fields_of_the_file_are_completed(editor: Editor) -> None:
    labels = await editor.open("parsers/squid.json", replace_last(CURSOR)).labels()
    assert {"host", "quoted", "note", "url"} <= set(labels)
    assert labels[0] == "host"


@pytest.mark.parametrize("marked", ['"transformation" : "‸', '"output" : ["‸', '"config" : {‸'])
async def test_nothing_is_completed_outside_expressions(editor: Editor, marked: str) -> None:
    text = PARSER.replace(marked.replace(CURSOR, ""), marked)
    assert CURSOR in text
    assert await editor.open("parsers/squid.json", text).labels() == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"parserClassName": "CSV", "re‸"}', "readMetadata"),
        ('{"parserClassName": "CSV", "re‸": true}', "readMetadata"),
        ('{"fieldTransformations": [{"transformation": "STELLAR", "‸', "output"),
        ('{"‸parserClassName": "CSV"}', "parserClassName"),
    ],
)
async def test_keys_are_completed_by_the_schema(text: str, expected: str, editor: Editor) -> None:
    labels = await editor.open("parsers/squid.json", text).labels()
    assert expected in labels
    assert "riskLevelRules" not in labels
    assert ("parserClassName" in labels) == ("‸parserClassName" in text)


async def test_a_key_shows_its_meaning(editor: Editor) -> None:
    file = editor.open("parsers/squid.json", '{"parserClassName": "CSV", "field‸Transformations": []}')
    assert await file.hover() == "Executed in order."


async def test_a_key_of_a_free_map_has_no_meaning(editor: Editor) -> None:
    assert await editor.open("parsers/squid.json", '{"parserConfig": {"col‸umns": ["a"]}}').hover() is None


async def test_the_name_of_an_assignment_is_not_completed(editor: Editor) -> None:
    text = '{"enrichment": {"fieldMap": {"stellar": ["a‸ := 1"]}}}'
    assert await editor.open("enrichments/squid.json", text).labels() == []


async def test_string_arguments_are_completed(editor: Editor) -> None:
    file = editor.open("parsers/squid.json", replace_last(f"HASH(url, 'SHA-25{CURSOR}"))
    assert await file.labels() == ["SHA-256"]


async def test_signatures_are_shown_in_an_unclosed_string(editor: Editor) -> None:
    file = editor.open(
        "parsers/squid.json",
        '{"fieldTransformations": [{"transformation": "STELLAR", "config": {"a": "MAP_GET(\\"x\\", ‸',
    )
    found = await file.signature()
    assert found is not None
    assert found.signatures[0].label == "MAP_GET(key, map, default?)"
    assert found.active_parameter == 1


# -- Fixes ------------------------------------------------------------------------------------------------------------


async def test_a_misspelt_function_is_fixed_within_its_expression(editor: Editor) -> None:
    file = editor.open("parsers/squid.json", PARSER.replace("TO_UPER", f"TO_{CURSOR}UPER"))
    assert await file.fix() == PARSER.replace("TO_UPER", "TO_UPPER")


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ('"transformation" : "STELLAR"', '"transformation" : "STELAR"'),
        ('"parserClassName"', '"parserClasName"'),
        ('"JSONMap"', '"JSONMapp"'),
    ],
)
async def test_misspelt_keys_and_names_are_fixed(editor: Editor, wrong: str, right: str) -> None:
    good = PARSER.replace("TO_UPER", "TO_UPPER")
    cursor = right.rindex('"')
    file = editor.open("parsers/squid.json", good.replace(wrong, right[:cursor] + CURSOR + right[cursor:], 1))
    assert await file.fix() == good


async def test_only_the_expressions_of_a_configuration_are_formatted(editor: Editor) -> None:
    file = editor.open("parsers/squid.json", PARSER)
    result = await file.format()
    assert result == PARSER.replace(
        r"""JOIN(['\"😀\"', TO_UPER(host)], \"\")""", r"""JOIN(['\"😀\"', TO_UPER(host)], '')"""
    )


WRONG = ['{"fieldTransformations" : [', '{"filterClassName" : "STELLAR", "parserConfig" : {"filter.query" : "a &"}}']


@pytest.mark.parametrize("text", WRONG)
async def test_an_invalid_configuration_is_not_formatted(editor: Editor, text: str) -> None:
    assert await editor.open("parsers/wrong.json", text).format() == text
