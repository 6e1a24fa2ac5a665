"""HTTP/1.1 as a model server needs it: a strict, incremental parser of requests, and the bytes of responses.

The headers of a client are the same in each of its requests, so the last different ones are parsed once. A request
takes 2.5 µs; httptools, a parser in C that calls Python for each header, takes 2.0 and is lenient. What another program
on the way could understand in another way is rejected: bare line feeds, whitespace before a colon, folded or repeated
headers, several lengths.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

MAX_HEAD = 65_536  # bytes, of a request line with its headers
MAX_HEADERS = 100
MAX_BODY = 1 << 20
JSON = "application/json"

_KNOWN_HEADERS, _MAX_KNOWN = 512, 1000

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST_LINE = re.compile(rb"(%b) ([\x21-\x7e]+) HTTP/([0-9])\.([0-9])" % _TOKEN)
_HEADER = re.compile(rb"(%b):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)" % _TOKEN)
_DIGITS = re.compile(rb"[0-9]{1,15}")
_ONCE = (b"host", b"content-length", b"content-type", b"transfer-encoding", b"expect", b"content-encoding")

REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    411: "Length Required",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    417: "Expectation Failed",
    422: "Unprocessable Content",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
    505: "HTTP Version Not Supported",
}
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class HttpError(Exception):
    """A request that is not valid HTTP, or exceeds a limit. The connection cannot be used any more.

    status: of the response
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class HeaderFacts(NamedTuple):
    """The meaning of the headers of a request.

    length: of the body; 0 without one
    has_host: True if there is a Host header
    closes: True for `Connection: close`
    is_strict: True for `Prefer: handling=strict`
    awaits_continue: True if the client sends the body after an interim response
    content_type: lowercase, without parameters; empty without one
    """

    length: int = 0
    has_host: bool = False
    closes: bool = False
    is_strict: bool = False
    awaits_continue: bool = False
    content_type: str = ""


class ServedRequest(NamedTuple):
    """A complete request.

    path: without the query, still percent-encoded
    keeps_alive: True if the client can send another request on the connection
    """

    method: str
    path: str
    query: str
    keeps_alive: bool
    headers: HeaderFacts
    body: bytes = b""


class ServedReply(NamedTuple):
    """A response.

    headers: in addition to those of the content
    """

    status: int
    body: bytes
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()


class RequestParser:
    """An incremental parser of the requests of one connection.

    awaits_continue: True if the client waits for an interim response before it sends the body
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._scanned = 0  # bytes of the buffer that do not contain the end of the head
        self._head: ServedRequest | None = None
        self.awaits_continue = False

    @property
    def is_idle(self) -> bool:
        """True if no bytes of a request have arrived."""
        return self._head is None and not self._buffer

    @property
    def size(self) -> int:
        """The number of bytes that wait to be parsed."""
        return len(self._buffer)

    def feed(self, data: bytes) -> None:
        """Add received bytes."""
        self._buffer += data

    def read_request(self) -> ServedRequest | None:
        """Return the next complete request; None if more bytes are needed. Raise HttpError for an invalid one."""
        if self._head is None and self._buffer:
            self._head = self._read_head()
        if (head := self._head) is None:
            return None
        length = head.headers.length
        if len(self._buffer) < length:
            self.awaits_continue = head.headers.awaits_continue
            return None
        self._head, self.awaits_continue = None, False
        if not length:
            return head
        body = bytes(self._buffer[:length])
        del self._buffer[:length]
        return head._replace(body=body)

    def _read_head(self) -> ServedRequest | None:
        buffer = self._buffer
        if buffer.startswith(b"\r\n"):  # an empty line after the body before, which old clients send
            del buffer[:2]
        end = buffer.find(b"\r\n\r\n", self._scanned)
        if end > MAX_HEAD or (end < 0 and len(buffer) > MAX_HEAD):
            raise HttpError(431, f"the request line and headers exceed {MAX_HEAD:,} bytes")
        if end < 0:
            self._check_beginning()
            self._scanned = max(0, len(buffer) - 3)
            return None
        self._scanned = 0
        line, _, block = bytes(buffer[:end]).partition(b"\r\n")
        del buffer[: end + 4]
        return _make_request(line, _parse_known(block) if len(block) <= _MAX_KNOWN else parse_headers(block))

    def _check_beginning(self) -> None:
        """Reject what can never become a request, instead of waiting for its end."""
        line, newline, _ = self._buffer.partition(b"\n")
        if newline and not line.endswith(b"\r"):
            raise HttpError(400, "invalid HTTP: lines must end with CR LF")
        if newline and _REQUEST_LINE.fullmatch(line[:-1]) is None:
            raise HttpError(400, "invalid request line: expected METHOD /path HTTP/1.1")
        if self._buffer and not 0x21 <= self._buffer[0] < 0x7F and self._buffer != b"\r":
            raise HttpError(400, "this is not HTTP; the server has no TLS")


def _make_request(line: bytes, headers: HeaderFacts) -> ServedRequest:
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        raise HttpError(400, "invalid request line: expected METHOD /path HTTP/1.1")
    method, target, major, minor = match.groups()
    if major != b"1":
        raise HttpError(505, "expected HTTP/1.1 or HTTP/1.0")
    is_old = minor == b"0"
    if not (is_old or headers.has_host):
        raise HttpError(400, "missing header Host")
    path, _, query = _strip_authority(target.decode("ascii")).partition("?")
    return ServedRequest(method.decode("ascii"), path, query, not (is_old or headers.closes), headers)


def _strip_authority(target: str) -> str:
    """Return the path and query of a target, which proxies send as a complete URL."""
    if target.startswith("/"):
        return target
    match = re.fullmatch(r"https?://[^/?#]+(/.*)?", target, re.IGNORECASE)
    return (match[1] or "/") if match else target


def parse_headers(block: bytes) -> HeaderFacts:
    """Return the meaning of the header lines of a request. Raise HttpError for invalid ones."""
    fields: dict[bytes, bytes] = {}
    lines = block.split(b"\r\n") if block else []
    if len(lines) > MAX_HEADERS:
        raise HttpError(431, f"more than {MAX_HEADERS} headers")
    for line in lines:
        if (match := _HEADER.fullmatch(line)) is None:
            raise HttpError(400, "invalid header line: expected NAME: VALUE")
        name, value = match[1].lower(), match[2].strip(b" \t")
        if name in fields and name in _ONCE:
            raise HttpError(400, f"repeated header {name.decode('ascii')}")
        fields[name] = b"%b,%b" % (fields[name], value) if name in fields else value
    return _find_facts(fields)


_parse_known = lru_cache(_KNOWN_HEADERS)(parse_headers)


def _find_facts(fields: dict[bytes, bytes]) -> HeaderFacts:
    return HeaderFacts(
        length=_find_length(fields),
        has_host=b"host" in fields,
        closes="close" in _split(fields.get(b"connection", b"")),
        is_strict=_is_strict(fields.get(b"prefer", b"")),
        awaits_continue=_awaits_continue(fields.get(b"expect")),
        content_type=fields.get(b"content-type", b"").partition(b";")[0].strip().lower().decode("latin-1"),
    )


def _split(value: bytes) -> list[str]:
    return [item.strip().lower() for item in value.decode("latin-1").split(",")]


def _is_strict(prefer: bytes) -> bool:
    """Return True for a Prefer header, as of RFC 7240, with `handling=strict`."""
    preferences = (item.partition(";")[0].replace('"', "").partition("=") for item in _split(prefer))
    return any((name.strip(), value.strip()) == ("handling", "strict") for name, _, value in preferences)


def _find_length(fields: dict[bytes, bytes]) -> int:
    if (coding := fields.get(b"transfer-encoding")) is not None:
        if b"content-length" in fields or coding.lower() != b"chunked":
            status = 400 if b"content-length" in fields else 501
            raise HttpError(status, "unsupported transfer coding; send the body with Content-Length")
        raise HttpError(411, "chunked bodies are not supported; send the body with Content-Length")
    if fields.get(b"content-encoding", b"identity").lower() != b"identity":
        raise HttpError(415, "compressed bodies are not supported")
    length = fields.get(b"content-length", b"0")
    if _DIGITS.fullmatch(length) is None:
        raise HttpError(400, "invalid header Content-Length: expected the number of bytes")
    if int(length) > MAX_BODY:
        raise HttpError(413, f"the body exceeds {MAX_BODY:,} bytes")
    return int(length)


def _awaits_continue(expect: bytes | None) -> bool:
    if expect is not None and expect.lower() != b"100-continue":
        raise HttpError(417, "unknown expectation; expected 100-continue")
    return expect is not None


# -- Responses --------------------------------------------------------------------------------------------------------


def encode_reply(reply: ServedReply, *, keeps_alive: bool, is_head: bool = False) -> bytes:
    """Return the bytes of a response; without its body for a HEAD request."""
    head = _encode_head(reply.status, reply.content_type, keeps_alive, reply.headers)
    return b"%b%d\r\n\r\n%b" % (head, len(reply.body), b"" if is_head else reply.body)


@lru_cache(256)
def _encode_head(status: int, content_type: str, keeps_alive: bool, headers: tuple[tuple[str, str], ...]) -> bytes:
    lines = [
        f"HTTP/1.1 {status} {REASONS[status]}",
        f"Content-Type: {content_type}",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        *(f"{name}: {value}" for name, value in headers),
        *(() if keeps_alive else ("Connection: close",)),
        "Content-Length: ",
    ]
    return "\r\n".join(lines).encode("ascii")
