"""Reading and following of rotated log files, written as the runner writes them."""

from __future__ import annotations

import os

import pytest

from maas_runtime.cli.containers import InstanceDirectory
from maas_runtime.cli.log_files import CHUNK_BYTES, Follower, LogStream, read_history
from maas_runtime.runner.logs import LogLimits, RotatedFile
from stellar.maas import Model


@pytest.fixture
def instance(tmp_path):
    folder = tmp_path / "containers" / "a1"
    folder.mkdir(parents=True)
    return InstanceDirectory(folder, Model("dga", "1.0"), 0.0, False)


@pytest.fixture
def make_log(instance):
    """Return a writer of a log of the instance, with files of at most `max_bytes`."""
    writers = []

    def make(name="stdout", max_bytes=40, backups=3):
        writers.append(RotatedFile(instance.folder / name, LogLimits(max_bytes, backups)))
        return writers[-1]

    yield make
    for writer in writers:
        writer.close()


@pytest.fixture
def open_stream(instance):
    """Return a reader of a log of the instance."""
    streams = []

    def make(name="stdout"):
        streams.append(LogStream(instance, name))
        return streams[-1]

    yield make
    for stream in streams:
        stream.close()


def texts(lines):
    return [line.text for line in lines]


def write_numbers(log, first, last):
    for number in range(first, last):
        log.write(b"line %d\n" % number)


def numbers(first, last):
    return [f"line {number}" for number in range(first, last)]


def test_rotated_files_are_read_from_the_oldest_to_the_latest(instance, make_log, open_stream):
    write_numbers(make_log(), 0, 15)
    assert len(list(instance.folder.iterdir())) == 3
    assert texts(read_history([open_stream()])) == numbers(0, 15)


@pytest.mark.parametrize("tail", [0, 1, 2, 7, 14, 15, 16, 1000])
def test_the_last_lines_may_be_in_several_files(tail, make_log, open_stream):
    write_numbers(make_log(), 0, 15)
    assert texts(read_history([open_stream()], tail)) == numbers(max(0, 15 - tail), 15)


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1])
def test_the_last_lines_may_be_longer_than_a_block(size, make_log, open_stream):
    make_log(max_bytes=1 << 20).write(b"first\n" + b"x" * size + b"\nlast")
    assert texts(read_history([open_stream()], 1)) == []  # without a line end, until it ends
    stream = open_stream()
    lines = [*read_history([stream], 2), *stream.end_line()]
    assert "".join(texts(lines)) == "x" * size + "last"


def test_files_are_interleaved_by_the_time_of_their_last_write(instance, make_log, open_stream):
    for name, times in (("stdout", [100, 300]), ("stderr", [200, 400])):
        log = make_log(name, max_bytes=12)
        for time in times:
            log.write(b"%s %d\n" % (name.encode(), time))
        for file, time in zip((f"{name}.1", name), times, strict=True):
            os.utime(instance.folder / file, (time, time))
    streams = [open_stream(name) for name in ("stdout", "stderr")]
    assert texts(read_history(streams)) == ["stdout 100", "stderr 200", "stdout 300", "stderr 400"]


@pytest.fixture
def follow(instance):
    """Follow the instance, or those in a list."""
    followers = []

    def make(instances=None):
        found = [instance] if instances is None else instances
        followers.append(Follower(lambda: found, ["stdout"]))
        return followers[-1]

    yield make
    for follower in followers:
        for stream in follower.streams:
            stream.close()


def test_following_loses_and_repeats_nothing_while_files_are_rotated(instance, make_log, follow):
    log = make_log()
    write_numbers(log, 0, 7)
    follower = follow()
    found = texts(read_history(follower.streams))
    for first, last in ((7, 8), (8, 9), (9, 20), (20, 32), (32, 33)):  # several rotations at once
        write_numbers(log, first, last)
        found += texts(follower.read_new())
    assert found == numbers(0, 33)
    assert not list(follower.take_lost())


def test_removed_files_are_reported_once(instance, make_log, follow):
    log = make_log()
    write_numbers(log, 0, 3)
    follower = follow()
    found = texts(read_history(follower.streams))
    write_numbers(log, 3, 60)
    found += texts(follower.read_new())
    assert found[:3] == numbers(0, 3)
    assert found[-10:] == numbers(50, 60)
    assert [stream.name for stream in follower.take_lost()] == ["stdout"]
    assert not list(follower.take_lost())


def test_a_line_is_shown_when_it_is_complete(instance, make_log, follow):
    log = make_log(max_bytes=1000)
    follower = follow()
    for data, expected in ((b"", []), (b"a", []), (b"b\nc", ["ab"]), (b"\n", ["c"]), (b"\r\n\xff\n", ["", "\ufffd"])):
        log.write(data)
        assert texts(follower.read_new()) == expected


def test_a_line_without_end_is_cut(instance, make_log, follow):
    make_log(max_bytes=1 << 20).write(b"x" * (3 * CHUNK_BYTES))
    found = texts(follow().read_new())
    assert found
    assert all(len(line) <= 2 * CHUNK_BYTES for line in found)


def test_the_logs_of_a_failed_instance_are_read_to_the_end(instance, make_log, follow):
    log = make_log()
    instances = [instance]
    follower = follow(instances)
    write_numbers(log, 0, 3)
    assert texts(follower.read_new()) == numbers(0, 3)
    write_numbers(log, 3, 12)
    log.write(b"the end")
    failed = instance.folder.parent / "failed"
    failed.mkdir()
    instance.folder.rename(failed / "a1")
    instances.clear()
    assert texts(follower.read_new()) == [*numbers(3, 12), "the end"]
    assert not follower.streams


def test_an_instance_that_starts_later_is_followed_from_its_begin(instance, make_log, follow):
    instances = []
    follower = follow(instances)
    assert texts(follower.read_new()) == []
    write_numbers(make_log(), 0, 15)
    instances.append(instance)
    assert texts(follower.read_new()) == numbers(0, 15)
