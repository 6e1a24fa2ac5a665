"""The phases of a pipeline, which run in one process, or each in its own, with topics between them."""

from __future__ import annotations

from enum import Enum


class Phase(Enum):
    """The stages that a pipeline has.

    ALL: from the parser to triage
    PARSE: the parser, field transformations, filter and validation; then records go to topics
    ENRICH: enrichment, threat intelligence and triage, of records that were parsed before
    """

    ALL = "all"
    PARSE = "parse"
    ENRICH = "enrich"
