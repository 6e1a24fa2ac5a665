"""Output and errors of cells, and completion and help within them."""

from __future__ import annotations

import logging

import pytest

from stellar.jupyter.cells import CellError, CellOutput, Note, check_completeness, complete, inspect, run
from stellar.language.expression import shell_library
from stellar.language.library import Library, stellar
from stellar.repl.session import Session


def outputs(cell: str, session: Session | None = None) -> list[str]:
    """Return the plain output of a cell."""
    return [
        output.text if isinstance(output, Note) else output.bundle["text/plain"]
        for output in run(cell, session or Session())
    ]


def run_failing(cell: str, session: Session | None = None) -> CellError:
    with pytest.raises(CellError) as caught:
        list(run(cell, session or Session()))
    return caught.value


CELLS = [
    ("", []),
    ("\n  \n# a comment\n// another", []),
    ("1 + 1", ["2"]),
    ("1\n2\n3", ["1", "2", "3"]),
    ("null\n'a'\nnull", ["a"]),
    # The value of an assignment is shown only at the end
    ("x := 1\ny := 2", ["2"]),
    ("x := 1\nx + 1", ["2"]),
    ("x := 1\n# the end", ["1"]),
    ("%define a := 1\n%define b := 2", ["2"]),
    ("x := null", []),
    # Indented lines continue a statement, and unfinished ones continue
    ("1 +\n  1", ["2"]),
    ("TO_UPPER(\n'a'\n)", ["A"]),
    ("x := 1\n  + 2\n\n  + 3\nx", ["6"]),
    ("x := [\n1,\n# a comment\n2\n]\nLENGTH(x)", ["2"]),
    ("x := 1 // it's\n  # a comment\n  + 1", ["2"]),
    # Commands to leave are ignored
    ("1\nquit\n2", ["1", "2"]),
    ("quit", []),
    ("exit", []),
]


@pytest.mark.parametrize(("cell", "expected"), CELLS)
def test_each_statement_shows_its_value(cell, expected):
    assert outputs(cell) == expected


def test_only_the_value_of_the_last_statement_is_the_result():
    assert [output.last for output in run("1\n2\n3", Session()) if isinstance(output, CellOutput)] == [
        False,
        False,
        True,
    ]
    assert [output.last for output in run("1\nx := 2\nnull", Session()) if isinstance(output, CellOutput)] == [False]


def test_variables_stay_from_cell_to_cell():
    session = Session()
    assert outputs("x := 20", session) == ["20"]
    assert outputs("x + 1\nx + 2", session) == ["21", "22"]


def test_tables_are_also_html():
    (map_, maps, text) = run("{'a': '<b>'}\n[{'a': 1}, {'b': 2}]\n'a'", Session())
    assert "<td" in map_.bundle["text/html"]
    assert "&lt;b&gt;" in map_.bundle["text/html"]
    assert map_.bundle["text/plain"].startswith("╔")
    assert "<th>a</th><th>b</th>" in maps.bundle["text/html"]
    assert text.bundle == {"text/plain": "a"}


def test_help_is_also_markdown():
    for cell in ("?TRIM", "TRIM?"):
        (output,) = run(cell, Session())
        assert output.bundle["text/plain"].startswith("TRIM(input)\nDescription: ")
        assert output.bundle["text/markdown"].startswith("```stellar\nTRIM(input)\n```\n")


def test_notes_of_commands_follow_the_value():
    value, note = run("%time 1 + 1", Session())
    assert value.bundle == {"text/plain": "2"}
    assert note.text.startswith("compiled in ")


# -- Errors -----------------------------------------------------------------------------------------------------------

FAILURES = [
    # A cell, the class of the error, and its lines
    (
        "# a comment\nx := 1 +\n  TO_UPER('a')",
        "ResolutionError",
        ["unknown function TO_UPER", "3 |   TO_UPER('a')\n      ^^^^^^^", "hint: did you mean TO_UPPER?"],
    ),
    ("1\n\nx  :=  2 / 0\n3", "EvaluationError", ["division by zero", "3 | x  :=  2 / 0\n           ^^^^^"]),
    ("%time 1 / 0", "EvaluationError", ["division by zero", "1 | %time 1 / 0\n          ^^^^^"]),
    ("1\n(2 +", "IncompleteExpression", None),
    ("1\n1 1\n2", "ParseError", None),
    ("?UNKNOWN", "LookupError", None),
    ("%nothing", "LookupError", None),
    ("%load /nowhere/at/all", "FileNotFoundError", ["/nowhere/at/all: No such file or directory"]),
    ("a-b := 1", "ValueError", None),
]


@pytest.mark.parametrize(("cell", "name", "lines"), FAILURES)
def test_an_error_shows_its_location_in_the_cell(cell, name, lines):
    error = run_failing(cell)
    assert error.name == name
    if lines is not None:
        assert error.lines == lines
    assert error.lines[0].startswith(error.message)
    assert "\n" not in error.message


def test_a_cell_ends_at_its_first_error():
    session, values = Session(), []
    with pytest.raises(CellError, match="division by zero"):
        values.extend(output.bundle["text/plain"] for output in run("1\nx := 2\n1 / 0\nx := 3\n4", session))
    assert session.variables.values == {"x": 2}


def test_an_error_in_an_earlier_lambda_has_a_hint():
    session = Session()
    outputs("f := x -> 1 / x", session)
    assert "hint: f is" in run_failing("# here\nMAP([0], f)", session).lines[-1]


def test_strings_cannot_control_the_terminal():
    error = run_failing("'\x1b[2J' + {}")
    assert all("\x1b" not in line for line in (*error.lines, error.message))


def test_an_internal_error_shows_the_traceback(monkeypatch):
    monkeypatch.setattr(Session, "execute", lambda *_: len(5))
    error = run_failing("1")
    assert error.name == "TypeError"
    assert error.message == "internal error: TypeError: object of type 'int' has no len()"
    assert error.lines[0].startswith("Traceback")


# -- Completion and help ----------------------------------------------------------------------------------------------

# A cell with the cursor |, and an expected completion
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
    session = Session()
    session.execute("recorded := {'user': 'eve'}")
    return session


@pytest.mark.parametrize(("marked", "text"), COMPLETIONS)
def test_names_are_completed_at_the_cursor(session, marked, text):
    cell, cursor = marked.replace("|", ""), marked.index("|")
    candidates = {each.text: each for each in complete(cell, cursor, session)}
    assert text in candidates
    typed = cell[candidates[text].start : cursor]
    assert typed == text[: len(typed)]


@pytest.mark.parametrize("marked", ["# TO_UPP|", "1\n  // TO_UPP|", "1\n  # TO_UPP|\n  + 1", "'TO_UPP|'"])
def test_nothing_is_completed_within_comments_and_strings(session, marked):
    assert complete(marked.replace("|", ""), marked.index("|"), session) == []


def test_an_empty_line_offers_all_names(session):
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
def test_the_name_or_call_at_the_cursor_has_help(session, marked, begin):
    found = inspect(marked.replace("|", ""), marked.index("|"), session)
    assert found is not None
    assert found["text/plain"].startswith(begin)


def test_the_help_of_a_variable_shows_its_value(session):
    found = inspect("recorded", 3, session)
    assert "║ user │ eve   ║" in found["text/plain"]


@pytest.mark.parametrize("marked", ["|", "nothing|", "1 + |1", "# MAP_GET(|", "?MAP_GET (|"])
def test_other_positions_have_no_help(session, marked):
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
def test_a_cell_is_complete_incomplete_or_invalid(cell, status):
    assert check_completeness(cell) == status


@pytest.fixture
def warning_session():
    """A session with a function that logs a warning for each number up to its argument."""

    @stellar("WARN")
    def warn(count: int) -> int:
        """Log warnings."""
        for number in range(count):
            logging.getLogger("stellar.functions.maas").warning("the model %s failed", number)
        return count

    return Session(Library.of(shell_library(), warn))


@pytest.mark.parametrize(
    ("cell", "texts"),
    [
        ("WARN(1)", ["warning: the model 0 failed", "1"]),
        ("x := WARN(1)\nx", ["warning: the model 0 failed", "1"]),
        ("[WARN(1), WARN(2)]", ["warning: the model 0 failed", "warning: the model 1 failed", "[1, 2]"]),
    ],
)
def test_warnings_of_an_evaluation_are_shown_before_its_value(cell, texts, warning_session):
    outputs = list(run(cell, warning_session))
    assert [each.text if isinstance(each, Note) else each.bundle["text/plain"] for each in outputs] == texts
    assert [isinstance(each, Note) and each.is_warning for each in outputs] == ["warning" in text for text in texts]


def test_warnings_are_shown_before_an_error(warning_session):
    outputs = run("WARN(1) / 0", warning_session)
    assert next(outputs) == Note("warning: the model 0 failed", is_warning=True)
    with pytest.raises(CellError, match="division by zero"):
        next(outputs)


def test_only_the_first_of_many_warnings_are_shown(warning_session):
    *warnings, _ = run("WARN(23)", warning_session)
    assert [warning.text for warning in warnings][-2:] == ["warning: the model 19 failed", "warning: 3 more"]
    assert len(warnings) == 21


def test_warnings_after_a_cell_are_logged_as_before(warning_session, caplog):
    list(run("WARN(1)", warning_session))
    logging.getLogger("stellar").warning("later")
    assert [record.getMessage() for record in caplog.records] == ["later"]
