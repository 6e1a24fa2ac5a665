"""Declarations of the functions that expressions can call, and libraries of them."""

from __future__ import annotations

import difflib
import inspect
import re
import types
import typing
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from importlib import import_module
from types import FunctionType, ModuleType, NoneType
from typing import Any, NamedTuple, TypeVar

from stellar.language.context import Context
from stellar.language.inline import Inline, Prepared
from stellar.language.limits import SCALARS, EvaluationLimits
from stellar.language.literals import LiteralKind
from stellar.util.abbreviate import quote
from stellar.util.cached_properties import cached_property
from stellar.util.settings import InvalidSetting, declared

F = TypeVar("F", bound=Callable[..., Any])


def stellar(
    name: str,
    *,
    surplus: str = "ignore",
    comprehension: str | None = None,
    prepare: Callable[..., Callable[..., Any] | Prepared | None] | None = None,
    blocks: bool | None = None,
    check: Callable[[Context], object] | None = None,
    literals: Mapping[str, LiteralKind] | None = None,
    pure: bool = False,
    borrows: Collection[str] = (),
    inline: Sequence[Inline] = (),
) -> Callable[[F], F]:
    """Declare a Python function as the Stellar function of this name.

        @stellar.function("STARTS_WITH")
        def starts_with(str_: str | None, prefix: str | None) -> bool:
            \"""Test if a string begins with a prefix.

            str: The string
            prefix: The prefix
            returns: True if it does; false if either is null

                STARTS_WITH('apache', 'ap')  // true
                STARTS_WITH(null, 'ap')  // false
            \"""

    The signature defines the arity, and the annotations the types of the arguments: calls check them, so the body can
    rely on them. A first parameter annotated `Context` receives the services that the function needs. Parameter names
    are shown in camel case without a trailing underscore: `window_size` as windowSize, `str_` as str.

    surplus: handling of arguments beyond the last parameter: "ignore" evaluates and drops them, as Metron does for
        most functions; "refuse" makes them an error
    comprehension: "map" or "filter" for a function of a list and a lambda with that meaning; calls may be compiled to a
        list comprehension
    prepare: does work that depends only on literal arguments, such as compiling a pattern, once per expression. It is
        called with the arguments, with UNKNOWN for those that are not literals, and returns a function of these, or
        None for an ordinary call. It must return None for an invalid literal, because the error is raised when the
        call is reached. A `Prepared` adds inline forms of that function
    blocks: True if a call may block its thread, False if it never waits, or waits cooperatively with
        `stellar.util.waiting`, so that one thread can evaluate many records. By default a function blocks if it takes
        a context or is not part of this package
    check: checks what calls need from outside the expression, such as a store, a file or a package. It raises
        LookupError with the fix if that is missing
    literals: by parameter, the meaning of arguments that are literals, for checks of expressions
    pure: True if the result depends on the arguments and the time alone, and no argument is changed or kept. Calls of
        pure functions in different rules may be evaluated in any order, and once instead of several times
    borrows: the parameters whose lists and maps are neither changed, kept nor returned, though their elements may be.
        A constant list or map as such an argument is created once. A pure function that returns a boolean, a number or
        a string borrows all of them
    inline: expressions with the same result, for arguments of certain classes; the first that fits the literals and
        the number of arguments is used

    The function is returned unchanged and is not registered anywhere; `Library.of` collects declared functions.
    """

    def declare(implementation: F) -> F:
        if inspect.iscoroutinefunction(implementation) or inspect.isasyncgenfunction(implementation):
            raise TypeError(
                f"{name} is declared by an async function, but an expression needs its value at once; declare a "
                "function that waits, with blocks=True, and call evaluate_async, which runs it in a thread"
            )
        implementation.__stellar__ = Function(  # type: ignore[attr-defined]
            name,
            implementation,
            surplus == "ignore",
            comprehension,
            prepare,
            blocks,
            check,
            literals or {},
            pure,
            frozenset(borrows),
            tuple(inline),
        )
        return implementation

    if surplus not in ("ignore", "refuse"):
        raise ValueError(f"invalid surplus: expected 'ignore' or 'refuse', got {quote(surplus)}")
    if comprehension not in (None, "map", "filter"):
        raise ValueError(f"invalid comprehension: expected 'map' or 'filter', got {quote(comprehension)}")
    return declare


# The name for code that imports the package: @stellar.function("NAME")
function = stellar


class Kind(NamedTuple):
    """The type of a parameter.

    classes: Python classes of the accepted values; empty accepts any value
    null: True if null is accepted
    noun: name for messages, such as "a string"
    converted: True if a Python object that is not a Stellar value is converted, or an error if that is impossible, even
        though any value is accepted
    """

    classes: tuple[type, ...]
    null: bool
    noun: str
    converted: bool = False

    def accepts(self, value: object) -> bool:
        """Return True if a value is of this type."""
        if value is None:
            return self.null or not self.classes
        if not self.classes:
            return True
        if isinstance(value, bool):  # in Python a bool is an int; in Stellar it is not
            return bool in self.classes
        return isinstance(value, self.classes)


# Passed to `prepare` for an argument that is not a literal
UNKNOWN: Any = object()


class Written(str):
    """A string literal of the expression: chosen by its author, not read from a record.

    A parameter annotated `Written | str` receives string literals as this class.
    """

    __slots__ = ()


# Lambdas are compiled to Python functions
Lambda = FunctionType

_KINDS: dict[Any, tuple[tuple[type, ...], str]] = {
    str: ((str,), "a string"),
    bool: ((bool,), "a boolean"),
    int: ((int,), "an integer"),
    float: ((float, int), "a number"),
    bytes: ((bytes,), "bytes"),
    list: ((list,), "a list"),
    set: ((set,), "a set"),
    Mapping: ((dict, Mapping), "a map"),
    Iterable: ((list, set, frozenset, tuple), "a list or set"),
    Written: ((Written,), "a string"),
    Callable: ((FunctionType,), "a lambda such as x -> x + 1"),
}
_KINDS[dict] = _KINDS[Mapping]
_KINDS[Collection] = ((str, list, dict, set, frozenset, tuple, Mapping), "a string, list, set or map")


class Parameter(NamedTuple):
    """A parameter as shown to users; `repeated` for a last parameter that takes any number of arguments."""

    name: str
    kind: Kind
    optional: bool
    repeated: bool
    description: str


class Help(NamedTuple):
    """The docstring of a function by sections."""

    summary: str
    details: str
    parameters: dict[str, str]
    returns: str
    examples: str


@dataclass(eq=False)
class Function:
    """A Stellar function: the Python function that implements it, and what its signature and docstring declare."""

    name: str
    implementation: Callable[..., Any]
    ignores_surplus: bool = True
    comprehension: str | None = None
    prepare: Callable[..., Callable[..., Any] | Prepared | None] | None = None
    declared_blocks: bool | None = None
    check: Callable[[Context], object] | None = None
    literals: Mapping[str, LiteralKind] = field(default_factory=dict)
    pure: bool = False
    borrows: frozenset[str] = frozenset()
    inline: tuple[Inline, ...] = ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    @cached_property
    def blocks(self) -> bool:
        """True if a call may block its thread."""
        if self.declared_blocks is not None:
            return self.declared_blocks
        return self.needs_context or not self.implementation.__module__.startswith("stellar.functions.")

    @cached_property
    def cooperative(self) -> bool:
        """True if a call may wait, cooperatively in a fiber."""
        return self.needs_context and not self.blocks

    @cached_property
    def _signature(self) -> tuple[list[inspect.Parameter], dict[str, Any]]:
        """The parameters of the implementation, and the annotations by their names."""
        return list(inspect.signature(self.implementation).parameters.values()), typing.get_type_hints(
            self.implementation
        )

    @cached_property
    def needs_context(self) -> bool:
        """True if the context is passed before the arguments."""
        parameters, hints = self._signature
        return bool(parameters) and hints.get(parameters[0].name) is Context

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """The parameters, without the context."""
        parameters, hints = self._signature
        descriptions = self.help.parameters
        return tuple(
            Parameter(
                name=(name := _public_name(parameter.name)),
                kind=kind(hints.get(parameter.name, object)),
                optional=parameter.default is not parameter.empty or parameter.kind is parameter.VAR_POSITIONAL,
                repeated=parameter.kind is parameter.VAR_POSITIONAL,
                description=descriptions.get(name, ""),
            )
            for parameter in parameters[self.needs_context :]
        )

    def describe_parameters(self) -> list[tuple[object, ...]]:
        """Return what compiled code depends on of each parameter, without reading the docstring."""
        parameters, hints = self._signature
        return [
            (each.name, each.kind.name, each.default is each.empty, kind(hints.get(each.name, object)))
            for each in parameters
        ]

    @cached_property
    def required(self) -> int:
        """The minimum number of arguments."""
        return sum(not parameter.optional for parameter in self.parameters)

    @cached_property
    def most(self) -> int | None:
        """The maximum number of arguments that are used; None for any number."""
        return None if any(parameter.repeated for parameter in self.parameters) else len(self.parameters)

    @cached_property
    def returns(self) -> Any:
        """The annotation of its result, such as `bool` or `str | None`."""
        return self._signature[1].get("return", object)

    @cached_property
    def returns_scalar(self) -> bool:
        """True if its annotation promises a boolean, a number, a string or null."""
        returns = self.returns
        members = typing.get_args(returns) if isinstance(returns, types.UnionType) else (returns,)
        return all(member in SCALARS for member in members)

    def prepare_call(self, literals: Iterable[Any]) -> Prepared | None:
        """Return what `prepare` returns for the arguments of a call; None for an ordinary call.

        literals: the arguments, with UNKNOWN for those that are not literals
        """
        prepared = self.prepare and self.prepare(*literals)
        return prepared if prepared is None or isinstance(prepared, Prepared) else Prepared(prepared)

    def borrows_at(self, index: int) -> bool:
        """Return True if a list or map as the argument at a position is neither changed, kept nor returned."""
        return (self.pure and self.returns_scalar) or self.parameter_at(index).name in self.borrows

    @cached_property
    def help(self) -> Help:
        """The sections of the docstring."""
        return read_help(inspect.getdoc(self.implementation) or "")

    @cached_property
    def usage(self) -> str:
        """The signature for users, such as `MAP_GET(key, map, default?)`."""
        marks = (f"{p.name}{'...' if p.repeated else '?' if p.optional else ''}" for p in self.parameters)
        return f"{self.name}({', '.join(marks)})"

    @cached_property
    def fingerprint(self) -> str | None:
        """A digest of what compiled code that calls it depends on; None if its module has no source file."""
        from stellar.language.fingerprints import function_fingerprint  # only caches need it

        return function_fingerprint(self)

    @property
    def family(self) -> str:
        """The name of the module that defines it, such as `strings`."""
        return self.implementation.__module__.rpartition(".")[2]

    def parameter_at(self, index: int) -> Parameter:
        """Return the parameter for the argument at a position."""
        return self.parameters[min(index, len(self.parameters) - 1)]


def _public_name(name: str) -> str:
    """Return the name of a parameter for users: `windowSize` for `window_size`, `str` for `str_`."""
    first, *rest = name.rstrip("_").split("_")
    return first + "".join(word.capitalize() for word in rest)


def kind(annotation: Any) -> Kind:
    """Return the type that an annotation declares."""
    if annotation is Any or annotation is object:
        return Kind((), null=True, noun="any value", converted=annotation is object)
    members = (
        typing.get_args(annotation)
        if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union
        else (annotation,)
    )
    classes: list[type] = []
    nouns: list[str] = []
    for member in members:
        plain = typing.get_origin(member) or member
        if plain is NoneType:
            continue
        # A class of opaque values declares its name for users as STELLAR_NOUN
        found, noun = _KINDS.get(plain) or ((plain,), getattr(plain, "STELLAR_NOUN", f"a {plain.__name__}"))
        classes.extend(found)
        nouns.append(noun)
    return Kind(tuple(classes), NoneType in members, " or ".join(dict.fromkeys(nouns)))


_ENTRY = re.compile(r"(\w+): (.+(?:\n {2,}\S.*)*)")


def read_help(docstring: str) -> Help:
    """Split the docstring of a function into sections.

    The first paragraph is the summary. A paragraph of `name: description` lines describes parameters and, as
    `returns`, the result. Indented paragraphs are examples. All other paragraphs are details.
    """
    summary, details, entries, examples = "", [], {}, []
    for paragraph in re.split(r"\n[ \t]*\n", docstring.strip("\n")):
        # inspect.getdoc removes the indentation of examples that directly follow the summary
        if re.match(r" {4}|.*\S +// \S", paragraph):
            examples.append(inspect.cleandoc(paragraph))
        elif not summary:
            summary = " ".join(paragraph.split())
        elif re.match(r"[a-z]\w*: ", paragraph):
            entries.update({name: " ".join(description.split()) for name, description in _ENTRY.findall(paragraph)})
        else:
            details.append(" ".join(paragraph.split()))
    returns = entries.pop("returns", "")
    return Help(summary, "\n\n".join(details), entries, returns, "\n\n".join(examples))


@dataclass(eq=False)
class Library(Mapping[str, Function]):
    """A set of functions by name. A program can use several libraries.

    name: location as `module:attribute`, for pickling; without it, expressions that use the library can't be pickled
    limits: the limits of evaluations that use the library; by default those of the evaluation that evaluates them, or
        the default limits
    """

    functions: dict[str, Function] = field(default_factory=dict)
    name: str | None = None
    limits: EvaluationLimits | None = None

    def __repr__(self) -> str:
        name = f" {self.name}" if self.name else ""
        return f"<{type(self).__name__}{name} of {len(self)} functions>"

    # Compared by identity, because libraries are keys of caches
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    @classmethod
    def of(cls, *sources: ModuleType | Function | Callable[..., Any] | Library, name: str | None = None) -> Library:
        """Collect the functions of modules, functions and libraries; a later one replaces one of the same name."""
        library = cls(name=name)
        for source in sources:
            for function in _collect(source):
                library.functions[function.name] = function
        return library

    @classmethod
    def named(cls, name: str) -> Library:
        """Return the library at `module:attribute`.

        Raises LookupError if it does not exist.
        """
        module, _, attribute = name.partition(":")
        try:
            library = getattr(import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise LookupError(f"no library of Stellar functions at {name}: {error}") from error
        if not isinstance(library, Library):
            raise LookupError(f"invalid library {name}: expected a Library, got a {type(library).__name__}")
        return library

    def __getitem__(self, name: str) -> Function:
        return self.functions[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.functions)

    def __len__(self) -> int:
        return len(self.functions)

    def restricted(self, include: Iterable[str] = (), exclude: Iterable[str] = (), name: str | None = None) -> Library:
        """Return a library with some of the functions.

        include: regular expressions; if not empty, only functions that match one of them are included
        exclude: regular expressions; functions that match one of them are excluded, even if `include` matches

        A pattern must match the whole Stellar name or the whole dotted path of the Python function. Whitespace around
        a pattern is removed, and empty patterns are ignored.
        """
        included = [re.compile(pattern.strip()) for pattern in include if pattern.strip()]
        excluded = [re.compile(pattern.strip()) for pattern in exclude if pattern.strip()]

        def matches(patterns: list[re.Pattern[str]], function: Function) -> bool:
            path = f"{function.implementation.__module__}.{function.implementation.__qualname__}"
            return any(pattern.fullmatch(function.name) or pattern.fullmatch(path) for pattern in patterns)

        return Library(
            {
                key: function
                for key, function in self.functions.items()
                if (not included or matches(included, function)) and not matches(excluded, function)
            },
            name,
            self.limits,
        )

    def configured(self, settings: Mapping[str, Any]) -> Library:
        """Return a library restricted by the global configuration.

        settings: the global configuration; `stellar.function.resolver.includes` and
            `stellar.function.resolver.excludes` are lists of regular expressions, or strings of them separated by
            commas or colons; `stellar.limits.…` are the limits of evaluations

        Raises SettingError for an invalid setting.
        """
        include, exclude = (_patterns(settings, key) for key in RESOLVER_KEYS)
        library = self.restricted(include, exclude) if include or exclude else self
        if (limits := _read_limits(settings)) is not None:
            library = copy(library)
            library.limits = limits
        return library

    def hint(self, name: str) -> str | None:
        """Return a suggestion for the name of an unknown function; None if no name is similar."""
        similar = self.find_similar(name)
        return f"did you mean {similar}?" if similar else None

    def find_similar(self, name: str) -> str | None:
        """Return the most similar name of a function, ignoring case; None if no name is similar.

        A name that begins with the given one is more similar than one with the same letters.
        """
        upper = {known.upper(): known for known in self}
        if len(name) >= SHORTEST_PREFIX and (longer := [known for known in upper if known.startswith(name.upper())]):
            return upper[min(longer, key=lambda known: (len(known), known))]
        close = difflib.get_close_matches(name.upper(), upper, n=1, cutoff=0.7)
        return upper[close[0]] if close else None


# Letters of the shortest name that suggests those that begin with it
SHORTEST_PREFIX = 3


class SettingError(ValueError):
    """An invalid setting; `key` is its name."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(f"{key}: {message}")
        self.key = key
        self.message = message


RESOLVER_KEYS = ("stellar.function.resolver.includes", "stellar.function.resolver.excludes")


def _patterns(settings: Mapping[str, Any], key: str) -> list[str]:
    value = settings.get(key) or []
    patterns = re.split("[,:]", value) if isinstance(value, str) else value
    if not isinstance(patterns, list) or not all(isinstance(item, str) for item in patterns):
        raise SettingError(key, "expected a list of regular expressions, or a string of them separated by commas")
    for pattern in patterns:
        try:
            re.compile(pattern.strip())
        except re.error as error:
            raise SettingError(key, f"invalid regular expression {quote(pattern.strip())}: {error}") from error
    return patterns


def _read_limits(settings: Mapping[str, Any]) -> EvaluationLimits | None:
    """Return the limits in a global configuration, otherwise None."""
    if not any(key in settings for key in declared(EvaluationLimits)):
        return None
    try:
        return EvaluationLimits.of(settings)
    except InvalidSetting as error:
        raise SettingError(error.key, error.reason) from None


def _collect(source: ModuleType | Function | Callable[..., Any] | Library) -> Iterator[Function]:
    if isinstance(source, Library):
        yield from source.functions.values()
    elif isinstance(source, Function):
        yield source
    elif isinstance(source, ModuleType):
        yield from (
            f for value in vars(source).values() if isinstance(f := getattr(value, "__stellar__", None), Function)
        )
    elif isinstance(declared := getattr(source, "__stellar__", None), Function):
        yield declared
    else:
        raise TypeError(f"{quote(source)} declares no Stellar function; decorate it with @stellar.function")
