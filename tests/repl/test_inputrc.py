"""An inputrc sets the editing mode, the case of completion and keys; lines without effect are listed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from prompt_toolkit import PromptSession
from prompt_toolkit.enums import EditingMode
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from stellar.repl.inputrc import FUNCTIONS, Inputrc, key_bindings, read


@pytest.fixture
def write(tmp_path: Path):
    def write_file(source: str) -> Path:
        path = tmp_path / "inputrc"
        path.write_text(source, encoding="utf-8")
        return path

    return write_file


def press(inputrc: Inputrc, keys: str, history: tuple[str, ...] = ()) -> str:
    """Return the line that a prompt reads when keys are pressed."""
    with create_pipe_input() as pipe:
        pipe.send_text(keys)
        session: PromptSession[str] = PromptSession(
            input=pipe,
            output=DummyOutput(),
            history=InMemoryHistory(list(history)),
            key_bindings=key_bindings(inputrc),
            editing_mode=EditingMode.VI if inputrc.vi else EditingMode.EMACS,
        )
        return session.prompt()


# -- Reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "keys"),
    [
        (r'"\C-u": undo', "\x15"),
        (r'  "\C-U" :Undo # a comment', "\x15"),
        (r'"\C-x\C-r": undo', "\x18\x12"),
        (r'"\C-?": undo', "\x7f"),
        (r'"\M-x": undo', "\x1bx"),
        (r'"\M-\C-x": undo', "\x1b\x18"),
        (r'"\C-\M-x": undo', "\x1b\x18"),
        (r'"\e[A": undo', "\x1b[A"),
        (r'"\e\e[C": undo', "\x1b\x1b[C"),
        (r'"\\\"\'": undo', "\\\"'"),
        ('"é": undo', "é"),
        ('":": undo', ":"),
    ],
)
def test_keys_are_read(write, line, keys):
    assert read(write(line)) == Inputrc(bindings={keys: "undo"})


def test_mode_and_case_are_read(write):
    assert read(write("")) == Inputrc(vi=False, ignore_case=False)
    assert read(write("set editing-mode vi\nset completion-ignore-case On")) == Inputrc(vi=True, ignore_case=True)
    assert read(write("set editing-mode vi\nset editing-mode emacs")) == Inputrc()
    assert read(write("set completion-ignore-case on\nset completion-ignore-case off")) == Inputrc()


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "set",
        "set bell-style none",
        "set editing-mode vim",
        "$include /etc/inputrc",
        "$endif",
        r'"\C-g": "a macro"',
        r'"\C-g": re-read-init-file',
        r'"\C-g" undo',
        r'"\C-": undo',
        r'"\033[A": undo',
        '"": undo',
        "Control-g: undo",
    ],
)
def test_unsupported_lines_are_listed_and_the_rest_applies(write, line):
    assert read(write(f'# a comment\n\n{line}\n"x": undo')) == Inputrc(bindings={"x": "undo"}, ignored=[3])


def test_conditional_lines_are_ignored(write):
    source = (
        '$if mode=emacs\n$if term=xterm\n"a": undo\n$endif\nset editing-mode vi\n$else\n"b": undo\n$endif\n"c": undo'
    )
    assert read(write(source)) == Inputrc(bindings={"c": "undo"}, ignored=[1, 2, 3, 4, 5, 6, 7, 8])


def test_bindings_of_other_keymaps_are_ignored(write):
    source = 'set keymap vi-command\n"j": undo\nset keymap vi-insert\n"\\C-a": undo\nset keymap emacs\n"\\C-b": undo'
    assert read(write(source)) == Inputrc(bindings={"\x01": "undo", "\x02": "undo"}, ignored=[2])


def test_an_unreadable_file_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "missing")
    (tmp_path / "binary").write_bytes(b"ab\xff")
    with pytest.raises(ValueError, match="binary is not UTF-8 at byte 2; convert it to UTF-8"):
        read(tmp_path / "binary")


def test_reading_does_not_load_prompt_toolkit(write):
    program = (
        "import sys, pathlib; from stellar.repl.inputrc import read; read(pathlib.Path(sys.argv[1])); "
        "assert not any(name.startswith('prompt_toolkit') for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program, str(write('"\\C-u": undo'))], check=True, timeout=60)


# -- Keys at a prompt -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "keys", "line"),
    [
        (r'"\C-g": unix-line-discard', "abc\x07d\r", "d"),
        (r'"\M-\C-?": backward-kill-word', "abc def\x1b\x7fg\r", "abc g"),
        (r'"\e[A": beginning-of-line', "abc\x1b[Ad\r", "dabc"),
        (r'"\C-gx": beginning-of-line', "abc\x07xd\r", "dabc"),
        ('"\\C-g": undo\n"\\C-g": unix-line-discard', "a b\x07c\r", "c"),
        ('set editing-mode vi\n"\\C-g": unix-line-discard', "abc\x07d\r", "d"),
    ],
)
def test_keys_call_functions(write, source, keys, line):
    assert press(read(write(source)), keys) == line


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ("TO\x1b[A\r", "TO_UPPER('b')"),
        ("TO\x1b[A\x1b[A\r", "TO_LOWER('a')"),
        ("TO\x1b[A\x1b[A\x1b[B\r", "TO_UPPER('b')"),
        ("TO\x1b[A\x1b[A\x1b[A\r", "TO_LOWER('a')"),
        ("x\x1b[A\r", "x"),
        ("\x1b[A\x1b[A\r", "TO_UPPER('b')"),
    ],
)
def test_the_history_is_searched_for_lines_with_the_same_start(write, keys, line):
    inputrc = read(write('"\\e[A": history-search-backward\n"\\e[B": history-search-forward\n'))
    assert press(inputrc, keys, ("TO_LOWER('a')", "TO_UPPER('b')", "1 + 1")) == line


@pytest.mark.parametrize("function", FUNCTIONS)
def test_each_function_can_be_bound(write, function):
    (binding,) = key_bindings(read(write(rf'"\C-g": {function}'))).bindings
    assert binding.keys == ("c-g",)
