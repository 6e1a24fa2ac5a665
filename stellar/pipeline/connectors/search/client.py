"""The clients of OpenSearch and Elasticsearch, each by its own library, and their errors with fixes.

Both connect, verify certificates, and distribute requests over the nodes. Requests are not repeated here, as single
documents of a request fail, and only these are sent again. The form of requests is that of all versions, so that the
library for a new Elasticsearch also writes to an old one.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

from stellar.pipeline.connectors.search.settings import CA, PASSWORD_FILE, USER, SearchSettings
from stellar.util.optional_imports import import_optional

NAMES = {"opensearch": "OpenSearch", "elasticsearch": "Elasticsearch"}
JSON, LINES = "application/json", "application/x-ndjson"
_UNAVAILABLE = frozenset({408, 429, 502, 503, 504})


class SearchFailure(OSError):
    """A request to a search server failed; str() gives the reason and the fix."""


class SearchUnavailable(SearchFailure):
    """No node responds, or none accepts requests for now."""


class SearchResponse(NamedTuple):
    """A response, whatever its status is.

    body: the decoded JSON; a string if it is not JSON
    """

    status: int
    body: Any


class ServerVersion(NamedTuple):
    """The version of a server: of OpenSearch, or of Elasticsearch."""

    is_opensearch: bool
    major: int
    minor: int

    @property
    def has_types(self) -> bool:
        """True if each document has a type, as before Elasticsearch 7."""
        return not self.is_opensearch and self.major < 7

    @property
    def has_composable_templates(self) -> bool:
        """True if templates may be composed, as from Elasticsearch 7.8."""
        return self.is_opensearch or (self.major, self.minor) >= (7, 8)

    @property
    def has_streams(self) -> bool:
        """True if there are data streams, as from Elasticsearch 7.9."""
        return self.is_opensearch or (self.major, self.minor) >= (7, 9)


class _Library(Protocol):
    """The common interface of the libraries."""

    def send(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> SearchResponse:
        """Send a request to one of the nodes, and return the response. Raises SearchUnavailable without one."""

    def close(self) -> None:
        """Close all connections."""


class SearchClient:
    """Sends requests to a search server.

    Raises ValueError if the library of the client is not installed.
    """

    def __init__(self, settings: SearchSettings) -> None:
        self.name = NAMES[settings.kind]
        self.urls = ",".join(settings.urls)
        self._authorization = {} if settings.authorization is None else {"authorization": settings.authorization}
        try:
            self._library = _LIBRARIES[settings.kind](settings)
        except LookupError as error:
            raise ValueError(str(error)) from error

    def request(self, method: str, path: str, body: bytes | None = None, kind: str = JSON) -> SearchResponse:
        """Send a request, and return the response, also one of an error.

        kind: the media type of the body

        Raises SearchUnavailable if no node responds or accepts requests, and SearchFailure if the user is rejected.
        """
        headers = {"accept": JSON, **self._authorization} | ({} if body is None else {"content-type": kind})
        try:
            response = self._library.send(method, path, headers, body)
        except SearchUnavailable as error:
            raise SearchUnavailable(self._explain_connection(str(error))) from error
        if response.status in _UNAVAILABLE:
            raise SearchUnavailable(f"{self.name} at {self.urls} accepts no requests: {describe(response)}")
        if response.status in (401, 403):
            raise SearchFailure(self._explain_rights(method, path, response))
        return response

    def read_version(self) -> ServerVersion:
        """Return the version of the server. Raises SearchFailure if it is not a search server."""
        response = self.request("GET", "/")
        try:
            version = response.body["version"]
            major, minor, *_ = map(int, version["number"].partition("-")[0].split("."))
            return ServerVersion(version.get("distribution") == "opensearch", major, minor)
        except (TypeError, KeyError, AttributeError, ValueError) as error:
            raise SearchFailure(
                f"{self.urls} is not {self.name}: {describe(response)}; check the host and the port"
            ) from error

    def close(self) -> None:
        """Close all connections."""
        self._library.close()

    def _explain_connection(self, reason: str) -> str:
        likely = next((fix for word, fix in _CONNECTION_FIXES.items() if word in reason), "check the hosts and ports")
        return f"cannot connect to {self.name} at {self.urls}: {reason}; {likely}"

    def _explain_rights(self, method: str, path: str, response: SearchResponse) -> str:
        if response.status == 401:
            return (
                f"{self.name} at {self.urls} rejects the credentials; check {USER} and {PASSWORD_FILE} of "
                "es.client.settings in the global configuration"
            )
        return f"the user may not {method} {path} of {self.name}: {describe(response)}; grant the user that permission"


_CONNECTION_FIXES = {
    "CERTIFICATE_VERIFY_FAILED": f"set {CA} of es.client.settings to the certificate of its authority",
    "SSL": "check http and https in the URL",
}


def describe(response: SearchResponse) -> str:
    """Return the reason of an error."""
    return describe_error(
        response.body["error"] if isinstance(response.body, dict) and "error" in response.body else None
    ) or (f"status {response.status}")


def describe_error(error: Any) -> str:
    """Return the reason of an error object, with the innermost cause; empty without an error."""
    if not isinstance(error, Mapping):
        return str(error or "")
    reason, cause = str(error.get("reason") or error.get("type") or ""), error.get("caused_by")
    while isinstance(cause, Mapping):
        inner, cause = cause, cause.get("caused_by")
        if not isinstance(cause, Mapping) and (text := str(inner.get("reason") or "")) and text not in reason:
            reason = f"{reason}: {text}"
    return reason


class _OpenSearch:
    """The client opensearch-py."""

    def __init__(self, settings: SearchSettings) -> None:
        self._module = import_optional("opensearchpy", "opensearch")
        logging.getLogger("opensearch").setLevel(logging.ERROR)  # failures are reported here
        self._client = self._module.OpenSearch(
            list(settings.urls), timeout=settings.seconds, max_retries=0, pool_maxsize=1, **_make_tls_options(settings)
        )

    def send(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> SearchResponse:
        """See _Library."""
        errors = self._module.exceptions
        try:
            return SearchResponse(
                200, self._client.transport.perform_request(method, path, headers=dict(headers), body=body)
            )
        except errors.SerializationError as error:
            return SearchResponse(200, str(error))
        except errors.ConnectionError as error:
            raise SearchUnavailable(str(error.error)) from error
        except errors.TransportError as error:
            return SearchResponse(int(error.status_code), error.info)

    def close(self) -> None:
        """See _Library."""
        self._client.close()


class _Elasticsearch:
    """The transport of Elasticsearch's client: it checks no version, and needs half of the client's memory."""

    def __init__(self, settings: SearchSettings) -> None:
        self._library = library = import_optional("elastic_transport", "elasticsearch")
        logging.getLogger("elastic_transport").setLevel(logging.ERROR)
        self._transport = library.Transport(
            [self._make_node(url, settings) for url in settings.urls],
            serializers={JSON: _make_lenient_serializer(library)},
            max_retries=0,
        )

    def _make_node(self, url: str, settings: SearchSettings) -> Any:
        parts = urlsplit(url)
        return self._library.NodeConfig(
            parts.scheme, parts.hostname, parts.port, parts.path, connections_per_node=1,
            request_timeout=settings.seconds, **_make_tls_options(settings),
        )  # fmt: skip

    def send(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> SearchResponse:
        """See _Library."""
        try:
            meta, content = self._transport.perform_request(method, path, headers=headers, body=body)
        except self._library.TransportError as error:
            raise SearchUnavailable(str(error.message)) from error
        return SearchResponse(meta.status, content)

    def close(self) -> None:
        """See _Library."""
        self._transport.close()


def _make_tls_options(settings: SearchSettings) -> dict[str, str]:
    """Return the options of certificates, which both libraries have."""
    options = {"ca_certs": settings.ca, "client_cert": settings.certificate, "client_key": settings.key}
    return {name: value for name, value in options.items() if value is not None}


def _make_lenient_serializer(library: Any) -> Any:
    """Return a serializer that returns a string for a body that is not JSON; an exception would hide the status."""

    class LenientSerializer(library.JsonSerializer):  # type: ignore[misc]
        def loads(self, data: bytes) -> Any:
            try:
                return super().loads(data)
            except library.SerializationError:
                return data.decode("utf-8", "replace")

    return LenientSerializer()


_LIBRARIES: Mapping[str, Callable[[SearchSettings], _Library]] = {
    "opensearch": _OpenSearch,
    "elasticsearch": _Elasticsearch,
}


def to_body(value: object) -> bytes:
    """Return a value as the body of a request."""
    return json.dumps(value, separators=(",", ":")).encode()
