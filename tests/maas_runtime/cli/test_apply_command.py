"""maas apply and maas export, with a service in a directory."""

from __future__ import annotations

import json

import pytest

from maas_runtime.cli.difference import find_changes
from maas_runtime.cli.manifest import ModelEntry, VersionEntry
from maas_runtime.errors import DeployError
from stellar.maas import FileQueue, Model
from stellar.maas.routing import TrafficPlan

SERVE = ("serve", "--drain-seconds", "0", "--end-seconds", "2")


@pytest.fixture
def apply(maas, tmp_path):
    """Apply a file with this content: `apply("models: {}", "--dry-run")`."""

    def apply(content, *words):
        (tmp_path / "models.yaml").write_text(content)
        return maas("apply", "-f", tmp_path / "models.yaml", *words)

    return apply


@pytest.fixture
def versions(store, collateral):
    """Upload the files of three versions."""
    for version in ("1.0", "2.0", "3.0"):
        store.upload(collateral(), f"/dga/{version}")


def models(**numbers):
    """Return a file with one model: `models(v1=2)` has two instances of version 1.0."""
    found = {
        f"{key.removeprefix('v')}.0": {"path": f"/dga/{key.removeprefix('v')}.0", "instances": number, "memory": 0}
        for key, number in numbers.items()
    }
    return json.dumps({"models": {"dga": {"versions": found}}})  # JSON is YAML


def ready(registry):
    found = [instance.model.version for instance in registry.instances("dga")]
    return {version: found.count(version) for version in found}


def shown(done):
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_applying_again_changes_nothing_and_an_export_neither(apply, maas, versions, registry, tmp_path):
    maas(*SERVE)
    assert shown(apply(models(v1=2, v2=1), "--dry-run")) == [
        "dga @ 1.0: add 2 (0 to 2) of /dga/1.0",
        "dga @ 2.0: add 1 (0 to 1) of /dga/2.0",
    ]
    assert ready(registry) == {}
    assert shown(apply(models(v1=2, v2=1), "--wait"))[2:] == ["dga @ 1.0: 2 ready", "dga @ 2.0: 1 ready"]
    assert ready(registry) == {"1.0": 2, "2.0": 1}
    assert shown(apply(models(v1=2, v2=1), "--wait")) == ["no changes"]
    for words in ([], ["--output", "json"]):
        exported = maas("export", *words).stdout
        assert shown(apply(exported)) == ["no changes"]
    assert shown(apply(models(v1=1, v2=2), "--wait")) == [
        "dga @ 2.0: add 1 (1 to 2) of /dga/2.0",
        "dga @ 1.0: remove 1 (2 to 1)",
        "dga @ 2.0: 2 ready",
        "dga @ 1.0: 1 ready",
    ]
    assert ready(registry) == {"1.0": 1, "2.0": 2}


def test_another_version_replaces_the_current_one(apply, maas, versions, registry):
    maas(*SERVE)
    apply(models(v1=2), "--wait")
    assert shown(apply(models(v2=2), "--wait")) == [
        "dga @ 2.0: replace 2 by 2 of /dga/2.0",
        "dga @ 2.0: 2 ready, the others removed",
    ]
    assert ready(registry) == {"2.0": 2}
    assert shown(apply(models(v2=2))) == ["no changes"]


def test_models_that_the_file_lacks_are_left_unless_pruned(apply, maas, versions, registry):
    maas(*SERVE)
    apply(models(v1=1), "--wait")
    assert shown(apply("models: {}")) == [
        "no changes",
        "not in the file, left as they are: dga (--prune removes them)",
    ]
    assert ready(registry) == {"1.0": 1}
    assert shown(apply("models: {}", "--prune", "--wait")) == ["dga @ 1.0: remove 1 (1 to 0)", "dga @ 1.0: 0 ready"]
    assert shown(maas("export")) == ["models: {}"]


def test_a_traffic_plan_is_applied_and_exported(apply, maas, registry_dir, state_store):
    registry_dir.mkdir()
    plan = "models: {dga: {versions: {1.0: {instances: 0}}, traffic: {weights: {1.0: 3}}}}"
    assert shown(apply(plan)) == ["dga: traffic 1.0=3"]
    assert state_store.read("traffic/dga") == {"weights": {"1.0": 3}}
    exported = maas("export").stdout
    assert '"1.0": {path: "", instances: 0, memory: 0}' in exported
    assert shown(apply(exported)) == ["no changes"]
    assert shown(apply(plan.replace("weights: {1.0: 3}", ""))) == ["dga: traffic to the newest version"]
    assert state_store.read("traffic/dga") is None


def test_waiting_requests_are_not_made_twice(apply, maas, versions, registry_dir):
    assert shown(apply(models(v1=2))) == ["dga @ 1.0: add 2 (0 to 2) of /dga/1.0"]
    done = apply(models(v1=2))
    assert done.returncode == 1
    assert "ADD 2 of dga @ 1.0 from /dga/1.0; apply the file later; start one with: maas serve" in done.stderr
    assert len(FileQueue(registry_dir).items()) == 1


def test_a_request_that_the_service_refuses_fails(apply, maas, versions):
    maas(*SERVE)
    done = apply(models(v1=1000))
    assert done.returncode == 1
    assert "too many instances: 1000, expected at most 100" in done.stderr
    done = apply(models(v9=1), "--output", "json")
    assert done.returncode == 1
    assert "unknown path /dga/9.0" in json.loads(done.stdout)["error"]


WRONG = [
    ("models: {dga: {versions: {1.0: {instances: x}}}}", [], "models.yaml:1:44: invalid instances of dga @ 1.0"),
    ("models: &x [*x, *x]", [], "models.yaml:1:9: anchors and aliases are not allowed"),
    ("models: {}", ["--dry-run", "--wait"], "--wait has no effect with --dry-run"),
]


@pytest.mark.parametrize(("content", "words", "reason"), WRONG)
def test_an_invalid_file_changes_nothing(content, words, reason, apply, registry_dir):
    registry_dir.mkdir()
    done = apply(content, *words)
    assert (done.returncode, done.stdout) == (2 if words else 1, "")
    assert reason in done.stderr
    assert not [*registry_dir.iterdir()]


def test_a_model_in_a_rollout_is_left_to_it(apply, registry_dir, state_store, maas):
    rollout = {
        "id": "re-1", "wish": {"name": "dga", "version": "2.0", "instances": 1, "path": "/x"}, "before": {},
        "plan": None, "carried": [], "state": "rolling", "old": [],
    }  # fmt: skip
    state_store.write("rollouts/dga", rollout)
    done = apply(models(v1=1))
    assert done.returncode == 1
    assert "a rollout of dga is active: dga: 2.0 replaces 2.0: rolling" in done.stderr


# --- differences


def entry(plan=None, **versions):
    numbers = {f"{key.removeprefix('v')}.0": value for key, value in versions.items()}
    return ModelEntry(
        None, {v: n if isinstance(n, VersionEntry) else VersionEntry(n, f"/{v}", 0) for v, n in numbers.items()}, plan
    )


PLAN = TrafficPlan({"2.0": 1})
DIFFERENCES = [
    (entry(v1=2), entry(v1=2), []),
    (entry(), entry(v1=2), ["dga @ 1.0: add 2 (0 to 2) of /1.0"]),
    (entry(v1=2), entry(v1=5), ["dga @ 1.0: add 3 (2 to 5) of /1.0"]),
    (entry(v1=5), entry(v1=2), ["dga @ 1.0: remove 3 (5 to 2)"]),
    (entry(v1=5), entry(v1=0), ["dga @ 1.0: remove 5 (5 to 0)"]),
    (entry(v1=5), entry(), ["dga @ 1.0: remove 5 (5 to 0)"]),
    (entry(v1=2), entry(v2=3), ["dga @ 2.0: replace 2 by 3 of /2.0"]),
    (entry(v1=2), entry(v1=0, v2=3), ["dga @ 2.0: replace 2 by 3 of /2.0"]),
    (entry(v1=2, v2=1), entry(v2=1), ["dga @ 2.0: replace 3 by 1 of /2.0"]),
    (entry(v1=2), entry(v1=VersionEntry(2, "/1.0", 9)), ["dga @ 1.0: replace 2 by 2 of /1.0, 9 MB"]),
    (entry(v1=2), entry(v1=VersionEntry(2, "/1.0", 0, 1)), ["dga @ 1.0: replace 2 by 2 of /1.0, 1 GPUs"]),
    (entry(v1=2), entry(v1=VersionEntry(2, "/1.0", warm_up=("a=b",))), ["dga @ 1.0: replace 2 by 2 of /1.0"]),
    (entry(v1=2), entry(v1=2, v2=1), ["dga @ 2.0: add 1 (0 to 1) of /2.0"]),
    (
        entry(v1=2, v2=1, v3=1),
        entry(v1=1, v2=2),
        ["dga @ 2.0: add 1 (1 to 2) of /2.0", "dga @ 1.0: remove 1 (2 to 1)", "dga @ 3.0: remove 1 (1 to 0)"],
    ),
    (entry(v2=1), entry(PLAN, v2=1), ["dga: traffic 2.0=1"]),
    (entry(PLAN, v2=1), entry(v2=1), []),
    (entry(PLAN, v2=1), entry(PLAN, v2=1), []),
    (entry(PLAN, v2=1), entry(TrafficPlan(), v2=1), ["dga: traffic to the newest version"]),
    (entry(PLAN, v1=1), entry(PLAN, v2=1), ["dga @ 2.0: replace 1 by 1 of /2.0", "dga: traffic 2.0=1"]),
]


@pytest.mark.parametrize(("current", "wanted", "expected"), DIFFERENCES)
def test_the_difference_is_what_removes_it(current, wanted, expected):
    changes = list(find_changes("dga", wanted, current))
    assert [str(change) for change in changes] == expected
    assert all(change.model.name == "dga" for change in changes)


def test_warm_up_requests_and_gpus_are_exported_and_applied(apply, maas, versions, state_store, registry):
    maas(*SERVE)
    version = {"path": "/dga/1.0", "instances": 1, "memory": 0, "gpus": 0, "warm_up": ["host=example.com"]}
    content = json.dumps({"models": {"dga": {"versions": {"1.0": version}}}})
    assert shown(apply(content, "--wait"))[-1] == "dga @ 1.0: 1 ready"
    assert state_store.read("wanted/dga/1.0")["warm_up"] == ["host=example.com"]
    for words in ([], ["--output", "json"]):
        assert shown(apply(maas("export", *words).stdout)) == ["no changes"]
    assert 'warm_up: ["host=example.com"]' in maas("export").stdout


def test_new_files_of_one_of_several_versions_are_rejected():
    with pytest.raises(DeployError, match=r"dga @ 1\.0 runs /1\.0, the file has /x with 5 MB; that replaces all its"):
        list(find_changes("dga", entry(v1=VersionEntry(2, "/x", 5), v2=1), entry(v1=2, v2=1)))


def test_fields_of_changes_name_the_request():
    (change,) = find_changes("dga", entry(v1=2), entry())
    assert change.model == Model("dga", "1.0")
    assert change.to_fields() == {
        "action": "ADD", "name": "dga", "version": "1.0", "instances": 2, "before": 0, "path": "/1.0", "memory": 0,
        "gpus": 0, "warm_up": [],
    }  # fmt: skip
