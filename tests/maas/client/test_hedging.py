"""Hedging: the delay, the budget, and the effect on the circuit of the slow instance."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from stellar import evaluate_many
from stellar.language.context import Context
from stellar.maas import ClientSettings, ModelClient, ModelTimeOut, RecordRefused, Registry
from stellar.maas.client.instances import HEDGE_BURST, HedgePolicy
from stellar.maas.errors import ModelRefused
from stellar.maas.schema import Endpoint, Model, ServiceInstance
from stellar.util.scheduler import Cancelled, RunLoop


@pytest.fixture
def client_of(registry):
    """Return a function that makes clients without a cache: `client_of(hedge_ms=20)`."""
    clients = []

    def make(**settings):
        settings = {"cache_size": 0, "timeout_ms": 60_000, "connect_timeout_ms": 60_000, **settings}
        clients.append(ModelClient(registry, ClientSettings(**settings)))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def register(registry):
    """Return a function that registers an instance of dga 1.0; keyword arguments are settings of its `endpoint.dat`."""

    def register(url, functions=None, **settings):
        endpoint = Endpoint(url=url, functions={"apply": "apply", **(functions or {})})
        registry.register(ServiceInstance.of(Model("dga", "1.0"), url.rpartition(":")[2], endpoint), settings)

    return register


@pytest.fixture
def half_open(registry, register):
    """Return a function that registers an instance whose circuit is half-open, and returns the clock: `[seconds]`."""

    def register_half_open(url):
        now = [0.0]
        registry.breakers.clock = lambda: now[0]
        register(url)
        for _ in range(3):
            registry.breakers.record_failure(url)
        now[0] = 1.0
        return now

    return register_half_open


class Gate:
    """A behaviour that responds after it was opened; `closed` counts the clients that disconnected."""

    def __init__(self, respond):
        self._respond = respond
        self.opened = threading.Event()
        self.calls = threading.Semaphore(0)
        self.closed = threading.Semaphore(0)
        self.status = 200

    def __call__(self, handler):
        self.calls.release()
        handler.connection.settimeout(0.005)
        while not self.opened.is_set():
            try:
                if not handler.connection.recv(1):
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        else:
            handler.connection.settimeout(None)
            self._respond(self.status, b'{"from": "gate"}')(handler)
            return
        self.closed.release()
        handler.close_connection = True


@pytest.fixture
def gate(serve):
    gates = []

    def make():
        gates.append(Gate(serve.respond))
        return gates[-1]

    yield make
    for each in gates:
        each.opened.set()


@pytest.fixture
def quick(serve):
    return serve(serve.respond(body=b'{"from": "quick"}'))


def at(server):
    return {"name": "dga", "version": "1.0", "url": server.url}


def until(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "the condition was not met"
        time.sleep(0.002)


def in_thread(client, server, **arguments):
    return client.apply(at(server), None, arguments)


def in_fiber(client, server, **arguments):
    loop = RunLoop("test")
    try:
        return loop.run(lambda: client.apply(at(server), None, arguments))
    finally:
        loop.shutdown()


EITHER = pytest.mark.parametrize("call", [in_thread, in_fiber])


def counts(client):
    counters = client.counters()
    return counters.requests, counters.hedged, counters.retries


def loads(client, *servers):
    return [client._dispatcher.limiter.of(server.url).requests for server in servers]


# --- the delay and the budget


def test_the_delay_is_the_95th_percentile_of_the_recent_latencies():
    policy = HedgePolicy(None)
    assert policy.delay == 0.1  # until there are enough samples
    for number in random.Random(1).sample(range(100), 100):
        policy.record(0.1 + number / 1000)
    assert 0.19 <= policy.delay <= 0.2
    for _ in range(300):
        policy.record(0.5)
    assert policy.delay == 0.5


def test_the_delay_is_at_least_ten_milliseconds():
    policy = HedgePolicy(None)
    for _ in range(100):
        policy.record(0.001)
    assert policy.delay == 0.01


def test_a_configured_delay_is_fixed():
    policy = HedgePolicy(0.002)
    for _ in range(100):
        policy.record(0.5)
    assert policy.delay == 0.002


def test_the_budget_is_a_hundred_hedges_and_then_one_in_twenty_calls():
    policy = HedgePolicy(None)
    assert sum(policy.take() for _ in range(1000)) == HEDGE_BURST == 100
    for _ in range(1000):
        policy.record(0.01)
    assert 49 <= sum(policy.take() for _ in range(1000)) <= 50
    for _ in range(100_000):
        policy.record(0.01)
    assert sum(policy.take() for _ in range(1000)) == 100


# --- a single call


@EITHER
def test_by_default_a_second_instance_is_called_when_the_first_is_slow(call, gate, serve, quick, register, client_of):
    slow = serve(gate())
    register(slow.url)
    register(quick.url)
    client = client_of()
    assert call(client, slow) == {"from": "quick"}
    assert counts(client) == (2, 1, 0)
    assert loads(client, slow, quick) == [0, 0]


@EITHER
def test_the_losing_connection_is_closed_and_the_winning_one_is_pooled(call, gate, serve, quick, register, client_of):
    held = gate()
    slow = serve(held)
    register(slow.url)
    register(quick.url)
    client = client_of(hedge_ms=10)
    for _ in range(2):
        assert call(client, slow) == {"from": "quick"}
        assert held.closed.acquire(timeout=60)
    assert len(quick.connections) == 1
    assert len(slow.connections) == 2
    idle = client._transport._client._pool._idle
    assert {target.port: len(kept) for target, kept in idle.items() if kept} == {int(quick.url.rpartition(":")[2]): 1}


@EITHER
def test_the_first_attempt_can_still_win(call, gate, serve, register, client_of):
    first, second = gate(), gate()
    one, two = serve(first), serve(second)
    register(one.url)
    register(two.url)
    client = client_of(hedge_ms=10)
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(call, client, one)
        assert second.calls.acquire(timeout=60)  # it is hedged
        first.opened.set()
        assert future.result() == {"from": "gate"}
    assert second.closed.acquire(timeout=60)
    assert counts(client) == (2, 1, 0)
    assert client.registry.breakers.all_closed
    assert loads(client, one, two) == [0, 0]


@EITHER
def test_a_failure_of_the_first_attempt_after_the_hedge_does_not_end_the_call(call, gate, serve, register, client_of):
    first, second = gate(), gate()
    one, two = serve(first), serve(second)
    register(one.url)
    register(two.url)
    client = client_of(hedge_ms=10, retries=0)
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(call, client, one)
        assert second.calls.acquire(timeout=60)
        first.status = 500
        first.opened.set()
        until(lambda: not client.registry.breakers.all_closed)  # the failure was recorded
        second.opened.set()
        assert future.result() == {"from": "gate"}
    assert loads(client, one, two) == [0, 0]


@EITHER
@pytest.mark.parametrize("retries", [0, 1])
def test_when_both_fail_the_error_is_raised(retries, call, gate, serve, register, client_of):
    first, second = gate(), gate()
    one, two = serve(first), serve(second)
    register(one.url)
    register(two.url)
    client = client_of(hedge_ms=10, retries=retries)
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(call, client, one)
        assert second.calls.acquire(timeout=60)
        first.status = second.status = 500
        second.opened.set()
        until(lambda: not client.registry.breakers.all_closed)
        first.opened.set()
        with pytest.raises(ModelRefused, match="status 500") as raised:
            future.result()
    assert raised.value.url == one.url
    assert client.counters().failures == {"bad reply": 1}
    assert client.counters().requests == 2
    assert loads(client, one, two) == [0, 0]


@EITHER
def test_a_rejected_record_ends_the_call_without_a_success_of_the_first_instance(
    call, gate, serve, register, client_of, registry
):
    one, two = serve(gate()), serve(serve.respond(422, b"no host"))
    register(one.url)
    register(two.url)
    client = client_of(hedge_ms=10)
    registry.breakers.record_failure(one.url)
    registry.breakers.record_failure(one.url)
    with pytest.raises(RecordRefused, match="status 422"):
        call(client, one)
    assert registry.breakers.record_failure(one.url)  # the count was not reset, and this is at least the third failure
    assert loads(client, one, two) == [0, 0]


@EITHER
def test_the_deadline_holds_for_hedges_too(call, gate, serve, register, client_of):
    one, two = serve(gate()), serve(gate())
    register(one.url)
    register(two.url)
    client = client_of(hedge_ms=10, deadline_ms=300, retries=5)
    began = time.monotonic()
    with pytest.raises(ModelTimeOut):
        call(client, one)
    assert time.monotonic() - began < 30
    assert client.counters().requests == 2
    assert loads(client, one, two) == [0, 0]


def test_a_cancelled_call_closes_both_connections_and_frees_its_slots(gate, serve, register, client_of):
    first, second = gate(), gate()
    one, two = serve(first), serve(second)
    register(one.url)
    register(two.url)
    client = client_of(hedge_ms=10)
    loop = RunLoop("test")
    task = loop.submit(lambda: client.apply(at(one)))
    assert second.calls.acquire(timeout=60)
    task.cancel()
    with pytest.raises(Cancelled):
        task.result()
    assert first.closed.acquire(timeout=60)
    assert second.closed.acquire(timeout=60)
    assert loads(client, one, two) == [0, 0]
    assert client._flights == {}
    loop.shutdown()


def test_an_interrupted_thread_closes_both_connections_and_frees_its_slots(
    gate, serve, register, client_of, monkeypatch
):
    first, second = gate(), gate()
    one, two = serve(first), serve(second)
    register(one.url)
    register(two.url)
    client = client_of(hedge_ms=10)
    main, ended = threading.get_ident(), threading.Event()

    def interrupt():
        second.calls.acquire(timeout=60)
        while not ended.is_set():  # Python drops an interrupt that comes within a weak reference's callback
            signal.pthread_kill(main, signal.SIGINT)
            ended.wait(2)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        client.apply(at(one))
    ended.set()
    thread.join()
    assert first.closed.acquire(timeout=60)
    assert second.closed.acquire(timeout=60)
    assert loads(client, one, two) == [0, 0]
    assert client._flights == {}


# --- calls without a hedge


def slow_call(client, held, server, function=None):
    """Make a call to one slow instance; return the counters."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(client.apply, at(server), function)
        assert held.calls.acquire(timeout=60)
        time.sleep(0.1)  # time enough for a hedge
        held.opened.set()
        assert future.result() == {"from": "gate"}
    return counts(client)


def test_a_delay_of_zero_switches_hedging_off(gate, serve, quick, register, client_of):
    held = gate()
    slow = serve(held)
    register(slow.url)
    register(quick.url)
    assert slow_call(client_of(hedge_ms=0), held, slow) == (1, 0, 0)


def test_a_model_can_opt_out(gate, serve, quick, register, client_of):
    held = gate()
    slow = serve(held)
    register(slow.url, hedge=False)
    register(quick.url, hedge=False)
    assert slow_call(client_of(hedge_ms=10), held, slow) == (1, 0, 0)


def test_an_instance_that_opted_out_gets_no_hedges(gate, serve, quick, register, client_of):
    held = gate()
    slow = serve(held)
    register(slow.url)
    register(quick.url, hedge=False)
    assert slow_call(client_of(hedge_ms=10), held, slow) == (1, 0, 0)


def test_calls_to_the_only_instance_are_not_hedged(gate, serve, register, client_of):
    held = gate()
    slow = serve(held)
    register(slow.url)
    assert slow_call(client_of(hedge_ms=10), held, slow) == (1, 0, 0)


def test_calls_to_the_only_healthy_instance_are_not_hedged(gate, serve, quick, register, client_of, registry):
    registry.breakers.clock = lambda: 0.0
    held = gate()
    slow = serve(held)
    register(slow.url)
    register(quick.url)
    registry.breakers.record_refused(quick.url)
    assert slow_call(client_of(hedge_ms=10), held, slow) == (1, 0, 0)


def test_functions_other_than_apply_are_not_hedged(gate, serve, quick, register, client_of):
    held = gate()
    slow = serve(held)
    register(slow.url)
    register(quick.url)
    assert slow_call(client_of(hedge_ms=10), held, slow, "score") == (1, 0, 0)


def test_an_endpoint_written_by_hand_is_not_hedged(gate, serve, quick, register, client_of):
    held = gate()
    slow = serve(held)
    register(quick.url)
    client = client_of(hedge_ms=10)
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(client.apply, {"url": slow.url})
        assert held.calls.acquire(timeout=60)
        time.sleep(0.1)
        held.opened.set()
        assert future.result() == {"from": "gate"}
    assert counts(client) == (1, 0, 0)


def test_batches_are_not_hedged(gate, serve, quick, register, client_of):
    held = gate()
    slow = serve()

    def post(handler):
        handler.rfile.read(int(handler.headers["content-length"]))
        held.calls.release()
        held.opened.wait(60)
        serve.respond(body=b'[{"from": "gate"}]')(handler)

    slow._server.RequestHandlerClass.do_POST = post
    register(slow.url, {"batch": "many"})
    register(quick.url, {"batch": "many"})
    client = client_of(hedge_ms=10, batch_wait_ms=0)
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(client.apply, {**at(slow), "endpoint:batch": "many"})
        assert held.calls.acquire(timeout=60)
        time.sleep(0.1)
        held.opened.set()
        assert future.result() == {"from": "gate"}
    assert counts(client) == (1, 0, 0)


def test_an_instance_more_than_half_as_busy_gets_no_hedge(gate, serve, register, client_of):
    first, second = gate(), gate()
    one, two = serve(first), serve(second)
    register(one.url)
    register(two.url)
    client = client_of(hedge_ms=10)
    limiter = client._dispatcher.limiter
    assert limiter.try_enter(limiter.of(two.url))  # one request at each instance
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(client.apply, at(one))
        assert first.calls.acquire(timeout=60)
        time.sleep(0.1)
        assert client.counters().hedged == 0
        limiter.leave(limiter.of(two.url))
        assert second.calls.acquire(timeout=60)  # it was checked again
        second.opened.set()
        assert future.result() == {"from": "gate"}
    assert client.counters().hedged == 1


def test_without_a_budget_there_is_no_hedge(gate, serve, quick, register, client_of):
    held = gate()
    slow = serve(held)
    register(slow.url)
    register(quick.url)
    client = client_of(hedge_ms=10)
    policy = client._dispatcher._policies.setdefault(Model("dga", "1.0"), HedgePolicy(0.01))
    while policy.take():
        pass
    assert slow_call(client, held, slow) == (1, 0, 0)


# --- the circuit of the slow instance


def test_three_lost_races_open_the_circuit_of_an_unresponsive_instance_and_release_its_callers(
    gate, serve, quick, register, client_of, registry
):
    held = gate()
    silent = serve(held)
    register(silent.url)
    register(quick.url)
    client = client_of(hedge_ms=20, retries=0)
    policy = client._dispatcher._policies.setdefault(Model("dga", "1.0"), HedgePolicy(0.02))
    while policy.take():
        pass
    policy._tokens = 3.0  # the budget is three hedges
    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(lambda number: client.apply(at(silent), None, {"n": number}), range(16)))
    assert results == [{"from": "quick"}] * 16
    counters = client.counters()
    assert counters.hedged <= 3
    assert counters.quarantined >= 1
    assert counters.failures == {}
    assert silent.url in registry.breakers.states()
    assert loads(client, silent, quick) == [0, 0]


def test_a_trial_that_is_slow_is_hedged_and_opens_the_circuit_again(gate, serve, quick, register, client_of, half_open):
    silent = serve(gate())
    now = half_open(silent.url)
    register(quick.url)
    client = client_of(hedge_ms=20)
    assert client.counters().circuits == {silent.url: "half-open"}
    assert client.apply(at(silent)) == {"from": "quick"}
    assert counts(client) == (2, 1, 0)
    assert client.counters().quarantined == 1
    assert client.counters().circuits == {silent.url: "open"}
    now[0] = 2.9
    assert client.counters().circuits == {silent.url: "open"}


def test_a_trial_is_hedged_while_the_other_instances_are_busy(gate, serve, quick, register, client_of, half_open):
    silent = serve(gate())
    half_open(silent.url)
    register(quick.url)
    client = client_of(hedge_ms=20)
    limiter = client._dispatcher.limiter
    for _ in range(60):  # the calls of a window that wait for the result of the trial
        assert limiter.try_enter(limiter.of(quick.url))
    assert client.apply(at(silent)) == {"from": "quick"}
    assert counts(client) == (2, 1, 0)
    assert client.counters().circuits == {silent.url: "open"}


def test_a_successful_trial_closes_the_circuit(serve, quick, register, client_of, half_open):
    one = serve()
    half_open(one.url)
    register(quick.url)
    client = client_of(hedge_ms=0)
    assert client.apply(at(one)) == {"is_malicious": "legit"}
    assert client.counters().circuits == {}


# --- a stream of records while an instance is stopped

MODEL = """
import asyncio

async def talk(reader, writer):
    try:
        while line := await reader.readline():
            while (await reader.readline()).strip():
                pass
            body = b'{"score": %d}' % len(line.split()[1].partition(b"host=")[2])
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


@pytest.fixture
def processes(register):
    """Start three models in processes of their own."""
    started = [subprocess.Popen([sys.executable, "-c", MODEL], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    for process in started:
        register(f"http://127.0.0.1:{int(process.stdout.readline())}")
    yield started
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


EXPRESSION = "MAP_GET('score', MAAS_MODEL_APPLY(MAAS_GET_ENDPOINT('dga'), {'host': host}))"


@pytest.mark.parametrize("in_flight", [1, 8, 64, 400])
def test_no_record_is_without_a_score_while_an_instance_is_stopped(in_flight, processes, client_of, registry):
    client = client_of(max_in_flight=0)
    context = Context({Registry: registry, ModelClient: client})
    length = 2000

    def records():
        for number in range(length):
            if number == length // 4:
                os.kill(processes[0].pid, signal.SIGSTOP)
            yield {"host": "x" * (number % 40)}

    began = time.monotonic()
    scores = list(evaluate_many(EXPRESSION, records(), context, in_flight=in_flight))
    assert scores == [number % 40 for number in range(length)]
    assert client.counters().failures == {}
    assert time.monotonic() - began < 50  # the time-out is a minute: no call waited for it
    until(lambda: not any(client._dispatcher.limiter.of(each.url).requests for each in registry.instances()))


def test_no_circuit_of_three_healthy_instances_opens(processes, client_of, registry):
    client = client_of()
    context = Context({Registry: registry, ModelClient: client})
    records = [{"host": "x" * (number % 40)} for number in range(3000)]
    assert list(evaluate_many(EXPRESSION, records, context)) == [number % 40 for number in range(3000)]
    counters = client.counters()
    assert counters.quarantined == 0
    assert counters.hedged <= 100 + 0.05 * 3000
    assert counters.requests + counters.joined == 3000 + counters.hedged
