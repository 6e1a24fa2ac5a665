"""Reports of clients: calls and failures of each instance, and open circuits.

    /maas/ext/reports/<client>   {"at": 1571163620277, "models": {"dga": {"rollout": "re-1", "versions": {"2.0":
                                 {"http://node1:36161": {"calls": 480, "failures": 2, "circuit": "open"}}}}}}

A report contains counts and URLs of registered instances, and nothing of records. It ends with its client. With a
rollout, the counts are those since the client has seen the rollout.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Protocol

from stellar.maas.schema import read_json, validate_name
from stellar.util.abbreviate import abbreviate
from stellar.util.json_objects import read_object

log = logging.getLogger(__name__)

REPORTS = "reports"  # the directory of the reports, below `ext`
MAX_BYTES = 1 << 20  # of a report; ZooKeeper's default limit
CLOSED = "closed"


@dataclass(frozen=True)
class InstanceCounts:
    """The calls of one instance.

    failures: the calls that failed, of `calls`
    circuit: "closed", "open", "half-open" or "resting"
    """

    calls: int = 0
    failures: int = 0
    circuit: str = CLOSED

    def __post_init__(self) -> None:
        if not 0 <= self.failures <= self.calls:
            raise ValueError(f"expected 0 <= failures <= calls, got {self.failures} and {self.calls}")

    def __add__(self, other: InstanceCounts) -> InstanceCounts:
        return InstanceCounts(self.calls + other.calls, self.failures + other.failures)

    @property
    def failure_rate(self) -> float:
        return self.failures / self.calls if self.calls else 0.0


@dataclass(frozen=True)
class ModelReport:
    """The calls of one model.

    rollout: the rollout since which they are counted; empty without one
    versions: counts by version and URL
    """

    rollout: str = ""
    versions: dict[str, dict[str, InstanceCounts]] = field(default_factory=dict)


@dataclass(frozen=True)
class ClientReport:
    """The report of a client.

    at: time of the last change, in milliseconds since the epoch
    """

    models: dict[str, ModelReport] = field(default_factory=dict)
    at: int = field(default=0, compare=False)

    @classmethod
    def from_json(cls, data: bytes) -> ClientReport:
        """Return the report in a JSON document; unknown keys are ignored. Raises ValueError for an invalid one."""
        if len(data) > MAX_BYTES:
            raise ValueError(f"{len(data):,} bytes, expected at most {MAX_BYTES:,}")
        note = read_json(data)
        if not isinstance(note, dict):
            raise ValueError(f"expected a JSON object, got {abbreviate(json.dumps(note), 80)}")
        return read_object(cls, note, ignore_unknown=True)

    def to_json(self) -> bytes:
        return json.dumps(asdict(self), separators=(",", ":")).encode()


def now_ms() -> int:
    """Return the current time in milliseconds since the epoch."""
    return int(time.time() * 1000)


class Reports(Protocol):
    """The reports of all clients of a registry. Thread-safe, and usable after a fork."""

    def publish(self, client: str, report: ClientReport) -> None:
        """Publish the report of a client of this process, in place of its last one.

        client: an id that no other client has

        Raises OSError if it can't be written.
        """

    def withdraw(self, client: str) -> None:
        """Remove the report of a client of this process, if there is one. Raises OSError if it can't be removed."""

    def read(self) -> Mapping[str, ClientReport]:
        """Return the reports of all living clients, by client. An invalid one is ignored, with a warning.

        Raises OSError if they can't be read.
        """


class MemoryReports:
    """Reports within this process."""

    def __init__(self) -> None:
        self._reports: dict[str, ClientReport] = {}

    def publish(self, client: str, report: ClientReport) -> None:
        self._reports = {**self._reports, validate_name(client, "client"): report}

    def withdraw(self, client: str) -> None:
        self._reports = {known: report for known, report in self._reports.items() if known != client}

    def read(self) -> Mapping[str, ClientReport]:
        return self._reports


class ReportParser:
    """Parses the data of reports: unchanged data only once, so that an invalid report is logged once."""

    def __init__(self) -> None:
        self._parsed: dict[str, tuple[bytes, ClientReport | None]] = {}

    def parse(self, found: Mapping[str, tuple[str, bytes]]) -> dict[str, ClientReport]:
        """Return the valid reports, by client.

        found: for each client, where its report is, and its data
        """
        self._parsed = {client: self._parse(client, *each) for client, each in found.items()}
        return {client: report for client, (_, report) in self._parsed.items() if report is not None}

    def _parse(self, client: str, where: str, data: bytes) -> tuple[bytes, ClientReport | None]:
        known = self._parsed.get(client)
        if known is not None and known[0] == data:
            return known
        try:
            return data, ClientReport.from_json(data)
        except ValueError as error:
            if known is None or known[1] is not None:
                log.warning("invalid report %s is ignored: %s", where, abbreviate(str(error), 200))
            return data, None
