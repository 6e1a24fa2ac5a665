"""What cells show, how they fail, and what is known of places in them."""

from __future__ import annotations

import pytest

from stellar.jupyter.cells import Failed, Note, Shown, complete, inspect, is_complete, run
from stellar.repl.session import Session


def shown(cell: str, session: Session | None = None) -> list[str]:
    """The texts that a cell shows, in order."""
    return [
        output.text if isinstance(output, Note) else output.bundle["text/plain"]
        for output in run(cell, session or Session())
    ]


def failed(cell: str, session: Session | None = None) -> Failed:
    with pytest.raises(Failed) as caught:
        list(run(cell, session or Session()))
    return caught.value


CELLS = [
    ("", []),
    ("\n  \n# a comment\n// another", []),
    ("1 + 1", ["2"]),
    ("1\n2\n3", ["1", "2", "3"]),
    ("null\n'a'\nnull", ["a"]),
    # Of what sets something, the value is shown only at the end
    ("x := 1\ny := 2", ["2"]),
    ("x := 1\nx + 1", ["2"]),
    ("x := 1\n# that is all", ["1"]),
    ("%define a := 1\n%define b := 2", ["2"]),
    ("x := null", []),
    # Lines go on where they are indented, and where they are not finished
    ("1 +\n  1", ["2"]),
    ("TO_UPPER(\n'a'\n)", ["A"]),
    ("x := 1\n  + 2\n\n  + 3\nx", ["6"]),
    ("x := [\n1,\n# a comment\n2\n]\nLENGTH(x)", ["2"]),
    ("x := 1 // it's\n  # and so on\n  + 1", ["2"]),
    # What a notebook does not need
    ("1\nquit\n2", ["1", "2"]),
    ("quit", []),
    ("exit", []),
]


@pytest.mark.parametrize(("cell", "texts"), CELLS)
def test_each_statement_shows_its_value(cell, texts):
    assert shown(cell) == texts


def test_only_the_value_of_the_last_statement_is_the_result():
    assert [output.last for output in run("1\n2\n3", Session()) if isinstance(output, Shown)] == [False, False, True]
    assert [output.last for output in run("1\nx := 2\nnull", Session()) if isinstance(output, Shown)] == [False]


def test_variables_stay_from_cell_to_cell():
    session = Session()
    assert shown("x := 20", session) == ["20"]
    assert shown("x + 1\nx + 2", session) == ["21", "22"]


def test_tables_are_html_as_well():
    (map_, maps, text) = run("{'a': '<b>'}\n[{'a': 1}, {'b': 2}]\n'a'", Session())
    assert "<td" in map_.bundle["text/html"]
    assert "&lt;b&gt;" in map_.bundle["text/html"]
    assert map_.bundle["text/plain"].startswith("╔")
    assert "<th>a</th><th>b</th>" in maps.bundle["text/html"]
    assert text.bundle == {"text/plain": "a"}


def test_a_question_is_answered_in_markdown_as_well():
    for cell in ("?TRIM", "TRIM?"):
        (answer,) = run(cell, Session())
        assert answer.bundle["text/plain"].startswith("TRIM(input)\nDescription: ")
        assert answer.bundle["text/markdown"].startswith("```stellar\nTRIM(input)\n```\n")


def test_notes_of_commands_stand_behind_the_value():
    value, note = run("%time 1 + 1", Session())
    assert value.bundle == {"text/plain": "2"}
    assert note.text.startswith("compiled in ")


# -- Errors -----------------------------------------------------------------------------------------------------------

FAILURES = [
    # A cell, the kind of error, and what is told
    (
        "# look\nx := 1 +\n  TO_UPER('a')",
        "ResolutionError",
        ["unknown function TO_UPER", "3 |   TO_UPER('a')\n      ^^^^^^^^^^^^", "hint: did you mean TO_UPPER?"],
    ),
    ("1\n\nx  :=  2 / 0\n3", "EvaluationError", ["division by zero", "3 | x  :=  2 / 0\n           ^^^^^"]),
    ("%time 1 / 0", "EvaluationError", ["division by zero", "1 | %time 1 / 0\n          ^^^^^"]),
    ("1\n(2 +", "IncompleteExpression", None),
    ("1\n1 1\n2", "ParseError", None),
    ("?NOTHING_LIKE_IT", "LookupError", None),
    ("%nothing", "LookupError", None),
    ("%load /nowhere/at/all", "FileNotFoundError", ["/nowhere/at/all: No such file or directory"]),
    ("a-b := 1", "ValueError", None),
]


@pytest.mark.parametrize(("cell", "name", "lines"), FAILURES)
def test_an_error_shows_its_place_in_the_cell(cell, name, lines):
    failure = failed(cell)
    assert failure.name == name
    if lines is not None:
        assert failure.lines == lines
    assert failure.lines[0].startswith(failure.message)
    assert "\n" not in failure.message


def test_a_cell_ends_at_its_first_error():
    session, texts = Session(), []
    with pytest.raises(Failed, match="division by zero"):
        texts.extend(output.bundle["text/plain"] for output in run("1\nx := 2\n1 / 0\nx := 3\n4", session))
    assert session.variables.values == {"x": 2}


def test_an_error_in_another_text_is_shown_there():
    session = Session()
    shown("f := x -> 1 / x", session)
    assert "hint: f is" in failed("# here\nMAP([0], f)", session).lines[-1]


def test_what_a_text_holds_cannot_steer_a_terminal():
    failure = failed("'\x1b[2J' + {}")
    assert all("\x1b" not in line for line in (*failure.lines, failure.message))


def test_an_error_that_nobody_foresaw_shows_pythons_traceback(monkeypatch):
    monkeypatch.setattr(Session, "execute", lambda *_: len(5))
    failure = failed("1")
    assert failure.name == "TypeError"
    assert failure.message == "this should not happen: TypeError: object of type 'int' has no len()"
    assert failure.lines[0].startswith("Traceback")


# -- Places -----------------------------------------------------------------------------------------------------------

# What may stand at the cursor, |
COMPLETIONS = [
    ("TO_UPP|", "TO_UPPER("),
    ("x := TO_UPP|", "TO_UPPER("),
    ("1\nx := 2\nTO_UPP|\n3", "TO_UPPER("),
    ("1 +\n  TO_UPP|", "TO_UPPER("),
    ("f(\nTO_UPP|", "TO_UPPER("),
    ("[\n  1,\n\nTO_UPP|", "TO_UPPER("),
    ("record|", "recorded"),
    ("1\n%exp|", "%explain"),
    ("1\n?TRI|", "TRIM"),
    ("HASH(recorded,\n  'MD|", "MD5"),
]


@pytest.fixture
def session() -> Session:
    made = Session()
    made.execute("recorded := {'user': 'eve'}")
    return made


@pytest.mark.parametrize(("marked", "text"), COMPLETIONS)
def test_names_are_completed_where_the_cursor_is(session, marked, text):
    cell, cursor = marked.replace("|", ""), marked.index("|")
    found = {each.text: each for each in complete(cell, cursor, session)}
    assert text in found
    typed = cell[found[text].start : cursor]
    assert typed == text[: len(typed)]


@pytest.mark.parametrize("marked", ["# TO_UPP|", "1\n  // TO_UPP|", "1\n  # TO_UPP|\n  + 1", "'TO_UPP|'"])
def test_within_comments_and_texts_nothing_is_completed(session, marked):
    assert complete(marked.replace("|", ""), marked.index("|"), session) == []


def test_on_an_empty_line_everything_may_stand(session):
    assert "TO_UPPER(" in {each.text for each in complete("x := 1\n", 7, session)}


INSPECTIONS = [
    ("TO_UP|PER('a')", "TO_UPPER("),
    ("|TO_UPPER('a')", "TO_UPPER("),
    ("TO_UPPER|", "TO_UPPER("),
    ("1\nMAP_GET('a', |)", "MAP_GET("),
    ("1\ny := MAP_GET('a',\n  |)", "MAP_GET("),
    ("MAP_GET('a|', x)", "MAP_GET("),
    ("MAP_GET('a', recor|ded)", "recorded is a variable, set by recorded := {'user': 'eve'}"),
    ("%expl|ain 1", "%explain EXPRESSION"),
]


@pytest.mark.parametrize(("marked", "begin"), INSPECTIONS)
def test_the_help_of_what_stands_at_the_cursor_is_found(session, marked, begin):
    found = inspect(marked.replace("|", ""), marked.index("|"), session)
    assert found is not None
    assert found["text/plain"].startswith(begin)


def test_of_a_variable_the_value_is_shown(session):
    found = inspect("recorded", 3, session)
    assert "║ user │ eve   ║" in found["text/plain"]


@pytest.mark.parametrize("marked", ["|", "nothing|", "1 + |1", "# MAP_GET(|", "?MAP_GET (|"])
def test_where_nothing_is_known_nothing_is_shown(session, marked):
    assert inspect(marked.replace("|", ""), marked.index("|"), session) is None


@pytest.mark.parametrize(
    ("cell", "status"),
    [
        ("", "complete"),
        ("1", "complete"),
        ("x := 1\nx", "complete"),
        ("?TRIM", "complete"),
        ("1 +", "incomplete"),
        ("x := 1\nTO_UPPER(", "incomplete"),
        ("{\n'a': 1,\n", "incomplete"),
        ("1 1", "invalid"),
        ("1 1\nx", "invalid"),
    ],
)
def test_a_console_learns_whether_a_cell_is_finished(cell, status):
    assert is_complete(cell) == status
