"""The contract of registries, tested with each implementation; `writer` and `reader` share one source."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import pytest

from stellar.maas import (
    FileRegistry,
    MemoryRegistry,
    Model,
    ModelNotFound,
    Registry,
    Shadow,
    TrafficPlan,
    ZooKeeper,
    ZooKeeperRegistry,
)
from stellar.maas.registries.directory import write_atomically


class Pair(NamedTuple):
    """Two registries that share a source.

    put: write bytes as the traffic plan of a model, like another program; None removes it
    want: write the desired number of instances of a version of `dga`, like a service; None removes the node
    """

    writer: Registry
    reader: Registry
    put: Callable[[str, bytes | None], object]
    want: Callable[[str, int | bytes | None], object]


class Clock:
    """A fake clock."""

    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def note(instances):
    return instances if isinstance(instances, bytes) else json.dumps({"instances": instances, "path": "/dga"}).encode()


def memory(request):
    one = MemoryRegistry(clock=request.getfixturevalue("clock"))
    return Pair(
        one,
        one,
        lambda name, data: one.plan(name, TrafficPlan.from_json(data) if data else None),
        lambda version, instances: one.desire("dga", version, instances or 0),
    )


def files(request):
    directory, clock = request.getfixturevalue("tmp_path"), request.getfixturevalue("clock")

    def put(path, data):
        file = directory / "maas/ext" / path
        file.unlink() if data is None else write_atomically(directory, file, data).close()

    return Pair(
        FileRegistry(directory, clock=clock),
        FileRegistry(directory, clock=clock),
        lambda name, data: put(f"traffic/{name}", data),
        lambda version, instances: put(f"wanted/dga/{version}", None if instances is None else note(instances)),
    )


def zookeeper(request):
    quorum, clock = request.getfixturevalue("quorum"), request.getfixturevalue("clock")
    connection = ZooKeeper(quorum)
    request.addfinalizer(connection.close)

    def put(path, data):
        path = f"/maas/ext/{path}"
        connection.delete(path) if data is None else connection.write(path, data)

    return Pair(
        ZooKeeperRegistry(quorum, clock=clock),
        ZooKeeperRegistry(quorum, clock=clock),
        lambda name, data: put(f"traffic/{name}", data),
        lambda version, instances: put(f"wanted/dga/{version}", None if instances is None else note(instances)),
    )


@pytest.fixture(params=[memory, files, pytest.param(zookeeper, marks=pytest.mark.engine)])
def pair(request):
    pair = request.param(request)
    yield pair
    for registry in (pair.writer, pair.reader):
        registry.close()


@pytest.fixture
def soon(eventually):
    """Wait until one registry has seen a change of the other: `soon(lambda: ids(...), ["7"])`."""

    def soon(call, wanted):
        eventually(lambda: call() == wanted)

    return soon


def ids(instances):
    return [instance.id for instance in instances]


def test_registered_instances_are_found(pair, make_instance, soon):
    instance = make_instance("dga", "1.0", "7", "http://h:1")
    pair.writer.register(instance)
    soon(lambda: pair.reader.instances(), (instance,))


def test_an_endpoint_is_found_soon(pair, make_instance, eventually):
    with pytest.raises(ModelNotFound):
        pair.reader.endpoint("dga")
    pair.writer.register(make_instance("dga", "1.0", "7", "http://h:1"))

    def found():
        try:
            return pair.reader.endpoint("dga")
        except ModelNotFound:
            return None

    assert eventually(found).url == "http://h:1"
    assert pair.writer.endpoint("dga").url == "http://h:1"  # its own change, seen at once


def test_instances_are_listed_by_name_then_natural_version(pair, make_instance, soon):
    for name, version, id in [("b", "1", "1"), ("a", "10.0", "2"), ("a", "9.0", "4"), ("a", "9.0", "3")]:
        pair.writer.register(make_instance(name, version, id, "http://h"))
    soon(lambda: ids(pair.reader.instances()), ["3", "4", "2", "1"])
    soon(lambda: ids(pair.reader.instances("a")), ["3", "4", "2"])
    soon(lambda: ids(pair.reader.instances(None, "1")), ["1"])
    soon(lambda: ids(pair.reader.instances("a", "9.0")), ["3", "4"])
    soon(lambda: pair.reader.instances("a", "9"), ())


def test_only_changes_are_counted(pair, make_instance, soon):
    pair.writer.register(make_instance("dga", "1.0", "7", "http://h:1"))
    soon(lambda: ids(pair.reader.instances()), ["7"])
    before = pair.reader.changes
    pair.reader.instances()
    assert pair.reader.changes == before > 0
    pair.writer.unregister("dga", "7")
    soon(lambda: ids(pair.reader.instances()), [])
    assert pair.reader.changes > before


def test_registering_again_replaces(pair, make_instance, soon):
    for port in (1, 2):
        pair.writer.register(make_instance("dga", "1.0", "7", f"http://h:{port}"))
    soon(lambda: [instance.url for instance in pair.reader.instances()], ["http://h:2"])


def test_one_id_can_be_used_for_two_models(pair, make_instance, soon):
    for name in ("a", "b"):
        pair.writer.register(make_instance(name, "1.0", "7", "http://h"))
    pair.writer.unregister("a", "7")
    soon(lambda: [instance.name for instance in pair.reader.instances()], ["b"])


def test_unregistering_is_idempotent(pair, make_instance, soon):
    pair.writer.register(make_instance("dga", "1.0", "7", "http://h"))
    for _ in range(2):
        pair.writer.unregister("dga", "7")
    pair.writer.unregister("other", "1")
    soon(lambda: pair.reader.instances(), ())


def test_any_registry_can_unregister_an_instance(pair, make_instance, soon):
    pair.writer.register(make_instance("dga", "1.0", "7", "http://h"))
    pair.reader.unregister("dga", "7")
    soon(lambda: pair.writer.instances(), ())


def test_a_registration_ends_with_its_owner_unless_it_is_lasting(pair, make_instance, soon):
    pair.writer.register(make_instance("dga", "1.0", "7", "http://h"))
    pair.writer.register(make_instance("dga", "1.0", "8", "http://h", lasting=True))
    pair.writer.close()
    soon(lambda: ids(pair.reader.instances()), ["8"])
    pair.reader.unregister("dga", "8")
    soon(lambda: pair.reader.instances(), ())


@pytest.mark.parametrize(("name", "id"), [("../x", "1"), ("a/b", "1"), ("", "1"), ("a", ".."), ("a", ""), ("a", "1/2")])
def test_an_invalid_name_or_id_is_rejected(name, id, pair, make_instance, soon):
    with pytest.raises(ValueError, match=r"the (model's name|instance's id)"):
        pair.writer.register(make_instance(name, "1.0", id, "http://h"))
    soon(lambda: pair.reader.instances(), ())


def test_listeners_are_notified_of_added_and_removed_instances(pair, make_instance, eventually, soon):
    heard = []
    stop = pair.reader.listen(lambda added, removed: heard.append((ids(added), ids(removed))))
    pair.writer.register(make_instance("dga", "1.0", "7", "http://h"))
    eventually(lambda: heard == [(["7"], [])])
    pair.writer.unregister("dga", "7")
    eventually(lambda: heard == [(["7"], []), ([], ["7"])])
    stop()
    stop()
    pair.writer.register(make_instance("dga", "1.0", "9", "http://h"))
    soon(lambda: ids(pair.reader.instances()), ["9"])
    assert len(heard) == 2


def test_a_listener_can_use_the_registry_and_can_fail(pair, make_instance, eventually, caplog):
    heard = []
    pair.reader.listen(lambda added, removed: 1 / 0)
    pair.reader.listen(lambda added, removed: heard.append(ids(pair.reader.instances())))
    pair.writer.register(make_instance("dga", "1.0", "7", "http://h"))
    eventually(lambda: heard == [["7"]])
    assert "a listener of the model registry raised an error" in caplog.text


# --- traffic plans


CANARY = TrafficPlan({"1.0": 75, "2.0": 25})


@pytest.fixture
def versions(pair, make_instance, soon):
    """Return a function that registers instances of versions: `versions({"1.0": 2})`."""

    def make(instances):
        for version, count in instances.items():
            for number in range(count):
                pair.writer.register(
                    make_instance("dga", version, f"{version}-{number}", f"http://{version}:{number + 1}")
                )
        soon(lambda: Counter(i.model.version for i in pair.reader.instances("dga")), Counter(instances))

    return make


def requested(registry, times, *arguments):
    return Counter(registry.endpoint("dga", *arguments).version for _ in range(times))


def test_a_plan_is_seen_changed_and_removed_within_a_second(pair, soon):
    assert pair.reader.traffic("dga") is None
    for plan in (CANARY, TrafficPlan(shadow=Shadow("2.0", 0.5)), TrafficPlan({"1.0": 1, "2.0": 1}, per_instance=True)):
        pair.put("dga", plan.to_json())
        soon(lambda plan=plan: pair.reader.traffic("dga"), plan)
    assert pair.reader.traffic("other") is None
    pair.put("dga", None)
    soon(lambda: pair.reader.traffic("dga"), None)
    pair.put("dga", CANARY.to_json())
    soon(lambda: pair.reader.traffic("dga"), CANARY)


def test_the_plan_applies_only_to_calls_without_a_version(pair, versions, soon):
    versions({"1.0": 1, "2.0": 1, "3.0": 1})
    pair.put("dga", CANARY.to_json())
    soon(lambda: pair.reader.traffic("dga"), CANARY)
    assert requested(pair.reader, 400).keys() == {"1.0", "2.0"}
    assert requested(pair.reader, 10, "3.0").keys() == {"3.0"}
    with pytest.raises(ModelNotFound, match=r"has no version '4.0'"):
        pair.reader.endpoint("dga", "4.0")
    assert len(requested(pair.reader, 50, None, "a key")) == 1


def test_a_plan_never_leads_to_a_version_without_instances(pair, versions, soon):
    pair.put("dga", CANARY.to_json())
    soon(lambda: pair.reader.traffic("dga"), CANARY)
    with pytest.raises(ModelNotFound):
        pair.reader.endpoint("dga")
    versions({"0.9": 1, "3.0": 1})
    assert requested(pair.reader, 20) == {"3.0": 20}
    versions({"0.9": 1, "3.0": 1, "2.0": 1})
    assert requested(pair.reader, 20) == {"2.0": 20}


def test_a_plan_applies_from_the_first_read(pair, versions, soon):
    """A reader that sees an instance also sees the plan written before it."""
    versions({"1.0": 1})
    pair.reader.endpoint("dga")
    for number in range(10):
        version = f"2.{number}"
        pair.put("dga", TrafficPlan({"1.0": 1, version: 0}).to_json())
        versions({"1.0": 1, version: 1})
        assert requested(pair.reader, 5) == {"1.0": 5}
        pair.writer.unregister("dga", f"{version}-0")
        soon(lambda: len(pair.reader.instances()), 1)


def test_a_plan_does_not_count_as_a_change(pair, versions, soon):
    versions({"1.0": 1})
    before = pair.reader.changes
    pair.put("dga", CANARY.to_json())
    soon(lambda: pair.reader.traffic("dga"), CANARY)
    assert pair.reader.changes == before


@pytest.mark.parametrize("pair", [files, pytest.param(zookeeper, marks=pytest.mark.engine)], indirect=True)
@pytest.mark.parametrize("rubbish", [b"{", b"[]", b"\xff", b'{"weights": {"1.0": -1}}', b'{"weights": {"1.0": 0}}'])
def test_an_invalid_plan_is_ignored_with_one_warning(rubbish, pair, versions, soon, caplog):
    versions({"1.0": 1, "2.0": 1})
    pair.put("dga", TrafficPlan({"1.0": 1}).to_json())
    soon(lambda: pair.reader.endpoint("dga").version, "1.0")
    pair.put("dga", rubbish)
    soon(lambda: pair.reader.endpoint("dga").version, "2.0")
    pair.reader.instances()
    warnings = [r.getMessage() for r in caplog.records if "invalid traffic plan" in r.getMessage()]
    assert 1 <= len(warnings) <= 2  # one for each registry that has read it
    assert "traffic/dga" in warnings[0]


# --- snapshots


def test_only_the_version_that_changes_gets_a_new_snapshot(pair, make_instance, soon):
    for name in ("a", "b"):
        for version in ("1.0", "2.0"):
            pair.writer.register(make_instance(name, version, version, f"http://{name}:{version[0]}"))
    soon(lambda: len(pair.reader.instances()), 4)
    others = [("a", "1.0"), ("b", "1.0"), ("b", "2.0")]
    before = [pair.reader.version(*each) for each in others]
    changed = pair.reader.version("a", "2.0")
    pair.writer.register(make_instance("a", "2.0", "x", "http://a:3"))
    soon(lambda: len(pair.reader.instances("a", "2.0")), 2)
    assert all(pair.reader.version(*each) is known for each, known in zip(others, before, strict=True))
    assert pair.reader.version("a", "2.0") is not changed
    assert pair.reader.version("a", "2.0") is pair.reader.version("a", "2.0")


def test_a_snapshot_sorts_instances_by_id_and_has_distinct_urls(pair, make_instance, soon):
    for id, port in (("3", 1), ("1", 2), ("2", 1)):
        pair.writer.register(make_instance("dga", "1.0", id, f"http://h:{port}"))
    soon(lambda: len(pair.reader.instances()), 3)
    snapshot = pair.reader.version("dga", "1.0")
    assert (snapshot.model, ids(snapshot.instances)) == (Model("dga", "1.0"), ["1", "2", "3"])
    assert snapshot.urls == ("http://h:1", "http://h:2")
    assert snapshot.settings == {}
    assert pair.reader.version("dga", "2.0") is None
    assert pair.reader.version("other", "1.0") is None


def test_a_version_without_instances_has_no_snapshot(pair, make_instance, soon):
    pair.writer.register(make_instance("dga", "1.0", "7", "http://h"))
    soon(lambda: len(pair.reader.instances()), 1)
    pair.writer.unregister("dga", "7")
    soon(lambda: pair.reader.instances(), ())
    assert pair.reader.version("dga", "1.0") is None


def test_the_same_instance_registered_later_is_a_change_of_its_version(pair, make_instance, soon):
    pair.writer.register(make_instance("dga", "1.0", "7", "http://h", now=1.0))
    soon(lambda: len(pair.reader.instances()), 1)
    before = pair.reader.version("dga", "1.0")
    pair.writer.register(make_instance("dga", "1.0", "7", "http://h", now=2.0))
    soon(lambda: [each.registration_time_utc for each in pair.reader.instances()], [2000])
    assert pair.reader.version("dga", "1.0") is not before


# --- settings


def settings(registry, version="1.0"):
    registry.instances()
    snapshot = registry.version("dga", version)
    return None if snapshot is None else {url: dict(each) for url, each in snapshot.settings.items()}


@pytest.mark.parametrize("lasting", [False, True])
def test_settings_are_seen_and_replaced_with_the_instance(lasting, pair, make_instance, soon):
    for id in ("7", "8"):
        instance = make_instance("dga", "1.0", id, f"http://h:{id}", lasting=lasting)
        pair.writer.register(instance, {"hedge": False} if id == "7" else None)
    soon(lambda: len(pair.reader.instances()), 2)
    assert settings(pair.reader) == {"http://h:7": {"hedge": False}}
    again = make_instance("dga", "1.0", "7", "http://h:7", lasting=lasting, now=1.0)
    pair.writer.register(again, {"hedge": True})
    soon(lambda: settings(pair.reader), {"http://h:7": {"hedge": True}})
    pair.writer.register(again)
    soon(lambda: settings(pair.reader), {})


def test_a_change_of_the_settings_alone_is_a_change(pair, make_instance, soon):
    instance = make_instance("dga", "1.0", "7", "http://h:7")
    pair.writer.register(instance)
    soon(lambda: settings(pair.reader), {})
    before = pair.reader.changes
    pair.writer.register(instance, {"hedge": False})
    soon(lambda: settings(pair.reader), {"http://h:7": {"hedge": False}})
    assert pair.reader.changes > before


def test_an_instance_registered_by_another_owner_has_the_new_settings(pair, make_instance, soon):
    pair.writer.register(make_instance("dga", "1.0", "7", "http://h:7"), {"hedge": False})
    pair.writer.unregister("dga", "7")
    soon(lambda: pair.reader.instances(), ())
    pair.reader.register(make_instance("dga", "1.0", "7", "http://h:7"))
    assert settings(pair.reader) == {}


def test_settings_that_json_can_not_represent_are_rejected(pair, make_instance):
    if not isinstance(pair.writer, MemoryRegistry):
        with pytest.raises(ValueError, match="not JSON compliant"):
            pair.writer.register(make_instance("dga", "1.0", "7", "http://h:7"), {"hedge": float("nan")})
        assert pair.reader.instances() == ()


# --- the desired state


def test_a_version_is_desired_until_it_is_removed(pair, soon):
    assert not pair.reader.is_desired("dga")
    assert not pair.reader.is_desired("dga", "1.0")
    pair.want("1.0", 2)
    soon(lambda: pair.reader.is_desired("dga", "1.0"), True)
    assert pair.reader.is_desired("dga")
    assert not pair.reader.is_desired("dga", "2.0")
    assert not pair.reader.is_desired("other")
    pair.want("1.0", 0)
    soon(lambda: pair.reader.is_desired("dga", "1.0"), False)
    pair.want("1.0", 1)
    soon(lambda: pair.reader.is_desired("dga"), True)
    pair.want("1.0", None)
    soon(lambda: pair.reader.is_desired("dga"), False)
    pair.want("1.0", 1)
    soon(lambda: pair.reader.is_desired("dga", "1.0"), True)


def test_a_change_of_the_desired_state_is_a_change(pair, soon):
    for instances in (1, 2, 0):
        before = pair.reader.changes
        pair.want("1.0", instances)
        soon(lambda: pair.reader.changes > before, True)  # noqa: B023


def test_one_desired_version_makes_its_model_desired(pair, soon):
    pair.want("1.0", 0)
    pair.want("2.0", 1)
    soon(lambda: pair.reader.is_desired("dga", "2.0"), True)
    assert pair.reader.is_desired("dga")
    assert not pair.reader.is_desired("dga", "1.0")


def test_an_unmanaged_version_is_desired_for_five_seconds_after_its_last_instance_left(
    pair, make_instance, soon, clock
):
    for id in ("7", "8"):
        pair.writer.register(make_instance("dga", "1.0", id, f"http://h:{id}"))
    soon(lambda: len(pair.reader.instances()), 2)
    for id, left in (("7", 1), ("8", 0)):
        clock.now += 100.0
        assert pair.reader.is_desired("dga", "1.0")
        pair.writer.unregister("dga", id)
        soon(lambda left=left: len(pair.reader.instances()), left)
    clock.now += 4.9
    assert pair.reader.is_desired("dga", "1.0")
    assert pair.reader.is_desired("dga")
    clock.now += 0.2
    assert not pair.reader.is_desired("dga", "1.0")
    assert not pair.reader.is_desired("dga")


def test_a_removed_version_is_not_desired_while_it_still_has_instances(pair, make_instance, soon):
    pair.want("1.0", 1)
    pair.writer.register(make_instance("dga", "1.0", "7", "http://h"))
    soon(lambda: pair.reader.is_desired("dga", "1.0"), True)
    pair.want("1.0", 0)
    soon(lambda: pair.reader.is_desired("dga", "1.0"), False)
    soon(lambda: len(pair.reader.instances()), 1)
    assert not pair.reader.is_desired("dga")


def test_the_removal_of_a_version_is_seen_before_its_last_instance_leaves(pair, make_instance, eventually):
    """The service writes that a version is removed before it unregisters its instances."""
    for number in range(20):
        version = f"1.{number}"
        pair.want(version, 1)
        pair.writer.register(make_instance("dga", version, version, "http://h"))
        eventually(lambda v=version: pair.reader.is_desired("dga", v) and pair.reader.version("dga", v))
        pair.want(version, 0 if number % 2 else None)
        pair.writer.unregister("dga", version)
        eventually(lambda v=version: pair.reader.version("dga", v) is None)
        assert not pair.reader.is_desired("dga", version)


@pytest.mark.parametrize("pair", [files, pytest.param(zookeeper, marks=pytest.mark.engine)], indirect=True)
@pytest.mark.parametrize("rubbish", [b"", b"{", b"7", b"\xff", b'{"instances": -1}', b'{"instances": true}', b"{}"])
def test_an_invalid_desired_state_changes_nothing(rubbish, pair, soon, caplog):
    pair.want("1.0", 1)
    soon(lambda: pair.reader.is_desired("dga", "1.0"), True)
    pair.want("1.0", rubbish)
    pair.want("2.0", rubbish)
    pair.want("3.0", 1)
    soon(lambda: pair.reader.is_desired("dga", "3.0"), True)
    assert pair.reader.is_desired("dga", "1.0")
    assert not pair.reader.is_desired("dga", "2.0")
    assert "wanted/dga/1.0 is ignored" in caplog.text
