"""SQLite as a source: time limits, locks, damage, and what a million rows must not cost."""

from __future__ import annotations

import sqlite3

import pytest

from stellar.web.alerts import sqlite_source
from stellar.web.alerts.queries import AlertQuery, SourceError
from stellar.web.alerts.sqlite_source import SqliteSource

from .conftest import START, make_alert


@pytest.fixture
def open_source():
    """A function that opens a database and closes it at the end."""
    opened = []

    def open_(path, **options):
        opened.append(SqliteSource(path, **options))
        return opened[-1]

    yield open_
    for each in opened:
        each.close()


def test_a_query_beyond_its_time_limit_is_an_error_with_advice(write_documents, open_source, monkeypatch):
    source = open_source(write_documents(*map(make_alert, range(2000))), statement_seconds=0.0)
    monkeypatch.setattr(sqlite_source, "_STEPS", 1)
    with pytest.raises(SourceError, match="took longer than 0 s; select a sensor or a time to narrow it"):
        source.find(AlertQuery(text="nothing"), "", 50, 60)


def test_the_page_of_a_query_beyond_its_time_limit_has_the_advice(write_documents, open_page, monkeypatch):
    client = open_page(write_documents(*map(make_alert, range(2000))))
    monkeypatch.setattr(sqlite_source, "_STEPS", 1)
    monkeypatch.setattr(sqlite_source.time, "monotonic", iter(range(10**9)).__next__)
    page = client.get("/?text=nothing")
    assert (page.status_code, "select a sensor or a time to narrow it" in page.text) == (503, True)


def test_a_locked_database_is_an_error_with_advice(write_documents, open_page):
    client = open_page(path := write_documents(make_alert()))
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN EXCLUSIVE")
    try:
        page = client.get("/")
    finally:
        writer.close()
    assert (page.status_code, "a writer has locked it for more than 2 s; retry in a moment" in page.text) == (503, True)
    assert client.get("/").status_code == 200


def test_a_damaged_database_is_an_error_with_advice(write_documents, open_page):
    path = write_documents(*map(make_alert, range(500)))
    client = open_page(path)
    with open(path, "r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 100_000)
    page = client.get("/?show=all")
    assert (page.status_code, "it is damaged" in page.text) == (503, True)


def test_documents_that_are_written_while_the_page_is_open_are_shown(write_documents, open_source):
    source = open_source(write_documents(make_alert(1)))
    write_documents(make_alert(2))
    assert [each.guid for each in source.find(AlertQuery(), "", 50, 60).alerts] == ["guid-2", "guid-1"]


def test_a_database_is_never_changed(write_documents, open_source, tmp_path):
    path = write_documents(make_alert(1))
    before = (tmp_path / "out.sqlite").read_bytes()
    source = open_source(path)
    source.find(AlertQuery(text="x"), "", 50, 60)
    with source._lend() as connection, pytest.raises(sqlite3.OperationalError, match="readonly"):
        connection.execute("DELETE FROM records")
    source.close()
    assert (tmp_path / "out.sqlite").read_bytes() == before


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (AlertQuery(), "records_alerts_by_time"),
        (AlertQuery(order="score"), "records_alerts_by_score"),
        (AlertQuery(sensor="squid"), "records_alerts_by_sensor"),
        (AlertQuery(since=1, until=2), "records_alerts_by_time"),
        (AlertQuery(least_score=5.0, order="score"), "records_alerts_by_score"),
    ],
)
def test_lists_are_read_from_an_index_without_sorting(write_documents, open_source, query, index):
    source = open_source(write_documents(*map(make_alert, range(200))))
    statements = []
    with source._lend() as connection:
        connection.set_trace_callback(statements.append)
    first = source.find(query, "", 50, 60)
    if first.cursor:
        source.find(query, first.cursor, 50, 60)
    reading = [each for each in statements if each.startswith("SELECT rowid, guid")]
    assert reading
    for statement in reading:
        with source._lend() as connection:
            plan = " ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}"))
        assert f"SEARCH records USING INDEX {index}" in plan
        assert "TEMP B-TREE" not in plan


@pytest.mark.parametrize(
    "query",
    [
        AlertQuery(least_score=98.0),
        AlertQuery(sensor="bro", order="score"),
        AlertQuery(since=0, until=START + 5_000, order="score"),
        AlertQuery(since=START + 295_000, order="score"),
        AlertQuery(until=START + 5_000, order="score"),
    ],
)
@pytest.mark.parametrize("most", [0, 5000])
def test_few_rows_of_a_filter_are_sorted_with_the_same_result(write_documents, open_source, monkeypatch, query, most):
    documents = [make_alert(number, **{"source.type": "squid" if number % 50 else "bro"}) for number in range(300)]
    monkeypatch.setattr(sqlite_source, "_MOST_SORTED", most)
    source = open_source(write_documents(*documents))
    found, cursor = [], ""
    while True:
        page = source.find(query, cursor, 2, 60)
        found += [int(alert.guid.removeprefix("guid-")) for alert in page.alerts]
        if not (cursor := page.cursor):
            break
    expected = [
        number
        for number in range(299, -1, -1)
        if (query.least_score is None or number % 100 >= query.least_score)
        and (not query.sensor or number % 50 == 0)
        and (query.since is None or START + number * 1000 >= query.since)
        and (query.until is None or START + number * 1000 < query.until)
    ]
    if query.order == "score":
        expected.sort(key=lambda number: -(number % 100))
    assert found == expected


def test_the_reasons_of_large_documents_are_left_out_of_the_list(write_documents, open_source):
    source = open_source(write_documents(make_alert(1, big="x" * 600_000), make_alert(2)))
    second, first = source.find(AlertQuery(), "", 50, 60).alerts
    assert (first.problem, first.reasons) == ("large document; open it to see its reasons", ())
    assert second.reasons == ("Bad host: ben requested host2.example",)
    assert "x" * 600_000 in source.read(first.id).text


def test_sections_are_adapted_to_the_time_that_they_take():
    assert sqlite_source._adapt(1000, 0.02) == 1000
    assert sqlite_source._adapt(1000, 0.2) == 100
    assert sqlite_source._adapt(1000, 0.0) == 8000
    assert sqlite_source._adapt(10, 10.0) == 10


def test_sensors_that_no_url_can_contain_are_left_out(write_documents, open_source):
    path = write_documents(make_alert(1), make_alert(2, **{"source.type": "zeek"}))
    with sqlite3.connect(path) as connection:
        for name in (b"\xff", b"t\xff"):
            connection.execute("INSERT INTO records VALUES ('g', 1, CAST(? AS TEXT), 'true', 5, '{}')", (name,))
    connection.close()
    assert open_source(path).list_sensors() == ["squid", "zeek"]


@pytest.mark.parametrize("spelling", ["true", "TRUE", "Yes", "y", "on", "1"])
def test_every_spelling_of_true_is_an_alert(write_documents, open_source, spelling):
    source = open_source(write_documents(make_alert(1, is_alert=spelling), make_alert(2, is_alert="no")))
    assert [each.guid for each in source.find(AlertQuery(), "", 50, 60).alerts] == ["guid-1"]
