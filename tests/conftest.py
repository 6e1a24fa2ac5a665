"""Fixtures: servers by name. Without Java and Maven their tests are skipped, but fail if CI is set."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from kazoo.client import KazooClient

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from engines.elasticsearch.server import Elasticsearch
    from engines.hadoop.hdfs import Hdfs
    from engines.hadoop.yarn import Yarn
    from engines.kafka.server import Kafka
    from engines.opensearch.server import OpenSearch
    from engines.zookeeper.server import ZooKeeper

sys.path.append(str(Path(__file__).parents[1]))  # at the end: an installed package takes precedence
sys.path.append(str(Path(__file__).parent))  # for the modules beside this one

from model_servers import serve_model
from scheduling import EngineScheduling, mark_and_sort

import stellar
from engines.daemon import missing
from stellar.functions.shell import Editor, ShellVariables
from stellar.language.context import Context
from stellar.stores.configurations import ConfigurationStore, DirectoryConfigurations
from stellar.util.program_cache import OFF, VARIABLE

# No example has a deadline: on a busy machine any may be late. What lands is judged by the same examples each time;
# new ones are looked for by hand and on developers' machines.
hypothesis.settings.register_profile("developer", deadline=None)
hypothesis.settings.register_profile("ci", derandomize=True, deadline=None)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "developer")

HANG_SECONDS = 120.0


def pytest_configure() -> None:
    # A shell lets what it runs in the background ignore SIGINT, and tests send themselves that signal
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Tests leave nothing in the cache of the user, and what it contains makes no difference
    os.environ[VARIABLE] = OFF


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> EngineScheduling:
    return EngineScheduling(config, log)


@pytest.hookimpl(tryfirst=True)  # before -m selects tests
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mark_and_sort(items)
    why = missing()
    if why is None or os.environ.get("CI"):
        return
    for item in items:
        if item.get_closest_marker("engine"):
            item.add_marker(pytest.mark.skip(reason=why))


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.fixture(scope="session")
def need() -> Callable[..., None]:
    """Skips a test if a program is not installed, as in `need("curl")`; where CI is set it fails."""

    def need(*programs: str) -> None:
        if why := missing(*programs):
            (pytest.fail if os.environ.get("CI") else pytest.skip)(why)

    return need


@pytest.fixture
def check_metrics(need: Callable[..., None]) -> Callable[[bytes], None]:
    """A function that lets Prometheus's own tool check the format and the names of metrics."""
    need("promtool")

    def check(exposed: bytes) -> None:
        done = subprocess.run(["promtool", "check", "metrics"], input=exposed, capture_output=True, check=False)
        assert (done.returncode, done.stdout.decode(), done.stderr.decode()) == (0, "", "")

    return check


@pytest.fixture
def bounded() -> Callable[[], AbstractContextManager[None]]:
    """Fails a test if what runs in `with bounded():` takes as long as if it hung, on a machine however busy.

    What a test claims to end must go on for longer than that where the claim does not hold.
    """

    @contextmanager
    def bounded() -> Iterator[None]:
        begin = time.monotonic()
        yield
        assert time.monotonic() - begin < HANG_SECONDS, "it ended too late"

    return bounded


@pytest.fixture
def use_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """A function that begins to use the cache as a new process would."""
    monkeypatch.delenv(VARIABLE, raising=False)
    yield lambda: stellar.cache(tmp_path / "cache", "tests")
    stellar.cache(None)


@pytest.fixture
def in_a_shell(tmp_path: Path) -> Context:
    """The services of a shell after `a := 1 + 1`, with an editor that changes nothing, and no configurations yet."""

    class Unchanging(Editor):
        def edit(self, text: str, command: str) -> str:
            return text

    return Context(
        {
            ShellVariables: ShellVariables({"a": 2}, {"a": "1 + 1"}),
            Editor: Unchanging(),
            ConfigurationStore: DirectoryConfigurations(tmp_path / "config"),
        }
    )


@pytest.fixture(scope="session")
def engines() -> None:
    """The requirements of all servers. They are stopped when the tests get SIGTERM."""
    if why := missing():
        pytest.fail(why)
    signal.signal(signal.SIGTERM, _interrupted)


@pytest.fixture(scope="session")
def zookeeper(engines: None) -> Iterator[ZooKeeper]:
    """One server for all tests; `quorum` returns a new root node for each."""
    from engines.zookeeper.server import ZooKeeper

    with ZooKeeper() as zookeeper:
        yield zookeeper


@pytest.fixture(scope="session")
def hdfs(engines: None) -> Iterator[Hdfs]:
    """HDFS for all tests that use it."""
    from engines.hadoop.hdfs import Hdfs

    with Hdfs() as hdfs:
        yield hdfs


@pytest.fixture(scope="session")
def yarn(zookeeper: ZooKeeper) -> Iterator[Yarn]:
    """YARN with two nodes for all tests that use it; its default filesystem is that of this machine."""
    from engines.hadoop.yarn import Yarn

    with Yarn(zookeeper.hosts, nodes=2) as yarn:
        yield yarn


@pytest.fixture(scope="session")
def kafka(engines: None) -> Iterator[Kafka]:
    """A broker for all tests that use it; tests name their topics and groups differently."""
    from engines.kafka.server import Kafka

    with Kafka() as kafka:
        yield kafka


@pytest.fixture(scope="session")
def opensearch(engines: None) -> Iterator[OpenSearch]:
    """OpenSearch for all tests that use it; tests name their indices differently."""
    from engines.opensearch.server import OpenSearch

    with OpenSearch() as opensearch:
        yield opensearch


@pytest.fixture(scope="session")
def elasticsearch(engines: None) -> Iterator[Elasticsearch]:
    """Elasticsearch 5.6 for all tests that use it; tests name their indices differently."""
    from engines.elasticsearch.server import Elasticsearch

    with Elasticsearch() as elasticsearch:
        yield elasticsearch


@pytest.fixture(scope="session")
def spark(engines: None) -> Iterator[SparkSession]:
    """A session for all tests that use Spark."""
    try:
        import pyspark  # noqa: F401
    except ImportError:
        reason = "pyspark is not installed; run scripts/engines, or pip install --editable '.[spark]'"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    from engines.spark.session import LocalSpark

    with LocalSpark() as session:
        yield session


@pytest.fixture
def make_quorum() -> Callable[[ZooKeeper], str]:
    """Return a function that creates an empty root node, and returns the connection string with it."""

    def make(zookeeper: ZooKeeper) -> str:
        root = f"/test-{uuid.uuid4().hex[:8]}"
        client = KazooClient(zookeeper.hosts)
        client.start()
        client.create(root)
        client.stop()
        client.close()
        return zookeeper.hosts + root

    return make


@pytest.fixture
def quorum(zookeeper: ZooKeeper, make_quorum: Callable[[ZooKeeper], str]) -> str:
    return make_quorum(zookeeper)


@pytest.fixture
def models(tmp_path: Path) -> Iterator[Path]:
    """The directory of a registry with a model `dga`."""
    from stellar.maas import FileRegistry, Model, ServiceInstance  # few tests need models
    from stellar.maas.schema import Endpoint

    (tmp_path / "models").mkdir()
    with serve_model() as url, FileRegistry(tmp_path / "models") as registry:
        registry.register(ServiceInstance.of(Model("dga", "1.0"), "one", Endpoint(url=url)))
        yield tmp_path / "models"
