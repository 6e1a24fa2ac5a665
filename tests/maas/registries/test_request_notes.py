"""Notes of requests: found with their item, and removed when nobody needs them."""

from __future__ import annotations

import pytest

from stellar.maas import FileQueue, MemoryQueue, ModelRequest, ZooKeeperQueue
from stellar.maas.requests import encode_note, make_note

QUEUES = {
    "memory": lambda request: MemoryQueue(),
    "file": lambda request: FileQueue(request.getfixturevalue("tmp_path")),
    "zookeeper": lambda request: ZooKeeperQueue(request.getfixturevalue("quorum")),
}
ADD = ModelRequest(name="dga", version="1.0", num_instances=1, action="ADD", path="/dga")


@pytest.fixture(params=["memory", "file", pytest.param("zookeeper", marks=pytest.mark.engine)])
def queue(request):
    made = QUEUES[request.param](request)
    yield made
    if request.param == "zookeeper":
        made.close()


def test_each_item_has_its_own_note_or_none(queue):
    notes = [make_note(content="/.content/a"), None, make_note()]
    for note in notes:
        queue.enqueue(ADD, note)
    found = queue.items()
    assert [item.note for item in found] == [None if note is None else encode_note(note) for note in notes]
    assert [item.data for item in found] == [ADD.to_json()] * 3
    assert len({item.id for item in found}) == 3


def test_discarding_an_item_removes_it_and_its_note(queue):
    for _ in range(2):
        queue.enqueue(ADD, make_note())
    first, second = queue.items()
    first.discard()
    assert [item.id for item in queue.items()] == [second.id]


def test_an_item_that_was_taken_leaves_no_note_for_a_later_one(queue):
    queue.enqueue(ADD, make_note())
    assert queue.take(0).data == ADD.to_json()
    queue.enqueue(ADD)
    assert [item.note for item in queue.items()] == [None]


def test_old_notes_of_lost_items_are_removed_and_those_of_waiting_ones_stay(queue, tmp_path):
    queue.enqueue(ADD, make_note())
    (before,) = queue.items()
    queue.remove_old_notes(-1.0)
    assert [item.note for item in queue.items()] == [before.note]
    if isinstance(queue, FileQueue):
        (tmp_path / "maas/queue" / before.name).unlink()  # by a consumer that knows no notes
        queue.remove_old_notes(60.0)
        assert len(list((tmp_path / "maas/ext/notes").iterdir())) == 1
        queue.remove_old_notes(-1.0)
        assert list((tmp_path / "maas/ext/notes").iterdir()) == []
    if isinstance(queue, ZooKeeperQueue):
        queue._zookeeper.delete(f"/maas/queue/{before.name}")
        queue.remove_old_notes(-1.0)
        assert queue._zookeeper.children("/maas/ext/notes") == []
