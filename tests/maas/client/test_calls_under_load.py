"""Calls under load: concurrency, instances that die, hang or are replaced, batches, deadlines."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

import stellar
from stellar import evaluate_many
from stellar.language.context import Context
from stellar.maas import (
    ClientSettings,
    ModelClient,
    ModelRefused,
    ModelTimeOut,
    ModelUnavailable,
    RecordRefused,
    Registry,
)
from stellar.maas.client.instances import DeploymentTracker
from stellar.maas.errors import InstanceBusy
from stellar.maas.schema import Endpoint, Model, ServiceInstance
from stellar.maas.transport.base import Response
from stellar.maas.transport.http import HttpTransport
from stellar.net.limits import ConcurrencyLimiter

# Scores by the length of the host, and counts requests. In a process of its own, so that it can be killed
MODEL = """
import asyncio, json, sys

requests = 0

async def talk(reader, writer):
    global requests
    try:
        while line := await reader.readline():
            while (await reader.readline()).strip():
                pass
            requests += line.startswith(b"GET /apply")
            if sys.argv[1] != "0" and line.startswith(b"GET /apply"):
                await asyncio.sleep(float(sys.argv[1]))
            target = line.split()[1].decode()
            body = json.dumps({"score": len(target.partition("host=")[2]), "requests": requests}).encode()
            writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(body) + body)
    except ConnectionError:
        pass
    finally:
        writer.close()

async def main():
    server = await asyncio.start_server(talk, "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
"""


class Process:
    """A model in a process of its own; each response takes so many seconds."""

    def __init__(self, seconds: float = 0) -> None:
        command = [sys.executable, "-c", MODEL, str(seconds)]
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, cwd=Path(stellar.__file__).parents[1]
        )
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"

    def requests(self) -> int:
        transport = HttpTransport(ClientSettings().timeouts)
        count = json.loads(transport.get(f"{self.url}/count?").body)["requests"]
        transport.close()
        return count

    def kill(self) -> None:
        os.kill(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()


@pytest.fixture
def start():
    """Return a function that starts models in processes of their own."""
    started = []

    def start(seconds=0):
        started.append(Process(seconds))
        return started[-1]

    yield start
    for process in started:
        process.close()


@pytest.fixture
def client_of(registry):
    """Return a function that makes clients: `client_of(timeout_ms=500)`."""
    clients = []

    def make(transport=None, on_failure=None, **settings):
        clients.append(ModelClient(registry, ClientSettings(**settings), transport, on_failure=on_failure))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def register(registry, make_instance):
    """Return a function that registers an instance of dga 1.0; the id defaults to the URL."""

    def register(url, id=None, **functions):
        endpoint = Endpoint(url=url, functions={"apply": "apply", **functions})
        registry.register(ServiceInstance.of(Model("dga", "1.0"), id or url.rpartition(":")[2], endpoint))

    return register


class Doubled:
    """A fake transport that responds by URL, and counts requests."""

    def __init__(self, **results):
        self.results = results  # by host
        self.hosts = []
        self.bodies = []
        self.seconds = []

    def get(self, url, seconds=None):
        host = url.split("/")[2]
        self.hosts.append(host)
        self.seconds.append(seconds)
        outcome = self.results[host]
        outcome = outcome(url) if callable(outcome) else outcome
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def post(self, url, body, seconds=None):
        self.bodies.append(json.loads(body))
        return self.get(url, seconds)

    def close(self):
        pass


def score(number):
    return Response(200, b'{"score": %d}' % number)


def wait_for(condition):
    """Wait until other threads have made a condition true."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "the condition was not met"
        time.sleep(0.002)


def given(host):
    return {"name": "dga", "version": "1.0", "url": f"http://{host}"}


# --- concurrency

EXPRESSION = "MAP_GET('score', MAAS_MODEL_APPLY(MAAS_GET_ENDPOINT('dga'), {'host': host}))"


def test_a_thousand_concurrent_equal_calls_make_exactly_one_request(start, register, client_of):
    model = start(0.3)
    register(model.url)
    client = client_of()
    gate = threading.Barrier(1000, timeout=20)

    def call(_):
        gate.wait()
        return client.apply({"name": "dga", "version": "1.0", "url": model.url}, None, {"host": "a.com"})

    with ThreadPoolExecutor(1000) as pool:
        results = list(pool.map(call, range(1000)))
    assert [result["score"] for result in results] == [5] * 1000
    assert model.requests() == 1
    counters = client.counters()
    assert (counters.calls, counters.requests) == (1000, 1)
    assert counters.joined + counters.cache_hits == 999


def test_every_repeated_call_is_a_cache_hit(start, register, client_of, registry):
    model = start()
    register(model.url)
    client = client_of()
    records = [{"host": "x" * (number % 50)} for number in range(1000)]
    context = Context({Registry: registry, ModelClient: client})
    assert list(evaluate_many(EXPRESSION, records[:50], context)) == [*range(50)]
    assert list(evaluate_many(EXPRESSION, records, context)) == [*range(50)] * 20
    assert model.requests() == client.counters().requests == 50
    assert client.counters().cache_hits == 1000


def test_no_record_is_without_a_score_when_an_instance_is_killed_under_full_load(start, register, client_of, registry):
    models = [start(0.002) for _ in range(3)]
    for model in models:
        register(model.url)
    failed = []
    client = client_of(cache_size=0, retries=2, on_failure=lambda *why: failed.append(why))
    context = Context({Registry: registry, ModelClient: client})
    length = 1500

    def records():
        for number in range(length):
            if number == length // 3:
                models[0].kill()
            yield {"host": "x" * (number % 40)}

    scores = list(evaluate_many(EXPRESSION, records(), context, in_flight=32))
    assert scores == [number % 40 for number in range(length)]
    assert failed == []
    assert client.counters().quarantined >= 1
    assert client.counters().circuits.keys() == {models[0].url}


def test_no_record_is_without_a_score_when_two_of_three_instances_are_killed_and_no_retry_is_allowed(
    start, register, client_of, registry
):
    models = [start(), start(), start()]
    for model in models:
        register(model.url)
    client = client_of(cache_size=0, retries=0)
    for model in models[:2]:
        model.close()
    for number in range(60):
        assert client.apply(registry.endpoint("dga").as_map(), None, {"host": "x" * number})["score"] == number
    assert client.counters().failures == {}
    assert client.counters().circuits.keys() == {model.url for model in models[:2]}


def test_a_dead_instance_is_not_called_after_one_refused_connection(start, register, client_of, registry):
    registry.breakers.clock = lambda: 0.0
    models = [start() for _ in range(3)]
    for model in models:
        register(model.url)
    client = client_of(cache_size=0)
    models[0].close()
    for number in range(60):
        client.apply(given(models[0].url.removeprefix("http://")), None, {"host": "x" * number})
    assert client.counters().retries == client.counters().quarantined == 1


# --- failures of an instance


def test_a_status_of_4xx_does_not_count_against_the_instance(register, client_of, registry):
    transport = Doubled(bad=Response(422, b""), good=score(1))
    for host in ("bad", "good"):
        register(f"http://{host}", host)
    client = client_of(transport, retries=5)
    with pytest.raises(RecordRefused, match="status 422"):
        client.apply(given("bad"))
    assert transport.hosts == ["bad"]
    assert registry.breakers.all_closed
    assert client.counters().failures == {"declined": 1}


@pytest.mark.parametrize("expected", [1, 2, 3])
def test_a_circuit_opens_after_the_configured_number_of_failures(expected, client_of, registry):
    registry.breakers.clock = lambda: 0.0
    results = [ModelUnavailable("away")] * (expected - 1) + [score(1)] + [ModelUnavailable("away")] * expected
    client = client_of(Doubled(one=lambda _: results.pop(0)), breaker_failures=expected, retries=0, cache_size=0)
    for number in range(2 * expected):
        assert client.counters().circuits == {}, number
        with suppress(ModelUnavailable):
            client.apply(given("one"))
    assert client.counters().circuits == {"http://one": "open"}
    assert client.counters().quarantined == 1


REASONS = {
    "refused": (ModelUnavailable("away"), ModelUnavailable),
    "time-out": (ModelTimeOut("late"), ModelTimeOut),
    "bad reply": (Response(500, b""), ModelRefused),
    "bad request": (Response(400, b""), RecordRefused),
    "declined": (Response(422, b""), RecordRefused),
    "busy": (Response(503, b"", 60.0), InstanceBusy),
}


@pytest.mark.parametrize("reason", REASONS)
def test_the_reason_of_a_failure_is_available_as_data(reason, client_of):
    outcome, error = REASONS[reason]
    reported = []
    client = client_of(Doubled(one=outcome), on_failure=lambda *why: reported.append(why))
    with pytest.raises(error) as raised:
        client.apply(given("one"))
    assert raised.value.reason == reason
    assert reported == [("dga", "1.0", reason, "http://one")]
    assert client.counters().failures == {reason: 1}


def test_an_instance_that_fails_again_because_no_other_is_left_is_reported_as_quarantined(client_of, registry):
    registry.breakers.record_refused("http://one")
    client = client_of(Doubled(one=ModelUnavailable("away")))
    with pytest.raises(ModelUnavailable) as raised:
        client.apply(given("one"))
    assert raised.value.reason == "quarantined"


def test_an_error_in_the_failure_callback_changes_nothing(client_of, caplog):
    client = client_of(Doubled(one=ModelUnavailable("away")), on_failure=lambda *_: 1 / 0)
    with pytest.raises(ModelUnavailable, match="away"):
        client.apply(given("one"))
    assert "raised an error" in caplog.text


def test_unreachable_slow_and_faulty_servers_have_different_reasons(serve, client_of):
    reported = []
    client = client_of(on_failure=lambda *why: reported.append(why[2]), retries=0, timeout_ms=1000)
    late = threading.Event()
    gone = serve()
    gone.close()
    for behaviour in (serve.respond(500), serve.respond(404), serve.respond(body=b"["), lambda _: late.wait(60)):
        with pytest.raises((ModelUnavailable, ModelRefused)):
            client.apply({"url": serve(behaviour).url})
    late.set()
    with pytest.raises(ModelUnavailable):
        client.apply({"url": gone.url})
    assert reported == ["bad reply", "bad request", "bad reply", "time-out", "refused"]


def test_a_failed_trial_is_retried_on_another_instance(register, client_of, registry):
    now = [0.0]
    registry.breakers.clock = lambda: now[0]
    transport = Doubled(bad=Response(500, b""), good=score(1))
    for host in ("bad", "good"):
        register(f"http://{host}", host)
    client = client_of(transport, retries=0, cache_size=0)
    for _ in range(3):
        with pytest.raises(ModelRefused):
            client.apply(given("bad"))
    now[0] = 1.5  # half-open
    assert client.apply(given("bad")) == {"score": 1}
    assert transport.hosts == ["bad"] * 4 + ["good"]
    assert client.apply(given("bad")) == {"score": 1}  # open again
    assert transport.hosts[5:] == ["good"]


# --- deadlines


def test_all_attempts_together_end_at_the_deadline(serve, register, client_of, registry):
    release = threading.Event()

    def hang(handler):
        release.wait(60)
        handler.close_connection = True

    for _ in range(10):
        register(serve(hang).url)
    client = client_of(deadline_ms=600, timeout_ms=400, retries=9, hedge_ms=0)
    with pytest.raises(ModelTimeOut):
        client.apply(registry.endpoint("dga").as_map())
    release.set()
    assert 1 <= client.counters().requests <= 2  # ten attempts of 400 ms would take 4 s


def test_an_attempt_gets_no_more_time_than_is_left(client_of):
    transport = Doubled(one=score(1))
    client_of(transport, deadline_ms=400).apply(given("one"))
    client_of(transport).apply(given("one"))
    assert 0 < transport.seconds[0] <= 0.4
    assert transport.seconds[1] is None


def test_an_attempt_begun_just_before_the_deadline_does_not_count_as_a_failure(register, client_of, registry):
    moment = [0.0]

    def late(seconds):
        def respond(_):
            moment[0] += seconds
            return ModelTimeOut("late")

        return respond

    for host in ("first", "second"):
        register(f"http://{host}", host)
    client = client_of(Doubled(first=late(0.28), second=late(0.02)), deadline_ms=300, breaker_failures=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stellar.maas.client.dispatch.monotonic", lambda: 1000.0 + moment[0])
        patch.setattr("stellar.maas.client.client.monotonic", lambda: 1000.0)
        with pytest.raises(ModelTimeOut):
            client.apply(given("first"))
    assert client.counters().circuits.keys() == {"http://first"}


def test_no_more_requests_go_to_one_instance_at_a_time_than_allowed(serve, client_of, eventually):
    lock, now, most, release = threading.Lock(), 0, 0, threading.Event()

    def behaviour(handler):
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        release.wait(60)
        with lock:
            now -= 1
        serve.respond()(handler)

    url = serve(behaviour).url
    client = client_of(max_in_flight=3, timeout_ms=60_000)
    with ThreadPoolExecutor(24) as pool:
        calls = [pool.submit(client.apply, {"url": url}, None, {"n": number}) for number in range(60)]
        eventually(lambda: most == 3, 60)
        release.set()
        assert all(call.result() for call in calls)
    assert most == 3


def test_a_call_without_a_slot_in_time_does_not_count_against_the_instance(registry, client_of):
    release, begun = threading.Event(), threading.Event()

    def slow(_):
        begun.set()
        release.wait(10)
        return score(1)

    client = client_of(Doubled(one=slow), max_in_flight=1, timeout_ms=100, retries=0)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(client.apply, given("one"), None, {"n": 1})
        begun.wait(10)
        with pytest.raises(ModelTimeOut, match="busy with 1 requests"):
            client.apply(given("one"), None, {"n": 2})
        release.set()
        assert first.result() == {"score": 1}
    assert registry.breakers.all_closed


def test_the_less_busy_of_two_instances_is_called(register, client_of, registry):
    release, begun = threading.Event(), threading.Semaphore(0)

    def slow(url):
        begun.release()
        release.wait(10)
        return score(1)

    transport = Doubled(slow=slow, quick=score(1))
    for host in ("slow", "quick"):
        register(f"http://{host}", host)
    client = client_of(transport, choice="least-busy", cache_size=0)
    with ThreadPoolExecutor(1) as pool:
        while True:  # until one call has reached the slow one
            held = pool.submit(client.apply, given("slow"), None, {"n": len(transport.hosts)})
            if transport.hosts[-1:] == ["slow"] or begun.acquire(timeout=0.1):
                break
            held.result()
        transport.hosts.clear()
        for number in range(30):
            client.apply(given("slow"), None, {"other": number})
        release.set()
        held.result()
    assert Counter(transport.hosts) == {"quick": 30}


def test_a_slower_instance_is_chosen_only_while_the_other_is_much_busier(monkeypatch):
    monkeypatch.setattr("stellar.net.limits.monotonic", lambda: 1000.0)
    limiter = ConcurrencyLimiter(0)
    slow, quick = limiter.of("http://slow"), limiter.of("http://quick")
    slow.measure(0.1, 1000.0)
    quick.measure(0.01, 1000.0)
    chosen = []
    for _ in range(22):
        chosen.append(limiter.less_busy(["http://slow", "http://quick"]))
        limiter.try_enter(limiter.of(chosen[-1]))
    assert chosen[:9] == ["http://quick"] * 9
    assert Counter(chosen) == {"http://quick": 20, "http://slow": 2}


def test_an_instance_that_never_responded_gets_no_more_requests_while_another_responds():
    limiter = ConcurrencyLimiter(0)
    limiter.of("http://quick").measure(0.01, time.monotonic())
    assert limiter.less_busy(["http://new", "http://quick"]) == "http://new"  # it has no samples yet
    limiter.try_enter(limiter.of("http://new"))
    assert {limiter.less_busy(["http://new", "http://quick"]) for _ in range(20)} == {"http://quick"}


def test_a_url_has_one_load_in_every_spelling():
    limiter = ConcurrencyLimiter(2)
    loads = [limiter.of(url) for url in ("http://one", "HTTP://One/", "http://one:80")]
    assert [limiter.try_enter(load) for load in loads] == [True, True, False]
    assert {load.requests for load in loads} == {2}
    for load in loads[:2]:
        limiter.leave(load)
    assert limiter.of("http://one").requests == 0


def test_loads_of_idle_urls_are_dropped_when_there_are_too_many(monkeypatch):
    monkeypatch.setattr("stellar.net.limits.MAX_LOADS", 10)
    limiter = ConcurrencyLimiter(2)
    assert limiter.try_enter(limiter.of("http://busy"))
    for number in range(100):
        limiter.of(f"http://made-up-{number}")
    assert len(limiter._loads) <= 10
    assert limiter.of("http://busy").requests == 1


@pytest.mark.parametrize("woken", [False, True])
def test_a_caller_interrupted_while_waiting_holds_no_slot(monkeypatch, woken):
    limiter = ConcurrencyLimiter(1)
    load = limiter.of("http://one")
    assert limiter.try_enter(load)

    class Interrupted:
        def wait(self, seconds):
            if woken:  # a slot became free meanwhile
                limiter.leave(load)
            raise KeyboardInterrupt

        def set(self):
            """Do nothing: the waiter was interrupted."""

    monkeypatch.setattr("stellar.net.limits.new_event", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        limiter.enter(load, 1)
    if not woken:
        limiter.leave(load)
    assert load.requests == 0


def test_a_caller_waiting_for_a_slot_moves_to_another_instance_when_the_circuit_opens(
    serve, register, client_of, registry
):
    registry.breakers.clock = lambda: 0.0
    release = threading.Event()

    def hang(handler):
        release.wait(60)
        serve.respond(body=b'{"from": "silent"}')(handler)

    silent, good = serve(hang), serve(serve.respond(body=b'{"from": "good"}'))
    register(silent.url)
    endpoint = registry.endpoint("dga").as_map()
    client = client_of(max_in_flight=1, hedge_ms=0, breaker_failures=1, timeout_ms=60_000, cache_size=0)
    load = client._dispatcher.limiter.of(silent.url)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(client.apply, endpoint, None, {"n": 1})
        wait_for(lambda: load.in_flight == 1)
        second = pool.submit(client.apply, endpoint, None, {"n": 2})
        wait_for(lambda: load.waiting)
        register(good.url)
        client._dispatcher.count_opened(silent.url, registry.breakers.record_failure(silent.url))
        assert second.result() == {"from": "good"}
        release.set()
        assert first.result() == {"from": "silent"}
    assert load.requests == 0


# --- retries


def test_a_failure_is_retried_at_once_without_a_hedge(register, client_of):
    transport = Doubled(one=ModelUnavailable("away"), two=score(2))
    for host in ("one", "two"):
        register(f"http://{host}", host)
    client = client_of(transport, hedge_ms=5000)
    assert client.apply(given("one")) == {"score": 2}
    assert (client.counters().hedged, client.counters().retries) == (0, 1)


@pytest.mark.parametrize(("retries", "requests"), [(0, 1), (1, 2), (2, 3)])
def test_failures_cause_no_more_retries_than_allowed(retries, requests, register, client_of):
    hosts = ("one", "two", "three", "four")
    transport = Doubled(**dict.fromkeys(hosts, ModelUnavailable("away")))
    for host in hosts:
        register(f"http://{host}", host)
    client = client_of(transport, hedge_ms=5000, retries=retries)
    with pytest.raises(ModelUnavailable):
        client.apply(given("one"))
    assert len(transport.hosts) == requests


# --- redeployment


def test_no_cached_result_survives_a_redeployment(register, registry, client_of):
    transport = Doubled(old=score(1), new=score(2))
    client = client_of(transport)
    register("http://old", "1")
    assert client.apply(registry.endpoint("dga").as_map()) == {"score": 1}
    register("http://new", "2")
    registry.unregister("dga", "1")
    assert client.apply(registry.endpoint("dga").as_map()) == {"score": 2}


def test_a_redeployment_at_the_same_url_is_detected(register, registry, client_of):
    transport = Doubled(one=score(1))
    client = client_of(transport)
    register("http://one", "1")
    assert client.apply(registry.endpoint("dga").as_map()) == {"score": 1}
    registry.unregister("dga", "1")
    transport.results["one"] = score(2)
    register("http://one", "2")
    assert client.apply(registry.endpoint("dga").as_map()) == {"score": 2}


def test_a_rolling_replacement_is_complete_when_the_last_instance_is_gone(register, registry, client_of):
    transport = Doubled(a=score(1), b=score(1), c=score(2), d=score(2))
    client = client_of(transport)
    for host in "ab":
        register(f"http://{host}", host)
    call = lambda: client.apply(registry.endpoint("dga").as_map())["score"]  # noqa: E731
    assert call() == 1
    for come, go, seen in [("c", "a", 1), ("d", "b", 2)]:
        register(f"http://{come}", come)
        assert call() == 1
        registry.unregister("dga", go)
        assert call() == seen


def test_scaling_does_not_clear_the_cache(register, registry, client_of):
    transport = Doubled(one=score(1), two=score(2))
    client = client_of(transport)
    register("http://one", "1")
    client.apply(registry.endpoint("dga").as_map())
    register("http://two", "2")
    assert client.apply(registry.endpoint("dga").as_map()) == {"score": 1}
    registry.unregister("dga", "2")
    assert client.apply(registry.endpoint("dga").as_map()) == {"score": 1}
    assert transport.hosts == ["one"]


def test_a_late_response_of_the_old_deployment_is_not_cached(register, registry, client_of):
    requested, release = threading.Event(), threading.Event()

    def late(_):
        requested.set()
        release.wait(10)
        return score(1)

    client = client_of(Doubled(old=late, new=score(2)))
    register("http://old", "1")
    before = registry.endpoint("dga").as_map()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(client.apply, before)
        requested.wait(10)
        registry.unregister("dga", "1")
        register("http://new", "2")
        assert client.apply(registry.endpoint("dga").as_map()) == {"score": 2}  # and it does not join the old call
        release.set()
        assert first.result() == {"score": 1}
        assert client.apply(before) == {"score": 2}
    registry.unregister("dga", "2")
    register("http://newer", "3")


def test_a_call_of_an_old_endpoint_is_not_cached(register, registry, client_of):
    client = client_of(Doubled(old=score(1), new=score(2)))
    register("http://old", "1")
    before = registry.endpoint("dga").as_map()
    registry.unregister("dga", "1")
    register("http://new", "2")
    assert client.apply(before) == {"score": 1}
    assert client.apply(registry.endpoint("dga").as_map()) == {"score": 2}


def test_only_registered_models_have_a_deployment(registry):
    deployments = DeploymentTracker(registry)
    for number in range(100):
        assert deployments.number(Model(f"made up {number}", "1")) == 0
    assert deployments._known == {}
    assert deployments.is_current(Model("made up 1", "1"), 0, "http://anywhere")


class MeetingLock:
    """A lock that is acquired only when two threads want it."""

    def __init__(self):
        self._meeting, self._lock = threading.Barrier(2, timeout=30), threading.Lock()

    def __enter__(self):
        self._meeting.wait()
        self._lock.acquire()

    def __exit__(self, *_):
        self._lock.release()


def test_a_removal_that_two_threads_notice_is_handled_once(register, registry):
    removed = []
    deployments = DeploymentTracker(registry, removed.append)
    register("http://old", "1")
    assert deployments.number(Model("dga", "1.0")) == 1
    registry.unregister("dga", "1")
    deployments._lock = MeetingLock()
    threads = [threading.Thread(target=deployments.update) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert removed == ["http://old"]


# --- batches


def scores(handler):
    """Respond to a batch with the length of each host, and the size of the batch."""
    requested = json.loads(handler.rfile.read(int(handler.headers["content-length"])))
    handler.batches.append(requested)
    return [{"score": len(each["host"]), "batch": len(requested)} for each in requested]


@pytest.fixture
def serve_batches(serve):
    """Start a model with a function `batch`; `batches` records the requests."""

    def start(respond=None):
        server = serve()
        server.batches = []
        handler_class = server._server.RequestHandlerClass

        def do_post(handler):
            handler.batches = server.batches
            status, results = (200, scores(handler)) if respond is None else respond(scores(handler))
            serve.respond(status, json.dumps(results).encode())(handler)

        handler_class.do_POST = do_post
        return server

    return start


def at_once(client, endpoint, hosts):
    with ThreadPoolExecutor(len(hosts)) as pool:
        return list(pool.map(lambda host: client.apply(endpoint, None, {"host": host}), hosts))


def test_concurrent_calls_are_merged_and_each_gets_its_own_result(serve_batches, register, registry, client_of):
    server = serve_batches()
    register(server.url, batch="many")
    client = client_of(
        batch_size=8, batch_wait_ms=60_000, timeout_ms=60_000
    )  # sent when full: 16 calls make two batches
    results = at_once(client, registry.endpoint("dga").as_map(), ["x" * number for number in range(16)])
    assert results == [{"score": number, "batch": 8} for number in range(16)]
    assert [len(batch) for batch in server.batches] == [8, 8]
    assert server.paths == []
    assert client.counters().requests == 2
    client.apply(registry.endpoint("dga").as_map(), None, {"host": "xx"})
    assert len(server.batches) == 2  # results of a batch are cached call by call


def test_a_single_call_is_sent_after_the_waiting_time(serve_batches, register, registry, client_of):
    server = serve_batches()
    register(server.url, batch="many")
    client = client_of(batch_wait_ms=1)
    assert client.apply(registry.endpoint("dga").as_map(), None, {"host": "abc"}) == {"score": 3, "batch": 1}


def test_arguments_in_a_batch_are_the_strings_of_a_query(serve_batches, register, registry, client_of):
    server = serve_batches()
    register(server.url, batch="many")
    client_of().apply(registry.endpoint("dga").as_map(), "apply", {"host": "é", "n": 1, "t": True, "l": [1], "z": None})
    assert server.batches == [[{"host": "é", "n": "1", "t": "true", "l": "[1]", "z": None}]]


def test_other_functions_and_other_endpoints_are_not_batched(serve, serve_batches, register, registry, client_of):
    server, plain = serve_batches(), serve(serve.echo)
    register(server.url, batch="many")
    client = client_of()
    assert client.apply(registry.endpoint("dga").as_map(), "score", {"host": "a"}) == {"is_malicious": "legit"}
    assert client.apply({"url": plain.url}, None, {"host": "a"})["path"] == "/apply"
    client = client_of(batch_size=1)
    assert client.apply(registry.endpoint("dga").as_map(), None, {"host": "a"}) == {"is_malicious": "legit"}
    assert server.batches == []


BAD_BATCHES = {
    "too short": (lambda results: (200, results[1:]), "returned 3 results for 4 calls of a batch"),
    "too long": (lambda results: (200, [*results, {}]), "returned 5 results for 4 calls of a batch"),
    "no list": (lambda results: (200, {}), "a JSON object, not an array"),
    "no maps": (lambda results: (200, [1] * len(results)), "a JSON number in the array"),
    "500": (lambda results: (500, results), "status 500"),
}


@pytest.mark.parametrize("bad", BAD_BATCHES)
def test_a_failed_batch_is_retried_on_another_instance(bad, serve_batches, register, registry, client_of):
    respond, message = BAD_BATCHES[bad]
    failing, good = serve_batches(respond), serve_batches()
    register(failing.url, batch="many")
    first = registry.endpoint("dga").as_map()
    register(good.url, batch="many")
    registry.breakers.clock = lambda: 0.0
    client = client_of(batch_size=4, batch_wait_ms=60_000, breaker_failures=1)
    assert at_once(client, first, ["x" * n for n in range(4)]) == [{"score": n, "batch": 4} for n in range(4)]
    assert client.counters().circuits == {failing.url: "open"}
    registry.unregister("dga", good.url.rpartition(":")[2])
    client = client_of(batch_size=4, batch_wait_ms=60_000)
    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(client.apply, first, None, {"host": "x" * n}) for n in range(4)]
        for call in calls:
            with pytest.raises(ModelRefused, match=message):
                call.result()
    assert client.counters().failures == {"quarantined": 4}


def test_in_a_batch_only_the_invalid_call_fails(serve_batches, register, registry, client_of):
    server = serve_batches(lambda results: (400 if any(r["score"] == 3 for r in results) else 200, results))
    register(server.url, batch="many")
    client = client_of(batch_size=4, batch_wait_ms=60_000)
    endpoint = registry.endpoint("dga").as_map()
    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(client.apply, endpoint, None, {"host": "x" * n}) for n in range(4)]
        assert [call.result()["score"] for call in calls[:3]] == [0, 1, 2]
        with pytest.raises(RecordRefused):
            calls[3].result()
    assert registry.breakers.all_closed
    assert client.counters().failures == {"bad request": 1}


def test_an_unexpected_error_in_a_batch_is_raised_in_all_callers(register, registry, client_of):
    register("http://one", "1", batch="many")

    def bug(_):
        return ZeroDivisionError("a bug")

    client = client_of(Doubled(one=bug), batch_size=3, batch_wait_ms=60_000)
    endpoint = registry.endpoint("dga").as_map()
    with ThreadPoolExecutor(3) as pool:
        calls = [pool.submit(client.apply, endpoint, None, {"host": "x" * n}) for n in range(3)]
        found = Counter(type(call.exception()) for call in calls)
    assert found == {ZeroDivisionError: 1, ModelUnavailable: 2}


# --- settings


def test_the_settings_of_load_come_from_the_global_configuration():
    assert ClientSettings.from_global(
        {
            "maas.http.deadline.ms": 900,
            "maas.http.max.in.flight": 5,
            "maas.choice": "least-busy",
            "maas.breaker.failures": 4,
            "maas.http.hedge.ms": 50,
            "maas.batch.size": 10,
            "maas.batch.wait.ms": 1.5,
        }
    ) == ClientSettings(
        deadline_ms=900,
        max_in_flight=5,
        choice="least-busy",
        breaker_failures=4,
        hedge_ms=50,
        batch_size=10,
        batch_wait_ms=1.5,
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("maas.http.deadline.ms", -1),
        ("maas.http.max.in.flight", 1.5),
        ("maas.choice", "random"),
        ("maas.breaker.failures", 0),
        ("maas.http.hedge.ms", "soon"),
        ("maas.batch.size", 0),
        ("maas.batch.wait.ms", -1),
    ],
)
def test_an_invalid_load_setting_is_rejected_by_its_key(key, value):
    with pytest.raises(ValueError, match=key):
        ClientSettings.from_global({key: value})
