"""`zk_load_configs.sh` and `stellar-pipeline config` on a real ZooKeeper."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kazoo.security import READ_ACL_UNSAFE

from stellar.maas.zookeeper import ZooKeeper
from stellar.pipeline.cli import main
from stellar.pipeline.cli.configuration_manager import zk_load_configs
from stellar.pipeline.cluster_tools import Cluster
from stellar.stores.configurations import ROOT

engine = pytest.mark.engine

FILES = {
    "global.json": b'{ "es.ip": "node1:9300" /* comment */ }\n',
    "profiler.json": b'{"profiles": []}',
    "parsers/squid.json": b'{\r\n  "parserClassName" : "CSV", "sensorTopic": "sq\xc3\xbcid",\n'
    b'  "parserConfig": {"columns": {"a": 0}}\n}\n',
    "parsers/bro.json": b'{"parserClassName": "org.apache.metron.parsers.bro.BasicBroParser"}',
    "enrichments/squid.json": b'{"enrichment": {"fieldMap": {"geo": ["ip_src_addr"]}}}',
    "indexing/squid.json": b'{"hdfs": {"index": "squid", "batchSize": 5, "enabled": true}}\n\n',
}
Write = Callable[[dict[str, Any]], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A function that writes files, and returns their directory."""

    def write_all(files: dict[str, Any]) -> Path:
        for name, content in files.items():
            file = tmp_path / "input" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return tmp_path / "input"

    return write_all


@pytest.fixture
def zk(quorum: str) -> Iterator[ZooKeeper]:
    with ZooKeeper(quorum) as zookeeper:
        yield zookeeper


def contents(zookeeper: ZooKeeper) -> dict[str, bytes]:
    return dict(Cluster(zookeeper).read().contents)


def fail(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run zk_load_configs.sh, which must fail, and return the error."""
    capsys.readouterr()
    assert zk_load_configs(arguments) == 1
    return capsys.readouterr().err


# -- Push, pull and dump ----------------------------------------------------------------------------------------------


@engine
def test_push_and_pull_preserve_bytes(write: Write, zk: ZooKeeper, quorum: str, tmp_path: Path) -> None:
    directory = write(FILES)
    assert zk_load_configs(["--mode", "PUSH", "-i", str(directory), "-z", quorum]) == 0
    assert contents(zk) == {name.removesuffix(".json"): data for name, data in FILES.items()}
    assert sorted(zk.children(ROOT)) == ["enrichments", "global", "indexing", "parsers", "profiler"]
    output = tmp_path / "new" / "output"
    assert zk_load_configs(["-m", "pull", "-o", str(output), "-z", quorum]) == 0
    pulled = {str(file.relative_to(output)): file.read_bytes() for file in output.rglob("*") if file.is_file()}
    assert pulled == FILES


@engine
def test_the_modern_commands_do_the_same(
    write: Write, zk: ZooKeeper, quorum: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = write(FILES)
    assert main(["config", "push", "-z", quorum, "--dry-run", str(directory)]) == 0
    assert capsys.readouterr().out.splitlines()[::6] == ["global: new", "nothing was stored, because of --dry-run"]
    assert contents(zk) == {}
    assert main(["config", "push", "-z", quorum, str(directory)]) == 0
    (directory / "parsers/bro.json").write_text('{"parserClassName": "BasicBro"}')
    capsys.readouterr()
    assert main(["config", "push", "-z", quorum, str(directory), "-c", "parser"]) == 0
    assert capsys.readouterr().out == "parsers/bro: changed\nparsers/squid: unchanged\n"
    assert main(["config", "pull", "-z", quorum, str(tmp_path / "pulled"), "-c", "PROFILER"]) == 0
    assert capsys.readouterr().out == f"{tmp_path}/pulled/profiler.json\n"
    assert main(["config", "dump", "-z", quorum, "-c", "parser", "-n", "bro"]) == 0
    assert capsys.readouterr().out == 'PARSER Config: bro\n{"parserClassName": "BasicBro"}\n'
    assert main(["config", "delete", "-z", quorum, "-c", "parser", "-n", "bro"]) == 0
    assert "parsers/bro" not in contents(zk)


@engine
def test_a_selection_is_pushed_and_pulled(write: Write, zk: ZooKeeper, quorum: str, tmp_path: Path) -> None:
    directory = write(FILES)
    assert zk_load_configs(["-m", "PUSH", "-i", str(directory), "-z", quorum, "-c", "PARSER", "-n", "bro"]) == 0
    assert sorted(contents(zk)) == ["parsers/bro"]
    assert zk_load_configs(["-m", "PUSH", "-i", str(directory), "-z", quorum, "-c", "ENRICHMENT"]) == 0
    assert zk_load_configs(["-m", "PUSH", "-i", str(directory), "-z", quorum, "-c", "GLOBAL"]) == 0
    assert sorted(contents(zk)) == ["enrichments/squid", "global", "parsers/bro"]
    output = tmp_path / "output"
    assert zk_load_configs(["-m", "PULL", "-o", str(output), "-z", quorum, "-c", "PARSER"]) == 0
    assert [file.name for file in output.rglob("*.json")] == ["bro.json"]


@engine
def test_the_name_of_the_global_configuration_can_be_given(
    write: Write, zk: ZooKeeper, quorum: str, capsys: pytest.CaptureFixture[str]
) -> None:
    one = ["-z", quorum, "-c", "GLOBAL", "-n", "global"]
    assert zk_load_configs([*one, "-m", "PUSH", "-i", str(write(FILES))]) == 0
    assert sorted(contents(zk)) == ["global"]
    assert zk_load_configs([*one, "-m", "PATCH", "-pk", "/a", "-pv", "1"]) == 0
    capsys.readouterr()
    assert zk_load_configs([*one, "-m", "DUMP"]) == 0
    assert '"a" : 1' in capsys.readouterr().out


@engine
def test_a_file_is_only_replaced_by_force(
    write: Write, quorum: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    zk_load_configs(["-m", "PUSH", "-i", str(write(FILES)), "-z", quorum])
    output = tmp_path / "output"
    (output / "parsers").mkdir(parents=True)
    existing = output / "parsers" / "squid.json"
    existing.write_text("mine")
    error = fail(capsys, "-m", "PULL", "-o", str(output), "-z", quorum)
    assert f"Unable to overwrite existing file ({existing}) without the force flag (-f or --force) being set." in error
    assert [file for file in output.rglob("*") if file.is_file()] == [existing]  # nothing else was written
    assert existing.read_text() == "mine"
    assert zk_load_configs(["-m", "PULL", "-o", str(output), "-z", quorum, "-f"]) == 0
    assert existing.read_bytes() == FILES["parsers/squid.json"]


@engine
def test_dump_prints_configurations_in_metrons_form(
    write: Write, quorum: str, capsys: pytest.CaptureFixture[str]
) -> None:
    zk_load_configs(["-m", "PUSH", "-i", str(write(FILES)), "-z", quorum])
    capsys.readouterr()
    assert zk_load_configs(["-m", "DUMP", "-z", quorum]) == 0
    printed = capsys.readouterr().out
    names = ["GLOBAL Config: global", "PARSER Config: bro", "PARSER Config: squid", "INDEXING Config: squid"]
    assert re.findall("^[A-Z]+ Config: .*$", printed, re.MULTILINE) == [
        *names,
        "ENRICHMENT Config: squid",
        "PROFILER Config: profiler",
    ]
    assert printed.startswith(f"GLOBAL Config: global\n{FILES['global.json'].decode()}\nPARSER Config: bro\n")
    assert zk_load_configs(["-m", "DUMP", "-z", quorum, "-c", "ENRICHMENT", "-n", "squid"]) == 0
    assert capsys.readouterr().out == f"ENRICHMENT Config: squid\n{FILES['enrichments/squid.json'].decode()}\n"


@engine
def test_dump_reports_invalid_configurations(zk: ZooKeeper, quorum: str, capsys: pytest.CaptureFixture[str]) -> None:
    zk.write(f"{ROOT}/parsers/a", b'{"colour": 1}')
    zk.write(f"{ROOT}/parsers/b", b'{"parserClassName": "com.example.Java"}')
    assert zk_load_configs(["-m", "DUMP", "-z", quorum]) == 1
    printed = capsys.readouterr()
    assert "PARSER Config: b" in printed.out
    assert f"zookeeper:{quorum}{ROOT}/parsers/a:1:2: colour: unknown key 'colour'" in printed.err
    assert "com.example.Java" not in printed.err


@engine
def test_stored_configurations_are_checked(
    write: Write, zk: ZooKeeper, quorum: str, capsys: pytest.CaptureFixture[str]
) -> None:
    grok = {"parserClassName": "Grok", "parserConfig": {"grokPath": "/apps/x", "patternLabel": "X"}}
    zk.write(f"{ROOT}/parsers/web", json.dumps(grok).encode())
    zk.write(f"{ROOT}/enrichments/web", b"{}")
    assert main(["config", "check", "-z", quorum]) == 0
    printed = capsys.readouterr()
    assert printed.out == "parsers/web: valid\nenrichments/web: valid\n"
    assert "unknown pattern file '/apps/x'" in printed.err
    zk.write(f"{ROOT}/enrichments/web", b'{"enrichment": {"fieldMap": {"stellar": {"config": {"a": "TO_UPER(b)"}}}}}')
    directory = write({"apps/x": b"X %{NUMBER:a}"})
    assert main(["config", "check", "-z", quorum, "--patterns", str(directory)]) == 1
    printed = capsys.readouterr()
    assert printed.out == "parsers/web: valid\n"
    assert printed.err.startswith(f"stellar-pipeline: zookeeper:{quorum}{ROOT}/enrichments/web:1:")
    assert "did you mean TO_UPPER?" in printed.err


@engine
def test_other_files_are_ignored_with_a_warning(
    write: Write, zk: ZooKeeper, quorum: str, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = write({**FILES, "parsers/squid.json~": b"{", "parsers/.squid.json.swp": b"{", "more/x.json": b"{"})
    (directory / "parsers" / "old.json").mkdir()
    assert zk_load_configs(["-m", "PUSH", "-i", str(directory), "-z", quorum]) == 0
    assert len(contents(zk)) == len(FILES)
    errors = capsys.readouterr().err
    assert errors.count("ignored; expected a file whose name ends in .json") == 3
    assert "squid.json~" in errors


# -- Checks before a push ---------------------------------------------------------------------------------------------


@engine
@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("global.json", b"{,}", "global.json:1:2: invalid JSON"),
        ("global.json", {"fieldValidations": [{"validation": "NO_SUCH"}]}, "global.json:1:"),
        ("profiler.json", {"profiles": [{"profile": "p", "foreach": "x +", "result": "1"}]}, "profiler.json:1:"),
        ("parsers/squid.json", {"parserClassName": "NoSuchParser"}, "parsers/squid.json:1:21: parserClassName: "),
        ("parsers/squid.json", b"\xff", "parsers/squid.json: is not valid UTF-8 at byte 0"),
        ("parsers/squid.json", b"", "parsers/squid.json:1:1: the file is empty"),
        ("enrichments/squid.json", {"colour": 1}, "enrichments/squid.json:1:2: colour: unknown key"),
        (
            "enrichments/squid.json",
            {"threatIntel": {"triageConfig": {"riskLevelRules": [{"rule": "TO_UPER(a)", "score": 1}]}}},
            "threatIntel.triageConfig.riskLevelRules[0].rule: unknown function TO_UPER",
        ),
        ("indexing/squid.json", {"hdfs": {"outputPathFunction": "'"}}, "indexing/squid.json:1:"),
    ],
)
def test_a_directory_with_an_error_is_not_pushed(
    write: Write, zk: ZooKeeper, quorum: str, capsys: pytest.CaptureFixture[str], name: str, content: Any, message: str
) -> None:
    directory = write({**FILES, name: content})
    error = fail(capsys, "-m", "PUSH", "-i", str(directory), "-z", quorum)
    assert message in error
    assert f"zk_load_configs.sh: {directory}/{name}" in error
    assert error.endswith("zk_load_configs.sh: nothing was stored\n")
    assert contents(zk) == {}


@engine
def test_all_errors_are_reported(write: Write, quorum: str, capsys: pytest.CaptureFixture[str]) -> None:
    files = {"global.json": b"[]", "parsers/a.json": {"colour": 1}, "enrichments/a.json": {"shape": 1}}
    error = fail(capsys, "-m", "PUSH", "-i", str(write(files)), "-z", quorum)
    assert all(name in error for name in ("global.json", "unknown key 'colour'", "unknown key 'shape'"))


@engine
def test_force_stores_what_only_others_can_use(
    write: Write, zk: ZooKeeper, quorum: str, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = write({"parsers/java.json": {"parserClassName": "com.example.JavaParser"}})
    arguments = ["-m", "PUSH", "-i", str(directory), "-z", quorum]
    assert "No module named 'com'" in fail(capsys, *arguments)
    assert zk_load_configs([*arguments, "-f"]) == 0
    assert "warning: " in capsys.readouterr().err
    assert sorted(contents(zk)) == ["parsers/java"]
    invalid = write({"parsers/java.json": {"colour": 1}})
    assert "unknown key 'colour'" in fail(capsys, "-m", "PUSH", "-i", str(invalid), "-z", quorum, "-f")


@engine
def test_patterns_that_are_elsewhere_are_a_warning(
    write: Write, zk: ZooKeeper, quorum: str, capsys: pytest.CaptureFixture[str]
) -> None:
    grok = {"parserClassName": "Grok", "parserConfig": {"grokPath": "/apps/x", "patternLabel": "X"}}
    assert zk_load_configs(["-m", "PUSH", "-i", str(write({"parsers/x.json": grok})), "-z", quorum]) == 0
    assert "unknown pattern file '/apps/x'" in capsys.readouterr().err
    assert sorted(contents(zk)) == ["parsers/x"]
    invalid = write({"apps/x": b"X %{NO_SUCH_PATTERN:a}\n"})
    assert "NO_SUCH_PATTERN" in fail(capsys, "-m", "PUSH", "-i", str(invalid), "-z", quorum)


@engine
def test_a_global_configuration_that_breaks_a_stored_sensor_is_not_pushed(
    write: Write, zk: ZooKeeper, quorum: str, capsys: pytest.CaptureFixture[str]
) -> None:
    zk.write(f"{ROOT}/enrichments/web", b'{"enrichment": {"fieldMap": {"stellar": {"config": {"a": "TO_UPPER(b)"}}}}}')
    zk.write(f"{ROOT}/parsers/broken", b'{"parserClassName": "NoSuchParser"}')
    settings = {"stellar.function.resolver.excludes": "TO_UPPER"}
    error = fail(capsys, "-m", "PUSH", "-i", str(write({"global.json": settings})), "-z", quorum)
    assert f"zookeeper:{quorum}{ROOT}/enrichments/web:1:" in error
    assert "TO_UPPER" in error
    assert "NoSuchParser" not in error  # it was broken before
    assert "global" not in contents(zk)


@engine
def test_large_configurations_are_pushed(write: Write, zk: ZooKeeper, quorum: str) -> None:
    files = {f"indexing/s{n}.json": {"hdfs": {"index": "x" * 300_000}} for n in range(5)}
    assert zk_load_configs(["-m", "PUSH", "-i", str(write(files)), "-z", quorum]) == 0
    assert len(contents(zk)) == 5


@engine
def test_parents_that_others_delete_meanwhile_are_created_again(
    zk: ZooKeeper, quorum: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[str] = []
    transact = zk.transact

    def delete_parent_once(*arguments: Any) -> list[Any]:
        if not attempts:
            with ZooKeeper(quorum) as other:
                other.delete("/a/b")
        attempts.append("transact")
        assert len(attempts) < 5, "the parent is never created again"
        return transact(*arguments)

    monkeypatch.setattr(zk, "transact", delete_parent_once)
    zk.write_all({"/a/b/c": b"1", "/a/d": b"2"})
    assert (zk.read("/a/b/c"), zk.read("/a/d")) == (b"1", b"2")
    assert len(attempts) == 2


@engine
def test_a_configuration_that_zookeeper_does_not_accept_is_an_error(
    write: Write, quorum: str, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {"indexing/s.json": {"hdfs": {"index": "x" * 1_100_000}}}
    error = fail(capsys, "-m", "PUSH", "-i", str(write(files)), "-z", quorum)
    assert f"{ROOT}/indexing/s has 1,100,023 bytes, and servers accept 1,048,575 unless jute.maxbuffer" in error


# -- Patch and delete -------------------------------------------------------------------------------------------------


@engine
def test_a_patch_stores_metrons_form(write: Write, zk: ZooKeeper, quorum: str) -> None:
    zk.write(f"{ROOT}/global", b'// c\n{"a":[1,2.50,{}],"u":"\xc3\xbc/","b":{},"n":null}')
    base = ["-m", "PATCH", "-z", quorum, "-c", "GLOBAL"]
    assert zk_load_configs([*base, "-pk", "/c", "-pv", '{"d": [true, []]}']) == 0
    assert (
        zk.read(f"{ROOT}/global")
        == (
            '{\n  "a" : [ 1, 2.5, { } ],\n  "u" : "ü/",\n  "b" : { },\n  "n" : null,\n'
            '  "c" : {\n    "d" : [ true, [ ] ]\n  }\n}'
        ).encode()
    )
    assert zk_load_configs([*base, "-pm", "REMOVE", "-pk", "/a"]) == 0
    assert zk_load_configs([*base, "-pm", "REMOVE", "-pk", "/missing"]) == 0
    assert zk_load_configs([*base, "-pm", "add", "-pk", "/c/d", "-pv", '"x"']) == 0
    assert json.loads(zk.read(f"{ROOT}/global") or b"") == {"u": "ü/", "b": {}, "n": None, "c": {"d": "x"}}


@engine
def test_a_file_of_operations_is_applied(
    write: Write, zk: ZooKeeper, quorum: str, capsys: pytest.CaptureFixture[str]
) -> None:
    zk.write(f"{ROOT}/parsers/web", b'{"parserClassName": "CSV", "sensorTopic": "a", "parserConfig": {"columns": {}}}')
    operations = [
        {"op": "test", "path": "/sensorTopic", "value": "a"},
        {"op": "replace", "path": "/sensorTopic", "value": "b"},
        {"op": "copy", "from": "/sensorTopic", "path": "/outputTopic"},
        {"op": "add", "path": "/parserConfig/columns/x", "value": 0},
        {"op": "move", "from": "/parserConfig/columns/x", "path": "/parserConfig/columns/y"},
        {"op": "remove", "path": "/no"},
    ]
    file = str(write({"patch.json": operations}) / "patch.json")
    assert zk_load_configs(["-m", "patch", "-z", quorum, "-c", "PARSER", "-n", "web", "-pf", file]) == 0
    assert json.loads(contents(zk)["parsers/web"]) == {
        "parserClassName": "CSV",
        "sensorTopic": "b",
        "parserConfig": {"columns": {"y": 0}},
        "outputTopic": "b",
    }
    assert main(["config", "patch", "-z", quorum, "-c", "parser", "-n", "web", "--file", file]) == 1
    assert "operation 1, 'test' at '/sensorTopic': expected 'a', got 'b'" in capsys.readouterr().err
    arguments = ["config", "patch", "-z", quorum, "-c", "parser", "-n", "web", "--key", "/outputTopic"]
    assert main([*arguments, "--value", '"c"']) == 0
    assert json.loads(contents(zk)["parsers/web"])["outputTopic"] == "c"
    assert main(arguments) == 0
    assert "outputTopic" not in json.loads(contents(zk)["parsers/web"])


@engine
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-pk", "/colour", "-pv", "1"], "(patched):"),
        (["-pk", "/colour", "-pv", "1"], "colour: unknown key 'colour'"),
        (["-pk", "/parserClassName", "-pv", '"NoSuchParser"'], "unknown parser"),
        (["-pk", "/a/b", "-pv", "1"], "cannot apply the patch: operation 1, 'add' at '/a/b': no such path '/a'"),
        (["-pk", "a", "-pv", "1"], "invalid path 'a': expected a JSON Pointer"),
        (["-pk", "/a", "-pv", "text"], "invalid value 'text': invalid JSON"),
        (["-pk", "/a", "-pv", "1 2"], "unexpected '2' after the value"),
        (["-pk", "", "-pv", "[]"], "expected a JSON object"),
        (["-pk", "/a", "-pv", "1E999"], "cannot be written as JSON: "),
        (["-pk", "/a", "-pv", '"\\ud800"'], "cannot be written as JSON: a string contains half of a surrogate pair"),
        (["-pf", "no-such-file.json"], "no-such-file.json: No such file"),
    ],
)
def test_a_patch_that_is_invalid_changes_nothing(
    zk: ZooKeeper, quorum: str, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    stored = b'{"parserClassName": "CSV", "parserConfig": {"columns": {"a": 0}}}'
    zk.write(f"{ROOT}/parsers/web", stored)
    error = fail(capsys, "-m", "PATCH", "-z", quorum, "-c", "PARSER", "-n", "web", *arguments)
    assert message in error
    assert contents(zk)["parsers/web"] == stored


@engine
def test_a_patch_applies_to_what_others_have_stored_meanwhile(
    zk: ZooKeeper, quorum: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    zk.write(f"{ROOT}/global", b"{}")
    read = Cluster.read
    others = iter(range(3))

    def change_before(self: Cluster) -> Any:
        if (number := next(others, None)) is not None:
            zk.write(f"{ROOT}/global", b'{"other": %d}' % number)
        return read(self)

    monkeypatch.setattr(Cluster, "read", change_before)
    Cluster(zk).patch("GLOBAL", None, [{"op": "add", "path": "/mine", "value": 1}], force=False)
    assert json.loads(zk.read(f"{ROOT}/global") or b"") == {"other": 2, "mine": 1}


@engine
def test_what_does_not_exist_is_an_error_with_the_nearest_name(
    zk: ZooKeeper, quorum: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = f"no configuration in zookeeper:{quorum}{ROOT}; check the path, or push a directory"
    assert empty in fail(capsys, "-m", "DUMP", "-z", quorum)
    assert empty in fail(capsys, "-m", "PULL", "-z", quorum, "-o", str(tmp_path / "o"))
    assert not (tmp_path / "o").exists()
    zk.write(f"{ROOT}/parsers/web", b"{}")
    one = ["-z", quorum, "-c", "PARSER", "-n", "wep"]
    for more in (["-m", "DUMP"], ["-m", "PATCH", "-pk", "/a", "-pm", "REMOVE"], ["-m", "DELETE"]):
        assert "Unable to find configuration for wep in" in fail(capsys, *one, *more)
    assert "did you mean web?" in fail(capsys, *one, "-m", "DUMP")
    assert "no configuration of GLOBAL in" in fail(capsys, "-m", "DUMP", "-z", quorum, "-c", "GLOBAL")
    assert zk_load_configs(["-m", "DELETE", "-f", *one]) == 0


@engine
def test_a_configuration_is_deleted(zk: ZooKeeper, quorum: str) -> None:
    zk.write(f"{ROOT}/parsers/web", b"{}")
    zk.write(f"{ROOT}/enrichments/web", b"{}")
    assert zk_load_configs(["-m", "DELETE", "-z", quorum, "-c", "PARSER", "-n", "web"]) == 0
    assert sorted(contents(zk)) == ["enrichments/web"]


# -- Options ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments", [[], ["-z", "a:1"], ["-m", "PUSH"], ["-z", "a:1", "-m", "PUSH", "--no-such"], ["-z"]]
)
def test_invalid_options_exit_as_in_metron(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        zk_load_configs(arguments)
    assert exited.value.code == 255
    assert capsys.readouterr().err.startswith("usage: configuration_manager")


def test_help_lists_the_options_of_metron(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        zk_load_configs(["-h"])
    printed = capsys.readouterr().out
    options = ("--zk_quorum", "--mode", "--input_dir", "--output_dir", "--force", "--config_type", "--config_name")
    assert all(option in printed for option in (*options, "-pf", "--patch_file", "-pm", "-pk", "-pv"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-m", "LOAD"], "Invalid mode: LOAD expected DUMP, PULL, PUSH, or PATCH"),
        (["-m", "PUSH"], "Input directory is required when performing a PUSH operation."),
        (["-m", "PUSH", "-i", ""], "Input directory is required when performing a PUSH operation."),
        (["-m", "PUSH", "-i", "no/such"], "Input directory: no/such does not exist or is not a directory."),
        (["-m", "PUSH", "-i", ".", "-c", "parser"], "unknown type of configuration 'parser'; expected one of GLOBAL"),
        (["-m", "PUSH", "-i", ".", "-n", "squid"], "the name 'squid' needs the type PARSER, ENRICHMENT or INDEXING"),
        (["-m", "DUMP", "-c", "GLOBAL", "-n", "x"], "the name 'x' needs the type PARSER, ENRICHMENT or INDEXING"),
        (["-m", "PULL"], "Output directory is required when performing a PULL operation."),
        (["-m", "PATCH"], "Patch requires config type"),
        (["-m", "PATCH", "-c", "PARSER", "-pk", "/a", "-pv", "1"], "needs the name of a sensor; add -n"),
        (["-m", "PATCH", "-c", "GLOBAL"], "Key is required to apply a patch without a file"),
        (["-m", "PATCH", "-c", "GLOBAL", "-pk", "/a"], "Key and value are required to apply patches without a file"),
        (["-m", "PATCH", "-c", "GLOBAL", "-pk", "/a", "-pm", "MOVE"], "Patch mode not supported: 'MOVE'"),
        (["-m", "PATCH", "-c", "GLOBAL", "-pk", "/a", "-pm", "REMOVE", "-pv", "1"], "-pv has no effect"),
        (["-m", "PATCH", "-c", "GLOBAL", "-pk", "/a", "-pf", "x"], "have no effect with -pf"),
        (["-m", "DELETE"], "Delete requires config type"),
        (["-m", "DELETE", "-c", "PARSER"], "needs the name of a sensor"),
    ],
)
def test_options_that_do_not_fit_are_an_error(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in fail(capsys, "-z", "127.0.0.1:9", *arguments)


@pytest.mark.parametrize(
    ("files", "more", "message"),
    [
        ({}, [], "no configuration in input; expected global.json, profiler.json, or files such as parsers/squid.json"),
        ({"parsers/a.json": b"{}"}, ["-c", "PARSER", "-n", "b"], "Unable to find configuration for b"),
        ({"parsers/a.json": b"{}"}, ["-c", "GLOBAL"], "Unable to find configuration for global.json in input"),
        ({"parsers/a.json": b"{}"}, ["-c", "INDEXING"], "Unable to find configuration for indexing/*.json in input"),
    ],
)
def test_a_directory_without_the_selected_files_is_an_error(
    files: Any,
    more: list[str],
    message: str,
    write: Write,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,
    tmp_path: Path,
) -> None:
    write(files)
    (tmp_path / "input").mkdir(exist_ok=True)
    monkeypatch.chdir(tmp_path)
    assert message in fail(capsys, "-z", "127.0.0.1:9", "-m", "PUSH", "-i", "input", *more)


def test_a_server_that_cannot_be_reached_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("stellar.maas.zookeeper.CONNECT_SECONDS", 0.1)
    error = fail(capsys, "-m", "DUMP", "-z", "127.0.0.1:9")
    assert "ZooKeeper at 127.0.0.1:9 can't be reached: no server responded within" in error


@engine
def test_a_root_that_does_not_exist_is_an_error(write: Write, quorum: str, capsys: pytest.CaptureFixture[str]) -> None:
    error = fail(capsys, "-m", "PUSH", "-i", str(write(FILES)), "-z", f"{quorum}/a/b")
    assert f"the root node in {quorum}/a/b does not exist; create it, or check the path" in error


@engine
def test_an_operation_without_permission_is_an_error(
    write: Write, zk: ZooKeeper, quorum: str, capsys: pytest.CaptureFixture[str]
) -> None:
    zk.write(f"{ROOT}/global", b"{}")
    zk.request("set_acls", f"{ROOT}/global", READ_ACL_UNSAFE)
    error = fail(capsys, "-m", "PUSH", "-i", str(write(FILES)), "-z", quorum)
    assert f"ZooKeeper at {quorum} does not allow this" in error
    assert sorted(contents(zk)) == ["global"]
