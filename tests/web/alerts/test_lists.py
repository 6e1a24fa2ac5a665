"""The list of alerts in a browser's terms: what it shows, filters and pages."""

from __future__ import annotations

import re

import pytest

from .conftest import START, list_links, make_alert


def times_of(page):
    return re.findall(r'href="/documents/[^"]+">([^<]+)</a>', page)


def test_the_list_shows_alerts_with_score_sensor_and_reasons(write_documents, open_page):
    harmless = {"guid": "h", "timestamp": START, "source.type": "squid", "url": "http://yahoo.com/"}
    page = open_page(write_documents(make_alert(7), harmless)).get("/").text
    assert times_of(page) == ["2019-10-15 18:20:39"]
    assert "Bad host: ben requested host7.example" in page
    assert re.search(r'class="score">7</td>', page)
    assert "yahoo" not in page


def test_all_documents_can_be_listed(write_documents, open_page):
    harmless = {"guid": "h", "timestamp": START, "source.type": "squid", "url": "http://yahoo.com/"}
    page = open_page(write_documents(make_alert(7), harmless)).get("/?show=all").text
    assert len(list_links(page)) == 2
    assert "no alert" in page


def test_the_name_of_the_page_in_metron_leads_to_the_list(write_documents, open_page):
    response = open_page(write_documents(make_alert())).get("/alerts-list")
    assert (response.status_code, response.headers["location"]) == (303, "/")


def test_an_empty_list_has_a_message(write_documents, open_page):
    assert "No alert matches." in open_page(write_documents(make_alert())).get("/?sensor=bro").text


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("sensor=bro", [3]),
        ("score=4", [5, 4]),
        ("text=HOST2.example", [2]),
        ("text=100%25", []),
        ("text=host_.example", []),
        ("since=2019-10-15T18:20:36", [5, 4]),
        ("until=2019-10-15T18:20:34", [1, 0]),
        ("since=2019-10-15T18:20:33&until=2019-10-15T18:20:35", [2, 1]),
        ("since=2019-10-15T18:20:33&until=2019-10-15T18:20:35&order=score", [2, 1]),
        ("order=score&score=4", [5, 4]),
        ("sensor=squid&score=2&order=score", [5, 4, 2]),
        ("sensor=squid&text=host1", [1]),
        ("show=all&score=4", [5, 4]),
        ("show=all&until=2019-10-15T18:20:34", [1, 0]),
        ("show=all&since=2019-10-15T18:20:36", [5, 4]),
        ("state=escalated", []),
        ("state=any&score=5", [5]),
    ],
)
def test_filters_select_documents(write_documents, open_page, query, numbers):
    documents = [make_alert(number) for number in range(6)]
    documents[3]["source.type"] = "bro"
    page = open_page(write_documents(*documents)).get(f"/?{query}")
    assert page.status_code == 200
    assert [int(each) for each in re.findall(r"requested host(\d)", page.text)] == numbers


@pytest.mark.parametrize("query", ["", "order=score", "show=all", "sensor=squid", "text=example"])
def test_pages_have_every_document_once_in_order(write_documents, open_page, query):
    documents = [make_alert(number) for number in range(120)]
    documents[5] |= {"timestamp": None, "threat.triage.score": None}
    documents[6] |= {"timestamp": "soon", "threat.triage.score": "high"}
    documents[7] |= {"threat.triage.score": float("-inf")}
    documents[8] |= {"timestamp": documents[9]["timestamp"], "threat.triage.score": 9.0}
    client = open_page(write_documents(*documents))
    seen, target = [], f"/?{query}"
    while target:
        page = client.get(target)
        assert page.status_code == 200
        seen += re.findall(r"requested host(\d+)", page.text)
        following = re.search(r'rel="next" href="([^"]+)"', page.text)
        target = following[1].replace("&amp;", "&") if following else ""
    assert sorted(map(int, seen)) == list(range(120))
    assert seen[-1] == ("0" if query == "show=all" else "5")  # null comes last


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("score=high", "expected a number, got &#39;high&#39;"),
        ("score=nan", "expected a number"),
        ("since=yesterday", "expected a time in UTC such as 2026-11-30T16:05"),
        ("since=2020-01-01&until=2019-01-01", "the end must be after the start"),
        ("order=up", "expected time, score, got &#39;up&#39;"),
        ("state=x", "expected unclosed, any, open, escalated, closed"),
        ("show=x", "expected alerts, all"),
        ("text=" + "x" * 201, "expected at most 200 characters, got 201"),
        ("after=xyz", "invalid position in the list"),
        ("after=WzEsIDIsIDNd", "invalid position in the list"),
        ("after=WyJ4IiwgMCwgMSwgMV0", "the order of the list has changed"),
        ("after=" + "x" * 5000, "invalid position in the list"),
    ],
)
def test_an_invalid_filter_is_an_error_with_the_expected_values(write_documents, open_page, query, message):
    page = open_page(write_documents(make_alert())).get(f"/?{query}")
    assert page.status_code == 400
    assert message in page.text


def test_a_position_of_another_order_is_an_error(write_documents, open_page):
    client = open_page(write_documents(*map(make_alert, range(60))))
    following = re.search(r"after=([^&\"]+)", client.get("/").text)
    page = client.get(f"/?order=score&after={following[1]}")
    assert (page.status_code, "the order of the list has changed" in page.text) == (400, True)


def test_the_sensors_are_offered_for_selection(write_documents, open_page):
    documents = [make_alert(number, **{"source.type": name}) for number, name in enumerate(["squid", "bro", "ärger"])]
    page = open_page(write_documents(*documents)).get("/").text
    assert re.findall(r'<option value="([^"]*)"', page)[:4] == ["", "bro", "squid", "ärger"]


def test_a_search_that_is_out_of_time_can_be_continued(write_documents, open_page):
    documents = [make_alert(number) for number in range(2000)]
    documents[0]["url"] = "needle"
    client = open_page(write_documents(*documents), seconds=0.0)
    page, pages = client.get("/?text=needle").text, 1
    assert "The search is not finished: it has reached 2019-10-15 18:" in page
    while not list_links(page):
        following = re.search(r'href="([^"]+)">Continue the search', page)
        page, pages = client.get(following[1].replace("&amp;", "&")).text, pages + 1
    assert (len(list_links(page)), pages > 2) == (1, True)


def test_a_database_without_indexes_is_listed_in_the_order_of_storage(write_documents, open_page):
    import sqlite3

    path = write_documents(make_alert(2), make_alert(1))
    with sqlite3.connect(path) as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'index'").fetchall():
            connection.execute(f"DROP INDEX {name}")
    connection.close()
    page = open_page(path).get("/").text
    assert re.findall(r"requested host(\d)", page) == ["1", "2"]
    assert "run stellar-pipeline alerts --create-indexes" in page
