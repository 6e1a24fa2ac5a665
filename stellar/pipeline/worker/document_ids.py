"""Identifiers of documents that are the same whenever their message is read again.

The first phase makes them of the position of the message, and of the number of the document in it. Topics pass them on
in the header `document-id`, so that a later phase, or a sink, stores the same document again instead of another one.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

from stellar.pipeline.models import RecordContext
from stellar.pipeline.records import Outcome, Raw, Record, Report, TopicPosition
from stellar.pipeline.routing import PipelineGroup

_VERSION_8 = 0x80  # of RFC 9562: identifiers of a form of one's own


def make_document_id(*parts: object) -> str:
    """Return the UUID of a document by what identifies it."""
    digest = bytearray(hashlib.sha256("\0".join(map(str, parts)).encode()).digest()[:16])
    digest[6] = digest[6] & 0x0F | _VERSION_8
    digest[8] = digest[8] & 0x3F | 0x80
    return str(uuid.UUID(bytes=bytes(digest)))


@dataclass
class MessageIds:
    """The identifiers of the documents of one message.

    base: what identifies the message: the identifier of its document, or the topic, the partition and the offset
    number: the number of the next record
    made: the number of identifiers made for the next record; more than one if it passes several parsers
    errors: the number of the next error document
    """

    base: tuple[object, ...]
    number: int = 0
    made: int = 0
    errors: int = 0

    def make_guid(self) -> str:
        """Return an identifier for the record that is being processed."""
        self.made += 1
        return self.name_record() if self.made == 1 else make_document_id(*self.base, self.number, self.made)

    def name_record(self) -> str:
        """Return the identifier of the next record."""
        if len(self.base) == 1 and not self.number:  # the record of a message that has an identifier
            return str(self.base[0])
        return make_document_id(*self.base, self.number)

    def name_error(self) -> str:
        """Return the identifier of the next error document."""
        self.errors += 1
        return make_document_id(*self.base, "error", self.errors)

    def finish_record(self) -> None:
        """Continue with the next record."""
        self.number, self.made = self.number + 1, 0


_CURRENT: ContextVar[MessageIds] = ContextVar("_CURRENT")


class DocumentIds:
    """Makes the identifiers of messages.

    find_topic_id: returns the UUID of a topic, or its name
    """

    def __init__(self, find_topic_id: Callable[[str], str]) -> None:
        self._find = find_topic_id

    def of(self, position: TopicPosition) -> MessageIds:
        """Return the identifiers of the documents of a message."""
        if position.document_id is not None:
            return MessageIds((position.document_id,))
        return MessageIds((self._find(position.topic), position.partition, position.offset))


def set_document_id(record: Record) -> Record:
    """A transformation: set `guid` of a record that has none."""
    if record.get("guid") in (None, ""):
        record["guid"] = _CURRENT.get().make_guid()
    return record


class IdentifyingGroup:
    """A group of pipelines whose records get reproducible identifiers; stands for that group."""

    def __init__(self, group: PipelineGroup, ids: DocumentIds) -> None:
        self._ids = ids
        self._group = group.map_pipelines(
            lambda pipeline: replace(pipeline, transformations=(*pipeline.transformations, set_document_id))
        )

    @property
    def sensor(self) -> str:
        return self._group.sensor

    @property
    def members(self) -> tuple[Any, ...]:
        """See PipelineGroup."""
        return self._group.members

    @property
    def calls_models(self) -> bool:
        """See PipelineGroup."""
        return self._group.calls_models

    @property
    def blocks(self) -> bool:
        """See PipelineGroup."""
        return self._group.blocks

    def use_models(self, registry: Any, client: Any) -> None:
        """See PipelineGroup."""
        self._group.use_models(registry, client)

    def make_processor(self, context: RecordContext) -> Callable[[Raw], Iterator[tuple[Outcome, list[Report]]]]:
        """Return `processed`."""
        return self.processed

    def processed(self, raw: Raw) -> Iterator[tuple[Outcome, list[Report]]]:
        """Yield the outcome for each record; see PipelineGroup."""
        ids = MessageIds((None,)) if raw.position is None else self._ids.of(raw.position)
        before = _CURRENT.set(ids)
        try:
            for each in self._group.processed(raw):
                yield each
                ids.finish_record()
        finally:
            _CURRENT.reset(before)
