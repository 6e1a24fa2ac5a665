"""Stellar: a small expression language for telemetry pipelines, compiled to Python.

    import stellar

    risky = stellar.compile("bytes > 1000 and method == 'POST'")
    risky({"bytes": 2048, "method": "POST"})  # True

Names are imported on first use, so that a program that only deploys models does not load the language.
"""

from __future__ import annotations

from stellar.util.lazy_exports import export_lazily

TYPE_CHECKING = False

if TYPE_CHECKING:
    from stellar.functions import LIBRARY as LIBRARY
    from stellar.language.context import Context as Context
    from stellar.language.errors import ConfigError as ConfigError
    from stellar.language.errors import EvaluationError as EvaluationError
    from stellar.language.errors import ParseError as ParseError
    from stellar.language.errors import ResolutionError as ResolutionError
    from stellar.language.errors import StellarError as StellarError
    from stellar.language.evaluate_many import evaluate_many as evaluate_many
    from stellar.language.evaluate_many import evaluate_many_async as evaluate_many_async
    from stellar.language.expression import Expression as Expression
    from stellar.language.expression import compile as compile
    from stellar.language.expression import evaluate as evaluate
    from stellar.language.grammar import grammar as grammar
    from stellar.language.library import Function as Function
    from stellar.language.library import Library as Library
    from stellar.language.library import function as function
    from stellar.language.library import stellar as stellar
    from stellar.language.limits import EvaluationLimits as EvaluationLimits
    from stellar.util.program_cache import cache as cache
    from stellar.util.version import __version__ as __version__

__getattr__, __dir__, __all__ = export_lazily(
    __name__,
    {
        ".language.context": ("Context",),
        ".language.errors": ("ConfigError", "EvaluationError", "ParseError", "ResolutionError", "StellarError"),
        ".language.expression": ("Expression", "compile", "evaluate"),
        ".functions": ("LIBRARY",),
        ".language.grammar": ("grammar",),
        ".language.library": ("Function", "Library", "function", "stellar"),
        ".language.limits": ("EvaluationLimits",),
        ".language.evaluate_many": ("evaluate_many", "evaluate_many_async"),
        ".util.program_cache": ("cache",),
        ".util.version": ("__version__",),
    },
)
