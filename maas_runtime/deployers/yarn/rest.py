"""A client of the REST interface of YARN services."""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from time import monotonic, sleep
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import quote

import httpx

from maas_runtime.errors import DeployError
from stellar.util.abbreviate import quote as quote_value

CONNECT_SECONDS, RESPONSE_SECONDS = 3.0, 60.0
RETRY_SECONDS = 2.0  # for a state that is temporarily unavailable
SERVICES, CLUSTER = "/app/v1/services", "/ws/v1/cluster"

NO_PRINCIPAL = "No principal specified in the persisted service definition"

# Patterns of YARN's errors, and messages for users who do not know YARN
_EXPLANATIONS = (
    (
        r"specified memory size \((\d+)\) is larger than configured max container memory size \((\d+)\)",
        r"\1 MB is more than the \2 MB that YARN allows for a container (yarn.scheduler.maximum-allocation-mb); "
        r"use less with -m",
    ),
    (r"to unknown queue: (\S+)", r"unknown YARN queue \1; choose another with -q"),
    (r"Service name (\S+) is already taken", r"the YARN service \1 belongs to another user"),
    (
        r"File (\S+) does not exist",
        r"YARN cannot read \1; choose a model store that all nodes can read (--store)",
    ),
    (
        NO_PRINCIPAL,
        r"the service has no Kerberos principal, which YARN needs to reach it; end it by yarn app -destroy, and "
        r"restart maas serve with --principal and --keytab",
    ),
    (r".*[Nn]ode[ -]?label.*", r"YARN rejected the node label (-nle): \g<0>"),
    (r".*AccessControlException.*|.*cannot submit.*|.*[Pp]ermission denied.*", r"YARN denied access: \g<0>"),
)

_STACK_FRAME = re.compile(r"^\s+at [^\s(]+\([^)\n]*\)$", re.MULTILINE)  # of Java, after some messages


class StateUnavailable(ConnectionError):
    """YARN cannot report a service now, for example while another change of it is written."""


class YarnContainer(NamedTuple):
    """A container of a service.

    instance: name for decommissioning it
    launched: milliseconds since the epoch
    """

    id: str
    instance: str
    launched: int


class YarnServiceState(NamedTuple):
    """The state of a YARN service.

    application: id of its YARN application
    desired: desired number of containers; None while its master does not report it
    properties: the properties in its specification
    """

    state: str
    application: str
    desired: int | None
    containers: tuple[YarnContainer, ...]
    properties: Mapping[str, str]

    @property
    def ended(self) -> bool:
        return self.state in ("FAILED", "STOPPED", "SUCCEEDED")


class YarnServices:
    """The services of a YARN cluster. Thread-safe.

    urls: URLs of the resource managers, of which one is active
    user: user name, for a cluster without authentication
    auth: authentication, for a secure cluster

    All methods raise DeployError if YARN rejects a request, and ConnectionError if no resource manager is reachable.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        user: str | None = None,
        auth: httpx.Auth | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.urls = [validate_url(url) for url in urls]
        self.user = user or os.environ.get("HADOOP_USER_NAME") or getpass.getuser()
        self._client = httpx.Client(
            auth=auth,
            params=None if auth else {"user.name": self.user},
            timeout=httpx.Timeout(RESPONSE_SECONDS, connect=CONNECT_SECONDS),
            transport=transport,
            trust_env=transport is None,
        )

    def create(self, specification: Mapping[str, Any]) -> None:
        """Start a service."""
        self._request("POST", SERVICES, specification)

    def state(self, name: str) -> YarnServiceState | None:
        """Return the state of a service; None if it does not exist."""
        deadline = monotonic() + RETRY_SECONDS
        while True:
            try:
                response = self._request("GET", _path(name), allow_missing=True)
            except StateUnavailable:
                if monotonic() > deadline:
                    raise
                sleep(0.2)
            else:
                return None if response is None else _state(response)

    def resize(self, name: str, component: str, containers: int) -> None:
        """Set the number of containers of a component."""
        body = {"name": component, "number_of_containers": containers}
        self._request("PUT", f"{_path(name)}/components/{quote(component, safe='')}", body)

    def decommission(self, name: str, component: str, instances: Sequence[str]) -> None:
        """Remove instances and reduce the number of containers accordingly."""
        body = {"name": name, "components": [{"name": component, "decommissioned_instances": list(instances)}]}
        self._request("PUT", _path(name), body)

    def delete(self, name: str) -> None:
        """Stop and delete a service; a missing one is ignored."""
        self._request("DELETE", _path(name), allow_missing=True)

    def read_diagnostics(self, application: str) -> str:
        """Return YARN's diagnostics of an application; empty without any."""
        response = self._request("GET", f"{CLUSTER}/apps/{quote(application, safe='')}", allow_missing=True) or {}
        return " ".join(str((response.get("app") or {}).get("diagnostics") or "").split())

    def cluster(self) -> dict[str, Any]:
        """Return the cluster information of the active resource manager."""
        return dict((self._request("GET", f"{CLUSTER}/info") or {}).get("clusterInfo") or {})

    def find_nodes(self, host: str) -> list[str]:
        """Return the URLs of the running node managers on a host, which may have several."""
        response = self._request("GET", f"{CLUSTER}/nodes") or {}
        nodes = (response.get("nodes") or {}).get("node") or []
        scheme = httpx.URL(self.urls[0]).scheme
        return [
            f"{scheme}://{node['nodeHTTPAddress']}"
            for node in nodes
            if node.get("state") == "RUNNING" and node.get("nodeHostName") == host and node.get("nodeHTTPAddress")
        ]

    def read_log(self, node: str, container: str, file: str, most: int) -> bytes | None:
        """Return the end of a container's log file, at most so many bytes; None if the file does not exist.

        node: URL of the node manager

        Raises ConnectionError if the node cannot be reached, DeployError if it rejects the request.
        """
        url = f"{node}/ws/v1/node/containers/{quote(container, safe='')}/logs/{quote(file, safe='')}"
        try:
            response = self._client.get(url, params={"size": -most})
        except httpx.HTTPError as error:
            raise ConnectionError(f"cannot reach {node}: {str(error) or type(error).__name__}") from None
        if response.status_code == 404:
            return None
        if not response.is_success:
            raise DeployError(f"{node} does not return the log {file} of {container}: status {response.status_code}")
        return _strip_log_header(response.content)

    def _request(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, allow_missing: bool = False
    ) -> dict[str, Any] | None:
        errors = []
        for url in list(self.urls):
            try:
                response = self._client.request(method, url + path, json=body)
            except PermissionError as error:  # of Kerberos
                raise DeployError(f"YARN denied access: {error}") from error
            except httpx.HTTPError as error:
                errors.append(f"{url}: {str(error) or type(error).__name__}")
                if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
                    continue  # the request was not sent, so another may be tried
                break
            if response.is_redirect or "This is standby RM" in response.text[:1000]:
                errors.append(f"{url} is on standby")
                continue
            if url != self.urls[0]:  # try the active one first from now on
                self.urls = [url, *(other for other in self.urls if other != url)]
            return _parse_response(response, allow_missing=allow_missing, is_query=method == "GET")
        raise ConnectionError(f"cannot reach YARN: {'; '.join(errors)}")

    def close(self) -> None:
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


_LOG_CONTENTS, _LOG_END = b"\nLogContents:\n", b"End of LogType:"


def _strip_log_header(content: bytes) -> bytes:
    """Return a log file without the text that the node manager writes before and after it."""
    _, begin, log = content.partition(_LOG_CONTENTS)
    return log.rpartition(_LOG_END)[0] if begin and _LOG_END in log else content


def _path(name: str) -> str:
    return f"{SERVICES}/{quote(name, safe='')}"


def _parse_response(response: httpx.Response, *, allow_missing: bool, is_query: bool) -> dict[str, Any] | None:
    """Return the JSON object of a response; None if `allow_missing` and the service does not exist.

    Raises DeployError for a rejected request, ConnectionError for a response that is not from YARN.
    """
    if response.status_code == 401 and _is_html(response):
        raise DeployError(f"YARN denied access: {response.reason_phrase}; add --principal and --keytab, or run kinit")
    try:
        content = response.json() if response.content else {}
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise ConnectionError(f"{response.url.copy_with(query=None)} is not YARN: status {response.status_code}")
    if response.is_success:
        return content
    reason = _reason(content)
    if allow_missing and (response.status_code == 404 or "doesn't exist" in reason):
        return None
    if response.status_code in (401, 403):
        raise DeployError(f"YARN denied access: {reason or response.reason_phrase}")
    if response.status_code in (502, 503, 504) or not reason:
        raise ConnectionError(f"YARN is not available: {response.status_code} {reason or response.reason_phrase}")
    if is_query and response.status_code == 500 and NO_PRINCIPAL not in reason:
        raise StateUnavailable(f"YARN cannot report the service now: {reason}")
    raise DeployError(explain(reason))


def _is_html(response: httpx.Response) -> bool:
    return str(response.headers.get("Content-Type")).startswith("text/html")


def _reason(content: Mapping[str, Any]) -> str:
    remote = content.get("RemoteException")
    explanation = (
        content.get("diagnostics")
        or content.get("message")
        or (isinstance(remote, dict) and remote.get("message"))
        or ""
    )
    return " ".join(_STACK_FRAME.sub("", str(explanation)).split())


def explain(reason: str) -> str:
    """Return YARN's message, rephrased for users where a pattern matches."""
    for pattern, explanation in _EXPLANATIONS:
        if match := re.search(pattern, reason):
            return match.expand(explanation)
    return f"YARN reports: {reason}"


def _state(response: Mapping[str, Any]) -> YarnServiceState:
    components = response.get("components") or []
    first: Mapping[str, Any] = components[0] if components else {}
    containers = (
        YarnContainer(str(c["id"]), str(c["component_instance_name"]), int(c.get("launch_time") or 0))
        for c in first.get("containers") or []
        if c.get("state") not in ("STOPPED", "FAILED") and c.get("component_instance_name")
    )
    return YarnServiceState(
        str(response.get("state")),
        str(response.get("id") or ""),
        int(first["number_of_containers"]) if first.get("number_of_containers") is not None else None,
        tuple(sorted(containers, key=lambda container: (container.launched, container.id))),
        (response.get("configuration") or {}).get("properties") or {},
    )


def validate_url(url: str) -> str:
    """Return a URL without a trailing slash.

    Raises ValueError if it is not an http or https URL.
    """
    with suppress(httpx.InvalidURL):
        parts = httpx.URL(url)
        if parts.scheme in ("http", "https") and parts.host and not parts.query and not parts.userinfo:
            return url.rstrip("/")
    raise ValueError(f"invalid YARN URL {quote_value(url)}: expected a URL such as http://node1:8088")
