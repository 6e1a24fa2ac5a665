"""The server of one model: typed calls, statuses, batches, documents, start and end."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import jsonschema
import pytest

from tests.maas_runtime.serving.conftest import read_response, start_server
from tests.models.sample_model import DOCUMENT

BOOSTERS = Path(__file__).parents[2] / "models" / "boosters" / "data"
STRICT = "Prefer: handling=strict"
RESULT = {"y": 5.0, "doubled": 2.0, "origin": "ru", "ratio": 1e308, "born on": None}


def test_a_query_is_scored_by_the_declared_types(server):
    assert server.get("/apply?x=1&n=2&tld=ru") == (200, RESULT)
    assert server.get("/apply?x=1&n=2&tld=ru&born=2026-01-31&flag") == (200, {**RESULT, "born on": "2026-01-31"})


def test_an_object_is_scored(server):
    assert server.post("/apply", b'{"x": 1, "n": "2", "tld": "ru"}', "Content-Type: application/json") == (200, RESULT)


def test_results_that_are_infinite_are_null(server):
    status, result = server.get("/apply?x=5&n=2&tld=ru")
    assert (status, result["ratio"]) == (200, None)


@pytest.mark.parametrize(
    ("query", "status", "reason"),
    [
        ("m=1", 400, "unknown input 'm'; known are born, flag, n, tld, x"),
        ("x=1&x=2", 400, "repeated input 'x'; give each name once"),
        ("x=abc", 400, "input 'x': expected double, got 'abc'"),
        ("x=%FF", 400, "'%FF' is not UTF-8"),
        ("x=-1", 422, "invalid value of field 'x': the model does not accept -1.0"),
        ("x=NaN", 422, "invalid value of field 'x': the model does not accept nan"),
        ("n=1", 422, "invalid value of field 'x': it is missing; set it"),
        ("", 422, "invalid value of field 'x': it is missing; set it"),
    ],
)
def test_a_strict_caller_gets_a_status_and_others_get_200_with_the_same_reason(server, query, status, reason):
    assert server.get(f"/apply?{query}", STRICT) == (status, {"error": reason})
    assert server.get(f"/apply?{query}", "prefer: respond-async, HANDLING = Strict;a=b") == (status, {"error": reason})
    assert server.get(f"/apply?{query}") == (200, {"error": reason})
    assert server.get(f"/apply?{query}", "Prefer: handling=lenient") == (200, {"error": reason})


def test_a_bad_record_of_a_batch_does_not_fail_its_neighbors(server):
    rows = [{"x": 1, "n": 2, "tld": "ru"}, {"x": "abc"}, {"x": -1.0}, 3, {"x": "1", "n": "2", "tld": "ru"}]
    reasons = [
        "input 'x': expected double, got 'abc'",
        "invalid value of field 'x': the model does not accept -1.0",
        "expected a JSON object with the inputs, got 3",
    ]
    expected = [RESULT, *({"error": reason} for reason in reasons), RESULT]
    assert server.post("/batch", json.dumps(rows).encode()) == (200, expected)
    statuses = [{**each, "status": status} for each, status in zip(expected[1:4], (400, 422, 400), strict=True)]
    assert server.post("/batch", json.dumps(rows).encode(), STRICT) == (200, [RESULT, *statuses, RESULT])
    assert server.post("/batch", b"[]") == (200, [])


@pytest.mark.parametrize(
    ("path", "body", "reason"),
    [
        ("/batch", b"{}", "expected a JSON list of objects, got {}"),
        (
            "/batch",
            b"[{}" + b",{}" * 10_000 + b"]",
            "expected at most 10,000 records, got 10,001; send several batches",
        ),
        ("/batch", b"[{}", "invalid JSON: Expecting ',' delimiter: line 1 column 4 (char 3)"),
        ("/apply", b"", "invalid JSON: Expecting value: line 1 column 1 (char 0)"),
        ("/apply", b'{"x": NaN}', "invalid JSON: NaN is not JSON; use null for a missing value"),
        ("/apply", b'{"x": -Infinity}', "invalid JSON: -Infinity is not JSON; use null for a missing value"),
        ("/apply", b'{"x": 1e999}', "input 'x': the number exceeds the range of 64 bits"),
        ("/apply", b'{"x": 1, "x": 2}', "invalid JSON: repeated name 'x'; give each name once"),
        ("/apply", b'{"x": "\xff"}', "the body is not UTF-8: byte 7"),
        ("/apply", b'{"x": ' + b"9" * 5000 + b"}", None),
        ("/apply", b"[" * 1_000_000, "the JSON is nested too deeply"),
        ("/batch", b"[" * 1_000_000, "the JSON is nested too deeply"),
        ("/apply", b"[1]", "expected a JSON object with the inputs, got [1]"),
    ],
    ids=range(13),
)
def test_an_invalid_body_is_a_bad_request_with_the_reason(server, path, body, reason):
    status, answer = server.post(path, body)
    assert (status, set(answer)) == (400, {"error"})
    assert reason in (None, answer["error"])


@pytest.mark.parametrize(
    ("line", "status", "allow"),
    [
        ("GET /", 404, None),
        ("GET /applyx?x=1", 404, None),
        ("HEAD /unknown", 404, None),
        ("PUT /apply", 405, "GET, HEAD, POST"),
        ("GET /batch", 405, "POST"),
        ("POST /schema", 405, "GET, HEAD"),
        ("OPTIONS *", 404, None),
    ],
)
def test_unknown_paths_and_methods_have_their_statuses(server, line, status, allow):
    with server.connect() as connection:
        connection.sendall(f"{line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        answer = connection.makefile("rb").read()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert (f"\r\nAllow: {allow}\r\n".encode() in head) == (allow is not None)
    assert (b"error" in body) == (not line.startswith("HEAD"))


def test_a_head_request_has_the_headers_of_a_get(server):
    with server.connect() as connection:
        connection.sendall(b"HEAD /apply?x=1 HTTP/1.1\r\nHost: a\r\n\r\nGET /health HTTP/1.1\r\nHost: a\r\n\r\n")
        time.sleep(0.2)
        received = connection.recv(65_536)
    assert received.count(b"HTTP/1.1 200 OK\r\n") == 2
    assert b"\r\n\r\nHTTP/1.1 200" in received  # no body between them


def test_the_schema_accepts_the_records_that_the_model_accepts(server):
    status, described = server.get("/schema")
    assert status == 200
    assert described["model"]["kind"] == "pmml"
    for part in ("inputs", "outputs"):
        jsonschema.Draft202012Validator.check_schema(described[part])
    records = [{"x": 1, "n": 2, "tld": "ru"}, {"x": 0.0, "born": None}, {"x": -1}, {"n": 1}, {"x": 1, "tld": "de"}]
    for record in [*records, {"x": 1, "m": 2}, {"x": 1, "n": 1.5}, {"x": 1, "flag": True, "tld": None}]:
        answered, result = server.post("/apply", json.dumps(record).encode())
        is_valid = jsonschema.Draft202012Validator(described["inputs"]).is_valid(record)
        assert is_valid == (answered == 200), record
        if is_valid:
            jsonschema.validate(result, described["outputs"])


def test_the_interface_is_described_by_openapi(server):
    status, interface = server.get("/openapi.json")
    assert (status, interface["openapi"]) == (200, "3.1.0")
    assert set(interface["paths"]) == {"/apply", "/batch", "/schema", "/health", "/metrics"}
    parameters = {each["name"]: each["required"] for each in interface["paths"]["/apply"]["get"]["parameters"][:-1]}
    assert parameters == {"x": True, "n": False, "tld": False, "flag": False, "born": False}


def test_metrics_count_requests_and_records(model_folder):
    with start_server(model_folder, ".") as server:
        server.get("/apply?x=1")
        server.get("/apply?x=a", STRICT)
        server.post("/batch", b'[{"x": 1}, {"x": -1}, {"y": 1}]')
        server.get("/applyx")
        assert server.get("/health") == (200, {"status": "ok"})
        status, headers, body = server.send(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
    lines = body.decode().splitlines()
    assert (status, headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    for line in (
        'stellar_serving_requests_total{path="/apply",status="200"} 1',
        'stellar_serving_requests_total{path="/apply",status="400"} 1',
        'stellar_serving_requests_total{path="/batch",status="200"} 1',
        'stellar_serving_requests_total{path="",status="404"} 1',
        'stellar_serving_records_total{outcome="ok"} 2',
        'stellar_serving_records_total{outcome="invalid"} 2',
        'stellar_serving_records_total{outcome="declined"} 1',
        'stellar_serving_records_total{outcome="failed"} 0',
        "stellar_serving_waiting_requests 0",
        "stellar_serving_request_seconds_count 3",
    ):
        assert line in lines
    assert any(line.startswith("process_resident_memory_bytes ") for line in lines)


# -- Start and end ----------------------------------------------------------------------------------------------------


def test_the_endpoint_file_has_the_url_and_the_functions(server):
    endpoint = json.loads((server.folder / "endpoint.dat").read_bytes())
    assert endpoint == {"url": f"http://127.0.0.1:{server.port}", "functions": {"apply": "apply", "batch": "batch"}}


def test_the_environment_has_the_address(model_folder):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    with start_server(model_folder, "model.pmml", MODEL_HOST="0.0.0.0", MODEL_PORT=str(port)) as server:
        assert server.url == f"http://0.0.0.0:{port}"
        assert server.get("/apply?x=1&n=2&tld=ru") == (200, RESULT)


@pytest.mark.skipif(not socket.has_ipv6, reason="the machine has no IPv6")
def test_an_ipv6_address_is_in_brackets(model_folder):
    with start_server(model_folder, ".", "--host", "::1") as server:
        assert server.url == f"http://[::1]:{server.port}"
        with urllib.request.urlopen(f"{server.url}/apply?x=1&n=2&tld=ru", timeout=10) as response:
            assert json.load(response) == RESULT


@pytest.mark.parametrize("name", ["binary.json", "several.ubj", "binary.txt"])
def test_models_of_boosters_are_served_with_the_scores_of_their_libraries(tmp_path, name):
    stored = json.loads((BOOSTERS / "scores.json").read_text())
    (tmp_path / name).write_bytes((BOOSTERS / name).read_bytes())
    with start_server(tmp_path, ".") as server:
        names = list(server.get("/schema")[1]["inputs"]["properties"])
        features = ["n_systems", "ttl_mean", "entropy", "length"]
        rows = [dict(zip(features, record, strict=True)) for record in stored["records"]]
        rows = [{name: row[name] for name in names} for row in rows]
        status, results = server.post("/batch", json.dumps(rows).encode())
    shares = [[value for key, value in result.items() if key.startswith("probability(")] for result in results]
    expected = [score if isinstance(score, list) else [1 - score, score] for score in stored["scores"][name]]
    assert status == 200
    for found, scores in zip(shares, expected, strict=True):
        assert found == pytest.approx(scores, rel=1e-6)


@pytest.mark.parametrize(
    ("document", "arguments", "message"),
    [
        (None, (), " has no model"),
        (DOCUMENT.replace(b"RegressionModel", b"TimeSeriesModel"), (), "model.pmml: line 10: <TimeSeriesModel>"),
        (DOCUMENT[:-20], (), "model.pmml: line"),
        (DOCUMENT, ("--port", "99999"), "invalid port '99999': expected 0–65535"),
        (DOCUMENT, ("--host", "192.0.2.1"), "cannot listen on 192.0.2.1:0: "),
        (DOCUMENT, ("--queue", "0"), "invalid value '0': expected an integer of at least 1"),
        (DOCUMENT, ("--model", "other.pmml"), "unknown model file 'other.pmml'"),
    ],
    ids=range(7),
)
def test_an_unusable_model_or_option_ends_with_a_message_and_without_an_endpoint(
    tmp_path, document, arguments, message
):
    assert_does_not_start(tmp_path, document, arguments, message)


VERIFICATION = """<ModelVerification><VerificationFields><VerificationField field="x" column="x"/>
<VerificationField field="y" column="y"/></VerificationFields><InlineTable><row><x>1</x><y>{y}</y></row></InlineTable>
</ModelVerification></RegressionModel>"""


def test_a_model_that_does_not_verify_does_not_start(tmp_path):
    document = DOCUMENT.replace(b"</RegressionModel>", VERIFICATION.format(y=11).encode())
    assert_does_not_start(tmp_path, document, (), "verification record 1: 'y' is 10.0, expected '11'")


def assert_does_not_start(folder, document, arguments, message):
    if document is not None:
        (folder / "model.pmml").write_bytes(document)
    command = [sys.executable, "-m", "maas_runtime.serving", str(folder), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in (1, 2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (folder / "endpoint.dat").exists()


def test_sigterm_lets_requests_end_and_closes_idle_connections(model_folder):
    with start_server(model_folder, ".") as server:
        with server.connect() as idle, server.connect() as begun:
            idle.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
            assert read_response(idle)[0] == 200
            begun.sendall(b"GET /apply?x=1&n=2&tld=ru HTTP/1.1\r\nHost: a\r\n")
            time.sleep(0.2)
            server.process.send_signal(signal.SIGTERM)
            assert idle.recv(100) == b""
            begun.sendall(b"\r\n")
            status, headers, body = read_response(begun)
            assert (status, json.loads(body), headers["connection"]) == (200, RESULT, "close")
            assert begun.recv(100) == b""
        assert server.process.wait(10) == 0
        assert "Traceback" not in (model_folder / "log").read_text()


def test_logs_can_be_json(model_folder):
    with start_server(model_folder, ".", "--log-format", "json") as server:
        (line,) = (model_folder / "log").read_text().splitlines()
    assert json.loads(line)["message"] == f"serving model.pmml at {server.url}"
