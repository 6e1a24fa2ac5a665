"""What can go wrong with an expression.

StellarError(message, source, span, hint)     str() = message, line, carets, hint
├─ ParseError          the text is not Stellar
│  └─ Unfinished       but it could become so by what is written behind it
├─ ResolutionError     an unknown function, or too few arguments where none will do
└─ EvaluationError     an operator or a function refused; __cause__ is the refusal
ConfigError(file, path, message)              where in a JSON configuration
"""

from __future__ import annotations

from stellar.language.source import Span, snippet


class StellarError(Exception):
    """An expression that cannot be read or evaluated, with the place in its text where that shows.

    message: one sentence in the user's words
    source: the whole text of the expression
    span: the part of it that is to blame
    hint: what to do about it, where something sensible can be said
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
    """The text is not Stellar."""


class Unfinished(ParseError):
    """The text ends too early: what is written behind it could make it Stellar."""


class ResolutionError(StellarError):
    """A function that does not exist, or a call with too few arguments."""


class EvaluationError(StellarError):
    """An operator or a function refused its operands; `__cause__` is the refusal."""


class ConfigError(Exception):
    """A configuration that cannot be used.

    file: the file's path, as the user gave it
    path: where in the JSON, such as `threatIntel.triageConfig.riskLevelRules[0].rule`; empty for the whole file
    message: what is wrong and how to mend it
    """

    def __init__(self, file: str, path: str, message: str) -> None:
        super().__init__(file, path, message)
        self.file = file
        self.path = path
        self.message = message

    def __str__(self) -> str:
        place = f"{self.file}: {self.path}" if self.path else self.file
        return f"{place}: {self.message}"
