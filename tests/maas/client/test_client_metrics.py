"""The metrics of a model client: each call has one outcome."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable

import pytest

from stellar.maas import ClientSettings, MemoryRegistry, Model, ModelClient, ModelUnavailable, ServiceInstance
from stellar.maas.client import call_counts
from stellar.maas.client.call_counts import CountsByModel
from stellar.maas.client.latencies import ModelLatencies
from stellar.maas.errors import MaasError, ModelNotFound
from stellar.maas.metrics import METRICS, collect_client
from stellar.maas.schema import Endpoint
from stellar.maas.transport.base import Response
from stellar.monitoring.metrics import render

DGA, URL = Model("dga", "1.0"), "http://node1:1500"


class Model1500:
    """A transport whose model responds, fails, or waits until it is released."""

    def __init__(self) -> None:
        self.is_failing = False
        self.released = threading.Event()
        self.released.set()

    def get(self, url: str, **_: float) -> Response:
        assert self.released.wait(60)
        if self.is_failing:
            raise ModelUnavailable("no connection", "refused")
        return Response(200, b'{"is_malicious": true}')

    def close(self) -> None:
        """Do nothing."""


@pytest.fixture
def transport() -> Model1500:
    return Model1500()


@pytest.fixture
def client(transport: Model1500) -> ModelClient:
    registry = MemoryRegistry()
    registry.register(ServiceInstance.of(DGA, "a", Endpoint(url=URL)))
    return ModelClient(registry, ClientSettings(retries=0, wait_ms=0), transport)


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "the condition was not met"
        time.sleep(0.001)


def read(client: ModelClient, series: str) -> float:
    """Return the value of a series; 0 if it does not exist."""
    match = re.search(rf"^{re.escape(series)} (.+)$", render(collect_client(client)).decode(), re.MULTILINE)
    return float(match[1]) if match else 0


def read_calls(client: ModelClient) -> dict[str, float]:
    text = render(collect_client(client)).decode()
    found = re.findall(
        r'^stellar_model_calls_total{model="dga",version="1.0",outcome="(.+)"} (.+)$', text, re.MULTILINE
    )
    return {outcome: float(value) for outcome, value in found if value != "0"}


def test_each_call_has_one_outcome(client: ModelClient, transport: Model1500) -> None:
    endpoint = client.endpoint("dga").as_map()
    for host in ("a", "b", "a", "a"):
        client.apply(endpoint, "apply", {"host": host})
    transport.is_failing = True
    with pytest.raises(MaasError):
        client.apply(endpoint, "apply", {"host": "c"})
    assert read_calls(client) == {"ok": 2, "cached": 2, "refused": 1}
    assert client.counters().calls == 5


def test_equal_calls_that_share_a_result_are_joined(client: ModelClient, transport: Model1500) -> None:
    transport.released.clear()
    endpoint = client.endpoint("dga").as_map()
    threads = [threading.Thread(target=client.apply, args=(endpoint, "apply", {"host": "a"})) for _ in range(3)]
    for thread in threads:
        thread.start()
    until(lambda: client.counters().joined == 2)
    transport.released.set()
    for thread in threads:
        thread.join()
    assert read_calls(client) == {"ok": 1, "joined": 2}


def test_names_that_are_not_registered_are_not_shown(client: ModelClient) -> None:
    for number in range(3):
        client.record_failure({"name": f"x{number}", "version": "1"}, ModelNotFound("no such model"))
    assert read(client, 'stellar_model_calls_total{model="",version="",outcome="no such model"}') == 3
    assert "x1" not in render(collect_client(client)).decode()


def test_instances_and_circuits_are_shown(client: ModelClient, transport: Model1500) -> None:
    endpoint = client.endpoint("dga").as_map()
    client.apply(endpoint, "apply", {"host": "a"})
    transport.is_failing = True
    for host in "bcd":
        with pytest.raises(MaasError):
            client.apply(endpoint, "apply", {"host": host})
    labels = f'model="dga",version="1.0",url="{URL}"'
    assert read(client, f'stellar_model_instance_requests_total{{{labels},outcome="ok"}}') == 1
    assert read(client, f'stellar_model_instance_requests_total{{{labels},outcome="failed"}}') == 3
    assert read(client, 'stellar_model_instances{model="dga",version="1.0"}') == 1
    assert read(client, f'stellar_model_circuit{{url="{URL}",state="open"}}') == 1
    assert read(client, "stellar_model_circuits_opened_total") == 1


def test_latencies_are_measured_on_request(client: ModelClient) -> None:
    endpoint = client.endpoint("dga").as_map()
    client.apply(endpoint, "apply", {"host": "a"})
    client.measure_latencies()
    client.apply(endpoint, "apply", {"host": "b"})
    client.apply({"url": URL}, "apply", {"host": "c"})
    assert read(client, 'stellar_model_request_seconds_count{model="dga",version="1.0"}') == 1
    assert read(client, 'stellar_model_request_seconds_count{model="",version=""}') == 1


def test_prometheus_accepts_the_metrics_of_a_client(
    client: ModelClient, check_metrics: Callable[[bytes], None]
) -> None:
    client.measure_latencies()
    client.apply({"name": 'a"\n\\', "version": "\ud800", "url": URL}, "apply", {"host": "a"})
    client.apply(client.endpoint("dga").as_map(), "apply", {"host": "a"})
    client.registry.breakers.record_refused(URL)
    samples = list(collect_client(client))
    assert {sample.metric for sample in samples} == set(METRICS)
    check_metrics(render(samples))


def test_models_above_the_limit_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_counts, "MAX_MODELS", 3)
    monkeypatch.setattr("stellar.maas.client.latencies.MAX_MODELS", 3)
    counts, latencies = CountsByModel(), ModelLatencies()
    for number in range(5):
        counts.of(Model("m", str(number))).calls += 1
        latencies.observe(Model("m", str(number)), 0.1)
    assert {model: each.calls for model, each in counts.copy()} == {
        ("", ""): 0, ("m", "0"): 1, ("m", "1"): 1, ("other", ""): 3,
    }  # fmt: skip
    assert counts.sum().calls == 5
    assert latencies.read().keys() == {
        ("m", "0"), ("m", "1"), ("m", "2"), ("other", ""),
    }  # fmt: skip
