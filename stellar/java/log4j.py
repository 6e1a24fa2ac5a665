"""Log levels from a log4j.properties file, applied to Python's logging."""

from __future__ import annotations

import logging
from pathlib import Path

from stellar.java.properties import Property, read_entries
from stellar.util.suggestions import suggest_name

LEVELS = {
    "ALL": 1,
    "TRACE": 5,
    "DEBUG": logging.DEBUG,
    "INFO": logging.INFO,
    "WARN": logging.WARNING,
    "ERROR": logging.ERROR,
    "FATAL": logging.CRITICAL,
    "OFF": logging.CRITICAL + 10,
}
# Our loggers that correspond to Metron's packages
LOGGERS = {
    "org.apache.metron": ("stellar", "maas_runtime", "maas"),
    "org.apache.metron.stellar": ("stellar",),
    "org.apache.metron.maas": ("stellar.maas", "maas_runtime", "maas"),
}


def configure(path: Path) -> list[str]:
    """Set the levels of the root logger and of named loggers; return a warning about ignored lines, if any.

    Appenders, layouts and all other settings are ignored: logs go to standard error unless handlers are installed.
    Raise OSError if the file can't be read, and ValueError, with file and line, for an unknown level or if the file
    sets no level. In both cases no level is changed.
    """
    levels: dict[str, int] = {}
    ignored: list[str] = []
    for entry in read_entries(path):
        if (name := _logger_name(entry.key)) is None:
            ignored.append(str(entry.line))
        elif (level := _level(path, entry)) is not None:
            levels.update(dict.fromkeys(LOGGERS.get(name, (name,)), level))
    if not levels:
        raise ValueError(f"{path} sets no log4j.rootLogger and no log4j.logger.NAME; is it a log4j.properties?")
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    return [f"{path}: ignored lines {', '.join(ignored)}: only levels of loggers are supported"] if ignored else []


def _logger_name(key: str) -> str | None:
    """Return the name of the logger that a key configures, '' for the root logger, None for other keys."""
    if key in ("log4j.rootLogger", "log4j.rootCategory"):
        return ""
    prefix = next((prefix for prefix in ("log4j.logger.", "log4j.category.") if key.startswith(prefix)), None)
    return None if prefix is None else key.removeprefix(prefix) or None


def _level(path: Path, entry: Property) -> int | None:
    """Return the level of `LEVEL, APPENDER, …`; None if the level is left out."""
    name = entry.value.partition(",")[0].strip()
    if name.upper() in ("INHERITED", "NULL") and _logger_name(entry.key):
        return logging.NOTSET
    if name and name.upper() not in LEVELS:
        raise ValueError(f"{path}:{entry.line}: unknown level {name}; {suggest_name(name, LEVELS)}")
    return LEVELS[name.upper()] if name else None
