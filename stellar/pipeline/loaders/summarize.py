"""The loop from sources to a summary: one object that each row updates, such as a Bloom filter or a count."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stellar import Expression
from stellar.language.conversions import to_string
from stellar.language.errors import ConfigError, StellarError
from stellar.language.tagged_json import deserialize, serialize
from stellar.pipeline.config.compile import BuildContext
from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.loaders.load import RowReader
from stellar.pipeline.loaders.transforms import STATES, SummaryState
from stellar.util.abbreviate import quote
from stellar.util.atomic_files import replace_content
from stellar.util.optional_imports import import_optional

if TYPE_CHECKING:
    from stellar.pipeline.config.schema import ExtractorOptions


@dataclass(frozen=True)
class SummaryExpressions:
    """The expressions for the state of a summary: the first one, and one that merges several.

    location: the source location of the options
    failures: receives the failures of functions that return an ordinary value, such as of a look-up
    """

    first: Expression | None
    merge: Expression | None
    settings: Mapping[str, Any]
    builder: BuildContext
    location: SourceLocation
    failures: list[str]

    def make_first(self) -> SummaryState:
        """Return the first state. Raises ConfigError if `state_init` fails."""
        return SummaryState(self._evaluate("state_init", self.first, {}))

    def run(self, reader: RowReader, files: Iterable[str]) -> Any:
        """Return the state after all rows of files.

        reader: with a first state as its summary

        Raises ConfigError if `state_merge` fails.
        """
        for _ in reader.read(files):
            pass
        if reader.workers is None:
            return None if reader.summary is None else reader.summary.value
        states, problems = zip(*map(json.loads, reader.workers.finish()), strict=True)
        for problem in filter(None, problems):
            raise self.location.error(f"several processes cannot merge their states: {problem}; use one process")
        return self._evaluate("state_merge", self.merge, {STATES: [deserialize(state) for state in states]})

    def _evaluate(self, name: str, expression: Expression | None, variables: Mapping[str, Any]) -> Any:
        if expression is None:
            return None
        self.failures.clear()
        try:
            state = expression({**self.settings, **variables}, self.builder.context)
        except StellarError as error:
            raise (self.location / name).error(str(error)) from error
        if self.failures:
            raise (self.location / name).error(self.failures[0])
        return state


def explain_missing_state(location: SourceLocation) -> ConfigError:
    """Return the error of an extractor without expressions for the state of a summary."""
    return location.error(
        "missing key 'state_update'; a summary needs state_init and state_update, such as "
        '"state_init": "BLOOM_INIT()", "state_update": {"state": "BLOOM_ADD(state, domain)"}'
    )


def compile_summary(
    options: ExtractorOptions, location: SourceLocation, builder: BuildContext, failures: list[str]
) -> SummaryExpressions:
    """Compile the expressions of a summary; the errors go to the builder.

    failures: receives the failures that functions report instead of raising an error
    """

    def compile_state(name: str, text: str | None) -> Expression | None:
        return builder.expression(text, location / name) if text else None

    return SummaryExpressions(
        compile_state("state_init", options.state_init),
        compile_state("state_merge", options.state_merge),
        builder.settings,
        builder,
        location,
        failures,
    )


Writer = Callable[[Any, str | None], None]  # is passed the state and the name of the file


def write_local(state: Any, file: str | None) -> None:
    """Write a state to a file, which has the old or the new content at any time.

    The file is tagged JSON, as OBJECT_GET reads it. Raises OSError, and ValueError for a state that has no such form.
    """
    path = Path(require_file(file))
    text = _serialize(state)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_content(str(path), text.encode())


def write_remote(state: Any, file: str | None) -> None:
    """Write a state to a file of HDFS, or to another URL of fsspec."""
    name = require_file(file)
    url = name if "://" in name else f"hdfs://{name}"
    text = _serialize(state)
    with import_optional("fsspec", "files").open(url, "w", encoding="utf-8") as target:
        target.write(text)


def _serialize(state: Any) -> str:
    try:
        return serialize(state)
    except ValueError as error:
        raise ValueError(f"cannot write the summary: {error}; return another state from state_update") from error


def write_console(state: Any, file: str | None) -> None:
    """Print a state."""
    print(to_string(state))


def require_file(file: str | None) -> str:
    """Return the name of a file. Raises ValueError if it is missing, or the name of a directory."""
    if not file or file.endswith("/") or Path(file).name in ("", ".", "..") or Path(file).is_dir():
        raise ValueError(f"no file for the summary; pass -o FILE, got {quote(file)}")
    return file


WRITERS: dict[str, Writer] = {"LOCAL": write_local, "HDFS": write_remote, "CONSOLE": write_console}
