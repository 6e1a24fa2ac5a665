"""Targets that are search servers: `opensearch:URL,...` and `elasticsearch:URL,...`."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urlsplit

from stellar.util.abbreviate import quote

METRON_WRITER = "elasticsearch"
_DEFAULT_PORTS = {"http": 9200, "https": 443}


class SearchTarget(NamedTuple):
    """A search server.

    kind: `opensearch` or `elasticsearch`, which selects the client
    urls: the URLs of some of its nodes; empty for those of the global configuration
    """

    kind: str
    urls: tuple[str, ...]


def list_writer_names(kind: str) -> tuple[str, ...]:
    """Return the names of the writer for a kind of server: Metron's also stands for the other if that is missing."""
    return tuple(dict.fromkeys((kind, METRON_WRITER)))


def parse_search_target(target: str) -> SearchTarget:
    """Return the search server of a target. Raises ValueError for an invalid URL."""
    kind, _, rest = target.partition(":")
    return SearchTarget(kind, tuple(check_url(url.strip()) for url in rest.split(",") if url.strip()))


def check_url(url: str) -> str:
    """Return the URL of a node, with its port. Raises ValueError if it is invalid."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"invalid URL of a search server {quote(url)}: {error}") from error
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"invalid URL of a search server {quote(url)}: expected http://HOST:PORT or https://HOST:PORT")
    if parts.username is not None or parts.password is not None:
        raise ValueError(
            f"the URL of the search server {parts.hostname} has a password, which other users can see; set "
            "xpack.username and xpack.password.file of es.client.settings in the global configuration instead"
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}:{port or _DEFAULT_PORTS[parts.scheme]}{parts.path.rstrip('/')}"
