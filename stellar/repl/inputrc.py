"""Editing mode, completion case and key bindings from a readline inputrc file, for prompt_toolkit."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
    from prompt_toolkit.key_binding.key_processor import KeyPress

# Functions that prompt_toolkit has under readline's name
_SHARED = """
accept-line backward-char backward-delete-char backward-kill-word backward-word beginning-of-history beginning-of-line
clear-screen complete delete-char end-of-history end-of-line forward-char forward-word kill-line kill-word menu-complete
next-history previous-history reverse-search-history undo unix-line-discard unix-word-rubout yank
"""
FUNCTIONS = (*_SHARED.split(), "history-search-backward", "history-search-forward")


@dataclass(slots=True)
class Inputrc:
    """The supported settings of an inputrc file.

    vi: edit in vi mode instead of emacs mode
    ignore_case: complete names in any case
    bindings: names of functions by the characters that the keys send
    ignored: numbers of the lines that have no effect
    """

    vi: bool = False
    ignore_case: bool = False
    bindings: dict[str, str] = field(default_factory=dict)
    ignored: list[int] = field(default_factory=list)


def read(path: Path) -> Inputrc:
    """Read an inputrc file. Raise OSError if it can't be read, ValueError if it is not UTF-8.

    Ignored: everything between `$if` and `$endif`, other directives, macros, other settings and functions, and
    bindings for keymaps without self-insertion.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 at byte {error.start}; convert it to UTF-8") from error
    inputrc, depth, inserting = Inputrc(), 0, True
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        directive = words[0].lower()
        depth = max(0, depth + (directive == "$if") - (directive == "$endif"))
        if directive == "set" and words[1:2] == ["keymap"] and not depth:
            inserting = words[2:] in (["emacs"], ["emacs-standard"], ["vi-insert"])
        elif depth or not (_set(inputrc, words[1:]) if directive == "set" else inserting and _bind(inputrc, line)):
            inputrc.ignored.append(number)
    return inputrc


def _set(inputrc: Inputrc, words: list[str]) -> bool:
    """Apply `set NAME VALUE`; return False if it is not supported."""
    match [word.lower() for word in words]:
        case ["editing-mode", ("vi" | "emacs") as mode]:
            inputrc.vi = mode == "vi"
        case ["completion-ignore-case", value]:
            inputrc.ignore_case = value in ("on", "1")
        case _:
            return False
    return True


_KEY = r"""(?:\\[CM]-)*(?:\\[e"'\\]|[^"\\])"""
_BINDING = re.compile(rf'"(?P<keys>(?:{_KEY})+)"\s*:\s*(?P<function>[\w-]+)')


def _bind(inputrc: Inputrc, line: str) -> bool:
    r"""Apply `"KEYS": FUNCTION`, with keys such as `\C-u`, `\M-x` and `\e[A`; return False if it is not supported."""
    binding = _BINDING.match(line.strip())
    if binding is None or (function := binding["function"].lower()) not in FUNCTIONS:
        return False
    inputrc.bindings["".join(map(_character, re.findall(_KEY, binding["keys"])))] = function
    return True


def _character(key: str) -> str:
    character = "\x1b" if key.endswith(r"\e") else key[-1]
    if r"\C-" in key:
        character = "\x7f" if character == "?" else chr(ord(character.upper()) & 0x1F)
    return f"\x1b{character}" if r"\M-" in key else character


def key_bindings(inputrc: Inputrc) -> KeyBindings:
    """Return the bindings of a file for prompt_toolkit."""
    from prompt_toolkit.filters import emacs_mode, is_searching, vi_insert_mode
    from prompt_toolkit.input.vt100_parser import Vt100Parser
    from prompt_toolkit.key_binding import KeyBindings
    from prompt_toolkit.key_binding.bindings.named_commands import get_by_name

    bindings = KeyBindings()
    for keys, function in inputrc.bindings.items():
        presses: list[KeyPress] = []
        Vt100Parser(presses.append).feed_and_flush(keys)
        add = bindings.add(*(press.key for press in presses), filter=(emacs_mode | vi_insert_mode) & ~is_searching)
        add(_SEARCHES[function] if function in _SEARCHES else get_by_name(function))
    return bindings


def _search(event: KeyPressEvent, move: Callable[[int], None]) -> None:
    """Move to a line of the history that begins like the current one, which prompt_toolkit does only on request."""
    from prompt_toolkit.filters import Always

    buffer = event.current_buffer
    before, buffer.enable_history_search = buffer.enable_history_search, Always()
    try:
        move(event.arg)
    finally:
        buffer.enable_history_search = before


_SEARCHES: dict[str, Callable[[KeyPressEvent], None]] = {
    "history-search-backward": lambda event: _search(event, event.current_buffer.history_backward),
    "history-search-forward": lambda event: _search(event, event.current_buffer.history_forward),
}
