"""The reporter of a client: what it counts, and when it publishes."""

from __future__ import annotations

import threading

import pytest

from stellar.maas import (
    ClientSettings,
    FileRegistry,
    MemoryRegistry,
    ModelClient,
    ModelRefused,
    ModelUnavailable,
    TrafficPlan,
    Trial,
)
from stellar.maas.client import reporter
from stellar.maas.reports import InstanceCounts
from stellar.maas.schema import Endpoint, Model, ServiceInstance
from tests.forked import call_in_child

TRIAL = TrafficPlan({"1.0": 1, "2.0": 1}, trial=Trial("re-1", "2.0"))


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(reporter, "TURN_SECONDS", 0.02)


@pytest.fixture
def client(registry):
    with ModelClient(registry, ClientSettings(cache_size=0, wait_ms=0, retries=0)) as client:
        yield client


@pytest.fixture
def deployed(serve, registry, make_instance):
    """The servers of 1.0, which works, and of 2.0, which does not."""
    old, new = serve(), serve(serve.respond(500))
    registry.register(make_instance("dga", "1.0", "1", old.url))
    registry.register(make_instance("dga", "2.0", "2", new.url))
    return old, new


def call(client, registry, version):
    return client.apply(registry.endpoint("dga", version).as_map(), None, {"host": "a"})


def counts_of(registry):
    """Return the counts of the only report, by version; empty without a report."""
    reports = list(registry.reports.read().values())
    if not reports:
        return {}
    (report,) = reports
    versions = report.models["dga"].versions
    return {version: counts for version, urls in versions.items() for counts in urls.values()}


def test_calls_and_failures_are_counted_from_the_beginning_of_a_rollout(client, registry, deployed, eventually):
    call(client, registry, "1.0")
    eventually(lambda: client._reporter._last)  # a turn has seen that call
    registry.plan("dga", TRIAL)
    for _ in range(3):
        call(client, registry, "1.0")
    with pytest.raises(ModelRefused):
        call(client, registry, "2.0")
    expected = {"1.0": InstanceCounts(3), "2.0": InstanceCounts(1, 1)}
    eventually(lambda: counts_of(registry) == expected)
    (report,) = registry.reports.read().values()
    assert report.models["dga"].rollout == "re-1"
    assert set(report.models["dga"].versions["2.0"]) == {deployed[1].url}
    registry.plan("dga", None)
    eventually(lambda: registry.reports.read() == {})


def test_each_rollout_is_counted_from_zero(client, registry, deployed, eventually):
    registry.plan("dga", TRIAL)
    call(client, registry, "1.0")
    eventually(lambda: counts_of(registry) == {"1.0": InstanceCounts(1)})
    registry.plan("dga", TrafficPlan({"1.0": 1}, trial=Trial("re-2", "3.0")))
    eventually(lambda: counts_of(registry) == {"1.0": InstanceCounts(0)})
    call(client, registry, "1.0")
    eventually(lambda: counts_of(registry) == {"1.0": InstanceCounts(1)})


def test_nothing_is_published_without_a_rollout_and_an_open_circuit(client, registry, deployed, eventually):
    call(client, registry, "1.0")
    with pytest.raises(ModelRefused):
        call(client, registry, "2.0")
    eventually(lambda: len(client._reporter._last) == 2)
    assert registry.reports.read() == {}


def test_a_rollout_of_another_model_is_not_reported(client, registry, deployed, eventually):
    registry.plan("spam", TRIAL)
    call(client, registry, "1.0")
    eventually(lambda: client._reporter._last)
    assert registry.reports.read() == {}


def test_an_open_circuit_is_reported_while_it_is_open(client, registry, deployed, monkeypatch, eventually):
    monkeypatch.setattr(reporter, "CIRCUITS_SECONDS", 0.0)
    for _ in range(3):
        with pytest.raises(ModelRefused):
            call(client, registry, "2.0")
    assert eventually(lambda: counts_of(registry)) == {"2.0": InstanceCounts(0, 0, "open")}
    registry.breakers.record_success(deployed[1].url)
    eventually(lambda: registry.reports.read() == {})


def test_a_failed_attempt_counts_although_another_instance_responds(registry, serve, make_instance, eventually):
    for number, behaviour in enumerate((serve.respond(500), serve.respond())):
        registry.register(make_instance("dga", "2.0", str(number), serve(behaviour).url))
    registry.plan("dga", TRIAL)
    with ModelClient(registry, ClientSettings(cache_size=0, breaker_failures=1000)) as client:
        for _ in range(30):
            call(client, registry, "2.0")
        (report,) = eventually(
            lambda: [
                each
                for each in registry.reports.read().values()
                if sum(counts.calls - counts.failures for counts in each.models["dga"].versions["2.0"].values()) == 30
            ]
        )
    assert any(counts.failures for counts in report.models["dga"].versions["2.0"].values())


def test_cached_and_joined_calls_are_not_counted(registry, deployed, eventually):
    registry.plan("dga", TRIAL)
    with ModelClient(registry) as client:
        for _ in range(10):
            call(client, registry, "1.0")
        eventually(lambda: counts_of(registry) == {"1.0": InstanceCounts(1)})


def test_a_refused_connection_counts_only_if_no_other_instance_responds(
    client, registry, deployed, serve, make_instance, eventually
):
    registry.plan("dga", TRIAL)
    old = deployed[0]
    old.close()
    with pytest.raises(ModelUnavailable):
        call(client, registry, "1.0")
    eventually(lambda: counts_of(registry).get("1.0", InstanceCounts()).failures == 1)
    registry.register(make_instance("dga", "1.0", "3", serve().url))
    for _ in range(20):
        call(client, registry, "1.0")
    (report,) = eventually(
        lambda: [
            report
            for report in registry.reports.read().values()
            if sum(counts.calls for counts in report.models["dga"].versions["1.0"].values()) == 21
        ]
    )
    refused = report.models["dga"].versions["1.0"][old.url]
    assert (refused.calls, refused.failures) == (1, 1)


def test_an_instance_that_stays_busy_fails_its_calls(registry, serve, make_instance, eventually):
    registry.register(make_instance("dga", "2.0", "2", serve(serve.respond(429)).url))
    registry.plan("dga", TRIAL)
    with ModelClient(registry, ClientSettings(cache_size=0, timeout_ms=10)) as client:
        with pytest.raises(ModelUnavailable):
            call(client, registry, "2.0")
        eventually(lambda: counts_of(registry).get("2.0", InstanceCounts()).failures == 1)


def test_each_client_has_a_report_which_ends_with_it(registry, deployed, eventually):
    registry.plan("dga", TRIAL)
    clients = [ModelClient(registry, ClientSettings(cache_size=0)) for _ in range(2)]
    for client in clients:
        call(client, registry, "1.0")
    eventually(lambda: len(registry.reports.read()) == 2)
    for left, client in enumerate(clients, 1):
        client.close()
        assert len(registry.reports.read()) == 2 - left


def test_the_thread_ends_with_the_client(registry, deployed):
    with ModelClient(registry, ClientSettings(cache_size=0)) as client:
        call(client, registry, "1.0")
        thread = client._reporter._thread
        assert thread in threading.enumerate()
    assert thread not in threading.enumerate()


def test_the_thread_ends_without_calls_and_starts_with_the_next(client, registry, deployed, monkeypatch, eventually):
    monkeypatch.setattr(reporter, "IDLE_SECONDS", 0.1)
    registry.plan("dga", TRIAL)
    for _ in range(2):
        call(client, registry, "1.0")
        eventually(lambda: registry.reports.read())
        eventually(lambda: client._reporter._thread is None)
        eventually(lambda: registry.reports.read() == {})


class ReadOnly(MemoryRegistry):
    """A registry whose reports can't be written."""

    class Reports:
        def publish(self, client, report=None):
            raise PermissionError("not allowed here")

        withdraw = publish

        def read(self):
            return {}

    reports = Reports()


def test_a_report_that_cannot_be_written_is_logged_once_and_no_call_fails(serve, make_instance, caplog, eventually):
    with ReadOnly() as registry:
        registry.register(make_instance("dga", "1.0", "1", serve().url))
        registry.plan("dga", TRIAL)
        with ModelClient(registry, ClientSettings(cache_size=0)) as client:
            call(client, registry, "1.0")
            eventually(lambda: "not allowed here" in caplog.text)
            turns = client._reporter._circuits_at
            eventually(lambda: client._reporter._circuits_at > turns)
            assert call(client, registry, "1.0")
    assert caplog.text.count("rollouts are judged without it: not allowed here") == 1


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_the_child_of_a_fork_has_a_report_of_its_own(tmp_path, serve, eventually):
    with FileRegistry(tmp_path) as registry:
        registry.register(ServiceInstance.of(Model("dga", "1.0"), "1", Endpoint(url=serve().url)))
        (tmp_path / "maas/ext/traffic").mkdir(parents=True)
        (tmp_path / "maas/ext/traffic/dga").write_bytes(TRIAL.to_json())
        with ModelClient(registry, ClientSettings(cache_size=0)) as client:
            eventually(lambda: registry.traffic("dga") == TRIAL)
            for _ in range(2):
                call(client, registry, "1.0")
            eventually(lambda: counts_of(registry) == {"1.0": InstanceCounts(2)})

            def call_once(parent):
                call(client, registry, "1.0")
                eventually(lambda: len(registry.reports.read()) == 2)
                counts = [report.models["dga"].versions["1.0"] for report in registry.reports.read().values()]
                return sorted(each.calls for urls in counts for each in urls.values())

            assert call_in_child(call_once) == [1, 2]
            eventually(lambda: counts_of(registry) == {"1.0": InstanceCounts(2)})
