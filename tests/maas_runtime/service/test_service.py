"""The service: requests change the desired state, which survives failures and restarts."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest

from maas_runtime.deployers.memory import MemoryDeployer
from maas_runtime.errors import DeployError
from maas_runtime.service.service import Service
from maas_runtime.state.store import record_failure
from stellar.maas import MemoryQueue, MemoryRegistry, Model, ModelRequest
from stellar.maas.requests import Item

DGA = Model("dga", "1.0")


def add(instances=1, name="dga", version="1.0", path="/dga", memory=0):
    return ModelRequest(name=name, version=version, num_instances=instances, action="ADD", path=path, memory=memory)


def remove(instances=1, name="dga", version="1.0"):
    return ModelRequest(name=name, version=version, num_instances=instances, action="REMOVE")


class World:
    """A service with its state, driven step by step: `world.request(add(2))`, then `world.step()`."""

    def __init__(self, store, state_store):
        self.now = 0.0
        self.queue, self.registry = MemoryQueue(), MemoryRegistry()
        self.store, self.state_store = store, state_store
        self.deployer = MemoryDeployer(store, self.registry)
        self.begin()

    def begin(self, **options):
        """Start a new service on the same state."""
        self.service = Service(
            self.queue, self.registry, self.deployer, self.store, self.state_store, clock=lambda: self.now, **options
        )
        self.service.load()

    def request(self, request):
        """Send a request. Return its result."""
        return self.send(request.to_json())

    def send(self, data, note=None):
        self.queue.put(data, note)
        item = self.queue.items()[-1]
        while not self.service.handle(item):
            pass
        assert item not in self.queue.items()
        return self.state_store.read(f"requests/{item.id}")

    def step(self):
        with ThreadPoolExecutor(4) as pool:
            self.service.reconcile(pool)

    def running(self, model=DGA):
        return self.deployer.running(model)

    def kill(self, model=DGA):
        self.registry.unregister(model.name, self.registry.instances(*model)[0].id)


@pytest.fixture
def world(store, state_store, collateral):
    store.upload(collateral(), "/dga")
    return World(store, state_store)


def test_requests_add_up(world):
    assert world.request(add(1)) == {"wanted": 1}
    assert world.request(add(2)) == {"wanted": 3}
    assert world.request(remove(1)) == {"wanted": 2}
    world.step()
    assert world.running() == 2


def test_removing_more_instances_than_exist_removes_all(world):
    world.request(add(2))
    world.step()
    assert world.request(remove(5)) == {"wanted": 0}
    world.step()
    assert world.running() == 0
    assert world.request(remove(1)) == {"refused": "dga @ 1.0 is not deployed"}
    assert world.state_store.names("wanted/dga") == []


def test_versions_of_a_model_are_independent(world):
    world.request(add(1))
    world.request(add(2, version="2.0"))
    world.request(remove(1))
    world.step()
    assert (world.running(), world.running(Model("dga", "2.0"))) == (0, 2)


REFUSED = [
    (b"not json", "Expecting value"),
    (b"", "Expecting value"),
    (b"\xff\xfe", "decode"),
    (b"[1]", "expected a JSON object"),
    (b"{}", "the model's name is empty"),
    (b'{"name":"dga","version":"1.0","numInstances":1}', "missing action"),
    (b'{"name":"dga","version":"1.0","numInstances":1,"action":"add"}', "Input should be 'ADD' or 'REMOVE'"),
    (add(0).to_json(), "invalid number of instances 0"),
    (add(-1).to_json(), "invalid number of instances -1"),
    (add(101).to_json(), "too many instances: 101, expected at most 100"),
    (add(memory=-1).to_json(), "invalid memory -1"),
    (add(path=None).to_json(), "missing path of the model's files"),
    (add(path="/nowhere").to_json(), "unknown path /nowhere in the model store"),
    (add(path="/../x").to_json(), "invalid path '/../x'"),
    (add(path="hdfs://node1/x").to_json(), "invalid path 'hdfs://node1/x'"),
    (add(name="../x").to_json(), "the model's name '../x' is invalid"),
    (add(version="").to_json(), "the model's version is empty"),
    (remove().to_json(), "dga @ 1.0 is not deployed"),
    (add(10**400).to_json(), "expected at most 100"),
    (add(memory=10**400).to_json(), "invalid memory"),
    (add().to_json().replace(b'"numInstances":1', b'"numInstances":' + b"9" * 5000), "Exceeds the limit"),
    (add().to_json().replace(b'"numInstances":1', b'"numInstances":1e999'), "numInstances"),
    (add().to_json().replace(b'"numInstances":1', b'"numInstances":{}'), "numInstances"),
    (b'{"name":' * 9000 + b"1" + b"}" * 9000, "request too large: expected at most 65,536 bytes"),
    (b"[" * 60_000, "nested too deeply"),
    (b'{"name":"' + b"x" * 1_000_000 + b'"}', "request too large: expected at most 65,536 bytes"),
    (add(name="x" * 201).to_json(), "the model's name is longer than 200 bytes"),
    (add(name=".").to_json(), "the model's name '.' is invalid"),
    (add(name="a\nb").to_json(), "the model's name 'a\\nb' is invalid"),
    (b'{"name":"\\ud800","version":"1","numInstances":1,"action":"ADD"}', "the model's name '\\ud800' is invalid"),
    (add(version="1/../../x").to_json(), "the model's version '1/../../x' is invalid"),
    (add(path="/x\nrequest qn-1 is met").to_json(), "contains control characters"),
    (add(path="/x\0y").to_json(), "contains control characters"),
    (add(path="x" * 5000).to_json(), "too long, or contains"),
    (add(path="/" + "x" * 300).to_json(), "File name too long"),
    (add(path="file:///%2e%2e/%2e%2e/etc").to_json(), "expected a path such as file:///"),
    (add(path="file://evil/x").to_json(), "invalid path 'file://evil/x'"),
    (add(path="file:///etc").to_json(), "must contain one start script"),
    (add(path="http://evil/x").to_json(), "invalid path 'http://evil/x'"),
]


@pytest.mark.parametrize(("data", "reason"), REFUSED)
def test_an_invalid_request_is_rejected_with_the_reason(data, reason, world):
    assert reason in world.send(data)["refused"]
    world.step()
    assert world.state_store.names("wanted") == []
    assert world.request(add(1)) == {"wanted": 1}  # the service goes on


def test_null_is_skipped_silently(world, caplog):
    assert world.send(b"null") is None
    assert caplog.records == []


def test_unknown_fields_are_ignored(world):
    assert world.send(add(1).to_json()[:-1] + b',"extra":{"a":1}}') == {"wanted": 1}


def test_restarts_of_a_failing_model_back_off_exponentially(world):
    world.request(add(1))
    starts = []
    for _ in range(4000):
        if world.running():
            world.kill()
        world.step()
        if world.running():
            starts.append(world.now)
        world.now += 0.5
        if len(starts) == 9:
            break
    pauses = [after - before for before, after in pairwise(starts)]
    assert starts[0] == 0.0
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]


def test_a_model_that_ran_for_a_minute_restarts_at_once(world):
    world.request(add(1))
    for _ in range(3):
        world.step()
        assert world.running() == 1
        world.now += 61
        world.step()
        world.kill()


def test_a_new_request_resets_the_back_off(world):
    world.request(add(1))
    world.step()
    world.kill()
    world.step()
    assert world.running() == 0
    world.request(add(1))
    world.step()
    assert world.running() == 2


def test_without_restarts_an_ended_instance_reduces_the_desired_number(world):
    world.begin(restart=False)
    world.request(add(3))
    world.step()
    world.step()
    world.kill()
    world.step()
    world.step()
    assert world.running() == 2
    assert world.state_store.read("wanted/dga/1.0")["instances"] == 2
    world.request(add(1))
    world.step()
    assert world.running() == 3


def test_a_new_service_continues_from_the_stored_state(world):
    world.request(add(2, memory=512))
    world.request(add(1, version="2.0"))
    world.step()
    world.request(add(1))  # taken from the queue, but not reconciled
    world.kill()
    world.begin()
    world.step()
    assert (world.running(), world.running(Model("dga", "2.0"))) == (3, 1)
    assert world.request(remove(3)) == {"wanted": 0}


def test_a_removal_is_finished_by_the_next_service(world):
    world.request(add(2))
    world.step()
    world.request(remove(2))
    world.begin()
    world.step()
    assert world.running() == 0
    assert world.state_store.names("wanted/dga") == []


def test_the_failures_of_a_model_are_removed_with_it(world):
    world.request(add(1))
    world.step()
    record_failure(world.state_store, DGA, "out of luck")
    world.step()
    assert world.state_store.names("failures/dga") == ["1.0"]
    world.request(remove(1))
    world.step()
    assert world.state_store.names("failures/dga") == []


def test_a_damaged_entry_is_ignored_and_the_others_are_used(world, registry_dir, caplog):
    world.request(add(1))
    for text in ("{", "{}", "[]"):
        (registry_dir / "maas/ext/wanted/dga/9.9").write_text(text)
        world.begin()
    world.step()
    assert world.running() == 1
    assert "invalid desired state of dga @ 9.9" in caplog.text


def test_a_deploy_error_is_recorded_and_retried(world):
    scale = world.deployer.scale

    def refuse(*_):
        raise DeployError("no room")

    world.deployer.scale = refuse
    world.request(add(1))
    world.step()
    assert world.state_store.read("failures/dga/1.0")["last"] == "no room"
    world.deployer.scale = scale
    world.now += 1
    world.step()
    assert world.running() == 1


def test_a_deployer_that_fails_does_not_end_the_service(world, caplog):
    scale = world.deployer.scale
    world.deployer.scale = lambda *_: 1 / 0
    world.request(add(1))
    world.step()
    assert "dga @ 1.0: scaling to 1 instances failed" in caplog.text
    world.deployer.scale = scale
    world.now += 1
    world.step()
    assert world.running() == 1


def test_a_full_disk_does_not_end_the_service(world, monkeypatch, caplog):
    monkeypatch.setattr("maas_runtime.service.service.TICK_SECONDS", 0.01)
    write = world.state_store.write

    def refuse(*_):
        raise OSError(28, "No space left on device")

    world.state_store.write = refuse
    world.queue.put(add(1).to_json())
    with ThreadPoolExecutor(1) as pool:
        world.service._take_turn(pool)
        assert "No space left on device" in caplog.text
        world.state_store.write = write
        world.service._take_turn(pool)
    assert world.state_store.read("wanted/dga/1.0")["instances"] == 1  # the request stayed in the queue


def test_a_slow_model_does_not_delay_others(world, eventually):
    scale, blocked = world.deployer.scale, threading.Event()

    def slow(deployment, instances):
        if deployment.model == DGA:
            blocked.wait(10)
        scale(deployment, instances)

    world.deployer.scale = slow
    world.request(add(1))
    world.request(add(1, version="2.0"))
    with ThreadPoolExecutor(4) as pool:
        world.service.reconcile(pool)
        eventually(lambda: world.running(Model("dga", "2.0")) == 1)
        assert world.running() == 0
        blocked.set()


def test_a_service_handles_the_queue_until_it_is_stopped_and_ends_its_instances(world, eventually):
    stop = threading.Event()
    thread = threading.Thread(target=world.service.run, args=(stop.is_set,))
    thread.start()
    for data in (b"null", b"not json", add(2).to_json()):
        world.queue.put(data)
    eventually(lambda: world.running() == 2)
    assert world.state_store.is_led()
    stop.set()
    thread.join()
    assert world.running() == 0
    assert world.state_store.read("wanted/dga/1.0")["instances"] == 2  # stays queued
    assert not world.state_store.is_led()


def test_a_second_service_on_a_registry_waits_for_the_end_of_the_first(world):
    notified, stop = [], threading.Event()
    with world.state_store.lead(lambda: False):
        thread = threading.Thread(target=world.service.run, args=(stop.is_set,), kwargs={"notify": notified.append})
        thread.start()
        while notified != ["waiting"]:
            assert thread.is_alive()
    while notified != ["waiting", "leading"]:
        assert thread.is_alive()
    stop.set()
    thread.join()


def test_only_the_last_results_are_stored(world):
    for number in range(205):
        world.service.handle(Item("qn-0000000000", b"{}", f"{number}-qn-0000000000"))
    assert {int(name.partition("-")[0]) for name in world.state_store.names("requests")} == set(range(5, 205))
