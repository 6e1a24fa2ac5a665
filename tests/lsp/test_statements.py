"""`.stellar` files in an editor."""

from __future__ import annotations

import pytest
from lsp_editor import Editor, OpenFile, apply_edits, extract
from lsprotocol import types as lsp

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_good_file_has_no_diagnostics(editor: Editor) -> None:
    file = editor.open("good.stellar", "# a comment\nhost := URL_TO_HOST(url)\n\nTO_UPPER(\n  host)\n")
    assert await file.diagnostics() == []


async def test_each_error_and_lint_finding_has_its_range(editor: Editor) -> None:
    text = "x := TO_UPER(url)\n1 +\n  * 2\n\na and b or c\ny :=\n"
    file = editor.open("bad.stellar", text)
    found = await file.full_diagnostics()
    assert [(extract(file.text, each.range), each.code, each.severity) for each in found] == [
        ("TO_UPER", "error", lsp.DiagnosticSeverity.Error),
        ("*", "error", lsp.DiagnosticSeverity.Error),
        ("a and b or c", "mixed-and-or", lsp.DiagnosticSeverity.Warning),
        ("y", "error", lsp.DiagnosticSeverity.Error),
    ]
    assert found[0].message == "unknown function TO_UPER\nhint: did you mean TO_UPPER?"
    assert {each.source for each in found} == {"stellar"}


async def test_diagnostics_follow_changes(editor: Editor) -> None:
    file = editor.open("typed.stellar", "x := TRIM(\n")
    assert await file.diagnostics() == [("(", "this ( is not closed")]
    file.replace("(", "(' a ')")
    assert await file.diagnostics() == []
    file.replace("x :=", "# 😀\nx := '😀' ==")
    file.replace("TRIM", "😀 TRIN")
    assert await file.diagnostics() == [("😀", "unexpected character 😀")]
    file.replace("😀 TRIN", "TRIN")
    assert await file.diagnostics() == [("TRIN", "unknown function TRIN")]
    file.rewrite("null")
    assert await file.diagnostics() == []


@pytest.mark.parametrize("ends", ["\r\n", "\n", "\u2028\n", "\x0c\n", "\x85\n"])
async def test_lines_end_as_the_protocol_defines(editor: Editor, ends: str) -> None:
    text = f"// one{ends}a := 1\n"
    file = editor.open("lines.stellar", text)
    row = 1
    range_ = lsp.Range(lsp.Position(row, 5), lsp.Position(row, 6))
    identifier = lsp.VersionedTextDocumentIdentifier(1, file.uri)
    assert await file.diagnostics() == []
    file.client.diagnostics.pop(file.uri)
    change = lsp.TextDocumentContentChangePartial(range_, "TRIN(b)")
    file.client.text_document_did_change(lsp.DidChangeTextDocumentParams(identifier, [change]))
    [found] = await file.full_diagnostics()
    assert found.message.startswith("unknown function TRIN")
    assert found.range == lsp.Range(lsp.Position(row, 5), lsp.Position(row, 9))


async def test_the_server_survives_any_content(editor: Editor) -> None:
    file = editor.open("torture.stellar", "x")
    for text in ("'", "((((", "\\", "x := ", ":=", "😀", "\ud83d", "?TRIM", "%vars", "[" * 5000, "match {", "a -> "):
        file.rewrite(text)
        await file.labels()
        await file.hover()
        await file.signature()
        await file.full_diagnostics()
    file.rewrite("TO_UPER(x)")
    assert await file.diagnostics() == [("TO_UPER", "unknown function TO_UPER")]


async def test_commands_of_the_shell_have_no_diagnostics(editor: Editor) -> None:
    file = editor.open("commands.stellar", "%vars\n?TRIN\n%explain 1 +\nquit\nTRIN(a)")
    assert await file.diagnostics() == [("TRIN", "unknown function TRIN")]


async def test_a_closed_file_has_no_diagnostics(editor: Editor) -> None:
    file = editor.open("closed.stellar", "1 +")
    assert len(await file.diagnostics()) == 1
    file.client.diagnostics.pop(file.uri)
    file.client.text_document_did_close(lsp.DidCloseTextDocumentParams(file.document))
    assert await file.diagnostics() == []


async def test_an_untitled_file_has_statements(editor: Editor) -> None:
    item = lsp.TextDocumentItem("untitled:Untitled-1", "stellar", 0, "TRIN(a)")
    editor.client.text_document_did_open(lsp.DidOpenTextDocumentParams(item))
    file = OpenFile(editor.client, item.uri, item.text, lsp.Position(0, 0))
    assert await file.diagnostics() == [("TRIN", "unknown function TRIN")]


# -- Hover ------------------------------------------------------------------------------------------------------------


async def test_hover_over_a_function_is_its_help(editor: Editor) -> None:
    markdown = await editor.open("hover.stellar", "x := MAP_‸GET('a', {'a' : 1})").hover()
    assert markdown is not None
    assert markdown.startswith("```stellar\nMAP_GET(key, map, default?)\n```\n")
    assert "- `key`: " in markdown
    assert "Returns: " in markdown
    assert "MAP_GET('a', {'a' : 1})" in markdown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("host := URL_TO_HOST(url)\nTO_UPPER(ho‸st)", "```stellar\nhost := URL_TO_HOST(url)\n```"),
        ("a o‸r b", "`a or b`: true if one of them is. `and` and `or` have one precedence, and group from the right."),
        ("x == N‸aN", "`NaN`: not a number; it equals nothing, not even itself."),
        (
            "a n‸ot in b",
            "`a not in b`: true unless a list or set has the item, a map the key, or a string the substring.",
        ),
        ("a\n  ? TR‸UE : b", "`true`: the boolean."),
        ("ex‸ists(x)", "`exists(field)`: true if the field has a value other than null."),
        ("u‸rl", None),
        ("UNKNOWN‸(1)", None),
        ("'TR‸IM(x)'", None),
        ("1 // TR‸IM(x)", None),
        ("# TR‸IM(x)", None),
        ("1 +‸", None),
        ("‸", None),
    ],
)
async def test_hover_over_other_words(editor: Editor, text: str, expected: str | None) -> None:
    assert await editor.open("words.stellar", text).hover() == expected


# -- Completion -------------------------------------------------------------------------------------------------------


async def test_functions_are_offered_with_their_help(editor: Editor) -> None:
    file = editor.open("complete.stellar", "x := TO_UP‸")
    [item] = await file.completions()
    assert item.label == "TO_UPPER"
    assert item.kind == lsp.CompletionItemKind.Function
    assert isinstance(item.text_edit, lsp.TextEdit)
    assert apply_edits(file.text, [item.text_edit]) == "x := TO_UPPER("
    resolved = await file.client.completion_item_resolve_async(item)
    assert resolved.detail == "TO_UPPER(input)"
    assert isinstance(resolved.documentation, lsp.MarkupContent)
    assert "Returns: " in resolved.documentation.value


async def test_assigned_and_read_variables_are_offered(editor: Editor) -> None:
    file = editor.open("names.stellar", "host := URL_TO_HOST(\n  url)\nhost2 := h‸\nhost3 := haste\n")
    items = await file.completions()
    assert [(each.label, each.detail) for each in items] == [("haste", None), ("host", "URL_TO_HOST( url)")]


async def test_keywords_are_offered_at_valid_positions(editor: Editor) -> None:
    labels = await editor.open("keywords.stellar", "a ‸").labels()
    assert {"and", "or", "in"} <= set(labels)
    assert "then" not in labels
    assert "TRIM" not in labels


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a +\n‸", True),  # an unindented line starts a new statement
        ("a +\n  ‸", True),
        ("a\n  ‸", False),
        ("a\n‸", True),
        ("# ‸", False),
        ("  // ‸", False),
        ("a +\n  // ‸\n  b", False),
        ("?‸", False),
        ("%vars ‸", False),
        ("%explain ‸", True),
        ("%define x := ‸", True),
        ("‸x := 1", False),
        ("a ‸", False),
        ("x := ‸", True),
        ("'‸", False),
    ],
)
async def test_functions_are_offered_where_an_operand_is_valid(editor: Editor, text: str, expected: bool) -> None:
    assert ("TRIM" in await editor.open("operand.stellar", text).labels()) == expected


async def test_a_completion_after_astral_characters_replaces_the_name(editor: Editor) -> None:
    file = editor.open("astral.stellar", "JOIN(['😀😀', TO_LOW‸], '')")
    [item] = await file.completions()
    assert isinstance(item.text_edit, lsp.TextEdit)
    assert apply_edits(file.text, [item.text_edit]) == "JOIN(['😀😀', TO_LOWER(], '')"


# -- Signatures -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "usage", "active"),
    [
        ("MAP_GET(‸", "MAP_GET(key, map, default?)", "key"),
        ("MAP_GET('a', ‸", "MAP_GET(key, map, default?)", "map"),
        ("MAP_GET('a', {'b' : TRIM(‸c)}, 1)", "TRIM(input)", "input"),
        ("MAP_GET('a', {'b' : TRIM(c)‸}, 1)", "MAP_GET(key, map, default?)", "map"),
        ("MAP_GET('a,b', m, ‸)", "MAP_GET(key, map, default?)", "default?"),
        ("FORMAT('%s %s', 1, ‸2)", "FORMAT(format, args...)", "args..."),
        ("TRIM(a, ‸b)", "TRIM(input)", None),
    ],
)
async def test_the_signature_shows_the_argument_at_the_cursor(
    editor: Editor, text: str, usage: str, active: str | None
) -> None:
    found = await editor.open("signature.stellar", text).signature()
    assert found is not None
    [signature] = found.signatures
    assert signature.label == usage
    labels = [each.label for each in signature.parameters or ()]
    assert found.active_parameter is not None
    assert dict(enumerate(labels)).get(found.active_parameter) == active
    assert all(isinstance(label, str) and label in usage for label in labels)


@pytest.mark.parametrize("text", ["‸TRIM(a)", "TRIM(a)‸", "UNKNOWN(‸", "# TRIM(‸", "(‸"])
async def test_there_is_no_signature_outside_calls(editor: Editor, text: str) -> None:
    assert await editor.open("outside.stellar", text).signature() is None


async def test_a_function_without_parameters_has_a_signature(editor: Editor) -> None:
    found = await editor.open("none.stellar", "GET_HASHES_AVAILABLE(‸)").signature()
    assert found is not None
    assert found.signatures[0].label == "GET_HASHES_AVAILABLE()"


# -- Names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "definition"),
    [
        ("host := 1\nhost + 1 + ho‸st", "host"),
        ("a := 1\na := 2\na‸", "a"),
        ("x := later‸\nlater := 1", "later"),
        ("a := 1\nMAP([1], a -> a‸ + 1)", None),
        ("a := 1\nMAP([1], b -> a‸ + 1)", "a"),
        ("a := 1\nexists(a‸)", "a"),
        ("a := 1\na‸ +", "a"),
        ("a := a‸ + 1", None),
        ("TRIM := 1\nTRIM‸('a')", None),
        ("unknown‸", None),
        ("a := 1\n'a‸'", None),
    ],
)
async def test_the_definition_of_a_variable_is_its_assignment(
    editor: Editor, text: str, definition: str | None
) -> None:
    assert await editor.open("definition.stellar", text).definition() == definition


async def test_the_definition_is_the_last_assignment_before(editor: Editor) -> None:
    file = editor.open("last.stellar", "a := 1\na := 2\nb := a‸\na := 3\n")
    found = await file.client.text_document_definition_async(lsp.DefinitionParams(file.document, file.cursor))
    assert isinstance(found, lsp.Location)
    assert found.range.start == lsp.Position(1, 0)


async def test_assignments_are_symbols(editor: Editor) -> None:
    file = editor.open("symbols.stellar", "# one\nhost := URL_TO_HOST(\n  url)\n1 + 1\nx.y := 2\n")
    assert await file.symbols() == [("host", "host", "URL_TO_HOST( url)"), ("x.y", "x.y", "2")]


# -- Fixes ------------------------------------------------------------------------------------------------------------


async def test_a_misspelt_function_is_fixed(editor: Editor) -> None:
    file = editor.open("fix.stellar", "x := '😀' == TO_UPER‸(TRIM(y)) and TRIN(z)")
    assert await file.fix() == "x := '😀' == TO_UPPER(TRIM(y)) and TRIN(z)"
    [action] = await file.actions()
    assert action.title == "Replace with TO_UPPER"
    assert action.kind == lsp.CodeActionKind.QuickFix


async def test_an_unknown_function_without_a_suggestion_has_no_fix(editor: Editor) -> None:
    assert await editor.open("nothing.stellar", "UNKNOWN_XYZ_42‸(1) or 1").actions() == []


async def test_a_file_is_formatted(editor: Editor) -> None:
    file = editor.open("ugly.stellar", "# 😀\nx:='😀'+1\n\n\n\ny  :=  a&&b // why\n")
    assert await file.format() == "# 😀\nx := '😀' + 1\n\ny := a and b  // why\n"
    assert await editor.open("pretty.stellar", "x := 1\n").format() == "x := 1\n"
    assert await editor.open("ends.stellar", "x:=1\r\ny:=2\r\n").format() == "x := 1\r\ny := 2\r\n"


async def test_a_file_with_syntax_errors_is_not_formatted(editor: Editor) -> None:
    assert await editor.open("broken.stellar", "x:=1\ny := 1 +\n").format() == "x:=1\ny := 1 +\n"
