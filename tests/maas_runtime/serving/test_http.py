"""The strict parser of requests, and the bytes of responses."""

from __future__ import annotations

import random

import pytest

from maas_runtime.serving.http import (
    MAX_BODY,
    MAX_HEAD,
    HttpError,
    RequestParser,
    ServedReply,
    ServedRequest,
    encode_reply,
    parse_headers,
)

HOST = b"Host: a\r\n"
TYPE = b"Content-Type: Application/JSON; charset=utf-8\r\n"
POST = b"POST /batch?a=1 HTTP/1.1\r\n" + HOST + TYPE + b"Content-Length: 2\r\n\r\n[]"


def parse(data: bytes) -> ServedRequest | None:
    parser = RequestParser()
    parser.feed(data)
    return parser.read_request()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_requests_are_read_from_portions_of_any_size(size):
    data = b"GET /apply?x=1 HTTP/1.1\r\nHost: a\r\n\r\n" + b"\r\n" + POST + b"GET / HTTP/1.0\r\n\r\n"
    parser = RequestParser()
    requests = []
    for begin in range(0, len(data), size):
        parser.feed(data[begin : begin + size])
        while (request := parser.read_request()) is not None:
            requests.append(request)
    first, second, third = requests
    assert first[:4] == ("GET", "/apply", "x=1", True)
    assert (*second[:4], second.body) == ("POST", "/batch", "a=1", True, b"[]")
    assert second.headers.content_type == "application/json"
    assert third[:4] == ("GET", "/", "", False)
    assert parser.is_idle


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/", "/", ""),
        ("/a?b?c", "/a", "b?c"),
        ("http://a:80/apply?x=1", "/apply", "x=1"),
        ("HTTPS://a", "/", ""),
        ("*", "*", ""),
        ("a:80", "a:80", ""),
        ("//b/apply", "//b/apply", ""),
    ],
)
def test_a_target_may_be_a_complete_url(target, path, query):
    request = parse(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    assert (request.path, request.query) == (path, query)


@pytest.mark.parametrize(
    ("headers", "closes", "is_strict"),
    [
        (b"Connection: close", True, False),
        (b"connection:Keep-Alive, Close", True, False),
        (b"Connection: keep-alive\r\nConnection: close", True, False),
        (b"Connection: keep-alive", False, False),
        (b"Prefer: handling=strict", False, True),
        (b"Prefer: respond-async\r\nPrefer: handling=strict; a=1, wait=1", False, True),
        (b'prefer: Handling = "strict"', False, True),
        (b"Prefer: handling=lenient", False, False),
        (b"Prefer: xhandling=strict", False, False),
        (b"X-Prefer: handling=strict", False, False),
    ],
)
def test_headers_that_have_an_effect(headers, closes, is_strict):
    facts = parse_headers(headers)
    assert (facts.closes, facts.is_strict) == (closes, is_strict)


INVALID = {
    "no method": (b" / HTTP/1.1\r\n\r\n", 400, "request line"),
    "two spaces": (b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n", 400, "request line"),
    "no version": (b"GET /\r\n\r\n", 400, "request line"),
    "a space in the target": (b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n", 400, "request line"),
    "another alphabet": ("GET /é HTTP/1.1\r\n".encode() + HOST + b"\r\n", 400, "request line"),
    "lowercase protocol": (b"GET / http/1.1\r\n" + HOST + b"\r\n", 400, "request line"),
    "version 2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "HTTP/1.1"),
    "line feeds": (b"GET / HTTP/1.1\nHost: a\n\n", 400, "CR LF"),
    "a line feed in a header": (b"GET / HTTP/1.1\r\nHost: a\nB: b\r\n\r\n", 400, "header line"),
    "a carriage return in a header": (b"GET / HTTP/1.1\r\nHost: a\rB: b\r\n\r\n", 400, "header line"),
    "a null in a header": (b"GET / HTTP/1.1\r\nHost: a\0\r\n\r\n", 400, "header line"),
    "a folded header": (b"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", 400, "header line"),
    "a space before the colon": (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400, "header line"),
    "no colon": (b"GET / HTTP/1.1\r\nHost\r\n\r\n", 400, "header line"),
    "no name": (b"GET / HTTP/1.1\r\n: a\r\n\r\n", 400, "header line"),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400, "Host"),
    "two hosts": (b"GET / HTTP/1.1\r\n" + HOST * 2 + b"\r\n", 400, "repeated header host"),
    "TLS": (b"\x16\x03\x01\x02\x00\x01", 400, "no TLS"),
    "two lengths": (POST.replace(b"\r\n\r\n", b"\r\nContent-Length: 2\r\n\r\n"), 400, "repeated header content-length"),
    "a list of lengths": (POST.replace(b"h: 2", b"h: 2, 2"), 400, "Content-Length"),
    "a negative length": (POST.replace(b"h: 2", b"h: -2"), 400, "Content-Length"),
    "a signed length": (POST.replace(b"h: 2", b"h: +2"), 400, "Content-Length"),
    "a hexadecimal length": (POST.replace(b"h: 2", b"h: 0x2"), 400, "Content-Length"),
    "a length in another alphabet": (POST.replace(b"h: 2", b"h: \xb2"), 400, "Content-Length"),
    "a large length": (POST.replace(b"h: 2", b"h: %d" % (MAX_BODY + 1)), 413, "exceeds 1,048,576 bytes"),
    "a huge length": (POST.replace(b"h: 2", b"h: " + b"9" * 100), 400, "Content-Length"),
    "chunks": (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n", 411, "Content-Length"),
    "other codings": (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501, "coding"),
    "a length and chunks": (POST.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n"), 400, "coding"),
    "compression": (POST.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n"), 415, "compressed"),
    "an expectation": (POST.replace(b"\r\n\r\n", b"\r\nExpect: magic\r\n\r\n"), 417, "100-continue"),
    "many headers": (b"GET / HTTP/1.1\r\n" + HOST + b"A: b\r\n" * 100 + b"\r\n", 431, "100 headers"),
    "long headers": (b"GET / HTTP/1.1\r\nHost: " + b"a" * MAX_HEAD + b"\r\n\r\n", 431, "65,536 bytes"),
    "a line without an end": (b"GET /" + b"a" * MAX_HEAD, 431, "65,536 bytes"),
}


@pytest.mark.parametrize("case", INVALID)
def test_an_invalid_or_ambiguous_request_is_rejected(case):
    data, status, message = INVALID[case]
    with pytest.raises(HttpError, match=message) as raised:
        parse(data)
    assert raised.value.status == status


def test_a_request_line_is_rejected_before_its_headers_arrive():
    with pytest.raises(HttpError, match="request line"):
        parse(b"HELO example.org\r\n")


@pytest.mark.parametrize("data", [b"", b"\r", b"\r\n", b"G", b"GET / HTTP/1.1\r\nHost: a\r\n", POST[:-1]], ids=range(6))
def test_an_incomplete_request_waits_for_more_bytes(data):
    assert parse(data) is None


def test_a_body_that_awaits_an_interim_response():
    head, _, _ = POST.partition(b"\r\n\r\n")
    parser = RequestParser()
    parser.feed(head + b"\r\nExpect: 100-Continue\r\n\r\n")
    assert parser.read_request() is None
    assert parser.awaits_continue
    parser.feed(b"[]")
    assert parser.read_request().body == b"[]"
    assert not parser.awaits_continue


def test_mutated_requests_give_requests_or_errors_of_ours():
    chance = random.Random(1)
    seeds = [POST, b"GET /apply?x=1 HTTP/1.1\r\nHost: a\r\nPrefer: handling=strict\r\nExpect: 100-continue\r\n\r\n"]
    pieces = [b"\r", b"\n", b"\r\n", b":", b" ", b"\0", b"%", b",", b"0", b"-", b"HTTP/1.1", b"Content-Length: 1\r\n"]
    outcomes = {"request": 0, "error": 0}
    for _ in range(20_000):
        data = chance.choice(seeds)
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(data))
            data = data[:at] + chance.choice(pieces) + data[at + chance.randint(0, 2) :]
        try:
            outcomes["request"] += parse(data) is not None
        except HttpError:
            outcomes["error"] += 1
    assert min(outcomes.values()) > 1000, outcomes


def test_a_response_has_its_length_and_whether_the_connection_is_closed():
    reply = ServedReply(503, b"{}", headers=(("Retry-After", "1"),))
    assert encode_reply(reply, keeps_alive=False).split(b"\r\n") == [
        b"HTTP/1.1 503 Service Unavailable",
        b"Content-Type: application/json",
        b"Cache-Control: no-store",
        b"X-Content-Type-Options: nosniff",
        b"Retry-After: 1",
        b"Connection: close",
        b"Content-Length: 2",
        b"",
        b"{}",
    ]
    assert b"Connection" not in encode_reply(reply, keeps_alive=True)
    assert encode_reply(reply, keeps_alive=True, is_head=True).endswith(b"Content-Length: 2\r\n\r\n")
