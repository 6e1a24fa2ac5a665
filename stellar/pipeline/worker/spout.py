"""Metron's options of the consumers of parsers, `spoutConfig` and its file, as properties of librdkafka."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from stellar.pipeline.connectors.kafka.settings import Properties, translate
from stellar.util.abbreviate import quote
from stellar.util.suggestions import suggest_name

log = logging.getLogger(__name__)

FIRST_OFFSET, COMMIT_PERIOD = "spout.firstPollOffsetStrategy", "spout.offsetCommitPeriodMs"
# The strategies, with the position at which a group without committed offsets starts
_STARTS = {
    "UNCOMMITTED_EARLIEST": "earliest",
    "UNCOMMITTED_LATEST": "latest",
    "EARLIEST": "earliest",
    "LATEST": "latest",
}
# Options of Storm, whose purpose the loop of a worker fulfils in another way
_WITHOUT_EFFECT = frozenset({"spout.pollTimeoutMs", "spout.maxUncommittedOffsets", "spout.maxRetries"})


def translate_spout(options: Mapping[str, Any]) -> Properties:
    """Return the properties of a consumer for Metron's options; other options are properties of the consumer.

    Raises ValueError for an unknown option, and for properties that librdkafka has under other names.
    """
    known = {FIRST_OFFSET, COMMIT_PERIOD, *_WITHOUT_EFFECT}
    properties: Properties = {}
    for name, value in options.items():
        if not name.startswith("spout."):
            properties[name] = value
        elif name == FIRST_OFFSET:
            properties["auto.offset.reset"] = _read_start(value)
        elif name not in known:
            raise ValueError(f"unknown option {quote(name)}; {suggest_name(name, known)}")
        else:
            log.debug("%s has no effect: offsets are committed about once a second", name)
    return translate(properties)


def _read_start(strategy: object) -> str:
    name = str(strategy)
    if name not in _STARTS:
        raise ValueError(f"unknown {FIRST_OFFSET} {quote(strategy)}; {suggest_name(name, _STARTS)}")
    if not name.startswith("UNCOMMITTED_"):
        log.warning("%s: %s applies to a group without committed offsets only", FIRST_OFFSET, name)
    return _STARTS[name]
