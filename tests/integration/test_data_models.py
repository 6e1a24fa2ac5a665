"""Models that are data on a real ZooKeeper: deployed with Metron's command, called, and replaced under load."""

from __future__ import annotations

import itertools
import threading
from collections import Counter

import pytest

from stellar import compile, evaluate_many
from stellar.language.context import Context
from stellar.local_models import open_local_models
from stellar.maas import ClientSettings, Model, ModelClient, Registry
from tests.maas_runtime.serving.models import FFSN, LIGHTGBM_FILE, write_model

from .conftest import wait_for

pytestmark = pytest.mark.engine

SCORE = compile("MAP_GET('ffsn', MAAS_MODEL_APPLY(MAAS_GET_ENDPOINT('ffsn'), {'n_systems': n, 'tld': tld}))")
NEWER = FFSN.replace('operator="greaterThan" value="6"', 'operator="greaterThan" value="4"').replace(
    "<row><n>1</n><ffsn>0</ffsn></row>", "<row><n>5</n><ffsn>1</ffsn></row>"
)


def options(folder, version, instances=2):
    """Return the options of users, as they write them."""
    line = f"-lmp {folder} -hmp ffsn/{version} -mo ADD -m 512 -n ffsn -v {version} -ni {instances}"
    return line.split()


class Scores:
    """A stream of scores, many in flight at once: of five systems, which the versions label differently.

    kinds: of the models that are evaluated in this process
    """

    def __init__(self, registry, *kinds):
        settings = ClientSettings(cache_size=0, local=kinds)
        self.client = ModelClient(registry, settings, local=open_local_models(registry, settings))
        self.labels = Counter()
        self._context = Context({Registry: registry, ModelClient: self.client})
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        records = (
            {"n": 5, "tld": "ru"} for _ in itertools.takewhile(lambda _: not self._closing.is_set(), itertools.count())
        )
        for label in evaluate_many(SCORE, records, self._context, in_flight=16):
            self.labels[label] += 1

    def await_label(self, label, count=200):
        goal = self.labels[label] + count
        wait_for(lambda: self.labels[label] >= goal)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._closing.set()
        self._thread.join(30)
        assert not self._thread.is_alive()
        self.client.close()


@pytest.fixture
def ffsn(tmp_path):
    """A folder with a model and no script."""
    write_model(tmp_path / "ffsn")
    return tmp_path / "ffsn"


def test_a_version_replaces_another_under_load_and_no_call_fails(world, ffsn, tmp_path, monkeypatch):
    world.start()
    wait_for(lambda: "this service leads" in world.log())
    uploaded = "".join(f"uploaded {file}\n" for file in ("model.lock.json", "model.pmml", "serve.sh", "serving.pyz"))
    assert world.deploy(*options(ffsn, "1.0"), "--wait") == f"{uploaded}ffsn @ 1.0: 2 desired\nffsn @ 1.0: 2 ready\n"
    write_model(tmp_path / "newer", NEWER)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with Scores(world.registry) as requests, Scores(world.registry, "pmml") as local:
        for scores in (requests, local):
            scores.await_label("0")
            assert scores.labels.keys() == {"0"}
        world.deploy(*options(tmp_path / "newer", "2.0"), "--replace", "--wait")
        requests.await_label("1")
        local.await_label("1")
    for scores in (requests, local):
        assert scores.labels.keys() == {"0", "1"}
        assert scores.client.counters().failures == {}
    counters = local.client.counters()
    assert counters.local > counters.local_sent > 0, "a rollout judges the instances by some requests"
    assert {instance.model for instance in world.registry.instances()} == {Model("ffsn", "2.0")}


def test_each_kind_is_deployed_and_published_as_data(world, tmp_path):
    world.start()
    wait_for(lambda: "this service leads" in world.log())
    (tmp_path / "lgbm").mkdir()
    (tmp_path / "lgbm/model.txt").write_bytes(LIGHTGBM_FILE.read_bytes())
    (tmp_path / "lgbm/samples.jsonl").write_text('{"args": {"n_systems": 1.0}}\n')
    world.deploy(*options(tmp_path / "lgbm", "1.0", 1), "--wait")
    (settings,) = world.registry.version("ffsn", "1.0").settings.values()
    assert settings["model"]["kind"] == "lightgbm"
    assert settings["model"]["path"].endswith("/model.txt")
    with ModelClient(world.registry) as client:
        result = client.apply(world.registry.endpoint("ffsn").as_map(), None, {"n_systems": 1.0, "ttl_mean": 1.0})
    assert result.keys() == {"prediction", "probability(0)", "probability(1)"}


def test_a_model_that_cannot_be_served_is_refused_before_the_upload(world, ffsn):
    from maas_runtime.cli.metron import maas_deploy

    write_model(ffsn, FFSN.replace("TreeModel", "TimeSeriesModel"))
    status, output, errors = world.run(maas_deploy, *options(ffsn, "1.0"))
    assert (status, output) == (1, "")
    message = "model.pmml: line 8: <TimeSeriesModel>: this kind of model is not supported"
    assert errors.startswith(f"maas_deploy.sh: {message}")
    assert not world.registry_dir.exists()
