"""The alerts page over search servers: the documents that a run has written, with every filter and every page."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
from search_servers import Search

pytest.importorskip("starlette", reason="the alerts page needs the extra `alerts`")
pytest.importorskip("uvicorn", reason="the alerts page needs the extra `alerts`")

from stellar.pipeline.cli import main
from stellar.pipeline.connectors.search.client import SearchClient
from stellar.pipeline.connectors.search.settings import SearchSettings
from stellar.web.alerts.access import AccessRules
from stellar.web.alerts.notes import AlertNotes
from stellar.web.alerts.pages import Site
from stellar.web.alerts.queries import AlertQuery, SourceError
from stellar.web.alerts.search_source import SearchSource, _find_end
from stellar.web.alerts.server import format_url, make_server, open_listener

pytestmark = pytest.mark.engine

START = 1_571_163_632_536  # 2019-10-15 18:20:32 UTC
RULES = {
    "threatIntel": {
        "triageConfig": {
            "riskLevelRules": [
                {"name": "Rule", "rule": "score > 0", "score": "score", "reason": "FORMAT('reason of %d', n)"}
            ],
            "aggregator": "MAX",
        }
    }
}


def line(number: int, **fields: Any) -> str:
    alert = {"is_alert": "true", "score": number % 10 + 1}
    record = {"guid": f"guid-{number}", "timestamp": START + number * 1000, "n": number, "original_string": "x"}
    return json.dumps({**record, **alert, **fields})


@pytest.fixture
def write(search: Search, config: Callable[..., Path], run: Callable[..., int]) -> Callable[..., None]:
    """A function that writes lines by a run, with the template for the index if `template` is true."""

    def write(*lines: str, template: bool = True, **writer: Any) -> None:
        directory = config(search, **writer)
        (directory / "enrichments").mkdir(exist_ok=True)
        (directory / "enrichments/squid.json").write_text(json.dumps(RULES))
        if template:
            assert main(["template", search.target, "--config", str(directory)]) == 0
        assert run(directory, list(lines), "--output", search.target, "--errors", "/dev/null") == 0
        search.request("POST", "_refresh")

    return write


@pytest.fixture
def open_source(search: Search) -> Iterator[Callable[..., SearchSource]]:
    """A function that opens the indices of this test."""
    with ExitStack() as stack:

        def make(**options: Any) -> SearchSource:
            client = SearchClient(SearchSettings(search.kind, (search.server.url,)))
            stack.callback(client.close)
            return SearchSource(client, f"{search.name('squid')}_index_*", **{"seconds": 60.0, **options})

        yield make


@pytest.fixture
def open_page(open_source: Callable[..., SearchSource], tmp_path: Path) -> Iterator[Callable[..., httpx.Client]]:
    """A function that returns a client of the page."""
    with ExitStack() as stack:

        def make() -> httpx.Client:
            notes = AlertNotes(str(tmp_path / "notes.sqlite"))
            stack.callback(notes.close)
            site = Site(open_source(), notes, AccessRules(), seconds=60.0)
            server, listener = make_server(site), open_listener("127.0.0.1", 0)
            thread = Thread(target=server.run, kwargs={"sockets": [listener]})
            thread.start()

            def stop() -> None:
                server.should_exit = True
                thread.join()
                listener.close()

            stack.callback(stop)
            return stack.enter_context(httpx.Client(base_url=format_url(site, listener), timeout=60))

        yield make


def numbers_of(page: str) -> list[int]:
    return [int(each) for each in re.findall(r"reason of (\d+)", page)]


@pytest.mark.parametrize("template", [True, False])
@pytest.mark.parametrize("converter", ["DEDOT", "NOOP"])
def test_every_filter_selects_documents(
    write: Callable[..., None], open_page: Callable[..., httpx.Client], template: bool, converter: str
) -> None:
    lines = [line(number, user=f"user{number} of team") for number in range(6)]
    lines.append(json.dumps({"guid": "harmless", "timestamp": START, "original_string": "x"}))
    write(*lines, template=template, fieldNameConverter=converter)
    client = open_page()
    for query, expected in [
        ("", [5, 4, 3, 2, 1, 0]),
        ("score=5", [5, 4]),
        ("order=score&score=5", [5, 4]),
        ("sensor=squid", [5, 4, 3, 2, 1, 0]),
        ("sensor=bro", []),
        ("text=user3", [3]),
        ("text=User3+of", [3]),
        ("since=2019-10-15T18:20:36", [5, 4]),
        ("until=2019-10-15T18:20:34", [1, 0]),
        ("state=closed", []),
    ]:
        page = client.get(f"/?{query}")
        assert (page.status_code, numbers_of(page.text)) == (200, expected), query
    assert client.get("/?show=all").text.count('href="/documents/') == 7
    assert '<option value="squid">' in client.get("/").text


@pytest.mark.parametrize("query", ["", "order=score"])
def test_pages_have_every_document_once(
    write: Callable[..., None], open_page: Callable[..., httpx.Client], query: str
) -> None:
    write(*(line(number, timestamp=START + number // 7) for number in range(120)))
    client, target, seen = open_page(), f"/?{query}", []
    while target:
        response = client.get(target)
        assert response.status_code == 200
        seen.append(numbers_of(response.text))
        following = re.search(r'rel="next" href="([^"]+)"', response.text)
        target = following[1].replace("&amp;", "&") if following else ""
    assert [len(each) for each in seen] == [50, 50, 20]
    assert sorted(number for page in seen for number in page) == list(range(120))


def test_the_newest_alerts_are_found_however_far_apart_they_are(
    write: Callable[..., None], open_source: Callable[..., SearchSource]
) -> None:
    minute, day = 60_000, 24 * 3_600_000
    ages = [0, 1, 50_000, 30 * minute, 5 * 3_600_000, 3 * day, 40 * day, 4000 * day]
    write(*(line(number, timestamp=START - age) for number, age in enumerate(ages)), line(8, timestamp=-5))
    source = open_source()
    for most in range(1, 10):
        found, cursor = [], ""
        while True:
            page = source.find(AlertQuery(), cursor, most, 60)
            found += [alert.guid for alert in page.alerts]
            if not (cursor := page.cursor):
                break
        assert found == [f"guid-{number}" for number in range(9)]
    recent = source.find(AlertQuery(since=START - 5 * 3_600_000, until=START), "", 1, 60).alerts
    assert [alert.guid for alert in recent] == ["guid-1"]


def test_a_page_does_not_end_between_documents_that_are_sorted_alike() -> None:
    hits = [{"sort": [number]} for number in (9, 8, 7, 7, 7, 5)]
    assert [_find_end(hits, most) for most in (1, 2, 3, 4, 5, 6)] == [1, 2, 2, 2, 5, 6]
    assert _find_end(hits[2:], 1) == 1


def test_a_document_is_shown_annotated_and_closed(
    write: Callable[..., None], open_page: Callable[..., httpx.Client]
) -> None:
    write(line(1, user="<script>alert(1)</script>\u202e"), line(2))
    client = open_page()
    link = re.findall(r'href="(/documents/[^"]+)"', client.get("/").text)[1]
    page = client.get(link).text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;<span" in page
    assert "reason of 1" in page
    assert client.get(f"{link}/json").json()["guid"] == "guid-1"
    token = re.search(r'name="form_token" value="(\w+)"', page)
    assert token is not None
    assert client.post(f"{link}/events", data={"action": "close", "form_token": token[1]}).status_code == 303
    assert numbers_of(client.get("/").text) == [2]
    assert numbers_of(client.get("/?state=closed").text) == [1]


def test_documents_outside_of_the_indices_cannot_be_read(
    search: Search, write: Callable[..., None], open_source: Callable[..., SearchSource]
) -> None:
    from stellar.web.alerts.search_source import _make_id

    write(line(1))
    other = search.name("secret")
    kind = "x" if search.has_types else "_doc"
    search.request("PUT", f"{other}/{kind}/1?refresh=true", {"a": 1})
    source = open_source()
    assert source.read(_make_id(other, "1")) is None
    for id in ("x", _make_id("a", "b")[:-2], "W10"):
        with pytest.raises(ValueError, match="invalid document identifier"):
            source.read(id)


def test_problems_of_the_server_are_errors_with_the_fix(
    search: Search, write: Callable[..., None], open_source: Callable[..., SearchSource]
) -> None:
    with pytest.raises(SourceError, match=r"has no index .*; write documents with"):
        open_source()
    write(line(1))
    source = open_source()
    with pytest.raises(ValueError, match="invalid position in the list"):
        source.find(AlertQuery(), "x", 50, 1)
    client = SearchClient(SearchSettings(search.kind, ("http://127.0.0.1:1",)))
    try:
        with pytest.raises(SourceError, match="cannot connect to"):
            SearchSource(client)
    finally:
        client.close()


def test_a_closed_index_is_an_error_and_not_an_empty_list(
    search: Search, write: Callable[..., None], open_source: Callable[..., SearchSource]
) -> None:
    write(line(1))
    client = open_source().client
    (index,) = search.request("GET", f"_cat/indices/{search.name('squid')}*?format=json")
    named = SearchSource(client, index["index"])
    search.request("POST", f"{index['index']}/_close")
    with pytest.raises(SourceError, match="closed"):
        named.find(AlertQuery(), "", 50, 1)


def test_an_index_that_cannot_be_searched_is_an_error_and_not_a_shorter_list(
    search: Search, write: Callable[..., None], open_source: Callable[..., SearchSource]
) -> None:
    write(line(1))
    source = open_source()
    mapping: Any = {"properties": {"is_alert": {"type": "long"}}}
    other = f"{search.name('squid')}_index_other"
    search.request("PUT", other, {"mappings": {"squid_doc": mapping} if search.has_types else mapping})
    with pytest.raises(SourceError, match=r"can't search all shards|rejects the query"):
        source.find(AlertQuery(), "", 50, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "pass --notes FILE, a SQLite file for annotations"),
        (["--notes", "n.sqlite", "--create-indexes"], "--create-indexes is for SQLite"),
        (["--notes", "n.sqlite", "--index", "absent_*"], "has no index 'absent_*'"),
    ],
)
def test_options_of_a_search_server_are_checked(
    opensearch_only: Search,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["alerts", opensearch_only.target, *options]) in (1, 2)
    assert message in capsys.readouterr().err


def test_the_command_opens_a_search_server(
    opensearch_only: Search, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opensearch_only.request("PUT", f"{opensearch_only.name('squid')}_index_1")
    sites: list[Site] = []
    monkeypatch.setattr("stellar.web.alerts.command._serve", lambda site, address: sites.append(site))
    assert main(["alerts", opensearch_only.target, "--notes", str(tmp_path / "n.sqlite")]) == 0
    assert sites[0].source.name == f"OpenSearch at {opensearch_only.server.url}"
