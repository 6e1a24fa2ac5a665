"""Errors and lint findings in configuration files as diagnostics, with the positions in their files."""

from __future__ import annotations

from dataclasses import replace

from stellar.language.errors import ConfigError, StellarError
from stellar.language.source import Span
from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.config.positions import Positions
from stellar.tooling.diagnostics import CONFIGURATION, Diagnostic, Position, describe_finding
from stellar.tooling.findings import ERROR, WARNING, Finding


class ConfigDescriber:
    """Describes errors, warnings and findings; each file is read once."""

    def __init__(self) -> None:
        self._positions = Positions()

    def describe_error(self, error: ConfigError) -> Diagnostic:
        """Return the diagnostic of an error, which is about an expression if a StellarError caused it."""
        line, column = self._positions.find_error(error) or (0, 0)
        name = ERROR if isinstance(error.__cause__, StellarError) else CONFIGURATION
        message, _, detail = error.message.partition("\n")
        return Diagnostic(error.file, line, column, ERROR, name, error.path, message, detail)

    def describe_setting(self, location: SourceLocation, message: str) -> Diagnostic:
        """Return the warning about a valid but probably unintended setting."""
        line, column = self._positions.find(location.file, location.path, is_key=True) or (0, 0)
        message, _, detail = message.partition("\n")
        return Diagnostic(location.file, line, column, WARNING, CONFIGURATION, location.path, message, detail)

    def describe_finding(self, location: SourceLocation, finding: Finding, source: str) -> Diagnostic:
        """Return the diagnostic of a finding in the expression at a location."""
        file, path = location.file, location.path

        def locate(offset: int) -> Position:
            error = StellarError(finding.message, source, Span(offset, offset))
            return self._positions.find(file, path, error) or (0, 0)

        described = describe_finding(finding, source, file, locate, path=path)
        return described if self._positions.has_expression(file, path) else replace(described, edits=())
