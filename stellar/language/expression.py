"""Expressions, compiled once and evaluated often."""

from __future__ import annotations

import linecache
import types
import weakref
from collections.abc import Callable, Generator, Iterable, Mapping
from functools import cache, lru_cache, partial
from itertools import islice
from operator import length_hint
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Self

from stellar.language.compiler.functions import FunctionCode, make_function
from stellar.language.compiler.source_map import RULES_FILENAME, SourceMap, filename
from stellar.language.compiler.stored_code import find_code, store_code
from stellar.language.context import NOTHING, Context
from stellar.language.errors import EvaluationError, ParseError, StellarError
from stellar.language.library import Library
from stellar.language.limits import EvaluationLimits, LimitExceeded
from stellar.language.source import Span
from stellar.language.syntax import Syntax
from stellar.util.abbreviate import abbreviate, abbreviate_value, quote
from stellar.util.program_cache import current_cache

if TYPE_CHECKING:
    from stellar.language import nodes as n
    from stellar.language.asynchronous import Waits
    from stellar.language.resolver import Names

UnknownFunctions = Literal["when_compiled", "when_reached"]
Missing = Literal["null", "error"]
Failures = Literal["raise", "yield"]

# The source of this many expressions that failed last is shown in tracebacks
MAX_TRACEBACK_SOURCES = 256
# The locations of this many failures are cached
MAX_SPANS = 1024
# Functions of other packages may quote whole values in their messages
MAX_MESSAGE = 2000
# Compiling a loop takes as long as it saves for this many records
FEWEST_FOR_LOOP = 1000
# An error shows the values of this many variables
MAX_VALUES = 10


class Expression(partial[Any]):
    """A compiled Stellar expression. Call it with a record to evaluate it.

        risky = stellar.compile("bytes > 1000 and method == 'POST'")
        risky({"bytes": 2048, "method": "POST"})  # True

    source: the source
    variables: the fields that it reads, without the parameters of its lambdas
    functions: the names of the functions that it calls

    An expression is immutable and can be shared by threads. It can be pickled if its library has a name: the pickle
    holds the source and that name, and the expression is compiled again when it is loaded.
    """

    # A partial function without arguments: Python calls the compiled function without a method in between
    __slots__ = (
        "_fast",
        "_loop",
        "_strict",
        "_syntax",
        "functions",
        "library",
        "limits",
        "predicate",
        "source",
        "unknown_functions",
        "variables",
    )

    source: str
    library: Library
    predicate: bool
    unknown_functions: UnknownFunctions
    limits: EvaluationLimits | None
    variables: frozenset[str]
    functions: frozenset[str]
    _syntax: Syntax
    _fast: bool
    _strict: Callable[..., Any] | None
    _loop: Callable[..., Generator[Any, None, None]] | Literal[False] | None

    def __new__(
        cls,
        source: str,
        library: Library,
        *,
        predicate: bool = False,
        unknown_functions: UnknownFunctions = "when_compiled",
        limits: EvaluationLimits | None = None,
        fast: bool = True,
    ) -> Self:
        """Parse and compile a source.

        source: the source; if it is empty or whitespace, the value is null, or true for a predicate
        predicate: raise EvaluationError if the result is neither a boolean nor null
        unknown_functions: report an unknown function, or a wrong number of arguments, when the expression is compiled,
            or, as in Metron, when the call is reached
        limits: the limits of values that an evaluation builds; by default those of the library
        fast: write operators inline; False is for tests, which compare both forms

        Raises ParseError or ResolutionError, with source location and hint.
        """
        _require_source(source)
        limits = library.limits if limits is None else limits
        syntax = Syntax(source, library, predicate=predicate)
        code = _find_code(syntax, strict=False, fast=fast)
        if code is None:
            names = syntax.resolve(check_calls=unknown_functions == "when_compiled")
            if names.problems:
                raise names.problems[0]
            code = _compile(syntax, names, strict=False, fast=fast)
        self = super().__new__(cls, _link(code, syntax, limits))
        self.source = source
        self.library = library
        self.predicate = predicate
        self.unknown_functions = unknown_functions
        self.limits = limits
        self.variables = code.variables
        self.functions = code.functions
        self._syntax = syntax
        self._fast = fast
        self._strict = None
        self._loop = None
        return self

    def __get__(self, instance: object, owner: type | None = None) -> Self:
        """Return the expression; as an attribute of a class it is not a method, unlike a partial of Python 3.14."""
        return self

    @property
    def blocks(self) -> bool:
        """True if an evaluation may block its thread, as opposed to waiting cooperatively."""
        return any(name in self.library and self.library[name].blocks for name in self.functions)

    @property
    def waits(self) -> Waits:
        """The way an evaluation may wait."""
        if self.blocks:
            return "in threads"
        called = (self.library[name] for name in self.functions if name in self.library)
        return "in fibers" if any(function.cooperative for function in called) else "no"

    @property
    def pure(self) -> bool:
        """True if evaluations depend on the record alone and change nothing."""
        return all(name in self.library and self.library[name].pure for name in self.functions)

    @property
    def tree(self) -> n.Expr:
        """The syntax tree."""
        return self._syntax.tree

    def evaluate(self, record: Mapping[str, Any], context: Context = NOTHING, *, missing: Missing = "null") -> Any:
        """Return the value for a record.

        record: the fields by name
        context: the services that functions use
        missing: how a field that the record does not have is read: as "null", or as an "error", like Metron's strict
            resolver

        Raises EvaluationError if an operator or a function fails.
        """
        if missing == "null":
            return self(record, context)
        if missing != "error":
            raise ValueError(f"invalid missing: expected 'null' or 'error', got {quote(missing)}")
        if self._strict is None:
            code = _find_code(self._syntax, strict=True, fast=self._fast)
            if code is None:
                code = _compile(self._syntax, self._syntax.names, strict=True, fast=self._fast)
            self._strict = _link(code, self._syntax, self.limits)
        return self._strict(record, context)

    def map(
        self, records: Iterable[Mapping[str, Any]], context: Context = NOTHING, *, failures: Failures = "raise"
    ) -> Generator[Any, None, None]:
        """Yield the value for each record, in order, as they are requested.

        This takes less time than a call for each record, as the loop is compiled, too. It is compiled on first use,
        unless there are fewer than 1,000 records, for which that would take longer than it saves.

        records: any iterable of records
        context: the services that functions use
        failures: "raise" the EvaluationError of a record in its position, which ends the stream, or "yield" it there
            instead of a value
        """
        check_failures(failures)
        fail = partial(_raise_error if failures == "raise" else _return_error, self.to_error)
        if (loop := self._find_loop(records)) is not None:
            return loop(iter(records), context, fail)
        evaluate = self if failures == "raise" else partial(call_or_return_error, self)
        return (evaluate(record, context) for record in records)

    def _find_loop(self, records: Iterable[Any]) -> Callable[..., Generator[Any, None, None]] | None:
        """Return the compiled loop; None if compiling it takes longer than it saves, or it cannot be compiled."""
        if self._loop is None and length_hint(records, FEWEST_FOR_LOOP) >= FEWEST_FOR_LOOP:
            self._loop = self._compile_loop() or False
        return self._loop or None

    def _compile_loop(self) -> Callable[..., Generator[Any, None, None]] | None:
        # The loop would not apply the limits, nor what a subclass adds to a call
        if self.limits is not None or type(self) is not Expression or not self._fast:
            return None
        from stellar.language.compiler.link import compile_loop  # not needed for code from a cache

        try:
            return compile_loop(self._syntax.tree, self.library, self.source, predicate=self.predicate)
        except RecursionError:
            return None

    async def evaluate_async(
        self, record: Mapping[str, Any], context: Context = NOTHING, *, missing: Missing = "null"
    ) -> Any:
        """Return the value for a record, without blocking the event loop of asyncio.

        Model calls wait in a fiber, and cancelling the coroutine cancels them. Other functions that may block run in a
        thread, which continues if the coroutine is cancelled. An expression that never waits is evaluated directly.

        Raises EvaluationError if an operator or a function fails.
        """
        from stellar.language.asynchronous import run_async  # loads asyncio, which is slow

        return await run_async(partial(self.evaluate, record, context, missing=missing), self.waits)

    @property
    def to_error(self) -> Callable[[Exception, Mapping[str, Any]], EvaluationError]:
        """A function that converts an exception of the compiled code, and the record, to the error to raise."""
        return self.to_error_in(filename(self.source))

    def to_error_in(self, file: str) -> Callable[[Exception, Mapping[str, Any]], EvaluationError]:
        """Return such a function for compiled code that represents a file of this name in tracebacks."""
        return partial(_to_error, self._syntax, file)

    def __reduce__(self) -> tuple[Any, ...]:
        if self.library.name is None:
            raise TypeError(
                "the library of this expression has no name for pickling; pass Library.of(…, name='module:attribute')"
            )
        return _recompile, (self.source, self.library.name, self.predicate, self.unknown_functions, self.limits)

    def __repr__(self) -> str:
        return f"<Expression {abbreviate_value(self.source)}>"


def _require_source(source: object) -> None:
    if not isinstance(source, str):
        hint = "; decode it first, as in source.decode()" if isinstance(source, bytes | bytearray) else ""
        raise TypeError(f"expected a str as source of an expression, got {_describe_class(source)}{hint}")


def _describe_class(value: object) -> str:
    return "None" if value is None else f"an object of type {type(value).__name__}"


def _recompile(
    source: str,
    library: str,
    predicate: bool,
    unknown_functions: UnknownFunctions,
    limits: EvaluationLimits | None = None,
) -> Expression:
    return Expression(
        source, Library.named(library), predicate=predicate, unknown_functions=unknown_functions, limits=limits
    )


def _find_code(syntax: Syntax, *, strict: bool, fast: bool) -> FunctionCode | None:
    """Return the code of an expression from the cache of the program, if there is one and it is stored there."""
    pack = current_cache()
    return None if pack is None else find_code(pack, syntax, strict, fast)


def _compile(syntax: Syntax, names: Names, *, strict: bool, fast: bool) -> FunctionCode:
    """Compile an expression, and store its code in the cache of the program, if there is one."""
    # Both take a third of the start-up time of short programs, and expressions from a cache do not need them
    from stellar.language.compiler.codegen import Compiler
    from stellar.language.compiler.link import compile_tree

    def compile_code(compiler: Compiler) -> FunctionCode:
        code = compile_tree(compiler, syntax.tree, syntax.source, predicate=syntax.predicate)
        return FunctionCode(code, compiler.names, names.variables, names.functions)

    make_compiler = partial(Compiler, syntax.library, SourceMap(syntax.source), strict)
    try:
        code = compile_code(compiler := make_compiler(fast))
    except RecursionError:
        # A new thread has an empty stack, and the form without inline operations nests less
        return _in_new_thread(partial(compile_code, make_compiler(False)), syntax.source)
    if (pack := current_cache()) is not None:
        store_code(pack, syntax, code, compiler.prepared, strict, fast)
    return code


def _link(code: FunctionCode, syntax: Syntax, limits: EvaluationLimits | None) -> Callable[..., Any]:
    """Return the function of an expression."""
    fail = partial(_to_error, syntax, code.code.co_filename)
    function = make_function(code.code, code.globals, fail)
    return function if limits is None else limits.apply(function)


def _in_new_thread(make: Callable[[], FunctionCode], source: str) -> FunctionCode:
    from concurrent.futures import ThreadPoolExecutor  # rarely needed, and slow to import

    try:
        with ThreadPoolExecutor(max_workers=1) as thread:
            return thread.submit(make).result()
    except RecursionError:
        raise ParseError("the expression nests too deep to be compiled", source, Span(0, len(source))) from None


def check_failures(failures: str) -> None:
    """Raise ValueError unless failures are to be raised or yielded."""
    if failures not in ("raise", "yield"):
        raise ValueError(f"invalid failures: expected 'raise' or 'yield', got {quote(failures)}")


def call_or_return_error(expression: Expression, record: Mapping[str, Any], context: Context) -> Any:
    """Return the value of an expression, or the EvaluationError."""
    try:
        return expression(record, context)
    except EvaluationError as error:
        return error


# -- Errors -----------------------------------------------------------------------------------------------------------


# Exceptions whose message is a sentence, unlike those of KeyError and IndexError
_EXPLAINED = (ValueError, OSError)


def _raise_error(
    to_error: Callable[[Exception, Mapping[str, Any]], EvaluationError], error: Exception, record: Mapping[str, Any]
) -> NoReturn:
    raise to_error(error, record) from error


def _return_error(
    to_error: Callable[[Exception, Mapping[str, Any]], EvaluationError], error: Exception, record: Mapping[str, Any]
) -> EvaluationError:
    failure = to_error(error, record)
    failure.__cause__ = error
    return failure


def _to_error(syntax: Syntax, file: str, error: Exception, record: Mapping[str, Any]) -> EvaluationError:
    """Convert an exception of compiled code to an error with source location and the values of the variables there.

    Raises TypeError for a record that is not a mapping: the mistake is in the program, not in the expression.
    """
    if record.__class__ is not dict and not isinstance(record, Mapping) and not hasattr(record, "keys"):
        raise TypeError(
            f"expected a mapping of field names to values as record, such as a dict, got {_describe_class(record)}"
        ) from None
    source = syntax.source
    span = _span(source, file, error.__traceback__) or Span(0, len(source))
    if file != RULES_FILENAME:
        _show_in_tracebacks(source, file)
    if isinstance(error, StellarError):  # of an expression that a function evaluated
        message = error.message
    elif isinstance(error, LimitExceeded):
        message = f"{_name_operation(syntax.tree, span)}{error}"
    elif isinstance(error, RecursionError):
        message = "the evaluation nests too deep"
    elif isinstance(error, _EXPLAINED) or type(error) is LookupError or type(error).__module__.startswith("stellar"):
        message = str(error) or type(error).__name__
    elif isinstance(error, KeyError) and " " in str(*error.args[:1]):  # a sentence, which KeyError would quote
        message = str(error.args[0])
    else:
        message = f"{type(error).__name__}: {error}"
    return EvaluationError(abbreviate(message, MAX_MESSAGE), source, span, _values(syntax.names, span, record))


def _name_operation(tree: n.Expr, span: Span) -> str:
    """Return the function or operator at a span, as in `JOIN: `; an empty string for any other expression."""
    from stellar.language import nodes as n  # most evaluations do not fail

    for node in n.walk(tree):
        if node.span == span:
            match node:
                case n.Call(name) | n.Comparison(name):
                    return f"{name}: "
                case n.Membership():
                    return "in: "
                case n.MapLiteral():
                    return "key of a map: "
    return ""


def _values(names: Names, span: Span, record: Mapping[str, Any]) -> str | None:
    within = dict.fromkeys(
        name for name, where in names.reads if span.start <= where.start and where.end <= span.end and name != "_"
    )
    shown = [
        f"{name} is {abbreviate_value(record[name]) if name in record else 'missing'}"
        for name in islice(within, MAX_VALUES)
    ]
    return ", ".join([*shown, "..."] if len(within) > MAX_VALUES else shown) or None


# The code object, which may be gone and its id be reused, and the span, by the id of the code and the instruction
_spans: dict[tuple[int, int], tuple[weakref.ref[types.CodeType], Span | None]] = {}


def _span(source: str, file: str, traceback: types.TracebackType | None) -> Span | None:
    """Return the span of the innermost frame in a file; None if Python runs without columns.

    Python finds a position by decoding all those before it, so the last ones are cached.
    """
    while traceback is not None:
        if (frame_code := traceback.tb_frame.f_code).co_filename == file:
            code, instruction = frame_code, traceback.tb_lasti
        traceback = traceback.tb_next
    key = id(code), instruction
    if (known := _spans.get(key)) is not None and known[0]() is code:
        return known[1]
    if len(_spans) >= MAX_SPANS:
        _spans.clear()
    span = _decode_span(source, code, instruction)
    _spans[key] = weakref.ref(code), span
    return span


def _decode_span(source: str, code: types.CodeType, instruction: int) -> Span | None:
    line, end_line, column, end_column = next(islice(code.co_positions(), instruction // 2, None))
    if line is None or end_line is None or column is None or end_column is None:
        return None
    return SourceMap(source).to_span(line, column, end_line, end_column)


def _show_in_tracebacks(source: str, name: str) -> None:
    if name in linecache.cache:
        return
    shown = [key for key in list(linecache.cache) if key.startswith("<stellar ")]
    for key in shown[: max(0, len(shown) - MAX_TRACEBACK_SOURCES + 1)]:
        linecache.cache.pop(key, None)
    linecache.cache[name] = (len(source), None, [f"{line}\n" for line in source.split("\n")], name)


# -- Functions --------------------------------------------------------------------------------------------------------


def compile(
    source: str,
    *,
    library: Library | None = None,
    predicate: bool = False,
    unknown_functions: UnknownFunctions = "when_compiled",
    limits: EvaluationLimits | None = None,
) -> Expression:
    """Compile a source; the arguments are those of Expression."""
    return Expression(
        source,
        default_library() if library is None else library,
        predicate=predicate,
        unknown_functions=unknown_functions,
        limits=limits,
    )


def evaluate(
    source: str,
    record: Mapping[str, Any] | None = None,
    context: Context = NOTHING,
    *,
    library: Library | None = None,
    limits: EvaluationLimits | None = None,
) -> Any:
    """Compile a source and return its value for a record. The 500 most recently used sources are cached.

    record: the fields by name; none by default
    limits: the limits of values that the evaluation builds
    """
    _require_source(source)
    record = {} if record is None else record
    return _compile_cached(source, default_library() if library is None else library, limits)(record, context)


@lru_cache(maxsize=500)
def _compile_cached(source: str, library: Library, limits: EvaluationLimits | None) -> Expression:
    return Expression(source, library, limits=limits)


@cache
def default_library() -> Library:
    """Return `stellar.functions.LIBRARY`, imported on first use."""
    return Library.named("stellar.functions:LIBRARY")


@cache
def shell_library() -> Library:
    """Return `stellar.functions.SHELL_LIBRARY`, which adds functions for interactive use."""
    return Library.named("stellar.functions:SHELL_LIBRARY")
