"""REST_GET and REST_POST against real servers on this machine, correct and faulty ones."""

from __future__ import annotations

import base64
import json
import select
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

import stellar
from stellar.functions.rest.client import CallFailure, RestCall, RestClient
from stellar.functions.rest.settings import RestSettings
from stellar.functions.rest.urls import parse_url, server_of
from stellar.language.context import Context, GlobalSettings

OBJECT = {"a": 1}


@dataclass
class ReceivedRequest:
    """A request as a server received it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Server:
    """A server with scripted paths.

    scripts: functions by path, which are passed the handler
    """

    address: str = ""
    scripts: dict[str, Callable[[Any], Any]] = field(default_factory=dict)
    requests: list[ReceivedRequest] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    def script_response(self, path: str, body: object = OBJECT, status: int = 200, **headers: str) -> str:
        """Script a path with a response, and return its URL."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {"Content-Length": str(len(data)), **{key.replace("_", "-"): value for key, value in headers.items()}}

        def script(handler: Any) -> None:
            handler.send_response(status)
            for name, value in named.items():
                handler.send_header(name, value)
            handler.end_headers()
            handler.wfile.write(data)

        self.scripts[path] = script
        return self.address + path

    def script_bytes(self, path: str, *pieces: bytes, pause: float = 0.0) -> str:
        """Script a path with raw bytes, and return its URL; with a pause, the last piece is repeated."""

        def script(handler: Any) -> None:
            handler.close_connection = True
            with suppress(OSError):
                for piece in pieces:
                    handler.wfile.write(piece)
                while pause and not self.stopping.wait(pause):
                    handler.wfile.write(pieces[-1])

        self.scripts[path] = script
        return self.address + path


def serve(certificate: trustme.LeafCert | None = None) -> Iterator[Server]:
    server = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def respond(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            server.requests.append(ReceivedRequest(self.command, self.path, dict(self.headers), body))
            server.scripts[self.path.partition("?")[0]](self)

        do_GET = do_POST = respond

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    scheme = "http"
    if certificate is not None:
        scheme = "https"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        http.socket = context.wrap_socket(http.socket, server_side=True, do_handshake_on_connect=False)
    server.address = f"{scheme}://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.stopping.set()
    http.shutdown()
    http.server_close()
    thread.join()


@pytest.fixture
def service() -> Iterator[Server]:
    yield from serve()


@pytest.fixture
def other() -> Iterator[Server]:
    yield from serve()


@pytest.fixture
def contexts() -> Iterator[Callable[..., Context]]:
    """Return a function that makes contexts with global settings; `rest` are the common settings of REST calls."""
    created: list[Context] = []

    def make(rest: dict[str, Any] | None = None, **settings: Any) -> Context:
        named = {key.replace("__", "."): value for key, value in settings.items()}
        created.append(Context({GlobalSettings: GlobalSettings({"stellar.rest.settings": rest, **named})}))
        return created[-1]

    yield make
    for context in created:
        if (client := context.get(RestClient)) is not None:
            client.close()


Evaluate = Callable[..., Any]
Bounded = Callable[[], AbstractContextManager[None]]


@pytest.fixture
def evaluate(contexts: Callable[..., Context]) -> Evaluate:
    """Return a function that evaluates an expression with settings of REST calls."""

    def evaluate(expression: str, record: dict[str, Any] | None = None, **rest: Any) -> Any:
        named = {key.replace("_", "."): value for key, value in rest.items()}
        return stellar.evaluate(expression, record or {}, contexts(named))

    return evaluate


# -- Responses --------------------------------------------------------------------------------------------------------


def test_a_json_object_in_the_response_is_returned_as_a_map(service: Server, evaluate: Evaluate) -> None:
    url = service.script_response("/x", {"a": [1, 2.5, None], "b": {"c": True}})
    assert evaluate(f"REST_GET('{url}')") == {"a": [1, 2.5, None], "b": {"c": True}}
    (request,) = service.requests
    assert (request.method, request.path, request.headers["Accept"]) == ("GET", "/x", "application/json")
    assert request.headers["Host"] == f"127.0.0.1:{service.port}"


@pytest.mark.parametrize("status", [201, 204, 400, 401, 404, 429, 500, 503])
def test_a_status_other_than_200_gives_null_unless_it_is_allowed(
    service: Server, evaluate: Evaluate, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    url = service.script_response("/x", b"" if status == 204 else OBJECT, status)
    assert evaluate(f"REST_GET('{url}')") is None
    assert f"the response has the status {status}" in caplog.text
    expected = None if status == 204 else OBJECT
    assert evaluate(f"REST_GET('{url}')", response_codes_allowed=[200, status]) == expected
    assert evaluate(f"REST_GET('{url}', {{'response.codes.allowed': {status}}})") == expected


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"[1]", "expected a JSON object, got the list [1]"),
        (b'"a"', "expected a JSON object, got the string 'a'"),
        (b"null", "expected a JSON object, got null"),
        (b"<html></html>", "the response is not JSON"),
        (b'{"a": ', "the response is not JSON"),
        (b'{"a": 1} more', "the response is not JSON"),
        (b'{"a": NaN}', "the response is not JSON"),
        (b'{"a": "\xff"}', "the response is not JSON"),
        (b"[" * 100_000, "the response is not JSON"),
    ],
)
def test_a_response_other_than_a_json_object_gives_null(
    service: Server, evaluate: Evaluate, body: bytes, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    url = service.script_response("/x", body)
    assert evaluate(f"REST_GET('{url}')") is None
    assert message in caplog.text
    assert evaluate(f"REST_GET('{url}')", error_value_override={"failed": True}) == {"failed": True}


@pytest.mark.parametrize("body", [b"", b" \r\n"])
def test_an_empty_response_has_its_own_override(service: Server, evaluate: Evaluate, body: bytes) -> None:
    url = service.script_response("/x", body)
    assert evaluate(f"REST_GET('{url}')") is None
    assert evaluate(f"REST_GET('{url}')", error_value_override="error") is None
    assert (
        evaluate(f"REST_GET('{url}', {{'empty.content.override': 'empty'}})", error_value_override="error") == "empty"
    )


def test_the_content_length_is_verified_if_configured(service: Server, evaluate: Evaluate) -> None:
    known = service.script_response("/known")
    open_ended = service.script_bytes("/open", b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", b'{"a": 1}')
    short = service.script_bytes("/short", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", b'{"a": 1}')
    config = "{'verify.content.length': true}"
    assert [evaluate(f"REST_GET('{url}')") for url in (known, open_ended, short)] == [OBJECT, OBJECT, None]
    assert [evaluate(f"REST_GET('{url}', {config})") for url in (known, open_ended, short)] == [OBJECT, None, None]


def test_a_response_that_is_too_large_gives_null(
    service: Server, evaluate: Evaluate, caplog: pytest.LogCaptureFixture
) -> None:
    piece = b" " * 1_000_000
    url = service.script_bytes("/x", b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{", *[piece] * 17, b"}")
    assert evaluate(f"REST_GET('{url}')", timeout=10_000) is None
    assert "the response is larger than 16,777,216 bytes" in caplog.text


def test_a_compressed_response_is_not_accepted(
    service: Server, evaluate: Evaluate, caplog: pytest.LogCaptureFixture
) -> None:
    assert evaluate(f"REST_GET('{service.script_response('/x', Content_Encoding='gzip')}')") is None
    assert service.requests[0].headers["Accept-Encoding"] == "identity"
    assert "the response is compressed with gzip" in caplog.text


def test_connections_are_kept_alive(service: Server, contexts: Callable[..., Context]) -> None:
    ports = []
    service.scripts["/x"] = lambda handler: (ports.append(handler.client_address[1]), respond(handler))
    respond = service.scripts[service.script_response("/y").removeprefix(service.address)]
    context = contexts()
    for _ in range(3):
        assert stellar.evaluate(f"REST_GET('{service.address}/x')", {}, context) == OBJECT
    assert len(set(ports)) == 1


# -- Requests ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "parameters", "sent"),
    [
        ("/x", "{'q': 'a b&c=d'}", "/x?q=a+b%26c%3Dd"),
        ("/x?q=old&r=kept", "{'q': 'new'}", "/x?q=new&r=kept"),
        ("/x?q=1&q=2", "{'q': '3', 'r': 'é'}", "/x?q=3&r=%C3%A9"),
        ("/x?q=kept", "{}", "/x?q=kept"),
        ("/x?q=kept", "null", "/x?q=kept"),
    ],
)
def test_query_parameters_replace_those_of_the_same_name(
    service: Server, evaluate: Evaluate, path: str, parameters: str, sent: str
) -> None:
    service.script_response("/x")
    assert evaluate(f"REST_GET('{service.address}{path}', {{}}, {parameters})") == OBJECT
    assert evaluate(f"REST_POST('{service.address}{path}', null, {{}}, {parameters})") == OBJECT
    assert service.requests[0].path == sent
    assert service.requests[1].path == service.requests[0].path


@pytest.mark.parametrize(
    ("data", "body"),
    [
        ("null", b""),
        ("{'a': 1, 'b': null, 'c': {'d': null, 'e': [null, 'é']}}", '{"a": 1, "c": {"e": [null, "é"]}}'.encode()),
        ("{}", b"{}"),
        ("SET_ADD(SET_INIT(), 1)", None),
        ("'{\"a\": null}'", b'{"a": null}'),
        ("' {} '", b" {} "),
    ],
)
def test_data_is_sent_as_json(service: Server, evaluate: Evaluate, data: str, body: bytes | None) -> None:
    url = service.script_response("/x")
    if body is None:
        with pytest.raises(stellar.EvaluationError, match="REST_POST expected a map or a JSON object as data"):
            evaluate(f"REST_POST('{url}', {data})")
        return
    assert evaluate(f"REST_POST('{url}', {data})") == OBJECT
    (request,) = service.requests
    assert (request.method, request.body, request.headers["Content-Type"]) == ("POST", body, "application/json")


@pytest.mark.parametrize("data", ["'text'", "'[1]'", "'{'", "5", "[1]", "true"])
def test_other_strings_are_sent_only_if_json_is_not_enforced(service: Server, evaluate: Evaluate, data: str) -> None:
    url = service.script_response("/x")
    with pytest.raises(stellar.EvaluationError, match="REST_POST expected a map or a JSON object as data, got"):
        evaluate(f"REST_POST('{url}', {data})")
    assert not service.requests
    assert evaluate(f"REST_POST('{url}', {data}, {{'enforce.json': false}})") == OBJECT
    assert service.requests[0].body.decode() == stellar.evaluate(f"TO_STRING({data})", {})


@pytest.mark.parametrize("value", [float("nan"), object(), {"k": b"bytes"}])
def test_a_map_that_json_can_not_represent_is_rejected(evaluate: Evaluate, value: object) -> None:
    with pytest.raises(stellar.EvaluationError, match="REST_POST can't encode data as JSON"):
        evaluate("REST_POST('http://127.0.0.1:1/', {'a': value})", {"value": value})


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("REST_GET(null)", "REST_GET expected a URL as url, got null"),
        ("REST_GET('')", "REST_GET expected a URL as url, got the string ''"),
        ("REST_GET('example.com')", "expected http:// or https:// and a host"),
        ("REST_GET('ftp://example.com/')", "expected http:// or https:// and a host"),
        ("REST_GET('file:///etc/passwd')", "expected http:// or https:// and a host"),
        ("REST_GET('http://')", "expected http:// or https:// and a host"),
        ("REST_GET('http://[::1')", "REST_GET expected a URL as url"),
        ("REST_GET('http://a:99999/')", "expected a port from 1 to 65535, got 99999"),
        ("REST_GET('http://a:0/')", "expected a port from 1 to 65535, got 0"),
        ("REST_GET('http://example.com%00.evil.net/')", "the host contains whitespace or special characters"),
        ("REST_GET('http://example.com%2f.evil.net/')", "the host contains whitespace or special characters"),
        ("REST_POST('http://a\\n.example/', {})", "REST_POST expected a URL as url"),
        (
            "REST_GET('http://127.0.0.1:1/', {}, {'a': 1})",
            "REST_GET expected strings as queryParameters, got the integer 1 for a",
        ),
        (
            "REST_GET('http://127.0.0.1:1/', {}, {'a': null})",
            "REST_GET expected strings as queryParameters, got null for a",
        ),
        ("REST_GET(5)", "REST_GET expected"),
        ("REST_GET('http://127.0.0.1:1/', 'a')", "REST_GET expected"),
    ],
)
def test_invalid_arguments_are_rejected(evaluate: Evaluate, expression: str, message: str) -> None:
    with pytest.raises(stellar.EvaluationError) as refused:
        evaluate(expression)
    assert message in refused.value.message


# -- Settings ---------------------------------------------------------------------------------------------------------


def test_settings_of_a_call_override_those_of_its_method_and_the_common_ones(
    service: Server, contexts: Callable[..., Context]
) -> None:
    url = service.script_response("/x", b"")
    context = contexts(
        {"empty.content.override": "common"}, stellar__rest__get__settings={"empty.content.override": "get"}
    )
    assert stellar.evaluate(f"REST_POST('{url}', null)", {}, context) == "common"
    assert stellar.evaluate(f"REST_GET('{url}')", {}, context) == "get"
    assert stellar.evaluate(f"REST_GET('{url}', {{'empty.content.override': 'call'}})", {}, context) == "call"


def test_settings_are_read_in_each_call(service: Server, contexts: Callable[..., Context]) -> None:
    url = service.script_response("/x", b"")
    context = contexts({})
    assert stellar.evaluate(f"REST_GET('{url}')", {}, context) is None
    context[GlobalSettings]["stellar.rest.settings"]["empty.content.override"] = "now"
    assert stellar.evaluate(f"REST_GET('{url}')", {}, context) == "now"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"timeuot": 1}, "unknown setting timeuot in stellar.rest.settings; did you mean timeout?"),
        ({"xyz": 1}, "unknown setting xyz in stellar.rest.settings; known are basic.auth"),
        (
            {"timeout": "soon"},
            "stellar.rest.settings: invalid timeout: expected an integer from 1 to 86,400,000, got 'soon'",
        ),
        ({"timeout": -1}, "invalid timeout: expected an integer from 1 to 86,400,000, got -1"),
        ({"timeout": 0}, "invalid timeout: expected an integer from 1 to 86,400,000, got 0"),
        ({"timeout": True}, "invalid timeout: expected an integer from 1 to 86,400,000, got true"),
        ({"socket.timeout": 10**12}, "invalid socket.timeout: expected an integer from 0 to 86,400,000, got 1000"),
        ({"enforce.json": "perhaps"}, "invalid enforce.json: expected true or false, got 'perhaps'"),
        ({"proxy.host": 5}, "invalid proxy.host: expected a string, got 5"),
        (
            {"response.codes.allowed": ["ok"]},
            "invalid response.codes.allowed: expected an integer from 100 to",
        ),
        ({"response.codes.allowed": [20]}, "invalid response.codes.allowed: expected an integer from 100 to"),
        ({"hosts.allowed": ["exa*mple.com"]}, "invalid hosts.allowed: invalid entry"),
        ({"hosts.allowed": "http://example.com"}, "invalid hosts.allowed: invalid entry"),
        ({"hosts.allowed": "user@example.com"}, "invalid hosts.allowed: invalid entry"),
        ({"ca.path": "/no/such/file"}, "invalid ca.path: can't use the authorities in /no/such/file"),
        (
            {"key.path": "k.pem"},
            "invalid ca.path, certificate.path or key.path: the key in k.pem has no effect without",
        ),
        ({"proxy.host": "http://proxy"}, "expected a host and a port only"),
        ({"proxy.host": "proxy", "proxy.port": 70000}, "invalid proxy.port: expected an integer from 1 to 65,535, got"),
        ({"proxy.host": "a b"}, "invalid proxy.host or proxy.port, a b:8080"),
        (
            {"basic.auth.user": "u", "basic.auth.password.path": "/no/such/file"},
            "can't read the password in /no/such/file",
        ),
        ("text", "invalid stellar.rest.settings: expected a map of settings, got the string 'text'"),
    ],
)
def test_the_error_for_an_invalid_setting_names_it(
    contexts: Callable[..., Context], settings: Any, message: str
) -> None:
    with pytest.raises(stellar.EvaluationError) as refused:
        stellar.evaluate("REST_GET('http://127.0.0.1:1/')", {}, contexts(settings))
    assert message in refused.value.message


def test_a_setting_that_is_null_has_its_default(service: Server, evaluate: Evaluate) -> None:
    assert evaluate(f"REST_GET('{service.script_response('/x')}', {{'timeout': null}})", proxy_host=None) == OBJECT


def test_numbers_and_booleans_can_be_strings(service: Server, evaluate: Evaluate) -> None:
    url = service.script_response("/x", OBJECT, 201)
    assert (
        evaluate(f"REST_GET('{url}')", timeout="9000", response_codes_allowed="201", verify_content_length="yes")
        == OBJECT
    )


# -- Passwords --------------------------------------------------------------------------------------------------------


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


def test_a_password_is_the_unchanged_content_of_its_file(service: Server, evaluate: Evaluate, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("sécret\n", encoding="utf-8")
    url = service.script_response("/x")
    options = {"basic_auth_user": "mary", "basic_auth_password_path": str(tmp_path / "password")}
    assert evaluate(f"REST_GET('{url}')", **options) == OBJECT
    assert evaluate(f"REST_GET('{url.replace('//', '//john:other@')}')", **options) == OBJECT
    assert evaluate(f"REST_GET('{url}')", basic_auth_user="mary") == OBJECT
    assert evaluate(f"REST_GET('{url.replace('//', '//jo%40hn:pw@')}')") == OBJECT
    assert [request.headers.get("Authorization") for request in service.requests] == [
        basic("mary:sécret\n"),
        basic("mary:sécret\n"),
        basic("mary:"),
        basic("jo@hn:pw"),
    ]


def test_secrets_in_a_url_are_not_logged(service: Server, evaluate: Evaluate, caplog: pytest.LogCaptureFixture) -> None:
    service.script_response("/x", OBJECT, 404)
    assert evaluate(f"REST_GET('http://mary:secret@127.0.0.1:{service.port}/x?key=secret#secret')") is None
    assert f"GET http://127.0.0.1:{service.port}/x: the response has the status 404" in caplog.text
    assert "secret" not in caplog.text


def test_the_password_is_not_sent_to_another_server(
    service: Server, other: Server, evaluate: Evaluate, tmp_path: Path
) -> None:
    (tmp_path / "password").write_text("secret", encoding="utf-8")
    other.script_response("/y")
    service.script_response("/y", {"own": True})
    away = service.script_response("/away", b"", 302, Location=f"{other.address}/y")
    home = service.script_response("/home", b"", 302, Location="/y")
    options = {"basic_auth_user": "mary", "basic_auth_password_path": str(tmp_path / "password")}
    assert evaluate(f"REST_GET('{away}')", **options) == OBJECT
    assert evaluate(f"REST_GET('{home}')", **options) == {"own": True}
    assert [request.headers.get("Authorization") for request in service.requests] == [basic("mary:secret")] * 3
    assert "Authorization" not in other.requests[0].headers


# -- Allowed hosts ----------------------------------------------------------------------------------------------------


def test_the_host_of_a_url_from_a_record_must_be_allowed(
    service: Server, evaluate: Evaluate, caplog: pytest.LogCaptureFixture
) -> None:
    record = {"url": service.script_response("/x"), "host": f"127.0.0.1:{service.port}"}
    for expression in ("REST_GET(url)", "REST_GET(JOIN(['http://', host, '/x'], ''))", "REST_POST(url, {})"):
        assert evaluate(expression, record, error_value_override="refused") == "refused"
        assert not service.requests
        assert evaluate(expression, record, hosts_allowed=["example.com"], error_value_override="no") == "no"
        assert not service.requests
        assert evaluate(expression, record, hosts_allowed=["example.com", "127.0.0.1"]) == OBJECT
        service.requests.clear()
    assert f"127.0.0.1:{service.port} comes from a record, and hosts.allowed does not contain it" in caplog.text


def test_a_call_can_not_allow_hosts(service: Server, evaluate: Evaluate) -> None:
    record = {"url": service.script_response("/x"), "config": {"hosts.allowed": ["*"]}}
    with pytest.raises(stellar.EvaluationError, match=r"hosts\.allowed can't be set in a call"):
        evaluate("REST_GET(url, config)", record)
    assert not service.requests


@pytest.mark.parametrize(
    ("pattern", "named", "not_named"),
    [
        (
            "example.com",
            [
                "http://example.com",
                "https://EXAMPLE.com:8443/x",
                "http://example.com./",
                "http://evil.net@example.com/",
                "http://evil.net\\@example.com/",
            ],
            [
                "http://www.example.com",
                "http://example.com.evil.net",
                "http://evil.net/example.com",
                "http://example.com@evil.net/",
                "http://example.com:80@evil.net/",
                "http://example.com\\@evil.net/",
                "http://evil.net?example.com",
                "http://evil.net#example.com",
                "http://notexample.com",
                "http://еxample.com/",  # with a Cyrillic е
            ],
        ),
        (
            "*.example.com",
            ["http://a.example.com", "http://a.b.example.com."],
            [
                "http://example.com",
                "http://aexample.com",
                "http://a.example.com.evil.net",
                "http://evil.net?.example.com",
            ],
        ),
        (
            "example.com:80",
            ["http://example.com", "http://example.com:80", "https://example.com:80"],
            ["https://example.com", "http://example.com:8080"],
        ),
        ("*.example.com:8080", ["http://a.example.com:8080"], ["http://a.example.com", "http://example.com:8080"]),
        (
            "xn--bcher-kva.example",
            ["http://BÜCHER.example", "http://xn--bcher-kva.example"],
            ["http://bcher-kva.example", "http://bucher.example"],
        ),
        ("Example.COM.", ["http://example.com"], []),
        ("127.0.0.1", ["http://127.0.0.1:5/"], ["http://2130706433/", "http://127.1/", "http://0x7f.0.0.1/"]),
        ("[::1]", ["http://[::1]:8080/", "http://[::1]/"], ["http://[::2]/", "http://127.0.0.1/", "http://1/"]),
        ("[::1]:8080", ["http://[::1]:8080/"], ["http://[::1]/"]),
        ("10.0.0.0/8", ["http://10.1.2.3/", "https://10.255.0.1:8443/"], ["http://11.0.0.1/", "http://ten.example/"]),
        ("2001:db8::/32", ["http://[2001:db8::1]/"], ["http://[2001:db9::1]/"]),
        ("*", ["http://anything.example", "http://[::1]:5/"], []),
    ],
)
def test_hosts_are_compared_in_the_form_in_which_they_are_requested(
    pattern: str, named: list[str], not_named: list[str]
) -> None:
    settings = RestSettings.of({"stellar.rest.settings": {"hosts.allowed": [pattern]}}, "", None)

    def is_allowed(url: str) -> bool:
        call = RestCall("GET", parse_url(url), settings, trusted=False, body=None, end=0.0)
        try:
            call.check_allowed(call.url)
        except CallFailure:
            return False
        return True

    assert [url for url in named if not is_allowed(url)] == []
    assert [url for url in not_named if is_allowed(url)] == []


@pytest.mark.parametrize(
    "pattern",
    ["", "*.", "**", "a*", "*.*.com", "a b", "a@b", "::1", "[::1", "a:b", "a\\b", "bücher.example", "10.0.0.1/8"],
)
def test_an_invalid_entry_of_the_allowed_hosts_is_an_error(pattern: str) -> None:
    with pytest.raises(LookupError, match=r"stellar\.rest\.settings: invalid hosts\.allowed: invalid entry"):
        RestSettings.of({"stellar.rest.settings": {"hosts.allowed": [pattern]}}, "", None)


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("http://Example.com./x", "example.com:80"),
        ("https://example.com", "example.com:443"),
        ("http://[::1]:8080", "[::1]:8080"),
        ("http://bücher.example", "xn--bcher-kva.example:80"),
    ],
)
def test_the_name_of_a_server_is_normalized(url: str, named: str) -> None:
    assert server_of(parse_url(url)) == named


# -- Redirects --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_the_same_host_is_followed(service: Server, evaluate: Evaluate, status: int) -> None:
    service.script_response("/b/d")
    url = service.script_response("/b/c", b"", status, Location="d")
    first = service.script_response("/a", b"", status, Location=url)
    assert evaluate(f"REST_GET('{first}')") == OBJECT
    assert [request.path for request in service.requests] == ["/a", "/b/c", "/b/d"]


@pytest.mark.parametrize("written", [True, False])
def test_a_redirect_to_another_host_is_followed_only_if_allowed(
    service: Server, evaluate: Evaluate, written: bool, caplog: pytest.LogCaptureFixture
) -> None:
    service.script_response("/y")
    url = service.script_response("/x", b"", 302, Location=f"http://localhost:{service.port}/y")
    call = f"REST_GET('{url}')" if written else "REST_GET(url)"
    assert evaluate(call, {"url": url}, hosts_allowed=["127.0.0.1"]) is None
    assert [request.path for request in service.requests] == ["/x"]
    message = f"localhost:{service.port} is a redirect of 127.0.0.1:{service.port}, and hosts.allowed does not"
    assert message in caplog.text
    assert evaluate(call, {"url": url}, hosts_allowed=["127.0.0.1", "localhost"]) == OBJECT


def test_a_redirect_to_another_port_must_be_allowed_for_a_url_from_a_record(
    service: Server, other: Server, evaluate: Evaluate
) -> None:
    other.script_response("/y")
    url = service.script_response("/x", b"", 302, Location=f"{other.address}/y")
    assert evaluate("REST_GET(url)", {"url": url}, hosts_allowed=[f"127.0.0.1:{service.port}"]) is None
    assert not other.requests
    assert evaluate("REST_GET(url)", {"url": url}, hosts_allowed=["127.0.0.1"]) == OBJECT


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("/x", "more than 10 redirects"),
        ("file:///etc/passwd", "invalid redirect"),
        ("http://[::1", "invalid redirect"),
    ],
)
def test_an_invalid_or_endless_redirect_gives_null(
    service: Server, evaluate: Evaluate, location: str, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    url = service.script_response("/x", b"", 302, Location=location)
    assert evaluate(f"REST_GET('{url}')", timeout=5000) is None
    assert message in caplog.text
    assert len(service.requests) == (11 if location == "/x" else 1)


def test_a_redirect_of_a_post_is_not_followed(service: Server, evaluate: Evaluate) -> None:
    service.script_response("/y")
    url = service.script_response("/x", b"", 307, Location="/y")
    assert evaluate(f"REST_POST('{url}', {{}})") is None
    assert [request.path for request in service.requests] == ["/x"]


def test_a_redirect_without_a_location_is_a_response(service: Server, evaluate: Evaluate) -> None:
    assert evaluate(f"REST_GET('{service.script_response('/x', OBJECT, 302)}')", response_codes_allowed=[302]) == OBJECT


# -- Time-outs --------------------------------------------------------------------------------------------------------

HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param((b"",), id="nothing"),
        pytest.param((HEAD, b"X: y\r\n"), id="headers without end"),
        pytest.param((HEAD + b"X: ", b"y"), id="a header without end"),
        pytest.param((HEAD + b"Content-Length: 100000\r\n\r\n", b" "), id="a body byte by byte"),
        pytest.param((HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"), id="chunk by chunk"),
    ],
)
def test_a_response_byte_by_byte_ends_at_the_time_out(
    service: Server, evaluate: Evaluate, pieces: tuple[bytes, ...], caplog: pytest.LogCaptureFixture, bounded: Bounded
) -> None:
    url = service.script_bytes("/x", *pieces, pause=0.02)
    with bounded():
        assert evaluate(f"REST_GET('{url}')", timeout=250, error_value_override="late") == "late"
    assert "no response in time" in caplog.text


def test_redirects_share_one_time_out(service: Server, evaluate: Evaluate, bounded: Bounded) -> None:
    service.script_bytes("/x", HEAD.replace(b"200 OK", b"302 Found") + b"Location: /x\r\nContent-Length: 3\r\n\r\n")
    slow = service.scripts["/x"]
    service.scripts["/x"] = lambda handler: (service.stopping.wait(0.3), slow(handler), handler.wfile.write(b"abc"))
    with bounded():
        assert evaluate(f"REST_GET('{service.address}/x')", timeout=2000) is None
    assert 1 < len(service.requests) < 9  # fewer than the redirects that are followed


def test_the_socket_time_out_limits_the_wait_between_portions(
    service: Server, evaluate: Evaluate, bounded: Bounded
) -> None:
    url = service.script_bytes("/x", HEAD, b"", pause=600)
    with bounded():
        assert evaluate(f"REST_GET('{url}')", timeout=600_000, socket_timeout=100) is None


def test_the_time_out_limits_sending_a_body(
    service: Server, evaluate: Evaluate, caplog: pytest.LogCaptureFixture, bounded: Bounded
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, bounded():  # it accepts connections and reads nothing
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        assert evaluate(f"REST_POST('{url}', {{'a': a}})", {"a": "x" * 20_000_000}, timeout=300) is None
    assert "no response in time" in caplog.text


def test_the_connect_time_out_limits_the_tls_handshake(evaluate: Evaluate, bounded: Bounded) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, bounded():
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/"
        assert evaluate(f"REST_GET('{url}')", timeout=600_000, connect_timeout=200) is None


def test_the_connect_time_out_limits_the_wait_for_a_connection(evaluate: Evaluate, bounded: Bounded) -> None:
    with socket.socket() as full:  # a queue for one connection, which is taken
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}/"
        with bounded():
            assert evaluate(f"REST_GET('{url}')", timeout=600_000, connect_timeout=200) is None
        for each in waiting:
            each.close()


def test_a_refused_connection_gives_null(evaluate: Evaluate, caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert evaluate(f"REST_GET('http://127.0.0.1:{port}/')", error_value_override=0) == 0
    assert "refused" in caplog.text


@pytest.mark.parametrize("host", ["a..b", "a" * 70, "no-such-host.invalid"])
def test_an_unknown_host_gives_null(evaluate: Evaluate, host: str) -> None:
    assert evaluate(f"REST_GET('http://{host}/')", timeout=20_000, error_value_override="error") == "error"


@pytest.mark.parametrize("sent", [b"", b"garbage\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", HEAD + b"X" * 200_000])
def test_a_response_that_is_not_http_gives_null(service: Server, evaluate: Evaluate, sent: bytes) -> None:
    assert evaluate(f"REST_GET('{service.script_bytes('/x', sent)}')", error_value_override="error") == "error"


# -- TLS and proxies --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def secure(authority: trustme.CA) -> Iterator[Server]:
    yield from serve(authority.issue_cert("127.0.0.1", "localhost"))


@pytest.fixture
def ca_path(authority: trustme.CA, tmp_path: Path) -> str:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return str(tmp_path / "ca.pem")


def test_a_certificate_must_be_issued_by_a_trusted_authority(
    secure: Server, evaluate: Evaluate, ca_path: str, caplog: pytest.LogCaptureFixture
) -> None:
    url = secure.script_response("/x")
    assert evaluate(f"REST_GET('{url}')", timeout=5000) is None
    assert "certificate verify failed" in caplog.text
    assert not secure.requests
    assert evaluate(f"REST_GET('{url}')", timeout=5000, ca_path=ca_path) == OBJECT


def test_a_certificate_must_be_issued_for_the_host(
    authority: trustme.CA, evaluate: Evaluate, ca_path: str, caplog: pytest.LogCaptureFixture
) -> None:
    for elsewhere in serve(authority.issue_cert("elsewhere.example")):
        assert evaluate(f"REST_GET('{elsewhere.script_response('/x')}')", timeout=5000, ca_path=ca_path) is None
        assert not elsewhere.requests
    assert "certificate verify failed" in caplog.text


class Proxy(socketserver.ThreadingTCPServer):
    """An HTTP proxy.

    authorization: the expected header Proxy-Authorization; None for no authentication
    requests: the request lines that it received
    """

    daemon_threads = True
    authorization: str | None = None

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _ProxyHandler)
        self.requests: list[str] = []


class _ProxyHandler(socketserver.StreamRequestHandler):
    server: Proxy

    def handle(self) -> None:
        line = self.rfile.readline().decode()
        headers = {}
        while (header := self.rfile.readline().decode().strip()) != "":
            name, _, value = header.partition(": ")
            headers[name.lower()] = value
        self.server.requests.append(line.strip())
        if self.server.authorization not in (None, headers.get("proxy-authorization")):
            self.wfile.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return
        method, target, _ = line.split()
        connects = method == "CONNECT"
        host, _, path = (target if connects else target.removeprefix("http://")).partition("/")
        name, _, port = host.rpartition(":")
        with socket.create_connection((name, int(port))) as upstream, suppress(OSError):
            if connects:
                self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                upstream.sendall(f"{method} /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            self.forward(upstream)

    def forward(self, upstream: socket.socket) -> None:
        ends = {self.connection: upstream, upstream: self.connection}
        while True:
            for ready in select.select(list(ends), [], [])[0]:
                if not (data := ready.recv(65_536)):
                    return
                ends[ready].sendall(data)


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with Proxy() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def through(proxy: Proxy, **more: Any) -> dict[str, Any]:
    return {"proxy_host": "127.0.0.1", "proxy_port": proxy.server_address[1], "timeout": 5000, **more}


def test_a_proxy_forwards_http_and_tunnels_https(
    service: Server, secure: Server, proxy: Proxy, evaluate: Evaluate, ca_path: str
) -> None:
    assert evaluate(f"REST_GET('{service.script_response('/x')}')", **through(proxy)) == OBJECT
    assert evaluate(f"REST_GET('{secure.script_response('/x')}')", **through(proxy, ca_path=ca_path)) == OBJECT
    assert proxy.requests == [
        f"GET http://127.0.0.1:{service.port}/x HTTP/1.1",
        f"CONNECT 127.0.0.1:{secure.port} HTTP/1.1",
    ]


def test_credentials_are_sent_to_a_proxy(
    service: Server, secure: Server, proxy: Proxy, evaluate: Evaluate, ca_path: str, tmp_path: Path
) -> None:
    proxy.authorization = basic("mary:sécret")
    (tmp_path / "password").write_text("sécret", encoding="utf-8")
    known = {"proxy_basic_auth_user": "mary", "proxy_basic_auth_password_path": str(tmp_path / "password")}
    for url in (service.script_response("/x"), secure.script_response("/x")):
        assert evaluate(f"REST_GET('{url}')", **through(proxy, ca_path=ca_path)) is None
        assert evaluate(f"REST_GET('{url}')", **through(proxy, ca_path=ca_path, **known)) == OBJECT
    assert len(service.requests) == len(secure.requests) == 1


def test_an_unreachable_proxy_gives_null(service: Server, evaluate: Evaluate) -> None:
    url = service.script_response("/x")
    assert evaluate(f"REST_GET('{url}')", proxy_host="127.0.0.1", proxy_port=1, error_value_override="error") == "error"
    assert not service.requests


# -- Circuit breakers and limits -------------------------------------------------------------------------------------


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Client:
    """A client with a clock that the test sets."""

    rest: RestClient
    clock: Clock

    def get(self, url: str, **settings: Any) -> Any:
        own = RestSettings.of({}, "", {"error.value.override": "error", "timeout": 2000, **settings})
        return self.rest.call("GET", parse_url(url), own, trusted=True)


@pytest.fixture
def client() -> Iterator[Client]:
    clock = Clock()
    with RestClient({}, clock) as rest:
        yield Client(rest, clock)


def test_five_failures_open_the_circuit_of_a_server(
    service: Server, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    bad, good = service.script_response("/bad", OBJECT, 503), service.script_response("/good")
    for _ in range(5):
        assert client.get(bad) == "error"
    assert client.get(good) == "error"
    assert len(service.requests) == 5
    assert f"the circuit of http://127.0.0.1:{service.port} is open: it failed 5 times in a row" in caplog.text
    client.clock.now += 31
    assert client.get(good) == OBJECT
    for _ in range(4):
        assert client.get(bad) == "error"
    assert client.get(good) == OBJECT


def test_one_failure_opens_a_half_open_circuit(service: Server, client: Client) -> None:
    bad = service.script_response("/bad", OBJECT, 500)
    for _ in range(5):
        client.get(bad)
    client.clock.now += 31
    client.get(bad)
    client.get(bad)
    assert len(service.requests) == 6


@pytest.mark.parametrize(("status", "body"), [(404, b"{}"), (200, b"<html>"), (200, b"[]"), (200, b"")])
def test_an_unusable_response_is_not_a_failure_of_the_server(
    service: Server, client: Client, status: int, body: bytes
) -> None:
    url = service.script_response("/x", body, status)
    for _ in range(7):
        client.get(url)
    assert len(service.requests) == 7


def test_each_server_has_its_own_circuit(service: Server, other: Server, client: Client) -> None:
    bad, good = service.script_response("/x", OBJECT, 500), other.script_response("/x")
    for _ in range(6):
        client.get(bad)
    assert len(service.requests) == 5
    assert client.get(good) == OBJECT


def test_many_threads_share_a_client(service: Server, contexts: Callable[..., Context]) -> None:
    url, context = service.script_response("/x"), contexts({"timeout": 10_000})
    expression = stellar.compile(f"REST_GET('{url}', {{}}, {{'n': n}})")
    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(lambda n: expression({"n": str(n)}, context), range(64)))
    assert results == [OBJECT] * 64
    assert {request.path for request in service.requests} == {f"/x?n={n}" for n in range(64)}


def test_concurrent_calls_of_a_server_are_limited(service: Server, contexts: Callable[..., Context]) -> None:
    under_way, most = [0], [0]
    respond = service.scripts[service.script_response("/y").removeprefix(service.address)]

    def script(handler: Any) -> None:
        under_way[0] += 1
        most[0] = max(most[0], under_way[0])
        service.stopping.wait(0.03)
        under_way[0] -= 1
        respond(handler)

    service.scripts["/x"] = script
    context = contexts({"timeout": 10_000}, pooling__default__max__per__route=2)
    expression = stellar.compile(f"REST_GET('{service.address}/x')")
    with ThreadPoolExecutor(6) as threads:
        results = list(threads.map(lambda _: expression({}, context), range(12)))
    assert results == [OBJECT] * 12
    assert most[0] == 2


@pytest.mark.parametrize("limit", ["pooling.default.max.per.route", "pooling.max.total"])
def test_a_call_without_a_slot_in_time_fails(
    service: Server, other: Server, caplog: pytest.LogCaptureFixture, limit: str
) -> None:
    url, elsewhere = service.script_response("/x"), other.script_response("/x")
    own = RestSettings.of({}, "", {"timeout": 5000, "connection.request.timeout": 20})
    begun, release = threading.Event(), threading.Event()

    def script(handler: Any) -> None:
        begun.set()
        release.wait(30)
        handler.send_response(200)
        handler.end_headers()

    service.scripts["/slow"] = script
    slow = parse_url(f"{service.address}/slow")
    with RestClient({limit: 1}) as rest, ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(rest.call, "GET", slow, own, trusted=True)
        assert begun.wait(30)
        assert rest.call("GET", parse_url(url), own, trusted=True) is None
        assert "too many concurrent calls: no slot became free in time" in caplog.text
        result = rest.call("GET", parse_url(elsewhere), own, trusted=True)
        assert result == (None if limit == "pooling.max.total" else OBJECT)
        release.set()
        waiting.result()
        assert rest.call("GET", parse_url(url), own, trusted=True) == OBJECT


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pooling.max.total": "many"}, "invalid pooling.max.total: expected an integer from 1 to 1,000,000"),
        ({"pooling.default.max.per.route": 0}, "invalid pooling.default.max.per.route: expected an integer"),
        ({"stellar.rest.setings": {}}, "unknown setting stellar.rest.setings; did you mean stellar.rest.settings?"),
        ({"stellar.rest.put.settings": {}}, "unknown setting stellar.rest.put.settings; did you mean stellar.rest."),
        ({"stellar.rest.post.settings": {"timeout": -5}}, "stellar.rest.post.settings: invalid timeout: expected"),
    ],
)
def test_a_client_rejects_invalid_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(LookupError) as refused:
        RestClient(settings)
    assert str(refused.value).startswith(message)
