"""Expressions: read, resolved and compiled once, evaluated often."""

from __future__ import annotations

import linecache
import types
from collections.abc import Callable, Mapping
from functools import cache, lru_cache, partial
from typing import TYPE_CHECKING, Any, Literal

from stellar.language import nodes as n
from stellar.language.compiler.link import compile_tree
from stellar.language.compiler.source_map import SourceMap, filename
from stellar.language.context import NOTHING, Context
from stellar.language.errors import EvaluationError, ParseError, StellarError
from stellar.language.library import Library
from stellar.language.parser import parse
from stellar.language.resolver import Names, resolve
from stellar.language.runtime import shortened
from stellar.language.source import Span

if TYPE_CHECKING:
    from stellar.language.asynchronous import Waits

UnknownFunctions = Literal["when_compiled", "when_reached"]
Missing = Literal["null", "error"]

# How many expressions that have failed keep their text in Python's tracebacks
TRACEBACK_TEXTS = 256


class Expression:
    """A compiled Stellar expression. Call it with a record to evaluate it.

        risky = stellar.compile("bytes > 1000 and method == 'POST'")
        risky({"bytes": 2048, "method": "POST"})  # True

    source: its text
    variables: the fields that it reads; without the parameters of its lambdas
    functions: the functions that it calls

    It is immutable, can be shared by threads, and can be pickled if its library has a name: what travels is the text
    and that name, and it is compiled again on arrival.
    """

    # The compiled function sits in the slot that Python looks up for a call, so a call costs nothing on top of it
    __slots__ = (
        "__call__",
        "__weakref__",
        "_fast",
        "_names",
        "_strict",
        "_tree",
        "library",
        "predicate",
        "source",
        "unknown_functions",
    )

    __call__: Callable[..., Any]

    def __init__(
        self,
        source: str,
        library: Library,
        *,
        predicate: bool = False,
        unknown_functions: UnknownFunctions = "when_compiled",
        fast: bool = True,
    ) -> None:
        """Read and compile a text.

        source: the text; a blank one means null, or true as a predicate
        predicate: the result must be a boolean (or null); anything else is an EvaluationError
        unknown_functions: whether a call that can't succeed is an error now, or, as in Metron, when it is reached
        fast: write operators inline; False is for comparing the two ways, which give the same answers

        Raises ParseError or ResolutionError, with the place and a hint.
        """
        self.source = source
        self.library = library
        self.predicate = predicate
        self.unknown_functions = unknown_functions
        self._tree = parse(source) if source.strip() else n.Literal(True if predicate else None)
        self._names = resolve(self._tree, library, source, judge=unknown_functions == "when_compiled")
        if self._names.problems:
            raise self._names.problems[0]
        self._fast = fast
        self._strict: Callable[..., Any] | None = None
        object.__setattr__(self, "__call__", self._compiled(strict=False))

    @property
    def variables(self) -> frozenset[str]:
        """The free variables."""
        return self._names.variables

    @property
    def functions(self) -> frozenset[str]:
        """The names of the functions called."""
        return self._names.functions

    @property
    def blocks(self) -> bool:
        """Whether an evaluation may keep its thread waiting for something outside, other than by giving way."""
        return any(name in self.library and self.library[name].blocks for name in self.functions)

    @property
    def waits(self) -> Waits:
        """How an evaluation may wait for something outside."""
        if self.blocks:
            return "in threads"
        called = (self.library[name] for name in self.functions if name in self.library)
        return "in fibers" if any(function.cooperative for function in called) else "no"

    @property
    def tree(self) -> n.Expr:
        """The syntax tree."""
        return self._tree

    def evaluate(self, record: Mapping[str, Any], context: Context = NOTHING, *, missing: Missing = "null") -> Any:
        """The value for a record.

        record: the fields by name
        context: the services that functions ask for
        missing: what a field that the record does not have is: "null", or an "error" as with Metron's strict resolver

        Raises EvaluationError if an operator or a function refuses.
        """
        if missing == "null":
            return self.__call__(record, context)
        if missing != "error":
            raise ValueError(f"missing is 'null' or 'error', not {missing!r}")
        if self._strict is None:
            self._strict = self._compiled(strict=True)
        return self._strict(record, context)

    async def evaluate_async(
        self, record: Mapping[str, Any], context: Context = NOTHING, *, missing: Missing = "null"
    ) -> Any:
        """Return the value for a record, without keeping the event loop of asyncio waiting.

        Calls of models wait in a fiber, and cancelling the coroutine cancels them. Other functions that may wait run in
        a thread, which goes on when the coroutine is cancelled. What only computes is evaluated at once.

        Raises EvaluationError if an operator or a function refuses.
        """
        from stellar.language.asynchronous import run_async  # loads asyncio, which is slow

        return await run_async(partial(self.evaluate, record, context, missing=missing), self.waits)

    @property
    def failure(self) -> Callable[[Exception, Mapping[str, Any]], EvaluationError]:
        """What makes the error to raise of an exception in code that was compiled of it, and the record."""
        return partial(_failure, self.source, self._names)

    def _compiled(self, *, strict: bool) -> Callable[..., Any]:
        make = partial(
            compile_tree,
            self._tree,
            self.library,
            self.source,
            self.failure,
            predicate=self.predicate,
            strict=strict,
        )
        try:
            return make(fast=self._fast)
        except RecursionError:
            # Deep, though not too deep: a new thread has the whole stack, and the plain form nests less
            return _in_new_thread(partial(make, fast=False), self.source)

    def __reduce__(self) -> tuple[Any, ...]:
        if self.library.name is None:
            raise TypeError(
                "this expression's library has no name to be found by; give one: Library.of(…, name='module:attribute')"
            )
        return _compiled_again, (self.source, self.library.name, self.predicate, self.unknown_functions)

    def __repr__(self) -> str:
        return f"<Expression {shortened(self.source)}>"


def _compiled_again(source: str, library: str, predicate: bool, unknown_functions: UnknownFunctions) -> Expression:
    return Expression(source, Library.named(library), predicate=predicate, unknown_functions=unknown_functions)


def _in_new_thread(make: Callable[[], Callable[..., Any]], source: str) -> Callable[..., Any]:
    from concurrent.futures import ThreadPoolExecutor  # seldom needed, and slow to load

    try:
        with ThreadPoolExecutor(max_workers=1) as thread:
            return thread.submit(make).result()
    except RecursionError:
        raise ParseError("the expression nests too deep to be compiled", source, Span(0, len(source))) from None


# -- From a Python exception to a place in the text -------------------------------------------------------------------


# Refusals in a sentence. A KeyError or IndexError of Python's own has none
_TOLD = (ValueError, OSError)


def _failure(source: str, names: Names, error: Exception, record: Mapping[str, Any]) -> EvaluationError:
    """The error to raise for an exception in compiled code: what was wrong, where, and with which values."""
    span = _span(source, error.__traceback__) or Span(0, len(source))
    _show_in_tracebacks(source)
    if isinstance(error, StellarError):  # an expression within an expression
        message = error.message
    elif isinstance(error, RecursionError):
        message = "the evaluation nests too deep"
    elif isinstance(error, _TOLD) or type(error) is LookupError or type(error).__module__.startswith("stellar"):
        message = str(error) or type(error).__name__
    else:
        message = f"{type(error).__name__}: {error}"
    return EvaluationError(message, source, span, _values(names, span, record))


def _values(names: Names, span: Span, record: Mapping[str, Any]) -> str | None:
    within = dict.fromkeys(name for name, where in names.reads if span.start <= where.start and where.end <= span.end)
    shown = [f"{name} is {shortened(record[name]) if name in record else 'missing'}" for name in within if name != "_"]
    return ", ".join(shown) or None


def _span(source: str, traceback: types.TracebackType | None) -> Span | None:
    """Where in the text the innermost frame of its code stood; None if Python keeps no columns."""
    ours = filename(source)
    frames: list[tuple[types.CodeType, int]] = []
    while traceback is not None:
        if (code := traceback.tb_frame.f_code).co_filename == ours:
            frames.append((code, traceback.tb_lasti))
        traceback = traceback.tb_next
    code, instruction = frames[-1]
    line, end_line, column, end_column = list(code.co_positions())[instruction // 2]
    if line is None or end_line is None or column is None or end_column is None:
        return None
    return SourceMap(source).span(line, column, end_line, end_column)


def _show_in_tracebacks(source: str) -> None:
    name = filename(source)
    if name in linecache.cache:
        return
    shown = [key for key in list(linecache.cache) if key.startswith("<stellar ")]
    for key in shown[: max(0, len(shown) - TRACEBACK_TEXTS + 1)]:
        linecache.cache.pop(key, None)
    linecache.cache[name] = (len(source), None, [f"{line}\n" for line in source.split("\n")], name)


# -- In one call ------------------------------------------------------------------------------------------------------


def compile(
    source: str,
    *,
    library: Library | None = None,
    predicate: bool = False,
    unknown_functions: UnknownFunctions = "when_compiled",
) -> Expression:
    """Read, resolve and compile a text; see Expression."""
    return Expression(
        source,
        default_library() if library is None else library,
        predicate=predicate,
        unknown_functions=unknown_functions,
    )


def evaluate(
    source: str, record: Mapping[str, Any], context: Context = NOTHING, *, library: Library | None = None
) -> Any:
    """The value of a text for a record. The last 500 texts stay compiled."""
    return _cached(source, default_library() if library is None else library)(record, context)


@lru_cache(maxsize=500)
def _cached(source: str, library: Library) -> Expression:
    return Expression(source, library)


@cache
def default_library() -> Library:
    """`stellar.functions.LIBRARY`, loaded when it is first wanted."""
    return Library.named("stellar.functions:LIBRARY")


@cache
def shell_library() -> Library:
    """`stellar.functions.SHELL_LIBRARY`: that, and what a person at a terminal may call besides."""
    return Library.named("stellar.functions:SHELL_LIBRARY")
