"""Parsers, filters, transformations and validations by name: built in, of a distribution, or of a Python module."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from stellar.language.errors import ConfigError
from stellar.pipeline.config.locations import SourceLocation
from stellar.util.abbreviate import quote
from stellar.util.suggestions import suggest_name

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

F = TypeVar("F", bound=Callable[..., Any])

_METRON = "org.apache."


def find_factory(name: str, built_in: Mapping[str, F], kind: str, location: SourceLocation) -> F:
    """Return the factory with a name.

    It is looked up among the built-in ones, then in the entry points of the group `stellar.KINDs`, such as
    `stellar.filters`; otherwise a name with a dot is the path of a Python function.

    kind: parser, filter, transformation or validation

    Raises ConfigError for an unknown name.
    """
    if name in built_in:
        return built_in[name]
    from importlib.metadata import entry_points  # few configurations use other than built-in ones

    points = {point.name: point for point in entry_points(group=f"stellar.{kind}s")}
    if name in points:
        return cast(F, _load_lazily(points[name], kind, location))
    if is_python_path(name):
        return cast(F, import_factory(name, location, kind))
    known = [known for known in (*built_in, *points) if known and not known.startswith(_METRON)]
    short = name.rpartition(".")[2].removesuffix(kind.capitalize())
    raise location.error(f"unknown {kind} {quote(name)}; {suggest_name(short, known)}")


def is_python_path(name: str) -> bool:
    """Return True if a name is the dotted path of a Python function, not a name in a table or a Java class."""
    return "." in name and not name.startswith((_METRON, "java."))


def _load_lazily(point: EntryPoint, kind: str, location: SourceLocation) -> Callable[..., Any]:
    return lambda *arguments: import_factory(point.value.replace(":", "."), location, kind)(*arguments)


def import_factory(name: str, location: SourceLocation, kind: str) -> Callable[..., Any]:
    """Import the Python function at a dotted path, which a configuration names as a factory.

    kind: the kind of object that it returns, such as "parser", for messages; the object must be callable

    Raises ConfigError if the function does not exist. The returned function raises ConfigError for any failure of it.
    """
    module, _, attribute = name.rpartition(".")
    try:
        function = getattr(importlib.import_module(module), attribute)
    except (Exception, SystemExit) as error:  # the import of a module may raise anything
        raise location.error(
            f"cannot import {quote(name)}: {_describe_error(error, ImportError, AttributeError)}"
        ) from error
    if not callable(function):
        raise location.error(f"expected a function, got {type(function).__name__} {name}")

    def make(*arguments: Any) -> Any:
        try:
            created = function(*arguments)
        except ConfigError:
            raise
        except (Exception, SystemExit) as error:  # code of the user may raise anything
            raise location.error(f"cannot create the {kind} by {name}: {_describe_error(error)}") from error
        if not callable(created):
            raise location.error(f"cannot create the {kind} by {name}: expected a callable, got {quote(created, 60)}")
        return created

    return make


def _describe_error(error: BaseException, *plain: type[BaseException]) -> str:
    """Return the message of an exception, after the name of its class unless that is one of `plain`."""
    if isinstance(error, SystemExit):
        return "it exits the program"
    return str(error) if isinstance(error, plain) else f"{type(error).__name__}: {error}"
