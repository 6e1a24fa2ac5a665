"""The shell at a terminal: keys are sent through a pipe, and output is captured as plain text."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.application.current import AppSession
from prompt_toolkit.data_structures import Size
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.output import ColorDepth
from prompt_toolkit.output.vt100 import Vt100_Output

from stellar import cli, shell
from stellar.language.context import GlobalSettings
from stellar.language.library import Library, stellar
from stellar.repl.session import Session
from stellar.repl.terminal import LazySession, Terminal, hint, open_history

CTRL_C, CTRL_D, CTRL_R, TAB, UP, DOWN = "\x03", "\x04", "\x12", "\t", "\x1b[A", "\x1b[B"
ENTER, ESCAPE_ENTER, END = "\r", "\x1b\r", "\x1b[F"


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch) -> Path:
    """The folder with the history of the shell."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("MAAS_HOME", str(tmp_path / "no models"))
    return tmp_path


@dataclass(frozen=True)
class Keyboard:
    """A user who waits for the current input before the next key."""

    pipe: PipeInput
    session: AppSession
    screen: StringIO

    def type(self, *steps: str | tuple[str, str]) -> None:
        """Send keys; the first of a pair is repeated until the line equals the second."""
        for step in steps:
            if isinstance(step, str):
                self.pipe.send_text(step)
            elif not self.press(*step):
                self.pipe.send_text(f"{CTRL_C}{CTRL_D}")

    def press(self, key: str, expected: str) -> bool:
        for _ in range(10):
            self.pipe.send_text(key)
            for _ in range(200):  # a key that is sent again too early would undo the effect of the first
                time.sleep(0.05)
                if (app := self.session.app) and app.current_buffer.text == expected:
                    return True
        return False


@pytest.fixture
def keyboard() -> Iterator[Keyboard]:
    """The keyboard of a terminal with 80 columns."""
    screen = StringIO()
    output = Vt100_Output(screen, lambda: Size(rows=24, columns=80), term="xterm", enable_cpr=False)
    with create_pipe_input() as pipe, create_app_session(input=pipe, output=output) as session:
        yield Keyboard(pipe, session, screen)


@pytest.fixture
def typed(keyboard, capsys):
    """Type into a new shell without colours; return the lines after its greeting, and its session."""

    def type_(*steps: str | tuple[str, str], library: Library | None = None, debug: bool = False, **options):
        session = Session(library)
        typist = threading.Thread(target=keyboard.type, args=steps)
        typist.start()
        shell.run_terminal(Terminal(lambda: session, colours=False, **options), debug=debug)
        typist.join()
        printed = capsys.readouterr().out
        assert printed.startswith(f"{shell.GREETING}\n")
        return printed.removeprefix(f"{shell.GREETING}\n").splitlines(), session

    return type_


def test_a_line_is_executed_and_ctrl_d_leaves(typed):
    lines, _ = typed(f"1 + 1{ENTER}x := 'a'{ENTER}{CTRL_D}")
    assert lines == ["2", "a"]


def test_blank_lines_null_and_comments_show_nothing(typed):
    assert typed(f"{ENTER}  {ENTER}null{ENTER}# 1{ENTER}x :={ENTER}%undefine a{ENTER}{CTRL_D}")[0] == []


def test_quit_leaves(typed):
    assert typed(f"quit{ENTER}1{ENTER}")[0] == []


def test_ctrl_c_discards_the_line(typed):
    assert typed(f"1 + {CTRL_C}2{ENTER}{CTRL_D}")[0] == ["2"]


def test_an_unfinished_expression_continues_on_the_next_line(typed):
    lines, session = typed(f"x := if 1 == 1{ENTER}then [1,{ENTER}2]{ENTER}else 'b{ENTER}c'{ENTER}x{ENTER}{CTRL_D}")
    assert lines == ["[1, 2]", "[1, 2]"]
    assert session.variables.expressions == {"x": "if 1 == 1\nthen [1,\n2]\nelse 'b\nc'"}


def test_a_blank_line_ends_an_unfinished_expression(typed):
    assert typed(f"(1{ENTER}{ENTER}2{ENTER}{CTRL_D}")[0] == [
        "[!] this ( is not closed",
        "1 | (1",
        "    ^",
        "hint: close it with )",
        "2",
    ]


def paste(*lines: str) -> str:
    text = "\n".join(lines)
    return f"\x1b[200~{text}\x1b[201~{ENTER}"


def test_pasted_lines_run_one_after_another(typed):
    pasted = paste("# start", "x := 1", "%undefine q", "y := x +", "1", "", "?LENGTHY", "")
    lines, session = typed(f"{pasted}x + y{ENTER}{CTRL_D}")
    assert lines[:2] == ["1", "2"]
    assert lines[-1] == "3"
    assert "LENGTHY" in lines[2]
    assert session.variables.values == {"x": 1, "y": 2}


def test_pasted_lines_after_one_that_fails_are_not_executed(typed):
    lines, session = typed(f"{paste('x := 1', 'y := 1 / 0', 'z := 3', 'x')}{CTRL_D}")
    assert lines == [
        "1",
        "[!] division by zero",
        "1 | 1 / 0",
        "    ^^^^^",
        "statements after it that were not executed: 2",
    ]
    assert session.variables.values == {"x": 1}


def test_a_pasted_expression_of_several_lines_is_one_statement(typed):
    assert typed(f"{paste('1', '+ 1')}{CTRL_D}")[0] == ["2"]


def test_an_unfinished_last_line_of_a_paste_continues(typed):
    assert typed(f"{paste('x := 1', 'y := (x')}+ 1){ENTER}{CTRL_D}")[0] == ["1", "2"]


def test_quit_in_a_paste_leaves(typed):
    assert typed(f"{paste('1', 'quit', '2')}3{ENTER}")[0] == ["1"]


def test_pasted_comments_show_nothing(typed):
    assert typed(f"{paste('# a', '// b')}{CTRL_D}")[0] == []


def test_escape_and_enter_continue_a_finished_expression(typed):
    assert typed(f"1{ESCAPE_ENTER}+ 1{ENTER}{CTRL_D}")[0] == ["2"]


def test_an_error_is_shown_and_the_shell_continues(typed):
    lines, _ = typed(f"1 / 0{ENTER}?TO_UPER{ENTER}%load /no/where{ENTER}2{ENTER}{CTRL_D}")
    assert lines == [
        "[!] division by zero",
        "1 | 1 / 0",
        "    ^^^^^",
        "[!] unknown function TO_UPER",
        "hint: did you mean TO_UPPER?",
        "[!] /no/where: No such file or directory",
        "2",
    ]


def test_values_cannot_control_the_terminal(typed):
    lines, _ = typed(f"x := '\x1b[31m'{ENTER}{CTRL_D}".replace("\x1b", "{}").format("\\u001b"))
    assert lines[0].startswith("[!] unknown escape")
    session_text = "\x1b]0;title\x07"

    @stellar("STEER")
    def steer(fail: bool = False) -> str:
        """Return control characters."""
        if fail:
            raise ValueError(session_text)
        return session_text

    lines, _ = typed(f"STEER(){ENTER}STEER(true){ENTER}{CTRL_D}", library=Library.of(steer))
    assert lines[:2] == ["\\x1b]0;title\\x07", "[!] \\x1b]0;title\\x07"]


def test_maps_are_shown_as_tables_that_fit(typed):
    lines, _ = typed(f"{{'key' : '{'word ' * 30}'}}{ENTER}{CTRL_D}")
    assert lines[0].startswith("╔═")
    assert max(map(len, lines)) <= 80


def test_notes_are_shown_after_the_value(typed):
    lines, _ = typed(f"%time 1 + 1{ENTER}{CTRL_D}")
    assert lines[0] == "2"
    assert lines[1].startswith("compiled in ")


def test_tab_completes_a_name(typed):
    lines, _ = typed(
        *("TO_UPP", (TAB, "TO_UPPER("), f"'a'){ENTER}"),
        *(f"quantity := 5{ENTER}", "quant", (TAB, "quantity"), f" + 1{ENTER}{CTRL_D}"),
    )
    assert lines == ["A", "5", "6"]


def test_enter_accepts_a_completion_without_executing(typed):
    lines, _ = typed("1 + TO_LO", (TAB, "1 + TO_LONG("), f"{ENTER}'2'){ENTER}{CTRL_D}")
    assert lines == ["3"]


def test_completions_open_during_input_and_can_be_selected(typed, keyboard):
    lines, _ = typed("DAY_OF_", (DOWN, "DAY_OF_MONTH("), (DOWN, "DAY_OF_WEEK("), f"{ENTER}0){ENTER}{CTRL_D}")
    assert lines == ["5"]
    assert Session().library["DAY_OF_WEEK"].help.summary[:20] in keyboard.screen.getvalue()


@stellar("MANY")
def many(first: str, *others: str) -> int:
    """Count arguments.

    first: A required argument
    others: More arguments
    """
    return 1 + len(others)


@stellar("NONE")
def none() -> None:
    """Return null."""


HINTS = {
    "MANY(": "MANY(first, others...)  A required argument",
    "MANY('a', ": "MANY(first, others...)  More arguments",
    "MANY('a', 'b', 'c', ": "MANY(first, others...)  More arguments",
    "NONE(": "NONE()  Return null.",
    "%explain NONE(1, ": "NONE()  Return null.",
    "x := MANY(": "MANY(first, others...)  A required argument",
    "": "",
    "1 + (": "",
    "# MANY(": "",
    # A surplus argument has no parameter
    "WHOLE('a', ": "WHOLE(text?)  Return the argument.",
}


@pytest.mark.parametrize("text", HINTS)
def test_the_hint_describes_the_argument_at_the_cursor(text):
    session = Session(Library.of(many, none, whole))
    assert "".join(fragment[1] for fragment in hint(f"{text}, 5)", len(text), lambda: session)) == HINTS[text]


@stellar("WHOLE")
def whole(text: str = "") -> str:
    """Return the argument.

    text: A string
    """
    return text


def test_ctrl_c_ends_an_evaluation_and_variables_stay(typed):
    @stellar("WAIT")
    def wait() -> None:
        """Raise KeyboardInterrupt."""
        raise KeyboardInterrupt

    lines, session = typed(f"x := 1{ENTER}x := WAIT(){ENTER}x{ENTER}{CTRL_D}", library=Library.of(wait))
    assert lines == ["1", "", "[!] interrupted", "1"]
    assert session.variables.values == {"x": 1}


@pytest.mark.parametrize("delay", [0.0, 0.02])
def test_ctrl_c_after_the_input_has_ended_interrupts_it(typed, delay):
    bindings = KeyBindings()

    async def send_signal() -> None:
        try:
            await asyncio.sleep(60)
        finally:  # it is cancelled once the input has ended
            await asyncio.sleep(delay)
            signal.raise_signal(signal.SIGINT)
            await asyncio.sleep(0)

    @bindings.add("c-g")
    def send_at_the_end(event) -> None:
        event.app.create_background_task(send_signal())

    lines, session = typed("x := 1", ("\x07", "x := 1"), f"{ENTER}2{ENTER}{CTRL_D}", bindings=bindings)
    assert lines == ["", "[!] interrupted", "2"]
    assert session.variables.values == {}


def test_an_internal_error_does_not_end_the_shell(typed, capsys):
    class Odd:
        def __str__(self) -> str:
            raise TypeError("no string form")

    @stellar("ODD")
    def odd() -> object:
        """Return a value without a string form."""
        return Odd()

    lines, _ = typed(f"ODD(){ENTER}1{ENTER}{CTRL_D}", library=Library.of(odd), debug=True)
    assert lines == ["[!] internal error: TypeError: no string form; --debug shows the traceback", "1"]


# -- History ----------------------------------------------------------------------------------------------------------


def test_earlier_lines_are_recalled_in_the_next_shell(typed, state):
    lines, _ = typed(f"1 + 1{ENTER}2 + 2", ("", "2 + 2"), ENTER, (UP, "1 + 1"), f"{ENTER}{CTRL_D}")
    assert lines == ["2", "4", "2"]
    assert typed((UP, "1 + 1"), f"0{ENTER}{CTRL_D}")[0] == ["11"]
    assert (state / "stellar" / "history").stat().st_mode & 0o777 == 0o600


def test_the_history_is_searched(typed):
    lines, _ = typed(
        f"1 + 1{ENTER}2 + 2{ENTER}", ("", ""), f"{CTRL_R}1 +", ("", "1 +"), ENTER, ("", "1 + 1"), f"{ENTER}{CTRL_D}"
    )
    assert lines == ["2", "4", "2"]


def test_the_history_is_in_the_home_directory_by_default(state, monkeypatch):
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(state))
    open_history()
    assert (state / ".local" / "state" / "stellar" / "history").exists()


def test_an_unwritable_history_is_reported(state, capsys):
    (state / "stellar" / "history").mkdir(parents=True)
    assert list(open_history().load_history_strings()) == []
    assert capsys.readouterr().err == f"history is not saved: can't write {state}/stellar/history: Is a directory\n"


# -- Colours and keys -------------------------------------------------------------------------------------------------


def capture_colours(keyboard, *steps: str) -> str:
    typist = threading.Thread(target=keyboard.type, args=steps)
    typist.start()
    session = Session()
    shell.run_terminal(Terminal(lambda: session, color_depth=ColorDepth.DEPTH_4_BIT))
    typist.join()
    return keyboard.screen.getvalue()


def test_prompt_input_and_errors_are_coloured(keyboard):
    shown = capture_colours(keyboard, f"1 / 0{ENTER}TRIM('a'){ENTER}%time 2{ENTER}{CTRL_D}")
    assert "\x1b[0;31m[\x1b[0;32;1mStellar\x1b[0;31m]\x1b[0;32;4m>>>\x1b[0m " in shown
    assert "\x1b[0;31m[!] division by zero" in shown
    assert "\x1b[0;34;1mTRIM" in shown
    assert "\x1b[0;90mcompiled in" in shown


def test_colours_can_be_disabled(keyboard, capsys):
    typist = threading.Thread(target=keyboard.type, args=(f"1 / 0{ENTER}{CTRL_D}",))
    typist.start()
    session = Session()
    shell.run_terminal(Terminal(lambda: session, colours=False))
    typist.join()
    assert "\x1b[" not in capsys.readouterr().out
    assert not any(f";3{colour}" in keyboard.screen.getvalue() for colour in range(1, 8))


def test_key_bindings_of_the_user_have_precedence(typed):
    bindings = KeyBindings()
    bindings.add("c-g")(lambda event: event.current_buffer.insert_text("40 + "))
    assert typed(f"\x072{ENTER}{CTRL_D}", bindings=bindings)[0] == ["42"]


def test_lines_can_be_edited_in_vi_mode(typed):
    assert typed("12", ("", "12"), "\x1b", ("x", "1"), f"{ENTER}{CTRL_D}", vi=True)[0] == ["1"]


def test_the_greeting_shows_the_global_configuration(keyboard, capsys):
    keyboard.type(CTRL_D)
    session = Session(settings=GlobalSettings({"es.ip": "node1"}))
    terminal = Terminal(lambda: session, colours=False)
    shell.run_terminal(terminal, shell.GREETING + shell.describe_settings(session))
    assert capsys.readouterr().out == f"{shell.GREETING}\n{{es.ip=node1}}\n"
    assert shell.describe_settings(Session()) == ""


# -- Lazy loading -----------------------------------------------------------------------------------------------------


def test_the_session_is_created_once_by_the_first_thread():
    sessions = []

    def create() -> Session:
        time.sleep(0.05)
        sessions.append(Session())
        return sessions[-1]

    lazy = LazySession(create)
    threads = [threading.Thread(target=lazy) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(sessions) == 1
    assert lazy() is sessions[0]


def test_the_session_is_closed_if_it_was_created():
    closed = []

    class Closing(Session):
        def close(self) -> None:
            closed.append(self)

    lazy = LazySession(Closing)
    lazy.close()
    assert closed == []
    session = lazy()
    lazy.close()
    assert closed == [session]


def test_an_error_of_opening_the_session_is_raised_on_first_use(typed, keyboard, capsys):
    def fail() -> Session:
        raise ValueError("no registry")

    terminal = Terminal(LazySession(fail), colours=False)
    terminal._preloader.start()
    terminal._preloader.join()
    typist = threading.Thread(target=keyboard.type, args=(f"1{ENTER}{CTRL_D}",))
    typist.start()
    with pytest.raises(ValueError, match="no registry"):
        shell.run_terminal(terminal)
    typist.join()


def test_functions_are_preloaded_while_the_prompt_is_shown(keyboard):
    library = RecordingLibrary({"NONE": none.__stellar__, "MANY": many.__stellar__})
    terminal = Terminal(LazySession(lambda: Session(library)), colours=False)
    with terminal:
        terminal._preloader.start()
        terminal._preloader.join()
    assert library.loaded == ["NONE", "MANY"]


def test_a_terminal_without_input_loads_no_functions(keyboard):
    library = RecordingLibrary({})
    with Terminal(LazySession(lambda: Session(library)), colours=False) as terminal:
        assert terminal._toolbar() == []
    assert library.loaded == []


def test_the_bottom_toolbar_shows_the_hint(keyboard):
    terminal = Terminal(LazySession(lambda: Session(Library.of(none))), colours=False)
    terminal._prompt.default_buffer = SimpleNamespace(text="NONE(", cursor_position=5)
    assert "".join(fragment[1] for fragment in terminal._toolbar()) == "NONE()  Return null."


def test_preloading_ends_when_the_user_leaves(keyboard):
    library = RecordingLibrary({"NONE": none.__stellar__, "MANY": many.__stellar__})
    terminal = Terminal(LazySession(lambda: Session(library)), colours=False)
    library.while_loading = terminal._preloader._stopped.set
    terminal._preloader.start()
    terminal._preloader.join()
    assert library.loaded == ["NONE"]
    early = Terminal(LazySession(lambda: Session(library)), colours=False)
    with early:
        early._preloader.start()
    assert library.loaded == ["NONE"]


class RecordingLibrary(Library):
    """A library that records loaded functions."""

    loaded: list[str]

    def __init__(self, functions) -> None:
        super().__init__(functions)
        self.loaded = []
        self.while_loading = lambda: None

    def __getitem__(self, name: str):
        self.loaded.append(name)
        self.while_loading()
        return super().__getitem__(name)


@pytest.fixture
def at_a_terminal(keyboard, monkeypatch, capsys):
    """Run `stellar` at a terminal with input; return its status and output without colours."""

    class TerminalOf:
        def __init__(self, stream) -> None:
            self.stream = stream

        def isatty(self) -> bool:
            return True

        def __getattr__(self, name: str):
            return getattr(self.stream, name)

    def run(typed: str, *arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.stdin", TerminalOf(sys.stdin))
        monkeypatch.setattr("sys.stdout", TerminalOf(sys.stdout))
        keyboard.pipe.send_text(typed)
        status = cli.main(["-na", *arguments])
        return status, *capsys.readouterr()

    return run


def test_the_command_opens_the_shell_at_a_terminal(at_a_terminal, monkeypatch, state):
    monkeypatch.setenv("HOME", str(state))
    monkeypatch.delenv("INPUTRC", raising=False)
    assert at_a_terminal(f"1 + 1{ENTER}{CTRL_D}") == (0, f"{shell.GREETING}\n2\n", "")


def test_options_apply_at_a_terminal(at_a_terminal, tmp_path):
    (tmp_path / "record.json").write_text('{"bytes": 41}')
    (tmp_path / "keys").write_text(
        'set editing-mode vi\nset completion-ignore-case on\n"\\C-g": beginning-of-line\nnonsense\n'
    )
    files = ("-v", str(tmp_path / "record.json"), "-irc", str(tmp_path / "keys"))
    status, printed, errors = at_a_terminal(f" + 1\x07bytes{ENTER}{CTRL_D}", *files)
    assert (status, printed) == (0, f"{shell.GREETING}\n42\n")
    assert errors.startswith(f"stellar: {tmp_path}/keys: ignored lines 4: ")


def test_an_inputrc_without_ignored_lines_is_not_reported(at_a_terminal, tmp_path):
    (tmp_path / "keys").write_text("set editing-mode emacs\n")
    assert at_a_terminal(CTRL_D, "-irc", str(tmp_path / "keys")) == (0, f"{shell.GREETING}\n", "")


def test_an_invalid_option_ends_the_command(at_a_terminal, tmp_path):
    status, printed, errors = at_a_terminal("", "-irc", str(tmp_path / "nowhere"))
    assert (status, printed) == (1, "")
    assert f"{tmp_path}/nowhere" in errors
    status, printed, errors = at_a_terminal("", "-v", str(tmp_path / "nowhere.json"))
    assert (status, printed, errors) == (1, "", f"stellar: {tmp_path}/nowhere.json: No such file or directory\n")


def test_a_line_is_edited_in_the_editor_of_the_user(typed, monkeypatch, tmp_path):
    script = tmp_path / "editor"
    script.write_text('#!/bin/sh\ncase "$1" in *.stellar) printf "40 + 2" > "$1";; esac\n')
    script.chmod(0o755)
    monkeypatch.setenv("EDITOR", str(script))
    monkeypatch.delenv("VISUAL", raising=False)
    lines, _ = typed("1", ("", "1"), "\x18\x05", ("", ""), CTRL_D)
    assert lines == ["42"]
    assert os.environ["EDITOR"] == str(script)
