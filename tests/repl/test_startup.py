"""What the options make of a session."""

from __future__ import annotations

import argparse
import logging
import socket
import sys

import pytest

from stellar.maas import FileRegistry, Model, ModelClient, Registry, ServiceInstance
from stellar.maas.schema import Endpoint
from stellar.repl.options import add_options, are_given
from stellar.repl.session import Session
from stellar.repl.startup import opened


@pytest.fixture(autouse=True)
def no_models(tmp_path, monkeypatch):
    monkeypatch.setenv("MAAS_HOME", str(tmp_path / "home"))


@pytest.fixture
def opening():
    """Makes a session of options; it is closed at the end."""
    sessions: list[Session] = []

    def open_(*arguments: str) -> Session:
        sessions.append(opened(parsed(*arguments)))
        return sessions[-1]

    yield open_
    for session in sessions:
        session.close()


def parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_options(parser)
    return parser.parse_args(arguments)


def test_nothing_is_there_where_nothing_is_asked_for(opening):
    session = opening()
    assert (session.variables.values, session.settings) == ({}, {})
    assert Registry not in session.context
    assert not are_given(parsed())
    assert are_given(parsed("-v", "x"))


def registered(directory, url="http://127.0.0.1:9") -> None:
    registry = FileRegistry(directory)
    registry.register(ServiceInstance.of(Model("dga", "1.0"), "one", Endpoint(url=url), lasting=True))
    registry.close()


def test_models_are_found_in_the_directory_that_is_named(opening, tmp_path):
    registered(tmp_path / "models")
    session = opening("--registry", str(tmp_path / "models"))
    assert session.execute("MAP_GET('version', MAAS_GET_ENDPOINT('dga'))") == "1.0"


def test_models_are_found_in_the_directory_of_who_names_none(opening, tmp_path):
    registered(tmp_path / "home")
    assert opening().execute("MAP_GET('version', MAAS_GET_ENDPOINT('dga'))") == "1.0"


def test_a_directory_that_nobody_named_is_not_in_the_way(opening, tmp_path):
    (tmp_path / "home" / "metron" / "maas").mkdir(parents=True)
    (tmp_path / "home" / "metron" / "maas" / "config").write_text("nonsense")
    session = opening()
    assert session.taken_notes()[0].startswith(f"models are not looked for: can't open the registry {tmp_path}/home: ")
    assert session.execute("1 + 1") == 2


def test_a_directory_that_is_named_must_be_there(tmp_path):
    with pytest.raises(ValueError, match=r"the registry directory .* does not exist"):
        opened(parsed("--registry", str(tmp_path / "nowhere")))


def test_a_shell_does_not_wait_for_a_model_that_is_away(opening, tmp_path):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        registered(tmp_path / "home", f"http://127.0.0.1:{nobody.getsockname()[1]}")
        session = opening()
        assert session.execute("MAAS_MODEL_APPLY(MAAS_GET_ENDPOINT('dga'), {})") is None
        assert session.context[ModelClient].counters().failures == {"refused": 1}


HOSTS = {
    "localhost:0": "the port of localhost:0 is none: it must be between 1 and 65535",
    "localhost:65536": "the port of localhost:65536 is none: it must be between 1 and 65535",
    "no.such.host.invalid:2181": "there is no host no.such.host.invalid: ",
    "127.0.0.1:2181,no.such.host.invalid": "there is no host no.such.host.invalid: ",
    f"{'a' * 300}:2181": f"there is no host {'a' * 300}: ",
}


@pytest.mark.parametrize("hosts", HOSTS)
def test_hosts_of_zookeeper_must_be_hosts(hosts):
    with pytest.raises(ValueError) as refusal:  # noqa: PT011 - the text is compared
        opened(parsed("-z", hosts))
    assert str(refusal.value).startswith(HOSTS[hosts])


def test_a_zookeeper_that_does_not_answer_is_told(monkeypatch):
    monkeypatch.setattr("stellar.maas.zookeeper.CONNECT_SECONDS", 0.2)
    with pytest.raises(ConnectionError, match="no server responded"):
        opened(parsed("-z", "127.0.0.1:9"))


def test_functions_come_from_modules_that_the_properties_name(opening, tmp_path, monkeypatch):
    (tmp_path / "mine_for_a_test.py").write_text(
        "from stellar import stellar\n@stellar('MINE')\ndef mine() -> int:\n    return 42\n"
    )
    (tmp_path / "it.properties").write_text(
        "stellar.function.paths=mine_for_a_test,\nstellar.function.resolver.excludes=TRIM\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    session = opening("-p", str(tmp_path / "it.properties"))
    assert session.execute("MINE()") == 42
    assert "TRIM" not in session.library
    assert "SHELL_MAP2TABLE" in session.library
    sys.modules.pop("mine_for_a_test")


BAD_PROPERTIES = {
    "stellar.function.paths=no.such": "stellar.function.paths: No module named 'no'; Python modules with functions",
    "stellar.function.paths=json": None,
    "stellar.function.resolver.includes=(": "stellar.function.resolver.includes: invalid regular expression '(': ",
}


@pytest.mark.parametrize("text", BAD_PROPERTIES)
def test_properties_that_can_not_be_followed_are_told(text, tmp_path):
    file = tmp_path / "it.properties"
    file.write_text(text)
    if BAD_PROPERTIES[text] is None:
        opened(parsed("-p", str(file))).close()
        return
    with pytest.raises(ValueError) as refusal:  # noqa: PT011 - the text is compared
        opened(parsed("-p", str(file)))
    assert str(refusal.value).startswith(BAD_PROPERTIES[text])


def test_what_is_logged_goes_where_the_file_says(opening, tmp_path):
    file = tmp_path / "log4j.properties"
    file.write_text(
        "log4j.rootLogger=INFO, f\nlog4j.appender.f=org.apache.log4j.FileAppender\n"
        f"log4j.appender.f.File={tmp_path}/log\n"
        "log4j.appender.f.layout=org.apache.log4j.PatternLayout\nlog4j.appender.f.layout.ConversionPattern=%p %m%n\n"
    )
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        opening("-l", str(tmp_path / "log4j.properties"), "--registry", str(tmp_path)).execute(
            "MAAS_GET_ENDPOINT('nobody')"
        )
        assert "WARN" in (tmp_path / "log").read_text()
        assert "nobody" in (tmp_path / "log").read_text()
    finally:
        for handler in root.handlers[:]:
            if handler not in before:
                root.removeHandler(handler)
                handler.close()
        root.handlers[:] = before
        root.setLevel(level)
