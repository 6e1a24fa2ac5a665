"""maas traffic and maas deploy --replace, as users run them."""

from __future__ import annotations

import json
import threading
from collections import Counter
from contextlib import contextmanager

import pytest

from maas_runtime.cli.main import main
from stellar import compile
from stellar.language.context import Context
from stellar.maas import ClientSettings, FileRegistry, Model, ModelClient, Registry, TrafficPlan

SERVE = ("serve", "--drain-seconds", "0.3", "--end-seconds", "2", "--start-seconds", "10")
ADD = ("deploy", "-mo", "ADD", "-n", "dga", "-m", "512")
REMOVE = ("deploy", "-mo", "REMOVE", "-n", "dga")


class Load:
    """Calls from several threads in a loop, until it is closed.

    versions: number of calls by version; nulls: number of null results; errors: exceptions that were raised
    """

    CALL = compile(
        "MAP_GET('value', MAAS_MODEL_APPLY(MAAS_GET_ENDPOINT('dga', version, key), 'environment', "
        "{'name': 'MAAS_MODEL_VERSION'}))"
    )

    def __init__(self, registry_dir, version=None, callers=4):
        self.registry = FileRegistry(registry_dir)
        self.client = ModelClient(self.registry, ClientSettings(cache_size=0))
        self.context = Context({Registry: self.registry, ModelClient: self.client})
        self.versions, self.nulls, self.errors = Counter(), 0, []
        self._version, self._closing, self._lock = version, threading.Event(), threading.Lock()
        self._callers = [threading.Thread(target=self._call) for _ in range(callers)]

    def _call(self):
        while not self._closing.is_set():
            try:
                answer = self.call()
            except Exception as error:  # noqa: BLE001 - asserted by the test
                self.errors.append(error)
                return
            with self._lock:
                self.nulls += answer is None
                self.versions[answer] += 1

    def call(self, key=None):
        return self.CALL({"version": self._version, "key": key}, self.context)

    def close(self):
        self._closing.set()
        for caller in self._callers:
            caller.join(20)
        self.client.close()
        self.registry.close()


@contextmanager
def load(registry_dir, eventually, **options):
    load = Load(registry_dir, **options)
    for caller in load._callers:
        caller.start()
    try:
        eventually(lambda: sum(load.versions.values()) > 50)
        yield load
        before = sum(load.versions.values())
        eventually(lambda: sum(load.versions.values()) > before + 50)  # still active
    finally:
        load.close()
    assert (load.errors, load.nulls, load.client.counters().failures) == ([], 0, {})


def pids(registry, model):
    return {instance.id for instance in registry.instances(*model)}


def run(maas, *words):
    done = maas(*words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_version_replaces_another_under_load(maas, collateral, registry_dir, registry, eventually):
    maas(*SERVE)
    run(maas, *ADD, "-v", "1.0", "-ni", 3, "-lmp", collateral(), "-hmp", "/user/me/dga/1.0", "--wait")
    with load(registry_dir, eventually) as under:
        output = run(
            maas, *ADD, "-v", "2.0", "-ni", 3, "-lmp", collateral(), "-hmp", "/user/me/dga/2.0", "--replace", "--wait"
        )
    assert output.splitlines()[2:] == [
        "dga @ 2.0: 3 desired, replacing the others",
        "dga @ 2.0: 3 ready, the others removed",
    ]
    assert under.versions.keys() == {"1.0", "2.0"}
    assert [instance.model.version for instance in registry.instances()] == ["2.0"] * 3
    assert run(maas, "traffic") == ""
    assert run(maas, "status").splitlines()[2:] == ["dga @ 2.0  3        3      0"]


def test_the_same_version_is_replaced_under_load_and_its_cache_is_invalidated(
    maas, collateral, registry_dir, registry, eventually
):
    maas(*SERVE)
    run(maas, *ADD, "-v", "1.0", "-ni", 2, "-lmp", collateral(), "-hmp", "/dga", "--wait")
    before = pids(registry, Model("dga", "1.0"))
    with ModelClient(registry) as cached, load(registry_dir, eventually) as under:
        endpoint = registry.endpoint("dga").as_map()
        old = {cached.apply(registry.endpoint("dga").as_map(), "environment", {"name": "X"})["pid"] for _ in range(9)}
        assert len(old) == 1  # cached
        run(maas, *ADD, "-v", "1.0", "-ni", 2, "-lmp", collateral(), "-hmp", "/dga", "--replace", "--wait")
        # as soon as this process has seen what the command waited for
        eventually(lambda: cached.apply(endpoint, "environment", {"name": "X"})["pid"] not in old)
    assert under.versions.keys() == {"1.0"}
    assert not before & pids(registry, Model("dga", "1.0"))
    assert len(registry.instances()) == 2


def test_a_version_is_added_and_the_old_one_removed_under_load(maas, collateral, registry_dir, registry, eventually):
    maas("serve", "--drain-seconds", "0", "--end-seconds", "2")
    run(maas, *ADD, "-v", "1.0", "-ni", 2, "-lmp", collateral(), "-hmp", "/user/me/dga/1.0", "--wait")
    with load(registry_dir, eventually) as under:
        run(maas, *ADD, "-v", "2.0", "-ni", 1, "-lmp", collateral(), "-hmp", "/user/me/dga/2.0", "--wait")
        run(maas, *REMOVE, "-v", "1.0", "-ni", 2, "--wait")
    assert under.versions.keys() == {"1.0", "2.0"}


def test_a_version_that_is_never_ready_is_rolled_back(maas, collateral, registry_dir, registry, eventually):
    maas(*SERVE)
    run(maas, *ADD, "-v", "1.0", "-ni", 2, "-lmp", collateral(), "-hmp", "/user/me/dga/1.0", "--wait")
    before = pids(registry, Model("dga", "1.0"))
    broken = collateral("#!/bin/bash\necho no such port >&2\nexit 3\n", folder="broken")
    with load(registry_dir, eventually) as under:
        new = (*ADD, "-v", "2.0", "-ni", 3, "-lmp", broken, "-hmp", "/user/me/dga/2.0", "--replace")
        done = maas(*new, "--wait")
        assert done.returncode == 1
        assert "dga @ 2.0: 3 instances of 2.0 failed; last failure: rest.sh ended with status 3" in done.stderr
        assert "rolled back to the previous instances" in done.stderr
        hanging = collateral("#!/bin/bash\nexec sleep 60\n", folder="hanging")
        done = maas(*ADD, "-v", "2.1", "-ni", 3, "-lmp", hanging, "-hmp", "/user/me/dga/2.1", "--replace", 1, "--wait")
        assert done.returncode == 1
        assert "no further instance of 2.1 was ready within 1 seconds" in done.stderr
    assert under.versions.keys() == {"1.0"}
    assert pids(registry, Model("dga", "1.0")) == before
    assert run(maas, "traffic") == ""
    assert "dga: 2.1 replaces 1.0: failed, 0 of 3 ready; no further instance" in run(maas, "status")


def test_a_new_service_continues_the_rollout_of_a_killed_one(maas, collateral, registry_dir, registry, eventually):
    service = maas(*SERVE)
    run(maas, *ADD, "-v", "1.0", "-ni", 3, "-lmp", collateral(), "-hmp", "/user/me/dga/1.0", "--wait")
    with load(registry_dir, eventually) as under:
        run(maas, *ADD, "-v", "2.0", "-ni", 3, "-lmp", collateral(), "-hmp", "/user/me/dga/2.0", "--replace")
        eventually(lambda: registry.instances("dga", "2.0"))
        service.kill()
        service.wait()
        assert registry.instances("dga", "1.0")
        assert "rolling" in run(maas, "status")
        refused = maas("traffic", "-n", "dga", "--weight", "1.0=1")
        assert "a rollout of dga controls its traffic" in refused.stderr
        maas(*SERVE)
        eventually(lambda: [i.model.version for i in registry.instances()] == ["2.0"] * 3)
        eventually(lambda: "rolling" not in run(maas, "status"))
    assert under.versions.keys() == {"1.0", "2.0"}
    assert run(maas, "traffic") == ""


def test_a_replacement_is_queued_without_a_service_and_rejected_if_invalid(maas, collateral, registry, eventually):
    new = (*ADD, "-v", "2.0", "-ni", 1, "-lmp", collateral(), "-hmp", "/dga")
    done = maas(*new, "--replace")
    assert (done.returncode, "the request is queued, but no service is running" in done.stderr) == (0, True)
    maas(*SERVE)
    eventually(lambda: len(registry.instances("dga", "2.0")) == 1)
    done = maas(*ADD, "-v", "2.0", "-ni", 1000, "-hmp", "/dga", "--replace")
    assert (done.returncode, done.stderr) == (1, "maas: invalid number of instances 1000: expected 1 to 100\n")
    done = maas(*REMOVE, "-v", "2.0", "-ni", 1, "--replace")
    assert (done.returncode, done.stderr) == (2, "maas: --replace requires ADD, got REMOVE\n")


def test_calls_are_split_by_weight_and_by_key(maas, collateral, registry_dir, eventually):
    maas(*SERVE)
    for version in ("1.0", "2.0"):
        run(maas, *ADD, "-v", version, "-ni", 1, "-lmp", collateral(), "-hmp", f"/user/me/dga/{version}", "--wait")
    shown = run(maas, "traffic", "-n", "dga", "--weight", "1.0=80", "--weight", "2.0=20")
    assert shown == "dga: calls go to 1.0 80 %, 2.0 20 %\n"
    caller = Load(registry_dir, callers=0)
    try:
        counts = Counter(caller.call() for _ in range(1000))
        assert sum((counts[v] - wanted) ** 2 / wanted for v, wanted in (("1.0", 800), ("2.0", 200))) < 33
        plan = TrafficPlan({"1.0": 80, "2.0": 20})
        for key in map(str, range(100)):
            assert caller.call(key) == plan.choose({"1.0": 1, "2.0": 1}, "dga", key)
    finally:
        caller.close()


# --- the command alone


@pytest.fixture
def two_versions(registry, make_registered):
    make_registered("1.0", "2.0", "2.0", "2.0")


@pytest.fixture
def make_registered(registry):
    from stellar.maas.schema import Endpoint, ServiceInstance

    def make(*versions):
        for number, version in enumerate(versions):
            url = f"http://h:{number + 1}"
            registry.register(ServiceInstance.of(Model("dga", version), str(number), Endpoint(url=url)))

    return make


SHOWN = [
    (["--weight", "1.0=90", "--weight", "2.0=10"], "dga: calls go to 1.0 90 %, 2.0 10 %"),
    (["--weight", "2.0=1"], "dga: calls go to 2.0 100 %"),
    (
        ["--weight", "1.0=1", "--weight", "2.0=1", "--per-instance"],
        "dga: calls go to 1.0 25 %, 2.0 75 % (by instance)",
    ),
    (["--shadow", "2.0=0.5"], "dga: calls go to the newest version; 50 % also to 2.0, its shadow"),
    (["--shadow", "2.0"], "dga: calls go to the newest version; 100 % also to 2.0, its shadow"),
    (["--clear"], "dga: calls go to the newest version"),
]


@pytest.mark.parametrize(("words", "shown"), SHOWN)
def test_a_plan_is_set_and_shown(words, shown, two_versions, maas, registry):
    assert run(maas, "traffic", "-n", "dga", *words) == f"{shown}\n"
    assert run(maas, "traffic", "-n", "dga") == f"{shown}\n"
    assert run(maas, "traffic") == ("" if words == ["--clear"] else f"{shown}\n")
    assert (shown in run(maas, "status")) == (words != ["--clear"])


def test_options_not_given_leave_the_plan_unchanged_until_it_is_cleared(two_versions, maas, registry_dir):
    run(maas, "traffic", "-n", "dga", "--weight", "1.0=1")
    run(maas, "traffic", "-n", "dga", "--shadow", "2.0")
    shown = run(maas, "traffic", "-n", "dga", "--weight", "1.0=3", "--weight", "2.0=1")
    assert shown == "dga: calls go to 1.0 75 %, 2.0 25 %; 100 % also to 2.0, its shadow\n"
    assert run(maas, "traffic", "-n", "dga", "--clear", "--weight", "1.0=1") == "dga: calls go to 1.0 100 %\n"
    run(maas, "traffic", "-n", "dga", "--clear")
    assert not [*(registry_dir / "maas/ext/traffic").iterdir()]


def test_a_version_without_instances_is_a_warning_if_it_is_set_ahead(two_versions, maas):
    done = maas("traffic", "-n", "dga", "--weight", "1.0=1", "--weight", "3.0=1", "--shadow", "4.0", "--ahead")
    assert done.returncode == 0
    assert done.stderr.splitlines() == [
        f"maas: dga has no instances of version {version} (found 1.0, 2.0), so it receives no calls yet"
        for version in ("3.0", "4.0")
    ]
    assert done.stdout == "dga: calls go to 1.0 100 %, 3.0 0 %; 100 % also to 4.0, its shadow\n"


MISSPELT = [
    (["-n", "dga", "--weight", "1.O=90", "--weight", "2.0=10"], "unknown version 1.O of dga: did you mean 1.0?"),
    (["-n", "dga", "--shadow", "2.O"], "unknown version 2.O of dga: did you mean 2.0?"),
    (["-n", "dga", "--weight", "x=1"], "unknown version x of dga: known are 1.0, 2.0"),
    (["-n", "dgaa", "--weight", "1.0=1"], "unknown model dgaa: did you mean dga?"),
]


@pytest.mark.parametrize(("words", "reason"), MISSPELT)
def test_an_unknown_model_or_version_is_rejected_unless_set_ahead(words, reason, two_versions, maas, registry_dir):
    done = maas("traffic", *words)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"maas: {reason}; add --ahead to set the plan before it is deployed\n"
    assert not (registry_dir / "maas/ext/traffic").exists()
    assert run(maas, "traffic", *words, "--ahead")
    assert (registry_dir / "maas/ext/traffic").exists()


def test_an_unknown_model_has_no_plan_to_show_or_clear(two_versions, maas):
    for words in ([], ["--clear"]):
        done = maas("traffic", "-n", "dgaa", *words)
        assert (done.returncode, done.stdout, done.stderr) == (1, "", "maas: unknown model dgaa: did you mean dga?\n")


def test_a_desired_version_without_instances_is_known(two_versions, maas, state_store):
    state_store.write("wanted/dga/3.0", {"instances": 1, "path": "/x", "memory": 0})
    assert run(maas, "traffic", "-n", "dga", "--weight", "3.0=1") == "dga: calls go to 3.0 0 %, the newest version\n"


def test_a_plan_in_json_has_its_fields_and_the_shares(two_versions, maas):
    done = run(maas, "traffic", "-n", "dga", "--weight", "1.0=1", "--weight", "2.0=3", "--output", "json")
    assert json.loads(done) == {
        "name": "dga", "weights": {"1.0": 1, "2.0": 3}, "shares": {"1.0": 0.25, "2.0": 0.75}
    }  # fmt: skip


WRONG = [
    (["--ahead"], "--ahead has no effect without -n"),
    (["-n", "dga", "--clear", "--ahead"], "--ahead has no effect without --weight and --shadow"),
    (["--weight", "1.0=1"], "missing model name: add -n (--name)"),
    (["-n", "../x", "--weight", "1.0=1"], "the model's name '../x' is invalid"),
    (["-n", "dga", "--weight", "1.0"], "invalid weight '1.0': expected VERSION=NUMBER, such as 2.0=10"),
    (["-n", "dga", "--weight", "1.0=x"], "invalid weight '1.0=x': expected VERSION=NUMBER"),
    (
        ["-n", "dga", "--weight", "1.0=-1"],
        "invalid weight of version '1.0': expected a number from 0 to 1000000000, got -1",
    ),
    (["-n", "dga", "--weight", "1.0=nan"], "expected VERSION=NUMBER"),
    (["-n", "dga", "--weight", "1.0=1e999"], "expected a number from 0 to 1000000000, got inf"),
    (["-n", "dga", "--weight", "1.0=0"], "invalid weights: at least one must be more than 0"),
    (["-n", "dga", "--weight", "1.0=1", "--weight", "1.0=2"], "--weight: duplicate version"),
    (["-n", "dga", "--per-instance"], "--per-instance requires --weight"),
    (
        ["-n", "dga", "--shadow", "2.0=2"],
        "invalid share of the shadow: expected a number above 0 and at most 1, got 2.0",
    ),
    (["-n", "dga", "--shadow", "2.0=x"], "invalid shadow '2.0=x': expected VERSION or VERSION=SHARE"),
    (["-n", "dga", "--shadow", ""], "the version is empty"),
]


@pytest.mark.parametrize(("words", "reason"), WRONG)
def test_an_invalid_plan_is_rejected(words, reason, registry_dir, capsys):
    registry_dir.mkdir()
    try:
        status = main(["traffic", "--registry", str(registry_dir), *words])
    except SystemExit as ended:
        status = ended.code
    assert status == 2
    assert reason in capsys.readouterr().err
    assert not (registry_dir / "maas/ext/traffic").exists()


def test_a_damaged_plan_is_reported_and_can_be_cleared(two_versions, maas, registry_dir):
    run(maas, "traffic", "-n", "dga", "--weight", "1.0=1")
    (registry_dir / "maas/ext/traffic/dga").write_text('{"weights": 7}')
    assert "invalid traffic plan of dga; replace it with --clear" in run(maas, "status")
    done = maas("traffic", "-n", "dga", "--weight", "1.0=1")
    assert (done.returncode, "replace it with --clear" in done.stderr) == (1, True)
    assert run(maas, "traffic", "-n", "dga", "--clear") == "dga: calls go to the newest version\n"
