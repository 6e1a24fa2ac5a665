"""YARN's own REST interface for services that run for long."""

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

CONNECT_SECONDS, ANSWER_SECONDS = 3.0, 60.0
PASSING_SECONDS = 2.0  # for what is likely over at once
SERVICES, CLUSTER = "/app/v1/services", "/ws/v1/cluster"

# What YARN says, and what to say to somebody who does not know YARN
_SENTENCES = (
    (
        r"specified memory size \((\d+)\) is larger than configured max container memory size \((\d+)\)",
        r"\1 MB are more than the \2 MB that YARN gives one container (yarn.scheduler.maximum-allocation-mb); "
        r"ask for less with -m",
    ),
    (r"to unknown queue: (\S+)", r"YARN has no queue \1; name one that it has with -q"),
    (r"Service name (\S+) is already taken", r"YARN has a service \1 of somebody else"),
    (
        r"File (\S+) does not exist",
        r"YARN does not find \1; the model store must be where all of YARN's machines see it (--store)",
    ),
    (r".*[Nn]ode[ -]?label.*", r"YARN refuses the node label (-nle): \g<0>"),
    (r".*AccessControlException.*|.*cannot submit.*|.*[Pp]ermission denied.*", r"YARN does not let us: \g<0>"),
)


class Unsettled(ConnectionError):
    """YARN can't tell of a service at this moment, as when another change of it is just being written."""


class Container(NamedTuple):
    """A container of a service.

    instance: the name by which it can be taken away
    launched: milliseconds since the epoch
    """

    id: str
    instance: str
    launched: int


class State(NamedTuple):
    """What YARN tells of a service.

    application: the id of what runs it
    wanted: how many containers it shall have; None while its master can't tell
    properties: those that it was made with
    """

    state: str
    application: str
    wanted: int | None
    containers: tuple[Container, ...]
    properties: Mapping[str, str]

    @property
    def ended(self) -> bool:
        return self.state in ("FAILED", "STOPPED", "SUCCEEDED")


class YarnServices:
    """The services of a YARN. Safe to use from many threads.

    urls: the addresses of the resource managers, of which one is active
    user: who we are, where YARN believes what one says
    auth: how we show who we are, where it does not

    All raise DeployError, with a sentence, for what YARN refuses, and ConnectionError if it can't be reached.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        user: str | None = None,
        auth: httpx.Auth | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.urls = [checked_url(url) for url in urls]
        self.user = user or os.environ.get("HADOOP_USER_NAME") or getpass.getuser()
        self._client = httpx.Client(
            auth=auth,
            params=None if auth else {"user.name": self.user},
            timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
            transport=transport,
            trust_env=transport is None,
        )

    def create(self, specification: Mapping[str, Any]) -> None:
        """Start a service."""
        self._asked("POST", SERVICES, specification)

    def state(self, name: str) -> State | None:
        """What becomes of a service; None if there is none."""
        deadline = monotonic() + PASSING_SECONDS
        while True:
            try:
                answer = self._asked("GET", _path(name), missing_is_fine=True)
            except Unsettled:
                if monotonic() > deadline:
                    raise
                sleep(0.2)
            else:
                return None if answer is None else _state(answer)

    def resize(self, name: str, component: str, containers: int) -> None:
        """Let a component have so many containers."""
        body = {"name": component, "number_of_containers": containers}
        self._asked("PUT", f"{_path(name)}/components/{quote(component, safe='')}", body)

    def take_away(self, name: str, component: str, instances: Sequence[str]) -> None:
        """Take these instances away for good, and have so many fewer."""
        body = {"name": name, "components": [{"name": component, "decommissioned_instances": list(instances)}]}
        self._asked("PUT", _path(name), body)

    def delete(self, name: str) -> None:
        """End a service, and forget it; one that is not there is no error."""
        self._asked("DELETE", _path(name), missing_is_fine=True)

    def why(self, application: str) -> str:
        """What YARN says of the end of an application; empty if it says nothing."""
        answer = self._asked("GET", f"{CLUSTER}/apps/{quote(application, safe='')}", missing_is_fine=True) or {}
        return " ".join(str((answer.get("app") or {}).get("diagnostics") or "").split())

    def cluster(self) -> dict[str, Any]:
        """What the active resource manager says of itself."""
        return dict((self._asked("GET", f"{CLUSTER}/info") or {}).get("clusterInfo") or {})

    def _asked(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, missing_is_fine: bool = False
    ) -> dict[str, Any] | None:
        troubles = []
        for url in list(self.urls):
            try:
                answer = self._client.request(method, url + path, json=body)
            except httpx.HTTPError as error:
                troubles.append(f"{url}: {str(error) or type(error).__name__}")
                if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
                    continue  # nothing was asked yet, so another may be
                break
            if answer.is_redirect or "This is standby RM" in answer.text[:1000]:
                troubles.append(f"{url} is on standby")
                continue
            if url != self.urls[0]:  # the active one first, from now on
                self.urls = [url, *(other for other in self.urls if other != url)]
            return _understood(answer, missing_is_fine=missing_is_fine, asking=method == "GET")
        raise ConnectionError(f"YARN can't be reached: {'; '.join(troubles)}")

    def close(self) -> None:
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _path(name: str) -> str:
    return f"{SERVICES}/{quote(name, safe='')}"


def _understood(answer: httpx.Response, *, missing_is_fine: bool, asking: bool) -> dict[str, Any] | None:
    """The JSON object of an answer.

    Raises DeployError for a refusal, ConnectionError for an answer that is not of YARN.
    """
    try:
        said = answer.json() if answer.content else {}
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise ConnectionError(f"{answer.url.copy_with(query=None)} answers {answer.status_code}, and not as YARN does")
    if answer.is_success:
        return said
    reason = _reason(said)
    if missing_is_fine and (answer.status_code == 404 or "doesn't exist" in reason):
        return None
    if answer.status_code in (401, 403):
        raise DeployError(f"YARN does not let us: {reason or answer.reason_phrase}")
    if answer.status_code in (502, 503, 504) or not reason:
        raise ConnectionError(f"YARN can't do it now: {answer.status_code} {reason or answer.reason_phrase}")
    if asking and answer.status_code == 500:
        raise Unsettled(f"YARN can't tell now: {reason}")
    raise DeployError(sentence(reason))


def _reason(said: Mapping[str, Any]) -> str:
    remote = said.get("RemoteException")
    words = said.get("diagnostics") or said.get("message") or (isinstance(remote, dict) and remote.get("message")) or ""
    return " ".join(str(words).split())


def sentence(reason: str) -> str:
    """What YARN says, in our words where we have any."""
    for pattern, words in _SENTENCES:
        if match := re.search(pattern, reason):
            return match.expand(words)
    return f"YARN says: {reason}"


def _state(answer: Mapping[str, Any]) -> State:
    components = answer.get("components") or []
    first: Mapping[str, Any] = components[0] if components else {}
    containers = (
        Container(str(c["id"]), str(c["component_instance_name"]), int(c.get("launch_time") or 0))
        for c in first.get("containers") or []
        if c.get("state") not in ("STOPPED", "FAILED") and c.get("component_instance_name")
    )
    return State(
        str(answer.get("state")),
        str(answer.get("id") or ""),
        int(first["number_of_containers"]) if first.get("number_of_containers") is not None else None,
        tuple(sorted(containers, key=lambda container: (container.launched, container.id))),
        (answer.get("configuration") or {}).get("properties") or {},
    )


def checked_url(url: str) -> str:
    """The address without a slash at the end.

    Raises ValueError if it is not one of http or https.
    """
    with suppress(httpx.InvalidURL):
        parts = httpx.URL(url)
        if parts.scheme in ("http", "https") and parts.host and not parts.query and not parts.userinfo:
            return url.rstrip("/")
    raise ValueError(f"{url!r} is not an address of YARN such as http://node1:8088")
