"""The service: requests in, wanted instances kept, whatever comes between."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest

from maas_runtime.deployers.memory import MemoryDeployer
from maas_runtime.errors import DeployError
from maas_runtime.service.service import Service
from maas_runtime.state.store import failed
from stellar.maas import MemoryQueue, MemoryRegistry, Model, ModelRequest
from stellar.maas.requests import Item

DGA = Model("dga", "1.0")


def add(instances=1, name="dga", version="1.0", path="/dga", memory=0):
    return ModelRequest(name=name, version=version, num_instances=instances, action="ADD", path=path, memory=memory)


def remove(instances=1, name="dga", version="1.0"):
    return ModelRequest(name=name, version=version, num_instances=instances, action="REMOVE")


class World:
    """A service with everything around it, driven by hand: `world.ask(add(2))`, then `world.step()`."""

    def __init__(self, store, notes):
        self.now = 0.0
        self.queue, self.registry = MemoryQueue(), MemoryRegistry()
        self.store, self.notes = store, notes
        self.deployer = MemoryDeployer(store, self.registry)
        self.begin()

    def begin(self, **options):
        """A new service in the same world."""
        self.service = Service(
            self.queue, self.registry, self.deployer, self.store, self.notes, clock=lambda: self.now, **options
        )
        self.service.remember()

    def ask(self, request):
        """What the service answers."""
        return self.send(request.to_json())

    def send(self, data):
        name = self.queue.put(data)
        self.service.handle(self.queue.take(0))
        return self.notes.read(f"requests/{name}")

    def step(self):
        with ThreadPoolExecutor(4) as pool:
            self.service.reconcile(pool)

    def running(self, model=DGA):
        return self.deployer.running(model)

    def kill(self, model=DGA):
        self.registry.unregister(model.name, self.registry.instances(*model)[0].id)


@pytest.fixture
def world(store, notes, collateral):
    store.upload(collateral(), "/dga")
    return World(store, notes)


def test_requests_add_up(world):
    assert world.ask(add(1)) == {"wanted": 1}
    assert world.ask(add(2)) == {"wanted": 3}
    assert world.ask(remove(1)) == {"wanted": 2}
    world.step()
    assert world.running() == 2


def test_removing_more_than_there_are_removes_all(world):
    world.ask(add(2))
    world.step()
    assert world.ask(remove(5)) == {"wanted": 0}
    world.step()
    assert world.running() == 0
    assert world.ask(remove(1)) == {"refused": "there is no dga @ 1.0"}
    assert world.notes.names("wanted/dga") == []


def test_versions_are_models_of_their_own(world):
    world.ask(add(1))
    world.ask(add(2, version="2.0"))
    world.ask(remove(1))
    world.step()
    assert (world.running(), world.running(Model("dga", "2.0"))) == (0, 2)


REFUSED = [
    (b"not json", "Expecting value"),
    (b"", "Expecting value"),
    (b"\xff\xfe", "decode"),
    (b"[1]", "expected a JSON object"),
    (b"{}", "the model's name is empty"),
    (b'{"name":"dga","version":"1.0","numInstances":1}', "the request has no action"),
    (b'{"name":"dga","version":"1.0","numInstances":1,"action":"add"}', "Input should be 'ADD' or 'REMOVE'"),
    (add(0).to_json(), "0 instances are asked for"),
    (add(-1).to_json(), "-1 instances are asked for"),
    (add(101).to_json(), "101 instances would be more than the 100 that are allowed"),
    (add(memory=-1).to_json(), "memory -1 is less than 0"),
    (add(path=None).to_json(), "does not say where the model's files are"),
    (add(path="/nowhere").to_json(), "the model store has no directory /nowhere"),
    (add(path="/../x").to_json(), "'/../x' is not a path such as"),
    (add(path="hdfs://node1/x").to_json(), "hdfs://node1/x is elsewhere"),
    (add(name="../x").to_json(), "the model's name '../x' is invalid"),
    (add(version="").to_json(), "the model's version is empty"),
    (remove().to_json(), "there is no dga @ 1.0"),
    (add(10**400).to_json(), "would be more than the 100 that are allowed"),
    (add(memory=10**400).to_json(), "is too much"),
    (add().to_json().replace(b'"numInstances":1', b'"numInstances":' + b"9" * 5000), "Exceeds the limit"),
    (add().to_json().replace(b'"numInstances":1', b'"numInstances":1e999'), "numInstances"),
    (add().to_json().replace(b'"numInstances":1', b'"numInstances":{}'), "numInstances"),
    (b'{"name":' * 9000 + b"1" + b"}" * 9000, "larger than 65,536 bytes"),
    (b"[" * 60_000, "nested too deeply"),
    (b'{"name":"' + b"x" * 1_000_000 + b'"}', "the request is larger than 65,536 bytes"),
    (add(name="x" * 201).to_json(), "the model's name is longer than 200 bytes"),
    (add(name=".").to_json(), "the model's name '.' is invalid"),
    (add(name="a\nb").to_json(), "the model's name 'a\\nb' is invalid"),
    (b'{"name":"\\ud800","version":"1","numInstances":1,"action":"ADD"}', "the model's name '\\ud800' is invalid"),
    (add(version="1/../../x").to_json(), "the model's version '1/../../x' is invalid"),
    (add(path="/x\nrequest qn-1 is met").to_json(), "has control characters in it"),
    (add(path="/x\0y").to_json(), "has control characters in it"),
    (add(path="x" * 5000).to_json(), "it is too long"),
    (add(path="/" + "x" * 300).to_json(), "can't be looked up"),
    (add(path="file:///%2e%2e/%2e%2e/etc").to_json(), "is not a path such as file:///"),
    (add(path="file://evil/x").to_json(), "file://evil/x is elsewhere"),
    (add(path="file:///etc").to_json(), "must have one script"),
    (add(path="http://evil/x").to_json(), "http://evil/x is elsewhere"),
]


@pytest.mark.parametrize(("data", "reason"), REFUSED)
def test_a_request_that_can_not_be_met_is_refused_with_the_reason(data, reason, world):
    assert reason in world.send(data)["refused"]
    world.step()
    assert world.notes.names("wanted") == []
    assert world.ask(add(1)) == {"wanted": 1}  # it goes on


def test_null_is_skipped_silently(world, caplog):
    assert world.send(b"null") is None
    assert caplog.records == []


def test_unknown_fields_do_no_harm(world):
    assert world.send(add(1).to_json()[:-1] + b',"extra":{"a":1}}') == {"wanted": 1}


def test_what_ends_again_and_again_is_started_again_after_longer_and_longer_pauses(world):
    world.ask(add(1))
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


def test_a_model_that_ran_for_a_minute_is_started_at_once_again(world):
    world.ask(add(1))
    for _ in range(3):
        world.step()
        assert world.running() == 1
        world.now += 61
        world.step()
        world.kill()


def test_a_new_request_does_not_wait_for_a_pause(world):
    world.ask(add(1))
    world.step()
    world.kill()
    world.step()
    assert world.running() == 0
    world.ask(add(1))
    world.step()
    assert world.running() == 2


def test_if_nothing_is_restarted_what_ended_is_wanted_no_more(world):
    world.begin(restart=False)
    world.ask(add(3))
    world.step()
    world.step()
    world.kill()
    world.step()
    world.step()
    assert world.running() == 2
    assert world.notes.read("wanted/dga/1.0")["instances"] == 2
    world.ask(add(1))
    world.step()
    assert world.running() == 3


def test_a_new_service_goes_on_where_the_last_one_was(world):
    world.ask(add(2, memory=512))
    world.ask(add(1, version="2.0"))
    world.step()
    world.ask(add(1))  # taken, and not yet done
    world.kill()
    world.begin()
    world.step()
    assert (world.running(), world.running(Model("dga", "2.0"))) == (3, 1)
    assert world.ask(remove(3)) == {"wanted": 0}


def test_a_removal_is_finished_by_the_next_service(world):
    world.ask(add(2))
    world.step()
    world.ask(remove(2))
    world.begin()
    world.step()
    assert world.running() == 0
    assert world.notes.names("wanted/dga") == []


def test_the_failures_of_a_model_are_forgotten_with_it(world):
    world.ask(add(1))
    world.step()
    failed(world.notes, DGA, "out of luck")
    world.step()
    assert world.notes.names("failures/dga") == ["1.0"]
    world.ask(remove(1))
    world.step()
    assert world.notes.names("failures/dga") == []


def test_a_damaged_note_is_left_alone_and_the_others_count(world, place, caplog):
    world.ask(add(1))
    for text in ("{", "{}", "[]"):
        (place / "maas/ext/wanted/dga/9.9").write_text(text)
        world.begin()
    world.step()
    assert world.running() == 1
    assert "what was wanted of dga @ 9.9 can't be read" in caplog.text


def test_a_deployer_that_refuses_is_asked_again_and_the_reason_is_noted(world):
    scale = world.deployer.scale

    def refuse(*_):
        raise DeployError("no room")

    world.deployer.scale = refuse
    world.ask(add(1))
    world.step()
    assert world.notes.read("failures/dga/1.0")["last"] == "no room"
    world.deployer.scale = scale
    world.now += 1
    world.step()
    assert world.running() == 1


def test_a_deployer_that_fails_does_not_end_the_service(world, caplog):
    scale = world.deployer.scale
    world.deployer.scale = lambda *_: 1 / 0
    world.ask(add(1))
    world.step()
    assert "dga @ 1.0 can't be brought to 1 instances" in caplog.text
    world.deployer.scale = scale
    world.now += 1
    world.step()
    assert world.running() == 1


def test_a_full_disk_does_not_end_the_service(world, monkeypatch, caplog):
    monkeypatch.setattr("maas_runtime.service.service.TICK_SECONDS", 0.01)
    write = world.notes.write

    def refuse(*_):
        raise OSError(28, "No space left on device")

    world.notes.write = refuse
    world.queue.put(add(1).to_json())
    world.service._turn()
    assert "No space left on device" in caplog.text
    world.notes.write = write
    assert world.ask(add(1)) == {"wanted": 1}


def test_a_model_that_takes_long_keeps_no_other_waiting(world, eventually):
    scale, blocked = world.deployer.scale, threading.Event()

    def slow(deployment, instances):
        if deployment.model == DGA:
            blocked.wait(10)
        scale(deployment, instances)

    world.deployer.scale = slow
    world.ask(add(1))
    world.ask(add(1, version="2.0"))
    with ThreadPoolExecutor(4) as pool:
        world.service.reconcile(pool)
        eventually(lambda: world.running(Model("dga", "2.0")) == 1)
        assert world.running() == 0
        blocked.set()


def test_a_service_takes_from_the_queue_until_it_is_stopped_and_ends_what_it_ran(world, eventually):
    stop = threading.Event()
    thread = threading.Thread(target=world.service.run, args=(stop.is_set,))
    thread.start()
    for data in (b"null", b"not json", add(2).to_json()):
        world.queue.put(data)
    eventually(lambda: world.running() == 2)
    assert world.notes.is_led()
    stop.set()
    thread.join()
    assert world.running() == 0
    assert world.notes.read("wanted/dga/1.0")["instances"] == 2  # for the next one
    assert not world.notes.is_led()


def test_two_services_on_one_registry_are_refused(world):
    with world.notes.lead(lambda: False), pytest.raises(DeployError, match="a service runs already on"):
        world.service.run(lambda: True)


def test_only_the_last_answers_are_kept(world):
    for number in range(205):
        world.service.handle(Item(f"qn-{number:010d}", b"{}"))
    names = world.notes.names("requests")
    assert (len(names), names[0]) == (200, "qn-0000000005")
