"""What clients report about the instances of a model.

    reports/<client>        {"at": 1571163620277, "models": {"dga": {"versions": {"2.0": {"http://node1:36161":
                             {"calls": 480, "failures": 2, "circuit": "open"}}}}}}

Clients may have another version than this command. So any field may be missing or have any value; such a field is left
out, and the rest is shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from maas_runtime.cli.output import make_printable
from maas_runtime.state.store import JsonObject, StateStore

REPORTS = "reports"
MAX_CHARACTERS = 400


@dataclass(frozen=True)
class ReportedCalls:
    """The calls of an instance that a client reports."""

    client: str
    at: int
    version: str
    url: str
    calls: int
    failures: int
    circuit: str

    def __str__(self) -> str:
        share = f"{self.failures} of {self.calls} calls failed"
        return f"report of {self.client}: {self.version} at {self.url}: {share}, circuit {self.circuit or 'unknown'}"

    def to_fields(self) -> dict[str, Any]:
        return asdict(self)


def read_reports(state_store: StateStore, name: str) -> list[ReportedCalls]:
    """Return what the living clients report about the instances of a model."""
    found = state_store.read_published(REPORTS)
    return [each for client, report in sorted(found.items()) for each in _parse_report(client, report, name)]


def _parse_report(client: str, report: JsonObject, name: str) -> Iterator[ReportedCalls]:
    versions = _read_object(_read_object(_read_object(report.get("models")).get(name)).get("versions"))
    for version, urls in versions.items():
        for url, counts in _read_object(urls).items():
            fields = _read_object(counts)
            yield ReportedCalls(
                make_printable(client),
                _read_integer(report.get("at")),
                make_printable(version),
                make_printable(url),
                _read_integer(fields.get("calls")),
                _read_integer(fields.get("failures")),
                _read_string(fields.get("circuit")),
            )


def count_circuits(reports: list[ReportedCalls]) -> dict[str, Counter[str]]:
    """Return the number of clients by the state of their circuit, by URL of the instance."""
    circuits: dict[str, Counter[str]] = {}
    for each in reports:
        circuits.setdefault(each.url, Counter())[each.circuit or "unknown"] += 1
    return circuits


def _read_object(value: object) -> JsonObject:
    return value if isinstance(value, dict) else {}


def _read_string(value: object) -> str:
    return make_printable(value)[:MAX_CHARACTERS] if isinstance(value, str) else ""


def _read_integer(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
