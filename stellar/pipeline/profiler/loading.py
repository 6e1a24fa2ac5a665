"""Loading of `profiler.json`; errors name file, line and key."""

from __future__ import annotations

from pathlib import Path

from stellar.language.errors import ConfigError
from stellar.language.expression import Expression
from stellar.language.library import Library
from stellar.pipeline.config.loading import validate_profiler
from stellar.pipeline.config.locations import SourceLocation, parse_object, read_text
from stellar.profiles.definitions import InvalidDefinition, ProfilerDefinition, compile_with, read_definitions
from stellar.profiles.definitions import Path as DefinitionPath


def load_definitions(file: Path, library: Library) -> ProfilerDefinition:
    """Load the definitions of profiles, and compile their expressions.

    Raises ConfigError for unreadable and invalid files.
    """
    return parse_definitions(read_text(file), SourceLocation(str(file)), library)


def parse_definitions(text: str, location: SourceLocation, library: Library) -> ProfilerDefinition:
    """Parse the definitions of profiles, and compile their expressions. Raises ConfigError."""
    value = parse_object(text, location.file)
    validate_profiler(value, location)  # reports all errors of the structure at once
    compile_one = compile_with(library)

    def compile_at(source: str, path: DefinitionPath) -> Expression:
        try:
            return compile_one(source, path)
        except InvalidDefinition as error:
            raise _locate(location, error) from error.__cause__

    try:
        return read_definitions(value, compile_at)
    except InvalidDefinition as error:
        raise _locate(location, error) from error


def _locate(location: SourceLocation, error: InvalidDefinition) -> ConfigError:
    for step in error.path:
        location /= step
    return location.error(error.reason)
