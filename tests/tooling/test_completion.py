"""Completion at the cursor, in lines and in unfinished expressions."""

from __future__ import annotations

import sys

import pytest

from stellar.language.expression import default_library
from stellar.maas import MemoryRegistry, Model, Registry, ServiceInstance
from stellar.maas.schema import Endpoint
from stellar.repl.lines import complete_line
from stellar.repl.session import Session
from stellar.tooling.completion import CompletionScope, complete_expression, find_call


@pytest.fixture
def registry() -> MemoryRegistry:
    registry = MemoryRegistry()
    for number, (name, version) in enumerate([("dga", "1.0"), ("dga", "1.0"), ("dga", "2.0"), ("spam", "1")]):
        endpoint = Endpoint(url=f"http://127.0.0.1:{number + 1}", functions={"apply": "apply", "batch": "b"})
        registry.register(ServiceInstance.of(Model(name, version), str(number), endpoint))
    return registry


@pytest.fixture
def session(registry) -> Session:
    session = Session()
    session.use({Registry: registry})
    session.add_variables(
        {"total": 1, "total.of:it": 2, "host": {"name": "a", "port": 1, "naïve": 2, 5: 6}, "nothing": None}
    )
    session.execute("%define maas.http.retries := 2")
    return session


def complete(session: Session, text: str) -> list[str]:
    """Return the line after each completion."""
    return [text[: candidate.start] + candidate.text for candidate in complete_line(text, len(text), session)]


COMPLETIONS = {
    # Functions with a parenthesis, variables, keywords: where an operand is expected
    "TO_UPP": ["TO_UPPER("],
    "1 + TRIM(TO_UPP": ["1 + TRIM(TO_UPPER("],
    "[1, TO_UPP": ["[1, TO_UPPER("],
    "{'a' : TO_UPP": ["{'a' : TO_UPPER("],
    "if TO_UPP": ["if TO_UPPER("],
    "x -> TO_UPP": ["x -> TO_UPPER("],
    "to_upp": [],
    "tota": ["total", "total.of:it"],
    "total.o": ["total.of:it"],
    "1 + // TO_UPP": [],
    "// TO_UPP": [],
    "# TO_UPP": [],
    "é": [],
    "% TO": [],
    "nul": ["null"],
    "exi": ["exists"],
    "mat": ["match"],
    # Operators and keywords after an operand
    "total a": ["total and"],
    "total no": ["total not in"],
    "total i": ["total in"],
    "no": ["nothing", "not"],
    "if total t": ["if total then"],
    "if total then 1 e": ["if total then 1 else"],
    "match { total => 1, d": ["match { total => 1, default"],
    "total TO_UPP": [],
    # After a syntax error everything is offered
    "1 + + TO_UPP": ["1 + + TO_UPPER("],
    ") TO_UPP": [") TO_UPPER("],
    # The parameters of a lambda, in its body
    "MAP([1], zed -> ze": ["MAP([1], zed -> zed"],
    "MAP([1], (zed, zeta) -> [ze": ["MAP([1], (zed, zeta) -> [zed", "MAP([1], (zed, zeta) -> [zeta"],
    "REDUCE([1], (zed, y) -> y, ze": [],
    "a := zed -> ze": ["a := zed -> zed"],
    # Within strings: valid arguments of the function
    "MAAS_GET_ENDPOINT('": ["MAAS_GET_ENDPOINT('dga", "MAAS_GET_ENDPOINT('spam"],
    'MAAS_GET_ENDPOINT("d': ['MAAS_GET_ENDPOINT("dga'],
    "MAAS_GET_ENDPOINT('dga', '": ["MAAS_GET_ENDPOINT('dga', '1.0", "MAAS_GET_ENDPOINT('dga', '2.0"],
    "MAAS_GET_ENDPOINT(total, '": [],
    "MAAS_MODEL_APPLY(MAAS_GET_ENDPOINT('dga'), 'b": ["MAAS_MODEL_APPLY(MAAS_GET_ENDPOINT('dga'), 'batch"],
    "MAP_GET('": ["MAP_GET('name", "MAP_GET('naïve", "MAP_GET('port"],
    "MAP_GET('na": ["MAP_GET('name", "MAP_GET('naïve"],
    "HASH(total, 'SHA-25": ["HASH(total, 'SHA-256"],
    "ENCODE(total, 'BASE32H": ["ENCODE(total, 'BASE32HEX"],
    "IS_IP(total, 'IPV": ["IS_IP(total, 'IPV4", "IS_IP(total, 'IPV6"],
    "SYSTEM_ENV_GET('COMPLETION_OF_STELL": ["SYSTEM_ENV_GET('COMPLETION_OF_STELLAR"],
    "TO_UPPER('": [],
    "'MAP": [],
    "['na": [],
    # Assignments and commands
    "total": ["total", "total.of:it"],
    "x := TO_UPP": ["x := TO_UPPER("],
    "x := y := TO_UPP": ["x := y := TO_UPPER("],
    "x := %explain TO_UPP": ["x := %explain TO_UPPER("],
    "%ex": ["%explain"],
    "  %ex": ["  %explain"],
    "%explain TO_UPP": ["%explain TO_UPPER("],
    "%define a.b := TO_UPP": ["%define a.b := TO_UPPER("],
    "%define TO_UPP": [],
    "%undefine ": ["%undefine maas.http.retries"],
    "%undefine x": [],
    "%functions TO_UPP": [],
    "%nonsense TO_UPP": [],
    # Questions
    "?TO_UPP": ["?TO_UPPER"],
    "? TO_UPP": ["? TO_UPPER"],
    "?tota": ["?total", "?total.of:it"],
    "?%exp": ["?%explain"],
}


@pytest.mark.parametrize("text", COMPLETIONS)
def test_completions_depend_on_the_position(session, monkeypatch, text):
    monkeypatch.setenv("COMPLETION_OF_STELLAR", "yes")
    assert complete(session, text) == COMPLETIONS[text]


CASE_INSENSITIVE = {
    "to_upp": ["TO_UPPER("],
    "1 + trim(to_upp": ["1 + trim(TO_UPPER("],
    "TOTA": ["total", "total.of:it"],
    "HASH(total, 'sha-25": ["HASH(total, 'SHA-256"],
    "?to_upp": ["?TO_UPPER"],
}


@pytest.mark.parametrize("text", CASE_INSENSITIVE)
def test_names_are_completed_in_any_case_if_the_session_ignores_case(session, text):
    assert complete(session, text) == []
    session.ignore_case = True
    assert complete(session, text) == CASE_INSENSITIVE[text]


def test_characters_after_the_cursor_are_ignored(session):
    (candidate,) = complete_line("TRIM(TO_UPP + 1", len("TRIM(TO_UPP"), session)
    assert (candidate.text, candidate.start, candidate.kind) == ("TO_UPPER(", 5, "function")


def test_an_empty_line_offers_all_names(session):
    lines = complete(session, "")
    assert len(lines) > len(session.library)
    assert lines[:4] == ["host", "nothing", "total", "total.of:it"]


def test_candidates_have_a_kind_and_a_description(session):
    about = {
        candidate.text: (candidate.kind, candidate.about())
        for text in ("TO_UPP", "host", "nothing", "%tim", "MAAS_GET_ENDPOINT('", "MAP_GET('na", "x -> x", "?TO_LOW")
        for candidate in complete_line(text, len(text), session)
    }
    assert about["TO_UPPER("] == ("function", f"(input)  {session.library['TO_UPPER'].help.summary}")
    assert about["TO_LOWER"] == ("function", f"(input)  {session.library['TO_LOWER'].help.summary}")
    assert about["host"] == ("variable", "{name=a, port=1, naïve=2, 5=6}")
    assert about["nothing"] == ("variable", "")
    assert about["%time"] == ("command", "Evaluate an expression and show its value and its time.")
    assert about["dga"] == ("model", "model, 1.0, 2.0")
    assert about["name"] == ("key", "key of host")
    assert about["x"] == ("variable", "a parameter")


def test_without_a_registry_no_models_are_offered():
    text = "MAAS_MODEL_APPLY(MAAS_GET_ENDPOINT('"
    scope = CompletionScope(default_library())
    assert complete_expression(text, len(text), scope) == []
    assert complete_expression("MAAS_GET_ENDPOINT('a', '", 24, scope) == []
    assert complete_expression("MAAS_MODEL_APPLY(a, '", 21, scope) == []


def test_no_models_are_offered_if_the_models_package_is_not_loaded(session, monkeypatch):
    monkeypatch.delitem(sys.modules, "stellar.maas.registry")
    assert complete(session, "MAAS_GET_ENDPOINT('") == []


def test_paths_are_completed(session, tmp_path, monkeypatch):
    (tmp_path / "rules.stellar").touch()
    (tmp_path / "registry").mkdir()
    (tmp_path / "registry" / "inner.json").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert complete(session, "%load r") == ["%load registry/", "%load rules.stellar"]
    assert complete(session, "%save ru") == ["%save rules.stellar"]
    assert complete(session, "%load registry/") == ["%load registry/inner.json"]
    assert complete(session, "%load ~/ru") == ["%load ~/rules.stellar"]
    assert complete(session, f"%load {tmp_path}/ru") == [f"%load {tmp_path}/rules.stellar"]
    assert complete(session, "%load nowhere/") == []
    assert complete(session, "%maas r") == ["%maas registry/"]


CALLS = {
    "": None,
    "MAP_GET": None,
    "MAP_GET(": ("MAP_GET", 0),
    "MAP_GET('a', ": ("MAP_GET", 1),
    "MAP_GET('a, b', [1, 2": ("MAP_GET", 1),
    "MAP_GET('a', {'b' : 1}, ": ("MAP_GET", 2),
    "MAP_GET(TRIM('a'), ": ("MAP_GET", 1),
    "MAP_GET(TRIM(": ("TRIM", 0),
    "MAP_GET(NOPE(": ("MAP_GET", 0),
    "MAP_GET('a, ": ("MAP_GET", 0),
    "MAP([1], (a, b) -> ": ("MAP", 1),
    "MAP_GET('a', b)": None,
    "(1, ": None,
    ")": None,
}


@pytest.mark.parametrize("text", CALLS)
def test_the_open_call_at_the_cursor_is_found(text):
    call = find_call(f"{text} + 1)", len(text), default_library())
    assert (None if call is None else (call.function.name, call.index)) == CALLS[text]
