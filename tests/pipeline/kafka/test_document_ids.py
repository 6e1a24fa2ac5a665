"""Documents of a message that is read again have the same identifiers."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kafka_topics import Topics, Worker

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
