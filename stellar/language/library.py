"""Functions that expressions can call: how one is declared, and how a set of them is gathered."""

from __future__ import annotations

import difflib
import inspect
import re
import types
import typing
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from types import FunctionType, ModuleType, NoneType
from typing import Any, TypeVar

from stellar.language.context import Context
from stellar.util.cached_properties import cached_property

F = TypeVar("F", bound=Callable[..., Any])


def stellar(
    name: str,
    *,
    surplus: str = "ignore",
    comprehension: str | None = None,
    prepare: Callable[..., Callable[..., Any] | None] | None = None,
    blocks: bool | None = None,
) -> Callable[[F], F]:
    """Declare a plain Python function as the Stellar function of this name.

        @stellar("STARTS_WITH")
        def starts_with(str_: str | None, prefix: str | None) -> bool:
            \"""Whether a text begins with a prefix.

            str: The text to test
            prefix: The beginning to look for
            returns: True if it does; false if either is null

                STARTS_WITH('apache', 'ap')  // true
                STARTS_WITH(null, 'ap')  // false
            \"""

    The signature is the arity, and its annotations say what each argument must be: the compiler puts the guards where
    the call stands, so the body can rely on them. A first parameter annotated `Context` is what the function needs from
    outside. Users see `window_size` as windowSize, and `str_`, which does not hide a Python name, as str.

    `surplus` says what becomes of arguments beyond the last parameter: "ignore" evaluates and drops them, as Metron
    does nearly everywhere; "refuse" is an error.

    `comprehension` is "map" or "filter" for a function of a list and a lambda that means just that: the compiler may
    then write a list comprehension in its place.

    `prepare` does once what depends only on arguments that stand in the expression as literals, such as reading a
    pattern. It is called with the arguments, UNKNOWN standing for those that are no literals, and returns the function
    of these alone, or None to have it the plain way; so it does if a literal is refused, which must be said when the
    call is reached.

    `blocks` is whether a call may keep its thread waiting for something outside. What never does, or gives way by
    `stellar.util.scheduler` where it waits, says False: then one thread can work at many records. If it is not said,
    a function blocks if it takes a context, or is none of this package.

    The function is returned unchanged; nothing is registered until `Library.of` gathers it.
    """

    def declare(implementation: F) -> F:
        implementation.__stellar__ = Function(  # type: ignore[attr-defined]
            name, implementation, surplus == "ignore", comprehension, prepare, blocks
        )
        return implementation

    if surplus not in ("ignore", "refuse"):
        raise ValueError(f"surplus is 'ignore' or 'refuse', not {surplus!r}")
    if comprehension not in (None, "map", "filter"):
        raise ValueError(f"comprehension is 'map' or 'filter', not {comprehension!r}")
    return declare


@dataclass(frozen=True, slots=True)
class Kind:
    """What values a parameter takes.

    classes: the Python classes of such values; empty means any value
    null: whether null is taken as well
    noun: how a person would name it, such as "a text"
    """

    classes: tuple[type, ...]
    null: bool
    noun: str

    def accepts(self, value: object) -> bool:
        if value is None:
            return self.null or not self.classes
        if not self.classes:
            return True
        if isinstance(value, bool):  # in Python a bool is an int; in Stellar it is not
            return bool in self.classes
        return isinstance(value, self.classes)


# Stands for an argument that is known only when the call is reached
UNKNOWN: Any = object()


class Written(str):
    """A text that stands in the expression itself. It is what its author chose, and not what a record brought.

    A parameter annotated `Written | str` gets literals of the expression as this.
    """

    __slots__ = ()


# A lambda of Stellar is a Python function: that is what the compiler makes of it
Lambda = FunctionType

_KINDS: dict[Any, tuple[tuple[type, ...], str]] = {
    str: ((str,), "a text"),
    bool: ((bool,), "true or false"),
    int: ((int,), "a whole number"),
    float: ((float, int), "a number"),
    bytes: ((bytes,), "bytes"),
    list: ((list,), "a list"),
    set: ((set,), "a set"),
    Mapping: ((dict, Mapping), "a map"),
    Iterable: ((list, set, frozenset, tuple), "a list or set"),
    Written: ((Written,), "a text"),
    Callable: ((FunctionType,), "a lambda such as x -> x + 1"),
}
_KINDS[dict] = _KINDS[Mapping]
_KINDS[Collection] = ((str, list, dict, set, frozenset, tuple, Mapping), "a text, list, set or map")


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter as users see it; `repeated` for the last one of a function that takes any number."""

    name: str
    kind: Kind
    optional: bool
    repeated: bool
    description: str


@dataclass(frozen=True, slots=True)
class Help:
    """What the docstring of a function says: its meaning, its parameters, what it returns, and examples."""

    summary: str
    details: str
    parameters: dict[str, str]
    returns: str
    examples: str


@dataclass(eq=False)
class Function:
    """A Stellar function: its name, the Python function behind it, and what the two tell together."""

    name: str
    implementation: Callable[..., Any]
    ignores_surplus: bool = True
    comprehension: str | None = None
    prepare: Callable[..., Callable[..., Any] | None] | None = None
    said_to_block: bool | None = None

    @cached_property
    def blocks(self) -> bool:
        """Whether a call may keep its thread waiting for something outside."""
        if self.said_to_block is not None:
            return self.said_to_block
        return self.needs_context or not self.implementation.__module__.startswith("stellar.functions.")

    @cached_property
    def cooperative(self) -> bool:
        """Whether a call may wait for something outside, by giving way in a fiber."""
        return self.needs_context and not self.blocks

    @cached_property
    def _signature(self) -> tuple[list[inspect.Parameter], dict[str, Any]]:
        return list(inspect.signature(self.implementation).parameters.values()), typing.get_type_hints(
            self.implementation
        )

    @cached_property
    def needs_context(self) -> bool:
        """Whether it is given the context before its arguments."""
        parameters, hints = self._signature
        return bool(parameters) and hints.get(parameters[0].name) is Context

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """What it takes, in order, without the context."""
        parameters, hints = self._signature
        described = self.help.parameters
        return tuple(
            Parameter(
                name=(name := _shown(parameter.name)),
                kind=kind(hints.get(parameter.name, object)),
                optional=parameter.default is not parameter.empty or parameter.kind is parameter.VAR_POSITIONAL,
                repeated=parameter.kind is parameter.VAR_POSITIONAL,
                description=described.get(name, ""),
            )
            for parameter in parameters[self.needs_context :]
        )

    @cached_property
    def required(self) -> int:
        """How many arguments it needs at least."""
        return sum(not parameter.optional for parameter in self.parameters)

    @cached_property
    def most(self) -> int | None:
        """How many arguments it looks at; None for any number."""
        return None if any(parameter.repeated for parameter in self.parameters) else len(self.parameters)

    @cached_property
    def returns(self) -> Any:
        """The annotation of its result, such as `bool` or `str | None`."""
        return self._signature[1].get("return", object)

    @cached_property
    def help(self) -> Help:
        """Its docstring, taken apart."""
        return read_help(inspect.getdoc(self.implementation) or "")

    @cached_property
    def usage(self) -> str:
        """How it is called, such as `MAP_GET(key, map, default?)`."""
        marks = (f"{p.name}{'...' if p.repeated else '?' if p.optional else ''}" for p in self.parameters)
        return f"{self.name}({', '.join(marks)})"

    @property
    def family(self) -> str:
        """The module that it lives in, such as `strings`."""
        return self.implementation.__module__.rpartition(".")[2]

    def parameter_at(self, index: int) -> Parameter:
        """The parameter that takes the argument at this position."""
        return self.parameters[min(index, len(self.parameters) - 1)]


def _shown(name: str) -> str:
    """A parameter's name as users see it: `window_size` is windowSize, and `str_` is str."""
    first, *rest = name.rstrip("_").split("_")
    return first + "".join(word.capitalize() for word in rest)


def kind(annotation: Any) -> Kind:
    """The kind of value that a parameter's annotation asks for."""
    if annotation is Any or annotation is object:
        return Kind((), null=True, noun="any value")
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
        # A class of opaque values says with STELLAR_NOUN what a user would call them
        found, noun = _KINDS.get(plain) or ((plain,), getattr(plain, "STELLAR_NOUN", f"a {plain.__name__}"))
        classes.extend(found)
        nouns.append(noun)
    return Kind(tuple(classes), NoneType in members, " or ".join(dict.fromkeys(nouns)))


_ENTRY = re.compile(r"(\w+): (.+(?:\n {2,}\S.*)*)")


def read_help(docstring: str) -> Help:
    """Take a function's docstring apart.

    The first paragraph is the summary. A paragraph of `name: text` lines describes parameters and, as `returns`, the
    result. Indented paragraphs are examples. Whatever else stands there is detail.
    """
    summary, details, entries, examples = "", [], {}, []
    for paragraph in re.split(r"\n[ \t]*\n", docstring.strip("\n")):
        # A docstring of a summary and examples alone loses their indentation
        if re.match(r" {4}|.*\S +// \S", paragraph):
            examples.append(inspect.cleandoc(paragraph))
        elif not summary:
            summary = " ".join(paragraph.split())
        elif re.match(r"[a-z]\w*: ", paragraph):
            entries.update({name: " ".join(text.split()) for name, text in _ENTRY.findall(paragraph)})
        else:
            details.append(" ".join(paragraph.split()))
    returns = entries.pop("returns", "")
    return Help(summary, "\n\n".join(details), entries, returns, "\n\n".join(examples))


@dataclass(eq=False)
class Library(Mapping[str, Function]):
    """A set of functions by name. Two libraries can live side by side, so a program can offer less, or more.

    name: where to find it again, as `module:attribute`; without one, an Expression that uses it can't be pickled
    """

    functions: dict[str, Function] = field(default_factory=dict)
    name: str | None = None

    # Two libraries are alike only if they are one: they are keys of caches
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    @classmethod
    def of(cls, *sources: ModuleType | Function | Callable[..., Any] | Library, name: str | None = None) -> Library:
        """The functions that these modules, functions and libraries declare; of two with one name, the later one."""
        library = cls(name=name)
        for source in sources:
            for function in _declared(source):
                library.functions[function.name] = function
        return library

    @classmethod
    def named(cls, name: str) -> Library:
        """The library at `module:attribute`.

        Raises LookupError if there is none.
        """
        module, _, attribute = name.partition(":")
        try:
            library = getattr(import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise LookupError(f"no library of Stellar functions at {name}: {error}") from error
        if not isinstance(library, Library):
            raise LookupError(f"{name} is a {type(library).__name__}, not a Library")
        return library

    def __getitem__(self, name: str) -> Function:
        return self.functions[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.functions)

    def __len__(self) -> int:
        return len(self.functions)

    def restricted(self, include: Iterable[str] = (), exclude: Iterable[str] = (), name: str | None = None) -> Library:
        """This library without some of its functions.

        include: regular expressions; if there are any, a function must match one of them
        exclude: regular expressions; a function that matches one of them is left out, whatever `include` says

        An expression must match the whole Stellar name or the whole dotted path of the Python function. Blanks around
        an expression are dropped, and empty ones are no expression.
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
        )

    def configured(self, settings: Mapping[str, Any]) -> Library:
        """What Metron's settings leave of this library: `restricted` by `stellar.function.resolver.includes` and
        `stellar.function.resolver.excludes`, lists of regular expressions, or texts with commas or colons between.

        Raises SettingError for one that can't be used.
        """
        include, exclude = (_patterns(settings, key) for key in RESOLVER_KEYS)
        return self.restricted(include, exclude) if include or exclude else self

    def hint(self, name: str) -> str | None:
        """What to tell someone who asks for a function that is not here."""
        close = self.resembling(name)
        return f"did you mean {close}?" if close else None

    def resembling(self, name: str) -> str | None:
        """The function whose name is most like this one, if one is like it at all."""
        upper = {known.upper(): known for known in self}
        close = difflib.get_close_matches(name.upper(), upper, n=1, cutoff=0.7)
        return upper[close[0]] if close else None


class SettingError(ValueError):
    """A value of the configuration that can't be used; `key` is its name."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(f"{key}: {message}")
        self.key = key
        self.message = message


RESOLVER_KEYS = ("stellar.function.resolver.includes", "stellar.function.resolver.excludes")


def _patterns(settings: Mapping[str, Any], key: str) -> list[str]:
    value = settings.get(key) or []
    patterns = re.split("[,:]", value) if isinstance(value, str) else value
    if not isinstance(patterns, list) or not all(isinstance(item, str) for item in patterns):
        raise SettingError(key, "a list of regular expressions is wanted, or comma text")
    for pattern in patterns:
        try:
            re.compile(pattern.strip())
        except re.error as error:
            raise SettingError(key, f"{pattern.strip()!r} is no regular expression: {error}") from error
    return patterns


def _declared(source: ModuleType | Function | Callable[..., Any] | Library) -> Iterator[Function]:
    if isinstance(source, Library):
        yield from source.functions.values()
    elif isinstance(source, Function):
        yield source
    elif isinstance(source, ModuleType):
        yield from (
            f for value in vars(source).values() if isinstance(f := getattr(value, "__stellar__", None), Function)
        )
    elif isinstance(found := getattr(source, "__stellar__", None), Function):
        yield found
    else:
        raise TypeError(f"{source!r} declares no Stellar function; decorate it with @stellar")
