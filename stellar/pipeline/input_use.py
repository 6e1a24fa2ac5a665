"""The fields that look-ups read, for a warning at the end of a run about those that no record had.

A record without the field of a look-up is not enriched, and that is not an error. If no record has it, then its name is
probably misspelt. With several processes, each one collects the fields, and the first one combines them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from stellar.util.abbreviate import quote

if TYPE_CHECKING:
    from stellar.pipeline.pipeline import Pipeline

log = logging.getLogger(__name__)

_SECTIONS = {"enrich": "enrichment", "threatIntel": "threatIntel"}


class InputUse(NamedTuple):
    """The fields of a look-up.

    is_used: True if at least one record had them
    """

    sensor: str
    section: str
    adapter: str
    fields: str
    is_used: bool


def collect_inputs(pipelines: Iterable[Pipeline]) -> list[InputUse]:
    """Return the fields that the look-ups of pipelines need, without those of stages that no record has reached."""
    return [
        InputUse(pipeline.sensor, _SECTIONS.get(name, name), adapter, _describe(fields), is_used)
        for pipeline in pipelines
        for name, stage in pipeline.stages
        for adapter, fields, is_used in getattr(stage, "list_inputs", tuple)()
    ]


def _describe(fields: Sequence[str]) -> str:
    names = " and ".join(map(quote, fields))
    return f"the field {names}" if len(fields) == 1 else f"the fields {names}"


def warn_of_unused(*collected: Iterable[InputUse]) -> None:
    """Log a warning for the fields that no record had, given those of all processes."""
    inputs = [InputUse(*each) for each in chain.from_iterable(collected)]
    used = {each[:-1] for each in inputs if each.is_used}
    for sensor, section, adapter, fields in dict.fromkeys(each[:-1] for each in inputs):
        if (sensor, section, adapter, fields) not in used:
            log.warning(
                "%s: the adapter %s in %s has enriched nothing, because no record had %s; check the names",
                sensor,
                adapter,
                section,
                fields,
            )
