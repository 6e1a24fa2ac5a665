"""Completion at the cursor, also within unfinished expressions, and the innermost open call."""

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
from stellar.tooling.lexing import COMMENT, KEYWORD_OF, UNCLOSED, UNREADABLE, WHITESPACE, Lexeme, tokenize, unquote

if TYPE_CHECKING:
    from stellar.maas import Registry


@dataclass(frozen=True, slots=True)
class CompletionScope:
    """The names that an expression can use.

    library: the functions
    variables: the variables, with their values; None for unknown values
    registry: the registry for the names of models
    ignore_case: complete names in any case
    """

    library: Library
    variables: Mapping[str, Any] = field(default_factory=dict)
    registry: Registry | None = None
    ignore_case: bool = False

    def is_completion(self, text: str, typed: str) -> bool:
        """Return True if a candidate starts with the typed characters."""
        return text.lower().startswith(typed.lower()) if self.ignore_case else text.startswith(typed)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A completion.

    text: replaces the characters from `start` to the cursor
    kind: function, variable, keyword, key, model, choice, or command
    about: returns a description; loads the function
    """

    text: str
    start: int
    kind: str
    about: Callable[[], str] = field(compare=False, default=str)


@dataclass(frozen=True, slots=True)
class OpenCall:
    """The call around the cursor: its function, and the index of the argument that contains the cursor."""

    function: Function
    index: int


_WORD = re.compile(r"[a-zA-Z_$][a-zA-Z_.:0-9$]*\Z")


def complete_expression(source: str, cursor: int, scope: CompletionScope) -> list[Candidate]:
    """Return the completions at the cursor of an expression, the likeliest kind first.

    Characters after the cursor are ignored. Within a string argument, its valid values are offered: models and their
    versions, keys of maps, hashes, encodings, environment variables.
    """
    before = _CursorContext(source[:cursor])
    if before.in_comment or before.is_unreadable:
        return []
    if before.open_string is not None:
        return list(_complete_string(before, scope))
    word = match[0] if (match := _WORD.search(before.source)) else ""
    start = cursor - len(word)
    rest = _CursorContext(before.source[:start])
    operands = _operands(rest, scope) if rest.can_take_operand() else ()
    keywords = (Candidate(keyword, start, "keyword") for keyword in rest.keywords())
    candidates = (Candidate(c.text, start, c.kind, c.about) for c in operands)
    return [candidate for candidate in (*candidates, *keywords) if scope.is_completion(candidate.text, word)]


def find_call(source: str, cursor: int, library: Library) -> OpenCall | None:
    """Return the innermost open call of a known function at the cursor; None outside calls."""
    for name, index in _CursorContext(source[:cursor]).open_calls():
        if name in library:
            return OpenCall(library[name], index)
    return None


@dataclass(slots=True)
class _OpenBracket:
    """An open bracket.

    function: name before the bracket, if it is a call
    commas: number of commas since the bracket
    parameters: parameters of a lambda that started since the last comma
    first: value of the first argument, if it is a string
    """

    function: str | None
    commas: int = 0
    parameters: tuple[str, ...] = ()
    first: str | None = None


class _CursorContext:
    """The source before the cursor."""

    def __init__(self, source: str) -> None:
        self.source = source
        lexemes = tokenize(source)
        self.tokens = [lexeme for lexeme in lexemes if lexeme.kind not in (WHITESPACE, COMMENT)]
        last = lexemes[-1] if lexemes else None
        self.in_comment = last is not None and last.kind == COMMENT
        self.is_unreadable = last is not None and last.kind == UNREADABLE
        self.open_string: Lexeme | None = last if last is not None and last.kind == UNCLOSED else None
        self.brackets = self._find_brackets()

    def _find_brackets(self) -> list[_OpenBracket]:
        outermost = _OpenBracket(None)
        stack = [outermost]
        previous: Lexeme | None = None
        for token in self.tokens:
            if token.kind in _OPENING:
                is_call = token.kind == "LPAR" and previous is not None and previous.kind == "NAME"
                stack.append(_OpenBracket(self.source[previous.start : previous.end] if is_call and previous else None))
            elif token.kind in _CLOSING and len(stack) > 1:
                stack.pop()
            elif token.kind == "COMMA":
                stack[-1].commas += 1
                stack[-1].parameters = ()
            elif token.kind == "PARAMETERS":
                stack[-1].parameters += tuple(NAME.findall(self.source[token.start : token.end]))
            elif token.kind == "STRING" and not stack[-1].commas:
                stack[-1].first = unquote(self.source, token)
            previous = token
        return stack

    def open_calls(self) -> Iterator[tuple[str, int]]:
        """Yield name and argument index of the open calls, innermost first."""
        return (
            (bracket.function, bracket.commas) for bracket in reversed(self.brackets) if bracket.function is not None
        )

    def parameters(self) -> Iterator[str]:
        """Yield the parameters of lambdas with unfinished bodies."""
        return (name for bracket in reversed(self.brackets) for name in bracket.parameters)

    def _parser_states(self) -> list[int] | None:
        """Return the parser's stack of states; None after a syntax error."""
        states = [0]
        for token in self.tokens:
            if not advance(states, token.kind):
                return None
        return states

    def can_take_operand(self) -> bool:
        """Return True if an operand can follow, or after a syntax error."""
        states = self._parser_states()
        return states is None or advance(states, "NAME")

    def keywords(self) -> list[str]:
        """Return the keywords that can follow."""
        states = self._parser_states()
        return [word for kind, word in KEYWORD_OF.items() if states is not None and advance(states.copy(), kind)]


def _operands(before: _CursorContext, scope: CompletionScope) -> Iterator[Candidate]:
    for name in dict.fromkeys(before.parameters()):
        yield Candidate(name, 0, "variable", lambda: "a parameter")
    for name in sorted(scope.variables):
        yield Candidate(name, 0, "variable", _describe_variable(scope.variables, name))
    for name in sorted(scope.library):
        yield Candidate(f"{name}(", 0, "function", function_describer(scope.library, name))


def _describe_variable(variables: Mapping[str, Any], name: str) -> Callable[[], str]:
    return lambda: "" if variables[name] is None else to_string(variables[name])


def function_describer(library: Library, name: str) -> Callable[[], str]:
    """Return a callable that loads a function and returns its parameters and summary."""

    def describe() -> str:
        function = library[name]
        return f"{function.usage.removeprefix(name)}  {function.help.summary}"

    return describe


# -- Within strings ---------------------------------------------------------------------------------------------------


def _complete_string(before: _CursorContext, scope: CompletionScope) -> Iterator[Candidate]:
    assert before.open_string is not None
    typed, start = unquote(before.source, before.open_string), before.open_string.start + 1
    call = next(before.open_calls(), None)
    if call is None or (choices := _CHOICES.get(call)) is None:
        return
    kind, list_choices = choices
    for text, about in sorted(set(list_choices(before, scope))):
        if scope.is_completion(text, typed):
            yield Candidate(text, start, kind, lambda about=about: about)  # type: ignore[misc]


ChoiceLister = Callable[[_CursorContext, CompletionScope], Iterable[tuple[str, str]]]


def _list_models(_: _CursorContext, scope: CompletionScope) -> Iterator[tuple[str, str]]:
    if scope.registry is not None:
        versions: dict[str, list[str]] = {}
        for instance in scope.registry.instances():
            versions.setdefault(instance.model.name, []).append(instance.model.version)
        for name, of_model in versions.items():
            yield name, f"model, {', '.join(sorted(set(of_model)))}"


def _list_versions(before: _CursorContext, scope: CompletionScope) -> Iterator[tuple[str, str]]:
    name = before.brackets[-1].first
    if scope.registry is not None and name is not None:
        counts: dict[str, int] = {}
        for instance in scope.registry.instances(name):
            counts[instance.model.version] = counts.get(instance.model.version, 0) + 1
        for version, count in counts.items():
            yield version, f"version of {name}, {count} running"


def _list_endpoint_functions(_: _CursorContext, scope: CompletionScope) -> Iterator[tuple[str, str]]:
    if scope.registry is not None:
        for instance in scope.registry.instances():
            for function in instance.payload.endpoint.functions:
                yield function, "function of an endpoint"


def _list_keys(_: _CursorContext, scope: CompletionScope) -> Iterator[tuple[str, str]]:
    for name, value in scope.variables.items():
        if isinstance(value, Mapping):
            for key in value:
                if isinstance(key, str):
                    yield key, f"key of {name}"


def _list_results(function: str) -> ChoiceLister:
    """Return a lister of the strings that a function without arguments returns."""
    return lambda _, scope: [(text, "") for text in scope.library[function].implementation()]


def _list_environment(_: _CursorContext, __: CompletionScope) -> Iterator[tuple[str, str]]:
    return ((name, "") for name in os.environ)


# Valid strings by function and index of the argument
_CHOICES: dict[tuple[str, int], tuple[str, ChoiceLister]] = {
    ("MAAS_GET_ENDPOINT", 0): ("model", _list_models),
    ("MAAS_GET_ENDPOINT", 1): ("model", _list_versions),
    ("MAAS_MODEL_APPLY", 1): ("model", _list_endpoint_functions),
    ("MAP_GET", 0): ("key", _list_keys),
    ("MAP_EXISTS", 0): ("key", _list_keys),
    ("MAP_PUT", 0): ("key", _list_keys),
    ("HASH", 1): ("choice", _list_results("GET_HASHES_AVAILABLE")),
    ("ENCODE", 1): ("choice", _list_results("GET_SUPPORTED_ENCODINGS")),
    ("DECODE", 1): ("choice", _list_results("GET_SUPPORTED_ENCODINGS")),
    ("IS_ENCODING", 1): ("choice", _list_results("GET_SUPPORTED_ENCODINGS")),
    ("IS_IP", 1): ("choice", lambda _, __: [("IPV4", ""), ("IPV6", "")]),
    ("SYSTEM_ENV_GET", 0): ("choice", _list_environment),
}

_OPENING = frozenset({"LPAR", "LSQB", "LBRACE"})
_CLOSING = frozenset({"RPAR", "RSQB", "RBRACE"})
