"""The functions of the shell's library: files, environment, system properties, Grok and tables."""

from __future__ import annotations

import logging
import os
import pickle
from pathlib import Path
from typing import Any

import pytest

import stellar
from stellar.functions import LIBRARY, PIPELINE_FAMILIES, SHELL_FAMILIES, SHELL_LIBRARY
from stellar.functions.grok import LONGEST_STRING
from stellar.functions.system import SystemProperties
from stellar.language.context import NOTHING, Context
from stellar.tooling import spec_lines
from stellar.util.abbreviate import quote
from stellar.util.text_tables import text_table


def value(expression: str, context: Context = NOTHING, **record: Any) -> Any:
    return stellar.evaluate(expression, record, context, library=SHELL_LIBRARY)


NAMES = [name for families in (SHELL_FAMILIES, PIPELINE_FAMILIES) for row in families.values() for name in row.split()]


@pytest.mark.parametrize("name", NAMES)
def test_the_examples_of_shell_functions_hold(name: str, in_a_shell: Context) -> None:
    function = SHELL_LIBRARY[name]
    paragraphs = spec_lines.read(function.help.examples)
    failures = [
        failure
        for paragraph in paragraphs
        for failure in spec_lines.find_failures(paragraph, SHELL_LIBRARY, in_a_shell)
    ]
    assert failures == []
    assert sum(len(paragraph.lines) for paragraph in paragraphs) >= 3


@pytest.mark.parametrize("name", NAMES)
def test_shell_functions_are_unknown_outside_the_shell(name: str) -> None:
    assert name not in LIBRARY
    with pytest.raises(stellar.ResolutionError, match=f"unknown function {name}"):
        stellar.compile(f"{name}('a')")


def test_an_expression_with_shell_functions_can_be_pickled() -> None:
    expression = stellar.compile("SYSTEM_ENV_GET('NO_SUCH_VARIABLE') == null", library=SHELL_LIBRARY)
    assert pickle.loads(pickle.dumps(expression))({}) is True


@pytest.mark.parametrize(
    "values",
    [[], [None], [1], ["a\0b"], [""], ["\ud800"], [[]], [{}], [b"x"], ["a", "\ud800"], ["x", None], ["x", [1]]],
)
@pytest.mark.parametrize("name", NAMES)
def test_shell_functions_return_or_raise_errors_of_their_own(
    name: str, values: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    record = {f"a{index}": each for index, each in enumerate(values)}
    try:
        value(f"{name}({', '.join(record)})", **record)
    except stellar.EvaluationError as error:
        assert isinstance(error.__cause__, ValueError | LookupError)  # noqa: PT017
        assert not isinstance(error.__cause__, UnicodeError | KeyError | IndexError)  # noqa: PT017
    except stellar.ResolutionError:
        pass


# -- Files ------------------------------------------------------------------------------------------------------------


def test_a_written_file_can_be_read(tmp_path: Path) -> None:
    path = str(tmp_path / "new" / "folder" / "file")
    assert value("LOCAL_WRITE('é\\r\\nb', path)", path=path) is True
    assert Path(path).read_bytes() == "é\r\nb".encode()
    assert value("LOCAL_READ(path)", path=path) == "é\r\nb"
    assert value("LOCAL_WRITE('', path)", path=path) is True
    assert value("LOCAL_READ(path)", path=path) == ""
    assert value("LOCAL_READ_LINES(path)", path=path) == []


def test_line_ends_are_those_of_java(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"a\nb\r\nc\rd\x0be\xe2\x80\xa8f\n\n\xff")
    assert value("LOCAL_READ_LINES(path)", path=str(tmp_path / "file")) == [
        "a",
        "b",
        "c",
        "d\x0be\u2028f",
        "",
        "\ufffd",
    ]


def test_a_relative_path_starts_at_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert value("LOCAL_WRITE('a', 'file')") is True
    assert (tmp_path / "file").read_text() == "a"


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("LOCAL_READ(path)", None),
        ("LOCAL_READ_LINES(path)", None),
        ("LOCAL_WRITE('a', path)", False),
        ("LOCAL_RM(path)", False),
    ],
)
def test_a_failing_file_operation_is_logged(
    expression: str, result: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    for path in (str(tmp_path / "full"), "", "a\0b", "x" * 5000):
        caplog.clear()
        assert value(expression, path=path) is result
        (record,) = caplog.records
        assert record.levelno == logging.WARNING
        assert record.getMessage().startswith(f"{expression.partition('(')[0]}({quote(path)}): ")
    assert (tmp_path / "full" / "file").exists()


def test_a_string_that_cannot_be_encoded_leaves_the_file_unchanged(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("before")
    assert value("LOCAL_WRITE(a, path)", a="\ud800", path=str(tmp_path / "file")) is False
    assert (tmp_path / "file").read_text() == "before"


def test_a_directory_with_content_is_removed_only_recursively(tmp_path: Path) -> None:
    path = str(tmp_path / "folder")
    for call in ("LOCAL_RM(path)", "LOCAL_RM(path, true)", "LOCAL_RM(path, 'yes')"):
        Path(path).mkdir()
        assert value(call, path=path) is True
        assert not Path(path).exists()
    Path(path, "deep").mkdir(parents=True)
    assert [value(f"LOCAL_RM(path, {deep})", path=path) for deep in ("false", "'no'", "0")] == [False] * 3
    assert value("LOCAL_RM(path, true)", path=path) is True
    assert not Path(path).exists()
    with pytest.raises(stellar.EvaluationError, match="LOCAL_RM expected a boolean as recursive, got null"):
        value("LOCAL_RM(path, null)", path=path)


@pytest.mark.parametrize("deep", ["true", "false"])
def test_a_link_is_removed_but_not_its_target(deep: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    assert value(f"LOCAL_RM(path, {deep})", path=str(tmp_path / "link")) is True
    assert (tmp_path / "folder" / "file").exists()
    assert not (tmp_path / "link").exists()


def test_files_are_listed_by_time_and_then_by_name(tmp_path: Path) -> None:
    for name, seconds, size in (("b", 1_500_000_000.9, 3), ("a", 1_500_000_000.1, 20), ("old", 10, 0)):
        (tmp_path / name).write_bytes(b"x" * size)
        (tmp_path / name).chmod(0o640)
        os.utime(tmp_path / name, (seconds, seconds))
    (tmp_path / "link").symlink_to("nowhere")
    os.utime(tmp_path / "link", (1, 1), follow_symlinks=False)
    rows = [
        [cell.strip() for cell in line[1:-1].split("│")]
        for line in value("LOCAL_LS(path)", path=str(tmp_path)).splitlines()
        if line.startswith("║")
    ]
    assert rows[0] == ["PERMISSION", "OWNER", "GROUP", "SIZE", "LAST MOD TIME", "NAME"]
    assert [(row[0], row[3], row[4], row[5]) for row in rows[2:]] == [
        ("rw-r-----", "0", "Jan 1, 1970, 12:00:10 AM", "old"),
        ("rw-r-----", "20", "Jul 14, 2017, 2:40:00 AM", "a"),
        ("rw-r-----", "3", "Jul 14, 2017, 2:40:00 AM", "b"),
    ]
    assert rows[1][5] == "link"
    assert rows[2][1] in (Path(tmp_path / "old").owner(), str(os.getuid()))


def test_a_single_file_is_listed(tmp_path: Path) -> None:
    (tmp_path / "one").touch()
    (tmp_path / "two").touch()
    table = value("LOCAL_LS(path)", path=str(tmp_path / "one"))
    assert table.count("\n") == 5
    assert "│ one" in table


def test_the_home_directory_is_listed_by_default() -> None:
    assert value("LOCAL_LS()") == value("LOCAL_LS(home)", home=os.path.expanduser("~"))


# -- The system -------------------------------------------------------------------------------------------------------


def test_environment_variables_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STELLAR_TEST", "é x")
    assert value("SYSTEM_ENV_GET('STELLAR_TEST')") == "é x"
    monkeypatch.delenv("STELLAR_TEST")
    assert value("SYSTEM_ENV_GET('STELLAR_TEST')") is None


def test_system_properties_come_from_python_and_from_the_context(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    context = Context({SystemProperties: SystemProperties({"user.country": "CH", "own": ""})})
    assert value("SYSTEM_PROPERTY_GET('user.dir')") == str(tmp_path)
    assert value("SYSTEM_PROPERTY_GET('file.separator')", context) == os.sep
    assert value("SYSTEM_PROPERTY_GET('user.country')") == "US"
    assert value("SYSTEM_PROPERTY_GET('user.country')", context) == "CH"
    assert value("SYSTEM_PROPERTY_GET('own')", context) == ""
    assert value("SYSTEM_PROPERTY_GET('own')") is None


def test_an_unavailable_property_is_null(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    removed = tmp_path / "removed"
    removed.mkdir()
    monkeypatch.chdir(removed)
    removed.rmdir()
    assert value("SYSTEM_PROPERTY_GET('user.dir')") is None


@pytest.mark.parametrize("name", SHELL_LIBRARY["SYSTEM_PROPERTY_GET"].help.summary.split("`")[1::2])
def test_every_documented_property_has_a_value(name: str) -> None:
    assert value("SYSTEM_PROPERTY_GET(name)", name=name)


# -- Tables -----------------------------------------------------------------------------------------------------------

TABLE = """\
╔═════╤═══════╗
║ KEY │ VALUE ║
╠═════╪═══════╣
║ bb  │ x     ║
║     │ y     ║
╟─────┼───────╢
║ a   │ 1     ║
╚═════╧═══════╝
"""
EMPTY = """\
╔═════╤═══════╗
║ KEY │ VALUE ║
╠═════╧═══════╣
║ (empty)     ║
╚═════════════╝
"""


@pytest.mark.parametrize(
    ("expression", "table"),
    [
        ("SHELL_MAP2TABLE({'bb': 'x\\ny', 'a': 1})", TABLE),
        ("SHELL_MAP2TABLE({})", EMPTY),
        ("SHELL_MAP2TABLE(null)", EMPTY),
        ("SHELL_MAP2TABLE()", None),
    ],
)
def test_a_map_is_drawn_like_in_metron(expression: str, table: str | None) -> None:
    assert value(expression) == table


def test_nulls_and_nested_values_of_a_map_are_drawn_as_strings() -> None:
    table = value("SHELL_MAP2TABLE(map)", map={None: None, "list": [1.0, True], 5: {"a": None}})
    assert "║ null │ null        ║\n" in table
    assert "║ list │ [1.0, true] ║\n" in table
    assert "║ 5    │ {a=null}    ║\n" in table


@pytest.mark.parametrize(
    ("columns", "rows", "table"),
    [
        (["A"], [], "╔═════════╗\n║ A       ║\n╠═════════╣\n║ (empty) ║\n╚═════════╝\n"),
        (["A"], [[""]], "╔═══╗\n║ A ║\n╠═══╣\n║   ║\n╚═══╝\n"),
        (["A\nB", "C"], [["x", "yy"]], "╔═══╤════╗\n║ A │ C  ║\n║ B │    ║\n╠═══╪════╣\n║ x │ yy ║\n╚═══╧════╝\n"),
    ],
)
def test_a_table_is_as_wide_as_its_longest_lines(columns: list[str], rows: list[list[str]], table: str) -> None:
    assert text_table(columns, rows) == table


# -- Grok -------------------------------------------------------------------------------------------------------------


def test_captures_are_drawn_with_a_row_for_each_string() -> None:
    strings = ["10.0.0.1 GET 200", "nothing", None, "10.0.0.2 POST"]
    assert value("GROK_EVAL('%{IP:ip} %{WORD:method}(?: %{INT:code})?', strings)", strings=strings) == (
        "╔═════════╤══════════╤═════════╗\n"
        "║ code    │ ip       │ method  ║\n"
        "╠═════════╪══════════╪═════════╣\n"
        "║ 200     │ 10.0.0.1 │ GET     ║\n"
        "╟─────────┼──────────┼─────────╢\n"
        "║ MISSING │ MISSING  │ MISSING ║\n"
        "╟─────────┼──────────┼─────────╢\n"
        "║ MISSING │ MISSING  │ MISSING ║\n"
        "╟─────────┼──────────┼─────────╢\n"
        "║ MISSING │ 10.0.0.2 │ POST    ║\n"
        "╚═════════╧══════════╧═════════╝\n"
    )


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("%{NO_SUCH}", "the pattern NO_SUCH is not defined"),
        ("(", "invalid pattern (: unclosed ( at character 2"),
        ("%{INT:a-b}", "invalid reference %{INT:a-b} at character 1: expected %{PATTERN} or %{PATTERN:field}"),
    ],
)
def test_an_invalid_grok_pattern_is_logged_and_returns_null(
    pattern: str, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert value("GROK_EVAL(pattern, 'a')", pattern=pattern) is None
    assert message in caplog.text


@pytest.mark.parametrize("data", [5, True, {"a": "b"}, None])
def test_grok_eval_of_other_types_is_null(data: object) -> None:
    assert value("GROK_EVAL('%{WORD}', data)", data=data) is None


def test_an_empty_list_does_not_match() -> None:
    assert value("GROK_EVAL('%{WORD}', [])") == "NO MATCH"


def test_a_pattern_that_takes_too_long_is_rejected() -> None:
    with pytest.raises(stellar.EvaluationError, match="took longer than 1000 ms; simplify the pattern"):
        value("GROK_EVAL('(?:(?:a|aa)+)+$', text)", text="a" * 5000 + "!")


@pytest.mark.parametrize(
    ("string", "pattern"),
    [
        (
            "1571163620.277    192 127.0.0.1 TCP_MISS/301 366 GET http://yahoo.com/ - DIRECT/72.30.35.10 text/html",
            r"%{NUMBER}\s+%{INT} %{IP} %{WORD}/%{INT} %{INT} %{WORD} %{URI} - %{WORD}/%{IP} %{WORD}/%{WORD}",
        ),
        (
            "Oct  9 13:42:11 host sshd[123]: ERROR for a@b.org",
            r"%{SYSLOGTIMESTAMP} %{WORD} %{WORD}\[%{INT}\]: %{WORD} %{WORD} %{EMAILADDRESS}",
        ),
        ('[15/Oct/2019:18:20:20 +0000] "GET /x" -5', r"\[%{HTTPDATE}\] %{QUOTEDSTRING} %{INT}"),
        ("00:1a:2B:3c:4d:5e = 785d4a61-1b87-457e-9cab-4d4f85659df9", "%{MAC} = %{UUID}"),
        ("(a+b)*c 100%", r"\(%{WORD}\+%{WORD}\)\*%{WORD} %{INT}%"),
        ("\t\n x", r"\s+%{WORD}"),
        ("été", "été"),
    ],
)
def test_a_pattern_is_proposed_from_known_patterns(string: str, pattern: str) -> None:
    assert value("GROK_PREDICT(string)", string=string) == pattern


@pytest.mark.parametrize(
    "string",
    [
        "%{WORD} {x} $5 ^a|b\\d [c] f(x)?",
        "a.b.c::1 1.2.3.4.5 - -- +5-3",
        "\"open 'quotes` \\",
        "http://[::1]:8080/a?b=c#d, ftp://x; C:\\Windows\\x.exe",
        "2019-10-15 18:20:20,277 15.10.2019 25:61",
        "ünï cödé 漢字 x1 😀",
        "-=" * 1000,
    ],
)
def test_a_proposed_pattern_matches_its_string(string: str) -> None:
    pattern = value("GROK_PREDICT(string)", string=string)
    table = value("GROK_EVAL(JOIN(['(?<all>^', pattern, '$)'], ''), string)", string=string, pattern=pattern)
    assert table not in (None, "NO MATCH")


def test_a_string_that_is_too_long_is_rejected() -> None:
    with pytest.raises(stellar.EvaluationError, match="GROK_PREDICT expected a string of at most 65536 characters"):
        value("GROK_PREDICT(text)", text="a" * (LONGEST_STRING + 1))
