"""The sub-directories of documents, by `outputPathFunction` of the writer hdfs in `indexing/<sensor>.json`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import stellar
from stellar import Expression
from stellar.language.errors import StellarError
from stellar.language.library import Library
from stellar.pipeline.build import load_library
from stellar.pipeline.config.loading import SensorConfig, parse_indexing
from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.config.schema import WriterConfig
from stellar.pipeline.connectors.directories import ERROR_TYPE, choose_by_type
from stellar.pipeline.records import Record
from stellar.util.abbreviate import quote

_WRITER = "hdfs"
_DISABLED = "the writer is disabled, so records have no directory; enable it, or use an --output that is a file"


def make_path_function(config: SensorConfig, *, drops_disabled: bool = False) -> Callable[[Record], str]:
    """Return a function that chooses the sub-directory of a document by its `source.type`.

    It is the result of `outputPathFunction`, or the name of the sensor if there is none; null is no sub-directory.
    Error documents are always in `error`, so that they can be written. The function raises ValueError if the
    expression fails, or does not return a string.

    drops_disabled: True if documents for a writer that is disabled were dropped before

    Raises ConfigError for an invalid file or expression, and for a writer that is disabled.
    """
    library = load_library(config.globals.settings, config.global_location)
    expressions = {}
    for sensor, (text, location) in config.read_indexing():
        writer = parse_writer(text, location)
        if not writer.enabled and drops_disabled:
            continue
        if not writer.enabled:
            raise (location / _WRITER / "enabled").error(_DISABLED)
        expression = compile_path_function(location, writer, library)
        if expression is not None and sensor != ERROR_TYPE:
            expressions[sensor] = expression

    def choose(document: Record) -> str:
        expression = expressions.get(choose_by_type(document))
        return choose_by_type(document) if expression is None else _evaluate(expression, document)

    return choose


def parse_writer(text: str, location: SourceLocation) -> WriterConfig:
    """Return the settings of the writer hdfs in a configuration; the defaults without one. Raises ConfigError."""
    return find_writer(text, location, (_WRITER,))[1]


def find_writer(text: str, location: SourceLocation, names: Sequence[str]) -> tuple[str, WriterConfig]:
    """Return the first of some writers in an indexing configuration, and its name; the defaults without one.

    Raises ConfigError.
    """
    writers = parse_indexing(text, location).root
    name = next(filter(writers.__contains__, names), names[-1])
    return name, writers.get(name) or WriterConfig()


def compile_path_function(location: SourceLocation, writer: WriterConfig, library: Library) -> Expression | None:
    """Return the compiled `outputPathFunction` of a writer, otherwise None. Raises ConfigError."""
    text = writer.output_path_function
    if text is None or not text.strip():
        return None
    try:
        return stellar.compile(text, library=library)
    except StellarError as error:
        raise (location / _WRITER / "outputPathFunction").error(str(error)) from error


def _evaluate(expression: Expression, document: Record) -> str:
    try:
        folder = expression(document)
    except StellarError as error:
        raise ValueError(f"outputPathFunction failed: {error}") from error
    if folder is not None and not isinstance(folder, str):
        raise ValueError(f"outputPathFunction {quote(expression.source)} returned {quote(folder, 100)}, not a string")
    return folder or ""
