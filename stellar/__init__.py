"""Stellar: a small expression language for telemetry pipelines, compiled to Python.

    import stellar

    risky = stellar.compile("bytes > 1000 and method == 'POST'")
    risky({"bytes": 2048, "method": "POST"})  # True

Each name is loaded when it is first used, so that what only deploys models does not load the language.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stellar.context import Context as Context
    from stellar.errors import ConfigError as ConfigError
    from stellar.errors import EvaluationError as EvaluationError
    from stellar.errors import ParseError as ParseError
    from stellar.errors import ResolutionError as ResolutionError
    from stellar.errors import StellarError as StellarError
    from stellar.expression import Expression as Expression
    from stellar.expression import compile as compile
    from stellar.expression import evaluate as evaluate
    from stellar.functions import LIBRARY as LIBRARY
    from stellar.library import Function as Function
    from stellar.library import Library as Library
    from stellar.library import stellar as stellar
    from stellar.stream import evaluate_many as evaluate_many
    from stellar.stream import evaluate_many_async as evaluate_many_async

_HOMES = {
    "context": ("Context",),
    "errors": ("ConfigError", "EvaluationError", "ParseError", "ResolutionError", "StellarError"),
    "expression": ("Expression", "compile", "evaluate"),
    "functions": ("LIBRARY",),
    "library": ("Function", "Library", "stellar"),
    "stream": ("evaluate_many", "evaluate_many_async"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if (home := _HOME_OF.get(name)) is None:
        raise AttributeError(f"module 'stellar' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"stellar.{home}"), name)
    return value


def __dir__() -> list[str]:
    return __all__
