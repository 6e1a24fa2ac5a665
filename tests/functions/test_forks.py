"""Open resources of functions in the child of a fork: inherited ones are neither used nor waited for."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

import stellar
from stellar.functions.enrichments import ObjectCache, SqliteEnrichments
from stellar.functions.rest.client import RestClient
from stellar.language.context import Context, GlobalSettings
from stellar.net.hadoop.webhdfs import CHUNK, WebHdfs
from stellar.util.cached_properties import cached_property
from stellar.util.windowed import in_order

sys.path.append(str(Path(__file__).parents[1]))
from forked import SECONDS, run_in_child

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

# It responds with the path and the client's port. It runs in its own process, so that no child inherits its sockets
SERVER = """
import json, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

released = threading.Event()

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self):
        path = self.path.partition("?")[0]
        if path == "/blocked":
            released.wait(60)
        if path == "/release":
            released.set()
        body = json.dumps({"path": path, "Path": path, "port": self.client_address[1]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True

server = Server(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.read()
"""


@pytest.fixture
def url() -> Iterator[str]:
    with subprocess.Popen([sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.communicate()


@pytest.fixture
def call(url: str) -> Iterator[Callable[[str], Any]]:
    """Return a function that calls a path of the server, with at most two concurrent calls."""
    common = {"timeout": 50_000, "hosts.allowed": ["127.0.0.1"]}
    settings = GlobalSettings({"stellar.rest.settings": common, "pooling.default.max.per.route": 2})
    context = Context({GlobalSettings: settings})
    expression = stellar.compile("REST_GET(url)")
    yield lambda path: expression({"url": url + path}, context)
    if (client := context.get(RestClient)) is not None:
        client.close()


def test_a_child_opens_its_own_connections(call: Callable[[str], Any]) -> None:
    ours = call("/a")["port"]
    child = run_in_child(lambda: [call(f"/{n}") for n in range(20)])
    assert [each["path"] for each in child] == [f"/{n}" for n in range(20)]
    assert {each["port"] for each in child} != {ours}
    assert len({each["port"] for each in child}) == 1
    assert call("/b") == {"path": "/b", "Path": "/b", "port": ours}


def test_a_child_closes_inherited_sockets_and_the_parent_continues(call: Callable[[str], Any]) -> None:
    ours = call("/a")["port"]

    def inherited() -> list[str]:
        found = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if _exists(fd)]
        return [target for target in found if target in sockets]

    sockets = {os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if _is_connected_to_us(fd)}
    assert inherited()
    assert run_in_child(inherited) == []
    assert call("/b")["port"] == ours


def _exists(fd: str) -> bool:
    return os.path.lexists(f"/proc/self/fd/{fd}")


def _is_connected_to_us(fd: str) -> bool:
    return _exists(fd) and os.readlink(f"/proc/self/fd/{fd}").startswith("socket:")


def test_a_second_thread_forks_while_another_is_in_a_call(call: Callable[[str], Any]) -> None:
    with ThreadPoolExecutor(3) as threads:
        blocked = [threads.submit(call, "/blocked") for _ in range(2)]  # the limit of concurrent calls
        client = None
        while client is None or client._all.requests < 2:
            client = _client_of(call)
        child = threads.submit(run_in_child, lambda: [call(f"/{n}") for n in range(3)]).result(SECONDS)
        assert [each["path"] for each in child] == ["/0", "/1", "/2"]
        run_in_child(lambda: call("/release"))
        assert [each.result(SECONDS)["path"] for each in blocked] == ["/blocked", "/blocked"]


def _client_of(call: Callable[[str], Any]) -> RestClient | None:
    (context,) = (cell.cell_contents for cell in call.__closure__ or () if isinstance(cell.cell_contents, Context))
    return context.get(RestClient)


def test_a_child_does_not_wait_for_locks_that_other_threads_hold_at_the_fork(call: Callable[[str], Any]) -> None:
    call("/a")
    client = _client_of(call)
    assert client is not None
    (http,) = client._clients.values()
    locks = (client._lock, client.breakers._lock, client._total._lock, http._pool._lock, client._resolver._lock)
    with ExitStack() as stack:
        for lock in locks:
            stack.enter_context(lock)
        assert run_in_child(lambda: call("/b")["path"]) == "/b"


def test_an_open_circuit_of_the_parent_is_closed_in_the_child(call: Callable[[str], Any]) -> None:
    call("/a")
    client = _client_of(call)
    assert client is not None
    url = "http://127.0.0.1:1/"
    context = Context({RestClient: client})
    for _ in range(5):
        stellar.evaluate(f"REST_GET('{url}')", {}, context)
    assert list(client.breakers.states().values()) == ["open"]
    assert run_in_child(lambda: client.breakers.states()) == {}


def test_a_pool_of_processes_gets_the_right_responses(call: Callable[[str], Any]) -> None:
    before = [call(f"/before/{n}")["path"] for n in range(20)]
    _IN_POOL["call"] = call
    with multiprocessing.get_context("fork").Pool(4) as pool:
        found = pool.map_async(_call_in_pool, range(1000), chunksize=5)
        meanwhile = [call(f"/meanwhile/{n}")["path"] for n in range(200)]
        children = found.get(SECONDS)
    assert before == [f"/before/{n}" for n in range(20)]
    assert meanwhile == [f"/meanwhile/{n}" for n in range(200)]
    assert children == [f"/{n}" for n in range(1000)]


_IN_POOL: dict[str, Callable[[str], Any]] = {}


def _call_in_pool(n: int) -> Any:
    return _IN_POOL["call"](f"/{n}")["path"]


# -- Other resources--------------------------------------------------------------------------------------------------


def hold(begin: Callable[[threading.Event, threading.Event], object]) -> tuple[threading.Thread, threading.Event]:
    """Start a thread that acquires a resource, sets the first event, and waits for the second; wait for the first."""
    holds, release = threading.Event(), threading.Event()
    thread = threading.Thread(target=begin, args=(holds, release))
    thread.start()
    assert holds.wait(SECONDS)
    return thread, release


def test_a_service_that_another_thread_is_creating_is_created_in_the_child() -> None:
    context = Context()
    sharing = context.with_services({int: 1})

    def begin(holds: threading.Event, release: threading.Event) -> None:
        context.get_or_make(str, lambda _: (holds.set(), release.wait(SECONDS), "parent")[-1])

    thread, release = hold(begin)
    assert run_in_child(lambda: [context.get_or_make(str, lambda _: "child"), sharing[str]]) == ["child", "child"]
    release.set()
    thread.join(SECONDS)
    assert sharing[str] == "parent"


def test_a_property_that_another_thread_is_computing_is_computed_in_the_child() -> None:
    holds, release = threading.Event(), threading.Event()
    parent = os.getpid()

    class Slow:
        @cached_property
        def value(self) -> str:
            if os.getpid() == parent:
                holds.set()
                release.wait(SECONDS)
            return "computed"

    slow = Slow()
    thread = threading.Thread(target=lambda: slow.value)
    thread.start()
    assert holds.wait(SECONDS)
    assert run_in_child(lambda: slow.value) == "computed"
    release.set()
    thread.join(SECONDS)
    assert vars(slow) == {"value": "computed"}


def test_no_class_uses_the_cached_property_of_functools() -> None:
    imports = re.compile(r"^from functools import .*\bcached_property\b|functools\.cached_property\(", re.MULTILINE)
    files = list(Path(stellar.__file__).parent.rglob("*.py"))
    assert len(files) > 100
    assert [str(file) for file in files if imports.search(file.read_text(encoding="utf-8"))] == []


def test_an_object_that_another_thread_is_reading_is_read_in_the_child(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "slow")
    (tmp_path / "fast").write_text("[1]")
    cache = ObjectCache()
    reader = threading.Thread(target=cache.get, args=(str(tmp_path / "slow"),))
    reader.start()
    with open(tmp_path / "slow", "w") as writer:  # returns once the reader has opened it, holding the cache's lock
        assert cache._reading.locked()
        assert run_in_child(lambda: cache.get(str(tmp_path / "fast"))) == [1]
        writer.write("2")
    reader.join(SECONDS)
    assert cache.get(str(tmp_path / "slow")) == 2


def test_a_child_does_not_roll_back_an_enrichment_that_another_thread_is_storing(tmp_path: Path) -> None:
    store = SqliteEnrichments(str(tmp_path / "x.db"))
    store.put("t", "f", "k", "a", {"n": 1})

    def begin(holds: threading.Event, release: threading.Event) -> None:
        with store._writers.lend() as connection, connection:
            connection.execute("INSERT INTO entries SELECT id, 'b', '{}', NULL, NULL FROM spaces")
            holds.set()
            release.wait(SECONDS)

    thread, release = hold(begin)
    journal = tmp_path / "x.db-journal"
    assert journal.exists()
    assert run_in_child(lambda: [store.get("t", "f", "k", "a"), store.get("t", "f", "k", "b")]) == [{"n": 1}, None]
    assert journal.exists()
    release.set()
    thread.join(SECONDS)
    assert run_in_child(lambda: [store.get("t", "f", "k", "b"), store.put("t", "f", "k", "c", {})]) == [{}, None]
    assert store.get("t", "f", "k", "c") == {}
    store.close()


def test_a_client_of_hdfs_opens_its_own_connections_in_the_child(url: str) -> None:
    with WebHdfs([url], user="me") as hdfs:
        ours = _port(hdfs)
        assert run_in_child(lambda: [_port(hdfs) == ours, hdfs.home()]) == [False, "/webhdfs/v1/"]
        assert _port(hdfs) == ours


def _port(hdfs: WebHdfs) -> int:
    return int(hdfs._request_json("GET", "/", "GETHOMEDIRECTORY")["port"])


def test_only_the_parent_can_continue_to_read_a_file_of_hdfs() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "name":
            return httpx.Response(200, json={"Location": "http://data:9864/webhdfs/v1/x?op=OPEN"})
        return httpx.Response(200, content=bytes(3 * CHUNK))

    with WebHdfs(["http://name:9870"], user="me", transport=httpx.MockTransport(answer)) as hdfs:
        chunks = hdfs.chunks("/x")
        first = next(chunks)

        def go_on() -> str:
            with pytest.raises(RuntimeError) as refused:
                next(chunks)
            return str(refused.value)

        assert run_in_child(go_on) == "reading /x began before a fork and can be continued only by the parent process"
        assert len(first) + sum(map(len, chunks)) == 3 * CHUNK


@pytest.mark.parametrize("blocks", [True, False])
@pytest.mark.parametrize("read_before", [0, 1, 5])
def test_only_the_parent_can_continue_a_stream(blocks: bool, read_before: int) -> None:
    source = iter(range(20))
    stream = in_order(lambda n: n, source, 4, blocks=blocks)
    before = [next(stream) for _ in range(read_before)]

    def go_on() -> str:
        with pytest.raises(RuntimeError) as refused:
            list(stream)
        return str(refused.value)

    if read_before:
        assert "was started before a fork" in run_in_child(go_on)
        run_in_child(stream.close)
    else:  # not started
        assert run_in_child(lambda: list(stream)) == list(range(20))
    assert [*before, *stream] == list(range(20))


# A program that forks with pending documents; the child exits normally, with all clean-up
PROGRAM = """
import os, sys
from stellar.pipeline.connectors.sinks import Sinks

with Sinks() as sinks:
    targets = [sinks.open(name, "records") for name in ("x.jsonl", "x.db", "-")]

    def write(numbers):
        for number in numbers:
            for sink in targets:
                sink({"n": number})

    write(range(10))
    journal = os.path.exists("x.db-journal")
    pid = os.fork()
    if pid == 0:
        refused = 0
        for sink in targets:
            try:
                sink({"n": "child"})
            except RuntimeError as error:
                assert "was opened before a fork" in str(error), error
                refused += 1
        sys.exit(refused)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
    assert journal and os.path.exists("x.db-journal")
    write(range(10, 20))
"""


def test_a_child_does_not_write_the_pending_records_of_the_sinks_of_its_parent(tmp_path: Path) -> None:
    path = {**os.environ, "PYTHONPATH": str(Path(stellar.__file__).parents[1])}
    ended = subprocess.run([sys.executable, "-c", PROGRAM], cwd=tmp_path, env=path, capture_output=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, b"")
    connection = sqlite3.connect(tmp_path / "x.db")
    rows = [json.loads(row[0]) for row in connection.execute("SELECT document FROM records")]
    connection.close()
    expected = [{"n": n} for n in range(20)]
    assert [json.loads(line) for line in (tmp_path / "x.jsonl").read_bytes().splitlines()] == expected
    assert [json.loads(line) for line in ended.stdout.splitlines()] == expected
    assert rows == expected
