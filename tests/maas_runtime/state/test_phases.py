"""The phases of instances, as they are published and read."""

from __future__ import annotations

import os

import pytest

from maas_runtime.state.phases import PhasePublisher, Problem, read_phases, remove_phase
from maas_runtime.state.store import DirectoryStateStore
from stellar.maas import Model

DGA = Model("dga", "1.0")
NO_ENDPOINT = Problem("it wrote no endpoint.dat yet", "the script must write it")


@pytest.fixture
def make_publisher(make_store):
    """Make a publisher with a state store of its own, as another process would."""

    def make(model=DGA, id="7", clock=lambda: 1000.0):
        return PhasePublisher(make_store(), model, id, "node1", clock)

    return make


@pytest.fixture
def reader(make_store):
    return make_store()


def test_a_phase_is_read_with_its_reason_duration_and_fix(make_publisher, reader, eventually):
    with make_publisher() as publisher:
        publisher.publish("starting", NO_ENDPOINT)
        (phase,) = eventually(lambda: read_phases(reader, "dga"))
    assert (phase.model, phase.id, phase.host, phase.pid) == (DGA, "7", "node1", os.getpid())
    assert phase.describe(1012.4) == "starting: it wrote no endpoint.dat yet (12 s); the script must write it"


def test_a_phase_without_a_problem_is_described_by_its_name(make_publisher, reader, eventually):
    with make_publisher() as publisher:
        publisher.publish("ready")
        (phase,) = eventually(lambda: read_phases(reader, "dga"))
    assert phase.describe() == "ready"


def test_the_duration_begins_anew_with_another_reason_only(make_publisher, reader, eventually):
    now = [1000.0]
    with make_publisher(clock=lambda: now[0]) as publisher:
        publisher.publish("starting", NO_ENDPOINT)
        now[0] = 1005.0
        publisher.publish("starting", NO_ENDPOINT)
        eventually(lambda: read_phases(reader, "dga"))
        assert read_phases(reader, "dga")[0].since == 1000.0
        publisher.publish("starting", Problem("another"))
        eventually(lambda: read_phases(reader, "dga")[0].since == 1005.0)


def test_a_phase_ends_with_its_publisher(make_publisher, reader, eventually):
    with make_publisher() as publisher:
        publisher.publish("ready")
        eventually(lambda: read_phases(reader, "dga"))
    assert read_phases(reader, "dga") == []
    assert reader.names("phases/dga") == []


def test_phases_are_selected_by_version(make_publisher, reader, eventually):
    with make_publisher() as one, make_publisher(Model("dga", "2.0"), "8") as two:
        one.publish("ready")
        two.publish("starting")
        eventually(lambda: len(read_phases(reader, "dga")) == 2)
        assert [phase.id for phase in read_phases(reader, "dga", "2.0")] == ["8"]
        assert read_phases(reader, "dga", "3.0") == []
        assert read_phases(reader, "other") == []


def test_a_removed_phase_is_published_again(make_publisher, reader, eventually, monkeypatch):
    monkeypatch.setattr("maas_runtime.state.phases.REPEAT_SECONDS", 0.01)
    with make_publisher() as publisher:
        publisher.publish("ready")
        eventually(lambda: read_phases(reader, "dga"))
        reader.write("phases/dga/7", None)
        eventually(lambda: read_phases(reader, "dga"))


HOSTILE = [
    {},
    {"version": 1, "phase": None, "reason": ["x"], "fix": {}, "since": "now", "host": 7, "pid": "x"},
    {"version": "1.0", "phase": "x\x1b[2J", "reason": "y\n" * 10_000, "fix": "\x07", "since": 0, "pid": True},
]


@pytest.mark.parametrize("entry", HOSTILE)
def test_a_phase_with_invalid_values_is_harmless(entry, reader, make_store):
    publisher = make_store()
    publisher.publish("phases/dga/7", entry)
    (phase,) = read_phases(reader, "dga")
    assert phase.describe().isprintable()
    assert len(phase.describe()) < 2000
    publisher.unpublish("phases/dga/7")


def test_a_store_that_cannot_be_written_is_logged_once_and_does_not_stop_the_publisher(
    tmp_path, eventually, monkeypatch, caplog
):
    reader = DirectoryStateStore(tmp_path)
    monkeypatch.setattr("maas_runtime.state.phases.REPEAT_SECONDS", 0.01)
    (tmp_path / "maas/ext").mkdir(parents=True)
    (tmp_path / "maas/ext/phases").write_text("in the way")
    with PhasePublisher(DirectoryStateStore(tmp_path), DGA, "7") as publisher:
        publisher.publish("ready")
        eventually(lambda: "cannot publish the phase" in caplog.text)
        (tmp_path / "maas/ext/phases").unlink()
        eventually(lambda: read_phases(reader, "dga"))
    assert caplog.text.count("cannot publish the phase") == 1


def test_the_file_of_a_killed_runner_is_not_read_and_can_be_removed(tmp_path):
    reader = DirectoryStateStore(tmp_path)
    reader.write("phases/dga/7", {"phase": "ready"})  # no process holds it locked
    assert read_phases(reader, "dga") == []
    remove_phase(reader, DGA, "7")
    assert reader.names("phases/dga") == []
    remove_phase(reader, DGA, "7")
