"""Builds the extractor of a file and compiles its expressions; all errors of the file are found at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stellar.language.context import Context, FailureReporter, GlobalSettings
from stellar.language.library import Library
from stellar.pipeline.config.compile import BuildContext, find_missing_services
from stellar.pipeline.config.embedded_expressions import find_texts
from stellar.pipeline.config.loading import parse_extractor
from stellar.pipeline.config.locations import ErrorCollector, SourceLocation, read_text
from stellar.pipeline.loaders.extractors import build_extractor
from stellar.pipeline.loaders.rows import Extractor
from stellar.pipeline.loaders.summarize import SummaryExpressions, compile_summary
from stellar.pipeline.loaders.transforms import ReportedFailures, RowTransform, compile_transform

if TYPE_CHECKING:
    from stellar.pipeline.config.schema import ExtractorConfig


@dataclass(frozen=True)
class ExtractorFile:
    """The content of an extractor file.

    config: its configuration; None if that is invalid
    """

    location: SourceLocation
    text: str
    config: ExtractorConfig | None

    @property
    def is_summary(self) -> bool:
        """True if it has expressions for the state of a summary."""
        options = None if self.config is None else self.config.config
        return options is not None and bool(options.state_init or options.state_update)


def read_extractor_file(path: Path, problems: ErrorCollector) -> ExtractorFile:
    """Read an extractor file. Raises ConfigError if the file cannot be read; other errors go to `problems`."""
    location = SourceLocation(str(path))
    text = read_text(path)
    return ExtractorFile(location, text, problems.attempt(lambda: parse_extractor(text, location), None))


@dataclass(frozen=True)
class Loading:
    """An extractor with its expressions, and the settings that they see.

    location: the source location of the options of the extractor
    """

    config: ExtractorConfig
    extractor: Extractor
    transform: RowTransform
    builder: BuildContext
    location: SourceLocation

    def find_missing(self) -> None:
        """Add an error to `problems` for each store, file and package that the expressions need and cannot use."""
        builder = self.builder
        found = find_missing_services(builder.checks, builder.expressions, builder.context)
        for location, name, problem in found:
            builder.problems.add(location.error(f"{name}: {problem}"))


def compile_extractor(
    file: ExtractorFile,
    settings: GlobalSettings,
    library: Library,
    problems: ErrorCollector,
    *,
    needs_type: bool,
    is_offline: bool = False,
) -> tuple[Loading | None, SummaryExpressions | None]:
    """Return the extractor of a file with its expressions, and those of its summary if it has some.

    Errors go to `problems`; the extractor is None if it cannot be made.

    settings: the global configuration, whose members are variables
    needs_type: True if the rows are stored, so that each must have a type
    is_offline: True to skip the check of stores, files and packages that expressions need
    """
    loading = _compile_extractor(file, settings, library, problems, needs_type=needs_type)
    if loading is None:
        return None, None
    options, failures = loading.config.config, loading.transform.failures
    summary = compile_summary(options, loading.location, loading.builder, failures) if file.is_summary else None
    if not problems.found and not is_offline:
        loading.find_missing()  # after all expressions are compiled
    return loading, summary


def _compile_extractor(
    file: ExtractorFile, settings: GlobalSettings, library: Library, problems: ErrorCollector, *, needs_type: bool
) -> Loading | None:
    failures = ReportedFailures()
    context = Context({GlobalSettings: settings, FailureReporter: failures})
    builder = BuildContext(library, context, settings=settings, problems=problems)
    config, location = file.config, file.location
    if config is None:
        _compile_texts(file, builder)
        return None
    extractor = problems.attempt(lambda: build_extractor(config, location, needs_type=needs_type), None)
    transform = compile_transform(config.config, location / "config", builder, failures)
    return None if extractor is None else Loading(config, extractor, transform, builder, location / "config")


def _compile_texts(file: ExtractorFile, builder: BuildContext) -> None:
    """Compile the expressions of a file whose configuration is invalid, for their errors."""
    for text in find_texts(file.text, "extractor"):
        if text.source.strip():
            builder.expression(text.source, SourceLocation(file.location.file, text.path))
