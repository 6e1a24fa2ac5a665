"""Choice of an instance: versions, load, circuits."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from forked import call_in_thread

from stellar.maas.errors import ModelNotFound
from stellar.maas.registries.memory import MemoryRegistry
from stellar.maas.registry import natural_order
from stellar.maas.snapshots import MAX_SUGGESTIONS
from stellar.net.breaker import CircuitBreakers, normal_url

VERSIONS = "0.9 1 1.0-dev 1.0-alpha 1.0-beta2 1.0-rc1 1.0-rc2 1.0 1.0-patch 1.0.1 1.1 v2.0 9.0 10.0 10.0.1"
ORDERED = VERSIONS.split()


def test_versions_are_ordered_as_people_read_them():
    shuffled = random.Random(7).sample(ORDERED, len(ORDERED))
    assert sorted(shuffled, key=natural_order) == ORDERED


@pytest.mark.parametrize("version", ["", "final", "²", "1..2", "٣", "é" * 100, "9" * 5000])
def test_every_string_can_be_ordered(version):
    assert sorted([version, "1.0"], key=natural_order)


@pytest.mark.parametrize(("order", "newest"), [("natural", "10.0"), ("lexical", "9.0")])
def test_the_version_defaults_to_the_newest(order, newest, make_instance):
    registry = MemoryRegistry(order)
    for version in ("1.0", "9.0", "10.0"):
        registry.register(make_instance("dga", version, version, f"http://h/{version}"))
    assert registry.endpoint("dga").version == newest
    assert registry.endpoint("dga", "1.0").version == "1.0"


def test_the_newest_version_is_chosen_even_if_all_its_circuits_are_open(registry, make_instance):
    for version in ("1.0", "2.0"):
        registry.register(make_instance("dga", version, version, f"http://h/{version}"))
    registry.breakers.record_refused("http://h/2.0")
    assert registry.endpoint("dga").version == "2.0"


def test_an_unknown_order_is_rejected():
    with pytest.raises(ValueError, match="unknown order of versions 'newest': expected natural or lexical"):
        MemoryRegistry("newest")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("other",), "no model 'other' is registered"),
        (("other", "1.0"), "no model 'other' is registered"),
        ((" dga ",), "no model ' dga ' is registered; did you mean 'dga', without the surrounding whitespace?"),
        (("DGS",), "no model 'DGS' is registered; did you mean 'dga'?"),
        (("dga", "3.0"), "model 'dga' has no version '3.0'; registered: 1.0, 2.0"),
    ],
)
def test_an_unknown_model_is_named_in_the_error(arguments, message, registry, make_instance):
    for version in ("2.0", "1.0"):
        registry.register(make_instance("dga", version, version, "http://h"))
    with pytest.raises(ModelNotFound) as raised:
        registry.endpoint(*arguments)
    assert str(raised.value) == message


def test_load_is_spread_evenly_over_the_instances(registry, make_instance):
    random.seed(1)
    for number in range(3):
        registry.register(make_instance("dga", "1.0", str(number), f"http://h/{number}"))
    counts = Counter(registry.endpoint("dga").url for _ in range(3000))
    assert sorted(counts) == ["http://h/0", "http://h/1", "http://h/2"]
    assert all(900 <= count <= 1110 for count in counts.values())


def test_an_instance_is_avoided_while_its_circuit_is_open(make_instance):
    now = 0.0
    registry = MemoryRegistry(breakers=CircuitBreakers(failures=1, clock=lambda: now))
    for number in range(2):
        registry.register(make_instance("dga", "1.0", str(number), f"http://h{number}:80/"))
    registry.breakers.record_failure("HTTP://H0")
    now = 1.0
    registry.breakers.record_failure("http://h0/")
    now = 2.9
    assert {registry.endpoint("dga").url for _ in range(100)} == {"http://h1:80/"}
    now = 3.0
    assert {registry.endpoint("dga").url for _ in range(100)} == {"http://h0:80/", "http://h1:80/"}


def test_an_instance_is_returned_even_if_all_circuits_are_open(registry, make_instance):
    registry.register(make_instance("dga", "1.0", "1", "http://h"))
    registry.breakers.record_refused("http://h")
    assert registry.endpoint("dga").url == "http://h"


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("HTTP://Node1:80/", "http://node1"),
        ("https://Node1:443/Path/", "https://node1/Path"),
        ("http://node1:8080", "http://node1:8080"),
        ("http://node1:443", "http://node1:443"),
        ("nonsense", "nonsense"),
    ],
)
def test_a_url_has_one_normal_form(url, normal):
    assert normal_url(url) == normal


def test_suggestions_for_unknown_names_are_limited(registry, make_instance, monkeypatch):
    compared = []
    monkeypatch.setattr("stellar.maas.snapshots.find_nearest", lambda name, known: compared.append(name))
    registry.register(make_instance("dga", "1.0", "1", "http://h"))
    for _ in range(2):
        for number in range(1000):
            with pytest.raises(ModelNotFound):
                registry.endpoint(f"made up {number}")
    assert len(compared) == MAX_SUGGESTIONS
    registry.register(make_instance("dga", "2.0", "2", "http://h"))  # the same names
    with pytest.raises(ModelNotFound):
        registry.endpoint("made up 5")
    assert len(compared) == MAX_SUGGESTIONS
    registry.register(make_instance("other", "1.0", "1", "http://h"))
    with pytest.raises(ModelNotFound):
        registry.endpoint("made up 5")
    assert compared[-1] == "made up 5"


def test_changes_made_by_a_listener_are_notified_in_order(registry, make_instance):
    heard = []

    def answer_with_a_change(added, removed):
        if added[0].id == "1":
            registry.register(make_instance("dga", "1.0", "2", "http://h"))

    registry.listen(answer_with_a_change)
    registry.listen(lambda added, removed: heard.append(added[0].id))
    registry.register(make_instance("dga", "1.0", "1", "http://h"))
    assert heard == ["1", "2"]


def test_no_lock_is_held_while_listeners_are_called(registry, make_instance):
    done = []

    def use(added, removed):
        registry.listen(print)()
        registry.unregister("dga", "none")
        done.append(registry.endpoint("dga").url)

    registry.listen(lambda *change: call_in_thread(lambda: use(*change)))
    registry.register(make_instance("dga", "1.0", "1", "http://h"))
    assert done == ["http://h"]


def test_the_number_of_tracked_removed_versions_is_limited(registry, monkeypatch):
    monkeypatch.setattr("stellar.maas.registry.MAX_REMOVED", 3)
    for number in range(10):
        registry.desire("dga", str(number), 1)
        registry.desire("dga", str(number), 0)
    assert len(registry._desired) <= 4
    assert not registry.is_desired("dga", "9")
