"""Formats the expressions in a configuration file, and leaves the rest of the file unchanged."""

from __future__ import annotations

from stellar.language.errors import ConfigError, ParseError
from stellar.pipeline.config.embedded_expressions import EmbeddedText, read_texts, replace_texts
from stellar.tooling.formatter import WIDTH, format_expression
from stellar.tooling.pretty_printer import ANY_WIDTH


def format_configuration(file: str, source: str, width: int = WIDTH) -> str:
    """Return the content of a configuration file with all expressions formatted.

    An expression on one line remains on one line.

    file: its path, by which the kind of configuration is detected

    Raises ConfigError for invalid JSON, an unknown kind of configuration, and invalid expressions.
    """
    return replace_texts(source, [(text, _format_text(file, text, width)) for text in read_texts(file, source)])


def _format_text(file: str, text: EmbeddedText, width: int) -> str:
    before, expression, after = (
        text.text[: text.expression.start],
        text.text[text.expression.start : text.expression.end],
        text.text[text.expression.end :],
    )
    if not expression.strip():
        return text.text
    try:
        return before + format_expression(expression, width if "\n" in text.text else ANY_WIDTH) + after
    except ParseError as error:
        raise ConfigError(file, text.path, str(error)) from error
