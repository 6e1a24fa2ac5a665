"""The sections of an enrichment configuration."""

from __future__ import annotations

# By their names in lowercase, as older files write them in other cases
ENRICHMENT_SECTIONS = {"enrichment": "enrichment", "threatintel": "threatIntel", "configuration": "configuration"}
