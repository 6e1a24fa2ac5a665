"""maas call, against servers on this machine."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from maas_runtime.cli.main import main
from stellar.maas import FileRegistry, Model, ServiceInstance
from stellar.maas.schema import Endpoint


class Echo(BaseHTTPRequestHandler):
    """Returns the request's target, or the status that the path names."""

    def do_GET(self):
        path = self.path.partition("?")[0]
        status = int(path[1:]) if path[1:].isdigit() else 200
        body = json.dumps({"target": self.path, "server": self.server.server_port}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Log nothing."""


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def call(registry_dir, server, capsys):
    """Call a model of two versions: `call("dga", "host=x")` returns status, output and errors."""
    with FileRegistry(registry_dir) as registry:
        for version in ("1.0", "2.0"):
            endpoint = Endpoint(url=f"{server}/", functions={"apply": f"score/{version}", "fail": "500", "bad": "400"})
            registry.register(ServiceInstance.of(Model("dga", version), version, endpoint))

        def run(*words):
            try:
                status = main(["call", "--registry", str(registry_dir), *words])
            except SystemExit as ended:
                status = ended.code
            return (status, *capsys.readouterr())

        yield run


def test_the_result_is_printed_as_json(call):
    status, output, errors = call("dga", "host=a b&c", "missing", "n:=[1, null]", "empty=", "e=x=y")
    assert (status, errors) == (0, "")
    assert json.loads(output)["target"] == "/score/2.0?host=a+b%26c&missing&n=%5B1%2Cnull%5D&empty=&e=x%3Dy"


def test_a_version_and_a_function_can_be_named(call):
    assert json.loads(call("dga@1.0", "--function", "apply")[1])["target"] == "/score/1.0?"
    assert json.loads(call("dga @ 1.0", "--function", "other/path")[1])["target"] == "/other/path?"


def test_the_document_names_the_version_and_the_arguments(call):
    document = json.loads(call("dga", "host=x", "--output", "json")[1])
    assert document.pop("milliseconds") >= 0
    assert document.pop("result")["target"] == "/score/2.0?host=x"
    assert document == {"name": "dga", "version": "2.0", "function": "apply", "arguments": {"host": "x"}}


@pytest.mark.parametrize(("function", "status", "reason"), [("fail", 500, "bad reply"), ("bad", 400, "bad request")])
def test_a_failure_names_the_instance_the_status_and_the_body(function, status, reason, call, server):
    ended, output, errors = call("dga@1.0", "host=x", "--function", function)
    assert (ended, output) == (1, "")
    assert f"{server}/{status} responded with status {status}, not 200" in errors
    assert f'"target": "/{status}?host=x"' in errors.replace("\\", "")
    assert len(errors.splitlines()) == 1
    document = json.loads(call("dga@1.0", "--function", function, "--output", "json")[1])
    assert (document["reason"], document["url"]) == (reason, f"{server}/")
    assert f"status {status}" in document["error"]


def test_an_instance_that_refuses_connections_is_named(registry_dir, capsys):
    with FileRegistry(registry_dir) as registry:
        registry.register(ServiceInstance.of(Model("x", "1"), "1", Endpoint(url="http://127.0.0.1:1")))
        (registry_dir / "settings.json").write_text('{"maas.wait.ms": 0}')
        words = ["call", "--registry", str(registry_dir), "x", "--settings", str(registry_dir / "settings.json")]
        assert main(words) == 1
    assert "http://127.0.0.1:1" in capsys.readouterr().err


WRONG = [
    (["dgs"], "unknown model dgs: did you mean dga?"),
    (["dga@1.O"], "unknown version 1.O of dga: did you mean 1.0?"),
    (["dga", "--function", "../x"], "leads out of the model's URL"),
    (["dga", "--settings", "/no/such/file"], "No such file or directory: '/no/such/file'"),
]
INVALID_OPTIONS = [
    (["dga", "=x"], "invalid argument '=x': expected NAME=STRING, NAME:=JSON or NAME"),
    (["dga", "n:={"], "invalid JSON in 'n:={'"),
    (["dga", "a=1", "a=2"], "duplicate argument: give each name once"),
    (["dga@1.0", "--key", "k"], "--key has no effect with a version"),
]


@pytest.mark.parametrize(("words", "reason"), WRONG)
def test_invalid_calls_are_rejected(words, reason, call):
    status, output, errors = call(*words)
    assert (status, output) == (1, "")
    assert reason in errors


@pytest.mark.parametrize(("words", "reason"), INVALID_OPTIONS)
def test_invalid_options_are_usage_errors(words, reason, call):
    status, output, errors = call(*words)
    assert (status, output) == (2, "")
    assert reason in errors


def test_invalid_settings_are_rejected_with_the_key(call, tmp_path):
    settings = tmp_path / "global.json"
    for content, reason in (
        ('{"maas.http.retries": -1}', "invalid maas.http.retries"),
        ("[]", "expected a JSON object"),
        ("{", "global.json: Expecting property name"),
    ):
        settings.write_text(content)
        assert reason in call("dga", "--settings", str(settings))[2]


def test_a_key_selects_the_version_of_the_plan(call, registry_dir):
    main(["traffic", "--registry", str(registry_dir), "-n", "dga", "--weight", "1.0=1"])
    for words in ([], ["--key", "10.0.0.1"]):
        _, output, _ = call("dga", *words)
        assert "/score/1.0?" in output
