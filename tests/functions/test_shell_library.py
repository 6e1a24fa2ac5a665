"""The functions that only the shell has: files, the environment, system properties, Grok and tables."""

from __future__ import annotations

import logging
import os
import pickle
from pathlib import Path
from typing import Any

import pytest

import stellar
from stellar.functions import LIBRARY, SHELL_FAMILIES, SHELL_LIBRARY
from stellar.functions.grok import LONGEST_TEXT
from stellar.functions.system import SystemProperties
from stellar.language.context import NOTHING, Context
from stellar.tooling import spec_lines as examples
from stellar.util.text_tables import text_table


def value(expression: str, context: Context = NOTHING, **record: Any) -> Any:
    return stellar.evaluate(expression, record, context, library=SHELL_LIBRARY)


NAMES = [name for names in SHELL_FAMILIES.values() for name in names.split()]


@pytest.mark.parametrize("name", NAMES)
def test_the_examples_of_the_shells_functions_hold(name: str, in_a_shell: Context) -> None:
    function = SHELL_LIBRARY[name]
    paragraphs = examples.read(function.help.examples)
    failures = [wrong for paragraph in paragraphs for wrong in examples.failures(paragraph, SHELL_LIBRARY, in_a_shell)]
    assert failures == []
    assert sum(len(paragraph.lines) for paragraph in paragraphs) >= 3


@pytest.mark.parametrize("name", NAMES)
def test_an_expression_that_anybody_may_write_has_none_of_them(name: str) -> None:
    assert name not in LIBRARY
    with pytest.raises(stellar.ResolutionError, match=f"unknown function {name}"):
        stellar.compile(f"{name}('a')")


def test_an_expression_with_the_shells_functions_can_be_pickled() -> None:
    expression = stellar.compile("SYSTEM_ENV_GET('NO_SUCH_VARIABLE') == null", library=SHELL_LIBRARY)
    assert pickle.loads(pickle.dumps(expression))({}) is True


@pytest.mark.parametrize(
    "values",
    [[], [None], [1], ["a\0b"], [""], ["\ud800"], [[]], [{}], [b"x"], ["a", "\ud800"], ["x", None], ["x", [1]]],
)
@pytest.mark.parametrize("name", NAMES)
def test_whatever_they_are_given_they_answer_or_refuse(
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


def test_what_is_written_can_be_read(tmp_path: Path) -> None:
    path = str(tmp_path / "new" / "folder" / "file")
    assert value("LOCAL_WRITE('é\\r\\nb', path)", path=path) is True
    assert Path(path).read_bytes() == "é\r\nb".encode()
    assert value("LOCAL_READ(path)", path=path) == "é\r\nb"
    assert value("LOCAL_WRITE('', path)", path=path) is True
    assert value("LOCAL_READ(path)", path=path) == ""
    assert value("LOCAL_READ_LINES(path)", path=path) == []


def test_lines_end_as_in_java(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"a\nb\r\nc\rd\x0be\xe2\x80\xa8f\n\n\xff")
    assert value("LOCAL_READ_LINES(path)", path=str(tmp_path / "file")) == [
        "a",
        "b",
        "c",
        "d\x0be\u2028f",
        "",
        "\ufffd",
    ]


def test_a_path_that_is_relative_begins_at_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert value("LOCAL_WRITE('a', 'file')") is True
    assert (tmp_path / "file").read_text() == "a"


@pytest.mark.parametrize(
    ("expression", "otherwise"),
    [
        ("LOCAL_READ(path)", None),
        ("LOCAL_READ_LINES(path)", None),
        ("LOCAL_WRITE('a', path)", False),
        ("LOCAL_RM(path)", False),
    ],
)
def test_what_goes_wrong_with_a_file_is_logged(
    expression: str, otherwise: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    for path in (str(tmp_path / "full"), "", "a\0b", "x" * 5000):
        caplog.clear()
        assert value(expression, path=path) is otherwise
        (logged,) = caplog.records
        assert logged.levelno == logging.WARNING
        assert logged.getMessage().startswith(f"{expression.partition('(')[0]}({path!r}): ")
    assert (tmp_path / "full" / "file").exists()


def test_a_text_that_can_not_be_written_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("before")
    assert value("LOCAL_WRITE(a, path)", a="\ud800", path=str(tmp_path / "file")) is False
    assert (tmp_path / "file").read_text() == "before"


def test_a_directory_is_removed_with_what_is_in_it_only_where_that_is_said(tmp_path: Path) -> None:
    path = str(tmp_path / "folder")
    for call in ("LOCAL_RM(path)", "LOCAL_RM(path, true)", "LOCAL_RM(path, 'yes')"):
        Path(path).mkdir()
        assert value(call, path=path) is True
        assert not Path(path).exists()
    Path(path, "deep").mkdir(parents=True)
    assert [value(f"LOCAL_RM(path, {deep})", path=path) for deep in ("false", "'no'", "0")] == [False] * 3
    assert value("LOCAL_RM(path, true)", path=path) is True
    assert not Path(path).exists()
    with pytest.raises(stellar.EvaluationError, match="LOCAL_RM takes true or false as recursive, not null"):
        value("LOCAL_RM(path, null)", path=path)


@pytest.mark.parametrize("deep", ["true", "false"])
def test_of_a_link_only_the_link_is_removed(deep: str, tmp_path: Path) -> None:
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
    listed = value("LOCAL_LS(path)", path=str(tmp_path / "one"))
    assert listed.count("\n") == 5
    assert "│ one" in listed


def test_the_home_of_the_user_is_listed_where_nothing_is_named() -> None:
    assert value("LOCAL_LS()") == value("LOCAL_LS(home)", home=os.path.expanduser("~"))


# -- The system -------------------------------------------------------------------------------------------------------


def test_variables_of_the_environment_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STELLAR_TEST", "é x")
    assert value("SYSTEM_ENV_GET('STELLAR_TEST')") == "é x"
    monkeypatch.delenv("STELLAR_TEST")
    assert value("SYSTEM_ENV_GET('STELLAR_TEST')") is None


def test_system_properties_are_what_python_knows_and_what_a_program_sets(
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


def test_a_property_that_can_not_be_told_is_null(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert value("SYSTEM_PROPERTY_GET('user.dir')") is None


@pytest.mark.parametrize("name", SHELL_LIBRARY["SYSTEM_PROPERTY_GET"].help.summary.split("`")[1::2])
def test_every_property_that_the_help_names_has_a_value(name: str) -> None:
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
def test_a_map_is_drawn_as_metron_draws_it(expression: str, table: str | None) -> None:
    assert value(expression) == table


def test_nulls_and_nested_values_of_a_map_are_drawn_as_texts() -> None:
    drawn = value("SHELL_MAP2TABLE(map)", map={None: None, "list": [1.0, True], 5: {"a": None}})
    assert "║ null │ null        ║\n" in drawn
    assert "║ list │ [1.0, true] ║\n" in drawn
    assert "║ 5    │ {a=null}    ║\n" in drawn


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


def test_captures_are_drawn_with_a_row_for_each_text() -> None:
    texts = ["10.0.0.1 GET 200", "nothing", None, "10.0.0.2 POST"]
    assert value("GROK_EVAL('%{IP:ip} %{WORD:method}(?: %{INT:code:int})?', texts)", texts=texts) == (
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
    ("pattern", "complaint"),
    [
        ("%{NO_SUCH}", "the pattern NO_SUCH, which pattern uses, is not defined"),
        ("%{pattern}", "the pattern pattern holds itself: pattern → pattern"),
        ("(", "the pattern pattern is no regular expression: missing )"),
        ("%{INT:a:number}", "the pattern pattern wants a as 'number', which is no type"),
    ],
)
def test_a_pattern_that_can_not_be_used_is_logged_and_gives_null(
    pattern: str, complaint: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert value("GROK_EVAL(pattern, 'a')", pattern=pattern) is None
    assert complaint in caplog.text


@pytest.mark.parametrize("data", [5, True, {"a": "b"}, None])
def test_grok_takes_texts_alone(data: object) -> None:
    assert value("GROK_EVAL('%{WORD}', data)", data=data) is None


def test_a_list_without_texts_matches_nothing() -> None:
    assert value("GROK_EVAL('%{WORD}', [])") == "NO MATCH"


def test_a_pattern_that_runs_away_is_refused() -> None:
    with pytest.raises(stellar.EvaluationError, match="the pattern pattern took longer than 1000 ms; make it simpler"):
        value("GROK_EVAL('(?:(?:a|aa)+)+$', text)", text="a" * 5000 + "!")


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        (
            "1571163620.277    192 127.0.0.1 TCP_MISS/301 366 GET http://yahoo.com/ - DIRECT/72.30.35.10 text/html",
            r"%{NUMBER}\s+%{INT} %{IP} %{WORD}/%{INT} %{INT} %{WORD} %{URI} - %{WORD}/%{IP} %{WORD}/%{WORD}",
        ),
        (
            "Oct  9 13:42:11 host sshd[123]: ERROR for a@b.org",
            r"%{SYSLOGTIMESTAMP} %{WORD} %{WORD}\[%{INT}\]: %{LOGLEVEL} %{WORD} %{EMAILADDRESS}",
        ),
        ('[15/Oct/2019:18:20:20 +0000] "GET /x" -5', r"\[%{HTTPDATE}\] %{QUOTEDSTRING} %{INT}"),
        ("00:1a:2B:3c:4d:5e = 785d4a61-1b87-457e-9cab-4d4f85659df9", "%{MAC} = %{UUID}"),
        ("(a+b)*c 100%", r"\(%{WORD}\+%{WORD}\)\*%{WORD} %{INT}%"),
        ("\t\n x", r"\s+%{WORD}"),
        ("été", "été"),
    ],
)
def test_a_pattern_is_proposed_of_known_ones(text: str, pattern: str) -> None:
    assert value("GROK_PREDICT(text)", text=text) == pattern


@pytest.mark.parametrize(
    "text",
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
def test_a_proposed_pattern_fits_its_text(text: str) -> None:
    proposed = value("GROK_PREDICT(text)", text=text)
    drawn = value("GROK_EVAL(JOIN(['(?<all>^', pattern, '$)'], ''), text)", text=text, pattern=proposed)
    assert drawn not in (None, "NO MATCH")


def test_a_text_that_is_too_long_is_refused() -> None:
    with pytest.raises(stellar.EvaluationError, match="GROK_PREDICT takes a text of 65536 characters at most"):
        value("GROK_PREDICT(text)", text="a" * (LONGEST_TEXT + 1))
