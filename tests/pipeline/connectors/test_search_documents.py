"""The form of documents in search servers: index, identifier, type and names of fields."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stellar.pipeline.connectors.search.documents import BulkItem, DocumentForm
from stellar.pipeline.indexing import SearchWriter
from stellar.pipeline.records import Record

AT = 1571163620277


def make(document: Record, id: str | None = None, at: int | None = AT, form: Any = None, **writer: Any) -> BulkItem:
    settings = SearchWriter(**{"index": "squid", **writer})
    form = form or {}
    return DocumentForm(lambda sensor: settings, **form).make({"source.type": "squid", **document}, id, at)


def head_of(item: BulkItem) -> tuple[str, Record]:
    ((operation, head),) = json.loads(item.action).items()
    return operation, head


def test_the_index_has_the_date_by_the_pattern() -> None:
    assert head_of(make({}))[1]["_index"] == "squid_index_2019.10.15.18"
    assert head_of(make({}, form={"date_pattern": "yyyy.MM"}))[1]["_index"] == "squid_index_2019.10"
    assert head_of(make({}, at=None, form={"get_time": lambda: 0}))[1]["_index"] == "squid_index_1970.01.01.00"


def test_dates_of_many_hours_are_right() -> None:
    form = DocumentForm(lambda sensor: SearchWriter("s"))
    names = {form.make({"source.type": "s"}, None, hour * 3_600_000).index for hour in range(2500)}
    assert len(names) == 2500


def test_names_of_fields_have_colons() -> None:
    assert json.loads(make({"a.b.c": None, "d": {"e.f": 1}}).content) == {
        "source:type": "squid",
        "a:b:c": None,
        "d": {"e.f": 1},
    }
    assert json.loads(make({"a.b": 1}, has_colons=False).content) == {"source.type": "squid", "a.b": 1}


def test_two_fields_with_one_name_are_an_error() -> None:
    with pytest.raises(ValueError, match="two fields have the name 'a:b' in the index; rename one, or set fieldName"):
        make({"a.b": 1, "a:b": 2})


def test_an_identifier_is_that_of_the_source_or_the_guid_or_random() -> None:
    operation, head = head_of(make({"guid": "g"}, "of-the-source", has_guid=True))
    assert (operation, head["_id"]) == ("create", "of-the-source")
    operation, head = head_of(make({"guid": "g"}, has_guid=True))
    assert (operation, head["_id"]) == ("index", "g")
    first, second = (head_of(make({"guid": "g"}))[1]["_id"] for _ in range(2))
    assert len({first, second, "g"}) == 3
    assert len(head_of(make({"guid": ""}, has_guid=True))[1]["_id"]) == 36


def test_types_are_those_of_metron() -> None:
    assert head_of(make({}, form={"has_types": True}))[1]["_type"] == "squid_doc"
    assert "_type" not in head_of(make({}))[1]


def test_a_data_stream_has_no_date_but_a_timestamp() -> None:
    item = make({"timestamp": AT, "guid": "g"}, is_stream=True, has_guid=True)
    assert head_of(item) == ("create", {"_index": "squid", "_id": "g"})
    assert json.loads(item.content)["@timestamp"] == AT
    assert json.loads(make({"@timestamp": "2019"}, is_stream=True).content)["@timestamp"] == "2019"
    for wrong in (None, "now", True):
        with pytest.raises(ValueError, match="document has no timestamp as a number, which a data stream needs"):
            make({"timestamp": wrong}, is_stream=True)


@pytest.mark.parametrize(
    "name", ["Squid", "_squid", "-squid", "a b", "a,b", "a/b", "a\\b", "a*", "a#b", "x" * 260, "a:b", ""]
)
def test_a_name_that_no_index_can_have_is_an_error(name: str) -> None:
    with pytest.raises(ValueError, match=r"invalid name of an index .*: expected lowercase letters, digits"):
        make({}, index=name, is_stream=not name)


@pytest.mark.parametrize("name", ["squid", "squid-7", "1squid", "a.b", "ä"])
def test_a_valid_name_is_accepted(name: str) -> None:
    assert make({}, index=name).index == f"{name}_index_2019.10.15.18"


def test_an_identifier_that_is_too_long_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"identifier 'x+\.\.\. is longer than 512 bytes"):
        make({"guid": "x" * 513}, has_guid=True)
    assert head_of(make({"guid": "x" * 512}, has_guid=True))[1]["_id"] == "x" * 512


def test_a_document_without_a_sensor_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"document has no source\.type, which selects its index"):
        make({"source.type": None})


def test_strings_are_one_line_of_json_in_utf_8() -> None:
    item = make({"text": "a\nb ü \ud800"}, "ü\n")
    assert b"\n" not in item.content + item.action
    assert "ü".encode() in item.content
    assert item.size == len(item.action) + len(item.content) + 2
