"""Checks all files of a configuration directory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from stellar.language.errors import ConfigError
from stellar.language.expression import default_library
from stellar.pipeline.check import CheckResult, ConfigWarning, check_sensor
from stellar.pipeline.config.diagnostics import ConfigDescriber
from stellar.pipeline.config.embedded_expressions import find_texts
from stellar.pipeline.config.loading import (
    load_config,
    load_enrichment,
    parse_profiler,
    read_file,
)
from stellar.pipeline.config.locations import ErrorCollector, SourceLocation, read_text
from stellar.pipeline.output_paths import compile_path_function, parse_writer
from stellar.pipeline.pipeline import Pipeline
from stellar.pipeline.profiler.loading import load_definitions
from stellar.pipeline.testing.loading import FOLDER, SUFFIXES, list_files, load_suite
from stellar.tooling.checks import find_problems
from stellar.tooling.diagnostics import CONFIGURATION, Diagnostic, DiagnosticReport
from stellar.tooling.findings import ERROR, WARNING
from stellar.util.suggestions import find_nearest
from stellar.util.yaml_reader import YamlErrors

FOLDERS = ("parsers", "enrichments", "indexing", "patterns", "tests")
FILES = ("global.json", "profiler.json")
_JSON = (".json",)


@dataclass(frozen=True)
class DirectoryCheck:
    """The result of checking a directory.

    report: errors and warnings, in the order of the sensors
    sensors: for each sensor without errors, the names of the functions that its expressions call
    """

    report: DiagnosticReport
    sensors: dict[str, frozenset[str]]


FindMissing = Callable[[Pipeline], list[ConfigError]]


def check_directory(directory: Path, sensor: str | None, find_missing: FindMissing) -> DirectoryCheck:
    """Check the files of a directory, and return all errors and warnings.

    sensor: check the files of this sensor only; None for all files
    find_missing: returns the errors of what expressions need from outside

    Raises ConfigError if the directory configures nothing, or the sensor is unknown.
    """
    report, describer = DiagnosticReport(), ConfigDescriber()
    sensors: dict[str, frozenset[str]] = {}
    names = [sensor] if sensor is not None else list_configured(directory)
    if sensor is None:
        report.add(_check_layout(directory))
    for name in names:
        result = _check_one(directory, name)
        missing = () if result.pipeline is None or result.problems else tuple(find_missing(result.pipeline))
        report.add(map(describer.describe_error, (*result.problems, *missing)))
        report.add(_describe_warning(describer, warning) for warning in result.warnings)
        if not result.problems and not missing:
            sensors[name] = result.functions
    if sensor is None:
        _check_other_files(directory, report, describer)
    return DirectoryCheck(report, sensors)


def _describe_warning(describer: ConfigDescriber, warning: ConfigWarning) -> Diagnostic:
    if warning.finding is None:
        return describer.describe_setting(warning.location, warning.message)
    return describer.describe_finding(warning.location, warning.finding, warning.source)


def _check_other_files(directory: Path, report: DiagnosticReport, describer: ConfigDescriber) -> None:
    """Check the files that belong to no sensor's pipeline."""
    for file in sorted((directory / "indexing").glob("*.json")):
        report.add(_attempt(partial(_read_indexing, file), describer))
    for file in list_files(directory):
        report.add(_check_tests(file, directory))
    if (directory / "profiler.json").is_file():
        _check_profiler(directory / "profiler.json", report, describer)


def _attempt(read: Callable[[], object], describer: ConfigDescriber) -> list[Diagnostic]:
    """Return the errors of a function that reads a file."""
    errors: list[ConfigError] = []
    ErrorCollector(errors).attempt(read, None)
    return [describer.describe_error(error) for error in errors]


def _read_indexing(file: Path) -> None:
    text, location = read_file(file)
    compile_path_function(location, parse_writer(text, location), default_library())


def _check_tests(file: Path, directory: Path) -> Iterator[Diagnostic]:
    try:
        load_suite(file, directory)
    except YamlErrors as errors:
        for line, column, message in errors.locate(file):
            yield Diagnostic(str(file), line, column, ERROR, CONFIGURATION, "", message)


def list_configured(directory: Path) -> list[str]:
    """Return the names of the sensors that a directory parses or enriches.

    Raises ConfigError if there are none, and no other configuration.
    """
    names = {path.stem for kind in ("parsers", "enrichments") for path in (directory / kind).glob("*.json")}
    if names or (directory / "profiler.json").is_file() or any((directory / "indexing").glob("*.json")):
        return sorted(names)
    raise ConfigError(str(directory), "", "no parsers/<sensor>.json in this directory; check the path")


def _check_one(directory: Path, sensor: str) -> CheckResult:
    """Check a sensor, which may be parsed elsewhere and only enriched here."""
    is_parsed = (directory / "parsers" / f"{sensor}.json").is_file()
    is_enriched = (directory / "enrichments" / f"{sensor}.json").is_file()
    return check_sensor(load_enrichment if is_enriched and not is_parsed else load_config, directory, sensor)


def _check_layout(directory: Path) -> Iterator[Diagnostic]:
    """Yield the findings about names of files and folders."""
    for path in sorted(directory.iterdir()):
        known = FOLDERS if path.is_dir() else FILES
        if path.name in known or path.name.startswith("."):
            continue
        slash = "/" if path.is_dir() else ""
        if (near := find_nearest(path.name, known)) is not None:
            yield _about_file(path, ERROR, f"unknown {_kind(path)} {path.name}{slash}; did you mean {near}{slash}?")
        elif path.suffix == ".json" or any(path.glob("*.json")):
            yield _about_file(path, WARNING, f"unknown {_kind(path)} {path.name}{slash}; it is not read")
    for folder, suffixes in (("parsers", _JSON), ("enrichments", _JSON), ("indexing", _JSON), (FOLDER, SUFFIXES)):
        for path in sorted((directory / folder).glob("*")):
            if path.suffix not in suffixes:
                yield _about_file(path, WARNING, f"not read: its name does not end in {suffixes[0]}")


def _kind(path: Path) -> str:
    return "folder" if path.is_dir() else "file"


def _about_file(path: Path, severity: str, message: str) -> Diagnostic:
    return Diagnostic(str(path), 0, 0, severity, CONFIGURATION, "", message)


def _check_profiler(file: Path, report: DiagnosticReport, describer: ConfigDescriber) -> None:
    location = SourceLocation(str(file))
    report.add(_attempt(lambda: parse_profiler(read_text(file), location), describer))
    if report.has_error_in(str(file)):
        return
    for text in find_texts(read_text(file), "profiler"):
        for finding in find_problems(text.source, default_library()) if text.source.strip() else ():
            report.add([describer.describe_finding(SourceLocation(str(file), text.path), finding, text.source)])
    if not report.has_error_in(str(file)):
        report.add(_attempt(lambda: load_definitions(file, default_library()), describer))
