"""The metrics of a model client, from the counters that it has anyway."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from stellar.monitoring.metrics import Metric, MetricSample
from stellar.net.breaker import normal_url

if TYPE_CHECKING:
    from stellar.maas.client.call_counts import CallCounts
    from stellar.maas.client.client import Counters, ModelClient
    from stellar.maas.schema import Model

_MODEL = ("model", "version")
_INSTANCE = (*_MODEL, "url")

CALLS = Metric(
    "stellar_model_calls_total",
    "counter",
    "Calls by outcome: ok, cached, joined to an equal call that succeeded, or the reason of a failure.",
    (*_MODEL, "outcome"),
)
REQUESTS = Metric("stellar_model_requests_total", "counter", "Requests to instances, retries and hedges included.")
RETRIES = Metric("stellar_model_retries_total", "counter", "Requests made because another one had failed.")
HEDGES = Metric("stellar_model_hedges_total", "counter", "Requests made because another one was slow.")
LATENCY = Metric("stellar_model_request_seconds", "histogram", "Time of a request until its valid response.", _MODEL)
INSTANCE_REQUESTS = Metric(
    "stellar_model_instance_requests_total",
    "counter",
    "Requests to each registered instance by outcome, ok or failed, as this client has counted them.",
    (*_INSTANCE, "outcome"),
)
INSTANCES = Metric("stellar_model_instances", "gauge", "Registered instances, as this client sees them.", _MODEL)
OPENED = Metric("stellar_model_circuits_opened_total", "counter", "Number of times that a circuit was opened.")
CIRCUITS = Metric(
    "stellar_model_circuit", "gauge", "1 for each circuit that is open, half-open or resting.", ("url", "state")
)
CACHE_ENTRIES = Metric("stellar_model_cache_entries", "gauge", "Cached results.")
CACHE_BYTES = Metric("stellar_model_cache_bytes", "gauge", "Memory of the cached results.")
SHADOWS = Metric(
    "stellar_model_shadow_calls_total",
    "counter",
    "Calls to shadows by outcome: agreed, disagreed, failed, or dropped because the shadow was busy.",
    ("outcome",),
)
LOCAL = Metric(
    "stellar_model_local_calls_total",
    "counter",
    "Calls of models that `maas.local` evaluates in this process: evaluated, or sent to an instance while the model is "
    "not loaded or a rollout judges it.",
    ("outcome",),
)
METRICS = (
    CALLS, REQUESTS, RETRIES, HEDGES, LATENCY, INSTANCES, INSTANCE_REQUESTS, OPENED, CIRCUITS, CACHE_ENTRIES,
    CACHE_BYTES, SHADOWS, LOCAL,
)  # fmt: skip


def collect_client(client: ModelClient) -> Iterator[MetricSample]:
    """Yield the samples of a client."""
    for model, counts in client.counts_by_model().items():
        yield from _collect_calls(model, counts)
    yield from _collect_totals(client.counters())
    for model, distribution in client.latencies().items():
        yield LATENCY.sample(distribution, *model)
    yield from _collect_instances(client)
    entries, size = client.cache_size()
    yield CACHE_ENTRIES.sample(entries)
    yield CACHE_BYTES.sample(size)


def _collect_calls(model: Model, counts: CallCounts) -> Iterator[MetricSample]:
    if counts.calls:
        yield CALLS.sample(counts.succeeded, *model, "ok")
        yield CALLS.sample(counts.cache_hits, *model, "cached")
        yield CALLS.sample(counts.shared, *model, "joined")
    for reason, count in counts.failures.items():
        yield CALLS.sample(count, *model, reason)


def _collect_totals(counters: Counters) -> Iterator[MetricSample]:
    yield REQUESTS.sample(counters.requests)
    yield RETRIES.sample(counters.retries)
    yield HEDGES.sample(counters.hedged)
    yield OPENED.sample(counters.quarantined)
    for url, state in counters.circuits.items():
        yield CIRCUITS.sample(1, url, state)
    yield SHADOWS.sample(counters.compared - counters.disagreed, "agreed")
    yield SHADOWS.sample(counters.disagreed, "disagreed")
    yield SHADOWS.sample(counters.shadow_failed, "failed")
    yield SHADOWS.sample(counters.shadow_dropped, "dropped")
    yield LOCAL.sample(counters.local, "evaluated")
    yield LOCAL.sample(counters.local_sent, "sent")


def _collect_instances(client: ModelClient) -> Iterator[MetricSample]:
    """Yield the samples of registered instances; those of others would remain forever."""
    registered: dict[Model, set[str]] = {}
    for instance in client.registry.instances():
        registered.setdefault(instance.model, set()).add(normal_url(instance.url))
    for model, urls in registered.items():
        yield INSTANCES.sample(len(urls), *model)
    for (model, url), (calls, failures) in client.calls_of_instances().items():
        if normal_url(url) in registered.get(model, ()):
            yield INSTANCE_REQUESTS.sample(calls - failures, *model, url, "ok")
            yield INSTANCE_REQUESTS.sample(failures, *model, url, "failed")
