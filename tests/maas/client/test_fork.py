"""Forks: the child uses no resource of its parent, and the parent is not affected."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

import pytest

from stellar import compile, evaluate_many
from stellar.language.context import Context
from stellar.maas import (
    Chosen,
    ClientSettings,
    MemoryRegistry,
    ModelClient,
    Registry,
    Shadow,
    TrafficPlan,
)
from stellar.maas.schema import Endpoint, Model, ServiceInstance
from stellar.net.name_resolution import NameResolver
from stellar.util.scheduler import RunLoop
from stellar.util.waiting import Future
from stellar.util.windowed import in_order

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="the system can't fork"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),
]

# Responds with the requested host and its own number; `hold` waits for a line on its standard input
MODEL = """
import asyncio, json, sys

held = asyncio.Event()

async def talk(reader, writer):
    try:
        while line := await reader.readline():
            length = 0
            while header := (await reader.readline()).strip():
                if header.lower().startswith(b"content-length:"):
                    length = int(header.split(b":")[1])
            sent = await reader.readexactly(length)
            if b"/batch" in line:
                answer = [{"host": each["host"]} for each in json.loads(sent)]
            else:
                host = line.split()[1].decode().partition("host=")[2]
                if host.startswith("hold"):
                    print("held", flush=True)
                    await held.wait()
                answer = {"host": host}
            body = json.dumps(answer).encode()
            writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(body) + body)
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()

async def main():
    server = await asyncio.start_server(talk, "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    held.set()
    await server.serve_forever()

asyncio.run(main())
"""


class Process:
    """A model in a process of its own, so that forked children do not inherit its sockets."""

    def __init__(self):
        pipe = subprocess.PIPE
        self._process = subprocess.Popen([sys.executable, "-c", MODEL], stdin=pipe, stdout=pipe, text=True)
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"

    def await_held(self):
        assert self._process.stdout.readline() == "held\n"

    def release(self):
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def stop(self):
        self._process.send_signal(signal.SIGSTOP)

    def close(self):
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()


@pytest.fixture
def start():
    processes = []

    def start():
        processes.append(Process())
        return processes[-1]

    yield start
    for process in processes:
        process.close()


class World:
    """A registry with instances of the model dga, a client, and an expression that calls it."""

    def __init__(self, *urls, functions=None, **settings):
        self.registry = MemoryRegistry()
        for url in urls:
            endpoint = Endpoint(url=url, functions={"apply": "apply", **(functions or {})})
            self.registry.register(ServiceInstance.of(Model("dga", "1.0"), url.rpartition(":")[2], endpoint))
        settings = {"timeout_ms": 60_000, "connect_timeout_ms": 60_000, **settings}
        self.client = ModelClient(self.registry, ClientSettings(**settings))
        self.context = Context({Registry: self.registry, ModelClient: self.client})
        self.expression = compile("MAP_GET('host', MAAS_MODEL_APPLY(MAAS_GET_ENDPOINT('dga'), {'host': host}))")

    def call(self, host):
        return self.client.apply(self.registry.endpoint("dga").as_map(), None, {"host": host})["host"]

    def score(self, host):
        return self.expression({"host": host}, self.context)

    def stream(self, hosts, in_flight=64):
        return evaluate_many(self.expression, ({"host": host} for host in hosts), self.context, in_flight=in_flight)


@pytest.fixture
def world_of():
    worlds = []

    def make(*urls, **options):
        worlds.append(World(*urls, **options))
        return worlds[-1]

    yield make
    for world in worlds:
        world.client.close()
        world.registry.close()


def begin_child(work):
    """Fork a child that calls a function, and exits with 0, or with 1 if that raises."""
    pid = os.fork()
    if pid:
        return pid
    try:
        work()
        os._exit(0)
    except BaseException:  # noqa: BLE001 (the child must not continue as the parent)
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(1)


def has_succeeded(pid):
    """Return True if a child exits with 0, False if it fails or hangs."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return status == 0
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return False


def in_child(work):
    return has_succeeded(begin_child(work))


def check(condition):
    assert condition  # pytest shows no values of a child


def hosts(prefix, count):
    return [f"{prefix}{number}" for number in range(count)]


# --- process pools

_world: World


def _score(host):
    return _world.score(host)


def test_a_pool_forked_after_a_stream_gets_only_correct_results(start, world_of):
    global _world
    _world = world = world_of(start().url, start().url)
    before = hosts("before", 200)
    assert list(world.stream(before)) == before
    records = hosts("record", 1000)
    with multiprocessing.get_context("fork").Pool(4) as pool:
        result = pool.map_async(_score, records, chunksize=10)
        meanwhile = hosts("meanwhile", 300)
        assert list(world.stream(meanwhile)) == meanwhile
        assert result.get(120) == records
    after = hosts("after", 200)
    assert list(world.stream(after)) == after
    assert world.client.counters().failures == {}


SCRIPT = """
import multiprocessing, sys
from stellar import evaluate_many
from stellar.language.context import Context
from stellar.maas import MemoryRegistry, Model, ModelClient, Registry, ServiceInstance
from stellar.maas.schema import Endpoint

EXPRESSION = "MAP_GET('host', MAAS_MODEL_APPLY(MAAS_GET_ENDPOINT('dga'), {'host': host}))"

def score(hosts):
    registry = MemoryRegistry()
    registry.register(ServiceInstance.of(Model("dga", "1.0"), "1", Endpoint(url=sys.argv[2])))
    with registry, ModelClient(registry) as client:
        context = Context({Registry: registry, ModelClient: client})
        return list(evaluate_many(EXPRESSION, [{"host": host} for host in hosts], context))

if __name__ == "__main__":
    hosts = [f"h{number}" for number in range(200)]
    assert score(hosts) == hosts
    with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
        assert pool.map(score, [hosts[:100], hosts[100:]]) == [hosts[:100], hosts[100:]]
    print("right", flush=True)
"""


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_workers_of_every_start_method_create_their_own_clients(method, start, tmp_path):
    (script := tmp_path / "workers.py").write_text(SCRIPT)
    ended = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", script, method, start().url],
        timeout=120,
        capture_output=True,
        text=True,
    )
    assert (ended.stdout, ended.returncode) == ("right\n", 0), ended.stderr


# --- forks during calls


def test_a_second_thread_can_fork_during_a_call_of_the_main_thread(start, world_of):
    model = start()
    world = world_of(model.url)
    with ThreadPoolExecutor(1) as pool:

        def fork():
            model.await_held()
            ended = in_child(lambda: [check(world.call(host) == host) for host in hosts("child", 50)])
            model.release()
            return ended

        forked = pool.submit(fork)
        assert world.call("hold") == "hold"
        assert forked.result()


def test_the_child_does_not_wait_for_a_call_of_the_parent(start, world_of):
    held, other = start(), start()
    world = world_of(held.url)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(world.call, "hold-me")  # an equal call would join it
        held.await_held()

        def work():
            world.registry.register(ServiceInstance.of(Model("dga", "1.0"), "other", Endpoint(url=other.url)))
            world.registry.unregister("dga", held.url.rpartition(":")[2])
            check(world.client._flights == {})
            check(world.client._dispatcher.limiter.of(held.url).requests == 0)
            check(world.call("unheld") == "unheld")

        assert in_child(work)
        held.release()
        assert call.result() == "hold-me"


def test_forks_during_calls_of_many_threads_leave_no_lock_held(start, world_of):
    world = world_of(start().url, start().url, hedge_ms=1, cache_size=50)
    ending = threading.Event()
    wrong = []

    def hammer(name):
        number = 0
        while not ending.is_set():
            host = f"{name}-{number % 100}"
            number += 1
            if world.call(host) != host:
                wrong.append(host)

    threads = [threading.Thread(target=hammer, args=[f"t{number}"]) for number in range(6)]
    for thread in threads:
        thread.start()
    try:
        for child in range(12):
            assert in_child(
                lambda child=child: (
                    [check(world.call(host) == host) for host in hosts(f"c{child}-", 20)]
                    + [world.client.counters(), world.client.close()]
                )
            )
    finally:
        ending.set()
        for thread in threads:
            thread.join(60)
    assert wrong == []
    assert world.client.counters().failures == {}


def test_forks_during_a_stream_affect_neither_process(start, world_of):
    world = world_of(start().url)
    records = hosts("record", 300)
    children = []

    def source():
        for number, host in enumerate(records):
            if number % 100 == 50:
                children.append(begin_child(lambda number=number: check_stream(world, f"child{number}-")))
            yield host

    assert list(world.stream(source())) == records
    assert [has_succeeded(child) for child in children] == [True] * 3


def check_stream(world, prefix):
    records = hosts(prefix, 100)
    check(list(world.stream(records)) == records)


def test_a_fiber_can_fork(start, world_of):
    world = world_of(start().url)
    loop = RunLoop("test")
    assert loop.run(lambda: world.call("a")) == "a"
    assert loop.run(lambda: in_child(lambda: check_stream(world, "child")))
    assert loop.run(lambda: world.call("b")) == "b"
    loop.shutdown()


def test_a_child_can_fork_again(start, world_of):
    world = world_of(start().url)
    check_stream(world, "parent")

    def work():
        check_stream(world, "child")
        check(in_child(lambda: check_stream(world, "grandchild")))
        check_stream(world, "child-again")

    assert in_child(work)
    check_stream(world, "parent-again")


# --- inherited resources


def test_closing_the_client_in_the_child_does_not_affect_the_parent(start, world_of):
    model = start()
    world = world_of(model.url, start().url, hedge_ms=1)
    check_stream(world, "before")
    assert in_child(lambda: (world.client.close(), world.registry.close()))
    check_stream(world, "after")
    assert len(world.registry.instances()) == 2


def test_no_socket_of_the_parent_stays_open_in_the_child(start, world_of):
    inherited = sockets()
    model, other = start(), start()
    world = world_of(model.url, other.url, hedge_ms=1)
    stream = world.stream(hosts("s", 500), in_flight=8)
    assert next(stream) == "s0"  # its run loop is alive
    check_stream(world, "before")
    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(world.client.apply, {"url": model.url}, None, {"host": f"hold{n}"}) for n in range(3)]
        for _ in calls:
            model.await_held()
        assert len(sockets() - inherited) >= 6
        assert in_child(lambda: check(sockets() - inherited == set()))
        model.release()
        assert [call.result()["host"] for call in calls] == ["hold0", "hold1", "hold2"]
    assert list(stream) == hosts("s", 500)[1:]


def sockets():
    """Return the inodes of all open sockets of this process."""
    found = set()
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{descriptor}")
        except FileNotFoundError:  # the directory listing itself
            continue
        if target.startswith("socket:"):
            found.add(target)
    return found


@pytest.mark.parametrize("blocks", [False, True])
def test_a_stream_begun_before_the_fork_continues_in_the_parent_only(blocks):
    stream = in_order(lambda number: number, range(100), 4, blocks=blocks)
    assert next(stream) == 0

    def work():
        with pytest.raises(RuntimeError, match="started before a fork and can continue only in the parent"):
            next(stream)
        check(list(in_order(lambda number: number, range(10), 4, blocks=blocks)) == [*range(10)])

    assert in_child(work)
    assert in_child(stream.close)
    assert list(stream) == [*range(1, 100)]


def test_a_run_loop_of_the_parent_accepts_no_work_in_the_child():
    loop = RunLoop("test")
    never: Future[None] = Future()
    task = loop.submit(never.result)

    def work():
        for act in (lambda: loop.submit(int), lambda: loop.run(int), task.result):
            with pytest.raises(RuntimeError, match="started before a fork"):
                act()
        loop.shutdown()

    assert in_child(work)
    never.set_result(None)
    assert task.result() is None
    assert loop.run(lambda: 1) == 1
    loop.shutdown()


def test_the_child_has_a_cache_of_its_own(start, world_of):
    world = world_of(start().url)
    world.call("a")
    world.call("a")

    def work():
        hits = world.client.counters().cache_hits
        check(world.call("a") == world.call("a") == "a")
        check(world.client.counters().cache_hits == hits + 1)

    assert in_child(work)


def test_the_child_resolves_names_while_a_look_up_of_the_parent_hangs(monkeypatch):
    release, main = threading.Event(), os.getpid()

    def look_up(host, *arguments, **options):
        if os.getpid() == main:
            release.wait(60)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    names = NameResolver()
    promise = names.begin("a.example")
    assert in_child(lambda: check(names.resolve("a.example", 30)))
    assert not promise.done
    release.set()
    assert promise.wait(60)


def test_calls_are_hedged_in_the_child_too(start, world_of):
    stopped, quick = start(), start()
    world = world_of(stopped.url, quick.url, hedge_ms=20, cache_size=0)
    stopped.stop()
    endpoint = {"name": "dga", "version": "1.0", "url": stopped.url}

    def work():
        hedged = world.client.counters().hedged
        check(world.client.apply(endpoint, None, {"host": "x"}) == {"host": "x"})
        check(world.client.counters().hedged == hedged + 1)

    work()
    assert in_child(work)
    work()


def test_the_child_has_batches_of_its_own(start, world_of):
    model = start()
    world = world_of(model.url, functions={"batch": "batch"}, batch_size=2, batch_wait_ms=60_000, cache_size=0)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(world.call, "first")  # waits for a second call
        end = time.monotonic() + 60
        while not world.client._batcher._open:
            assert time.monotonic() < end
            time.sleep(0.002)

        def work():
            check(world.client._batcher._open == {})
            with ThreadPoolExecutor(2) as workers:
                check(list(workers.map(world.call, ["c1", "c2"])) == ["c1", "c2"])

        assert in_child(work)
        assert not first.done()
        assert world.call("second") == "second"
        assert first.result() == "first"


def test_the_child_has_shadows_of_its_own(start, world_of):
    model, shadow = start(), start()
    world = world_of(model.url, cache_size=0)
    world.registry.register(ServiceInstance.of(Model("dga", "2.0"), "shadow", Endpoint(url=shadow.url)))
    world.registry.plan("dga", TrafficPlan({"1.0": 1}, shadow=Shadow("2.0")))

    def show(count):
        for host in hosts("h", count):
            world.client.apply(Chosen(world.registry.endpoint("dga").as_map()), None, {"host": host})

    show(5)

    def work():
        inherited = world.client.counters()
        show(5)
        world.client.close()
        counters = world.client.counters()
        check(counters.compared - inherited.compared == 5)
        check(counters.disagreed == 0)

    assert in_child(work)
    show(5)
    world.client.close()
    assert world.client.counters().compared == 10
