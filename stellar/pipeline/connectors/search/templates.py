"""Index templates: the types of the fields that the pipeline adds, for the indices of a sensor.

Without a template the server guesses the type of a field from its first value. With one, times are dates, addresses are
addresses, scores are numbers, and nested alerts can be searched.
"""

from __future__ import annotations

from typing import Any, NamedTuple
from urllib.parse import quote as quote_path

from stellar.pipeline.connectors.search.client import SearchClient, SearchFailure, ServerVersion, describe, to_body
from stellar.pipeline.connectors.search.documents import TIMESTAMP, Writer

Mapping = dict[str, Any]

_MILLISECONDS = {"type": "date", "format": "epoch_millis"}
_KEYWORD = {"type": "keyword"}
_LONG_KEYWORD = {"type": "keyword", "ignore_above": 8191}  # what Lucene can index, if each character has four bytes
_FIELDS: Mapping = {
    "guid": _KEYWORD,
    "source.type": _KEYWORD,
    "timestamp": _MILLISECONDS,
    "original_string": {"type": "text"},
    "is_alert": _KEYWORD,
    "alert": {"type": "nested"},
    "metron_alert": {"type": "nested"},
    "ip_src_addr": {"type": "ip"},
    "ip_dst_addr": {"type": "ip"},
    "ip_src_port": {"type": "integer"},
    "ip_dst_port": {"type": "integer"},
}
_ERROR_FIELDS: Mapping = {
    "guid": _KEYWORD,
    "source.type": _KEYWORD,
    "timestamp": _MILLISECONDS,
    "error_type": _KEYWORD,
    "failed_sensor_type": _KEYWORD,
    "stage": _KEYWORD,
    "error_hash": _KEYWORD,
    "error_fields": _KEYWORD,
    "hostname": _KEYWORD,
    "message": {"type": "text"},
    "exception": {"type": "text"},
    "stack": {"type": "text"},
    "raw_message": {"type": "text"},
}
# Rules by patterns of names, of which the first that matches applies
_PATTERNS: Mapping = {
    "*.ts": {"mapping": _MILLISECONDS},
    # The source of a score: a number, or an expression, which is stored and cannot be found
    "threat.triage.rules.*.score": {"mapping": {"type": "float", "ignore_malformed": True}},
    "threat.triage.*score": {"mapping": {"type": "float"}},
    "threat.triage.*reason": {"mapping": _LONG_KEYWORD},
    "threat.triage.*name": {"mapping": _LONG_KEYWORD},
    "enrichments.geo.*.location_point": {"mapping": {"type": "geo_point"}},
    "enrichments.geo.*.latitude": {"mapping": {"type": "float"}},
    "enrichments.geo.*.longitude": {"mapping": {"type": "float"}},
    # Only strings, as the path of an object matches, too
    "enrichments.geo.*": {"match_mapping_type": "string", "mapping": _KEYWORD},
}


class IndexTemplate(NamedTuple):
    """A template, as it is sent to the server.

    path: that of the request PUT
    """

    path: str
    body: Mapping


def make_template(sensor: str, writer: Writer, version: ServerVersion, error_type: str = "error") -> IndexTemplate:
    """Return the template for the indices or the data stream of a sensor."""
    mapping = _make_mapping(_ERROR_FIELDS if sensor == error_type else _FIELDS, writer)
    pattern = writer.index if writer.is_stream else f"{writer.index}_index_*"
    name = quote_path(f"stellar-{writer.index}", safe="")
    if version.has_composable_templates:
        template: Mapping = {"index_patterns": [pattern], "priority": 200, "template": {"mappings": mapping}}
        if writer.is_stream:
            template["data_stream"] = {}
        return IndexTemplate(f"/_index_template/{name}", template)
    patterns = {"template": pattern} if version.major < 6 else {"index_patterns": [pattern]}
    mappings = {f"{sensor}_doc": mapping} if version.has_types else mapping
    return IndexTemplate(f"/_template/{name}", {**patterns, "mappings": mappings})


def put_template(client: SearchClient, template: IndexTemplate) -> None:
    """Create or replace a template. Raises SearchFailure if the server rejects it."""
    response = client.request("PUT", template.path, to_body(template.body))
    if response.status != 200:
        raise SearchFailure(f"{client.name} at {client.urls} rejects the template: {describe(response)}")


def _make_mapping(fields: Mapping, writer: Writer) -> Mapping:
    """Return the mapping of documents, with names of fields as the writer has them."""
    separator = ":" if writer.has_colons else "."
    properties = {name.replace(".", separator): mapping for name, mapping in fields.items()}
    if writer.is_stream:
        properties[TIMESTAMP] = {"type": "date"}
    # Names with dots are paths of objects
    matches = "match" if writer.has_colons else "path_match"
    patterns = [{name.strip("*."): {matches: name.replace(".", separator), **rule}} for name, rule in _PATTERNS.items()]
    return {"dynamic_templates": patterns, "properties": properties}
