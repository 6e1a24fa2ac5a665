"""Lines of a session: assignments, questions, commands, expressions."""

from __future__ import annotations

import pytest

from stellar.functions.shell import Editor
from stellar.language.context import Context, GlobalSettings
from stellar.language.errors import EvaluationError, ParseError, ResolutionError
from stellar.language.library import Library, kind, stellar
from stellar.repl.rendering import CommandOutput
from stellar.repl.session import HELP, Quit, Session

# -- Lines ------------------------------------------------------------------------------------------------------------

VALUES = [
    ("", ""),
    ("   ", ""),
    ("# a comment", ""),
    ("// a comment", ""),
    ("  #a := 1", ""),
    ("1 + 1", 2),
    (" 1 + 1 // two", 2),
    ("1 +\n 1", 2),
    ("null", None),
    ("missing", None),
    ("'a := b'", "a := b"),
    ('"a" == ":="', False),
    ("x := 1 + 1", 2),
    ("x:='a'", "a"),
    ("$a.b:c := 5", 5),
    ("x := null", None),
    ("x :=", ""),
    ("x := # nothing", ""),
    ("x :=\n 1", 1),
    ("x := y := 1", 1),
    ("x := 'p := q'", "p := q"),
    ("x := %functions TO_UPPER", "TO_UPPER"),
    ("%define a.b := 5", 5),
    ("%undefine a.b", ""),
    ("%functions TO_UPP", "TO_UPPER"),
    ("%functions\tTO_UPP", "TO_UPPER"),
    ("%time\n 1 +\n 1", 2),
    ("%functions to_upp", ""),
    ("%vars", ""),
    ("%globals", "{}"),
]


@pytest.mark.parametrize(("line", "value"), VALUES)
def test_a_line_has_a_value(line, value):
    found = Session().execute(line)
    assert found == value
    assert type(found) is type(value) or isinstance(found, CommandOutput)


FAILING = [
    ("1 +", ParseError, "unexpected end of the expression"),
    ("1 / 0", EvaluationError, "division by zero"),
    ("NOPE()", ResolutionError, "unknown function NOPE"),
    ("x := y := 1 / 0", EvaluationError, "division by zero"),
    ("a-b := 1", ValueError, "invalid variable name a-b: expected a letter, then letters, digits, _, . and :"),
    ("5 := 1", ValueError, "invalid variable name 5"),
    ("if := 1", ValueError, "the keyword if can't name a variable"),
    ("[1] := 1", ParseError, "unexpected :"),
    ("?NOPE", LookupError, "unknown function NOPE"),
    ("?TO_UPER", LookupError, "unknown function TO_UPER\nhint: did you mean TO_UPPER?"),
    ("?to_upper", LookupError, "unknown function to_upper\nhint: did you mean TO_UPPER?"),
    ("%varsxyz", LookupError, "unknown command %varsxyz\nhint: did you mean %vars?"),
    ("%nonsense", LookupError, "unknown command %nonsense\nhint: known are %check, %define,"),
    ("?%varz", LookupError, "unknown command %varz\nhint: did you mean %vars?"),
    ("%define", ValueError, "missing assignment expression; write %define NAME := EXPRESSION"),
    ("%define a", ValueError, "expected assignment expression; write %define NAME := EXPRESSION"),
    ("%define := 1", ValueError, "expected assignment expression; write %define NAME := EXPRESSION"),
    ("%define a := null", ValueError, "null produced no result; use %undefine a to remove it"),
    ("%define a :=", ValueError, "empty expression produced no result; use %undefine a to remove it"),
    ("%define a := 1 / 0", EvaluationError, "division by zero"),
    ("%undefine", ValueError, "missing name; write %undefine NAME"),
    ("%load", ValueError, "missing file name; write %load FILE"),
    ("%save -f ", ValueError, "missing file name; write %save FILE"),
]


@pytest.mark.parametrize(("line", "error", "message"), FAILING)
def test_a_failing_line_has_a_message_and_changes_nothing(line, error, message):
    session = Session()
    with pytest.raises(error) as raised:
        session.execute(line)
    assert (getattr(raised.value, "message", None) or str(raised.value)).startswith(message)
    assert session.variables.values == {}
    assert session.settings == {}
    assert session.assignments == []


@pytest.mark.parametrize("line", ["quit", " quit ", "exit", "x := quit"])
def test_quit_leaves(line):
    with pytest.raises(Quit):
        Session().execute(line)


def test_a_variable_can_be_named_exit():
    session = Session()
    session.execute("exit := 5")
    assert session.execute("exit") == 5


def execute(*lines: str) -> tuple[list[object], Session]:
    session = Session()
    return [session.execute(line) for line in lines], session


def test_variables_can_be_used_and_replaced_and_hold_lambdas():
    values, session = execute("x := 2", "y := x * 2", "x := y + 1", "f := z -> z + x", "MAP([1], f)", "g := f")
    assert [values[0], values[1], values[2], values[4]] == [2, 4, 5, [6]]
    assert session.variables.expressions == {"x": "y + 1", "y": "x * 2", "f": "z -> z + x", "g": "f"}
    assert str(session.execute("%vars")).startswith("x = 5 via `y + 1`, y = 4 via `x * 2`, f = a lambda via ")


def test_a_chained_assignment_sets_all_names():
    _, session = execute("x := y := 1 + 1")
    assert session.variables.values == {"x": 2, "y": 2}
    assert session.variables.expressions == {"x": "y := 1 + 1", "y": "1 + 1"}


def test_a_failed_assignment_does_not_change_the_variable():
    _, session = execute("x := 2")
    with pytest.raises(ParseError):
        session.execute("x := 2 +")
    assert session.variables.values == {"x": 2}
    assert session.variables.expressions == {"x": "2"}


def test_the_output_of_a_command_is_assigned_as_a_string():
    values, session = execute("x := %functions TO_UPP", "x")
    assert values == ["TO_UPPER", "TO_UPPER"]
    assert type(session.variables.values["x"]) is str


# -- The global configuration -----------------------------------------------------------------------------------------


@stellar("SETTING")
def setting(context: Context, name: str) -> object:
    """Return a setting.

    name: The name
    """
    return context[GlobalSettings].get(name)


def test_functions_see_defined_settings():
    session = Session(Library.of(setting), settings=GlobalSettings({"es.ip": "node1"}))
    assert session.execute("%globals") == "{es.ip=node1}"
    session.execute("%define es.clustername := 'metron' ")
    session.execute("%define a-b := [1, 2]")
    assert session.execute("%globals") == "{es.ip=node1, es.clustername=metron, a-b=[1, 2]}"
    assert session.execute("SETTING('es.clustername')") == "metron"
    session.execute("%undefine es.ip")
    session.execute("%undefine never.there")
    assert session.settings == {"es.clustername": "metron", "a-b": [1, 2]}


# -- Help -------------------------------------------------------------------------------------------------------------


@stellar("WHOLE")
def whole(text: str, more: int | None = None) -> str:
    """Return the argument.

    It is not changed.

    text: A string
    more: An integer
    returns: The string

        WHOLE('a')  // 'a'
        WHOLE('b', 1)  // 'b'
    """
    return text


@stellar("PLAIN")
def plain() -> None:
    """Return null.

    returns: Null
    """


HELPS = {
    "WHOLE": """\
WHOLE(text, more?)
Description: Return the argument.

It is not changed.

Arguments:
\ttext - A string ({STRING})
\tmore - An integer ({INTEGER})

Returns: The string

Examples:
\tWHOLE('a')  // 'a'
\tWHOLE('b', 1)  // 'b'""",
    "PLAIN": """\
PLAIN()
Description: Return null.

Returns: Null""",
    "%globals": "%globals\nShow the global configuration.",
    "x": "x is a variable, set by x := 1 + 1",
    "y": "y is a variable",
    "": HELP,
}


@pytest.mark.parametrize("name", HELPS)
@pytest.mark.parametrize("form", ["?{}", "? {}", "{}?", " {} ?"])
def test_functions_commands_and_variables_have_help(name, form):
    session = Session(Library.of(whole, plain))
    session.execute("x := 1 + 1")
    session.add_variables({"y": 5})
    expected = HELPS[name].replace("{STRING}", kind(str).noun).replace("{INTEGER}", kind(int).noun)
    assert session.execute(form.format(name)) == expected


# -- Functions of the shell -------------------------------------------------------------------------------------------


def test_variables_are_listed_in_a_table():
    session = Session()
    session.execute("x := 1 + 1")
    session.execute("text := 'the quick brown fox'")
    session.add_variables({"loaded": 5})
    assert (
        session.execute("SHELL_LIST_VARS()")
        == """\
╔══════════╤═════════════════════╤═══════════════════════╗
║ VARIABLE │ VALUE               │ EXPRESSION            ║
╠══════════╪═════════════════════╪═══════════════════════╣
║ x        │ 2                   │ 1 + 1                 ║
╟──────────┼─────────────────────┼───────────────────────╢
║ text     │ the quick brown fox │ 'the quick brown fox' ║
╟──────────┼─────────────────────┼───────────────────────╢
║ loaded   │ 5                   │                       ║
╚══════════╧═════════════════════╧═══════════════════════╝
"""
    )
    assert "║          │ brown fox │ brown fox' ║" in session.execute("SHELL_LIST_VARS(10)")
    assert session.execute("SHELL_LIST_VARS(0)") == session.execute("SHELL_LIST_VARS(null)")
    assert session.execute("SHELL_LIST_VARS('-1')") == session.execute("SHELL_LIST_VARS()")
    with pytest.raises(EvaluationError, match="SHELL_LIST_VARS expected an integer as wrap, got wide"):
        session.execute("SHELL_LIST_VARS('wide')")


def test_no_variables_are_an_empty_table():
    assert "(empty)" in Session().execute("SHELL_LIST_VARS()")


def test_expressions_of_variables_can_be_read():
    session = Session()
    session.execute("b := TO_UPPER(a)")
    session.execute("a := 1 + 1")
    session.add_variables({"loaded": 5})
    assert session.execute("SHELL_GET_EXPRESSION('b')") == "TO_UPPER(a)"
    assert session.execute("SHELL_GET_EXPRESSION('loaded')") is None
    assert session.execute("SHELL_GET_EXPRESSION('missing')") is None
    assert session.execute("SHELL_GET_EXPRESSION(null)") is None
    assert session.execute("SHELL_GET_EXPRESSION()") is None
    found = session.execute("SHELL_VARS2MAP('a', 'loaded', null, 'b', 'missing')")
    assert list(found.items()) == [("a", "1 + 1"), ("b", "TO_UPPER(a)")]
    assert session.execute("SHELL_VARS2MAP()") == {}
    with pytest.raises(EvaluationError):
        session.execute("SHELL_VARS2MAP(5)")


@pytest.fixture
def editing(monkeypatch, tmp_path):
    """Open a session with an editor that appends to the file."""
    script = tmp_path / "my editor"
    script.write_text('#!/bin/sh\n[ "$1" = -a ] && shift\nprintf " and %s " "$(basename "$1")" >> "$1"\n')
    script.chmod(0o755)
    session = Session()
    session.use({Editor: Editor()})
    monkeypatch.setenv("VISUAL", "no-such-editor")
    monkeypatch.setenv("EDITOR", f"'{script}' -a")
    return session


def test_a_string_is_edited(editing):
    assert editing.execute("SHELL_EDIT('  one')") == "one and text.stellar"
    assert editing.execute("x := SHELL_EDIT()") == "and text.stellar"
    assert editing.execute("SHELL_EDIT(5)") == "5 and text.stellar"


@pytest.mark.parametrize("command", ["no-such-editor", "false", "'unclosed"])
def test_an_editor_that_fails_gives_null_and_a_warning(editing, monkeypatch, caplog, command):
    monkeypatch.setenv("EDITOR", command)
    assert editing.execute("SHELL_EDIT('a')") is None
    assert f"editor {command} failed" in caplog.text


def test_the_environment_names_another_editor(editing, monkeypatch):
    monkeypatch.setenv("VISUAL", "true")
    monkeypatch.delenv("EDITOR")
    assert editing.execute("SHELL_EDIT(' a ')") == "a"


def test_without_an_editor_the_function_fails():
    with pytest.raises(EvaluationError, match="no editor available outside a shell in a terminal"):
        Session().execute("SHELL_EDIT('a')")


# -- Closing ---------------------------------------------------------------------------------------------------------


class Closing:
    def __init__(self, closed: list[str], name: str) -> None:
        self.closed, self.name = closed, name

    def close(self) -> None:
        self.closed.append(self.name)


def test_a_session_closes_its_resources_in_reverse_order():
    closed: list[str] = []
    with Session() as session:
        session.use({Closing: Closing(closed, "one")}, Closing(closed, "first"), Closing(closed, "last"))
        assert session.context[Closing].name == "one"
        assert closed == []
    assert closed == ["last", "first"]
