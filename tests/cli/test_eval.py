"""`stellar eval` and the command as a whole: options, interrupts, pipes, and internal errors."""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

from stellar.cli import check, main
from stellar.cli import eval as eval_
from stellar.functions import SHELL_LIBRARY
from stellar.language.library import Library, SettingError, stellar

PROGRAM = str(Path(sys.executable).with_name("stellar"))


def program(*arguments: str, **options) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([PROGRAM, *arguments], capture_output=True, timeout=60, check=False, **options)


def records(tmp_path: Path, *lines: str) -> str:
    file = tmp_path / "records.jsonl"
    file.write_text("\n".join(lines), encoding="utf-8")
    return str(file)


# -- Help -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [[], ["eval"], ["check"]])
def test_help_fits_a_terminal_and_names_every_option(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])
    text = capsys.readouterr().out
    assert ended.value.code == 0
    assert max(map(len, text.splitlines())) <= 80
    assert "--debug" in text
    assert command == [] or "examples:" in text


def test_the_examples_of_the_help_work(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    records(tmp_path, '{"bytes": 2000, "method": "POST", "url": "http://a.b/c"}')
    commands = re.findall(r"stellar (eval|check) (-e|) ?\"(.*?)\"(.*)", eval_.END + check.END)
    assert len(commands) == 5
    outputs = []
    for command, option, expression, rest in commands:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(Path("records.jsonl").read_bytes())))
        main([command, *option.split(), expression, *shlex.split(rest)])
        outputs.append(capsys.readouterr().out.splitlines()[0])
    assert outputs[:4] == ['"A"', "12", "true", '"a.b"']
    assert outputs[4].startswith("-e:1:1: warning: mixed-and-or")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--nonsense"], "stellar: error: unrecognized arguments: --nonsense"),
        (
            ["-z", "a:1", "--registry", "b"],
            "stellar: error: argument --registry: not allowed with argument -z/--zookeeper",
        ),
    ],
)
def test_invalid_options_are_rejected(arguments, message, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


# -- Records and values -----------------------------------------------------------------------------------------------


def test_a_file_can_end_without_a_line_end(tmp_path, capsys):
    assert main(["eval", "-e", "a", "-f", records(tmp_path, '{"a": 1}', '{"a": 2}')]) == 0
    assert capsys.readouterr().out == "1\n2\n"


def test_a_file_of_only_a_byte_order_mark_has_no_records(tmp_path, capsys):
    assert main(["eval", "-e", "a", "-f", records(tmp_path, "\ufeff")]) == 0
    assert capsys.readouterr() == ("", "")


def test_the_rows_of_a_parquet_file_are_records(tmp_path, capsys):
    polars = pytest.importorskip("polars")
    file = str(tmp_path / "a.parquet")
    polars.DataFrame({"n": [1, None, 0], "s": ["a", "b", None]}).write_parquet(file)
    deep = "REDUCE([s, 1, 2, 3], (a, b) -> [a], 0)"
    assert main(["eval", "-f", file, "-e", "6 / n", "-e", "s == 'a'", "-e", deep]) == 1
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [
        "6",
        "true",
        "[[[[0]]]]",
        "null",
        "false",
        "[[[[0]]]]",
        "null",
        "false",
        "[[[[0]]]]",
    ]
    errors = [line for line in printed.err.splitlines() if line.startswith("record")]
    assert errors == ["record 2: division by zero", "record 3: division by zero"]
    assert main(["eval", "-f", file, "-e", "s"]) == 0
    assert capsys.readouterr().out == '"a"\n"b"\nnull\n'


def test_a_damaged_parquet_file_is_rejected(tmp_path, capsys):
    pytest.importorskip("polars")
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and no more")
    assert main(["eval", "-f", str(tmp_path / "a.parquet"), "-e", "1"]) == 2
    assert capsys.readouterr().err.startswith(f"stellar: cannot read {tmp_path / 'a.parquet'}: ")


def test_a_deeply_nested_record_fails_alone(tmp_path, capsys):
    deep = '{"a": ' + "[" * 100_000 + "]" * 100_000 + "}"
    assert main(["eval", "-e", "b", "-f", records(tmp_path, deep, '{"b": 1}')]) == 1
    assert capsys.readouterr() == ("null\n1\n", "record 1: invalid JSON: nested too deeply\n")


def test_a_value_that_cannot_be_written_fails_alone(tmp_path, capsys):
    nesting = "REDUCE(a, (nested, x) -> [nested], [])"
    file = records(tmp_path, json.dumps({"a": [0] * 5000}), '{"a": [0]}')
    assert main(["eval", "-e", nesting, "-f", file]) == 1
    out, err = capsys.readouterr()
    assert out == "null\n[[]]\n"
    assert err.startswith("record 1: REDUCE: more than 64 levels, the limit that stellar.limits.levels sets\n")


def test_a_case_whose_value_cannot_be_written_has_an_error(tmp_path, capsys):
    case = {"id": 1, "expr": "REDUCE(a, (nested, x) -> [nested], [])", "vars": {"a": [0] * 5000}}
    assert main(["eval", "--cases", records(tmp_path, json.dumps(case))]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["id"], result["ok"]) == (1, False)
    assert result["error"].startswith("REDUCE: more than 64 levels, the limit that stellar.limits.levels sets")


def test_a_long_value_is_written_completely(tmp_path, capsys):
    file = records(tmp_path, json.dumps({"a": "x" * 5_000_000}))
    assert main(["eval", "-e", "[a, a]", "-f", file]) == 0
    assert len(capsys.readouterr().out) == 10_000_009


def test_an_argument_that_is_not_utf_8_is_rejected():
    for command in ("eval", "check"):
        done = program(command, "-e", b"'\xff'")
        assert (done.stdout, done.stderr, done.returncode) == (b"", b"stellar: the expression is not UTF-8\n", 2)


def test_an_unpaired_surrogate_is_rejected(capsys):
    assert main(["eval", "-e", "'\ud800'"]) == 2
    assert capsys.readouterr().err == "stellar: the expression is not UTF-8\n"


def test_models_are_found_in_a_registry(tmp_path, capsys):
    assert main(["eval", "-e", "MAAS_GET_ENDPOINT('dga')", "--registry", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "null\n"


def test_a_broken_registry_is_rejected(tmp_path, capsys):
    config = tmp_path / "metron" / "maas" / "config"
    config.parent.mkdir(parents=True)
    config.write_text("nope")
    assert main(["eval", "-e", "1", "--registry", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith(f"stellar: can't open the registry {tmp_path}: ")


def test_an_unreachable_zookeeper_is_reported(monkeypatch, capsys):
    monkeypatch.setattr("stellar.maas.zookeeper.CONNECT_SECONDS", 0.2)
    monkeypatch.setattr("stellar.util.slow_waits.AFTER_SECONDS", 3600)
    assert main(["eval", "-e", "1", "-z", "127.0.0.1:1"]) == 2
    assert capsys.readouterr().err.startswith(
        "stellar: can't open the registry 127.0.0.1:1: ZooKeeper at 127.0.0.1:1 can't be reached: "
    )


@pytest.mark.parametrize("arguments", [["eval", "1"], ["-e", "1"]])
def test_a_program_that_waits_for_zookeeper_says_so(arguments, monkeypatch, capsys):
    class Waiting:
        """Waits until the message has been printed; a real server cannot be made to answer right after it."""

        def __init__(self, _):
            deadline = time.monotonic() + 60
            while not (shown := capsys.readouterr().err) and time.monotonic() < deadline:
                time.sleep(0.01)
            raise ConnectionError(f"after: {shown}")

    monkeypatch.setattr("stellar.util.slow_waits.AFTER_SECONDS", 0)
    monkeypatch.setattr("stellar.maas.zookeeper.ZooKeeper", Waiting)
    monkeypatch.setattr("stellar.maas.registries.zookeeper.ZooKeeper", Waiting)
    assert main([*arguments, "-z", "127.0.0.1:1"]) != 0
    assert "after: waiting for ZooKeeper at 127.0.0.1:1; press Ctrl-C to stop" in capsys.readouterr().err


# -- Debugging and internal errors -----------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["--debug", "eval"], ["eval", "--debug"]])
def test_debug_shows_the_traceback_of_an_error(arguments, capsys):
    assert main([*arguments, "-e", "1 / 0"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("division by zero\n1 | 1 / 0\n    ^^^^^\nTraceback (most recent call last):\n")
    assert "ValueError: division by zero" in error


def test_without_debug_there_is_no_traceback(capsys):
    assert main(["eval", "-e", "1 / 0"]) == 1
    assert capsys.readouterr().err == "division by zero\n1 | 1 / 0\n    ^^^^^\n"


def test_debug_shows_the_traceback_of_a_case(tmp_path, capsys):
    assert main(["eval", "--debug", "--cases", records(tmp_path, '{"id": 1, "expr": "1 / 0"}')]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["ok"] is False
    assert "ValueError: division by zero" in printed.err


def test_an_internal_error_is_one_line(monkeypatch, capsys):
    def broken(*_):
        raise KeyError("oops")

    monkeypatch.setattr("stellar.cli.eval.Expression", broken)
    assert main(["eval", "-e", "1"]) == 2
    assert capsys.readouterr().err == "stellar: internal error: KeyError: 'oops'; --debug shows the traceback\n"
    assert main(["eval", "-e", "1", "--debug"]) == 2
    assert "in broken" in capsys.readouterr().err


def test_an_exception_in_a_function_is_an_error_at_its_call(monkeypatch, capsys):
    @stellar("BREAK")
    def broken() -> None:
        """Raise an unexpected error."""
        raise TypeError("oops")

    monkeypatch.setattr("stellar.cli.eval.shell_library", lambda: Library.of(broken))
    assert main(["eval", "-e", "BREAK()"]) == 1
    assert capsys.readouterr().err == "TypeError: oops\n1 | BREAK()\n    ^^^^^^^\n"


def test_a_warning_is_one_line(monkeypatch, capsys):
    class Broken:
        name, value = "mine", "mine.functions"

        def load(self):
            raise ImportError("no module mine")

    monkeypatch.setattr(importlib.metadata, "entry_points", lambda **_: [Broken()])
    monkeypatch.setattr(warnings, "filters", [])  # as outside pytest
    vars(SHELL_LIBRARY).pop("_installed", None)
    assert main(["eval", "-e", "NOPE()"]) == 1
    vars(SHELL_LIBRARY).pop("_installed", None)
    message = "stellar: cannot load the Stellar functions mine = mine.functions: no module mine\n"
    assert capsys.readouterr().err == f"{message}unknown function NOPE\n1 | NOPE()\n    ^^^^\n"


# -- Output and interruption ------------------------------------------------------------------------------------------


def test_output_can_be_a_text_stream():
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert main(["eval", "-e", "'é'"]) == 0
    assert printed.getvalue() == '"é"\n'


def test_results_are_utf_8_in_any_locale():
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "latin-1"}
    done = program("eval", "-e", "'é€'", env=environment)
    assert (done.stdout, done.stderr) == ('"é€"\n'.encode(), b"")


def test_a_closed_pipe_ends_the_command_without_a_message(tmp_path):
    file = records(tmp_path, *['{"a": "' + "x" * 200 + '"}'] * 5000)
    with subprocess.Popen(
        [PROGRAM, "eval", "-e", "a", "-f", file], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.readline()
        running.stdout.close()
        assert running.stderr.read() == b""
        assert running.wait(timeout=60) == 1


def test_a_full_disk_is_reported():
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [PROGRAM, "eval", "-e", "1"], stdout=full, stderr=subprocess.PIPE, timeout=60, check=False
        )
    assert (done.stderr, done.returncode) == (b"stellar: can't write: No space left on device\n", 2)


class Failing(io.TextIOWrapper):
    """Output to a file whose writes fail."""

    def __init__(self, file: Path, error: OSError) -> None:
        super().__init__(file.open("wb"))
        self.error = error

    def write(self, text: str) -> int:
        raise self.error


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (BrokenPipeError(), 1, ""),
        (OSError(28, "No space left on device"), 2, "stellar: can't write: No space left on device\n"),
    ],
)
def test_failing_output_ends_the_command(error, status, message, tmp_path, monkeypatch, capsys):
    with Failing(tmp_path / "out", error) as output:
        monkeypatch.setattr(sys, "stdout", output)
        assert main(["eval", "-e", "1"]) == status
    assert capsys.readouterr().err == message


def test_closed_streams_are_treated_as_empty(monkeypatch):
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    assert main(["eval", "-e", "a", "-f", "-"]) == 0
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        stream.close()


def test_results_for_standard_input_are_immediate_and_ctrl_c_ends_without_a_message():
    with subprocess.Popen(
        [PROGRAM, "eval", "-e", "a + 1", "-f", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdin.write(b'{"a": 1}\n')
        running.stdin.flush()
        assert running.stdout.readline() == b"2\n"
        running.send_signal(signal.SIGINT)
        assert running.wait(timeout=60) == 130
        assert running.stderr.read() == b""


def test_ctrl_c_has_its_own_status(monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("stellar.cli.eval.Expression", interrupted)
    assert main(["eval", "-e", "1"]) == 130
    assert capsys.readouterr() == ("", "")


def test_functions_of_the_shell_are_available(capsys):
    assert main(["eval", "-e", "SYSTEM_ENV_GET('UNSET_VARIABLE')"]) == 0
    assert capsys.readouterr().out == "null\n"


def test_the_version_is_that_of_the_distribution(capsys):
    with pytest.raises(SystemExit) as left:
        main(["--version"])
    assert left.value.code == 0
    assert capsys.readouterr().out == f"stellar {importlib.metadata.version('stellar-maas')}\n"


def test_debug_shows_the_traceback_of_a_line_of_the_shell(capsys):
    assert main(["--debug", "-e", "1 / 0", "-e", "2"]) == 1
    out, err = capsys.readouterr()
    assert out == "2\n"
    assert "ValueError: division by zero" in err


def test_notes_of_commands_are_written_to_standard_error(capsys):
    assert main(["-e", "%time 1 + 1"]) == 0
    out, err = capsys.readouterr()
    assert out == "2\n"
    assert re.fullmatch(r"compiled in .*, evaluated in .*\n", err)


@pytest.mark.parametrize("value", [5, [1], {"a": 1}])
def test_functions_are_selected_by_patterns(value):
    with pytest.raises(
        SettingError, match=r"^stellar.function.resolver.includes: expected a list of regular expressions"
    ):
        SHELL_LIBRARY.configured({"stellar.function.resolver.includes": value})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to evaluate; pass an expression, or cases with --cases"),
        (["-f", "x"], "nothing to evaluate; pass an expression, or cases with --cases"),
        (["1", "--cases", "x"], "--cases excludes expressions and -f"),
        (["--cases", "x", "-f", "y"], "--cases excludes expressions and -f"),
        (["1", "-e", "2"], "pass expressions either as arguments or with -e, so that their order is known"),
    ],
)
def test_options_of_eval_that_exclude_each_other(arguments, message, capsys):
    assert main(["eval", *arguments]) == 2
    out, err = capsys.readouterr()
    assert (out, err.startswith(f"stellar: {message}")) == ("", True)


@pytest.mark.parametrize("arguments", [["1 + 1", "-2", "x"], ["-e", "1 + 1", "-e", "-2", "-e", "x"]])
def test_each_expression_has_a_line(arguments, capsys):
    assert main(["eval", *arguments]) == 0
    assert capsys.readouterr().out == "2\n-2\nnull\n"


def test_the_expressions_after_one_that_fails_are_evaluated(capsys):
    assert main(["eval", "1", "1 / 0", "3"]) == 1
    out, err = capsys.readouterr()
    assert (out, err.startswith("division by zero\n")) == ("1\n3\n", True)


def test_nothing_is_evaluated_if_one_expression_is_invalid(capsys):
    assert main(["eval", "1", "1 +"]) == 1
    assert capsys.readouterr().out == ""


def test_each_record_has_a_line_for_each_expression(tmp_path, capsys):
    file = records(tmp_path, '{"a": 1}', "x", '{"a": "z"}')
    assert main(["eval", "a + 1", "a", "-f", file]) == 1
    out, err = capsys.readouterr()
    assert out.splitlines() == ["2", "1", "null", "null", "null", '"z"']
    assert re.findall(r"^record .*", err, re.MULTILINE) == [
        "record 2: invalid JSON: expecting value at column 1",
        "record 3: + expected numbers, got the string 'z'",
    ]


@pytest.mark.parametrize("script", ["chek", "rules.stellar"])
def test_nothing_is_executed_if_the_command_or_script_does_not_exist(script, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for arguments in ([script, "-e", "1 + 1"], ["-e", "1 + 1", script]):
        assert main(arguments) == 2
        assert capsys.readouterr().out == ""
