"""A log4j.properties sets up Python's logging: levels, appenders, patterns; and what it asks in vain is told."""

from __future__ import annotations

import logging
import re
import threading
from pathlib import Path

import pytest

from stellar.java.log4j import LEVELS, Pattern, _Placed, configure

CONSOLE = "log4j.appender.console=org.apache.log4j.ConsoleAppender\n"


@pytest.fixture(autouse=True)
def logging_as_before():
    """Puts the loggers back that a test changes."""
    names = ("", "stellar", "stellar.maas", "maas_runtime", "maas", "httpx", "org.apache.hadoop")
    loggers = [logging.getLogger(name) for name in names]
    before = [(logger.level, logger.propagate, list(logger.handlers)) for logger in loggers]
    yield
    for logger, (level, propagate, handlers) in zip(loggers, before, strict=True):
        logger.setLevel(level)
        logger.propagate = propagate
        for handler in set(logger.handlers) - set(handlers):
            logger.removeHandler(handler)
            handler.close()


@pytest.fixture
def written(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / "log4j.properties"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_the_root_logger_writes_to_standard_error(written, capsys):
    configure(
        written(
            "log4j.rootLogger=INFO, console\n"
            f"{CONSOLE}"
            "log4j.appender.console.Target=System.out\n"
            "log4j.appender.console.layout=org.apache.log4j.PatternLayout\n"
            "log4j.appender.console.layout.ConversionPattern=%-5p [%c{1}] %m%n\n"
        )
    )
    logging.getLogger("stellar.maas.client").info("asked %s", "dga")
    logging.getLogger("stellar.maas.client").debug("no word of this")
    logging.getLogger("stellar").warning("careful")
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err == "INFO  [client] asked dga\nWARN  [stellar] careful\n"


@pytest.mark.parametrize("name", LEVELS)
def test_each_level_lets_through_what_is_as_grave(written, name):
    configure(written(f"log4j.rootLogger={name.lower()}"))
    root = logging.getLogger()
    assert root.level == LEVELS[name]
    assert root.isEnabledFor(logging.CRITICAL) == (name != "OFF")
    assert root.isEnabledFor(1) == (name == "ALL")


def test_metrons_packages_are_loggers_here(written):
    configure(
        written(
            "log4j.logger.org.apache.metron.stellar=ERROR\n"
            "log4j.category.org.apache.metron.maas=DEBUG\n"
            "log4j.logger.org.apache.hadoop=FATAL\n"
        )
    )
    assert logging.getLogger("stellar").level == logging.ERROR
    for name in ("stellar.maas", "maas_runtime", "maas"):
        assert logging.getLogger(name).level == logging.DEBUG
    assert logging.getLogger("org.apache.hadoop").level == logging.CRITICAL


def test_levels_are_inherited_where_the_file_says_so(written):
    logging.getLogger("httpx").setLevel(logging.ERROR)
    configure(written("log4j.logger.httpx=INHERITED\nlog4j.logger.stellar=, console\n" + CONSOLE))
    assert logging.getLogger("httpx").level == logging.NOTSET
    assert len(logging.getLogger("stellar").handlers) == 1


def test_a_logger_may_keep_to_itself(written, capsys):
    configure(
        written(
            "log4j.rootCategory=INFO, console\nlog4j.logger.stellar=INFO, own\nlog4j.additivity.stellar=false\n"
            f"{CONSOLE}log4j.appender.own=org.apache.log4j.ConsoleAppender\n"
            "log4j.appender.own.layout.ConversionPattern=own %m%n\n"
        )
    )
    logging.getLogger("stellar").info("mine")
    logging.getLogger("httpx").info("theirs")
    assert capsys.readouterr().err == "own mine\nINFO - theirs\n"


def test_an_appender_has_a_threshold_of_its_own(written, capsys):
    configure(written(f"log4j.rootLogger=DEBUG, console\n{CONSOLE}log4j.appender.console.threshold=WARN"))
    logging.getLogger().info("little")
    logging.getLogger().warning("much")
    assert capsys.readouterr().err == "WARN - much\n"


def test_an_exception_is_shown_behind_its_line(written, capsys):
    configure(written(f"log4j.rootLogger=INFO, console\n{CONSOLE}"))
    try:
        raise KeyError("gone")
    except KeyError:
        logging.getLogger().exception("failed")
    lines = capsys.readouterr().err.splitlines()
    assert (lines[0], lines[1], lines[-1]) == (
        "ERROR - failed",
        "Traceback (most recent call last):",
        "KeyError: 'gone'",
    )


# -- Files ------------------------------------------------------------------------------------------------------------


def test_a_file_is_written_in_a_folder_that_is_made(written, tmp_path, monkeypatch):
    monkeypatch.setenv("LOGS", str(tmp_path / "logs"))
    configure(
        written(
            "folder=${LOGS}/today\n"
            "log4j.rootLogger=INFO, file\n"
            "log4j.appender.file=org.apache.log4j.FileAppender\n"
            "log4j.appender.file.File=${folder}/stellar.log\n"
        )
    )
    logging.getLogger().info("né")
    assert (tmp_path / "logs/today/stellar.log").read_text(encoding="utf-8") == "INFO - né\n"


@pytest.mark.parametrize(("append", "kept"), [("true", "before\n"), ("false", "")])
def test_a_file_is_appended_to_or_begun_anew(written, tmp_path, append, kept):
    log = tmp_path / "stellar.log"
    log.write_text("before\n", encoding="utf-8")
    configure(
        written(
            "log4j.rootLogger=INFO, file\nlog4j.appender.file=org.apache.log4j.FileAppender\n"
            f"log4j.appender.file.file={log}\nlog4j.appender.file.Append={append}\n"
        )
    )
    logging.getLogger().info("after")
    assert log.read_text(encoding="utf-8") == f"{kept}INFO - after\n"


def test_files_roll_at_their_size(written, tmp_path):
    log = tmp_path / "stellar.log"
    configure(
        written(
            "log4j.rootLogger=INFO, R\nlog4j.appender.R=org.apache.log4j.RollingFileAppender\n"
            f"log4j.appender.R.File={log}\nlog4j.appender.R.MaxFileSize=1KB\nlog4j.appender.R.MaxBackupIndex=2\n"
        )
    )
    for _ in range(100):
        logging.getLogger().info("x" * 90)
    sizes = {path.name: path.stat().st_size for path in tmp_path.glob("stellar.log*")}
    assert sorted(sizes) == ["stellar.log", "stellar.log.1", "stellar.log.2"]
    assert max(sizes.values()) <= 1024


def test_a_null_appender_writes_nothing(written, capsys):
    configure(written("log4j.rootLogger=INFO, none\nlog4j.appender.none=org.apache.log4j.varia.NullAppender\n"))
    logging.getLogger().error("gone")
    assert capsys.readouterr().err == ""


# -- Patterns ---------------------------------------------------------------------------------------------------------

PATTERNS = [
    ("%m%n", "a 1\n"),
    ("%p|%-6p|%6p|%.2p|%-6.3p|", "WARN|WARN  |  WARN|RN|ARN   |"),
    ("%c %c{1} %c{2} %c{9}", "stellar.maas.client client maas.client stellar.maas.client"),
    ("%5.10c", "aas.client"),
    ("%%%m%%", "%a 1%"),
    ("[%x][%X{user}]", "[][]"),
    ("%F:%L %M", "client.py:12 ask"),
    ("%d{yyyy-MM-dd HH:mm:ss,SSS}", "2023-11-14 22:13:20,123"),
    ("%d", "2023-11-14 22:13:20,123"),
    ("%d{ISO8601}", "2023-11-14 22:13:20,123"),
    ("%d{ABSOLUTE}", "22:13:20,123"),
    ("%d{date}", "14 Nov 2023 22:13:20,123"),
    ("%d{yyyy-MM-dd'T'HH:mm:ss.SSSZ}", "2023-11-14T22:13:20.123+0000"),
    ("%d{EEE, HH 'o''clock'}", "Tue, 22 o'clock"),
    ("%d{'it''s' yy DDD hh a}", "it's 23 318 10 PM"),
    ("%d{''HH''}", "'22'"),
    ("%12d{ABSOLUTE}|%-14d{ABSOLUTE}|", "22:13:20,123|22:13:20,123  |"),
]  # fmt: skip


def record() -> logging.LogRecord:
    made = logging.LogRecord("stellar.maas.client", logging.WARNING, "/a/client.py", 12, "a %d", (1,), None, "ask")
    made.created = 1_700_000_000.123
    return made


@pytest.fixture
def in_utc(monkeypatch):
    import time

    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("in_utc")
@pytest.mark.parametrize(("pattern", "text"), PATTERNS)
def test_a_record_is_formatted_as_the_pattern_says(pattern, text):
    assert Pattern(_Placed(pattern, "file:1")).format(record()) == text


def test_a_pattern_shows_the_thread_and_the_time_since_the_start():
    text = Pattern(_Placed("%r [%t]", "file:1")).format(record())
    assert re.fullmatch(rf"-?\d+ \[{threading.current_thread().name}\]", text)


@pytest.mark.parametrize(
    ("number", "name"), [(5, "TRACE"), (10, "DEBUG"), (25, "INFO"), (30, "WARN"), (40, "ERROR"), (55, "FATAL")]
)
def test_levels_have_the_names_of_log4j(number, name):
    made = record()
    made.levelno = number
    assert Pattern(_Placed("%p", "file:1")).format(made) == name


def test_layouts_without_a_pattern_have_one(written, capsys):
    configure(
        written(f"log4j.rootLogger=INFO, console\n{CONSOLE}log4j.appender.console.layout=org.apache.log4j.TTCCLayout")
    )
    logging.getLogger("httpx").info("said")
    assert re.fullmatch(r"\d+ \[MainThread\] INFO httpx  - said\n", capsys.readouterr().err)


# -- What can't be done -----------------------------------------------------------------------------------------------

ROOT = f"log4j.rootLogger=INFO, console\n{CONSOLE}"
REFUSED = [
    # Lines, which of them is to blame, and why
    ("log4j.rootLogger=LOUD", 1, "there is no level LOUD; known are ALL, DEBUG"),
    ("log4j.rootLogger=WARNING", 1, "there is no level WARNING; did you mean WARN?"),
    ("log4j.rootLogger=INHERITED", 1, "there is no level INHERITED"),
    ("# a comment\nlog4j.rootLogger=INFO, gone", 2, "an appender is named that there is not; add log4j.appender.NAME"),
    ("log4j.rootLogger=INFO\nlog4j.threshold=INFO", 2, "log4j.threshold is not known here; known are log4j.rootLogger"),
    ("log4j.rootLogger.x=INFO", 1, "log4j.rootLogger.x is not known here"),
    ("log4j.rootLogger=INFO\nlog4j.additivity.stellar=no", 2, "this is true or false, not no"),
    ("log4j.rootLogger=INFO, a\nlog4j.appender.a=SocketAppender", 2, "there is no appender SocketAppender; known are"),
    ("log4j.rootLogger=INFO, a\nlog4j.appender.a=org.apache.log4j.ConsolAppender", 2, "there is no appender org.apache"
     ".log4j.ConsolAppender; did you mean org.apache.log4j.ConsoleAppender?"),
    ("log4j.appender.a.Target=System.err\nlog4j.rootLogger=INFO, a", 1, "the appender has no class; add"),
    (f"{ROOT}log4j.appender.console.Target=out", 3, "the target is System.err or System.out, not out"),
    (f"{ROOT}log4j.appender.console.File=x", 3, "the option file is not known for this appender; take the line out"),
    (f"{ROOT}log4j.appender.console.Threshold=much", 3, "there is no level much"),
    (f"{ROOT}log4j.appender.console.layout=Nice", 3, "there is no layout Nice; known are"),
    (f"{ROOT}log4j.appender.console.layout=org.apache.log4j.SimpleLayout\n"
     "log4j.appender.console.layout.ConversionPattern=%m", 4, "org.apache.log4j.SimpleLayout has no pattern"),
    (f"{ROOT}log4j.appender.console.layout.ConversionPattern=%q", 3, "the conversion %q is not known; known are %c"),
    (f"{ROOT}log4j.appender.console.layout.ConversionPattern=100%", 3, "behind % stands a letter, such as in %m"),
    (f"{ROOT}log4j.appender.console.layout.ConversionPattern=%m{{1}}", 3, "this conversion takes no {1}"),
    (f"{ROOT}log4j.appender.console.layout.ConversionPattern=%c{{x}}", 3, "this is a whole number, not x"),
    (f"{ROOT}log4j.appender.console.layout.ConversionPattern=%c{{0}}", 3, "at least one part of a name is shown"),
    (f"{ROOT}log4j.appender.console.layout.ConversionPattern=%d{{QQ}}", 3, "QQ in a date is not known; known are yyyy"),
    ("log4j.rootLogger=INFO, a\nlog4j.appender.a=org.apache.log4j.FileAppender", 2, "the appender has no file; add"),
    ("log4j.rootLogger=INFO, a\nlog4j.appender.a=org.apache.log4j.RollingFileAppender\nlog4j.appender.a.File=/x\n"
     "log4j.appender.a.MaxFileSize=much", 4, "a size is written 10MB, 512KB or in bytes, not much"),
    ("log4j.rootLogger=INFO, a\nlog4j.appender.a=org.apache.log4j.RollingFileAppender\nlog4j.appender.a.File=/x\n"
     "log4j.appender.a.MaxBackupIndex=-1", 4, "this is a whole number, not -1"),
    ("log4j.rootLogger=${nothing.says}", 1, "nothing says what ${nothing.says} is; add a line nothing.says=…"),
    ("a=${b}\nb=${a}\nlog4j.rootLogger=${a}", 2, "nothing says what ${a} is"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "complaint"), REFUSED)
def test_what_cannot_be_done_is_told_with_its_place(written, text, line, complaint):
    path = written(text)
    before = list(logging.getLogger().handlers)
    with pytest.raises(ValueError, match=re.escape(f"{path}:{line}: {complaint}")):
        configure(path)
    assert logging.getLogger().handlers == before


@pytest.mark.parametrize("text", ["", "# log4j\n", "<Configuration>\n</Configuration>", "stellar.x=1"])
def test_a_file_of_something_else_is_told(written, text):
    path = written(text)
    with pytest.raises(ValueError, match=re.escape(f"{path} sets no log4j.rootLogger and no log4j.logger.NAME")):
        configure(path)


def test_if_one_file_cannot_be_opened_none_is(written, tmp_path):
    path = written(
        "log4j.rootLogger=INFO, a, b\nlog4j.appender.a=org.apache.log4j.FileAppender\n"
        f"log4j.appender.a.File={tmp_path}/a.log\nlog4j.appender.b=org.apache.log4j.FileAppender\n"
        f"log4j.appender.b.File={tmp_path}\n"
    )
    before = list(logging.getLogger().handlers)
    with pytest.raises(IsADirectoryError):
        configure(path)
    assert logging.getLogger().handlers == before


def test_a_file_that_is_not_there_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        configure(tmp_path / "missing")
