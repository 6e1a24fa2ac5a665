"""A user's inputrc: what is read of it, what is told, and that the keys do what it says."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from prompt_toolkit import PromptSession
from prompt_toolkit.enums import EditingMode
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.key_binding.bindings.named_commands import get_by_name
from prompt_toolkit.output import DummyOutput

from stellar.repl import inputrc
from stellar.repl.inputrc import FUNCTIONS, Inputrc, key_bindings, read


@pytest.fixture
def written(tmp_path: Path):
    def write(text: str, name: str = "inputrc") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def typed(read: Inputrc, text: str, history: tuple[str, ...] = ()) -> str:
    """What a prompt returns when this is typed."""
    with create_pipe_input() as pipe:
        pipe.send_text(text)
        session: PromptSession[str] = PromptSession(
            input=pipe,
            output=DummyOutput(),
            history=InMemoryHistory(list(history)),
            key_bindings=key_bindings(read),
            editing_mode=EditingMode.VI if read.vi else EditingMode.EMACS,
        )
        return session.prompt()


# -- Reading ----------------------------------------------------------------------------------------------------------

KEYS = [
    (r'"\C-u": undo', "\x15"),
    (r'"\C-U": undo', "\x15"),
    (r'"\C-x\C-r" : undo', "\x18\x12"),
    (r'"\C-?": undo', "\x7f"),
    (r'"\M-x": undo', "\x1bx"),
    (r'"\M-\C-x": undo', "\x1b\x18"),
    (r'"\C-\M-x": undo', "\x1b\x18"),
    (r'"\e[A": undo', "\x1b[A"),
    (r'"\e\e[C": undo', "\x1b\x1b[C"),
    (r'"\033[1;5C": undo', "\x1b[1;5C"),
    (r'"\x1b[A": undo', "\x1b[A"),
    (r'"\1": undo', "\x01"),
    (r'"\a\b\d\f\n\r\t\v": undo', "\a\b\x7f\f\n\r\t\v"),
    (r'"\\\"\'": undo', "\\\"'"),
    (r'"é": undo', "é"),
    ('":": undo', ":"),
    ("Control-u: undo", "\x15"),
    ("C-u: undo", "\x15"),
    ("Ctrl-u: undo", "\x15"),
    ("Meta-Rubout: undo", "\x1b\x7f"),
    ("M-Control-h: undo", "\x1b\x08"),
    ("control-meta-TAB: undo", "\x1b\t"),
    ("ESCAPE: undo", "\x1b"),
    ("Space: undo", " "),
    ("RET: undo", "\r"),
    ("x: undo", "x"),
    ("-: undo", "-"),
    ("Control--: undo", "\r"),
    ("::undo", ":"),
]


@pytest.mark.parametrize(("line", "keys"), KEYS)
def test_keys_are_read_in_both_notations(written, line, keys):
    found = read(written(line))
    assert not found.warnings
    assert [(binding.keys, binding.function) for binding in found.bindings] == [(keys, "undo")]


@pytest.mark.parametrize(
    ("line", "macro"),
    [
        (r'"\C-g": "TO_UPPER("', "TO_UPPER("),
        (r"""Control-g: 'MAP_GET("'""", 'MAP_GET("'),
        (r'"\C-g": "\C-a?\C-e\r"', "\x01?\x05\r"),
        (r'"\C-g": "a \"b\" \\c"', 'a "b" \\c'),
    ],
)
def test_macros_are_read(written, line, macro):
    (binding,) = read(written(line)).bindings
    assert (binding.keys, binding.function, binding.macro) == ("\x07", None, macro)


def test_blanks_comments_and_other_lines_are_told_apart(written):
    found = read(written("\n  # set editing-mode vi\n  set bell-style  none \n\tControl-u: Undo  # as ever\n"))
    assert (found.settings, found.warnings) == ({"bell-style": "none"}, [])
    assert [binding.function for binding in found.bindings] == ["undo"]


def test_settings_of_readline_are_kept_without_a_word(written):
    found = read(written("set completion-ignore-case On\nset mark-directories off\nSET page-completions\n"))
    assert not found.warnings
    assert found.is_on("completion-ignore-case")
    assert found.is_on("page-completions")
    assert not found.is_on("mark-directories")
    assert not found.is_on("visible-stats")


def test_the_mode_is_emacs_but_where_vi_is_set(written):
    assert not read(written("")).vi
    assert read(written("set editing-mode vi")).vi
    assert not read(written("set editing-mode vi\nset editing-mode emacs")).vi


def test_keys_go_for_the_keymap_that_is_set_before_them(written):
    found = read(
        written(
            "C-a: undo\nset editing-mode vi\nC-b: undo\nset keymap vi-command\nC-c: undo\n"
            "set keymap emacs-meta\nd: undo\nset keymap emacs-ctlx\ne: undo\n"
        )
    )
    assert [(binding.keymap, binding.keys) for binding in found.bindings] == [
        ("emacs", "\x01"),
        ("vi-insert", "\x02"),
        ("vi-command", "\x03"),
        ("emacs", "\x1bd"),
        ("emacs", "\x18e"),
    ]


CONDITIONS = [
    ("$if mode=emacs\na: undo\n$endif", "a"),
    ("$if mode=vi\na: undo\n$else\nb: undo\n$endif\nc: undo", "bc"),
    ("set editing-mode vi\n$if mode = vi\na: undo\n$endif", "a"),
    ("$if term=xterm\na: undo\n$endif", "a"),
    ("$if term=xterm-256color\na: undo\n$endif", "a"),
    ("$if term=rxvt\na: undo\n$endif", ""),
    ("$if Stellar\na: undo\n$endif", "a"),
    ("$if bash\na: undo\n$else\nb: undo\n$endif", "b"),
    ("$if bash\n$if stellar\na: undo\n$else\nb: undo\n$endif\n$else\nc: undo\n$endif", "c"),
    ("$if bash\n$if a good day\n$endif\nSet nonsense\n$include nonsense\n$endif\nc: undo", "c"),
    ("$IF mode=emacs\na: undo\n$EndIf", "a"),
]


@pytest.mark.parametrize(("text", "keys"), CONDITIONS)
def test_what_is_behind_an_if_is_followed_where_it_holds(written, monkeypatch, text, keys):
    monkeypatch.setenv("TERM", "xterm-256color")
    found = read(written(text))
    assert not found.warnings
    assert "".join(binding.keys for binding in found.bindings) == keys


def test_other_files_are_included(written, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    written("set editing-mode vi\n$if mode=vi\nC-a: undo\n$endif", "other")
    found = read(written("$include ~/other\nC-b: undo"))
    assert [(b.keymap, b.keys, Path(b.place).name) for b in found.bindings] == [
        ("vi-insert", "\x01", "other:3"),
        ("vi-insert", "\x02", "inputrc:2"),
    ]


# -- What can't be followed -------------------------------------------------------------------------------------------

WARNINGS = [
    ("nonsense", "this is no binding; one is written KEY: FUNCTION, such as Control-u: unix-line-discard"),
    ('"\\C-u" undo', 'this is no binding; one is written "KEYS": FUNCTION, such as "\\C-u": unix-line-discard'),
    ('"": undo', 'this is no binding; one is written "KEYS": FUNCTION, such as "\\C-u": unix-line-discard'),
    ('"\\C-u: undo', 'the closing " is missing'),
    ("C-u: 'abc", "the closing ' is missing"),
    ('"\\C-": undo', "behind \\C- or \\M- no key is named"),
    ("Control-retrun: undo", "there is no key retrun; did you mean return?, or a character"),
    ("C-u:", "behind the colon stands neither a function nor a macro in quotes"),
    (
        "C-u: re-read-init-file",
        "the shell has no re-read-init-file for a key; take the line out, or put it between $if bash and $endif",
    ),
    (
        '"\\e[200~": self-insert',
        "these keys are what a terminal sends before a text that is pasted; take the line out",
    ),
    ("set edting-mode vi", "readline has no setting edting-mode; did you mean editing-mode?"),
    ("set editing-mode vim", "editing-mode can't be vim; did you mean vi?"),
    ("set keymap nano", "keymap can't be nano; known are emacs, emacs-ctlx, emacs-meta, emacs-standard"),
    ("set bell-style", "bell-style can't be nothing; known are audible, none, visible"),
    ("$iff mode=vi", "there is no $iff; there are $if, $else, $endif and $include"),
    ("$else", "$else has no $if before it; take it out"),
    ("$endif", "$endif has no $if before it; take it out"),
    ("$if stellar", "an $if has no $endif behind it; add it"),
    (
        "$if version >= 8\n$endif",
        "$if version >= 8 is taken not to hold; tests are mode=, term= and a program such as stellar",
    ),
    ("$include /nowhere/at all", "/nowhere/at all can't be read: No such file or directory; mend the path, or take"),
    ('C-a: "\\C-a"', "the macro would type its own keys for ever; take it out"),
]


@pytest.mark.parametrize(("line", "warning"), WARNINGS)
def test_what_cannot_be_followed_is_told_and_the_rest_followed(written, line, warning):
    path = written(f"{line}\nx: undo" if line != "$if stellar" else f"x: undo\n{line}")
    found = read(path)
    number = 2 if line == "$if stellar" else 1
    assert len(found.warnings) == 1
    assert found.warnings[0].startswith(f"{path}:{number}: {warning}")
    assert [binding.keys for binding in found.bindings] == ["x"]


def test_macros_that_type_one_another_for_ever_are_dropped(written):
    found = read(written('a: "xbx"\nb: "\\C-cc"\nc: "ya"\nd: "aa"'))
    assert [binding.keys for binding in found.bindings] == ["d"]
    assert len(found.warnings) == 3


def test_a_file_that_includes_itself_is_told(written, tmp_path):
    path = written(f"$include {tmp_path}/other\nx: undo")
    written(f"$include {path}\ny: undo", "other")
    found = read(path)
    assert found.warnings == [f"{tmp_path}/other:1: {path} includes itself; take the line out"]
    assert [binding.keys for binding in found.bindings] == ["y", "x"]


def test_an_included_file_that_is_no_text_is_told(written, tmp_path):
    (tmp_path / "other").write_bytes(b"\xff")
    assert read(written(f"$include {tmp_path}/other")).warnings == [
        f"{tmp_path}/inputrc:1: {tmp_path}/other is not UTF-8 at byte 0; write it anew in that encoding"
    ]


def test_a_file_that_cannot_be_read_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "missing")
    (tmp_path / "binary").write_bytes(b"ab\xff")
    with pytest.raises(ValueError, match="binary is not UTF-8 at byte 2"):
        read(tmp_path / "binary")


# -- Keys at a prompt -------------------------------------------------------------------------------------------------


def test_reading_does_not_load_prompt_toolkit(written):
    import subprocess

    path = written("C-u: undo")
    program = (
        "import sys, pathlib; from stellar.repl.inputrc import read; read(pathlib.Path(sys.argv[1])); "
        "assert not any(name.startswith('prompt_toolkit') for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program, str(path)], check=True, timeout=60)


TYPED = [
    # A line of the file, what is typed, what comes of it
    (r'"\C-g": "TO_UPPER("', "\x07a)\r", "TO_UPPER(a)"),
    (r'"\C-g": "\C-aNOT(\C-e)"', "true\x07\r", "NOT(true)"),
    (r'"\C-gx": "1"', "\x07x\r", "1"),
    (r'"a": "b"', "aa\r", "bb"),
    (r'"\C-g": "\C-ox"' + "\n" + r'"\C-o": "y"', "\x07\r", "yx"),
    ("Control-g: unix-line-discard", "abc\x07d\r", "d"),
    ("Meta-Rubout: backward-kill-word", "abc def\x1b\x7fg\r", "abc g"),
    (r'"\e[A": beginning-of-line', "abc\x1b[Ad\r", "dabc"),
    (r'"\e[1;5C": upcase-word', "abc\x01\x1b[1;5C\r", "ABC"),
    (r'"\C-g": kill-whole-line', "abc\x02\x07x\x19\r", "xabc"),
    (r'"\C-g": tab-insert', "a\x07b\r", "a\tb"),
    ("Control-g: undo\nControl-g: unix-line-discard", "a b\x07c\r", "c"),
    ("set editing-mode vi\nControl-g: unix-line-discard", "abc\x07d\r", "d"),
    ("set editing-mode vi\nset keymap vi-command\nQ: beginning-of-line", "abc\x1bQix\r", "xabc"),
    ("set keymap vi-insert\nq: beginning-of-line", "abcq\r", "abcq"),
]


@pytest.mark.parametrize(("text", "keys", "line"), TYPED)
def test_keys_do_what_the_file_says(written, text, keys, line):
    assert typed(read(written(text)), keys) == line


SEARCHES = [
    # The keys, and which line of the history is found
    ("TO\x1b[A\r", "TO_UPPER('b')"),
    ("TO\x1b[A\x1b[A\r", "TO_LOWER('a')"),
    ("TO\x1b[A\x1b[A\x1b[B\r", "TO_UPPER('b')"),
    ("TO\x1b[A\x1b[A\x1b[A\r", "TO_LOWER('a')"),
    ("x\x1b[A\r", "x"),
    ("\x1b[A\x1b[A\r", "TO_UPPER('b')"),
    ("\x1b[A\x1b[A\x1b[A\x13UPP\r\r", "TO_UPPER('b')"),
]


@pytest.mark.parametrize(("keys", "line"), SEARCHES)
def test_the_history_is_searched_for_what_stands_before_the_cursor(written, keys, line):
    found = read(
        written(
            '"\\e[A": history-search-backward\n"\\e[B": history-search-forward\nControl-s: forward-search-history\n'
        )
    )
    history = ("TO_LOWER('a')", "TO_UPPER('b')", "1 + 1")
    assert typed(found, keys, history) == line


@pytest.mark.parametrize("function", FUNCTIONS)
def test_each_function_can_be_bound(written, function):
    found = read(written(f"Control-g: {function}"))
    (binding,) = key_bindings(found).bindings
    assert binding.keys == ("c-g",)
    if function not in inputrc._OWN:
        assert binding.handler is get_by_name(FUNCTIONS[function]).handler


def test_debians_own_file_is_followed_without_a_warning():
    system = Path("/etc/inputrc")
    if not system.is_file():
        pytest.skip("this machine has no /etc/inputrc")
    assert read(system).warnings == []
