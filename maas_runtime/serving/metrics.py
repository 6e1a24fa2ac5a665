"""The metrics of a model server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Literal

from stellar.monitoring.histograms import STAGE_BOUNDS, Histogram
from stellar.monitoring.metrics import Metric, MetricSample
from stellar.monitoring.process import collect_process

Outcome = Literal["ok", "invalid", "declined", "failed", "busy"]
OUTCOMES: tuple[Outcome, ...] = ("ok", "invalid", "declined", "failed", "busy")

REQUESTS = Metric("stellar_serving_requests_total", "counter", "Requests by path and status.", ("path", "status"))
RECORDS = Metric(
    "stellar_serving_records_total",
    "counter",
    "Records by outcome: ok, invalid (names or types), declined by the model, failed by an error of the program, "
    "or busy, because the queue was full.",
    ("outcome",),
)
WAITING = Metric("stellar_serving_waiting_requests", "gauge", "Requests that wait to be scored.")
CONNECTIONS = Metric("stellar_serving_connections", "gauge", "Open connections.")
SECONDS = Metric("stellar_serving_request_seconds", "histogram", "Time from a request of records to its response.")
METRICS = (REQUESTS, RECORDS, WAITING, CONNECTIONS, SECONDS)


class ServingCounters:
    """The counters of a server.

    requests: by path and status; the path is that of a route, or empty for others
    records: by outcome
    seconds: of requests with records
    """

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, int]] = Counter()
        self.records: dict[Outcome, int] = dict.fromkeys(OUTCOMES, 0)
        self.seconds = Histogram(STAGE_BOUNDS)

    def collect(self, waiting: Callable[[], int], connections: Callable[[], int]) -> Iterator[MetricSample]:
        """Yield the samples of the server and of its process.

        waiting, connections: return the present numbers
        """
        for (path, status), count in self.requests.items():
            yield REQUESTS.sample(count, path, str(status))
        for outcome, count in self.records.items():
            yield RECORDS.sample(count, outcome)
        yield WAITING.sample(waiting())
        yield CONNECTIONS.sample(connections())
        yield SECONDS.sample(self.seconds.read())
        yield from collect_process()
