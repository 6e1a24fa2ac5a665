"""Takes screenshots of the alerts page for the documentation: `python -m scripts.alerts_screens`.

Writes docs/screens/alerts-*.png. Requires Chromium and its driver (scripts/engines installs them), and the extra `dev`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, chdir
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from scripts.browser import open_browser, resize
from stellar.pipeline.connectors.sinks import Database
from stellar.pipeline.records import Record
from stellar.util.clock import fix_time
from stellar.web.alerts.access import AccessRules
from stellar.web.alerts.explanations import ConfiguredExplainer
from stellar.web.alerts.notes import AlertNotes
from stellar.web.alerts.pages import Site
from stellar.web.alerts.server import format_url, make_server, open_listener
from stellar.web.alerts.sqlite_source import SqliteSource

FOLDER = Path(__file__).parent.parent / "docs" / "screens"
START = 1_795_000_000_000
RULES: list[Record] = [
    {"name": "Bad host", "rule": "bad_host", "score": 80, "reason": "FORMAT('%s requested %s', user, host)"},
    {"name": "Large upload", "rule": "method == 'POST' and bytes > 1000000", "score": "20 + bytes / 1000000"},
]
REQUESTS = [
    ("ann", "GET", "http://login-update.example/account?id=7", 3_412, "squid"),
    ("ben", "POST", "http://cdn.bad-ads.example/<script>alert(1)</script>", 48_211_000, "squid"),
    ("\u202enimda", "GET", "http://update.example.net/\x1b[2Jnext", 91_300, "squid"),
    ("cleo", "GET", "http://login-update.example/reset", 2_210, "proxy"),
]


def make_documents() -> Iterator[Record]:
    """Yield the documents of some requests."""
    for number, (user, method, url, size, sensor) in enumerate(REQUESTS):
        host = url.split("/")[2]
        upload = 20 + size / 1_000_000 if method == "POST" else 0
        document: Record = {
            "guid": f"5f0c2b1e-0000-4000-8000-00000000000{number}",
            "timestamp": START + number * 61_000,
            "source.type": sensor,
            "user": user,
            "method": method,
            "url": url,
            "host": host,
            "bytes": size,
            "bad_host": True,
            "is_alert": "true",
            "threat.triage.score": max(80.0, upload),
            "threat.triage.rules.0.name": "Bad host",
            "threat.triage.rules.0.comment": None,
            "threat.triage.rules.0.score": "80",
            "threat.triage.rules.0.reason": f"{user} requested {host}",
        }
        if upload:
            document |= {
                "threat.triage.rules.1.name": "Large upload",
                "threat.triage.rules.1.score": "20 + bytes / 1000000",
            }
        yield document


def make_site(stack: ExitStack) -> Site:
    """Return a page with the documents, rules and annotations of the example."""
    path, config = "out.sqlite", Path("config")
    database = Database(path)
    table = database.open_table("records")
    for document in make_documents():
        table(document)
    database.close()
    (config / "enrichments").mkdir(parents=True)
    triage = {"threatIntel": {"triageConfig": {"riskLevelRules": RULES, "aggregator": "MAX"}}}
    (config / "enrichments/squid.json").write_text(json.dumps(triage), encoding="utf-8")
    options = argparse.Namespace(registry="none", zookeeper=None, quiet=True)
    source, notes = SqliteSource(path), AlertNotes("notes.sqlite")
    stack.callback(source.close)
    stack.callback(notes.close)
    return Site(source, notes, AccessRules(), ConfiguredExplainer(config, options, stack))


def show_list(browser: Chrome, url: str) -> None:
    """Show the list."""
    browser.get(url)


def show_document(browser: Chrome, url: str) -> None:
    """Show a document that was annotated and escalated."""
    browser.get(url)
    browser.find_elements(By.CSS_SELECTOR, ".list a")[2].click()
    browser.find_element(By.ID, "note").send_keys("Asked ben; the upload was not his.")
    browser.find_element(By.CSS_SELECTOR, "button[value=escalate]").click()
    browser.execute_script("document.activeElement.blur(); window.scrollTo(0, 0)")


def show_phone(browser: Chrome, url: str) -> None:
    """Show the list on a narrow screen."""
    resize(browser, 400, 900)
    browser.get(url)
    browser.execute_script("document.querySelector('.list').scrollIntoView()")


SCREENS: dict[str, tuple[Callable[[Chrome, str], None], int, int]] = {
    "list": (show_list, 1000, 620),
    "document": (show_document, 1000, 1000),
    "phone": (show_phone, 400, 900),
}


def main() -> None:
    """Write the screenshots."""
    with TemporaryDirectory() as folder, ExitStack() as stack:
        stack.enter_context(fix_time(START + 600_000))
        stack.enter_context(chdir(folder))
        site = make_site(stack)
        server, listener = make_server(site), open_listener("127.0.0.1", 0)
        thread = Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            with open_browser() as browser:
                for name, (show, width, height) in SCREENS.items():
                    resize(browser, width, height)
                    show(browser, format_url(site, listener))
                    browser.save_screenshot(str(FOLDER / f"alerts-{name}.png"))
                browser.get("about:blank")
        finally:
            server.should_exit = True
            thread.join()


if __name__ == "__main__":
    main()
