"""What may stand at the cursor, also within an expression that is not finished; and the call that the cursor is in."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stellar.language.conversions import to_string
from stellar.language.diagnostics import advance
from stellar.language.library import Function, Library
from stellar.language.parser import NAME
from stellar.tooling.lexing import BLANK, COMMENT, KEYWORD_OF, UNCLOSED, UNREADABLE, Piece, pieces, quoted

if TYPE_CHECKING:
    from stellar.maas import Registry


@dataclass(frozen=True, slots=True)
class Names:
    """What has a name at the place where a text is written.

    library: the functions
    variables: the variables, with their values as far as they are known
    registry: where models are registered
    ignore_case: whether they may be typed in capital or in small letters
    """

    library: Library
    variables: Mapping[str, Any] = field(default_factory=dict)
    registry: Registry | None = None
    ignore_case: bool = False

    def fits(self, text: str, typed: str) -> bool:
        """Whether a text goes on from what is typed."""
        return text.lower().startswith(typed.lower()) if self.ignore_case else text.startswith(typed)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A text that may stand at the cursor.

    text: it replaces all from `start` to the cursor
    kind: function, variable, keyword, key, model, choice, or command
    about: tells more of it; only then is a function loaded
    """

    text: str
    start: int
    kind: str
    about: Callable[[], str] = field(compare=False, default=str)


@dataclass(frozen=True, slots=True)
class CallAt:
    """A call around the cursor: the function, and which of its arguments the cursor is in."""

    function: Function
    index: int


_WORD = re.compile(r"[a-zA-Z_$][a-zA-Z_.:0-9$]*\Z")


def complete(text: str, cursor: int, names: Names) -> list[Candidate]:
    """What may stand at the cursor in an expression, the likeliest kind first.

    Only what stands before the cursor matters. Within a text, what its function may be asked for there is offered:
    models, their versions, keys of maps, hashes, encodings, variables of the environment.
    """
    before = _Before(text[:cursor])
    if before.in_comment or before.is_unreadable:
        return []
    if before.opened is not None:
        return list(_in_text(before, names))
    word = found[0] if (found := _WORD.search(before.text)) else ""
    start = cursor - len(word)
    rest = _Before(before.text[:start])
    offered = _operands(rest, names) if rest.takes_operand() else ()
    keywords = (Candidate(keyword, start, "keyword") for keyword in rest.keywords())
    candidates = (Candidate(c.text, start, c.kind, c.about) for c in offered)
    return [candidate for candidate in (*candidates, *keywords) if names.fits(candidate.text, word)]


def call_at(text: str, cursor: int, library: Library) -> CallAt | None:
    """The innermost call of a known function whose brackets are open at the cursor."""
    for name, index in _Before(text[:cursor]).calls():
        if name in library:
            return CallAt(library[name], index)
    return None


@dataclass(slots=True)
class _Open:
    """A bracket that is open: the function before it, how many commas are behind it, and parameters that are bound."""

    function: str | None
    commas: int = 0
    parameters: tuple[str, ...] = ()
    first: str | None = None


class _Before:
    """What stands before the cursor."""

    def __init__(self, text: str) -> None:
        self.text = text
        everything = pieces(text)
        self.tokens = [piece for piece in everything if piece.kind not in (BLANK, COMMENT)]
        last = everything[-1] if everything else None
        self.in_comment = last is not None and last.kind == COMMENT
        self.is_unreadable = last is not None and last.kind == UNREADABLE
        self.opened: Piece | None = last if last is not None and last.kind == UNCLOSED else None
        self.open = self._brackets()

    def _brackets(self) -> list[_Open]:
        outermost = _Open(None)
        stack = [outermost]
        previous: Piece | None = None
        for piece in self.tokens:
            if piece.kind in _OPENING:
                called = piece.kind == "LPAR" and previous is not None and previous.kind == "NAME"
                stack.append(_Open(self.text[previous.start : previous.end] if called and previous else None))
            elif piece.kind in _CLOSING and len(stack) > 1:
                stack.pop()
            elif piece.kind == "COMMA":
                stack[-1].commas += 1
                stack[-1].parameters = ()
            elif piece.kind == "PARAMETERS":
                stack[-1].parameters += tuple(NAME.findall(self.text[piece.start : piece.end]))
            elif piece.kind == "STRING" and not stack[-1].commas:
                stack[-1].first = quoted(self.text, piece)
            previous = piece
        return stack

    def calls(self) -> Iterator[tuple[str, int]]:
        """The open calls, the innermost first: the function's name, and the index of the argument."""
        return ((bracket.function, bracket.commas) for bracket in reversed(self.open) if bracket.function is not None)

    def parameters(self) -> Iterator[str]:
        """The parameters of the lambdas whose bodies are not finished."""
        return (name for bracket in reversed(self.open) for name in bracket.parameters)

    def _states(self) -> list[int] | None:
        """Where the parser is; None if it is lost, as behind an error."""
        states = [0]
        for piece in self.tokens:
            if not advance(states, piece.kind):
                return None
        return states

    def takes_operand(self) -> bool:
        """Whether a value may stand here. Behind an error, it may."""
        states = self._states()
        return states is None or advance(states, "NAME")

    def keywords(self) -> list[str]:
        """The keywords that may stand here."""
        states = self._states()
        return [word for kind, word in KEYWORD_OF.items() if states is not None and advance(states.copy(), kind)]


def _operands(before: _Before, names: Names) -> Iterator[Candidate]:
    for name in dict.fromkeys(before.parameters()):
        yield Candidate(name, 0, "variable", lambda: "a parameter")
    for name in sorted(names.variables):
        yield Candidate(name, 0, "variable", _variable(names.variables, name))
    for name in sorted(names.library):
        yield Candidate(f"{name}(", 0, "function", about_function(names.library, name))


def _variable(variables: Mapping[str, Any], name: str) -> Callable[[], str]:
    return lambda: "" if variables[name] is None else to_string(variables[name])


def about_function(library: Library, name: str) -> Callable[[], str]:
    """Tells what a function takes, and what it does."""

    def about() -> str:
        function = library[name]
        return f"{function.usage.removeprefix(name)}  {function.help.summary}"

    return about


# -- Within texts -----------------------------------------------------------------------------------------------------


def _in_text(before: _Before, names: Names) -> Iterator[Candidate]:
    assert before.opened is not None
    typed, start = quoted(before.text, before.opened), before.opened.start + 1
    call = next(before.calls(), None)
    if call is None or (choices := _CHOICES.get(call)) is None:
        return
    kind, offer = choices
    for text, about in sorted(set(offer(before, names))):
        if names.fits(text, typed):
            yield Candidate(text, start, kind, lambda about=about: about)  # type: ignore[misc]


Offer = Callable[[_Before, Names], Iterable[tuple[str, str]]]


def _models(_: _Before, names: Names) -> Iterator[tuple[str, str]]:
    if names.registry is not None:
        versions: dict[str, list[str]] = {}
        for instance in names.registry.instances():
            versions.setdefault(instance.model.name, []).append(instance.model.version)
        for name, found in versions.items():
            yield name, f"model, {', '.join(sorted(set(found)))}"


def _versions(before: _Before, names: Names) -> Iterator[tuple[str, str]]:
    name = before.open[-1].first
    if names.registry is not None and name is not None:
        counts: dict[str, int] = {}
        for instance in names.registry.instances(name):
            counts[instance.model.version] = counts.get(instance.model.version, 0) + 1
        for version, count in counts.items():
            yield version, f"version of {name}, {count} running"


def _endpoint_functions(_: _Before, names: Names) -> Iterator[tuple[str, str]]:
    if names.registry is not None:
        for instance in names.registry.instances():
            for function in instance.payload.endpoint.functions:
                yield function, "function of an endpoint"


def _keys(_: _Before, names: Names) -> Iterator[tuple[str, str]]:
    for name, value in names.variables.items():
        if isinstance(value, Mapping):
            for key in value:
                if isinstance(key, str):
                    yield key, f"key of {name}"


def _listed(function: str) -> Offer:
    """What a function without arguments lists."""
    return lambda _, names: [(text, "") for text in names.library[function].implementation()]


def _environment(_: _Before, __: Names) -> Iterator[tuple[str, str]]:
    return ((name, "") for name in os.environ)


# What the text in an argument of a function may be
_CHOICES: dict[tuple[str, int], tuple[str, Offer]] = {
    ("MAAS_GET_ENDPOINT", 0): ("model", _models),
    ("MAAS_GET_ENDPOINT", 1): ("model", _versions),
    ("MAAS_MODEL_APPLY", 1): ("model", _endpoint_functions),
    ("MAP_GET", 0): ("key", _keys),
    ("MAP_EXISTS", 0): ("key", _keys),
    ("MAP_PUT", 0): ("key", _keys),
    ("HASH", 1): ("choice", _listed("GET_HASHES_AVAILABLE")),
    ("ENCODE", 1): ("choice", _listed("GET_SUPPORTED_ENCODINGS")),
    ("DECODE", 1): ("choice", _listed("GET_SUPPORTED_ENCODINGS")),
    ("IS_ENCODING", 1): ("choice", _listed("GET_SUPPORTED_ENCODINGS")),
    ("IS_IP", 1): ("choice", lambda _, __: [("IPV4", ""), ("IPV6", "")]),
    ("SYSTEM_ENV_GET", 0): ("choice", _environment),
}

_OPENING = frozenset({"LPAR", "LSQB", "LBRACE"})
_CLOSING = frozenset({"RPAR", "RSQB", "RBRACE"})
