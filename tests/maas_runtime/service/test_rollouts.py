"""Rollouts: new instances replace others, despite failures and restarts."""

from __future__ import annotations

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from maas_runtime.errors import DeployError
from maas_runtime.service.rollouts import ReplaceRequest, read_rollout, request_replacement
from maas_runtime.service.service import Service
from maas_runtime.state.store import record_failure
from stellar.maas import MemoryQueue, MemoryRegistry, Model, ModelRequest, Shadow, TrafficPlan
from stellar.maas.reports import ClientReport, InstanceCounts, ModelReport
from stellar.maas.schema import Endpoint, ServiceInstance

OLD, NEW = Model("dga", "1.0"), Model("dga", "2.0")


class HandDeployer:
    """A deployer whose instances become ready on request; `files` are the files that each was started with."""

    def __init__(self, registry):
        self.registry, self.instances, self.files, self.count = registry, {}, {}, 100

    def scale(self, deployment, instances):
        mine = [id for id, model in self.instances.items() if model == deployment.model]
        ready = self.ready(deployment.model)
        path = deployment.path
        for id in sorted(mine, key=lambda id: (id in ready, self.files[id] == path, id))[
            : max(0, len(mine) - instances)
        ]:
            self.end(id)
        for _ in range(instances - len(mine)):
            self.count += 1
            self.instances[str(self.count)] = deployment.model
            self.files[str(self.count)] = deployment.path

    def running(self, model):
        return sum(each == model for each in self.instances.values())

    def begin(self):
        pass

    def take_restored(self):
        return []

    def ready(self, model):
        return {instance.id for instance in self.registry.instances(*model)}

    def end(self, id):
        self.registry.unregister(self.instances.pop(id).name, id)

    def waiting(self, model=None):
        known = {instance.id for instance in self.registry.instances()}
        return [id for id, each in self.instances.items() if id not in known and model in (None, each)]

    def get_ready(self, id):
        self.registry.register(ServiceInstance.of(self.instances[id], id, Endpoint(url=f"http://127.0.0.1:1/{id}")))


class World:
    """A service driven by hand: `world.replace("2.0", 3)`, then `world.step()`."""

    def __init__(self, store, state_store):
        self.now = 0.0
        self.store, self.state_store = store, state_store
        self.queue, self.registry = MemoryQueue(), MemoryRegistry()
        self.deployer = HandDeployer(self.registry)
        self.begin()

    def begin(self):
        """Start a new service on the same state."""
        self.service = Service(
            self.queue,
            self.registry,
            self.deployer,
            self.store,
            self.state_store,
            clock=lambda: self.now,
            max_instances=20,
        )
        self.service.load()

    def request(self, action, version, instances):
        request = ModelRequest(
            name="dga", version=version, num_instances=instances, action=action, path="/dga", memory=0
        )
        self.queue.put(request.to_json())
        item = self.queue.items()[-1]
        while not self.service.handle(item):
            pass
        return self.state_store.read(f"requests/{item.id}")

    def run(self, version, instances):
        """Make `instances` instances ready."""
        assert "wanted" in self.request("ADD", version, instances)
        self.step()
        self.all_ready()

    def replace(self, version, instances, **options):
        request = ReplaceRequest("dga", version, instances, **{"path": "/dga", **options})
        self.id = request_replacement(self.state_store, request)
        self.service.advance_rollouts()
        return self.state_store.read(f"requests/{self.id}")

    def step(self, seconds=1.0):
        self.now += seconds
        with ThreadPoolExecutor(4) as pool:
            self.service.reconcile(pool)
        self.service.advance_rollouts()

    def all_ready(self, model=None):
        for id in self.deployer.waiting(model):
            self.deployer.get_ready(id)

    def finish(self):
        """Make instances ready until the rollout has ended. Return the total number of ready instances at each step."""
        seen = [self.ready()]
        for _ in range(100):
            if self.rollout.state in ("done", "failed"):
                return seen
            self.step()
            seen.append(self.ready())
            self.all_ready()
            seen.append(self.ready())
        raise AssertionError(f"it does not end: {self.rollout}")

    def report(self, client="one", rollout=None, **calls):
        """Publish calls and failures of each version: `report(v1=(500, 0), v2=(5, 5))`."""
        versions = {f"{version[1:]}.0": {"http://h": InstanceCounts(*counts)} for version, counts in calls.items()}
        self.registry.reports.publish(client, ClientReport({"dga": ModelReport(rollout or self.id, versions)}))

    def start_first(self):
        """Advance until the first new instance is ready."""
        while not self.deployer.waiting():
            self.step()
        self.all_ready()
        self.step()

    def fail(self, model, times=1):
        """End the model's unready instances."""
        for _ in range(times):
            while not self.deployer.waiting(model):
                self.step(61)
            for id in self.deployer.waiting(model):
                self.deployer.end(id)
                record_failure(self.state_store, model, "out of luck")

    @property
    def rollout(self):
        return read_rollout(self.state_store, "dga")

    @property
    def plan(self):
        return self.state_store.read("traffic/dga")

    @property
    def weights(self):
        return self.plan["weights"]

    def ready(self):
        return len(self.registry.instances("dga"))

    def versions(self):
        return Counter(model.version for model in self.deployer.instances.values())

    def files(self):
        return {self.deployer.files[id] for id in self.deployer.instances}


@pytest.fixture
def world(store, state_store, collateral):
    store.upload(collateral(), "/dga")
    store.upload(collateral(folder="new", data="of the new version"), "/new")
    return World(store, state_store)


def test_each_new_ready_instance_replaces_an_old_one(world):
    world.run("1.0", 3)
    assert world.replace("2.0", 3) == {"wanted": 3}
    seen = []
    while world.rollout.state != "done":
        world.step()
        seen.append((world.versions()["1.0"], world.versions()["2.0"]))
        world.all_ready()
    assert list(dict.fromkeys(seen)) == [(3, 0), (3, 1), (2, 2), (1, 3), (0, 3)]


def test_there_are_never_fewer_ready_than_before(world):
    world.run("1.0", 3)
    world.replace("2.0", 3)
    assert min(world.finish()) == 3
    assert world.versions() == {"2.0": 3}


@pytest.mark.parametrize(("before", "after"), [(1, 1), (1, 4), (4, 1), (0, 2), (2, 20)])
def test_the_number_of_instances_may_change(before, after, world):
    if before:
        world.run("1.0", before)
    world.replace("2.0", after)
    seen = world.finish()
    assert min(seen) == min(before, after)
    assert world.versions() == {"2.0": after}
    assert world.state_store.names("wanted/dga") == ["2.0"]


def test_all_other_versions_are_replaced_the_oldest_first(world):
    for version in ("10.0", "9.0", "1.0"):
        world.run(version, 1)
    world.replace("11.0", 3)
    gone = []
    while world.rollout.state != "done":
        world.step()
        gone += [version for version in ("1.0", "9.0", "10.0") if version not in {*world.versions(), *gone}]
        world.all_ready()
    assert gone == ["1.0", "9.0", "10.0"]


def test_calls_move_with_the_instances_and_the_temporary_plan_is_removed(world):
    world.run("0.9", 1)
    world.run("1.0", 3)
    world.replace("2.0", 3)
    world.step()
    assert world.weights == {"1.0": 1, "2.0": 0.03}  # 0.9 received no calls before, and receives none now
    assert world.versions()["2.0"] == 0  # the plan existed before the rollout
    while not world.rollout.judged:
        world.step()
        world.all_ready()
    world.step()
    assert world.weights == {"1.0": 1, "2.0": 1}
    assert world.plan["per"] == "instance"
    world.finish()
    assert world.plan is None


def test_a_rollout_replaces_an_existing_plan(world):
    world.run("0.9", 1)
    world.run("1.0", 1)
    canary = TrafficPlan({"0.9": 90, "1.0": 10}, shadow=Shadow("1.0"))
    world.state_store.write("traffic/dga", canary.to_note())
    world.replace("2.0", 2)
    world.step()
    assert world.weights == {"0.9": 1, "1.0": 1, "2.0": 0.02}
    assert world.plan["trial"] == {"rollout": world.id, "version": "2.0"}
    world.finish()
    assert world.plan is None


def test_a_canary_with_the_same_files_counts_as_new(world):
    world.run("1.0", 3)
    world.run("2.0", 1)
    (kept,) = world.deployer.ready(NEW)
    world.state_store.write("traffic/dga", TrafficPlan({"1.0": 90, "2.0": 10}).to_note())
    world.replace("2.0", 3)
    assert min(world.finish()[:-2]) == 4
    assert world.versions() == {"2.0": 3}
    assert kept in world.deployer.ready(NEW)
    assert world.plan is None


@pytest.mark.parametrize("options", [{"fresh": True}, {"path": "/new"}, {"memory": 9}])
def test_a_canary_with_other_files_is_replaced_too(options, world):
    world.run("1.0", 2)
    world.run("2.0", 2)
    before = world.deployer.ready(NEW)
    world.replace("2.0", 2, **options)
    assert min(world.finish()[:-2]) >= 2
    assert world.versions() == {"2.0": 2}
    assert not before & world.deployer.ready(NEW)
    assert world.files() == {options.get("path", "/dga")}


@pytest.mark.parametrize(("before", "after"), [(1, 1), (3, 3), (2, 4), (4, 2)])
def test_instances_of_the_same_version_with_new_files_are_replaced_one_by_one(before, after, world):
    world.run("1.0", before)
    first = world.deployer.ready(OLD)
    world.replace("1.0", after, path="/new")
    assert min(world.finish()) == min(before, after)
    assert world.versions() == {"1.0": after}
    assert not first & world.deployer.ready(OLD)
    assert world.files() == {"/new"}
    assert world.plan is None


def test_unready_instances_of_the_same_version_are_replaced_first(world):
    world.run("1.0", 2)
    world.request("ADD", "1.0", 2)
    world.step()
    hanging = set(world.deployer.waiting())
    world.replace("1.0", 2, path="/new")
    while world.rollout.state == "settling":
        world.step()
    assert not hanging & world.deployer.instances.keys()
    assert min(world.finish()) == 2
    assert world.files() == {"/new"}


def test_a_version_without_ready_instances_can_be_replaced(world):
    world.request("ADD", "1.0", 2)
    world.step()
    world.replace("2.0", 2)
    while world.rollout.state != "done":
        world.step()
        world.all_ready(NEW)
    assert world.versions() == {"2.0": 2}


def test_a_version_whose_instances_fail_is_rolled_back(world):
    world.run("1.0", 3)
    before = world.deployer.ready(OLD)
    world.replace("2.0", 3)
    world.step()
    world.fail(NEW, 3)
    world.finish()
    assert world.rollout.state == "failed"
    assert world.rollout.reason == "3 instances of 2.0 failed; last failure: out of luck"
    assert world.deployer.ready(OLD) == before
    assert world.versions() == {"1.0": 3}
    assert world.plan is None
    assert world.state_store.names("wanted/dga") == ["1.0"]


def test_a_version_that_is_not_ready_in_time_is_rolled_back_also_midway(world):
    world.run("1.0", 3)
    world.state_store.write("traffic/dga", {"weights": {"1.0": 5}, "note": "mine"})
    world.replace("2.0", 3, seconds=30)
    while not world.deployer.waiting(NEW):
        world.step()
    world.all_ready()
    while world.versions() != {"1.0": 2, "2.0": 2}:
        world.step()
    for _ in range(40):
        world.step()
    assert world.rollout.state == "going back"
    assert "no further instance of 2.0 was ready within 30 seconds" in world.rollout.reason
    assert world.plan == {"weights": {"1.0": 5}, "note": "mine"}  # its calls are moved at once
    assert world.versions() == {"1.0": 3, "2.0": 2}  # the new instances stay until the previous ones are ready again
    for id in world.deployer.waiting(OLD):
        world.deployer.get_ready(id)
    for _ in range(5):
        world.step()
    assert world.rollout.state == "failed"
    assert world.versions() == {"1.0": 3}
    assert world.plan == {"weights": {"1.0": 5}, "note": "mine"}


def test_new_files_that_are_never_ready_leave_the_serving_instances(world):
    world.run("1.0", 2)
    before = world.deployer.ready(OLD)
    world.replace("1.0", 2, path="/new", seconds=30)
    for _ in range(50):
        world.step()
    assert world.rollout.state == "failed"
    assert world.deployer.ready(OLD) == before
    assert world.versions() == {"1.0": 2}
    assert world.state_store.read("wanted/dga/1.0")["path"] == "/dga"


def test_occasional_failures_do_not_end_a_rollout(world):
    world.run("1.0", 3)
    world.replace("2.0", 3)
    for count in range(3):
        while len(world.deployer.waiting(NEW)) == 0:
            world.step()
        world.fail(NEW, 2)
        while not world.deployer.waiting(NEW):
            world.step(61)
        world.all_ready()
        assert len(world.deployer.ready(NEW)) == count + 1
    world.finish()
    assert world.rollout.state == "done"


def test_other_requests_are_rejected_meanwhile_and_the_last_replacement_wins(world):
    world.run("1.0", 2)
    world.replace("2.0", 2)
    world.step()
    world.step()
    for action in ("ADD", "REMOVE"):
        assert "dga is being replaced by version 2.0" in world.request(action, "2.0", 1)["refused"]
    assert world.replace("1.0", 2) == {"wanted": 2}
    world.finish()
    assert world.versions() == {"1.0": 2}
    assert world.plan is None
    assert world.rollout.id == world.id
    assert world.request("ADD", "1.0", 1) == {"wanted": 3}


def test_the_original_plan_is_restored_after_a_failed_second_replacement(world):
    world.run("1.0", 2)
    world.state_store.write("traffic/dga", {"weights": {"1.0": 5}})
    world.replace("2.0", 2)
    world.step()
    world.replace("3.0", 2)
    world.step()
    world.fail(Model("dga", "3.0"), 3)
    for _ in range(3):
        world.step()
    assert world.plan == {"weights": {"1.0": 5}}


def test_without_callers_nothing_is_judged_and_a_rollout_goes_on_after_a_few_seconds(world):
    world.run("1.0", 1)
    world.replace("2.0", 1)
    begin = world.now
    world.finish()
    assert world.rollout.state == "done"
    assert 5 <= world.now - begin < 12


def test_a_first_deployment_is_not_judged(world):
    world.replace("1.0", 2)
    begin = world.now
    world.finish()
    assert world.now - begin < 5


def test_a_version_that_fails_its_calls_is_rolled_back(world):
    world.run("1.0", 3)
    before = world.deployer.ready(OLD)
    world.replace("2.0", 3)
    world.start_first()
    world.report(v1=(240, 0), v2=(3, 3))
    world.step()
    assert world.rollout.state == "going back"
    world.step()
    assert world.plan == {"weights": {"1.0": 1}, "per": "instance"}
    world.finish()
    assert world.rollout.state == "failed"
    assert world.rollout.reason == (
        "2.0 failed 3 of 3 calls (100 %), and the previous instances 0 of 240 calls (0 %); the limit is 1 % more "
        "(--max-error-increase)"
    )
    assert world.deployer.ready(OLD) == before
    assert world.versions() == {"1.0": 3}
    assert world.plan is None


def test_a_step_waits_for_50_calls_of_the_new_version(world):
    world.run("1.0", 3)
    world.replace("2.0", 3)
    world.start_first()
    for calls in (0, 1, 20, 49):
        world.report(v1=(5000, 0), v2=(calls, 0))
        world.step()
        assert world.rollout.judged == 0
        assert world.versions() == {"1.0": 3, "2.0": 1}
        assert ", judging its calls" in str(world.rollout)
    world.report(v1=(5000, 0), v2=(50, 0))
    world.step()
    assert world.rollout.judged == 1
    world.step()
    assert world.versions() == {"1.0": 2, "2.0": 2}
    assert world.weights == {"1.0": 1, "2.0": 1}


def test_a_later_step_waits_for_50_further_calls_of_the_model(world):
    world.run("1.0", 2)
    world.replace("2.0", 2)
    world.start_first()
    world.report(v1=(1000, 0), v2=(50, 0))
    world.step()
    world.start_first()
    assert (world.rollout.ready, world.rollout.judged) == (2, 1)
    world.report(v1=(1020, 0), v2=(79, 0))
    world.step()
    assert world.rollout.judged == 1
    world.report(v1=(1020, 0), v2=(80, 0))
    world.finish()
    assert world.versions() == {"2.0": 2}


def test_a_step_with_few_calls_is_judged_after_a_minute(world):
    world.run("1.0", 1)
    world.replace("2.0", 1, seconds=10)
    world.start_first()
    world.report(v1=(30, 0), v2=(0, 0))
    for _ in range(59):
        world.step()
        assert (world.rollout.state, world.rollout.judged) == ("rolling", 0)
    for _ in range(3):
        world.step()
    assert world.rollout.judged == 1
    world.finish()
    assert world.rollout.state == "done"


def test_one_failure_may_be_chance_until_the_end_of_the_minute(world):
    world.run("1.0", 1)
    world.replace("2.0", 1)
    world.start_first()
    world.report(v1=(900, 0), v2=(60, 1))
    for _ in range(58):
        world.step()
        assert (world.rollout.state, world.rollout.judged) == ("rolling", 0)
    for _ in range(3):
        world.step()
    assert world.rollout.state == "going back"
    assert "2.0 failed 1 of 60 calls (1.67 %)," in world.rollout.reason


def test_one_failure_of_many_calls_is_accepted(world):
    world.run("1.0", 1)
    world.replace("2.0", 1)
    world.start_first()
    world.report(v1=(900, 0), v2=(100, 1))
    world.finish()
    assert world.rollout.state == "done"


def test_failures_that_the_previous_version_has_too_are_accepted(world):
    world.run("1.0", 1)
    world.replace("2.0", 1)
    world.start_first()
    world.report(v1=(1000, 300), v2=(100, 30))
    world.finish()
    assert world.rollout.state == "done"


@pytest.mark.parametrize(("limit", "state"), [(5, "done"), (3, "failed")])
def test_the_limit_is_an_option(limit, state, world):
    world.run("1.0", 1)
    world.replace("2.0", 1, max_error_increase=limit)
    world.start_first()
    world.report(v1=(900, 0), v2=(100, 4))
    world.finish()
    assert world.rollout.state == state


def test_failures_after_the_first_step_roll_back_too(world):
    world.run("1.0", 2)
    world.replace("2.0", 2)
    world.start_first()
    world.report(v1=(900, 0), v2=(50, 0))
    while world.versions() != {"1.0": 1, "2.0": 2}:
        world.step()
    world.report(v1=(950, 0), v2=(100, 50))
    world.step()
    assert world.rollout.state == "going back"
    world.finish()
    assert world.versions() == {"1.0": 2}


def test_the_share_of_the_new_version_grows_with_the_calls_that_it_answers(world):
    world.run("1.0", 9)
    world.replace("2.0", 9)
    world.start_first()
    shares = []
    for calls, failures in ((0, 0), (1, 0), (4, 0), (9, 0), (49, 0), (1, 1), (9, 1)):
        world.registry.reports.withdraw("one")
        world.begin()  # without the counts that it has seen
        world.report(v1=(1000, 0), v2=(calls, failures))
        world.step()
        weight = world.weights["2.0"]
        shares.append(round(weight / (weight + 9), 3))
    assert shares == [0.01, 0.02, 0.05, 0.1, 0.1, 0.01, 0.05]  # at most that of any other instance


def test_reports_of_clients_are_added_also_of_those_that_have_ended(world):
    world.run("1.0", 1)
    world.replace("2.0", 1)
    world.start_first()
    world.report("one", v1=(500, 0), v2=(1, 1))
    world.step()
    world.registry.reports.withdraw("one")
    world.report("two", v1=(500, 0), v2=(1, 1))
    world.step()
    assert world.rollout.state == "rolling"
    world.report("three", v1=(500, 0), v2=(1, 1))
    world.step()
    assert "2.0 failed 3 of 3 calls (100 %), and the previous instances 0 of 1,500 calls" in world.rollout.reason


def test_reports_of_another_rollout_are_not_counted(world):
    world.run("1.0", 1)
    world.replace("2.0", 1)
    world.start_first()
    world.report(rollout="re-other", v1=(500, 0), v2=(50, 50))
    world.finish()
    assert world.rollout.state == "done"


def test_a_new_service_judges_by_the_same_reports(world):
    world.run("1.0", 1)
    world.replace("2.0", 1)
    world.start_first()
    world.report(v1=(500, 0), v2=(2, 2))
    world.step()
    world.begin()
    world.step()
    assert world.rollout.state == "rolling"
    world.report(v1=(500, 0), v2=(3, 3))
    world.step()
    assert world.rollout.state == "going back"


def test_a_version_that_cannot_be_judged_is_rolled_back(world, monkeypatch):
    world.run("1.0", 1)
    world.replace("2.0", 1)
    world.start_first()

    def read():
        raise PermissionError("not allowed here")

    monkeypatch.setattr(world.registry.reports, "read", read)
    world.finish()
    assert world.rollout.reason == ("2.0 cannot be judged: the reports of clients cannot be read: not allowed here")
    assert world.versions() == {"1.0": 1}


def test_new_files_of_the_same_version_that_fail_their_calls_are_replaced_by_the_previous_ones(world):
    world.run("1.0", 3)
    before = world.deployer.ready(OLD)
    world.replace("1.0", 3, path="/new")
    world.start_first()
    (new,) = world.deployer.ready(OLD) - before
    assert world.plan["trial"]["version"] == "1.0"
    urls = {instance.id: instance.url for instance in world.registry.instances()}
    counts = {url: InstanceCounts(3, 3) if id == new else InstanceCounts(80) for id, url in urls.items()}
    world.registry.reports.publish("one", ClientReport({"dga": ModelReport(world.id, {"1.0": counts})}))
    world.step()
    assert "1.0 failed 3 of 3 calls (100 %), and the previous instances 0 of 240 calls" in world.rollout.reason
    world.finish()
    assert world.deployer.ready(OLD) == before
    assert world.files() == {"/dga"}
    assert world.plan is None


def test_previous_files_are_restored_midway_without_fewer_good_instances(world):
    world.run("1.0", 3)
    world.replace("1.0", 3, path="/new")
    while world.rollout.judged < 2:
        world.step()
        world.all_ready()
    urls = {instance.id: instance.url for instance in world.registry.instances()}
    counts = {url: InstanceCounts(9, 9 * (world.deployer.files[id] == "/new")) for id, url in urls.items()}
    world.registry.reports.publish("one", ClientReport({"dga": ModelReport(world.id, {"1.0": counts})}))
    world.step()
    assert world.rollout.state == "going back"
    assert min(world.finish()) >= 3
    assert world.files() == {"/dga"}
    assert world.versions() == {"1.0": 3}


def test_a_superseded_rollout_leaves_an_unjudged_version_without_calls(world):
    world.run("1.0", 2)
    world.replace("2.0", 2)
    world.start_first()
    world.report(v1=(500, 0), v2=(1, 1))
    world.step()
    world.replace("3.0", 2)
    world.step()
    assert world.weights.keys() == {"1.0", "3.0"}


REFUSED = [
    ({"version": "../x"}, "the model's version '../x' is invalid"),
    ({"name": ""}, "the model's name is empty"),
    ({"instances": 0}, "invalid number of instances 0: expected 1 to 20"),
    ({"instances": 21}, "invalid number of instances 21"),
    ({"instances": "many"}, "instances: Input should be a valid integer"),
    ({"max_error_increase": -1}, "invalid max_error_increase -1.0: expected 0 to 100 percent"),
    ({"max_error_increase": "nan"}, "invalid max_error_increase nan"),
    ({"warm_up": ["=1"]}, "invalid warm-up request '=1'"),
    ({"warm_up": "host=a"}, "warm_up: Input should be a JSON array"),
    ({"path": "/nowhere"}, "unknown path /nowhere in the model store"),
    ({"path": None}, "path: Input should be a valid string"),
    ({"extra": 1}, "extra: Extra inputs are not permitted"),
]


@pytest.mark.parametrize(("changed", "reason"), REFUSED)
def test_an_invalid_replace_request_is_rejected_with_the_reason(changed, reason, world):
    world.run("1.0", 1)
    note = {"name": "dga", "version": "2.0", "instances": 1, "path": "/dga", **changed}
    world.state_store.write("replace/re-1", note)
    world.service.advance_rollouts()
    assert reason in world.state_store.read("requests/re-1")["refused"]
    assert world.state_store.names("replace") == []
    assert world.rollout is None


def test_a_damaged_rollout_is_ignored(world, caplog):
    world.run("1.0", 1)
    world.state_store.write("rollouts/dga", {"id": "x"})
    world.begin()
    world.step()
    assert "invalid stored rollout of dga" in caplog.text
    world.replace("2.0", 1)
    world.finish()
    assert world.versions() == {"2.0": 1}


def test_a_deployer_that_fails_does_not_end_the_service(world, caplog):
    world.run("1.0", 1)
    running = world.deployer.running
    request_replacement(world.state_store, ReplaceRequest("dga", "1.0", 1, "/dga"))
    for fault in (DeployError("no response"), ZeroDivisionError("odd")):

        def fail(model, fault=fault):
            raise fault

        world.deployer.running = fail
        world.service.advance_rollouts()
        assert str(fault) in caplog.text
        assert world.rollout.state == "settling"
    world.deployer.running = running
    world.finish()
    assert world.rollout.state == "done"


@pytest.mark.parametrize("seed", range(40))
def test_a_rollout_survives_failures_and_never_removes_an_instance_without_a_replacement(seed, world):
    """Services are killed and instances become ready late or never, but no ready instance dies."""
    chance = random.Random(seed)
    same = chance.random() < 0.5
    before, after = chance.randint(1, 4), chance.randint(1, 4)
    world.run("1.0", before)
    world.replace("1.0" if same else "2.0", after, path="/new")
    for _ in range(400):
        if world.rollout and world.rollout.state in ("done", "failed"):
            break
        match chance.randrange(6):
            case 0:
                world.begin()
            case 1 if world.deployer.waiting() and world.rollout.state == "rolling":
                model = world.deployer.instances[world.deployer.waiting()[0]]
                world.fail(model)
            case 2 | 3:
                world.all_ready()
        world.step(chance.choice([0.5, 1, 5]))
        assert world.ready() >= min(before, after)
    state = world.rollout.state
    assert state in ("done", "failed")
    wanted = {"1.0" if same else "2.0": after} if state == "done" else {"1.0": before}
    for _ in range(5):
        world.all_ready()
        world.step(61)
    assert world.versions() == wanted
    assert world.files() == {"/new" if state == "done" else "/dga"}
    assert world.plan is None


def test_files_that_were_uploaded_to_another_store_are_rejected_with_its_name(world):
    world.run("1.0", 1)
    result = world.replace("2.0", 1, content=f"/.content/{'0' * 64}", store="/other/store")
    assert "the files were uploaded to the model store /other/store, but the service uses" in result["refused"]
    assert world.rollout is None
