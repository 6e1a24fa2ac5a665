"""The targets of `stellar-pipeline run`: their settings, and the summary of failures instead of a target for them."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from stellar.pipeline.command_line import MAX_SHOWN
from stellar.pipeline.config.loading import ConfigText, SensorConfig
from stellar.pipeline.connectors.directories import choose_by_type
from stellar.pipeline.connectors.sinks import is_directory, is_search
from stellar.pipeline.progress import Display
from stellar.pipeline.records import Record
from stellar.pipeline.routing import PipelineGroup
from stellar.util.abbreviate import escape

if TYPE_CHECKING:
    from stellar.pipeline.connectors.remote import RemoteFiles
    from stellar.pipeline.connectors.search.output import SearchOutput
    from stellar.pipeline.indexing import SearchIndexing
    from stellar.pipeline.metrics import PipelineMetrics


class TargetSettings:
    """The settings of directories and search servers, by the configuration that is in force."""

    def __init__(
        self, options: argparse.Namespace, report: Callable[[str], object], metrics: PipelineMetrics | None = None
    ) -> None:
        self._options = options
        self._report = report
        self._metrics = metrics
        self._choose: Callable[[Record], str] = choose_by_type
        self._indexing: SearchIndexing | None = None
        self._settings: Mapping[str, Any] = {}
        self._started: ConfigText | Literal["unread"] | None = "unread"
        self._profiles: ConfigText | None = None

    def prepare(self, group: PipelineGroup, configs: Sequence[SensorConfig]) -> None:
        """Use other configurations. Raises ConfigError."""
        choose = _make_path_function(configs[0], self._options)
        self._settings = self._settings or configs[0].globals.settings
        if any(target is not None and is_search(target) for target in (self._options.output, self._options.errors)):
            self._find_indexing().use(configs)
        self._choose = choose
        self._note_profiles(configs[0].read_profiler())

    def _note_profiles(self, profiles: ConfigText | None) -> None:
        """Report profiles that are not those at the start of the run."""
        if self._started == "unread":
            self._started = self._profiles = profiles
        if profiles != self._profiles:
            self._report("changed profiles take effect after a restart")
        self._profiles = profiles
        if self._metrics is not None:
            self._metrics.note_pending("profiles", is_pending=profiles != self._started)

    def _find_indexing(self) -> SearchIndexing:
        from stellar.pipeline.indexing import SearchIndexing  # most runs write to files

        self._indexing = self._indexing or SearchIndexing()
        return self._indexing

    def open_remote(self, target: str) -> RemoteFiles:
        """Open a directory of another file system, by the first configuration. Raises ValueError or OSError."""
        from stellar.pipeline.remote_targets import open_remote  # most runs write to local files

        return open_remote(target, self._settings)

    def choose(self, document: Record) -> str:
        """Return the sub-directory of a document."""
        return self._choose(document)

    def open_search(self, target: str) -> SearchOutput:
        """Open a search server. Raises ConfigError, ValueError or OSError."""
        if self._indexing is None:
            raise RuntimeError("no configuration; call prepare first")
        return self._indexing.open(target)


def _make_path_function(config: SensorConfig, options: argparse.Namespace) -> Callable[[Record], str]:
    """Return the function for the sub-directories of documents, if a target is a directory. Raises ConfigError."""
    if not any(target is not None and is_directory(target) for target in (options.output, options.errors)):
        return choose_by_type
    from stellar.pipeline.output_paths import make_path_function  # most runs write to files

    return make_path_function(config)


class FailureSummary:
    """Prints one line for each of the first failures."""

    def __init__(self, screen: Display) -> None:
        self._screen = screen
        self._seen = 0

    def __call__(self, document: Record) -> None:
        self.write(encode_failure(document))

    def write(self, encoded: bytes) -> None:
        """Add a failure that `encode_failure` returned."""
        self._seen += 1
        if self._seen <= MAX_SHOWN:
            self._screen.print_message(encoded.decode())
        elif self._seen == MAX_SHOWN + 1:
            self._screen.print_message("further failures are only counted; use --errors FILE to store all of them")


def encode_failure(document: Record) -> bytes:
    """Return the line for a failure, with unprintable characters escaped."""
    location = f"{document.get('origin', 'a message')}:{document.get('line', '')}"
    first, *_ = str(document["message"]).splitlines()
    return escape(f"{location}: {document['stage']}: {first}").encode()
