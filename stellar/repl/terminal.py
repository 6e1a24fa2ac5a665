"""The terminal of the shell: what reads a line, with colours, completion, hints and history, and what shows values."""

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
    from stellar.tooling.completion import CallAt

# What has to do with the language is imported where it is used: the first prompt does not wait for it

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


class Once:
    """Makes a session when it is first wanted, by whichever thread."""

    def __init__(self, make: Callable[[], Session]) -> None:
        self._make = make
        self._made: Session | None = None
        self._making = threading.Lock()

    def __call__(self) -> Session:
        with self._making:
            if self._made is None:
                self._made = self._make()
            return self._made

    def close(self) -> None:
        """Close the session, if it was made."""
        with self._making:
            if self._made is not None:
                self._made.close()


class Terminal:
    """Reads lines from a person, and shows values and errors.

    session: gives the session; it is not asked before the first prompt is shown
    bindings: keys of the user's own
    vi: edit as vi does, rather than as emacs does
    colours: whether to use any
    color_depth: how many there are, if that is not to be found out
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
        self._warming = _Warming(session)
        self._prompt: PromptSession[str] = PromptSession(
            PROMPT,
            multiline=True,
            prompt_continuation=_continuation,
            lexer=_Colours() if colours else None,
            completer=_Names(session),
            auto_suggest=AutoSuggestFromHistory(),
            bottom_toolbar=self._toolbar,
            history=history(),
            key_bindings=merge_key_bindings([_own_bindings(), *filter(None, [bindings])]),
            editing_mode=EditingMode.VI if vi else EditingMode.EMACS,
            enable_open_in_editor=True,
            tempfile_suffix=".stellar",
            style=STYLE if colours else None,
            include_default_pygments_style=False,
            color_depth=color_depth if colours else ColorDepth.DEPTH_1_BIT,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._warming.stop()

    @property
    def width(self) -> int:
        """The columns of the terminal."""
        return self._prompt.app.output.get_size().columns

    def ask(self) -> str:
        """What the user types next, which may be several lines.

        Raises KeyboardInterrupt if the user gives it up, EOFError at the end.
        """
        return self._prompt.prompt(pre_run=self._warming.start)

    def say(self, text: str, style: str = "") -> None:
        """Show a text."""
        self._print([(f"class:{style}" if style else "", text)])

    def show(self, value: Any) -> None:
        """Show a value; nothing for null."""
        from stellar.repl.rendering import as_text

        if value is not None and value != "":
            self.say(as_text(value, self.width).removesuffix("\n"))

    def show_notes(self) -> None:
        """Show what commands had to say beside their value."""
        for note in self.session().taken_notes():
            self.say(note, "stellar.note")

    def show_error(self, error: Exception, said: str) -> None:
        """Show what is said of an error; of one in an expression the place, and the hint."""
        from stellar.repl.rendering import visible

        if not isinstance(error, StellarError):
            return self.say(f"[!] {visible(said)}", "stellar.error")
        self.say(f"[!] {visible(error.message)}", "stellar.error")
        self.say(visible(snippet(error.source, error.span)))
        if error.hint:
            self.say(visible(f"hint: {error.hint}"), "stellar.hint")

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
    """The signature of the call that the cursor is in, and the argument that it is at."""
    from stellar.repl.lines import expression_begin
    from stellar.tooling.completion import call_at

    begin = expression_begin(text[:cursor])
    call = None if begin is None else call_at(text[begin:], cursor - begin, session().library)
    return [] if call is None else list(_signature(call))


def _signature(call: CallAt) -> Iterator[tuple[str, str]]:
    function = call.function
    yield "", f"{function.name}("
    at = min(call.index, len(function.parameters) - 1) if function.parameters else None
    if at is not None and call.index > at and not function.parameters[at].repeated:
        at = None
    for index, parameter in enumerate(function.parameters):
        mark = "..." if parameter.repeated else "?" if parameter.optional else ""
        yield "", ", " if index else ""
        yield "class:bottom-toolbar.argument" if index == at else "", f"{parameter.name}{mark}"
    about = function.help.summary if at is None else function.parameters[at].description
    yield "", f")  {about}"


def _continuation(width: int, _number: int, wraps: int) -> StyleAndTextTuples:
    return [("class:prompt.more", "".rjust(width) if wraps else "... ".rjust(width))]


class _Names(Completer):
    """Offers names and words of the session."""

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
                display_meta=_one_line(candidate.about),
            )


def _one_line(about: Callable[[], str]) -> Callable[[], str]:
    def shown() -> str:
        from stellar.repl.rendering import visible

        first = visible(about()).split("\n")[0]
        return first if len(first) <= 80 else f"{first[:79]}…"

    return shown


class _Colours(Lexer):
    """The colours of what is typed."""

    def lex_document(self, document: Document) -> Callable[[int], StyleAndTextTuples]:
        if not document.text:
            return lambda _: []
        from stellar.repl.lines import coloured_line

        lines: list[StyleAndTextTuples] = [[]]
        for kind, text in coloured_line(document.text):
            first, *others = text.split("\n")
            lines[-1].append((f"class:{kind}", first))
            lines.extend([(f"class:{kind}", other)] for other in others)
        return lambda number: lines[number] if number < len(lines) else []


def _own_bindings() -> KeyBindings:
    """Enter ends a text that is finished, and otherwise begins a new line."""
    bindings = KeyBindings()

    @bindings.add("enter", filter=~is_searching & ~has_selection)
    def enter(event: KeyPressEvent) -> None:
        from stellar.repl.lines import is_unfinished

        buffer = event.current_buffer
        if buffer.complete_state and buffer.complete_state.current_completion:
            buffer.complete_state = None  # the one that was chosen stays
        elif buffer.document.current_line.strip() and is_unfinished(buffer.text):
            buffer.newline()
        else:
            buffer.validate_and_handle()

    @bindings.add("escape", "enter")
    def new_line(event: KeyPressEvent) -> None:
        event.current_buffer.newline()

    return bindings


class _Warming(threading.Thread):
    """Loads the functions while the user looks at the prompt, so that their help is there when it is wanted."""

    def __init__(self, session: Callable[[], Session]) -> None:
        super().__init__(name="loading of functions", daemon=True)
        self._session = session
        self._stopped = threading.Event()

    def start(self) -> None:
        if self.ident is None:
            super().start()

    def run(self) -> None:
        if self._stopped.wait(_AFTER_SECONDS):  # the prompt goes first
            return
        try:
            library = self._session().library
        except Exception:  # noqa: BLE001 - it is raised again where the session is wanted, and told there
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


def history() -> History:
    """The lines of this session and those before: in a file that only the user can read, if one can be made."""
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    file = Path(state, "stellar", "history")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        print(f"the history is not kept: {file}: {error.strerror}", file=sys.stderr)
        return InMemoryHistory()
    return FileHistory(str(file))
