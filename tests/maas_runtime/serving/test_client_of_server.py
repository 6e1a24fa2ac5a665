"""The model client and a model server: reasons of records without a result, alone and in batches."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from stellar.maas import ClientSettings, MemoryRegistry, Model, ModelClient, RecordRefused, ServiceInstance
from stellar.maas.schema import Endpoint

SCORING = Model("scoring", "1.0")


@pytest.fixture
def registry(server):
    registry = MemoryRegistry()
    endpoint = Endpoint(url=server.url, functions={"apply": "apply", "batch": "batch"})
    registry.register(ServiceInstance.of(SCORING, "1", endpoint))
    return registry


@pytest.mark.parametrize("batch_size", [1, 4])
def test_each_caller_gets_its_result_or_the_reason_of_its_own_record(registry, batch_size):
    settings = ClientSettings(batch_size=batch_size, batch_wait_ms=60_000, hedge_ms=0)
    records = [{"x": 1.5, "n": 2, "tld": "ru"}, {"x": "abc"}, {"x": -1}, {"x": 1, "flag": True, "born": None}]
    with ModelClient(registry, settings) as client, ThreadPoolExecutor(4) as pool:
        endpoint = client.endpoint("scoring").as_map()
        first, invalid, declined, last = [pool.submit(client.apply, endpoint, None, record) for record in records]
        assert (first.result()["y"], last.result()["y"]) == (6.0, 10.0)
        for call, reason, details in (
            (invalid, "bad request", "input 'x': expected double, got 'abc'"),
            (declined, "declined", "invalid value of field 'x': the model does not accept -1.0"),
        ):
            with pytest.raises(RecordRefused) as raised:
                call.result()
            assert raised.value.reason == reason
            assert details in str(raised.value)
            assert details in raised.value.summary
            assert raised.value.url == endpoint["url"]
        counters = client.counters()
        assert counters.failures == {"bad request": 1, "declined": 1}
        assert (counters.requests, counters.retries, counters.hedged) == (4 // batch_size, 0, 0)
        assert registry.breakers.all_closed
        assert client.cache_size()[0] == 2  # reasons are not cached
