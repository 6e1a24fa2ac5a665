"""The adapter rest, with real servers on this machine."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

from stellar.functions.rest.client import FAILURES, RestClient
from stellar.language.context import Context, GlobalSettings
from stellar.language.errors import ConfigError
from stellar.pipeline import build_pipeline, load_config
from stellar.pipeline.pipeline import Pipeline
from stellar.pipeline.records import Raw, Record
from stellar.pipeline.stages.rest import ResponseCache, RestFailure


@dataclass
class Service:
    """A web service whose responses tests set.

    respond: returns status and body for a request
    """

    address: str = ""
    requests: list[tuple[str, str, dict[str, str], str]] = field(default_factory=list)
    respond: Callable[[str, str], tuple[int, Any]] = lambda path, body: (200, {"location": "US"})


def serve(context: ssl.SSLContext | None = None) -> Iterator[Service]:
    service = Service()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            service.requests.append((self.command, self.path, dict(self.headers), body))
            status, content = service.respond(self.path, body)
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_POST = do_GET

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    service.address = f"{'http' if context is None else 'https'}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield service
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def service() -> Iterator[Service]:
    yield from serve()


Make = Callable[..., Pipeline]


@pytest.fixture
def make(write_config: Callable[..., Path]) -> Iterator[Make]:
    """A function that builds a pipeline with services."""
    contexts: list[Context] = []

    def build(*services: Any, settings: dict[str, Any] | None = None, stage: str = "enrichment") -> Pipeline:
        enrichment = {stage: {"fieldMap": {"rest": list(services)}}}
        contexts.append(Context({GlobalSettings: GlobalSettings(settings or {})}))
        return build_pipeline(load_config(write_config(enrichment=enrichment, globals=settings), "squid"), contexts[-1])

    yield build
    for context in contexts:
        if (client := context.get(RestClient)) is not None:
            client.close()


def send(pipeline: Pipeline, record: Record) -> tuple[Record, list[str]]:
    """Return the fields that the enrichment added, and the messages of its reports."""
    raw = Raw(json.dumps({"timestamp": 1, **record}).encode())
    [(finished, reports)] = pipeline.processed(raw)
    assert isinstance(finished, dict), finished
    known = {"timestamp", "guid", "original_string", "source.type", *record}
    added = {name: value for name, value in finished.items() if name not in known and not name.endswith(".ts")}
    return added, [report.reason for report in reports]


def asset(service: Service, **options: Any) -> dict[str, Any]:
    return {"endpointTemplate": f"{service.address}/asset?id=${{id}}", "prefix": "asset"} | options


# -- Requests and results


def test_fields_come_from_the_response_of_a_get(service: Service, make: Make) -> None:
    pipeline = make(asset(service))
    assert send(pipeline, {"id": "12 34&x=1/é"}) == ({"asset.location": "US"}, [])
    [(method, path, headers, body)] = service.requests
    assert (method, path, body) == ("GET", "/asset?id=12%2034%26x%3D1%2F%C3%A9", "")
    assert headers["Accept"] == "application/json"


def test_fields_come_from_the_response_of_a_post(service: Service, make: Make) -> None:
    service.respond = lambda path, body: (200, {"success": True, "response": {"legit": False, "n": 5, "no": None}})
    pipeline = make(
        {
            "endpointTemplate": "${protocol}://${server}/model",
            "entityTemplate": '{"accessKey":"${access_key}","request":{"name":"${domain}","size":${size},"t":"$${x}"}}',
            "method": "POST",
            "tls": None,
            "sources": ["squid"],
            "authorization": {"type": "token", "bearerTokenTemplate": "${bearer_token}"},
            "headers": {"Content-Type": "application/json", "accept": "text/json", "X-Key": "${access_key}"},
            "properties": {
                "server": service.address.partition("://")[2],
                "bearer_token": "secret-token",
                "protocol": "http",
                "access_key": "key",
            },
            "prefix": "dga_model",
            "successJsonPath": "$['success']",
            "resultsJsonPath": "$['response']",
        }
    )
    assert send(pipeline, {"domain": 'a"}{\\', "size": 5}) == ({"dga_model.legit": False, "dga_model.n": 5}, [])
    [(method, path, headers, body)] = service.requests
    assert (method, path) == ("POST", "/model")
    assert json.loads(body) == {"accessKey": "key", "request": {"name": 'a"}{\\', "size": 5, "t": "${x}"}}
    assert headers["Authorization"] == "Bearer secret-token"
    assert (headers["X-Key"], headers["accept"]) == ("key", "text/json")
    assert "Accept" not in headers


@pytest.mark.parametrize(
    ("content_type", "template", "expected"),
    [
        ("application/x-www-form-urlencoded", "a=${v}&b=1", "a=x%26+y&b=1"),
        ("text/plain; charset=utf-8", "<${v}>", "<x& y>"),
        ("application/problem+json", '{"a": ${v}}', '{"a": "x& y"}'),
        ("application/json", '{"a": ${none:-null}}', '{"a": null}'),
    ],
)
def test_a_body_is_encoded_by_its_type(
    service: Service, make: Make, content_type: str, template: str, expected: str
) -> None:
    options = {"method": "POST", "entityTemplate": template, "headers": {"content-type": content_type}}
    assert send(make(asset(service, **options)), {"id": 1, "v": "x& y"})[1] == []
    assert service.requests[0][3] == expected


@pytest.mark.parametrize("stage", ["enrichment", "threatIntel"])
def test_several_services_enrich_a_record_in_both_stages(service: Service, make: Make, stage: str) -> None:
    pipeline = make(asset(service), asset(service, prefix="threatintels.again"), stage=stage)
    added, _ = send(pipeline, {"id": 1})
    assert added["asset.location"] == added["threatintels.again.location"] == "US"
    assert added["is_alert"] == "true"


def test_basic_credentials_are_sent(service: Service, make: Make) -> None:
    credentials = {"type": "basic", "userNameTemplate": "${user}", "passwordTemplate": "open sesame"}
    send(make(asset(service, authorization=credentials, properties={"user": "aladdin"})), {"id": 1})
    assert service.requests[0][2]["Authorization"] == "Basic YWxhZGRpbjpvcGVuIHNlc2FtZQ=="


def test_credentials_of_rest_functions_are_not_sent(service: Service, make: Make) -> None:
    settings = {"stellar.rest.settings": {"basic.auth.user": "u"}}
    assert send(make(asset(service), settings=settings), {"id": 1})[1] == []
    assert "Authorization" not in service.requests[0][2]


def test_a_record_without_a_field_of_a_template_is_not_enriched(service: Service, make: Make) -> None:
    pipeline = make(asset(service))
    assert send(pipeline, {"id": None}) == ({}, [])
    assert send(pipeline, {}) == ({}, [])
    [message] = send(make(asset(service, sources=["squid"])), {})[1]
    assert message == "ENRICHMENT error with rest failed: asset: the record has no field 'id', which the request needs"
    assert send(make(asset(service, sources=["other"])), {"id": 1}) == ({}, [])
    assert service.requests == []


def test_a_condition_selects_records(service: Service, make: Make) -> None:
    pipeline = make(asset(service, filterExpression="id > 5"))
    assert send(pipeline, {"id": 5}) == ({}, [])
    assert send(pipeline, {"id": 6})[0] == {"asset.location": "US"}
    assert len(service.requests) == 1


def test_an_empty_response_adds_nothing(service: Service, make: Make) -> None:
    service.respond = lambda path, body: (204, b"")
    assert send(make(asset(service)), {"id": 1}) == ({}, [])


# -- Failures

FAILED: list[tuple[dict[str, Any], int, Any, str]] = [
    ({}, 404, {}, "the response has the status 404"),
    ({}, 200, b"<html>", "the response is not JSON: "),
    ({}, 200, b"\xff", "the response is not JSON: "),
    ({}, 200, b'{"a": NaN}', "the response is not JSON: "),
    ({}, 200, b"[" * 100_000, "the response is not JSON: "),
    ({}, 200, [1], "expected a map at $ of the response, got "),
    ({"resultsJsonPath": "$.a"}, 200, {"b": {}}, "expected a map at $.a of the response, got null"),
    ({"successJsonPath": "$.ok"}, 200, {"ok": False}, "the response reports a failure: $.ok is false"),
    ({"successJsonPath": "$.ok"}, 200, {}, "the response reports a failure: $.ok is null"),
]


@pytest.mark.parametrize(("options", "status", "content", "message"), FAILED)
def test_a_failure_is_reported_and_cached_and_the_record_continues(
    service: Service, make: Make, options: dict[str, Any], status: int, content: Any, message: str
) -> None:
    service.respond = lambda path, body: (status, content)
    pipeline = make(asset(service, **options))
    for _ in range(2):
        added, reports = send(pipeline, {"id": 1})
        assert added == {}
        assert reports[0].startswith(f"ENRICHMENT error with rest failed: asset: {message}")
    assert len(service.requests) == 1


def test_a_service_that_is_away_is_reported_without_secrets_and_not_cached(service: Service, make: Make) -> None:
    own = {"properties": {"key": "secret"}}
    pipeline = make({"endpointTemplate": "http://u:secret@127.0.0.1:1/a?k=${key}&id=${id}", "prefix": "p", **own})
    for _ in range(FAILURES):
        added, [message] = send(pipeline, {"id": 1})
        assert added == {}
        assert "p: GET http://127.0.0.1:1/a: " in message
        assert "secret" not in message
    [message] = send(pipeline, {"id": 1})[1]
    assert "the circuit of http://127.0.0.1:1 is open" in message
    assert send(make(asset(service)), {"id": 1})[1] == []


def test_a_server_error_is_cached_and_counts_for_the_breaker(service: Service, make: Make) -> None:
    service.respond = lambda path, body: (503, {})
    pipeline = make(asset(service))
    for number in range(FAILURES):
        for _ in range(2):
            [message] = send(pipeline, {"id": number})[1]
            assert "the response has the status 503" in message
    assert len(service.requests) == FAILURES
    assert "is open" in send(pipeline, {"id": "new"})[1][0]


def test_a_service_that_does_not_respond_in_time_is_a_failure(service: Service, make: Make) -> None:
    released = threading.Event()

    def respond(path: str, body: str) -> tuple[int, Any]:
        released.wait(60)
        return 200, {}

    service.respond = respond
    [message] = send(make(asset(service, timeoutMillis=100)), {"id": 1})[1]
    released.set()
    assert "no response in time" in message


@pytest.mark.parametrize(
    ("template", "value", "message"),
    [
        ("/${id}", "..", "a value of the record is . or .. in the path of the URL"),
        ("/a/${id}${id}/b", ".", "a value of the record is . or .. in the path of the URL"),
        ("/${id}", "", "invalid value of the field 'id': an empty string cannot be a segment of a path"),
        ("/${id}", "\ud800", "invalid value of the field 'id': it contains half of a surrogate pair"),
    ],
)
def test_a_value_that_selects_another_path_is_a_failure(
    service: Service, make: Make, template: str, value: str, message: str
) -> None:
    pipeline = make({"endpointTemplate": service.address + template, "prefix": "p"})
    assert send(pipeline, {"id": value})[1] == [f"ENRICHMENT error with rest failed: p: {message}"]
    assert service.requests == []


# -- Cache


def test_results_are_cached_by_request(service: Service, make: Make) -> None:
    service.respond = lambda path, body: (200, {"list": [path]})
    pipeline = make(asset(service, cacheSize=2))
    for value in (1, 1, "1", 2, 1, 3, 1):  # 3 displaces 1
        assert send(pipeline, {"id": value})[0] == {"asset.list": [f"/asset?id={value}"]}
    assert [path for _, path, _, _ in service.requests] == [f"/asset?id={value}" for value in (1, 2, 3, 1)]


def test_nothing_is_cached_for_no_time(service: Service, make: Make) -> None:
    pipeline = make(asset(service, successCacheExpirationSeconds=0))
    for _ in range(2):
        send(pipeline, {"id": 1})
    assert len(service.requests) == 2


@pytest.mark.parametrize(("status", "found"), [(200, {"asset.location": "US"}), (500, {})])
def test_equal_requests_at_the_same_time_make_one_call(
    service: Service, make: Make, status: int, found: dict[str, Any]
) -> None:
    callers, second = 8, threading.Event()

    def respond(path: str, body: str) -> tuple[int, Any]:
        if sum(1 for _, each, *_ in service.requests if each == path) > 1:
            second.set()
        second.wait(0.5)  # time for a second call, which must not come
        return status, {"location": "US"}

    service.respond = respond
    pipeline = make(asset(service))
    start = threading.Barrier(callers)

    def enrich(number: int) -> tuple[Record, list[str]]:
        start.wait()
        return send(pipeline, {"id": str(number % 2)})

    with ThreadPoolExecutor(callers) as pool:
        outcomes = list(pool.map(enrich, range(callers)))
    assert sorted(path for _, path, *_ in service.requests) == ["/asset?id=0", "/asset?id=1"]
    assert [(added, len(reports)) for added, reports in outcomes] == [(found, int(status != 200))] * callers


def test_successes_and_failures_expire_after_their_own_times() -> None:
    now = [0.0]
    cache = ResponseCache(10, lambda: now[0])
    cache.put("success", "{}", 30)
    cache.put("failure", failure := RestFailure("x"), 5)
    for seconds, expected in ((4.9, ("{}", failure)), (5.0, ("{}", None)), (30.0, (None, None))):
        now[0] = seconds
        assert (cache.get("success"), cache.get("failure")) == expected


# -- TLS


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def secure(authority: trustme.CA) -> Iterator[Service]:
    """A service that requires a client certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    yield from serve(context)


def test_a_client_certificate_is_presented(
    secure: Service, authority: trustme.CA, make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client = authority.issue_cert("client@example.com")
    names = [str(tmp_path / name) for name in ("ca.pem", "client.pem", "key.pem")]
    authority.cert_pem.write_to_path(names[0])
    client.cert_chain_pems[0].write_to_path(names[1])
    client.private_key_pem.write_to_path(names[2])
    tls = dict(zip(("caPath", "certificatePath", "keyPath"), names, strict=True))
    token = tmp_path / "token"
    token.write_text("Bearer abc")
    token.chmod(0o644)
    pipeline = make(asset(secure, tls=tls, authorization={"type": "file", "path": str(token)}))
    assert list(pipeline.find_missing_services()) == []
    assert send(pipeline, {"id": 1}) == ({"asset.location": "US"}, [])
    assert secure.requests[0][2]["Authorization"] == "Bearer abc"
    token.write_text("Bearer def")
    send(pipeline, {"id": 2})
    assert secure.requests[1][2]["Authorization"] == "Bearer def"
    assert caplog.messages == [f"credentials in {token} are readable by other users; run chmod 600 on it"]
    without = make(asset(secure, tls={"caPath": names[0]}))
    [message] = send(without, {"id": 1})[1]
    assert "rest failed: asset: GET https://127.0.0.1" in message


def test_files_that_are_missing_are_found_before_a_run(service: Service, make: Make) -> None:
    address = service.address.replace("http:", "https:")
    services = [
        asset(service, tls={"caPath": "/no/ca.pem"}),
        {"endpointTemplate": f"{address}/", "prefix": "p", "authorization": {"type": "file", "path": "/no/token"}},
    ]
    missing = [(location.path, problem) for location, _, problem in make(*services).find_missing_services()]
    assert [path for path, _ in missing] == [f"enrichment.fieldMap.rest.config[{index}]" for index in (0, 1)]
    assert "/no/ca.pem" in missing[0][1]
    assert "/no/token" in missing[1][1]


# -- Configuration


@pytest.mark.parametrize(
    ("options", "path", "message"),
    [
        ({"prefx": "a"}, ".prefx", "unknown key 'prefx'; did you mean prefix?"),
        ({"prefix": None}, ".prefix", "expected a string, got null"),
        ({"prefix": ""}, ".prefix", "expected a string that is not empty, got ''"),
        ({"method": "PUT"}, ".method", "Input should be 'GET' or 'POST'"),
        ({"method": "POST"}, "", "missing key 'entityTemplate', the body of a POST"),
        ({"entityTemplate": "{}"}, "", "unexpected key 'entityTemplate': only a POST has a body"),
        (
            {"method": "POST", "entityTemplate": '{"a": }'},
            ".entityTemplate",
            "the template is not JSON: Expecting value",
        ),
        ({"endpointTemplate": "ftp://a/"}, ".endpointTemplate", "expected http:// or https:// and a host"),
        ({"endpointTemplate": "https://${h}/"}, ".endpointTemplate", "a host, which a field of a record cannot name"),
        ({"endpointTemplate": "https://a${h}/"}, ".endpointTemplate", "expected / after the host"),
        ({"endpointTemplate": "https://a:${p}/"}, ".endpointTemplate", "expected / after the host"),
        ({"headers": {"a": "${id}"}}, ".headers.a", "unknown property 'id': only properties can be used here"),
        ({"headers": {"a": "x\r\nb: y"}}, ".headers.a", "must not contain line ends or control characters"),
        ({"authorization": {"type": "basic"}}, ".authorization", "missing key 'userNameTemplate' for the type basic"),
        ({"authorization": {"type": "none"}}, ".authorization.type", "Input should be 'basic', 'token' or 'file'"),
        (
            {"authorization": {"type": "file", "path": "x"}, "endpointTemplate": "http://a/"},
            ".authorization.type",
            "credentials of a file are not sent by http, unencrypted; use https",
        ),
        ({"tls": {"keyStorePath": "a.jks"}}, ".tls", "Java key stores are not supported; convert them to PEM files"),
        ({"timeoutMillis": 0}, ".timeoutMillis", "greater than or equal to 1"),
        ({"successJsonPath": "$["}, ".successJsonPath", "invalid JSONPath '$['"),
        ({"resultsJsonPath": "$.${x}"}, ".resultsJsonPath", "unknown property 'x'"),
        ({"filterExpression": "TRIN(id)"}, ".filterExpression", "unknown function TRIN"),
    ],
)
def test_an_invalid_service_is_an_error_at_its_key(
    service: Service, make: Make, options: dict[str, Any], path: str, message: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        make(asset(service, **options))
    assert raised.value.path == f"enrichment.fieldMap.rest.config[0]{path}"
    assert message in raised.value.message


@pytest.mark.parametrize(
    ("config", "message"), [({"a": 1}, "expected a list of services"), ([5], "expected a map with")]
)
def test_a_configuration_that_is_no_list_of_services_is_an_error(
    write_config: Callable[..., Path], config: Any, message: str
) -> None:
    enrichment = {"enrichment": {"fieldMap": {"rest": {"config": config}}}}
    with pytest.raises(ConfigError, match=message):
        build_pipeline(load_config(write_config(enrichment=enrichment), "squid"))


def test_concurrent_calls_are_limited(service: Service, make: Make) -> None:
    active, most, lock = [0], [0], threading.Lock()

    def respond(path: str, body: str) -> tuple[int, Any]:
        with lock:
            active[0] += 1
            most[0] = max(most[0], active[0])
        time.sleep(0.02)
        with lock:
            active[0] -= 1
        return 200, {"path": path}

    service.respond = respond
    pipeline = make(asset(service, capacity=2, timeoutMillis=60_000))
    results: list[Any] = []
    threads = [threading.Thread(target=lambda n=n: results.append(send(pipeline, {"id": n}))) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(added["asset.path"] for added, _ in results) == [f"/asset?id={number}" for number in range(8)]
    assert most[0] <= 2
