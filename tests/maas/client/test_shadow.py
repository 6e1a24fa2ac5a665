"""Shadow calls: copies of calls to another version, and the comparison of the results."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from stellar import compile, evaluate_many
from stellar.language.context import Context
from stellar.maas import (
    Chosen,
    ClientSettings,
    MemoryRegistry,
    ModelClient,
    ModelUnavailable,
    Registry,
    Shadow,
    TrafficPlan,
)
from stellar.maas.client import shadow as module
from stellar.maas.client.shadow import BoundedFile, Disagreement, is_same_json


class World:
    """Two versions, the second of which is the shadow; `world.call("a.com")` names no version."""

    def __init__(self, serve, make_instance):
        self.registry = MemoryRegistry()
        self.reported, self.gate = [], threading.Event()
        self.gate.set()
        self.other = {"is_malicious": "legit"}  # the shadow's response; bytes are sent unchanged
        self.model = serve()
        self.shadow = serve(self._shadowed)
        self._to_response = serve.respond
        for version, server in (("1.0", self.model), ("2.0", self.shadow)):
            self.registry.register(make_instance("dga", version, version, server.url))
        self.registry.plan("dga", TrafficPlan({"1.0": 1}, shadow=Shadow("2.0")))

    def _shadowed(self, handler):
        self.gate.wait(600)  # longer than any test; opened at its end
        body = self.other if isinstance(self.other, bytes) else json.dumps(self.other).encode()
        self._to_response(body=body)(handler)

    def client(self, **settings):
        settings = ClientSettings(**{"timeout_ms": 20_000, "cache_size": 0, **settings})
        return ModelClient(self.registry, settings, on_disagreement=self.reported.append)

    def call(self, client, host, version=None, function=None):
        endpoint = self.registry.endpoint("dga", version).as_map()
        return client.apply(Chosen(endpoint) if version is None else endpoint, function, {"host": host})


@pytest.fixture
def world(serve, make_instance):
    return World(serve, make_instance)


def counts(client):
    counted = client.counters()
    return counted.compared, counted.disagreed, counted.shadow_failed, counted.shadow_dropped


def test_a_shadow_gets_calls_without_a_version_and_agrees(world):
    with world.client() as client:
        for host in ("a.com", "b.com"):
            assert world.call(client, host) == {"is_malicious": "legit"}
    assert sorted(world.shadow.paths) == sorted(world.model.paths) == ["/apply?host=a.com", "/apply?host=b.com"]
    assert counts(client) == (2, 0, 0, 0)
    assert (client.counters().calls, client.counters().requests) == (2, 2)
    assert world.reported == []


def test_a_disagreement_is_reported_and_the_caller_gets_the_models_result(world):
    world.other = {"is_malicious": "malicious", "score": 7}
    with world.client() as client:
        assert world.call(client, "a.com", function="score/x") == {"is_malicious": "legit"}
    (reported,) = world.reported
    assert abs(reported.at - time.time() * 1000) < 60_000
    assert reported == Disagreement(
        reported.at,
        "dga",
        "1.0",
        "2.0",
        "score/x",
        {"host": "a.com"},
        {"is_malicious": "legit"},
        {"is_malicious": "malicious", "score": 7},
    )
    assert counts(client) == (1, 1, 0, 0)


def test_the_compared_keys_can_be_restricted(world):
    world.other = {"is_malicious": "legit", "version": "2.0"}
    with world.client(shadow_keys=("is_malicious",)) as client:
        world.call(client, "a.com")
    assert counts(client) == (1, 0, 0, 0)
    world.other = {"version": "2.0"}
    with world.client(shadow_keys=("is_malicious",)) as client:
        world.call(client, "a.com")
    assert counts(client) == (1, 1, 0, 0)


def test_calls_with_a_version_and_calls_of_the_shadow_are_not_copied(world):
    with world.client() as client:
        world.call(client, "a.com", version="1.0")
        world.call(client, "a.com", version="2.0")
        world.registry.plan("dga", TrafficPlan({"2.0": 1}, shadow=Shadow("2.0")))
        world.call(client, "a.com")
        client.apply({"url": world.model.url}, None, {"host": "made.by.hand"})
    assert counts(client) == (0, 0, 0, 0)
    assert len(world.shadow.paths) == 2


def test_cache_hits_are_not_copied(world):
    with world.client(cache_size=10) as client:
        for _ in range(5):
            world.call(client, "a.com")
    assert client.counters().cache_hits == 4
    assert counts(client) == (1, 0, 0, 0)


def test_a_share_of_the_calls_is_copied(world, eventually):
    world.registry.plan("dga", TrafficPlan({"1.0": 1}, shadow=Shadow("2.0", 0.25)))
    with world.client() as client:
        for number in range(400):
            world.call(client, f"{number}.com")
            if number % 100 == 99:
                eventually(lambda: not client._shadows._open)  # so that none is dropped
    compared, *_ = counts(client)
    assert (compared - 100) ** 2 / 100 + (compared - 100) ** 2 / 300 < 33


@pytest.mark.parametrize("response", [b"<html>", b"[1]", b"", b'{"a": ' + b"[" * 5000 + b"]" * 5000 + b"}"])
def test_an_invalid_response_of_a_shadow_is_counted_and_harmless(response, world):
    world.other = response
    with world.client() as client:
        assert world.call(client, "a.com") == {"is_malicious": "legit"}
    assert counts(client) == (0, 0, 1, 0)
    assert world.registry.breakers.all_closed
    assert client.counters().failures == {}
    assert world.reported == []


def test_an_unreachable_shadow_is_counted(world):
    world.registry.unregister("dga", "2.0")
    with world.client() as client:
        world.call(client, "a.com")
    assert counts(client) == (0, 0, 1, 0)


def test_failed_calls_are_not_copied(world):
    world.model.close()
    with world.client(retries=0, wait_ms=0) as client, pytest.raises(ModelUnavailable):
        world.call(client, "a.com")
    assert counts(client) == (0, 0, 0, 0)


def test_a_hanging_shadow_delays_no_caller_and_gets_a_limited_number_of_calls(world, monkeypatch, bounded):
    monkeypatch.setattr(module, "MOST_OPEN", 10)
    world.gate.clear()
    with world.client(shadow_in_flight=2, timeout_ms=600_000) as client:
        with bounded():
            for number in range(100):
                world.call(client, f"{number}.com")
        assert counts(client) == (0, 0, 0, 90)
        assert len(world.shadow.paths) <= 2
        world.gate.set()
    assert counts(client) == (10, 0, 0, 90)


def test_a_hanging_shadow_does_not_block_the_closing_of_the_client(world, bounded):
    world.gate.clear()
    client = world.client(shadow_in_flight=2, timeout_ms=2000)
    for number in range(20):
        world.call(client, f"{number}.com")
    with bounded():
        client.close()
    world.gate.set()
    compared, disagreed, failed, dropped = counts(client)
    assert compared == disagreed == 0
    assert failed + dropped == 20
    assert failed >= 2


def test_pending_calls_are_sent_before_the_client_closes(world):
    world.gate.clear()
    client = world.client(shadow_in_flight=1)
    for number in range(20):
        world.call(client, f"{number}.com")
    threading.Timer(0.2, world.gate.set).start()
    client.close()
    assert counts(client) == (20, 0, 0, 0)


def test_an_error_in_the_callback_is_logged(world, caplog):
    world.other = {}
    with ModelClient(world.registry, on_disagreement=lambda _: 1 / 0) as client:
        world.call(client, "a.com")
        world.call(client, "b.com")
    assert counts(client) == (2, 2, 0, 0)
    assert "the callback for disagreements of shadows raised an error" in caplog.text


def test_a_stream_of_records_is_compared(world):
    world.other = {"is_malicious": "malicious"}
    call = compile("MAP_GET('is_malicious', MAAS_MODEL_APPLY(MAAS_GET_ENDPOINT('dga'), {'host': host}))")
    records = [{"host": f"{number}.com"} for number in range(200)]
    with world.client(batch_size=1) as client:
        context = Context({Registry: world.registry, ModelClient: client})
        results = list(evaluate_many(call, records, context, in_flight=16))
    assert results == ["legit"] * 200
    assert counts(client) == (200, 200, 0, 0)
    assert {reported.arguments["host"] for reported in world.reported} == {record["host"] for record in records}


# --- the file


def test_disagreements_are_lines_of_json_for_any_arguments(world, tmp_path):
    file = tmp_path / "shadow.jsonl"
    world.other = b'{"x": 1e999, "y": "\\ud800", "z": "a\\nb"}'
    hosts = ["plain", "two\nlines", '"},{"', "naïve \u2028 \x1b[31m", "\ud800", "a&b=c+d%20~"]
    with world.client(shadow_file=str(file)) as client:
        for host in hosts:
            world.call(client, host)
        endpoint = Chosen(world.registry.endpoint("dga").as_map())
        client.apply(endpoint, None, {"nothing": None, "empty": "", "list": [1, None]})
    assert file.read_bytes().isascii()
    lines = [json.loads(line, parse_constant=pytest.fail) for line in file.read_text().splitlines()]
    requested = [line["arguments"] for line in lines]
    assert {"nothing": None, "empty": "", "list": "[1,null]"} in requested
    assert {each.get("host") for each in requested} == {*hosts[:4], "?", hosts[5], None}  # as the models received it
    assert lines[0]["shadow_answer"] == {"x": None, "y": "\ud800", "z": "a\nb"}
    assert lines[0].keys() == {
        *("at", "model", "version", "shadow", "function", "arguments", "answer", "shadow_answer"),
    }
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_an_unwritable_file_is_reported_once_and_harmless(world, tmp_path, caplog):
    world.other = {}
    with world.client(shadow_file=str(tmp_path / "no" / "such")) as client:
        for host in ("a", "b"):
            assert world.call(client, host) == {"is_malicious": "legit"}
    assert counts(client) == (2, 2, 0, 0)
    assert len([r for r in caplog.records if "can't write disagreements of a shadow" in r.getMessage()]) == 1


def lines_of(path):
    return [line for file in path.parent.glob(f"{path.name}*") for line in file.read_text().splitlines()]


def test_a_full_file_is_rotated(tmp_path):
    file = BoundedFile(path := tmp_path / "log", most=100, files=3)
    for number in range(100):
        file.write(f"line {number:03}")  # 9 bytes with the newline
    assert sorted(each.name for each in tmp_path.iterdir()) == ["log", "log.1", "log.2"]
    assert path.read_text() == "line 099\n"
    assert (tmp_path / "log.1").read_text().splitlines()[0] == "line 088"
    assert sorted(lines_of(path)) == [f"line {number:03}" for number in range(77, 100)]
    file.write("x" * 500)  # longer than the limit: it gets a file of its own
    assert path.read_text() == "x" * 500 + "\n"


def test_one_file_without_rotation_is_possible(tmp_path):
    file = BoundedFile(path := tmp_path / "log", most=20, files=1)
    for number in range(5):
        file.write(f"line {number:03}")
    assert [*tmp_path.iterdir()] == [path]
    assert path.read_text() == "line 004\n"


WRITE_MANY = """
import sys
from stellar.maas.client.shadow import BoundedFile

path, name = sys.argv[1:]
file = BoundedFile(path, most=2000, files=1000)
for number in range(300):
    file.write(f"{name} {number} {'x' * 20}")
"""


def test_several_processes_and_threads_can_write_one_file(tmp_path):
    path = tmp_path / "log"
    file = BoundedFile(path, most=2000, files=1000)
    programs = [subprocess.Popen([sys.executable, "-c", WRITE_MANY, path, name]) for name in ("p0", "p1")]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(file.write, (f"{name} {number} {'x' * 20}" for name in ("t0", "t1") for number in range(300))))
    assert [program.wait(30) for program in programs] == [0, 0]
    expected = {f"{name} {number} {'x' * 20}" for name in ("p0", "p1", "t0", "t1") for number in range(300)}
    assert sorted(lines_of(path)) == sorted(expected)
    assert all(os.stat(file).st_size <= 2000 for file in tmp_path.iterdir())


@pytest.mark.parametrize(
    ("one", "other", "are_same"),
    [
        (1, 1.0, True),
        (True, 1, False),
        (False, 0, False),
        (None, None, True),
        (None, False, False),
        ("1", 1, False),
        ({"a": 1, "b": [1, {"c": None}]}, {"b": [1.0, {"c": None}], "a": 1}, True),
        ({"a": [True]}, {"a": [1]}, False),
        ({"a": None}, {}, False),
        ([1, 2], [2, 1], False),
        ([], {}, False),
        (10**400, 10**400 + 1, False),
    ],
)
def test_values_are_compared_as_json(one, other, are_same):
    assert is_same_json(one, other) is are_same
    assert is_same_json(other, one) is are_same


@pytest.mark.parametrize(
    ("key", "value", "field", "read"),
    [
        ("maas.shadow.file", "/var/log/x", "shadow_file", "/var/log/x"),
        ("maas.shadow.keys", ["a", "b"], "shadow_keys", ("a", "b")),
        ("maas.shadow.in.flight", 3, "shadow_in_flight", 3),
    ],
)
def test_settings_come_from_the_global_configuration(key, value, field, read):
    assert getattr(ClientSettings.from_global({key: value}), field) == read


@pytest.mark.parametrize(
    ("key", "value"),
    [("maas.shadow.file", 7), ("maas.shadow.keys", "a"), ("maas.shadow.keys", [1]), ("maas.shadow.in.flight", 0)],
)
def test_an_invalid_setting_is_rejected_by_its_key(key, value):
    with pytest.raises(ValueError, match=key):
        ClientSettings.from_global({key: value})
