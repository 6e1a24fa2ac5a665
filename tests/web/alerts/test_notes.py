"""Annotations and states: what the forms do, and what the lists show afterwards."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from stellar.web.alerts.notes import AlertNotes
from stellar.web.alerts.queries import SourceError

from .conftest import find_token, list_links, make_alert


@pytest.fixture
def act(write_documents, open_page):
    """A client, and a function that sends a form of a document."""
    client = open_page(write_documents(*map(make_alert, range(4))))

    def send(link, action, note="", **more):
        token = find_token(client.get(link).text)
        return client.post(f"{link}/events", data={"action": action, "note": note, "form_token": token, **more})

    send.client = client
    return send


def test_an_annotation_is_shown_with_its_user_and_time(act):
    (link, *_) = list_links(act.client.get("/").text)
    response = act(link, "annotate", "  <b>see</b> ticket 12\nsecond line ")
    assert (response.status_code, response.headers["location"]) == (303, f"{link}#history")
    page = act.client.get(link).text
    assert "&lt;b&gt;see&lt;/b&gt; ticket 12" in page
    assert "local user" in page
    assert '<dd><span class="state open">' in page


def test_a_closed_alert_leaves_the_list_and_can_be_found_and_reopened(act):
    (link, *others) = list_links(act.client.get("/").text)
    assert act(link, "close", "false positive").status_code == 303
    assert list_links(act.client.get("/").text) == others
    assert list_links(act.client.get("/?state=closed").text) == [link]
    assert list_links(act.client.get("/?state=closed&sensor=bro").text) == []
    assert list_links(act.client.get("/?state=any").text) == [link, *others]
    act(link, "reopen")
    assert list_links(act.client.get("/").text) == [link, *others]
    history = act.client.get(link).text.partition("History")[2]
    assert history.index("state open") < history.index("state closed") < history.index("false positive")


def test_escalated_alerts_remain_in_the_list_with_their_state(act):
    links = list_links(act.client.get("/").text)
    act(links[2], "escalate")
    assert list_links(act.client.get("/").text) == links
    assert 'class="state escalated"' in act.client.get("/").text
    assert list_links(act.client.get("/?state=escalated").text) == [links[2]]
    assert list_links(act.client.get("/?state=open").text) == [*links[:2], links[3]]


def test_closed_alerts_do_not_shorten_the_pages(write_documents, open_page):
    client = open_page(write_documents(*map(make_alert, range(120))))
    links = list_links(client.get("/").text)
    for link in links[:40]:
        token = find_token(client.get(link).text)
        client.post(f"{link}/events", data={"action": "close", "form_token": token})
    assert len(list_links(client.get("/").text)) == 50


def test_marks_follow_the_guid_of_a_document_that_was_stored_again(act, write_documents, open_page):
    (link, *others) = list_links(act.client.get("/").text)
    act(link, "close")
    client = open_page(write_documents(*map(make_alert, reversed(range(4))), name="again.sqlite"))
    assert len(list_links(client.get("/").text)) == len(others)
    assert len(list_links(client.get("/?state=closed").text)) == 1


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"action": "annotate", "note": "  "}, "the annotation is empty"),
        ({"action": "annotate", "note": "x" * 10_001}, "the annotation has 10001 characters; at most 10000"),
        ({"action": "delete"}, "unknown action &#39;delete&#39;; expected annotate, escalate, close, reopen"),
        ({}, "unknown action"),
    ],
)
def test_an_invalid_form_changes_nothing_and_is_shown_with_its_error(act, data, message):
    (link, *_) = list_links(act.client.get("/").text)
    response = act(link, data.pop("action", ""), **data)
    assert (response.status_code, message in response.text) == (400, True)
    assert data.get("note", "").strip() in response.text
    assert "History" not in act.client.get(link).text


def test_a_form_that_is_too_large_is_refused(act):
    (link, *_) = list_links(act.client.get("/").text)
    assert act(link, "annotate", "x" * 70_000).status_code == 413


@pytest.mark.parametrize("form", [{}, {"form_token": ""}, {"form_token": "0" * 64}, {"form_token": "ä"}])
def test_a_form_without_the_token_of_its_session_is_refused(act, form):
    (link, *_) = list_links(act.client.get("/").text)
    response = act.client.post(f"{link}/events", data={"action": "close", **form})
    assert (response.status_code, "the form is not of this session" in response.text) == (403, True)
    assert link in list_links(act.client.get("/").text)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_form_of_another_site_is_refused(act, headers):
    (link, *_) = list_links(act.client.get("/").text)
    token = find_token(act.client.get(link).text)
    response = act.client.post(f"{link}/events", data={"action": "close", "form_token": token}, headers=headers)
    assert response.status_code == 403
    assert link in list_links(act.client.get("/").text)


def test_notes_are_shared_between_processes(act, tmp_path):
    (link, *_) = list_links(act.client.get("/").text)
    act(link, "close")
    with sqlite3.connect(tmp_path / "notes.sqlite") as connection:
        rows = connection.execute("SELECT alert, user, state, note FROM alert_events").fetchall()
    connection.close()
    assert rows == [("guid:guid-3", "local user", "closed", "")]


def test_a_surrogate_in_a_guid_can_be_marked(write_documents, open_page):
    client = open_page(write_documents(make_alert(1, guid="\ud800")))
    (link,) = list_links(client.get("/").text)
    token = find_token(client.get(link).text)
    assert client.post(f"{link}/events", data={"action": "close", "form_token": token}).status_code == 303
    assert list_links(client.get("/").text) == []


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("missing/notes.sqlite", "its directory does not exist; create it, or pass --notes FILE"),
        ("text", "file is not a database; pass --notes FILE"),
    ],
)
def test_a_file_that_cannot_have_notes_is_an_error(tmp_path, path, message):
    (tmp_path / "text").write_text("no database, but long enough to have a header of one" * 10)
    with pytest.raises(SourceError, match=message):
        AlertNotes(str(tmp_path / path))


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everything")
def test_a_file_that_cannot_be_written_is_an_error_at_the_start(tmp_path):
    AlertNotes(str(tmp_path / "notes.sqlite")).close()
    Path(tmp_path / "notes.sqlite").chmod(0o400)
    with pytest.raises(SourceError, match="pass --notes FILE in a directory that this user may write"):
        AlertNotes(str(tmp_path / "notes.sqlite"))


def test_a_locked_file_of_notes_is_an_error_with_advice(act, tmp_path):
    (link, *_) = list_links(act.client.get("/").text)
    token = find_token(act.client.get(link).text)
    writer = sqlite3.connect(tmp_path / "notes.sqlite", isolation_level=None)
    writer.execute("BEGIN EXCLUSIVE")
    try:
        response = act.client.post(f"{link}/events", data={"action": "close", "form_token": token})
    finally:
        writer.close()
    assert (response.status_code, "another process has locked it; retry in a moment" in response.text) == (503, True)
