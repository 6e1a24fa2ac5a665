"""Levels of a log4j.properties set those of Python's loggers; other settings are reported as ignored."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest

from stellar.java.log4j import LEVELS, configure

APPENDER = "log4j.appender.console=org.apache.log4j.ConsoleAppender\n"


@pytest.fixture(autouse=True)
def restore_logging():
    """Restore the loggers that a test changes."""
    names = ("", "stellar", "stellar.maas", "maas_runtime", "maas", "httpx", "org.apache.hadoop")
    loggers = [logging.getLogger(name) for name in names]
    before = [(logger.level, list(logger.handlers)) for logger in loggers]
    yield
    for logger, (level, handlers) in zip(loggers, before, strict=True):
        logger.setLevel(level)
        logger.handlers[:] = handlers


@pytest.fixture
def write(tmp_path: Path):
    def write_file(source: str) -> Path:
        path = tmp_path / "log4j.properties"
        path.write_text(source, encoding="utf-8")
        return path

    return write_file


@pytest.mark.parametrize("name", LEVELS)
def test_the_root_logger_has_the_level_of_the_file(write, name):
    assert configure(write(f"log4j.rootLogger={name.lower()}, console\n")) == []
    root = logging.getLogger()
    assert root.level == LEVELS[name]
    assert root.isEnabledFor(logging.CRITICAL) == (name != "OFF")
    assert root.isEnabledFor(1) == (name == "ALL")


def test_packages_of_metron_are_mapped_to_our_loggers(write):
    configure(
        write(
            "log4j.logger.org.apache.metron.stellar=ERROR\n"
            "log4j.category.org.apache.metron.maas=DEBUG\n"
            "log4j.logger.org.apache.hadoop=FATAL\n"
        )
    )
    assert logging.getLogger("stellar").level == logging.ERROR
    for name in ("stellar.maas", "maas_runtime", "maas"):
        assert logging.getLogger(name).level == logging.DEBUG
    assert logging.getLogger("org.apache.hadoop").level == logging.CRITICAL


def test_a_level_can_be_inherited_or_left_out(write):
    logging.getLogger("httpx").setLevel(logging.ERROR)
    logging.getLogger("stellar").setLevel(logging.ERROR)
    configure(write("log4j.logger.httpx=INHERITED\nlog4j.logger.stellar=, console\n"))
    assert logging.getLogger("httpx").level == logging.NOTSET
    assert logging.getLogger("stellar").level == logging.ERROR


def test_records_are_written_to_standard_error(write, capsys):
    logging.getLogger().handlers[:] = []
    configure(write("log4j.rootLogger=INFO"))
    logging.getLogger("stellar.maas.client").info("loading %s", "dga")
    logging.getLogger("stellar.maas.client").debug("not written")
    assert capsys.readouterr() == ("", "INFO stellar.maas.client: loading dga\n")


def test_other_settings_are_reported_as_ignored(write):
    path = write(f"log4j.rootLogger=INFO, console\n{APPENDER}log4j.additivity.stellar=false\n")
    assert configure(path) == [f"{path}: ignored lines 2, 3: only levels of loggers are supported"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("log4j.rootLogger=LOUD", ":1: unknown level LOUD; known are ALL, DEBUG"),
        ("# a comment\nlog4j.rootLogger=WARNING", ":2: unknown level WARNING; did you mean WARN?"),
        ("log4j.rootLogger=INHERITED", ":1: unknown level INHERITED"),
        ("", " sets no log4j.rootLogger and no log4j.logger.NAME"),
        ("<Configuration>\n</Configuration>", " sets no log4j.rootLogger and no log4j.logger.NAME"),
        ("log4j.logger.=INFO", " sets no log4j.rootLogger and no log4j.logger.NAME"),
    ],
)
def test_an_invalid_file_is_an_error_and_changes_nothing(write, source, message):
    path = write(source)
    level = logging.getLogger().level
    with pytest.raises(ValueError, match=re.escape(f"{path}{message}")):
        configure(path)
    assert logging.getLogger().level == level


def test_no_level_is_set_if_a_later_one_is_unknown(write):
    level = logging.getLogger().level
    with pytest.raises(ValueError, match="unknown level"):
        configure(write("log4j.rootLogger=DEBUG\nlog4j.logger.stellar=LOUD\n"))
    assert logging.getLogger().level == level


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        configure(tmp_path / "missing")
