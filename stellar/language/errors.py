"""Exceptions for expressions and configurations.

StellarError(message, source, span, hint)     str() = message, line, carets, hint
├─ ParseError                a syntax error
│  └─ IncompleteExpression   the source ends too early
├─ ResolutionError           an unknown function, or a wrong number of arguments
└─ EvaluationError           an operator or a function failed; __cause__ is its exception
ConfigError(file, path, message)              an invalid value in a JSON configuration
"""

from __future__ import annotations

from stellar.language.source import Span, snippet


class StellarError(Exception):
    """An expression that can't be compiled or evaluated, with the source location of the problem.

    message: the problem, in one sentence
    source: the source of the expression
    span: the range of the source that causes the problem
    hint: how to fix it, if a fix is known
    """

    def __init__(self, message: str, source: str, span: Span, hint: str | None = None) -> None:
        super().__init__(message, source, span, hint)
        self.message = message
        self.source = source
        self.span = span
        self.hint = hint

    def __str__(self) -> str:
        lines = [self.message, snippet(self.source, self.span)]
        if self.hint:
            lines.append(f"hint: {self.hint}")
        return "\n".join(lines)


class ParseError(StellarError):
    """A syntax error."""


class IncompleteExpression(ParseError):
    """The source ends too early; more input could complete it."""


class ResolutionError(StellarError):
    """An unknown function, or a call with the wrong number of arguments."""


class EvaluationError(StellarError):
    """An operator or a function failed; `__cause__` is its exception."""


class ConfigError(Exception):
    """An invalid configuration.

    file: path of the file, as the user gave it
    path: JSON path of the value, such as `threatIntel.triageConfig.riskLevelRules[0].rule`; empty for the whole file
    message: the problem and how to fix it
    """

    def __init__(self, file: str, path: str, message: str) -> None:
        super().__init__(file, path, message)
        self.file = file
        self.path = path
        self.message = message

    @property
    def errors(self) -> tuple[ConfigError, ...]:
        """All errors that were found: several for an error that combines them, otherwise this one."""
        return (self,)

    def __str__(self) -> str:
        location = f"{self.file}: {self.path}" if self.path else self.file
        return f"{location}: {self.message}"
