"""The keys that a user has set for readline, in ~/.inputrc, at a prompt of prompt_toolkit."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from stellar.util.suggestions import suggest_name

if TYPE_CHECKING:
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
    from prompt_toolkit.key_binding.key_processor import KeyPress

# The name by which a file asks whether it is read for this program: $if stellar
PROGRAM = "stellar"


@dataclass(frozen=True, slots=True)
class Binding:
    """What a sequence of keys does: it calls a function of readline, or types a macro.

    keys: the characters that the keys send
    keymap: when it does so: emacs, vi-insert, or vi-command
    function: its name, one of `FUNCTIONS`; None for a macro
    macro: what is typed, keys and all
    place: the file and line that say so
    """

    keys: str
    keymap: str
    function: str | None
    macro: str
    place: str


@dataclass(slots=True)
class Inputrc:
    """What a file says.

    vi: edit as vi does, rather than as emacs does
    settings: what `set` lines say, by names in small letters
    bindings: what keys do, in the order of the file; a later one replaces one for the same keys
    warnings: what can't be followed: the file, the line, and what to do about it
    """

    settings: dict[str, str] = field(default_factory=dict)
    bindings: list[Binding] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def vi(self) -> bool:
        return self.settings.get("editing-mode", "").lower() == "vi"

    def is_on(self, setting: str) -> bool:
        """Whether a setting such as completion-ignore-case is on; one that isn't there is off."""
        return self.settings.get(setting, "off").lower() in ("", "on", "1")


def read(path: Path) -> Inputrc:
    """What a file says, and the files that it includes.

    Raises OSError if the file can't be read, ValueError if it is no text. A line that can't be followed is a warning.
    """
    text = _text(path)
    inputrc = Inputrc()
    _Reader(inputrc, (path,)).read(text)
    _drop_endless_macros(inputrc)
    return inputrc


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 at byte {error.start}; write it anew in that encoding") from error


# -- Lines ------------------------------------------------------------------------------------------------------------


class _Refusal(Exception):
    """A line can't be followed, for the reason that is its text."""


class _Reader:
    """Reads a file, and what it includes, into an Inputrc.

    inside: the file, before it those that include it
    """

    def __init__(self, inputrc: Inputrc, inside: tuple[Path, ...]) -> None:
        self._inputrc = inputrc
        self._inside = inside
        self._conditions: list[bool] = []
        self._line = 0

    def read(self, text: str) -> None:
        for self._line, line in enumerate(text.splitlines(), 1):
            try:
                self._follow(line.strip())
            except _Refusal as refusal:
                self._warn(str(refusal))
        if self._conditions:
            self._warn("an $if has no $endif behind it; add it")

    def _warn(self, message: str) -> None:
        self._inputrc.warnings.append(f"{self._place}: {message}")

    @property
    def _place(self) -> str:
        return f"{self._inside[-1]}:{self._line}"

    def _follow(self, line: str) -> None:
        if line.startswith("$"):
            self._direct(*_word(line[1:]))
        elif line and not line.startswith("#") and all(self._conditions):
            word, rest = _word(line)
            if word.lower() == "set":
                self._set(*_word(rest))
            else:
                self._bind(line)

    # What stands behind a $

    def _direct(self, directive: str, rest: str) -> None:
        match directive.lower():
            case "if":
                followed = all(self._conditions)
                self._conditions.append(False)  # what stands behind one that is not understood is not followed
                self._conditions[-1] = followed and self._holds(rest)
            case "else":
                self._begun(directive)
                self._conditions[-1] = not self._conditions[-1]
            case "endif":
                self._begun(directive)
                self._conditions.pop()
            case "include":
                if all(self._conditions):
                    self._include(Path(rest).expanduser())
            case _:
                raise _Refusal(f"there is no ${directive}; there are $if, $else, $endif and $include")

    def _begun(self, directive: str) -> None:
        if not self._conditions:
            raise _Refusal(f"${directive} has no $if before it; take it out")

    def _holds(self, test: str) -> bool:
        name, equals, value = (part.strip() for part in test.partition("="))
        if not equals and len(name.split()) == 1:
            return name.lower() == PROGRAM
        if name == "mode":
            return value.lower() == ("vi" if self._inputrc.vi else "emacs")
        if name == "term":
            terminal = os.environ.get("TERM", "")
            return value in (terminal, terminal.partition("-")[0])
        raise _Refusal(f"$if {test} is taken not to hold; tests are mode=, term= and a program such as {PROGRAM}")

    def _include(self, path: Path) -> None:
        if path in self._inside:
            raise _Refusal(f"{path} includes itself; take the line out")
        try:
            text = _text(path)
        except OSError as error:
            raise _Refusal(f"{path} can't be read: {error.strerror}; mend the path, or take the line out") from error
        except ValueError as error:
            raise _Refusal(str(error)) from error
        _Reader(self._inputrc, (*self._inside, path)).read(text)

    # set NAME VALUE

    def _set(self, name: str, value: str) -> None:
        name, settings = name.lower(), self._inputrc.settings
        if name not in SETTINGS:
            raise _Refusal(f"readline has no setting {name or 'without a name'}; {suggest_name(name, SETTINGS)}")
        choices = _CHOICES.get(name)
        if choices is not None and value.lower() not in choices:
            raise _Refusal(f"{name} can't be {value or 'nothing'}; {suggest_name(value, choices)}")
        settings[name] = value
        if name == "editing-mode":
            settings["keymap"] = "vi-insert" if self._inputrc.vi else "emacs"

    # KEYS: FUNCTION, or KEYS: "MACRO"

    def _bind(self, line: str) -> None:
        keys, behind = _quoted_keys(line) if line.startswith('"') else _named_keys(line)
        keymap, prefix = _KEYMAPS[self._inputrc.settings.get("keymap", "emacs").lower()]
        if _PASTE in keys:
            raise _Refusal("these keys are what a terminal sends before a text that is pasted; take the line out")
        function, macro = _function_or_macro(behind)
        self._inputrc.bindings.append(Binding(prefix + keys, keymap, function, macro, self._place))


def _word(text: str) -> tuple[str, str]:
    """The first word of a text, and what stands behind it."""
    word, *rest = text.split(None, 1) or [""]
    return word, rest[0] if rest else ""


def _quoted_keys(line: str) -> tuple[str, str]:
    keys, rest = _quoted(line)
    if not keys or not rest.startswith(":"):
        raise _Refusal('this is no binding; one is written "KEYS": FUNCTION, such as "\\C-u": unix-line-discard')
    return keys, rest[1:].strip()


def _named_keys(line: str) -> tuple[str, str]:
    name, colon, rest = line.partition(":") if not line.startswith(":") else (":", *line[1:].partition(":")[1:])
    if not colon:
        raise _Refusal("this is no binding; one is written KEY: FUNCTION, such as Control-u: unix-line-discard")
    return _named_key(name.strip()), rest.strip()


def _function_or_macro(text: str) -> tuple[str | None, str]:
    if text[:1] in ("'", '"'):
        return None, _quoted(text)[0]
    function = _word(text)[0].lower()
    if function not in FUNCTIONS:
        raise _Refusal(
            f"the shell has no {function} for a key; take the line out, or put it between $if bash and $endif"
            if function
            else "behind the colon stands neither a function nor a macro in quotes"
        )
    return function, ""


def _drop_endless_macros(inputrc: Inputrc) -> None:
    """Drop macros that would type their own keys, themselves or by others, for ever."""
    macros = [binding for binding in inputrc.bindings if binding.function is None]
    types = {id(one): [other for other in macros if other.keys in one.macro] for one in macros}
    for macro in macros:
        reached, waiting = set[int](), [macro]
        while waiting:
            for other in types[id(waiting.pop())]:
                if id(other) not in reached:
                    reached.add(id(other))
                    waiting.append(other)
        if id(macro) in reached:
            inputrc.bindings.remove(macro)
            inputrc.warnings.append(f"{macro.place}: the macro would type its own keys for ever; take it out")


# -- Keys as they are written -----------------------------------------------------------------------------------------

_ESCAPE = re.compile(r"\\(?:(?P<octal>[0-7]{1,3})|x(?P<hex>[0-9a-fA-F]{1,2})|(?P<modifier>[CM])-|(?P<other>.))")
_ESCAPED = {"e": "\x1b", "a": "\a", "b": "\b", "d": "\x7f", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_MODIFIER = re.compile(r"(?P<control>C|Ctrl|Control)-(?=.)|(?:M|Meta)-(?=.)", re.IGNORECASE)
_NAMED = {
    "del": "\x7f",
    "esc": "\x1b",
    "escape": "\x1b",
    "lfd": "\n",
    "newline": "\n",
    "ret": "\r",
    "return": "\r",
    "rubout": "\x7f",
    "space": " ",
    "spc": " ",
    "tab": "\t",
}


def _quoted(text: str) -> tuple[str, str]:
    """The characters that a text in quotes means, and what stands behind it."""
    quote, position, characters, modifiers = text[0], 1, "", ""
    while position < len(text) and text[position] != quote:
        escape = _ESCAPE.match(text, position)
        position = escape.end() if escape else position + 1
        if escape and escape["modifier"]:
            modifiers += escape["modifier"]
            continue
        characters += _modified(_escaped(escape) if escape else text[position - 1], modifiers)
        modifiers = ""
    if position >= len(text):
        raise _Refusal(f"the closing {quote} is missing")
    if modifiers:
        raise _Refusal("behind \\C- or \\M- no key is named")
    return characters, text[position + 1 :].strip()


def _escaped(escape: re.Match[str]) -> str:
    if escape["octal"]:
        return chr(int(escape["octal"], 8) & 0xFF)
    if escape["hex"]:
        return chr(int(escape["hex"], 16))
    return _ESCAPED.get(escape["other"], escape["other"])


def _named_key(name: str) -> str:
    """The characters of a key such as Control-u or Meta-Rubout."""
    modifiers, rest = "", name
    while modifier := _MODIFIER.match(rest):
        modifiers += "C" if modifier["control"] else "M"
        rest = rest[modifier.end() :]
    key = _NAMED.get(rest.lower(), rest)
    if len(key) != 1:
        raise _Refusal(f"there is no key {rest or 'without a name'}; {suggest_name(rest, _NAMED)}, or a character")
    return _modified(key, modifiers)


def _modified(key: str, modifiers: str) -> str:
    if "C" in modifiers:
        key = "\x7f" if key == "?" else chr(ord(key.upper()) & 0x1F)
    return f"\x1b{key}" if "M" in modifiers else key


# -- Key bindings -----------------------------------------------------------------------------------------------------


def key_bindings(inputrc: Inputrc) -> KeyBindings:
    """What a file says of keys, for prompt_toolkit."""
    from prompt_toolkit.filters import emacs_mode, is_searching, vi_insert_mode, vi_navigation_mode
    from prompt_toolkit.key_binding import KeyBindings
    from prompt_toolkit.key_binding.bindings.named_commands import get_by_name

    keymaps = {"emacs": emacs_mode, "vi-insert": vi_insert_mode, "vi-command": vi_navigation_mode}
    bindings = KeyBindings()
    for binding in inputrc.bindings:
        keys = [press.key for press in _presses(binding.keys)]
        add = bindings.add(*keys, filter=keymaps[binding.keymap] & ~is_searching)
        if binding.function is None:
            add(_typing(binding.macro))
        elif (does := _OWN.get(binding.function)) is not None:
            add(does)
        else:
            add(get_by_name(FUNCTIONS[binding.function]))
    return bindings


def _presses(characters: str) -> list[KeyPress]:
    """The keys of prompt_toolkit that send these characters."""
    from prompt_toolkit.input.vt100_parser import Vt100Parser

    presses: list[KeyPress] = []
    Vt100Parser(presses.append).feed_and_flush(characters)
    return presses


Handler = Callable[["KeyPressEvent"], None]


def _typing(macro: str) -> Handler:
    presses = _presses(macro)
    return lambda event: event.key_processor.feed_multiple(presses, first=True)


# -- What prompt_toolkit lacks ----------------------------------------------------------------------------------------


def _search_backward(event: KeyPressEvent) -> None:
    _search(event, event.current_buffer.history_backward)


def _search_forward(event: KeyPressEvent) -> None:
    _search(event, event.current_buffer.history_forward)


def _search(event: KeyPressEvent, move: Callable[[int], None]) -> None:
    """Go to a line of the history that begins with what stands before the cursor."""
    from prompt_toolkit.filters import Always

    buffer = event.current_buffer
    before, buffer.enable_history_search = buffer.enable_history_search, Always()
    try:
        move(event.arg)
    finally:
        buffer.enable_history_search = before


def _forward_search_history(_: KeyPressEvent) -> None:
    from prompt_toolkit.search import SearchDirection, start_search

    start_search(direction=SearchDirection.FORWARD)


def _kill_whole_line(event: KeyPressEvent) -> None:
    event.app.clipboard.set_text(event.current_buffer.text)
    event.current_buffer.text = ""


def _tab_insert(event: KeyPressEvent) -> None:
    event.current_buffer.insert_text("\t" * event.arg)


_OWN: dict[str, Handler] = {
    "forward-search-history": _forward_search_history,
    "history-search-backward": _search_backward,
    "history-search-forward": _search_forward,
    "kill-whole-line": _kill_whole_line,
    "tab-insert": _tab_insert,
}

# Those that have the same name in prompt_toolkit
_SHARED = """
accept-line backward-char backward-delete-char backward-kill-word backward-word beginning-of-history beginning-of-line
call-last-kbd-macro capitalize-word clear-screen complete delete-char delete-horizontal-space downcase-word
edit-and-execute-command emacs-editing-mode end-kbd-macro end-of-file end-of-history end-of-line forward-char
forward-word insert-comment kill-line kill-word menu-complete menu-complete-backward next-history operate-and-get-next
prefix-meta previous-history print-last-kbd-macro quoted-insert redraw-current-line reverse-search-history self-insert
start-kbd-macro transpose-chars undo unix-line-discard unix-word-rubout vi-editing-mode yank yank-last-arg yank-nth-arg
yank-pop
"""

# Readline's functions that there are here: what each is called in prompt_toolkit, or here
FUNCTIONS = {
    **{name: name for name in (*_SHARED.split(), *_OWN)},
    "backward-kill-line": "unix-line-discard",
    "old-menu-complete": "menu-complete",
    "possible-completions": "complete",
    "upcase-word": "uppercase-word",
}

_READLINE_8_SETTINGS = """
active-region-end-color active-region-start-color bell-style bind-tty-special-chars blink-matching-paren byte-oriented
colored-completion-prefix colored-stats comment-begin completion-display-width completion-ignore-case
completion-map-case completion-prefix-display-length completion-query-items convert-meta disable-completion
echo-control-characters editing-mode emacs-mode-string enable-active-region enable-bracketed-paste enable-keypad
enable-meta-key expand-tilde force-meta-prefix history-preserve-point history-size horizontal-scroll-mode input-meta
isearch-terminators keymap keyseq-timeout mark-directories mark-modified-lines mark-symlinked-directories
match-hidden-files menu-complete-display-prefix meta-flag output-meta page-completions prefer-visible-bell
print-completions-horizontally revert-all-at-newline search-ignore-case show-all-if-ambiguous show-all-if-unmodified
show-mode-in-prompt skip-completed-text vi-cmd-mode-string vi-ins-mode-string visible-stats
"""
SETTINGS = frozenset(_READLINE_8_SETTINGS.split())

# What a keymap of readline is: when its keys go, and what is typed before them
_KEYMAPS = {
    "emacs": ("emacs", ""),
    "emacs-standard": ("emacs", ""),
    "emacs-meta": ("emacs", "\x1b"),
    "emacs-ctlx": ("emacs", "\x18"),
    "vi": ("vi-command", ""),
    "vi-command": ("vi-command", ""),
    "vi-move": ("vi-command", ""),
    "vi-insert": ("vi-insert", ""),
}
_CHOICES = {
    "bell-style": ("none", "visible", "audible"),
    "editing-mode": ("emacs", "vi"),
    "keymap": tuple(_KEYMAPS),
}
_PASTE = "\x1b[200~"
