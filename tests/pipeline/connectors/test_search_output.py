"""Failures that real servers cannot be made to show: no rights, lost responses, and documents that fail with 500."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

from stellar.pipeline.connectors.search.client import SearchClient, SearchFailure, SearchUnavailable
from stellar.pipeline.connectors.search.documents import DocumentForm
from stellar.pipeline.connectors.search.output import SearchOutput
from stellar.pipeline.connectors.search.settings import SearchSettings
from stellar.pipeline.indexing import SearchWriter
from stellar.pipeline.records import Record

Answer = tuple[int, Any]


class Script:
    """The responses of a server, in order; the last one is repeated. None ends the connection without a response.

    requests: the path and the body of each request, with the header of the credentials
    """

    def __init__(self) -> None:
        self.responses: list[Answer | None] = []
        self.requests: list[tuple[str, bytes, str | None]] = []

    def __call__(self, path: str, body: bytes, authorization: str | None) -> Answer | None:
        self.requests.append((path, body, authorization))
        return self.responses.pop(0) if len(self.responses) > 1 else self.responses[0]

    @property
    def sent(self) -> list[list[int]]:
        """The field `n` of the documents in each bulk request."""
        return [
            [json.loads(each)["n"] for each in body.splitlines()[1::2]]
            for path, body, _ in self.requests
            if path.startswith("/_bulk?")
        ]


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def server(script: Script) -> Iterator[ThreadingHTTPServer]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def respond(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answer = script(self.path, body, self.headers.get("Authorization"))
            if answer is None:
                self.close_connection = True
                return
            status, value = answer
            content = value if isinstance(value, bytes) else json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = respond

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        yield server
        server.shutdown()


def serve(server: ThreadingHTTPServer) -> None:
    threading.Thread(target=server.serve_forever, daemon=True).start()


@pytest.fixture
def url(server: ThreadingHTTPServer) -> str:
    serve(server)
    return f"http://127.0.0.1:{server.server_port}"


@pytest.fixture(params=["opensearch", "elasticsearch"])
def client(request: pytest.FixtureRequest, url: str) -> Iterator[SearchClient]:
    client = SearchClient(SearchSettings(request.param, (url,), "Basic bWU6", seconds=5))
    yield client
    client.close()


Rejected = list[tuple[int, str]]


class Sleeps:
    """A clock that advances while it sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.seconds: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.seconds.append(seconds)
        self.now += seconds


@pytest.fixture
def sleeps() -> Sleeps:
    return Sleeps()


@pytest.fixture
def rejected() -> Rejected:
    return []


@pytest.fixture
def open_output(client: SearchClient, sleeps: Sleeps, rejected: Rejected) -> Callable[..., SearchOutput]:
    """A function that opens the output, with settings of the writer."""

    def open_output(**writer: Any) -> SearchOutput:
        settings = SearchWriter(**{"index": "squid", **writer})
        output = SearchOutput(client, DocumentForm(lambda sensor: settings), clock=sleeps, sleep=sleeps.sleep)
        output.reject = lambda item, reason: rejected.append((item.document["n"], reason))
        return output

    return open_output


def document(n: int, **fields: Any) -> Record:
    return {"source.type": "squid", "n": n, **fields}


def outcome(status: int, type: str = "", reason: str = "", operation: str = "create") -> Record:
    return {operation: {"status": status, **({"error": {"type": type, "reason": reason}} if type else {})}}


def stored(*outcomes: Record) -> Answer:
    return 200, {"errors": any("error" in each["create"] for each in outcomes), "items": list(outcomes)}


CREATED = outcome(201)


def test_documents_are_sent_with_credentials_when_their_batch_is_full(
    open_output: Callable[..., SearchOutput], script: Script
) -> None:
    output = open_output(batch_size=2)
    script.responses = [stored(CREATED, CREATED)]
    for n in range(3):
        output(document(n))
    assert script.sent == [[0, 1]]
    assert output.has_pending
    output.flush()
    assert script.sent == [[0, 1], [2]]
    assert not output.has_pending
    assert {authorization for *_, authorization in script.requests} == {"Basic bWU6"}


def test_an_incomplete_batch_is_sent_after_its_time(
    open_output: Callable[..., SearchOutput], script: Script, sleeps: Sleeps
) -> None:
    output = open_output(batch_seconds=3)
    script.responses = [stored(CREATED)]
    output(document(0))
    sleeps.now = 2.9
    output(document(1))
    assert script.sent == []
    sleeps.now = 3.0
    output(document(2))
    assert script.sent == [[0, 1, 2]]


def test_a_request_has_a_limited_size(open_output: Callable[..., SearchOutput], script: Script) -> None:
    output = open_output()
    script.responses = [stored(CREATED)]
    for n in range(3):
        output(document(n, text="x" * 3_000_000))
    output.flush()
    assert script.sent == [[0], [1], [2]]


def test_only_documents_that_failed_for_now_are_sent_again(
    open_output: Callable[..., SearchOutput], script: Script, rejected: Rejected, sleeps: Sleeps
) -> None:
    output = open_output()
    script.responses = [
        stored(
            CREATED, outcome(429, "es_rejected_execution_exception", "queue is full"), outcome(409, "conflict", "x")
        ),
        stored(outcome(503, "unavailable_shards_exception", "no shard")),
        stored(CREATED),
    ]
    for n in range(3):
        output(document(n))
    output.flush()
    assert script.sent == [[0, 1, 2], [1], [1]]
    assert rejected == []
    assert 0.05 <= sleeps.seconds[0] <= 0.1
    assert 0.1 <= sleeps.seconds[1] <= 0.2


def test_a_response_that_is_lost_makes_no_second_document(
    open_output: Callable[..., SearchOutput], script: Script, rejected: Rejected
) -> None:
    output = open_output()
    script.responses = [None, stored(outcome(409, "version_conflict_engine_exception", "document already exists"))]
    output(document(0))
    output.flush()
    first, second = (body for _, body, _ in script.requests)
    assert first == second
    assert rejected == []


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_requests_to_a_busy_server_are_repeated_less_and_less_often(
    open_output: Callable[..., SearchOutput],
    script: Script,
    sleeps: Sleeps,
    status: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    output = open_output()
    stays: list[int] = []
    output.stay = lambda: stays.append(1)
    script.responses = [(status, {"error": {"type": "t", "reason": "overloaded"}, "status": status})] * 12
    script.responses.append(stored(CREATED))
    output(document(0))
    output.flush()
    assert 30 <= sleeps.now <= 100
    assert max(sleeps.seconds) <= 1.0
    assert len(stays) == len(sleeps.seconds)
    warnings = [record.getMessage() for record in caplog.records]
    assert len(warnings) == 2
    assert "accepts no requests: overloaded; documents wait until it is available" in warnings[0]
    assert "is available again" in warnings[1]


def test_a_document_that_fails_with_500_is_an_error_in_the_end(
    open_output: Callable[..., SearchOutput], script: Script, rejected: Rejected
) -> None:
    output = open_output()
    script.responses = [stored(outcome(500, "null_pointer_exception", "a bug"))]
    output(document(0))
    output.flush()
    assert len(script.sent) == 9
    assert rejected == [(0, "a bug")]


def test_a_request_that_is_rejected_as_a_whole_is_divided(
    open_output: Callable[..., SearchOutput], script: Script, rejected: Rejected
) -> None:
    output = open_output()
    invalid = (400, {"error": {"type": "action_request_validation_exception", "reason": "document 2 is invalid"}})
    script.responses = [invalid, stored(CREATED, CREATED), invalid, invalid, stored(CREATED)]
    for n in range(4):
        output(document(n))
    output.flush()
    assert script.sent == [[0, 1, 2, 3], [0, 1], [2, 3], [2], [3]]
    assert rejected == [(2, "document 2 is invalid")]


@pytest.mark.parametrize(
    ("response", "message"),
    [
        ((401, {}), "rejects the credentials; check xpack.username and xpack.password.file"),
        (
            (403, {"error": {"reason": "no permissions for [bulk]"}}),
            "grant the user that permission",
        ),
        ((404, b"not found"), "rejects bulk requests: status 404"),
        (stored(outcome(403, "security_exception", "no permissions")), "the user may not write to the index"),
        (stored(outcome(404, "index_not_found_exception", "no such index")), "allow it in action.auto_create_index"),
    ],
)
def test_a_failure_for_the_operator_ends_the_output(
    open_output: Callable[..., SearchOutput], script: Script, rejected: Rejected, response: Answer, message: str
) -> None:
    output = open_output()
    script.responses = [response]
    output(document(0))
    for _ in range(2):  # otherwise positions would be stored without the document
        with pytest.raises(SearchFailure, match=message):
            output.flush()
    with pytest.raises(SearchFailure, match=message):
        output(document(1))
    assert rejected == []


@pytest.mark.parametrize(
    ("type", "reason", "shown"),
    [
        ("strict_dynamic_mapping_exception", "introduction of [a]", "add the field to the mapping"),
        ("illegal_argument_exception", "Limit of total fields [1000] exceeded", "index.mapping.total_fields.limit"),
        ("mapper_parsing_exception", "failed to parse", "failed to parse"),
    ],
)
def test_the_reason_of_a_rejected_document_has_a_fix(
    open_output: Callable[..., SearchOutput], script: Script, rejected: Rejected, type: str, reason: str, shown: str
) -> None:
    output = open_output()
    script.responses = [stored(outcome(400, type, reason))]
    output(document(0))
    output.flush()
    ((_, message),) = rejected
    assert shown in message


@pytest.mark.parametrize(
    ("type", "reason"),
    [
        (
            "validation_exception",
            "this cluster has [1000]/[1000] maximum shards open",
        ),
        ("index_closed_exception", "closed"),
        ("cluster_block_exception", "blocked by: [FORBIDDEN/12/index read-only]"),
    ],
)
def test_documents_wait_for_what_the_operator_can_end(
    open_output: Callable[..., SearchOutput], script: Script, rejected: Rejected, type: str, reason: str
) -> None:
    output = open_output()
    script.responses = [stored(outcome(400, type, reason)), stored(CREATED)]
    output(document(0))
    output.flush()
    assert script.sent == [[0], [0]]
    assert rejected == []


def test_a_rejected_document_ends_an_output_without_a_receiver(
    open_output: Callable[..., SearchOutput], client: SearchClient, script: Script
) -> None:
    output = SearchOutput(client, DocumentForm(lambda sensor: SearchWriter("squid")))
    script.responses = [stored(outcome(400, "mapper_parsing_exception", "failed to parse"))]
    output(document(0))
    with pytest.raises(SearchFailure, match="a document is not stored: failed to parse"):
        output.flush()


def test_the_innermost_cause_is_shown(
    open_output: Callable[..., SearchOutput], script: Script, rejected: Rejected
) -> None:
    error = {"type": "t", "reason": "outer", "caused_by": {"reason": "middle", "caused_by": {"reason": "inner"}}}
    script.responses = [(200, {"errors": True, "items": [{"create": {"status": 400, "error": error}}]})]
    output = open_output()
    output(document(0))
    output.flush()
    assert rejected == [(0, "outer: inner")]


def test_an_interrupt_loses_nothing(
    open_output: Callable[..., SearchOutput], script: Script, sleeps: Sleeps, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = open_output()

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    output._sleep = interrupt
    script.responses = [None, stored(CREATED, CREATED)]
    output(document(0))
    with pytest.raises(KeyboardInterrupt):
        output.flush()
    assert output.has_pending
    output(document(1))
    output.flush()
    assert script.sent == [[0], [0, 1]]


def test_documents_are_discarded_when_the_run_rolls_back(
    open_output: Callable[..., SearchOutput], script: Script
) -> None:
    output = open_output()
    script.responses = [stored(CREATED)]
    output(document(0))
    output.roll_back()
    output.flush()
    assert script.sent == []


@pytest.mark.parametrize("body", [b"<html>", {"tagline": "?"}, {"version": {"number": "x"}}, []])
def test_another_server_is_recognized(client: SearchClient, script: Script, body: Any) -> None:
    script.responses = [(200, body)]
    with pytest.raises(SearchFailure, match=r"is not .*; check the host and the port"):
        client.read_version()


@pytest.mark.parametrize(
    ("version", "has_types", "has_streams"),
    [
        ({"number": "5.6.16"}, True, False),
        ({"number": "6.8.0"}, True, False),
        ({"number": "7.8.1"}, False, False),
        ({"number": "8.15.0-SNAPSHOT"}, False, True),
        ({"number": "1.3.0", "distribution": "opensearch"}, False, True),
    ],
)
def test_the_version_decides_what_a_server_can_do(
    client: SearchClient, script: Script, version: Record, has_types: bool, has_streams: bool
) -> None:
    script.responses = [(200, {"version": version})]
    found = client.read_version()
    assert (found.has_types, found.has_streams) == (has_types, has_streams)


@pytest.mark.parametrize("kind", ["opensearch", "elasticsearch"])
def test_the_authority_of_a_certificate_must_be_known(
    kind: str, server: ThreadingHTTPServer, script: Script, tmp_path: Path
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    serve(server)
    script.responses = [(200, {"version": {"number": "8.15.0"}})]
    settings = SearchSettings(kind, (f"https://127.0.0.1:{server.server_port}",), seconds=5)
    client = SearchClient(settings)
    with pytest.raises(SearchUnavailable, match=r"set ssl\.ca\.path of es\.client\.settings"):
        client.read_version()
    client.close()
    client = SearchClient(replace(settings, ca=str(tmp_path / "ca.pem")))
    assert client.read_version().major == 8
    client.close()
