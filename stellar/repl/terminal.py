"""The terminal of the shell: reads lines with colours, completion, hints and history, and writes values."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from prompt_toolkit import PromptSession
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.enums import EditingMode
from prompt_toolkit.filters import has_selection, is_searching
from prompt_toolkit.formatted_text import FormattedText, StyleAndTextTuples
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyBindingsBase, KeyPressEvent, merge_key_bindings
from prompt_toolkit.lexers import Lexer
from prompt_toolkit.output import ColorDepth
from prompt_toolkit.shortcuts import print_formatted_text
from prompt_toolkit.styles import Style

from stellar.language.errors import StellarError
from stellar.language.source import snippet

if TYPE_CHECKING:
    from stellar.repl.session import Session
    from stellar.tooling.completion import OpenCall

# The language is imported where it is used, so that the first prompt does not wait for it

STYLE = Style.from_dict(
    {
        "stellar.function": "ansiblue bold",
        "stellar.keyword": "ansimagenta",
        "stellar.text": "ansigreen",
        "stellar.number": "ansicyan",
        "stellar.comment": "ansibrightblack italic",
        "stellar.command": "ansiyellow bold",
        "stellar.wrong": "ansired underline",
        "prompt.bracket": "ansired",
        "prompt.name": "ansigreen bold",
        "prompt.arrow": "ansigreen underline",
        "prompt.more": "ansibrightblack",
        "stellar.error": "ansired",
        "stellar.hint": "ansiyellow",
        "stellar.note": "ansibrightblack",
        "bottom-toolbar": "noreverse ansibrightblack",
        "bottom-toolbar.argument": "bold ansidefault",
        "auto-suggestion": "ansibrightblack",
        "completion-menu": "bg:#303640 #d8dee9",
        "completion-menu.completion.current": "noreverse bold bg:#3b6ea5 #ffffff",
        "completion-menu.meta.completion": "bg:#3b414d #b0b8c4",
        "completion-menu.meta.completion.current": "bg:#3b6ea5 #ffffff",
    }
)
PROMPT: StyleAndTextTuples = [
    ("class:prompt.bracket", "["),
    ("class:prompt.name", "Stellar"),
    ("class:prompt.bracket", "]"),
    ("class:prompt.arrow", ">>>"),
    ("", " "),
]


class LazySession:
    """Creates a session on first use; safe to call from several threads."""

    def __init__(self, create: Callable[[], Session]) -> None:
        self._create = create
        self._session: Session | None = None
        self._lock = threading.Lock()

    def __call__(self) -> Session:
        with self._lock:
            if self._session is None:
                self._session = self._create()
            return self._session

    def close(self) -> None:
        """Close the session, if it was created."""
        with self._lock:
            if self._session is not None:
                self._session.close()


class DiscardedInput(Exception):
    """The user discarded the input with Ctrl-C."""


class Terminal:
    """Reads lines from a user, and writes values and errors.

    session: returns the session; first called after the prompt is shown
    bindings: key bindings of the user
    vi: edit in vi mode instead of emacs mode
    colours: use colours
    color_depth: number of colours; detected by default
    """

    def __init__(
        self,
        session: Callable[[], Session],
        *,
        bindings: KeyBindingsBase | None = None,
        vi: bool = False,
        colours: bool = True,
        color_depth: ColorDepth | None = None,
    ) -> None:
        self.session = session
        self._colours = colours
        self._preloader = _Preloader(session)
        self._prompt: PromptSession[str] = PromptSession(
            PROMPT,
            multiline=True,
            prompt_continuation=_continuation,
            lexer=_HighlightingLexer() if colours else None,
            completer=_SessionCompleter(session),
            auto_suggest=AutoSuggestFromHistory(),
            bottom_toolbar=self._toolbar,
            history=open_history(),
            key_bindings=merge_key_bindings([_own_bindings(), *filter(None, [bindings])]),
            editing_mode=EditingMode.VI if vi else EditingMode.EMACS,
            enable_open_in_editor=True,
            tempfile_suffix=".stellar",
            style=STYLE if colours else None,
            include_default_pygments_style=False,
            color_depth=color_depth if colours else ColorDepth.DEPTH_1_BIT,
            interrupt_exception=DiscardedInput,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._preloader.stop()

    @property
    def width(self) -> int:
        """The number of columns of the terminal."""
        return self._prompt.app.output.get_size().columns

    def read(self) -> str:
        """Read the next input, which can have several lines.

        Raise DiscardedInput if the user discards it, KeyboardInterrupt for a signal, EOFError at the end of the input.
        """
        # While the terminal is set up or restored, Ctrl-C is a signal; prompt_toolkit would lose it or show an error
        return self._prompt.prompt(pre_run=self._preloader.start, handle_sigint=False)

    def write(self, text: str, style: str = "") -> None:
        """Write a line."""
        self._print([(f"class:{style}" if style else "", text)])

    def show(self, value: Any) -> None:
        """Write a value; nothing for null."""
        from stellar.repl.rendering import as_text

        if value is not None and value != "":
            self.write(as_text(value, self.width).removesuffix("\n"))

    def show_notes(self) -> None:
        """Write the notes of the session."""
        for note in self.session().take_notes():
            self.write(note, "stellar.note")

    def show_error(self, error: Exception, message: str) -> None:
        """Write an error; for an error in an expression its source location and hint."""
        from stellar.repl.rendering import visible

        if not isinstance(error, StellarError):
            return self.write(f"[!] {visible(message)}", "stellar.error")
        self.write(f"[!] {visible(error.message)}", "stellar.error")
        self.write(visible(snippet(error.source, error.span)))
        if error.hint:
            self.write(visible(f"hint: {error.hint}"), "stellar.hint")

    def _print(self, fragments: StyleAndTextTuples) -> None:
        if self._colours:
            print_formatted_text(
                FormattedText(fragments),
                style=STYLE,
                output=self._prompt.app.output,
                include_default_pygments_style=False,
            )
        else:
            print("".join(fragment[1] for fragment in fragments), flush=True)

    def _toolbar(self) -> StyleAndTextTuples:
        buffer = self._prompt.default_buffer
        return hint(buffer.text, buffer.cursor_position, self.session) if buffer.text else []


def hint(text: str, cursor: int, session: Callable[[], Session]) -> StyleAndTextTuples:
    """Return the signature of the call around the cursor, with the current argument highlighted."""
    from stellar.repl.lines import find_expression
    from stellar.tooling.completion import find_call

    begin = find_expression(text[:cursor])
    call = None if begin is None else find_call(text[begin:], cursor - begin, session().library)
    return [] if call is None else list(_signature(call))


def _signature(call: OpenCall) -> Iterator[tuple[str, str]]:
    function = call.function
    yield "", f"{function.name}("
    current = min(call.index, len(function.parameters) - 1) if function.parameters else None
    if current is not None and call.index > current and not function.parameters[current].repeated:
        current = None
    for index, parameter in enumerate(function.parameters):
        mark = "..." if parameter.repeated else "?" if parameter.optional else ""
        yield "", ", " if index else ""
        yield "class:bottom-toolbar.argument" if index == current else "", f"{parameter.name}{mark}"
    about = function.help.summary if current is None else function.parameters[current].description
    yield "", f")  {about}"


def _continuation(width: int, _number: int, wraps: int) -> StyleAndTextTuples:
    return [("class:prompt.more", "".rjust(width) if wraps else "... ".rjust(width))]


class _SessionCompleter(Completer):
    """Completes the names and keywords of a session."""

    def __init__(self, session: Callable[[], Session]) -> None:
        self._session = session

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        if not complete_event.completion_requested and not document.get_word_before_cursor(WORD=True):
            return
        from stellar.repl.lines import complete_line

        for candidate in complete_line(document.text, document.cursor_position, self._session()):
            yield Completion(
                candidate.text,
                candidate.start - document.cursor_position,
                display_meta=_shorten(candidate.about),
            )


def _shorten(about: Callable[[], str]) -> Callable[[], str]:
    def describe() -> str:
        from stellar.repl.rendering import visible

        first = visible(about()).split("\n")[0]
        return first if len(first) <= 80 else f"{first[:79]}…"

    return describe


class _HighlightingLexer(Lexer):
    """Highlights the input."""

    def lex_document(self, document: Document) -> Callable[[int], StyleAndTextTuples]:
        if not document.text:
            return lambda _: []
        from stellar.repl.lines import highlight_line

        lines: list[StyleAndTextTuples] = [[]]
        for kind, text in highlight_line(document.text):
            first, *others = text.split("\n")
            lines[-1].append((f"class:{kind}", first))
            lines.extend([(f"class:{kind}", other)] for other in others)
        return lambda number: lines[number] if number < len(lines) else []


def _own_bindings() -> KeyBindings:
    """Enter accepts a finished input and otherwise starts a new line."""
    bindings = KeyBindings()

    @bindings.add("enter", filter=~is_searching & ~has_selection)
    def enter(event: KeyPressEvent) -> None:
        from stellar.repl.lines import is_input_unfinished

        buffer = event.current_buffer
        if buffer.complete_state and buffer.complete_state.current_completion:
            buffer.complete_state = None  # accept the selected completion
        elif buffer.document.current_line.strip() and is_input_unfinished(buffer.text):
            buffer.newline()
        else:
            buffer.validate_and_handle()

    @bindings.add("escape", "enter")
    def new_line(event: KeyPressEvent) -> None:
        event.current_buffer.newline()

    return bindings


class _Preloader(threading.Thread):
    """A thread that loads the functions while the user reads the prompt, so that help and completion are fast."""

    def __init__(self, session: Callable[[], Session]) -> None:
        super().__init__(name="function preloader", daemon=True)
        self._session = session
        self._stopped = threading.Event()

    def start(self) -> None:
        if self.ident is None:
            super().start()

    def run(self) -> None:
        if self._stopped.wait(_AFTER_SECONDS):  # show the prompt first
            return
        try:
            library = self._session().library
        except Exception:  # noqa: BLE001 - raised again and reported on the next use
            return
        for name in library:
            if self._stopped.is_set():
                return
            library[name]

    def stop(self) -> None:
        self._stopped.set()
        if self.ident is not None:
            self.join()


_AFTER_SECONDS = 0.1


def open_history() -> History:
    """Open the history in a file that only the user can read, or in memory if it can't be written."""
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    file = Path(state, "stellar", "history")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        print(f"history is not saved: can't write {file}: {error.strerror}", file=sys.stderr)
        return InMemoryHistory()
    return FileHistory(str(file))
