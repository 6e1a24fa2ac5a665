"""Stellar: a small expression language for telemetry pipelines, compiled to Python."""

from stellar.context import Context
from stellar.errors import ConfigError, EvaluationError, ParseError, ResolutionError, StellarError
from stellar.expression import Expression, compile, evaluate  # noqa: A004 - as `re.compile`
from stellar.library import Function, Library, stellar

__all__ = [
    "LIBRARY",
    "ConfigError",
    "Context",
    "EvaluationError",
    "Expression",
    "Function",
    "Library",
    "ParseError",
    "ResolutionError",
    "StellarError",
    "compile",
    "evaluate",
    "stellar",
]


def __getattr__(name: str) -> Library:
    # The functions are loaded when they are first wanted
    if name == "LIBRARY":
        from stellar.functions import LIBRARY

        return LIBRARY
    raise AttributeError(f"module 'stellar' has no attribute {name!r}")
