"""The alerts page in Chromium: hostile values, other sites, the keyboard, and a narrow screen."""

from __future__ import annotations

import http.server
import os
import shutil
from threading import Thread

import pytest

pytest.importorskip("selenium", reason="drives Chromium; pip install '.[dev]'")

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from scripts.browser import PROGRAMS, open_browser, resize
from stellar.web.alerts.access import COOKIE, AccessRules

from .conftest import make_alert

pytestmark = pytest.mark.engine

SCRIPT = "<script>window.hit = 1</script><img src=x onerror='window.hit = 2'><svg onload='window.hit = 3'>"
ATTRIBUTE = "\"' autofocus onfocus='window.hit = 4' style='position:fixed;inset:0'"
HOSTILE = {
    "script": SCRIPT,
    "attribute": ATTRIBUTE,
    "link": "javascript:window.hit=5",
    "ansi": "\x1b[31mred\x1b[0m",
    "reversed": "invoice\u202egpj.exe",
    "surrogate": "\ud800",
    "big": "<b>" * 100_000,
    "unbroken": "w" * 3000,
    "marks": "a" + "\u0301" * 2000,
    "close": "</td></tr></table></main><h1>other</h1>",
    SCRIPT: "name",
}


@pytest.fixture(scope="module")
def shared_browser():
    if missing := [program for program in PROGRAMS if shutil.which(program) is None]:
        why = f"{', '.join(missing)} not found; run apt-get install chromium chromium-driver"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(why)
    with open_browser() as browser:
        yield browser


@pytest.fixture
def browser(shared_browser):
    """A browser without cookies and messages, as wide as a desktop."""
    shared_browser.delete_all_cookies()
    shared_browser.get_log("browser")
    resize(shared_browser, 1200, 900)
    yield shared_browser
    shared_browser.get("about:blank")  # so that no connection delays the end of the server


def hostile_alert(number=2):
    document = make_alert(number, **HOSTILE, **{"source.type": SCRIPT, "guid": f"{ATTRIBUTE}{number}"})
    return document | {
        "threat.triage.rules.0.name": ATTRIBUTE,
        "threat.triage.rules.0.reason": f"{SCRIPT}\u202e\x1b[31m" + "x" * 1000,
        "threat.triage.rules.0.comment": SCRIPT,
    }


def url_of(client):
    return str(client.base_url).rstrip("/")


def find(browser, selector):
    return browser.find_element(By.CSS_SELECTOR, selector)


def find_all(browser, selector):
    return browser.find_elements(By.CSS_SELECTOR, selector)


def was_hit(browser):
    return browser.execute_script("return window.hit") is not None


@pytest.fixture
def open_hostile(browser, write_documents, open_page):
    """A function that opens a page of hostile documents: `list` or `document`."""

    def open_(page):
        client = open_page(write_documents(make_alert(1), hostile_alert(), make_alert(3)))
        browser.get(url_of(client))
        if page == "document":
            find_all(browser, ".list a")[1].click()
            WebDriverWait(browser, 60).until(lambda _: find_all(browser, ".fields"))
        return client

    return open_


@pytest.mark.parametrize("page", ["list", "document"])
def test_hostile_values_are_shown_and_neither_run_nor_become_elements(open_hostile, browser, page):
    open_hostile(page)
    assert not was_hit(browser)
    assert find_all(browser, "script, img, svg, b, h1 + h1, [onfocus], [style], [onerror]") == []
    assert browser.get_log("browser") == []
    text = find(browser, "main").text
    assert "<script>window.hit = 1</script><img src=x onerror='window.hit = 2'>" in text
    assert "\\u202e" in text
    assert "\u202e" not in text


def test_each_hostile_value_is_in_the_cell_beside_its_name(open_hostile, browser):
    open_hostile("document")
    cells = {
        row.find_element(By.TAG_NAME, "th").text: row.find_element(By.TAG_NAME, "td")
        for row in find_all(browser, ".fields tbody tr")
    }
    assert cells["attribute"].text == ATTRIBUTE
    assert cells["reversed"].text == "invoice\\u202egpj.exe"
    assert cells["ansi"].text == "\\u001b[31mred\\u001b[0m"
    assert cells["surrogate"].text == "\\ud800"
    assert cells["close"].text == "</td></tr></table></main><h1>other</h1>"
    assert len({(cell.rect["x"], cell.rect["width"]) for cell in cells.values()}) == 1
    assert all(cell.rect["height"] < 5000 for cell in cells.values())


def test_the_policy_of_the_page_blocks_scripts_that_would_be_injected(open_hostile, browser):
    open_hostile("list")
    browser.execute_script(
        "const script = document.createElement('script'); script.textContent = 'window.hit = 6';"
        "document.body.append(script);"
        "document.body.insertAdjacentHTML('beforeend', \"<img src='/style.css' onerror='window.hit = 7'>\");"
    )
    WebDriverWait(browser, 60).until(lambda _: len(messages := browser.get_log("browser")) and messages)
    assert not was_hit(browser)


@pytest.mark.parametrize("page", ["list", "document"])
def test_nothing_is_wider_than_a_screen_of_400_pixels(open_hostile, browser, page):
    open_hostile(page)
    resize(browser, 400, 800)
    assert browser.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]") == [400, 400]
    for element in find_all(browser, "main input:not([type=hidden]), main select, main textarea, main button, main td"):
        rect = element.rect
        assert 0 <= rect["x"] <= rect["x"] + rect["width"] <= 400, element.get_attribute("outerHTML")[:200]


# -- Keyboard ---------------------------------------------------------------------------------------------------------


def press(browser, *keys):
    browser.switch_to.active_element.send_keys(*keys)


def tab_to(browser, selector):
    """Press Tab until an element has the focus, which is visible on the way."""
    for _ in range(100):
        press(browser, Keys.TAB)
        assert browser.execute_script(
            "const style = getComputedStyle(document.activeElement);"
            "return style.outlineStyle != 'none' && parseFloat(style.outlineWidth) >= 1"
        ), browser.switch_to.active_element.get_attribute("outerHTML")
        if browser.execute_script("return document.activeElement.matches(arguments[0])", selector):
            return
    pytest.fail(f"Tab does not lead to {selector}")


def wait_for(browser, selector):
    WebDriverWait(browser, 60).until(lambda _: find_all(browser, selector))


def test_an_alert_is_found_annotated_and_closed_by_the_keyboard_alone(browser, write_documents, open_page):
    client = open_page(write_documents(*map(make_alert, range(5))))
    browser.get(url_of(client))
    find(browser, "body").send_keys(Keys.TAB)
    assert browser.switch_to.active_element.text == "Skip to the content"
    press(browser, Keys.ENTER)
    tab_to(browser, "#text")
    press(browser, "host3", Keys.ENTER)
    WebDriverWait(browser, 60).until(lambda _: len(find_all(browser, ".list tbody tr")) == 1)
    find(browser, "body").send_keys(Keys.TAB)
    tab_to(browser, ".list a")
    press(browser, Keys.ENTER)
    wait_for(browser, "#note")
    find(browser, "body").send_keys(Keys.TAB)
    tab_to(browser, "#note")
    press(browser, "false positive")
    tab_to(browser, "button[value=close]")
    press(browser, Keys.ENTER)
    wait_for(browser, ".events")
    assert "false positive" in find(browser, ".events").text
    assert find(browser, ".summary .state").text == "closed"


# -- Sessions and other sites -----------------------------------------------------------------------------------------


def test_a_user_logs_in_and_out_and_scripts_cannot_read_the_session(browser, write_documents, open_page):
    token = "a-token-of-enough-characters"
    client = open_page(write_documents(make_alert(1)), AccessRules(token=token, hosts=()))
    browser.get(f"{url_of(client)}/?sensor=squid")
    wait_for(browser, "#token")
    press(browser, "wrong", Keys.ENTER)
    wait_for(browser, "#login-error")
    press(browser, token, Keys.TAB)
    press(browser, "Ann", Keys.ENTER)
    wait_for(browser, ".list")
    assert browser.current_url.endswith("/?sensor=squid")
    assert find(browser, "header .user").text == "Ann"
    assert browser.execute_script("return document.cookie") == ""
    assert browser.get_cookie(COOKIE)["httpOnly"]
    find(browser, "header button").click()
    wait_for(browser, "#token")
    browser.get(url_of(client))
    wait_for(browser, "#token")


class _OtherSite(http.server.BaseHTTPRequestHandler):
    target = ""

    def do_GET(self):
        page = (
            f"<form method=post action='{self.target}'><input name=action value=close>"
            "<input name=form_token value=guess><button>send</button></form>"
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *_):
        pass


def test_a_form_of_another_site_closes_no_alert(browser, write_documents, open_page):
    client = open_page(write_documents(make_alert(1)))
    browser.get(url_of(client))
    link = find(browser, ".list a").get_attribute("href")
    handler = type("_Site", (_OtherSite,), {"target": f"{link}/events"})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as site:
        thread = Thread(target=site.serve_forever)
        thread.start()
        try:
            browser.get(f"http://localhost:{site.server_port}/")
            find(browser, "button").click()
            WebDriverWait(browser, 60).until(lambda _: find_all(browser, "p.error"))
            assert "the request comes from" in find(browser, "p.error").text
        finally:
            site.shutdown()
            thread.join()
    browser.get(link)
    assert find(browser, ".summary .state").text == "open"
