"""Metrics and health of several processes at one address: each sends its samples to its parent, which serves them.

    parent: server ──request──► child 1: a thread collects, and responds
                   ──request──► child 2: …

The samples of a process get the label `process` with its number. So a process that is started again begins its own
series again, which Prometheus understands; sums over all processes would fall.
"""

from __future__ import annotations

import json
import logging
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from time import monotonic
from typing import Any, NamedTuple

from stellar.monitoring.metrics import Collect, Distribution, FindProblem, Metric, MetricSample, Value

log = logging.getLogger(__name__)

RESPONSE_SECONDS = 5.0
_REQUEST, _HEADER = struct.Struct(">I"), struct.Struct(">II")  # the number of a request; and the length of its report

UP = Metric("stellar_process_up", "gauge", "1 for each process that responds, 0 for one that does not.", ("process",))


class ProcessReport(NamedTuple):
    """The report of a process: why it is not healthy, why it is not ready, and its samples."""

    live: str | None
    ready: str | None
    samples: list[MetricSample]

    def encode(self) -> bytes:
        """Return the response as JSON."""
        return json.dumps((self.live, self.ready, [_to_json(each) for each in self.samples])).encode()

    @classmethod
    def decode(cls, data: bytes) -> ProcessReport:
        """Return the response in JSON."""
        live, ready, samples = json.loads(data)
        return cls(live, ready, [_from_json(*each) for each in samples])


def _to_json(sample: MetricSample) -> tuple[object, ...]:
    metric, labels, value = sample
    return metric.name, metric.kind, metric.help, metric.labels, labels, value


def _from_json(name: str, kind: Any, help: str, names: list[str], labels: list[str], value: Any) -> MetricSample:
    parsed: Value = value
    if isinstance(value, list):
        bounds, counts, total = value
        parsed = Distribution(tuple(bounds), tuple(counts), total)
    return MetricSample(Metric(name, kind, help, tuple(names)), tuple(labels), parsed)


class _Channel:
    """The connection to one process. Reports that come too late for their request are skipped by its number."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._request = 0
        self._received = bytearray()

    def request(self) -> ProcessReport:
        """Return the report of the process. Raises OSError if it does not respond in time, or has ended."""
        self._request = (self._request + 1) % (1 << 32)
        end = monotonic() + RESPONSE_SECONDS
        self._connection.settimeout(RESPONSE_SECONDS)
        self._connection.sendall(_REQUEST.pack(self._request))
        while True:
            number, length = _HEADER.unpack(self._receive(_HEADER.size, end, taken=False))
            frame = self._receive(_HEADER.size + length, end, taken=True)
            if number == self._request:
                return ProcessReport.decode(frame[_HEADER.size :])

    def _receive(self, length: int, end: float, *, taken: bool) -> bytes:
        """Return the next bytes; unless they are taken, they remain for the next call."""
        while len(self._received) < length:
            self._connection.settimeout(max(0.001, end - monotonic()))
            if not (more := self._connection.recv(65536)):
                raise ConnectionError("the process has ended")
            self._received += more
        found = bytes(self._received[:length])
        if taken:
            del self._received[:length]
        return found

    def close(self) -> None:
        self._connection.close()


class ProcessChannels:
    """The connections of a parent to its children. Thread-safe.

    count: the number of processes, whose numbers are 1 to `count`
    """

    def __init__(self, count: int) -> None:
        self._channels: dict[int, _Channel | None] = dict.fromkeys(range(1, count + 1))
        self._prepared: dict[int, socket.socket] = {}
        self._lock = threading.Lock()

    def open(self, number: int) -> socket.socket:
        """Return the end of a new connection for a process that is about to be forked."""
        ours, theirs = socket.socketpair()
        with self._lock:
            before, self._channels[number] = self._channels[number], _Channel(ours)
        if before is not None:
            before.close()
        return theirs

    def prepare(self, collect: Collect) -> Callable[[int], None]:
        """Open all connections; return a function that a child calls with its number to respond to the parent.

        collect: yields the samples of the child
        """
        connections = self._prepared = {number: self.open(number) for number in self._channels}

        def begin(number: int) -> None:
            self.close()
            for other, connection in connections.items():
                if other != number:
                    connection.close()
            respond_in_thread(connections[number], collect, _find_nothing, _find_nothing)

        return begin

    def release(self) -> None:
        """Close the ends of the children, after these were forked."""
        for connection in self._prepared.values():
            connection.close()

    def close(self) -> None:
        """Close all connections; a child must close those that it inherits."""
        for number, channel in self._channels.items():
            if channel is not None:
                channel.close()
                self._channels[number] = None

    def collect(self) -> Iterator[MetricSample]:
        """Yield the samples of all processes."""
        for number, report in self._request_all():
            label = str(number)
            yield UP.sample(int(report is not None), label)
            for metric, labels, value in () if report is None else report.samples:
                named = Metric(metric.name, metric.kind, metric.help, (*metric.labels, "process"))
                yield MetricSample(named, (*labels, label), value)

    def find_live_problem(self) -> str | None:
        """Return why a process is not healthy. One that has ended is started again by its parent."""
        return _join((number, report and report.live) for number, report in self._request_all())

    def find_ready_problem(self) -> str | None:
        """Return why a process is not ready."""
        return _join(
            (number, "does not respond" if report is None else report.ready) for number, report in self._request_all()
        )

    def _request_all(self) -> list[tuple[int, ProcessReport | None]]:
        with self._lock:  # one request at a time on each connection
            return [(number, _request(channel)) for number, channel in self._channels.items()]


def _request(channel: _Channel | None) -> ProcessReport | None:
    if channel is None:
        return None
    try:
        return channel.request()
    except OSError:
        return None


def _join(problems: Iterable[tuple[int, str | None]]) -> str | None:
    found = [f"process {number}: {problem}" for number, problem in problems if problem]
    return "; ".join(found) or None


def _find_nothing() -> None:
    """Return None: there is no problem."""


# -- In the children --------------------------------------------------------------------------------------------------


def respond_in_thread(connection: socket.socket, collect: Collect, live: FindProblem, ready: FindProblem) -> None:
    """Respond to the requests of the parent in a thread, until the parent or this process ends."""

    def respond() -> None:
        with suppress(OSError):  # the parent has ended
            while len(request := connection.recv(_REQUEST.size, socket.MSG_WAITALL)) == _REQUEST.size:
                data = _report(collect, live, ready).encode()
                connection.sendall(_HEADER.pack(*_REQUEST.unpack(request), len(data)) + data)

    threading.Thread(target=respond, name="metrics", daemon=True).start()


def _report(collect: Collect, live: FindProblem, ready: FindProblem) -> ProcessReport:
    try:
        return ProcessReport(live(), ready(), list(collect()))
    except Exception:
        log.exception("cannot collect metrics")
        return ProcessReport(None, "cannot collect metrics; the log has the reason", [])
