"""Which calls are evaluated in this process, and what holds for them as for requests."""

from __future__ import annotations

import hashlib
import json
import random
import threading

import pytest

from stellar import compile
from stellar.language.context import Context
from stellar.local_models import open_local_models
from stellar.local_models.files import ModelFiles
from stellar.local_models.loading import RETRY_SECONDS, BackgroundModels
from stellar.maas import ClientSettings, MemoryRegistry, Model, ModelClient, Registry, ServiceInstance, TrafficPlan
from stellar.maas.client.local import PublishedModel
from stellar.maas.metrics import collect_client
from stellar.maas.routing import Shadow, Trial
from stellar.maas.schema import Endpoint
from stellar.maas.transport.base import Response
from tests.maas_runtime.serving.models import FFSN

SCORE = compile("MAAS_MODEL_APPLY(MAAS_GET_ENDPOINT('ffsn'), {'n_systems': n, 'tld': 'ru'})")
NAMED = compile("MAAS_MODEL_APPLY(MAAS_GET_ENDPOINT('ffsn', '1.0'), 'apply', {'n_systems': n, 'tld': 'ru'})")
HAND_MADE = compile("MAAS_MODEL_APPLY({'name': 'ffsn', 'version': '1.0', 'url': url}, {'n_systems': n})")
OTHER = compile("MAAS_MODEL_APPLY(MAAS_GET_ENDPOINT('ffsn'), 'schema', {'n_systems': n})")
FLUX = {"ffsn": "1", "probability(0)": 0.0, "probability(1)": 1.0}
BY_HTTP = {"by": "http"}
SHA256 = hashlib.sha256(FFSN.encode()).hexdigest()
PATH = f"/.content/{'0' * 64}/model.pmml"
SETTING = {"kind": "pmml", "sha256": SHA256, "path": PATH}
URL = "http://127.0.0.1:9"


class Instances:
    """A transport whose instances respond with a result that shows that they were called."""

    cooperative = True

    def __init__(self):
        self.urls = []

    def get(self, url, seconds=None):
        self.urls.append(url)
        return Response(200, json.dumps(BY_HTTP).encode())

    def close(self):
        pass


class World:
    """A registry with one instance, a model store, and a client."""

    def __init__(self, folder, **settings):
        self.folder, self.registry, self.transport = folder, MemoryRegistry(), Instances()
        (folder / f"store{PATH}").parent.mkdir(parents=True)
        (folder / f"store{PATH}").write_text(FFSN)
        self.now = 100.0
        files = ModelFiles(str(folder / "store"), str(folder / "cache"))
        self.models = BackgroundModels(files, lambda: self.now)
        given = ClientSettings(**{"local": ("pmml",), "cache_size": 0, "wait_ms": 0, **settings})
        self.client = ModelClient(self.registry, given, self.transport, local=self.models)
        self.context = Context({Registry: self.registry, ModelClient: self.client})

    def register(self, version="1.0", url=URL, **setting):
        instance = ServiceInstance.of(Model("ffsn", version), f"id{url[-1]}{version}", Endpoint(url=url))
        self.registry.register(instance, {"model": {**SETTING, **setting}})
        return instance

    def ask(self, expression=SCORE, n=9):
        return expression({"n": n, "url": URL}, self.context)

    def load(self, **setting):
        """Wait until a model is loaded, or known to be unreadable."""
        published = PublishedModel(**{**SETTING, **setting})
        if published not in self.models._loaded:
            self.models.find(published)
        for thread in threading.enumerate():
            if thread.name == "local models":
                thread.join(30)


@pytest.fixture
def make_world(tmp_path):
    worlds = []

    def make(**settings):
        worlds.append(World(tmp_path, **settings))
        return worlds[-1]

    yield make
    for world in worlds:
        world.client.close()


@pytest.fixture
def world(make_world):
    """A world whose model is registered and loaded."""
    world = make_world()
    world.register()
    world.load()
    return world


def test_a_data_only_model_is_evaluated_here(world):
    assert [world.ask(n=n) for n in (9, 1, 9.0)] == [
        FLUX,
        {**FLUX, "ffsn": "0", "probability(0)": 0.8, "probability(1)": 0.2},
        FLUX,
    ]
    assert world.transport.urls == []
    counters = world.client.counters()
    assert (counters.calls, counters.local, counters.local_sent, counters.requests) == (3, 3, 0, 0)
    assert world.client.calls_of_instances() == {(Model("ffsn", "1.0"), URL): (3, 0)}
    samples = {(sample.metric.name, sample.labels): sample.value for sample in collect_client(world.client)}
    assert samples["stellar_model_local_calls_total", ("evaluated",)] == 3
    assert samples["stellar_model_calls_total", ("ffsn", "1.0", "ok")] == 3


def test_a_named_version_is_evaluated_here_too(world):
    assert world.ask(NAMED) == FLUX
    assert world.transport.urls == []


@pytest.mark.parametrize("expression", [HAND_MADE, OTHER], ids=["hand-made map", "another function"])
def test_other_calls_are_requests(world, expression):
    assert world.ask(expression) == BY_HTTP
    assert len(world.transport.urls) == 1


def test_only_the_kinds_of_the_setting_are_evaluated_here(make_world):
    world = make_world(local=("xgboost", "lightgbm"))
    world.register()
    assert world.ask() == BY_HTTP
    assert world.client.counters().local_sent == 0


def test_a_removed_instance_is_not_evaluated(world):
    endpoint = compile("MAAS_GET_ENDPOINT('ffsn', '1.0')")({}, world.context)
    apply = compile("MAAS_MODEL_APPLY(endpoint, {'n_systems': 9, 'tld': 'ru'})")
    assert apply({"endpoint": endpoint}, world.context) == FLUX
    world.registry.unregister("ffsn", "id91.0")
    assert apply({"endpoint": endpoint}, world.context) == BY_HTTP, "as for any endpoint that is known"
    assert world.ask() is None
    assert world.client.counters().failures == {"no such model": 1}


def test_a_new_version_gets_the_calls_at_once(world):
    newer = FFSN.replace('value="6"', 'value="20"').replace("<n>9</n>", "<n>99</n>")
    digest = hashlib.sha256(newer.encode()).hexdigest()
    path = PATH.replace("0" * 64, "1" * 64)
    (world.folder / f"store{path}").parent.mkdir()
    (world.folder / f"store{path}").write_text(newer)
    world.register("2.0", sha256=digest, path=path)
    world.load(sha256=digest, path=path)
    assert world.ask()["ffsn"] == "0"
    assert world.ask(NAMED)["ffsn"] == "1"
    world.registry.plan("ffsn", TrafficPlan({"1.0": 1}))
    assert world.ask()["ffsn"] == "1"


def test_a_refused_record_has_the_reason_of_a_response(world):
    assert world.ask(n="many") is None
    assert world.ask(n=None)["ffsn"] == "0"
    counters = world.client.counters()
    assert (counters.failures, counters.calls, counters.local) == ({"bad request": 1}, 2, 2)
    assert world.client.calls_of_instances() == {(Model("ffsn", "1.0"), URL): (2, 1)}


def test_until_the_model_is_loaded_calls_are_requests(make_world):
    world = make_world()
    world.register()
    assert world.ask() == BY_HTTP
    assert world.client.counters().local_sent == 1
    world.load()
    assert world.ask() == FLUX
    assert world.client.counters().local_sent == 1


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda file: file.write_text("<PMML/>"), "has another digest"),
        (lambda file: file.unlink(), "No such file"),
    ],
    ids=["changed", "missing"],
)
def test_an_unreadable_model_is_reported_and_its_instances_are_called(make_world, caplog, damage, reason):
    world = make_world()
    file = world.folder / f"store{PATH}"
    damage(file)
    world.register()
    world.load()
    assert world.ask() == world.ask() == BY_HTTP
    assert world.client.counters().local_sent == 2
    (record,) = [each for each in caplog.records if "cannot be evaluated in this process" in each.message]
    assert reason in record.message
    file.write_text(FFSN)
    world.now += RETRY_SECONDS
    world.load()
    assert world.ask() == FLUX


def test_a_model_of_another_kind_than_published_is_not_used(make_world, caplog):
    world = make_world(local=("xgboost",))
    world.register(kind="xgboost")
    world.load(kind="xgboost")
    assert world.ask() == BY_HTTP
    assert "expected a model of kind xgboost, got pmml" in caplog.text


@pytest.mark.parametrize(
    "setting",
    [
        {"path": "/etc/passwd"},
        {"path": f"/../.content/{'0' * 64}/model.pmml"},
        {"path": f"/.content/{'0' * 64}/../../x"},
        {"sha256": "../x"},
        {"sha256": 1},
    ],
    ids=str,
)
def test_an_invalid_setting_is_ignored_with_a_warning(make_world, caplog, setting):
    world = make_world()
    world.register(**setting)
    assert world.ask() == BY_HTTP
    assert "invalid setting model of an instance is ignored" in caplog.text


def test_hosts_that_are_not_allowed_are_not_evaluated(make_world):
    world = make_world(hosts_allowed=("node1",))
    world.register()
    world.load()
    assert world.ask() is None
    assert world.client.counters().failures == {"not allowed": 1}


def test_one_call_in_twenty_is_a_request_while_a_rollout_judges_the_version(world, monkeypatch):
    world.registry.plan("ffsn", TrafficPlan({"1.0": 1}, trial=Trial("re-1", "1.0")))
    monkeypatch.setattr(random, "random", iter([0.04, 0.06] * 20).__next__)
    results = [world.ask() for _ in range(20)]
    assert results == [BY_HTTP, FLUX] * 10
    counters = world.client.counters()
    assert (counters.local, counters.local_sent, counters.requests) == (10, 10, 10)
    assert world.client.calls_of_instances() == {(Model("ffsn", "1.0"), URL): (20, 0)}


def test_a_shadow_gets_copies_of_the_calls(world):
    world.register("2.0", "http://127.0.0.1:8")
    world.registry.plan("ffsn", TrafficPlan({"1.0": 1}, shadow=Shadow("2.0")))
    assert world.ask() == FLUX
    world.client.close()
    assert world.transport.urls == ["http://127.0.0.1:8/apply?n_systems=9&tld=ru"]
    assert world.client.counters().disagreed == 1


def test_a_model_of_a_removed_version_is_dropped(world):
    assert world.ask() == FLUX
    assert len(world.models._loaded) == 1
    world.registry.unregister("ffsn", "id91.0")
    world.register("2.0", sha256="1" * 64)
    world.ask()
    assert len(world.models._loaded) == 0


def test_without_kinds_nothing_is_loaded():
    assert open_local_models(MemoryRegistry(), ClientSettings()) is None


@pytest.mark.parametrize("value", [["onnx"], "pmml", [1]], ids=str)
def test_unknown_kinds_are_an_error(value):
    with pytest.raises(ValueError, match=r"maas\.local"):
        ClientSettings.from_global({"maas.local": value})


def test_another_kind_of_store_is_an_error():
    with pytest.raises(ValueError, match=r"invalid model store 'http://a.com': expected a directory, hdfs://"):
        open_local_models(MemoryRegistry(), ClientSettings(local=("pmml",), local_store="http://a.com"))
