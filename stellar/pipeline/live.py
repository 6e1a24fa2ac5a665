"""A pipeline that is replaced by another one between two records."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

from stellar.pipeline.models import RecordContext
from stellar.pipeline.pipeline import MessageProcessor
from stellar.pipeline.records import Outcome, Processor, Raw, Report

G = TypeVar("G", bound=MessageProcessor)


class LivePipeline(Generic[G]):
    """The pipelines of sensors as they are configured now; stands for a PipelineGroup, or another group of pipelines.

    current: the group that processes the next raw message. Another thread may replace it at any time: a raw message is
        processed by one group up to its last record.
    """

    def __init__(self, group: G) -> None:
        self.current = group

    @property
    def sensor(self) -> str:
        return self.current.sensor

    @property
    def calls_models(self) -> bool:
        """See PipelineGroup."""
        return self.current.calls_models

    @property
    def blocks(self) -> bool:
        """See PipelineGroup."""
        return self.current.blocks

    def processed(self, raw: Raw) -> Iterator[tuple[Outcome, list[Report]]]:
        """Yield the outcome for each record; see PipelineGroup."""
        return self.current.processed(raw)

    def make_processor(self, context: RecordContext) -> Processor:
        """Return a function of the group that is current now; see PipelineGroup."""
        return self.current.make_processor(context)
