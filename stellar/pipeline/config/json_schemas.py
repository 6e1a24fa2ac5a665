"""JSON Schemas of the configuration files, for editors, and the descriptions of keys in them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from pydantic import BaseModel

from stellar.pipeline.config.schema import (
    EnrichmentConfig,
    ExtractorConfig,
    GlobalConfig,
    IndexingConfig,
    ParserConfig,
    ProfilerConfig,
)
from stellar.pipeline.config.suites_schema import SuiteConfig

Schema = dict[str, Any]

MODELS: dict[str, type[BaseModel]] = {
    "parsers": ParserConfig,
    "enrichments": EnrichmentConfig,
    "indexing": IndexingConfig,
    "profiler": ProfilerConfig,
    "global": GlobalConfig,
    "extractor": ExtractorConfig,
    "tests": SuiteConfig,
}
DIALECT = "https://json-schema.org/draft/2020-12/schema"


@lru_cache
def make_json_schema(kind: str) -> Schema:
    """Return the JSON Schema of a kind of file, a key of MODELS."""
    return {"$schema": DIALECT, **MODELS[kind].model_json_schema(by_alias=True)}


def find_subschema(schema: Schema, root: Schema, step: str | int) -> Schema:
    """Return the schema of a member or of the elements; an empty schema if anything is allowed there.

    schema: the schema of the map or the list
    root: the schema of the file, which has the definitions
    step: the key of a member, or the index of an element
    """
    for each in _alternatives(schema, root):
        if isinstance(step, int):
            found = each.get("items")
        else:
            found = each.get("properties", {}).get(step, each.get("additionalProperties"))
        if isinstance(found, dict):
            return found
    return {}


def list_keys(schema: Schema, root: Schema) -> dict[str, str]:
    """Return the keys of a map with their descriptions."""
    keys: dict[str, str] = {}
    for each in _alternatives(schema, root):
        for name, member in each.get("properties", {}).items():
            keys[name] = member.get("description", "")
    return keys


def _alternatives(schema: Schema, root: Schema) -> list[Schema]:
    """Return the schemas that a schema stands for, with references resolved."""
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        return _alternatives(root["$defs"][name], root)
    choices = [*schema.get("anyOf", ()), *schema.get("allOf", ())]
    return [found for choice in choices for found in _alternatives(choice, root)] or [schema]
