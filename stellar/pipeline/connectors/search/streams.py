"""Data streams: they exist, or a template allows that they are created."""

from __future__ import annotations

import json
from urllib.parse import quote as quote_path

from stellar.pipeline.connectors.search.client import SearchClient, SearchFailure, ServerVersion, describe


def require_stream(client: SearchClient, name: str, version: ServerVersion) -> None:
    """Create a data stream if it does not exist. Raises SearchFailure if that is impossible."""
    if not version.has_streams:
        raise SearchFailure(
            f"{client.name} {version.major}.{version.minor} has no data streams; remove dataStream of the writer for "
            f"{json.dumps(name)}"
        )
    path = f"/_data_stream/{quote_path(name, safe='')}"
    if client.request("GET", path).status == 200:
        return
    response = client.request("PUT", path)
    if response.status != 200:
        raise SearchFailure(
            f"cannot create the data stream {json.dumps(name)} of {client.name}: {describe(response)}; create an "
            "index template for it with stellar-pipeline template, or remove dataStream of the writer"
        )
