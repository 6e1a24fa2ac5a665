"""Bulk requests, and the documents in them that failed.

A request succeeds although some of its documents fail. Their failures are of three kinds:

    the document is at fault    such as a value that does not fit the mapping: it becomes an error document
    the server is busy          or has no room: the document is sent again, until it is stored
    the operator must act       such as a user without rights: SearchFailure ends the run, and nothing is lost
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stellar.pipeline.connectors.search.client import (
    LINES,
    SearchClient,
    SearchFailure,
    SearchResponse,
    describe,
    describe_error,
)
from stellar.pipeline.connectors.search.documents import BulkItem

# The response has only the parts that are read here
_PATH = "/_bulk?filter_path=errors,items.*.status,items.*.error"
_MOST_ATTEMPTS = 8
_CREATED = 409  # of `create`: an earlier request has stored the document
# Types of errors that the operator can end while documents wait
_WAITING_TYPES = frozenset({"cluster_block_exception", "index_closed_exception", "unavailable_shards_exception"})
_TOO_MANY_SHARDS = "maximum shards open"
_FIXES = {
    "strict_dynamic_mapping_exception": "add the field to the mapping, or remove it from the record",
    "cluster_block_exception": "free space on the disks of its nodes, and remove the block of the index",
    "index_closed_exception": "open the index",
}
_TOO_MANY_FIELDS = "Limit of total fields"


@dataclass
class BulkResult:
    """The documents of a request that failed; all others are stored.

    repeat: documents to send again
    rejected: documents at fault, with the reasons
    reason: why documents are to be repeated
    """

    repeat: list[BulkItem] = field(default_factory=list)
    rejected: list[tuple[BulkItem, str]] = field(default_factory=list)
    reason: str = ""

    def add(self, other: BulkResult) -> None:
        """Add the result of another request."""
        self.repeat += other.repeat
        self.rejected += other.rejected
        self.reason = self.reason or other.reason


def send_bulk(client: SearchClient, items: Sequence[BulkItem]) -> BulkResult:
    """Send documents in one request, or in more if that is too large.

    Raises SearchUnavailable if the server accepts no requests, and SearchFailure if the operator must act.
    """
    body = b"".join(part for item in items for part in (item.action, b"\n", item.content, b"\n"))
    response = client.request("POST", _PATH, body, LINES)
    if response.status == 200 and isinstance(response.body, Mapping) and "items" in response.body:
        return _read_items(client.name, items, response.body)
    if response.status not in (400, 413):
        raise SearchFailure(f"{client.name} at {client.urls} rejects bulk requests: {describe(response)}")
    if len(items) == 1:
        return BulkResult(rejected=[(items[0], _explain_document(items[0], response))])
    middle = len(items) // 2
    result = send_bulk(client, items[:middle])
    result.add(send_bulk(client, items[middle:]))
    return result


def _explain_document(item: BulkItem, response: SearchResponse) -> str:
    if response.status == 413:
        return (
            f"document of {item.size:,} bytes is larger than the server allows; increase its http.max_content_length, "
            "or shorten the record"
        )
    return describe(response)


def _read_items(server: str, items: Sequence[BulkItem], body: Mapping[str, Any]) -> BulkResult:
    result = BulkResult()
    if not body.get("errors"):
        return result
    for item, outcome in zip(items, body["items"], strict=True):
        ((operation, values),) = outcome.items()
        status = values["status"]
        if status >= 300 and not (status == _CREATED and operation == "create"):
            _add_failure(server, item, status, values.get("error"), result)
    return result


def _add_failure(server: str, item: BulkItem, status: int, error: Any, result: BulkResult) -> None:
    """Add a document that is not stored to a result. Raises SearchFailure if the operator must act."""
    kind = str(error.get("type", "")) if isinstance(error, Mapping) else ""
    reason = describe_error(error) or f"status {status}"
    if fix := _FIXES.get(kind) or ("increase index.mapping.total_fields.limit" if _TOO_MANY_FIELDS in reason else None):
        reason = f"{reason}; {fix}"
    if status in (429, 503) or kind in _WAITING_TYPES or _TOO_MANY_SHARDS in reason:
        result.repeat.append(item)
        result.reason = result.reason or reason
    elif status >= 500 and item.attempts < _MOST_ATTEMPTS:
        item.attempts += 1
        result.repeat.append(item)
        result.reason = result.reason or reason
    elif status == 404:
        raise SearchFailure(
            f"the index {json.dumps(item.index)} does not exist, and {server} does not create it: {reason}; "
            "create it, or allow it in action.auto_create_index"
        )
    elif status in (401, 403):
        raise SearchFailure(
            f"the user may not write to the index {json.dumps(item.index)} of {server}: {reason}; grant the user the "
            "permissions to create it and to index"
        )
    else:
        result.rejected.append((item, reason))
