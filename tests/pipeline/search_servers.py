"""Search servers for tests: what they store, and how a run writes to them."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass, field
from typing import Any

from stellar.pipeline.records import Record


def is_unready(response: Any) -> bool:
    """Return True for the response for an index that was created just now."""
    return bool(response.get("status") == 503)


@dataclass
class Search:
    """A server, with names of indices of its own, so that tests can share it.

    kind: `opensearch` or `elasticsearch`
    """

    kind: str
    server: Any
    suffix: str = field(default_factory=lambda: uuid.uuid4().hex[:8])

    @property
    def target(self) -> str:
        return f"{self.kind}:{self.server.url}"

    @property
    def has_types(self) -> bool:
        return self.kind == "elasticsearch"

    def name(self, index: str) -> str:
        return f"{index}-{self.suffix}"

    def request(self, method: str, path: str, body: object = None) -> Any:
        """Send a request, and return the response; also that of an error."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"{self.server.url}/{path}", data, {"Content-Type": "application/json"}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            return json.load(error)

    def hits(self, index: str) -> list[Record]:
        """Return what a search finds in the indices of a name, whatever their date."""
        self.request("POST", "_refresh")
        found = self.request("GET", f"{self.name(index)}_index_*/_search?size=10000")
        if is_unready(found):
            return []
        hits: list[Record] = found["hits"]["hits"]
        return hits

    def documents(self, index: str) -> list[Record]:
        return [hit["_source"] for hit in self.hits(index)]

    def count(self, index: str) -> int:
        self.request("POST", "_refresh")
        found = self.request("GET", f"{self.name(index)}_index_*/_count")
        if is_unready(found):
            return 0
        count: int = found["count"]
        return count

    def map(self, index: str, **fields: str) -> None:
        """Set the types of fields in the indices of a name that are created from now on."""
        mapping: Any = {"properties": {name: {"type": kind} for name, kind in fields.items()}}
        body = {
            "template": f"{self.name(index)}_index_*",
            "index_patterns": [f"{self.name(index)}_index_*"],
            "mappings": {"_default_": mapping} if self.has_types else mapping,
        }
        del body["index_patterns" if self.has_types else "template"]
        assert self.request("PUT", f"_template/{self.name(index)}", body) == {"acknowledged": True}


def line(**fields: Any) -> str:
    return json.dumps({"timestamp": 1571163620277, "original_string": "o", **fields})
