"""The shell at a terminal: keys go in by a pipe, and what is shown comes out as plain text."""

from __future__ import annotations

import os
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
from stellar.repl.terminal import Once, Terminal, hint, history

CTRL_C, CTRL_D, CTRL_R, TAB, UP, DOWN = "\x03", "\x04", "\x12", "\t", "\x1b[A", "\x1b[B"
ENTER, ESCAPE_ENTER, END = "\r", "\x1b\r", "\x1b[F"


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch) -> Path:
    """Where the shell keeps its history."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("MAAS_HOME", str(tmp_path / "no models"))
    return tmp_path


@dataclass(frozen=True)
class Keyboard:
    """A user who looks at what is typed so far."""

    pipe: PipeInput
    session: AppSession
    screen: StringIO

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
def keyboard() -> Iterator[Keyboard]:
    """The keyboard of a terminal of 80 columns."""
    screen = StringIO()
    output = Vt100_Output(screen, lambda: Size(rows=24, columns=80), term="xterm", enable_cpr=False)
    with create_pipe_input() as pipe, create_app_session(input=pipe, output=output) as session:
        yield Keyboard(pipe, session, screen)


@pytest.fixture
def typed(keyboard, capsys):
    """Types into a new shell without colours; returns the lines that it prints after its greeting, and its session."""

    def type_(*steps: str | tuple[str, str], library: Library | None = None, debug: bool = False, **options):
        session = Session(library)
        hands = threading.Thread(target=keyboard.type, args=steps)
        hands.start()
        shell.from_terminal(Terminal(lambda: session, colours=False, **options), debug=debug)
        hands.join()
        printed = capsys.readouterr().out
        assert printed.startswith(f"{shell.GREETING}\n")
        return printed.removeprefix(f"{shell.GREETING}\n").splitlines(), session

    return type_


def test_a_line_is_typed_and_ctrl_d_leaves(typed):
    lines, _ = typed(f"1 + 1{ENTER}x := 'a'{ENTER}{CTRL_D}")
    assert lines == ["2", "a"]


def test_blank_lines_null_and_comments_show_nothing(typed):
    assert typed(f"{ENTER}  {ENTER}null{ENTER}# 1{ENTER}x :={ENTER}%undefine a{ENTER}{CTRL_D}")[0] == []


def test_quit_is_typed(typed):
    assert typed(f"quit{ENTER}1{ENTER}")[0] == []


def test_ctrl_c_gives_up_the_line(typed):
    assert typed(f"1 + {CTRL_C}2{ENTER}{CTRL_D}")[0] == ["2"]


def test_a_text_that_is_not_finished_goes_on_in_the_next_line(typed):
    lines, session = typed(f"x := if 1 == 1{ENTER}then [1,{ENTER}2]{ENTER}else 'b{ENTER}c'{ENTER}x{ENTER}{CTRL_D}")
    assert lines == ["[1, 2]", "[1, 2]"]
    assert session.variables.expressions == {"x": "if 1 == 1\nthen [1,\n2]\nelse 'b\nc'"}


def test_a_blank_line_ends_a_text_that_is_not_finished(typed):
    assert typed(f"(1{ENTER}{ENTER}2{ENTER}{CTRL_D}")[0] == [
        "[!] this ( is not closed",
        "1 | (1",
        "    ^",
        "hint: close it with )",
        "2",
    ]


def test_a_finished_text_goes_on_after_escape_and_enter(typed):
    assert typed(f"1{ESCAPE_ENTER}+ 1{ENTER}{CTRL_D}")[0] == ["2"]


def test_an_error_is_shown_and_the_shell_goes_on(typed):
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


def test_what_a_record_brings_can_not_steer_the_terminal(typed):
    lines, _ = typed(f"x := '\x1b[31m'{ENTER}{CTRL_D}".replace("\x1b", "{}").format("\\u001b"))
    assert lines[0].startswith("[!] unknown escape")
    session_text = "\x1b]0;title\x07"

    @stellar("STEER")
    def steer(fail: bool = False) -> str:
        """A text that steers."""
        if fail:
            raise ValueError(session_text)
        return session_text

    lines, _ = typed(f"STEER(){ENTER}STEER(true){ENTER}{CTRL_D}", library=Library.of(steer))
    assert lines[:2] == ["\\x1b]0;title\\x07", "[!] \\x1b]0;title\\x07"]


def test_maps_are_shown_as_tables_that_fit(typed):
    lines, _ = typed(f"{{'key' : '{'word ' * 30}'}}{ENTER}{CTRL_D}")
    assert lines[0].startswith("╔═")
    assert max(map(len, lines)) <= 80


def test_notes_are_shown_behind_the_value(typed):
    lines, _ = typed(f"%time 1 + 1{ENTER}{CTRL_D}")
    assert lines[0] == "2"
    assert lines[1].startswith("compiled in ")


def test_tab_completes_a_name(typed):
    lines, _ = typed(
        *("TO_UPP", (TAB, "TO_UPPER("), f"'a'){ENTER}"),
        *(f"quantity := 5{ENTER}", "quant", (TAB, "quantity"), f" + 1{ENTER}{CTRL_D}"),
    )
    assert lines == ["A", "5", "6"]


def test_enter_takes_what_was_chosen_and_does_not_yet_run_it(typed):
    lines, _ = typed("1 + TO_LO", (TAB, "1 + TO_LONG("), f"{ENTER}'2'){ENTER}{CTRL_D}")
    assert lines == ["3"]


def test_a_list_of_candidates_opens_while_one_types_and_can_be_walked(typed, keyboard):
    lines, _ = typed("DAY_OF_", (DOWN, "DAY_OF_MONTH("), (DOWN, "DAY_OF_WEEK("), f"{ENTER}0){ENTER}{CTRL_D}")
    assert lines == ["5"]
    assert "Return the day of the week" in keyboard.screen.getvalue()


@stellar("MANY")
def many(first: str, *others: str) -> int:
    """How many there are.

    first: The one that must be there
    others: Any more
    """
    return 1 + len(others)


@stellar("NONE")
def none() -> None:
    """It takes nothing."""


HINTS = {
    "MANY(": "MANY(first, others...)  The one that must be there",
    "MANY('a', ": "MANY(first, others...)  Any more",
    "MANY('a', 'b', 'c', ": "MANY(first, others...)  Any more",
    "NONE(": "NONE()  It takes nothing.",
    "%explain NONE(1, ": "NONE()  It takes nothing.",
    "x := MANY(": "MANY(first, others...)  The one that must be there",
    "": "",
    "1 + (": "",
    "# MANY(": "",
    # A surplus argument is none of those that are named
    "WHOLE('a', ": "WHOLE(text?)  Give it back.",
}


@pytest.mark.parametrize("text", HINTS)
def test_the_hint_is_of_the_argument_at_the_cursor(text):
    session = Session(Library.of(many, none, whole))
    assert "".join(fragment[1] for fragment in hint(f"{text}, 5)", len(text), lambda: session)) == HINTS[text]


@stellar("WHOLE")
def whole(text: str = "") -> str:
    """Give it back.

    text: The text
    """
    return text


def test_ctrl_c_ends_an_evaluation_and_keeps_the_variables(typed):
    @stellar("WAIT")
    def wait() -> None:
        """Be interrupted, as by the user."""
        raise KeyboardInterrupt

    lines, session = typed(f"x := 1{ENTER}x := WAIT(){ENTER}x{ENTER}{CTRL_D}", library=Library.of(wait))
    assert lines == ["1", "", "[!] interrupted", "1"]
    assert session.variables.values == {"x": 1}


def test_an_error_that_nobody_foresaw_does_not_end_the_shell(typed, capsys):
    class Odd:
        def __str__(self) -> str:
            raise TypeError("no text")

    @stellar("ODD")
    def odd() -> object:
        """A value that can't be shown."""
        return Odd()

    lines, _ = typed(f"ODD(){ENTER}1{ENTER}{CTRL_D}", library=Library.of(odd), debug=True)
    assert lines == ["[!] this should not happen: TypeError: no text; --debug shows where", "1"]


# -- History ----------------------------------------------------------------------------------------------------------


def test_earlier_lines_come_back_also_in_the_next_shell(typed, state):
    lines, _ = typed(f"1 + 1{ENTER}2 + 2", ("", "2 + 2"), ENTER, (UP, "1 + 1"), f"{ENTER}{CTRL_D}")
    assert lines == ["2", "4", "2"]
    assert typed((UP, "1 + 1"), f"0{ENTER}{CTRL_D}")[0] == ["11"]
    assert (state / "stellar" / "history").stat().st_mode & 0o777 == 0o600


def test_the_history_is_searched(typed):
    lines, _ = typed(
        f"1 + 1{ENTER}2 + 2{ENTER}", ("", ""), f"{CTRL_R}1 +", ("", "1 +"), ENTER, ("", "1 + 1"), f"{ENTER}{CTRL_D}"
    )
    assert lines == ["2", "4", "2"]


def test_the_history_is_at_home_by_default(state, monkeypatch):
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(state))
    history()
    assert (state / ".local" / "state" / "stellar" / "history").exists()


def test_a_history_that_cannot_be_kept_is_told(state, capsys):
    (state / "stellar" / "history").mkdir(parents=True)
    assert list(history().load_history_strings()) == []
    assert capsys.readouterr().err == f"the history is not kept: {state}/stellar/history: Is a directory\n"


# -- Looks and keys ---------------------------------------------------------------------------------------------------


def shown_with_colours(keyboard, *steps: str) -> str:
    hands = threading.Thread(target=keyboard.type, args=steps)
    hands.start()
    session = Session()
    shell.from_terminal(Terminal(lambda: session, color_depth=ColorDepth.DEPTH_4_BIT))
    hands.join()
    return keyboard.screen.getvalue()


def test_with_colours_prompt_text_and_errors_have_them(keyboard):
    shown = shown_with_colours(keyboard, f"1 / 0{ENTER}TRIM('a'){ENTER}%time 2{ENTER}{CTRL_D}")
    assert "\x1b[0;31m[\x1b[0;32;1mStellar\x1b[0;31m]\x1b[0;32;4m>>>\x1b[0m " in shown
    assert "\x1b[0;31m[!] division by zero" in shown
    assert "\x1b[0;34;1mTRIM" in shown
    assert "\x1b[0;90mcompiled in" in shown


def test_without_colours_there_are_none(keyboard, capsys):
    hands = threading.Thread(target=keyboard.type, args=(f"1 / 0{ENTER}{CTRL_D}",))
    hands.start()
    session = Session()
    shell.from_terminal(Terminal(lambda: session, colours=False))
    hands.join()
    assert "\x1b[" not in capsys.readouterr().out
    assert not any(f";3{colour}" in keyboard.screen.getvalue() for colour in range(1, 8))


def test_keys_of_the_user_go_before_ours(typed):
    bindings = KeyBindings()
    bindings.add("c-g")(lambda event: event.current_buffer.insert_text("40 + "))
    assert typed(f"\x072{ENTER}{CTRL_D}", bindings=bindings)[0] == ["42"]


def test_lines_can_be_edited_as_vi_does(typed):
    assert typed("12", ("", "12"), "\x1b", ("x", "1"), f"{ENTER}{CTRL_D}", vi=True)[0] == ["1"]


def test_the_greeting_shows_the_settings_that_were_read(keyboard, capsys):
    keyboard.type(CTRL_D)
    session = Session(settings=GlobalSettings({"es.ip": "node1"}))
    terminal = Terminal(lambda: session, colours=False)
    shell.from_terminal(terminal, shell.GREETING + shell.settings_of(session))
    assert capsys.readouterr().out == f"{shell.GREETING}\n{{es.ip=node1}}\n"
    assert shell.settings_of(Session()) == ""


# -- What is not waited for -------------------------------------------------------------------------------------------


def test_the_session_is_made_once_by_whoever_wants_it_first():
    made = []

    def make() -> Session:
        time.sleep(0.05)
        made.append(Session())
        return made[-1]

    once = Once(make)
    threads = [threading.Thread(target=once) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert once() is made[0]


def test_the_session_is_closed_if_it_was_made():
    closed = []

    class Closing(Session):
        def close(self) -> None:
            closed.append(self)

    once = Once(Closing)
    once.close()
    assert closed == []
    session = once()
    once.close()
    assert closed == [session]


def test_a_session_that_can_not_be_opened_is_told_when_it_is_wanted(typed, keyboard, capsys):
    def refuse() -> Session:
        raise ValueError("no such place")

    terminal = Terminal(Once(refuse), colours=False)
    terminal._warming.start()
    terminal._warming.join()
    hands = threading.Thread(target=keyboard.type, args=(f"1{ENTER}{CTRL_D}",))
    hands.start()
    with pytest.raises(ValueError, match="no such place"):
        shell.from_terminal(terminal)
    hands.join()


def test_functions_are_loaded_while_the_user_looks_at_the_prompt(keyboard):
    library = Watched({"NONE": none.__stellar__, "MANY": many.__stellar__})
    terminal = Terminal(Once(lambda: Session(library)), colours=False)
    with terminal:
        terminal._warming.start()
        terminal._warming.join()
    assert library.loaded == ["NONE", "MANY"]


def test_a_terminal_that_nobody_typed_at_has_loaded_nothing(keyboard):
    library = Watched({})
    with Terminal(Once(lambda: Session(library)), colours=False) as terminal:
        assert terminal._toolbar() == []
    assert library.loaded == []


def test_the_bar_at_the_bottom_is_of_what_is_typed(keyboard):
    terminal = Terminal(Once(lambda: Session(Library.of(none))), colours=False)
    terminal._prompt.default_buffer = SimpleNamespace(text="NONE(", cursor_position=5)
    assert "".join(fragment[1] for fragment in terminal._toolbar()) == "NONE()  It takes nothing."


def test_loading_ends_when_the_user_leaves(keyboard):
    library = Watched({"NONE": none.__stellar__, "MANY": many.__stellar__})
    terminal = Terminal(Once(lambda: Session(library)), colours=False)
    library.while_loading = terminal._warming._stopped.set
    terminal._warming.start()
    terminal._warming.join()
    assert library.loaded == ["NONE"]
    early = Terminal(Once(lambda: Session(library)), colours=False)
    with early:
        early._warming.start()
    assert library.loaded == ["NONE"]


class Watched(Library):
    """Notes which functions are asked for."""

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
    """What `stellar` prints at a terminal at which this is typed, without colours."""

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


def test_a_terminal_gets_the_loop(at_a_terminal, monkeypatch, state):
    monkeypatch.setenv("HOME", str(state))
    monkeypatch.delenv("INPUTRC", raising=False)
    assert at_a_terminal(f"1 + 1{ENTER}{CTRL_D}") == (0, f"{shell.GREETING}\n2\n", "")


def test_options_are_for_the_terminal_too(at_a_terminal, tmp_path):
    (tmp_path / "record.json").write_text('{"bytes": 41}')
    (tmp_path / "keys").write_text('set editing-mode vi\nset completion-ignore-case on\n"\\C-g": "bytes"\nnonsense\n')
    files = ("-v", str(tmp_path / "record.json"), "-irc", str(tmp_path / "keys"))
    status, printed, told = at_a_terminal(f"\x07 + 1{ENTER}{CTRL_D}", *files)
    assert (status, printed) == (0, f"{shell.GREETING}\n42\n")
    assert told.startswith(f"stellar: {tmp_path}/keys")


def test_an_option_that_can_not_be_followed_ends_it(at_a_terminal, tmp_path):
    status, printed, told = at_a_terminal("", "-irc", str(tmp_path / "nowhere"))
    assert (status, printed) == (1, "")
    assert f"{tmp_path}/nowhere" in told
    status, printed, told = at_a_terminal("", "-v", str(tmp_path / "nowhere.json"))
    assert (status, printed, told) == (1, "", f"stellar: {tmp_path}/nowhere.json: No such file or directory\n")


def test_a_line_is_written_in_the_editor_of_the_user(typed, monkeypatch, tmp_path):
    script = tmp_path / "editor"
    script.write_text('#!/bin/sh\ncase "$1" in *.stellar) printf "40 + 2" > "$1";; esac\n')
    script.chmod(0o755)
    monkeypatch.setenv("EDITOR", str(script))
    monkeypatch.delenv("VISUAL", raising=False)
    lines, _ = typed("1", ("", "1"), "\x18\x05", ("", ""), CTRL_D)
    assert lines == ["42"]
    assert os.environ["EDITOR"] == str(script)
