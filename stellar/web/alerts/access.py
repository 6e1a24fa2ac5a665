"""Access to the alerts page: tokens, users of a reverse proxy, sessions, and protection against forged requests.

Three ways to decide who the user is:

- without a token, for a loopback address only: all users of this machine. The Host header must be a loopback name,
  as otherwise any web page could be given a name of this machine, and read the alerts in the user's browser
- with a token: a form starts a session with a signed cookie; programs send `Authorization: Bearer TOKEN`
- behind a reverse proxy: it names the user in a header, which counts from its address only

A form has a token that is derived from the session. Browsers also send the origin of a request, and requests from
other origins are refused, so a forged request needs two mistakes at once.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import json
import secrets
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from stellar.util.abbreviate import quote

SHORTEST_TOKEN = 20
SESSION_SECONDS = 12 * 3600
COOKIE = "alerts_session"
LONGEST_NAME = 60
LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1")
LOCAL_USER = "local user"
PROGRAM = "token"
_MOST_REVOKED = 10_000

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # `no-referrer` would make browsers hide the origin of forms
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}


class Denied(Exception):
    """A request is refused. The message has the reason."""


class LoginNeeded(Exception):
    """A request has no session, and the user can log in."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """The user of a request.

    session: identifies the session, from which the token of forms is derived; empty for programs
    """

    name: str
    session: str


@dataclass(frozen=True, slots=True)
class Visit:
    """A request, as far as access depends on it.

    peer: the address of the client, or of the proxy
    headers: its headers, with lowercase names
    cookie: the session cookie, or empty
    """

    peer: str
    headers: Mapping[str, str]
    cookie: str


@dataclass
class Sessions:
    """Signed sessions, which end when the program does.

    A session is in its cookie alone, so that visitors cannot fill the memory. Those that were ended are stored.
    """

    _key: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    _revoked: dict[str, float] = field(default_factory=dict)

    def start(self, user: str) -> str:
        """Return the cookie of a new session."""
        content = json.dumps([secrets.token_urlsafe(16), int(time.time()) + SESSION_SECONDS, user])
        encoded = base64.urlsafe_b64encode(content.encode()).decode()
        return f"{encoded}.{self.sign('session', encoded)}"

    def read(self, cookie: str) -> Visitor | None:
        """Return the user of a session; None if the cookie is invalid or the session has ended."""
        encoded, _, signature = cookie.partition(".")
        if not cookie.isascii() or not hmac.compare_digest(signature, self.sign("session", encoded)):
            return None
        identifier, end, user = json.loads(base64.urlsafe_b64decode(encoded))
        if end < time.time() or identifier in self._revoked:
            return None
        return Visitor(user, identifier)

    def end(self, visitor: Visitor) -> None:
        """End a session."""
        if len(self._revoked) >= _MOST_REVOKED:
            del self._revoked[next(iter(self._revoked))]
        self._revoked[visitor.session] = time.time()

    def make_form_token(self, visitor: Visitor) -> str:
        """Return the token of the forms of a session."""
        return self.sign("form", visitor.session)

    def sign(self, purpose: str, text: str) -> str:
        """Return a signature of a string for a purpose."""
        return hmac.new(self._key, f"{purpose}:{text}".encode(), hashlib.sha256).hexdigest()


@dataclass(frozen=True)
class AccessRules:
    """Decides who the user of a request is.

    token: what users enter and programs send, or None
    user_header: the header in which a reverse proxy names the user, in lowercase; None without a proxy
    proxies: the addresses of the proxy
    hosts: the names in the Host header that are accepted, in lowercase; empty to accept all
    """

    token: str | None = None
    user_header: str | None = None
    proxies: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network] = ()
    hosts: Collection[str] = LOOPBACK_NAMES
    sessions: Sessions = field(default_factory=Sessions)

    def identify(self, visit: Visit) -> tuple[Visitor, str]:
        """Return the user of a request, and a cookie to set or an empty string.

        Raises Denied, and LoginNeeded if there is no session.
        """
        self._check_host(visit.headers.get("host", ""))
        if self.user_header is not None:
            return self._continue_session(visit, self._read_proxy_user(visit))
        if self.token is None:
            return self._continue_session(visit, LOCAL_USER)
        if "authorization" in visit.headers:
            return self._read_bearer(visit.headers["authorization"]), ""
        if (visitor := self.sessions.read(visit.cookie)) is None:
            raise LoginNeeded
        return visitor, ""

    def log_in(self, visit: Visit, token: str, name: str) -> str:
        """Return the cookie of a new session. Raises Denied for a wrong token."""
        self._check_host(visit.headers.get("host", ""))
        self.check_origin(visit)
        if self.token is None or not _is_equal(token, self.token):
            raise Denied("wrong token; it is in the file that --token-file names")
        return self.sessions.start(_clean_name(name) or PROGRAM)

    def check_form(self, visit: Visit, visitor: Visitor, token: str) -> None:
        """Raise Denied for a form that is not from one of our pages in this session."""
        if not visitor.session:  # a program: no other site can make a browser send its header
            return
        self.check_origin(visit)
        if not _is_equal(token, self.sessions.make_form_token(visitor)):
            raise Denied(
                "the form is not of this session, or the server was restarted; reload the page and send it again"
            )

    def check_origin(self, visit: Visit) -> None:
        """Raise Denied for a request that another site makes a browser send."""
        if visit.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            raise Denied("the request comes from another site")
        origin = visit.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != visit.headers.get("host", "").lower():
            raise Denied(
                f"the request comes from {quote(origin, 80)}, which is not this page; "
                "a reverse proxy must pass on the Host header"
            )

    def _check_host(self, host: str) -> None:
        name = split_host(host)
        if self.hosts and name not in self.hosts:
            raise Denied(f"unknown host name {quote(name, 80)}; pass --allowed-host NAME to accept it")

    def _read_proxy_user(self, visit: Visit) -> str:
        try:
            address = ipaddress.ip_address(visit.peer)
        except ValueError:
            raise Denied("the address of the client is unknown") from None
        if not any(address in network for network in self.proxies):
            raise Denied(f"{address} is not the reverse proxy; use its address, or pass --trusted-proxy {address}")
        name = _clean_name(visit.headers.get(self.user_header or "", ""))
        if not name:
            raise Denied(
                f"the reverse proxy has sent no user in the header {self.user_header}; check its configuration"
            )
        return name

    def _continue_session(self, visit: Visit, user: str) -> tuple[Visitor, str]:
        visitor = self.sessions.read(visit.cookie)
        if visitor is not None and visitor.name == user:
            return visitor, ""
        cookie = self.sessions.start(user)
        visitor = self.sessions.read(cookie)
        assert visitor is not None, "a session has just been started"
        return visitor, cookie

    def _read_bearer(self, header: str) -> Visitor:
        kind, _, token = header.partition(" ")
        if kind.lower() != "bearer" or not _is_equal(token.strip(), self.token or ""):
            raise Denied("wrong token in the Authorization header; expected Bearer TOKEN")
        return Visitor(PROGRAM, "")


def split_host(host: str) -> str:
    """Return the name in a Host header, in lowercase and without the port."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return host.lower()


def is_loopback(address: str) -> bool:
    """Return True for an address that only this machine can reach."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def read_token(path: str) -> str:
    """Return the token in a file. Raises ValueError for one that is too short, OSError for an unreadable file."""
    token = Path(path).read_bytes()[:10_000].decode("utf-8", "replace").strip()
    if len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable():
        raise ValueError(
            f"the token in {quote(path)} must have at least {SHORTEST_TOKEN} printable ASCII characters; "
            f"write one with `openssl rand -hex 32 >{path}`"
        )
    return token


def _is_equal(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())


def _clean_name(name: str) -> str:
    return "".join(each for each in name if each.isprintable()).strip()[:LONGEST_NAME]
