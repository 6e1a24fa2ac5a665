"""Fixtures of the alerts page: databases that the pipeline's sink has written, and a client of the page."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

pytest.importorskip("starlette", reason="the alerts page needs the extra `alerts`")
pytest.importorskip("uvicorn", reason="the alerts page needs the extra `alerts`")
pytest.importorskip("jinja2", reason="the alerts page needs the extra `alerts`")

import httpx

from stellar.pipeline.connectors.sinks import Database
from stellar.pipeline.records import Record
from stellar.web.alerts.access import AccessRules
from stellar.web.alerts.notes import AlertNotes
from stellar.web.alerts.pages import Site
from stellar.web.alerts.server import format_url, make_server, open_listener
from stellar.web.alerts.sqlite_source import SqliteSource

START = 1_571_163_632_536  # 2019-10-15 18:20:32 UTC


def make_alert(number: int = 0, **fields: Any) -> Record:
    """Return a document as the pipeline writes it for an alert."""
    return {
        "guid": f"guid-{number}",
        "timestamp": START + number * 1000,
        "source.type": "squid",
        "url": f"http://host{number}.example/",
        "is_alert": "true",
        "threat.triage.score": float(number % 100),
        "threat.triage.rules.0.name": "Bad host",
        "threat.triage.rules.0.comment": None,
        "threat.triage.rules.0.score": "80",
        "threat.triage.rules.0.reason": f"ben requested host{number}.example",
        **fields,
    }


@pytest.fixture
def write_documents(tmp_path: Path) -> Callable[..., str]:
    """A function that writes documents to a database and returns its path."""

    def write(*documents: Record, name: str = "out.sqlite") -> str:
        database = Database(str(tmp_path / name))
        table = database.open_table("records")
        for document in documents:
            table(document)
        database.close()
        return str(tmp_path / name)

    return write


@pytest.fixture
def open_page(tmp_path: Path) -> Iterator[Callable[..., httpx.Client]]:
    """A function that returns a client of the page of a database."""
    with ExitStack() as stack:

        def make(path: str, access: AccessRules | None = None, **options: Any) -> httpx.Client:
            source, notes = SqliteSource(path), AlertNotes(str(tmp_path / "notes.sqlite"))
            stack.callback(source.close)
            stack.callback(notes.close)
            # A search of a test must not end early on a busy machine
            site = Site(source, notes, access or AccessRules(), **{"seconds": 60.0, **options})
            url = stack.enter_context(serve(site))
            return stack.enter_context(httpx.Client(base_url=url, timeout=60))

        yield make


@contextmanager
def serve(site: Site) -> Iterator[str]:
    """Serve a page in a thread, and yield its URL without the last slash."""
    server, listener = make_server(site), open_listener("127.0.0.1", 0)
    thread = Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield format_url(site, listener).rstrip("/")
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def list_links(page: str) -> list[str]:
    """Return the paths of the documents in a list."""
    return re.findall(r'href="(/documents/[^"/]+)"', page)


def find_token(page: str) -> str:
    """Return the token of the forms of a page."""
    found = re.search(r'name="form_token" value="([0-9a-f]+)"', page)
    assert found is not None, page
    return found[1]
