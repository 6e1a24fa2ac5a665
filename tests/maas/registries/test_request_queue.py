"""The contract of request queues, tested with each implementation."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from stellar.maas import FileQueue, MemoryQueue, ModelRequest, ZooKeeperQueue

ADD = ModelRequest(name="dga", version="1.0", num_instances=1, memory=512, action="ADD", path="/user/root/models")


QUEUES = {
    "memory": lambda request: MemoryQueue(),
    "file": lambda request: FileQueue(request.getfixturevalue("tmp_path")),
    "zookeeper": lambda request: ZooKeeperQueue(request.getfixturevalue("quorum")),
}


@pytest.fixture(params=["memory", "file", pytest.param("zookeeper", marks=pytest.mark.engine)])
def queue(request):
    queue = QUEUES[request.param](request)
    yield queue
    if request.param == "zookeeper":
        queue.close()


def test_requests_are_taken_in_order(queue):
    names = [queue.enqueue(ModelRequest(name=str(number))) for number in range(12)]
    assert names == [f"qn-{number:010d}" for number in range(12)]
    taken = [queue.take(0) for _ in range(12)]
    assert [item.name for item in taken] == names
    assert [ModelRequest.from_json(item.data).name for item in taken] == [str(number) for number in range(12)]
    assert queue.take(0) is None


def test_an_item_contains_the_bytes_that_were_sent(queue):
    queue.enqueue(ADD)
    assert queue.take(0).data == ADD.to_json()
    for data in (b"null", b"", b"\xff not json"):
        queue.put(data)
        assert queue.take(0).data == data


def test_waiting_items_are_listed_in_order_and_stay_in_the_queue(queue):
    assert queue.items() == []
    names = [queue.put(data) for data in (b"1", b"\xff", b"")]
    assert [(item.name, item.data) for item in queue.items()] == [*zip(names, (b"1", b"\xff", b""), strict=True)]
    assert queue.take(0).name == names[0]
    assert [item.name for item in queue.items()] == names[1:]


def test_a_name_is_never_reused(queue):
    names = []
    for _ in range(3):
        names.append(queue.enqueue(ADD))
        queue.take(0)
    assert len(set(names)) == 3


def test_taking_waits_for_an_item_up_to_its_time_limit(queue, bounded):
    with bounded():
        assert queue.take(0.05) is None
        timer = threading.Timer(0.05, queue.enqueue, [ADD])
        timer.start()
        assert queue.take(600).data == ADD.to_json()
    timer.join()


def test_concurrent_producers_and_consumers_lose_and_duplicate_nothing(queue):
    with ThreadPoolExecutor(8) as pool:
        sent = list(pool.map(lambda number: queue.enqueue(ModelRequest(name=str(number))), range(60)))
        taken = list(pool.map(lambda _: queue.take(1), range(60)))
    assert len(set(sent)) == 60
    assert sorted(int(ModelRequest.from_json(item.data).name) for item in taken) == list(range(60))
    assert queue.take(0) is None


def test_foreign_files_in_the_directory_are_left_alone(tmp_path):
    queue = FileQueue(tmp_path)
    queue.enqueue(ADD)
    for name in ("other", "qn-x"):
        (tmp_path / "maas/queue" / name).write_bytes(b"?")
    assert [queue.take(0).name, queue.take(0).name, queue.take(0)] == ["qn-0000000000", "qn-x", None]
    assert (tmp_path / "maas/queue/other").exists()


def test_numbers_continue_after_existing_items(tmp_path):
    queue = FileQueue(tmp_path)
    queue.enqueue(ADD)
    (tmp_path / "maas/queue/qn-0000000041").write_bytes(ADD.to_json())
    assert queue.enqueue(ADD) == "qn-0000000042"
    assert FileQueue(tmp_path).enqueue(ADD) == "qn-0000000043"
