"""The rules of threat triage, with their values for a document.

The rules are those of the configuration now. Their result may differ from the stored one; the page warns of that.
"""

from __future__ import annotations

import argparse
import threading
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from stellar.language.errors import ConfigError, StellarError
from stellar.pipeline.build import build_pipeline
from stellar.pipeline.config.loading import load_enrichment
from stellar.pipeline.records import Record
from stellar.pipeline.routing import PipelineGroup, TopicPattern
from stellar.pipeline.services import connect_services
from stellar.pipeline.stages.triage import Triage
from stellar.pipeline.triage_explanation import TriageExplanation, explain_triage, find_stage, select_triage
from stellar.util.abbreviate import quote


class Explainer(Protocol):
    """Evaluates the rules of a document's sensor."""

    def explain(self, document: Record) -> TriageExplanation:
        """Return the triage of a document. Raises ValueError, with the fix, if its rules can't be evaluated."""


@dataclass
class ConfiguredExplainer:
    """Evaluates the rules in a directory of configurations.

    The rules of a sensor are loaded for its first document. Safe to use from many threads.

    options: the options of the command, for the model registry
    """

    config: Path
    options: argparse.Namespace
    stack: ExitStack
    _built: dict[str, Triage] = field(default_factory=dict)
    _lock: Any = field(default_factory=threading.Lock)

    def explain(self, document: Record) -> TriageExplanation:
        sensor = document.get("source.type")
        if not isinstance(sensor, str) or not sensor:
            raise ValueError("the document has no source.type, so its rules are unknown")
        # No path is made of the fields of a document
        if sensor not in {each.stem for each in (self.config / "enrichments").glob("*.json")}:
            raise ValueError(f"{self.config}/enrichments has no file for the sensor {quote(sensor)}")
        with self._lock:
            if sensor not in self._built:
                self._built[sensor] = self._build(sensor)
        return explain_triage(self._built[sensor], document)

    def _build(self, sensor: str) -> Triage:
        try:
            config = load_enrichment(self.config, sensor)
            pipeline = select_triage(build_pipeline(config), config)
            group = PipelineGroup([(TopicPattern(sensor), pipeline)])
            connect_services(group, config, self.options, self.stack)
        except (ConfigError, StellarError, OSError, LookupError) as error:
            raise ValueError(f"the rules of {quote(sensor)} can't be used: {error}") from error
        return find_stage(pipeline)


def restore_names(document: Record) -> Record:
    """Return a document with the names of fields as rules use them; search engines have `:` instead of `.`."""
    if "source:type" not in document or "source.type" in document:
        return document
    return {name.replace(":", "."): value for name, value in document.items()}
