"""Access to the page: host names, tokens, sessions, reverse proxies, and headers."""

from __future__ import annotations

import ipaddress

import pytest

from stellar.web.alerts import access
from stellar.web.alerts.access import COOKIE, AccessRules, Sessions, is_loopback, read_token

from .conftest import find_token, list_links, make_alert

TOKEN = "a-token-of-enough-characters"


@pytest.fixture
def open_with(write_documents, open_page):
    """A function that opens the page with rules of access."""

    def open_(**rules):
        return open_page(write_documents(make_alert(1)), AccessRules(**rules))

    return open_


def test_every_response_has_the_headers_that_restrict_browsers(open_with):
    client = open_with()
    (link,) = list_links(client.get("/").text)
    for path in ("/", link, f"{link}/json", f"{link}/values/0", "/style.css", "/nowhere", "/login", "/?score=x"):
        headers = client.get(path).headers
        assert headers["content-security-policy"] == (
            "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
        )
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "server" not in headers


def test_the_session_cookie_is_not_sent_to_scripts_and_other_sites(open_with):
    cookie = open_with().get("/").headers["set-cookie"].lower()
    assert {"httponly", "samesite=strict", "path=/"} <= set(cookie.split("; "))


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8180", "127.0.0.1.evil.example", "", "[::1", "localhost@evil"]
)
def test_without_a_token_other_host_names_are_refused(open_with, host):
    response = open_with().get("/", headers={"Host": host})
    assert response.status_code in (400, 403)
    assert "host1.example" not in response.text


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "[::1]:8180", "127.0.0.1:80"])
def test_the_names_of_this_machine_are_accepted(open_with, host):
    assert open_with().get("/", headers={"Host": host}).status_code == 200


# -- Tokens -----------------------------------------------------------------------------------------------------------


def test_with_a_token_every_page_requires_a_login(open_with):
    client = open_with(token=TOKEN, hosts=())
    for path in ("/", "/?sensor=x", "/documents/1-a", "/documents/1-a/json", "/documents/1-a/values/1"):
        response = client.get(path)
        assert response.status_code == 303
        assert response.headers["location"].startswith("/login?next=%2F")
    assert client.post("/documents/1-a/events", data={"action": "close"}).status_code == 303


def test_a_login_starts_a_session_with_a_name_and_a_logout_ends_it(open_with):
    client = open_with(token=TOKEN, hosts=())
    response = client.post("/login", data={"token": TOKEN, "name": " Ann\x1b ", "next": "/?sensor=squid"})
    assert (response.status_code, response.headers["location"]) == (303, "/?sensor=squid")
    page = client.get("/").text
    assert '<span class="user">Ann</span>' in page
    cookie = client.cookies[COOKIE]
    assert client.post("/logout", data={"form_token": find_token(page)}).status_code == 303
    assert client.get("/", headers={"Cookie": f"{COOKIE}={cookie}"}).status_code == 303


@pytest.mark.parametrize("token", ["", "wrong", TOKEN[:-1], TOKEN + "x", "ä" * 20])
def test_a_wrong_token_starts_no_session(open_with, token):
    client = open_with(token=TOKEN, hosts=())
    response = client.post("/login", data={"token": token})
    assert (response.status_code, "wrong token" in response.text) == (403, True)
    assert "set-cookie" not in response.headers
    assert client.get("/", headers={"Authorization": f"Bearer {token or 'x'}".encode()}).status_code == 403


@pytest.mark.parametrize(
    "target", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/a\r\nb"]
)
def test_a_login_leads_to_pages_of_this_site_only(open_with, target):
    client = open_with(token=TOKEN, hosts=())
    response = client.post("/login", data={"token": TOKEN, "next": target})
    assert response.headers["location"] == "/"
    assert 'value="/"' in client.get("/login", params={"next": target}).text


def test_a_login_from_another_site_is_refused(open_with):
    client = open_with(token=TOKEN, hosts=())
    response = client.post("/login", data={"token": TOKEN}, headers={"Origin": "https://evil.example"})
    assert response.status_code == 403


def test_programs_send_the_token_in_a_header_and_need_no_session(open_with):
    client = open_with(token=TOKEN, hosts=())
    client.headers["Authorization"] = f"Bearer {TOKEN}"
    (link,) = list_links(client.get("/").text)
    assert client.post(f"{link}/events", data={"action": "close"}).status_code == 303
    assert COOKIE not in client.cookies


@pytest.mark.parametrize("header", ["Basic x", "Bearer", "", TOKEN])
def test_another_authorization_is_refused(open_with, header):
    assert open_with(token=TOKEN, hosts=()).get("/", headers={"Authorization": header}).status_code == 403


def test_a_changed_cookie_starts_no_session():
    sessions = Sessions()
    cookie = sessions.start("ann")
    assert sessions.read(cookie).name == "ann"
    encoded, _, signature = cookie.partition(".")
    for other in (
        "",
        ".",
        "x.y",
        encoded,
        f"{encoded}.",
        f"{encoded[:-4]}AAAA.{signature}",
        "é",
        Sessions().start("ann"),
    ):
        assert sessions.read(other) is None


def test_a_session_ends_after_some_hours(monkeypatch):
    sessions = Sessions()
    monkeypatch.setattr(access, "SESSION_SECONDS", -1)
    assert sessions.read(sessions.start("ann")) is None


def test_the_memory_of_ended_sessions_is_bounded(monkeypatch):
    monkeypatch.setattr(access, "_MOST_REVOKED", 3)
    sessions = Sessions()
    cookies = [sessions.start("ann") for _ in range(5)]
    for cookie in cookies:
        sessions.end(sessions.read(cookie))
    assert [sessions.read(cookie) is None for cookie in cookies[2:]] == [True] * 3


@pytest.mark.parametrize("content", ["", "short", "x" * 19, "ä" * 30, "x" * 15 + "\n" + "y" * 15])
def test_a_weak_token_is_refused(tmp_path, content):
    (tmp_path / "token").write_text(content)
    with pytest.raises(
        ValueError, match="must have at least 20 printable ASCII characters; write one with `openssl rand"
    ):
        read_token(str(tmp_path / "token"))


# -- Reverse proxies --------------------------------------------------------------------------------------------------

PROXY = {
    "user_header": "x-forwarded-user",
    "proxies": [ipaddress.ip_network("127.0.0.0/8")],
    "hosts": {"alerts.example"},
}
FROM_PROXY = {"Host": "alerts.example", "X-Forwarded-User": "ann"}


def test_the_user_is_that_of_the_reverse_proxy(open_with):
    client = open_with(**PROXY)
    page = client.get("/", headers=FROM_PROXY).text
    assert '<span class="user">ann</span>' in page
    assert '<span class="user">ben</span>' in client.get("/", headers={**FROM_PROXY, "X-Forwarded-User": "ben"}).text


def test_a_form_of_one_user_is_not_accepted_from_another(open_with):
    client = open_with(**PROXY)
    page = client.get("/", headers=FROM_PROXY).text
    (link,) = list_links(page)
    data = {"action": "close", "form_token": find_token(client.get(link, headers=FROM_PROXY).text)}
    assert (
        client.post(f"{link}/events", data=data, headers={**FROM_PROXY, "X-Forwarded-User": "ben"}).status_code == 403
    )
    assert client.post(f"{link}/events", data=data, headers=FROM_PROXY).status_code == 303


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({"Host": "alerts.example"}, "the reverse proxy has sent no user in the header x-forwarded-user"),
        (
            {"Host": "127.0.0.1", "X-Forwarded-User": "ann"},
            "unknown host name &#39;127.0.0.1&#39;; pass --allowed-host",
        ),
    ],
)
def test_a_request_without_a_user_of_the_proxy_is_refused(open_with, headers, message):
    response = open_with(**PROXY).get("/", headers=headers)
    assert (response.status_code, message in response.text) == (403, True)


def test_a_user_named_by_another_address_is_refused(open_with):
    client = open_with(**{**PROXY, "proxies": [ipaddress.ip_network("10.0.0.1")]})
    response = client.get("/", headers={**FROM_PROXY, "X-Forwarded-For": "10.0.0.1"})
    assert (response.status_code, "127.0.0.1 is not the reverse proxy" in response.text) == (403, True)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("host", False),
    ],
)
def test_loopback_addresses_are_recognized(address, expected):
    assert is_loopback(address) is expected
