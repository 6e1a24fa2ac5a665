"""The commands of the shell that Metron does not have."""

from __future__ import annotations

import json
import re

import pytest

from stellar.language.errors import ParseError
from stellar.maas import MemoryRegistry, Model, ModelClient, Registry, ServiceInstance
from stellar.maas.schema import Endpoint
from stellar.repl.commands import MAGICS
from stellar.repl.session import Session


@pytest.fixture
def session() -> Session:
    session = Session()
    session.execute("x := 5")
    return session


def test_every_command_has_help_and_is_listed(session):
    table = session.execute("%help")
    assert [row[0] for row in table.table.rows] == [magic.usage for magic in MAGICS.values()]
    for magic in MAGICS.values():
        assert magic.summary.endswith((".", ";"))
        assert f"{magic.usage} " in table
        assert session.execute(f"?{magic.name}").startswith(f"{magic.usage}\n{magic.summary}")


def test_functions_are_listed_with_their_summaries(session):
    output = session.execute("%functions TO_UPP")
    assert output.table.rows == [("TO_UPPER(input)", session.library["TO_UPPER"].help.summary)]
    assert session.execute("%functions") == ", ".join(sorted(session.library))


def test_variables_and_settings_are_shown_as_tables(session):
    session.add_variables({"loaded": [1, "a"]})
    session.execute("%define a.b := 'c'")
    assert session.execute("%vars") == "x = 5 via `5`, loaded = [1, a]"
    assert session.execute("%vars").table.rows == [("x", "5", "5"), ("loaded", "[1, a]", "")]
    assert session.execute("%globals").table.rows == [("a.b", "c")]


def test_the_time_of_an_evaluation_is_a_note(session):
    assert session.execute("%time x + 1") == 6
    (note,) = session.take_notes()
    assert re.fullmatch(r"compiled in [\d.]+ (?:ms|µs), evaluated in [\d.]+ (?:ms|µs)", note)
    assert session.execute("y := %time x + 2") == 7
    assert session.variables.values["y"] == 7


def test_a_long_time_is_in_seconds(session, monkeypatch):
    times = iter([0.0, 0.0125, 2.5])
    monkeypatch.setattr("time.perf_counter", lambda: next(times))
    session.execute("%time x")
    assert session.take_notes() == ["compiled in 12.5 ms, evaluated in 2.49 s"]


def test_the_python_of_an_expression_is_shown(session):
    output = session.execute("%python TO_UPPER(a)")
    assert output.startswith("def expression(record, context):\n    try:\n        return v_a.upper() if ")
    assert "record.get('a')" in output


def test_an_expression_is_explained(session):
    output = session.execute("%explain x > 1 and y == 'a'")
    assert output.table.rows == [
        ("x > 1 and y == 'a'", "false"),
        ("  x > 1", "true"),
        ("    x", "5"),
        ("  y == 'a'", "false"),
        ("    y", "null"),
    ]
    assert output.startswith("x > 1 and y == 'a'  =  false\n  x > 1  =  true\n")
    assert session.take_notes() == []


def test_strings_are_quoted_and_many_values_are_counted(session):
    output = session.execute("%explain MAP(['1', '2', '3', '4', '5', '6'], z -> z)")
    assert output.table.rows[-1] == ("  z", "'1', '2', '3', '4', '5', … (6 times)")


def test_an_explanation_shows_an_error_and_unreached_subexpressions(session):
    output = session.execute("%explain 1 / zero > x")
    assert output.table.rows == [
        ("1 / zero > x", "(not reached)"),
        ("  1 / zero", "(not reached)"),
        ("    zero", "null"),
        ("  x", "(not reached)"),
    ]
    assert session.take_notes()[0].startswith("division by zero\n1 | 1 / zero > x\n    ^^^^^^^^")


CHECKED = {
    "x + 1": "",
    "x +": "error: unexpected end of the expression\n1 | x +\n       ^\nhint: expected a value",
    "NOPE(x)": "error: unknown function NOPE\n1 | NOPE(x)\n    ^^^^",
    "a and b or c": "mixed-and-or: `and` and `or` have one precedence and group from the right",
}


@pytest.mark.parametrize("source", CHECKED)
def test_an_expression_is_checked_and_not_evaluated(session, source):
    output = session.execute(f"%check {source}")
    assert output.startswith(CHECKED[source])
    assert bool(output) is bool(CHECKED[source])


# -- Files ------------------------------------------------------------------------------------------------------------


def test_assignments_are_saved_and_loaded(session, tmp_path):
    file = tmp_path / "it.stellar"
    session.add_variables({"loaded": {"it's": [1, 2.5, None, True, "a\\b\n"]}, "not a name": 1})
    session.execute("y := if x == 5\nthen loaded\nelse x")
    session.execute("x := y := 7")
    session.execute("z := %functions TO_UPP")
    session.execute("%define a.b := 5")
    session.execute("%undefine a.b")
    session.execute("%define c := 6")
    session.take_notes()
    assert session.execute(f"%save {file}") == ""
    assert session.take_notes() == [f"9 lines in {file}"]
    again = Session()
    assert again.execute(f"%load {file}") == ""
    assert again.take_notes() == [f"9 lines of {file}"]
    assert again.variables.values == {k: v for k, v in session.variables.values.items() if k != "not a name"}
    assert again.variables.expressions["y"] == "7"
    assert again.settings == {"c": 6}


def test_a_variable_with_an_invalid_name_is_reported(session):
    session.add_variables({"not a name": 1})
    assert session.take_notes() == ["not a name is not a valid variable name; it is available only in _"]
    assert session.execute("MAP_GET('not a name', _)") == 1


def test_an_existing_file_is_replaced_only_with_a_flag(session, tmp_path):
    file = tmp_path / "it.stellar"
    file.write_text("precious")
    with pytest.raises(ValueError, match=f"{file} exists; use %save -f {file} to replace it"):
        session.execute(f"%save {file}")
    assert file.read_text() == "precious"
    session.execute(f"%save -f {file}")
    assert file.read_text() == "x := 5\n"
    assert session.take_notes() == [f"1 line in {file}"]


def test_loading_ends_at_the_first_line_that_fails(session, tmp_path):
    file = tmp_path / "it.stellar"
    file.write_text("# first\na := 1\n\nb :=\n  1 +\n  / 2\nc := 3\n")
    with pytest.raises(ValueError, match=f"^line 4 of {file}: unexpected /") as refusal:
        session.execute(f"%load {file}")
    assert isinstance(refusal.value.__cause__, ParseError)
    assert session.variables.values == {"x": 5, "a": 1}


def test_variables_are_loaded_from_json(session, tmp_path, monkeypatch):
    (tmp_path / "it.json").write_text(json.dumps({"x": {"a": [1]}, "ip:port": 5}))
    monkeypatch.setenv("HOME", str(tmp_path))
    session.execute("%load ~/it.json")
    assert session.variables.values == {"x": {"a": [1]}, "ip:port": 5}
    assert session.variables.expressions == {}
    assert session.assignments == ["x := 5", "x := {'a' : [1]}", "ip:port := 5"]


BAD_FILES = {
    "it.json": [
        (b"[1]", 'it.json: expected a JSON object, such as {"bytes": 1}'),
        (b"{", "it.json is not JSON: Expecting property name enclosed in double quotes at line 1, column 2"),
        (b'{"a": "\xff"}', "it.json is not UTF-8 at byte 7"),
        (b"[" * 100_000, "it.json is nested too deeply"),
    ],
    "it.stellar": [(b"a := '\xff'", "it.stellar is not UTF-8 at byte 6")],
}


@pytest.mark.parametrize(("name", "content", "message"), [(n, *each) for n, all_ in BAD_FILES.items() for each in all_])
def test_an_invalid_file_is_an_error(session, tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(message)):
        session.execute(f"%load {tmp_path / name}")


@pytest.mark.parametrize("line", ["%load {}/nowhere", "%load {}/nowhere.json", "%save {}/nowhere/it"])
def test_a_missing_file_or_folder_is_an_error(session, tmp_path, line):
    with pytest.raises(FileNotFoundError):
        session.execute(line.format(tmp_path))


# -- Models -----------------------------------------------------------------------------------------------------------


def test_models_need_a_registry(session):
    with pytest.raises(LookupError, match="no model registry configured; write %maas DIR, or %maas HOST:PORT"):
        session.execute("%maas")


def test_models_are_listed_with_their_health(session):
    registry = MemoryRegistry()
    unreachable = Endpoint(url="http://127.0.0.1:9", functions={"apply": "apply", "batch": "b"})
    registry.register(ServiceInstance.of(Model("dga", "1.0"), "one", unreachable))
    client = ModelClient(registry)
    session.use({Registry: registry, ModelClient: client}, registry, client)
    with session:
        output = session.execute("%maas")
        assert output.table.rows == [("dga", "1.0", "http://127.0.0.1:9", "apply, batch", "refused")]
        assert session.take_notes() == []
        assert session.execute("MAAS_MODEL_APPLY(MAAS_GET_ENDPOINT('dga'), {'host' : 'a'})") is None
        assert session.execute("%maas").table.rows[0][-1] == "refused, circuit open"
        assert session.take_notes() == ["1 call in this session: 0 cache hits, 1 failures"]


def test_the_given_registry_is_used_from_then_on(session, tmp_path):
    with session:
        assert session.execute(f"%maas {tmp_path}").table.rows == []
        assert session.execute("%maas") == ""
        with pytest.raises(ValueError, match=f"the registry directory {tmp_path}/nowhere does not exist; `maas serve"):
            session.execute(f"%maas {tmp_path}/nowhere")
        with pytest.raises(ValueError, match="unknown host nowhere"):
            session.execute("%maas nowhere.invalid:2181")


def test_a_registry_without_models_is_reported(session, tmp_path):
    session.execute(f"%maas {tmp_path}")
    assert session.take_notes() == [
        "no models are registered; deploy one, as with maas deploy, or name another registry"
    ]
