"""Documents of a message that is read again have the same identifiers."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kafka_topics import Topics, Worker, write_to

from stellar.pipeline.worker.document_ids import MessageIds, make_document_id

pytestmark = pytest.mark.engine


def identify(message: Any) -> tuple[str, str]:
    """Return the header and the guid of a message."""
    return dict(message.headers())["document-id"].decode(), json.loads(message.value())["guid"]


def test_a_message_that_is_read_again_makes_the_same_documents(
    topics: Topics, tmp_path: Path, start: Callable[..., Worker]
) -> None:
    source, parsed, enriched, errors = (topics.create(name) for name in ("in", "parsed", "enriched", "errors"))
    parser = {"parserClassName": "JSONMap", "sensorTopic": source, "parserConfig": {"jsonpQuery": "$"}}
    (tmp_path / "c" / "parsers").mkdir(parents=True)
    (tmp_path / "c" / "parsers" / "s.json").write_text(json.dumps(parser))
    topics.send(source, [b'[{"n":1},{"n":2},{"n":3,"guid":"own"}]', b"bad", b'[{"n":4}]'], timestamp=1_700_000_000_000)
    common = ["--config", str(tmp_path / "c"), "--errors", f"topic:{errors}"]
    for group in ("first", "second"):
        worker = start(
            *common, "--sensor", "s", "--stage", "parse", "--idempotent", "--group", topics.name(group),
            "--output", f"topic:{parsed}",
        )  # fmt: skip
        topics.wait_until_committed(topics.name(group), source)
        worker.stop()
    found = [identify(message) for message in topics.read(parsed)]
    assert found[:4] == found[4:]
    assert len({header for header, _ in found}) == 4
    assert [guid for _, guid in found[:4]] == [found[0][0], found[1][0], "own", found[3][0]]
    first, second = (identify(message) for message in topics.read(errors))
    assert first == second
    assert first[0] == first[1]

    worker = start(*common, "--stage", "enrich", "--input", parsed, "--output", f"topic:{enriched}", "--group", "g")
    topics.wait_until_committed("g", parsed)
    worker.stop()
    passed_on = topics.read(enriched)
    assert [identify(message) for message in passed_on] == found
    assert {dict(message.headers())["document-time"] for message in passed_on} == {b"1700000000000"}


def test_a_message_that_a_broker_rejects_makes_the_same_error_document_again(
    topics: Topics, tmp_path: Path, start: Callable[..., Worker]
) -> None:
    source, errors = topics.create("in"), topics.create("errors")
    compacted = topics.create("out", **{"cleanup.policy": "compact"})  # rejects messages without a key
    parser = {"parserClassName": "JSONMap", "sensorTopic": source}
    (tmp_path / "c" / "parsers").mkdir(parents=True)
    (tmp_path / "c" / "parsers" / "s.json").write_text(json.dumps(parser))
    topics.send(source, [json.dumps({"n": n}).encode() for n in range(300)], timestamp=1_700_000_000_000)
    runs = []
    for group in (topics.name("first"), topics.name("second")):
        before = len(topics.read(errors))
        worker = start(
            "--config", str(tmp_path / "c"), "--sensor", "s", "--idempotent", "--group", group,
            *write_to(compacted, errors),
        )  # fmt: skip
        topics.wait_until_committed(group, source)
        assert "0 out + 0 dropped + 300 rejected" in worker.stop()
        messages = topics.read(errors)[before:]
        rejected = [json.loads(json.loads(message.value())["raw_message"])["guid"] for message in messages]
        runs.append(dict(zip(rejected, map(identify, messages), strict=True)))
        assert {dict(message.headers())["document-time"] for message in messages} == {b"1700000000000"}
    assert runs[0] == runs[1]
    assert len(runs[0]) == 300
    assert all(ids == (make_document_id(guid, "error", 1),) * 2 for guid, ids in runs[0].items())


def test_identifiers_differ_by_each_part() -> None:
    ids = [make_document_id(*parts) for parts in (("t", 0, 1, 0), ("t", 0, 10, 0), ("t", 0, 1, 1), ("u", 0, 1, 0))]
    assert len(set(ids)) == 4
    assert {uuid.UUID(each).version for each in ids} == {8}


def test_records_of_one_message_have_numbers() -> None:
    ids = MessageIds(("t", 0, 7))
    first, again = ids.make_guid(), ids.make_guid()  # the record passes a second parser
    assert first == ids.name_record() != again
    ids.finish_record()
    assert ids.make_guid() == ids.name_record() not in (first, again)
    assert len({ids.name_error(), ids.name_error()}) == 2
