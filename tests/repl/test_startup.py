"""Sessions from options."""

from __future__ import annotations

import argparse
import logging
import socket
import sys

import pytest

from stellar.maas import FileRegistry, Model, ModelClient, Registry, ServiceInstance
from stellar.maas.schema import Endpoint
from stellar.repl.options import add_options, has_options
from stellar.repl.session import Session
from stellar.repl.startup import open_session


@pytest.fixture(autouse=True)
def hide_models(tmp_path, monkeypatch):
    monkeypatch.setenv("MAAS_HOME", str(tmp_path / "home"))


@pytest.fixture
def session_of():
    """Open sessions from options; they are closed at the end."""
    sessions: list[Session] = []

    def open_(*arguments: str) -> Session:
        sessions.append(open_session(parse(*arguments)))
        return sessions[-1]

    yield open_
    for session in sessions:
        session.close()


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_options(parser)
    return parser.parse_args(arguments)


def test_a_session_without_options_is_empty(session_of):
    session = session_of()
    assert (session.variables.values, session.settings) == ({}, {})
    assert Registry not in session.context
    assert not has_options(parse())
    assert has_options(parse("-v", "x"))


def register_model(directory, url="http://127.0.0.1:9") -> None:
    registry = FileRegistry(directory)
    registry.register(ServiceInstance.of(Model("dga", "1.0"), "one", Endpoint(url=url), lasting=True))
    registry.close()


def test_models_are_found_in_the_given_directory(session_of, tmp_path):
    register_model(tmp_path / "models")
    session = session_of("--registry", str(tmp_path / "models"))
    assert session.execute("MAP_GET('version', MAAS_GET_ENDPOINT('dga'))") == "1.0"


def test_models_are_found_in_the_default_directory(session_of, tmp_path):
    register_model(tmp_path / "home")
    assert session_of().execute("MAP_GET('version', MAAS_GET_ENDPOINT('dga'))") == "1.0"


def test_a_broken_default_directory_does_not_prevent_a_start(session_of, tmp_path):
    (tmp_path / "home" / "metron" / "maas").mkdir(parents=True)
    (tmp_path / "home" / "metron" / "maas" / "config").write_text("nonsense")
    session = session_of()
    assert session.take_notes()[0].startswith(f"no models available: can't open the registry {tmp_path}/home: ")
    assert session.execute("1 + 1") == 2


def test_the_given_directory_must_exist(tmp_path):
    with pytest.raises(ValueError, match=r"the registry directory .* does not exist"):
        open_session(parse("--registry", str(tmp_path / "nowhere")))


def test_a_shell_does_not_wait_for_an_unreachable_model(session_of, tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        register_model(tmp_path / "home", f"http://127.0.0.1:{unused.getsockname()[1]}")
        session = session_of()
        assert session.execute("MAAS_MODEL_APPLY(MAAS_GET_ENDPOINT('dga'), {})") is None
        assert session.context[ModelClient].counters().failures == {"refused": 1}


HOSTS = {
    "localhost:0": "invalid port in localhost:0: must be between 1 and 65535",
    "localhost:65536": "invalid port in localhost:65536: must be between 1 and 65535",
    "no.such.host.invalid:2181": "unknown host no.such.host.invalid: ",
    "127.0.0.1:2181,no.such.host.invalid": "unknown host no.such.host.invalid: ",
    f"{'a' * 300}:2181": f"unknown host {'a' * 300}: ",
}


@pytest.mark.parametrize("hosts", HOSTS)
def test_hosts_of_zookeeper_must_be_valid(hosts):
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - the message is compared
        open_session(parse("-z", hosts))
    assert str(raised.value).startswith(HOSTS[hosts])


def test_an_unreachable_zookeeper_is_reported(monkeypatch):
    monkeypatch.setattr("stellar.maas.zookeeper.CONNECT_SECONDS", 0.2)
    with pytest.raises(ConnectionError, match="no server responded"):
        open_session(parse("-z", "127.0.0.1:9"))


def test_properties_name_modules_with_functions(session_of, tmp_path, monkeypatch):
    (tmp_path / "mine_for_a_test.py").write_text(
        "from stellar import stellar\n@stellar('MINE')\ndef mine() -> int:\n    return 42\n"
    )
    (tmp_path / "it.properties").write_text(
        "stellar.function.paths=mine_for_a_test,\nstellar.function.resolver.excludes=TRIM\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    session = session_of("-p", str(tmp_path / "it.properties"))
    assert session.execute("MINE()") == 42
    assert "TRIM" not in session.library
    assert "SHELL_MAP2TABLE" in session.library
    sys.modules.pop("mine_for_a_test")


BAD_PROPERTIES = {
    "stellar.function.paths=no.such": "invalid stellar.function.paths: No module named 'no'; expected names of Python",
    "stellar.function.paths=json": None,
    "stellar.function.resolver.includes=(": "stellar.function.resolver.includes: invalid regular expression '(': ",
}


@pytest.mark.parametrize("text", BAD_PROPERTIES)
def test_invalid_properties_are_reported(text, tmp_path):
    file = tmp_path / "it.properties"
    file.write_text(text)
    if BAD_PROPERTIES[text] is None:
        open_session(parse("-p", str(file))).close()
        return
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - the message is compared
        open_session(parse("-p", str(file)))
    assert str(raised.value).startswith(BAD_PROPERTIES[text])


def test_a_log4j_file_sets_levels_and_its_ignored_lines_are_reported(session_of, tmp_path):
    file = tmp_path / "log4j.properties"
    file.write_text("log4j.rootLogger=ERROR, f\nlog4j.appender.f=org.apache.log4j.FileAppender\n")
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        session = session_of("-l", str(file))
        assert root.level == logging.ERROR
        assert session.take_notes() == [f"{file}: ignored lines 2: only levels of loggers are supported"]
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


def test_configurations_and_settings_are_those_of_the_given_directory(session_of, tmp_path):
    (tmp_path / "global.json").write_text('{"es.ip": "node1"} // the cluster')
    session = session_of("--config", str(tmp_path))
    assert session.settings == {"es.ip": "node1"}
    session.execute("CONFIG_PUT('INDEXING', '{\"hdfs\": {}}', 'web')")
    assert (tmp_path / "indexing" / "web.json").read_text() == '{"hdfs": {}}'
    assert session.execute("CONFIG_GET('INDEXING', 'web')") == '{\n  "hdfs" : { }\n}'
    assert has_options(parse("--config", "x"))


def test_a_directory_without_a_global_configuration_has_no_settings(session_of, tmp_path):
    assert session_of("--config", str(tmp_path)).settings == {}


@pytest.mark.parametrize(
    ("text", "message"), [("{", "global.json: Expecting"), ("[]", "global.json: expected a JSON object")]
)
def test_an_invalid_global_configuration_of_a_directory_is_an_error(session_of, tmp_path, text, message):
    (tmp_path / "global.json").write_text(text)
    with pytest.raises(ValueError, match=f"invalid global configuration in .*{message}"):
        session_of("--config", str(tmp_path))


def test_a_missing_directory_of_configurations_is_an_error(session_of, tmp_path):
    with pytest.raises(ValueError, match="no-such is not a directory; create it, or check the path"):
        session_of("--config", str(tmp_path / "no-such"))
