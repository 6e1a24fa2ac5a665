"""The shell: lines from a program, keys from a terminal, and the installed program in a real one."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.application.current import AppSession
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput

from stellar import cli, shell
from stellar.errors import ParseError
from stellar.library import Library, stellar
from stellar.shell import Quit, Session

CTRL_C, CTRL_D, TAB, UP, ENTER = "\x03", "\x04", "\t", "\x1b[A", "\r"


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch) -> Path:
    """Where the shell keeps its history."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def keyboard() -> Iterator[Keyboard]:
    """The keyboard of a terminal that shows nothing."""
    with create_pipe_input() as pipe, create_app_session(input=pipe, output=DummyOutput()) as session:
        yield Keyboard(pipe, session)


@dataclass(frozen=True)
class Keyboard:
    """A user who looks at what is typed so far."""

    pipe: PipeInput
    session: AppSession

    def type(self, *steps: str | tuple[str, str]) -> None:
        """Send keys; of a pair, the first again and again until the line has become the second."""
        for step in steps:
            if isinstance(step, str):
                self.pipe.send_text(step)
            elif not self.press(*step):
                self.pipe.send_text(f"{CTRL_C}{CTRL_D}")

    def press(self, key: str, wanted: str) -> bool:
        for _ in range(100):
            self.pipe.send_text(key)
            time.sleep(0.05)
            if (app := self.session.app) and app.current_buffer.text == wanted:
                return True
        return False


@pytest.fixture
def typed(keyboard, capsys):
    """Types into a new shell; returns what it prints after its greeting, and its session."""

    def type_(*steps: str | tuple[str, str], library: Library | None = None, debug: bool = False):
        session = Session(library)
        hands = threading.Thread(target=keyboard.type, args=steps)
        hands.start()
        shell.from_terminal(session, debug=debug)
        hands.join()
        greeting, *lines = capsys.readouterr().out.splitlines()
        assert greeting == shell.GREETING
        return lines, session

    return type_


# -- Lines ------------------------------------------------------------------------------------------------------------

ANSWERS = [
    ("", ""),
    ("   ", ""),
    ("# a comment", ""),
    ("1 + 1", "2"),
    ("null", ""),
    ("'a'", "a"),
    ("1e7", "1.0E7"),
    ("x -> x", "a lambda"),
    ("a", ""),
    ("a :=", ""),
    ("a.b:c := 5", "5"),
    ("$a:='x'", "x"),
    ("a := null", ""),
    ("'a := b'", "a := b"),
    ("1 +\n 1", "2"),
    ("a :=\n 1", "1"),
]


@pytest.mark.parametrize(("line", "answer"), ANSWERS)
def test_a_line_is_answered(line, answer):
    assert Session().execute(line) == answer


def test_a_variable_can_be_used_and_replaced():
    session = Session()
    assert [
        session.execute(line) for line in ("x := 2", "y := x * 2", "x := y + 1", "x", "f := z -> z + x", "MAP([1], f)")
    ] == [
        "2",
        "4",
        "5",
        "5",
        "a lambda",
        "[6]",
    ]


def test_a_failed_assignment_changes_nothing():
    session = Session()
    session.execute("x := 2")
    with pytest.raises(ParseError):
        session.execute("x := 2 +")
    assert session.variables == {"x": 2}


def test_the_functions_of_a_shell_are_there():
    assert Session().execute("SHELL_MAP2TABLE({'a' : 1})").startswith("╔")


def test_quit_leaves():
    with pytest.raises(Quit):
        Session().execute(" quit ")


@pytest.mark.parametrize(("line", "message"), [("?NOPE", "unknown function NOPE"), ("?", None), ("? TO_UPPER", None)])
def test_help_is_given_or_refused(line, message):
    if message:
        with pytest.raises(LookupError, match=f"^{message}$"):
            Session().execute(line)
    else:
        assert "TO_UPPER" in Session().execute(line)


@stellar("WHOLE")
def whole(text: str, more: int | None = None) -> str:
    """Give it back.

    It has seen nothing.

    text: The text
    more: How much more
    returns: The text

        WHOLE('a')  // 'a'
        WHOLE('b', 1)  // 'b'
    """
    return text


@stellar("PLAIN")
def plain() -> None:
    """Do nothing.

    returns: Nothing
    """


HELP = {
    "WHOLE": """\
WHOLE(text, more?)
Give it back.

It has seen nothing.

  text: The text (a text)
  more: How much more (a whole number)
  returns: The text

  WHOLE('a')  // 'a'
  WHOLE('b', 1)  // 'b'""",
    "PLAIN": """\
PLAIN()
Do nothing.

  returns: Nothing""",
}


@pytest.mark.parametrize("name", HELP)
def test_help_is_shown_whole(name):
    assert Session(Library.of(whole, plain)).execute(f"?{name}") == HELP[name]


@pytest.mark.parametrize(
    ("text", "word", "names"),
    [
        ("TO_UP", "TO_UP", ["TO_UPPER("]),
        ("1 + TRIM(TO_UP", "TO_UP", ["TO_UPPER("]),
        ("?TO_UP", "TO_UP", ["TO_UPPER"]),
        ("? TO_UP", "TO_UP", ["TO_UPPER"]),
        ("tota", "tota", ["total", "total.of:it"]),
        ("?tota", "tota", []),
        ("total.o", "total.o", ["total.of:it"]),
        ("to_up", "to_up", []),
        ("1 + ", "", []),
        ("", "", []),
        ("é", "", []),
    ],
)
def test_names_are_completed(text, word, names):
    session = Session()
    session.variables = {"total": 1, "total.of:it": 2, "other": 3}
    assert session.completions(text) == (word, names)


def test_lines_that_fail_are_told_with_their_number_and_the_others_go_on(capsys):
    assert shell.from_lines(["x := 1", "1 / 0", "x"]) is False
    assert capsys.readouterr() == ("1\n1\n", "line 2: division by zero\n1 | 1 / 0\n    ^^^^^\n")


def test_debug_shows_the_traceback_of_a_line(capsys):
    assert shell.from_lines(["1 / 0"], debug=True) is False
    assert "ValueError: division by zero" in capsys.readouterr().err


def test_lines_end_with_quit(capsys):
    assert shell.from_lines(["1", "quit", "1 / 0"]) is True
    assert capsys.readouterr() == ("1\n", "")


# -- Keys -------------------------------------------------------------------------------------------------------------


def test_a_line_is_typed_and_ctrl_d_leaves(typed):
    lines, _ = typed(f"1 + 1{ENTER}x := 'a'{ENTER}{CTRL_D}")
    assert lines == ["2", "a"]


def test_quit_is_typed(typed):
    assert typed(f"quit{ENTER}1{ENTER}")[0] == []


def test_ctrl_c_gives_up_the_line(typed):
    assert typed(f"1 + {CTRL_C}2{ENTER}{CTRL_D}")[0] == ["2"]


def test_an_error_is_shown_and_the_shell_goes_on(typed):
    lines, _ = typed(f"1 / 0{ENTER}?TO_UPER{ENTER}2{ENTER}{CTRL_D}")
    assert lines == [
        "division by zero",
        "1 | 1 / 0",
        "    ^^^^^",
        "unknown function TO_UPER",
        "hint: did you mean TO_UPPER?",
        "2",
    ]


def test_tab_completes_a_name(typed):
    lines, _ = typed(
        *("TO_UPP", (TAB, "TO_UPPER("), f"'a'){ENTER}"),
        *(f"quantity := 5{ENTER}", "quant", (TAB, "quantity"), f" + 1{ENTER}{CTRL_D}"),
    )
    assert lines == ["A", "5", "6"]


def test_ctrl_c_ends_an_evaluation_and_keeps_the_variables(typed):
    @stellar("WAIT")
    def wait() -> None:
        """Be interrupted, as by the user."""
        raise KeyboardInterrupt

    lines, session = typed(f"x := 1{ENTER}x := WAIT(){ENTER}x{ENTER}{CTRL_D}", library=Library.of(wait))
    assert lines == ["1", "1"]
    assert session.variables == {"x": 1}


def test_an_error_that_nobody_foresaw_does_not_end_the_shell(typed, capsys):
    class Odd:
        def __str__(self) -> str:
            raise TypeError("no text")

    @stellar("ODD")
    def odd() -> object:
        """A value that can't be shown."""
        return Odd()

    lines, _ = typed(f"ODD(){ENTER}1{ENTER}{CTRL_D}", library=Library.of(odd), debug=True)
    assert lines == ["this should not happen: TypeError: no text; --debug shows where", "1"]


def test_earlier_lines_come_back_also_in_the_next_shell(typed, state):
    lines, _ = typed(f"1 + 1{ENTER}2 + 2", ("", "2 + 2"), ENTER, (UP, "1 + 1"), f"{ENTER}{CTRL_D}")
    assert lines == ["2", "4", "2"]
    assert typed((UP, "1 + 1"), f"0{ENTER}{CTRL_D}")[0] == ["11"]
    assert (state / "stellar" / "history").stat().st_mode & 0o777 == 0o600


def test_the_history_is_at_home_by_default(state, monkeypatch):
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(state))
    shell._history()
    assert (state / ".local" / "state" / "stellar" / "history").exists()


def test_a_history_that_cannot_be_kept_is_told(state, capsys):
    (state / "stellar" / "history").mkdir(parents=True)
    history = shell._history()
    assert list(history.load_history_strings()) == []
    assert capsys.readouterr().err == f"the history is not kept: {state}/stellar/history: Is a directory\n"


# -- The program in a terminal ----------------------------------------------------------------------------------------


def test_a_terminal_gets_the_loop(keyboard, monkeypatch, capsys):
    class Terminal:
        def __init__(self, stream) -> None:
            self.stream = stream

        def isatty(self) -> bool:
            return True

        def __getattr__(self, name: str):
            return getattr(self.stream, name)

    monkeypatch.setattr(sys, "stdin", Terminal(sys.stdin))
    monkeypatch.setattr(sys, "stdout", Terminal(sys.stdout))
    keyboard.type(f"1 + 1{ENTER}{CTRL_D}")
    assert cli.main([]) == 0
    assert capsys.readouterr().out == f"{shell.GREETING}\n2\n"


class Screen:
    """The installed program in a pseudo-terminal."""

    def __init__(self, *arguments: str) -> None:
        self.ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
        program = Path(sys.executable).with_name("stellar")
        environment = {**os.environ, "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"}
        self.running = subprocess.Popen(
            [program, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
        )
        os.close(theirs)
        self.shown = ""

    def type(self, text: str) -> None:
        os.write(self.ours, text.encode())

    def wait_for(self, pattern: str, seconds: float = 30) -> None:
        """Wait until this is shown; what is shown up to it is done with."""
        deadline = time.monotonic() + seconds
        while not (found := re.search(pattern, self.shown)):
            ready, _, _ = select.select([self.ours], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"{pattern!r} did not come after: {self.shown!r}"
            try:
                part = os.read(self.ours, 4096).decode()
            except OSError:  # the program has ended
                part = ""
            assert part, f"{pattern!r} did not come before the end: {self.shown!r}"
            self.shown += re.sub(r"\x1b(?:\[[0-9;?]*[a-zA-Z]|[()].|[=>78])", "", part)
        self.shown = self.shown[found.end() :]

    def close(self) -> None:
        if self.running.poll() is None:
            self.running.send_signal(signal.SIGKILL)
            self.running.wait()
        os.close(self.ours)


def test_the_program_works_in_a_real_terminal():
    screen = Screen()
    try:
        screen.wait_for(re.escape(shell.GREETING))
        screen.wait_for(r"\[Stellar\]>>>")
        screen.type(f"TO_UPP{TAB}")
        screen.wait_for(r"TO_UPPER\(")
        screen.type(f"'a') + 1{CTRL_C}")
        screen.wait_for(r"\[Stellar\]>>>")
        screen.type(f"JOIN(['b', 'c'], '+'){ENTER}")
        screen.wait_for(r"\nb\+c\r")
        screen.type(f"1 / 0{ENTER}")
        screen.wait_for(r"division by zero\r\n1 \| 1 / 0\r\n    \^\^\^\^\^")
        screen.wait_for(r"\[Stellar\]>>>")
        time.sleep(0.3)  # the history is read once the prompt stands
        screen.type(f"{UP}{UP}")
        screen.wait_for(r"JOIN")
        screen.type(ENTER)
        screen.wait_for(r"\nb\+c\r")
        screen.type(f"quit{ENTER}")
        assert screen.running.wait(timeout=30) == 0
    finally:
        screen.close()
