"""The result cache: encoding, limits and expiry."""

from __future__ import annotations

import tracemalloc

import pytest

from stellar.maas import ClientSettings, ModelClient
from stellar.maas.client.result_cache import ENTRY_BYTES, ResultCache
from stellar.maas.transport.base import Response


class Clock:
    now = 5.5

    def __call__(self):
        return self.now


def cache_of(entries=10, seconds=600.0, max_bytes=1_000_000, clock=None):
    return ResultCache(entries, seconds, max_bytes, clock or Clock())


def test_stored_bytes_are_returned_unchanged():
    cache = cache_of()
    cache.put("a", b'{"a": 1}', cache.epoch)
    cache.put("b", b"", cache.epoch)
    assert cache.get("a") == b'{"a": 1}'
    assert cache.get("b") == b""
    assert cache.get("c") is None


def test_a_later_result_replaces_an_earlier_one():
    cache = cache_of()
    cache.put("a", b"first answer", cache.epoch)
    before = cache.bytes
    cache.put("a", b"second", cache.epoch)
    assert cache.get("a") == b"second"
    assert len(cache) == 1
    assert cache.bytes == before - len(b"answer")


def test_the_least_recently_used_result_is_dropped_first():
    cache = cache_of(entries=3)
    for key in "abc":
        cache.put(key, b"x", cache.epoch)
    assert cache.get("a") == b"x"
    cache.put("d", b"x", cache.epoch)
    assert [cache.get(key) for key in "abcd"] == [b"x", None, b"x", b"x"]


@pytest.mark.parametrize("seconds", [1.0, 600.0])
def test_a_result_is_used_until_it_expires(seconds):
    clock = Clock()
    cache = cache_of(seconds=seconds, clock=clock)
    clock.now += 10.0
    cache.put("a", b"x", cache.epoch)
    clock.now += seconds - 0.5
    assert cache.get("a") == b"x"
    clock.now += 1.0
    assert cache.get("a") is None
    assert len(cache) == cache.bytes == 0


def test_a_hit_does_not_extend_the_expiry_time():
    clock = Clock()
    cache = cache_of(seconds=2.0, clock=clock)
    cache.put("a", b"x", cache.epoch)
    for _ in range(3):
        clock.now += 0.6
        assert cache.get("a") == b"x"
    clock.now += 0.6
    assert cache.get("a") is None


def test_the_memory_is_bounded():
    cache = cache_of(entries=1000, max_bytes=10 * (ENTRY_BYTES + 300))
    for number in range(100):
        cache.put(f"{number:03}", b"x" * 100, cache.epoch)
    assert 0 < cache.bytes <= 10 * (ENTRY_BYTES + 300)
    assert 10 <= len(cache) < 20
    assert cache.get("099") is not None
    assert cache.get("000") is None


def test_a_result_larger_than_the_cache_is_not_stored_and_drops_nothing():
    cache = cache_of(max_bytes=1000)
    cache.put("a", b"x", cache.epoch)
    cache.put("b", b"x" * 2000, cache.epoch)
    assert cache.get("b") is None
    assert cache.get("a") == b"x"


def test_the_number_of_bytes_matches_the_stored_entries():
    cache = cache_of(entries=5)
    for number in range(50):
        cache.put(str(number % 7), b"x" * (number % 13), cache.epoch)
    assert cache.bytes > 0
    cache.clear()
    assert len(cache) == cache.bytes == 0
    assert cache.get("1") is None


@pytest.mark.parametrize("off", [{"entries": 0}, {"seconds": 0}, {"max_bytes": 0}])
def test_a_limit_of_zero_switches_it_off(off):
    cache = cache_of(**off)
    assert not cache.enabled
    cache.put("a", b"x", cache.epoch)
    assert cache.get("a") is None
    assert len(cache) == 0


def test_the_child_of_a_fork_begins_with_an_empty_cache():
    cache = cache_of()
    cache.put("a", b"x", cache.epoch)
    cache.after_fork()
    assert cache.get("a") is None
    cache.put("a", b"y", cache.epoch)
    assert cache.get("a") == b"y"


def test_a_hundred_thousand_small_results_take_at_most_thirty_megabytes():
    cache = cache_of(entries=100_000, max_bytes=64_000_000)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(100_000):
            cache.put(f"dga\x001.0\x001\x00apply?host=host{number}.com", b'{"is_malicious": "legit"}', cache.epoch)
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert len(cache) == 100_000
    assert taken <= 30_000_000
    assert 0.7 * taken <= cache.bytes <= 1.3 * taken  # the limit holds for the memory that is really used


class Doubled:
    def __init__(self, body):
        self.body, self.requests = body, 0

    def get(self, url):
        self.requests += 1
        return Response(200, self.body)

    def close(self):
        """Do nothing: no connection is open."""


def test_each_hit_returns_a_new_object(registry):
    transport = Doubled(b'{"a": [1, {"b": null}], "c": 1e3}')
    with ModelClient(registry, transport=transport) as client:
        results = [client.apply({"url": "http://one"}) for _ in range(3)]
        results[1]["a"][1]["b"] = "changed"
        assert client.apply({"url": "http://one"}) == results[0] == results[2] == {"a": [1, {"b": None}], "c": 1000.0}
    assert transport.requests == 1
    assert client.counters().cache_hits == 3


@pytest.mark.parametrize("settings", [{"cache_bytes": 0}, {"cache_size": 0}, {"cache_minutes": 0}])
def test_a_client_without_a_cache_makes_a_request_for_each_call(settings, registry):
    transport = Doubled(b"{}")
    with ModelClient(registry, ClientSettings(**settings), transport) as client:
        for _ in range(3):
            client.apply({"url": "http://one"})
    assert transport.requests == 3


def test_a_result_requested_before_a_clear_is_not_stored():
    cache = ResultCache(10, 600, 1_000_000)
    epoch = cache.epoch
    cache.clear()
    cache.put("a", b"x", epoch)
    assert cache.get("a") is None
    cache.put("a", b"x", cache.epoch)
    assert cache.get("a") == b"x"
