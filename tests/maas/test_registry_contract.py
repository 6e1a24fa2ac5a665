"""What every registry promises, asked of each; `writer` and `reader` look at one source."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from stellar.maas import FileRegistry, MemoryRegistry, ModelNotFound, Registry, ZooKeeperRegistry


class Pair(NamedTuple):
    writer: Registry
    reader: Registry


def memory(request):
    one = MemoryRegistry()
    return Pair(one, one)


def files(request):
    directory = request.getfixturevalue("tmp_path")
    return Pair(FileRegistry(directory), FileRegistry(directory))


def zookeeper(request):
    quorum = request.getfixturevalue("quorum")
    return Pair(ZooKeeperRegistry(quorum), ZooKeeperRegistry(quorum))


@pytest.fixture(params=[memory, files, pytest.param(zookeeper, marks=pytest.mark.engine)])
def pair(request):
    pair = request.param(request)
    yield pair
    for registry in pair:
        registry.close()


@pytest.fixture
def soon(eventually):
    """What one registry knows of what the other did: `soon(lambda: ids(...), ["7"])`."""

    def soon(ask, wanted):
        eventually(lambda: ask() == wanted, 1.0)

    return soon


def ids(instances):
    return [instance.id for instance in instances]


def test_what_is_registered_is_found(pair, make_instance, soon):
    made = make_instance("dga", "1.0", "7", "http://h:1")
    pair.writer.register(made)
    soon(lambda: pair.reader.instances(), (made,))


def test_an_endpoint_is_found_within_a_second(pair, make_instance, eventually):
    with pytest.raises(ModelNotFound):
        pair.reader.endpoint("dga")
    pair.writer.register(make_instance("dga", "1.0", "7", "http://h:1"))

    def found():
        try:
            return pair.reader.endpoint("dga")
        except ModelNotFound:
            return None

    assert eventually(found, 1.0).url == "http://h:1"
    assert pair.writer.endpoint("dga").url == "http://h:1"  # its own it knows at once


def test_instances_are_listed_by_name_then_natural_version(pair, make_instance, soon):
    for name, version, id in [("b", "1", "1"), ("a", "10.0", "2"), ("a", "9.0", "4"), ("a", "9.0", "3")]:
        pair.writer.register(make_instance(name, version, id, "http://h"))
    soon(lambda: ids(pair.reader.instances()), ["3", "4", "2", "1"])
    soon(lambda: ids(pair.reader.instances("a")), ["3", "4", "2"])
    soon(lambda: ids(pair.reader.instances(None, "1")), ["1"])
    soon(lambda: ids(pair.reader.instances("a", "9.0")), ["3", "4"])
    soon(lambda: pair.reader.instances("a", "9"), ())


def test_each_change_is_counted_and_nothing_else(pair, make_instance, soon):
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


def test_one_id_may_be_used_for_two_models(pair, make_instance, soon):
    for name in ("a", "b"):
        pair.writer.register(make_instance(name, "1.0", "7", "http://h"))
    pair.writer.unregister("a", "7")
    soon(lambda: [instance.name for instance in pair.reader.instances()], ["b"])


def test_unregistering_twice_or_what_was_never_there_is_no_error(pair, make_instance, soon):
    pair.writer.register(make_instance("dga", "1.0", "7", "http://h"))
    for _ in range(2):
        pair.writer.unregister("dga", "7")
    pair.writer.unregister("other", "1")
    soon(lambda: pair.reader.instances(), ())


def test_anyone_may_unregister(pair, make_instance, soon):
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
def test_a_name_or_id_that_is_no_part_of_a_path_is_refused(name, id, pair, make_instance, soon):
    with pytest.raises(ValueError, match=r"the (model's name|instance's id)"):
        pair.writer.register(make_instance(name, "1.0", id, "http://h"))
    soon(lambda: pair.reader.instances(), ())


def test_listeners_hear_of_what_came_and_what_went(pair, make_instance, eventually, soon):
    heard = []
    stop = pair.reader.listen(lambda added, removed: heard.append((ids(added), ids(removed))))
    pair.writer.register(make_instance("dga", "1.0", "7", "http://h"))
    eventually(lambda: heard == [(["7"], [])], 2.0)
    pair.writer.unregister("dga", "7")
    eventually(lambda: heard == [(["7"], []), ([], ["7"])], 2.0)
    stop()
    stop()
    pair.writer.register(make_instance("dga", "1.0", "9", "http://h"))
    soon(lambda: ids(pair.reader.instances()), ["9"])
    assert len(heard) == 2


def test_a_listener_may_ask_the_registry_and_may_fail(pair, make_instance, eventually, caplog):
    heard = []
    pair.reader.listen(lambda added, removed: 1 / 0)
    pair.reader.listen(lambda added, removed: heard.append(ids(pair.reader.instances())))
    pair.writer.register(make_instance("dga", "1.0", "7", "http://h"))
    eventually(lambda: heard == [["7"]])
    assert "a listener to changes of the model registry failed" in caplog.text
