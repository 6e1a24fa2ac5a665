"""Configuration files with their Stellar texts as they should look, and all else as it was."""

from __future__ import annotations

from stellar.language.errors import ConfigError, ParseError
from stellar.pipeline.config.embedded_expressions import EmbeddedText, replaced, texts_of_file
from stellar.tooling.formatter import WIDTH, formatted
from stellar.tooling.pretty_printer import ANY_WIDTH


def formatted_configuration(file: str, source: str, width: int = WIDTH) -> str:
    """The text of a configuration file with each Stellar text formatted; one that was a line stays a line.

    file: its path, which tells what it configures

    Raises ConfigError, with the place, if it is not JSON, is no configuration with Stellar in it, or one of the texts
    is not Stellar.
    """
    return replaced(source, [(text, _formatted(file, text, width)) for text in texts_of_file(file, source)])


def _formatted(file: str, text: EmbeddedText, width: int) -> str:
    before, expression, behind = (
        text.text[: text.expression.start],
        text.text[text.expression.start : text.expression.end],
        text.text[text.expression.end :],
    )
    if not expression.strip():
        return text.text
    try:
        return before + formatted(expression, width if "\n" in text.text else ANY_WIDTH) + behind
    except ParseError as error:
        raise ConfigError(file, text.place, str(error)) from error
