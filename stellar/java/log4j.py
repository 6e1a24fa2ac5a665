"""What is logged where, as a log4j.properties of Metron says it, by Python's logging.

What there is of log4j: levels of the root logger and of others, appenders to the terminal and to files, and patterns.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, NamedTuple

from stellar.java.properties import entries
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
# Where that is logged which Metron's packages log in Metron
LOGGERS = {
    "org.apache.metron": ("stellar", "maas_runtime", "maas"),
    "org.apache.metron.stellar": ("stellar",),
    "org.apache.metron.maas": ("stellar.maas", "maas_runtime", "maas"),
}


def configure(path: Path) -> None:
    """Log from now on as a file says, beside what is logged already.

    A ConsoleAppender writes to standard error, also where its Target is System.out: that is where values are printed.
    Raises ValueError, with the file and the line, if the file asks for something that there is not; OSError if it, or
    a file to write to, can't be opened. Then all is as it was.
    """
    file = _read(path)
    used = dict.fromkeys(name for logger in file.loggers.values() for name in logger.appenders)
    planned = {name: _planned(file.appenders[name]) for name in used}
    handlers = _all_opened(planned)
    for java_name, logger in file.loggers.items():
        for name in LOGGERS.get(java_name, (java_name,)):
            logger.apply(logging.getLogger(name), handlers)


Opened = Callable[[], logging.Handler]


def _all_opened(planned: Mapping[str, Opened]) -> dict[str, logging.Handler]:
    """The handlers, or none of them."""
    with ExitStack() as closing:
        handlers = {}
        for name, opened in planned.items():
            handlers[name] = opened()
            closing.callback(handlers[name].close)
        closing.pop_all()
    return handlers


# -- The file ---------------------------------------------------------------------------------------------------------


class _Placed(NamedTuple):
    """A value, and where it stands."""

    text: str
    place: str

    def refusal(self, message: str) -> ValueError:
        return ValueError(f"{self.place}: {message}")


@dataclass(slots=True)
class _Logger:
    """What is said of a logger; None where nothing is."""

    level: int | None = None
    appenders: list[str] = field(default_factory=list)
    additive: bool | None = None

    def apply(self, logger: logging.Logger, handlers: Mapping[str, logging.Handler]) -> None:
        if self.level is not None:
            logger.setLevel(self.level)
        if self.additive is not None:
            logger.propagate = self.additive
        for appender in self.appenders:
            logger.addHandler(handlers[appender])


@dataclass(slots=True)
class _Appender:
    """What is said of an appender: its class, and its options by their names in small letters."""

    kind: _Placed | None = None
    options: dict[str, _Placed] = field(default_factory=dict)


@dataclass(slots=True)
class _File:
    """Loggers and appenders by their names; that of the root logger is empty."""

    loggers: dict[str, _Logger] = field(default_factory=dict)
    appenders: dict[str, _Appender] = field(default_factory=dict)

    def take(self, key: str, value: _Placed) -> None:
        """Follow a line."""
        kind, _, name = key.removeprefix("log4j.").partition(".")
        match kind:
            case "rootLogger" | "rootCategory" if not name:
                self._set_logger("", value)
            case "logger" | "category" if name:
                self._set_logger(name, value)
            case "additivity" if name:
                self._logger(name).additive = _truth(value)
            case "appender" if name:
                name, _, option = name.partition(".")
                appender = self.appenders.setdefault(name, _Appender())
                if option:
                    appender.options[option.lower()] = value
                else:
                    appender.kind = value
            case _:
                raise value.refusal(f"{key} is not known here; known are {', '.join(_KNOWN)}")

    def _logger(self, name: str) -> _Logger:
        return self.loggers.setdefault(name, _Logger())

    def _set_logger(self, name: str, value: _Placed) -> None:
        level, *appenders = (part.strip() for part in value.text.split(","))
        logger = self._logger(name)
        logger.appenders = [appender for appender in appenders if appender]
        if level.upper() in ("INHERITED", "NULL") and name:
            logger.level = logging.NOTSET
        elif level:
            logger.level = _level(_Placed(level, value.place))
        for appender in logger.appenders:
            self.appenders.setdefault(appender, _Appender(_Placed("", value.place)))


_KNOWN = ("log4j.rootLogger", "log4j.logger.NAME", "log4j.additivity.NAME", "log4j.appender.NAME")


def _read(path: Path) -> _File:
    values = {entry.key: _Placed(entry.value.strip(), f"{path}:{entry.line}") for entry in entries(path)}
    file = _File()
    for key, value in values.items():
        if key.startswith("log4j."):
            file.take(key, value._replace(text=_substituted(value, values)))
    if not file.loggers:
        raise ValueError(f"{path} sets no log4j.rootLogger and no log4j.logger.NAME; is it a log4j.properties?")
    return file


_VARIABLE = re.compile(r"\$\{([^}]*)\}")


def _substituted(value: _Placed, values: Mapping[str, _Placed], inside: tuple[str, ...] = ()) -> str:
    """A value in which each ${NAME} is what stands under that name in the file, or in the environment."""

    def found(variable: re.Match[str]) -> str:
        name = variable[1]
        if name in values and name not in inside:
            return _substituted(values[name], values, (*inside, name))
        if (of_environment := os.environ.get(name)) is not None:
            return of_environment
        raise value.refusal(f"nothing says what {variable[0]} is; add a line {name}=…, or set it in the environment")

    return _VARIABLE.sub(found, value.text)


def _level(value: _Placed) -> int:
    if (level := LEVELS.get(value.text.upper())) is None:
        raise value.refusal(f"there is no level {value.text}; {suggest_name(value.text, LEVELS)}")
    return level


def _truth(value: _Placed) -> bool:
    if value.text.lower() not in ("true", "false"):
        raise value.refusal(f"this is true or false, not {value.text or 'nothing'}")
    return value.text.lower() == "true"


def _number(value: _Placed) -> int:
    if not value.text.isdecimal():
        raise value.refusal(f"this is a whole number, not {value.text or 'nothing'}")
    return int(value.text)


_BYTES = {"": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}


def _bytes(value: _Placed) -> int:
    size = re.fullmatch(r"(\d+)\s*(KB|MB|GB|)", value.text, re.IGNORECASE)
    if size is None:
        raise value.refusal(f"a size is written 10MB, 512KB or in bytes, not {value.text or 'as nothing'}")
    return int(size[1]) * _BYTES[size[2].upper()]


# -- Appenders --------------------------------------------------------------------------------------------------------


class _Options:
    """The options of an appender, which are taken one after the other."""

    def __init__(self, appender: _Appender) -> None:
        self._left = dict(appender.options)

    def take(self, name: str) -> _Placed | None:
        return self._left.pop(name.lower(), None)

    def finish(self) -> None:
        """Refuse options that nobody took."""
        for name, value in self._left.items():
            raise value.refusal(f"the option {name} is not known for this appender; take the line out")


def _planned(appender: _Appender) -> Opened:
    """What opens an appender; that all is well with it has been looked at then."""
    kind = appender.kind
    if kind is None:
        first = next(iter(appender.options.values()))
        raise first.refusal("the appender has no class; add log4j.appender.NAME=org.apache.log4j.ConsoleAppender")
    if not kind.text:
        raise kind.refusal("an appender is named that there is not; add log4j.appender.NAME=CLASS")
    if (make := APPENDERS.get(kind.text)) is None:
        raise kind.refusal(f"there is no appender {kind.text}; {suggest_name(kind.text, APPENDERS)}")
    options = _Options(appender)
    threshold = options.take("Threshold")
    formatter = _layout(kind, options)
    opened = make(kind, options)
    options.finish()
    return partial(_opened, opened, formatter, logging.NOTSET if threshold is None else _level(threshold))


def _opened(opened: Opened, formatter: logging.Formatter, level: int) -> logging.Handler:
    handler = opened()
    handler.setFormatter(formatter)
    handler.setLevel(level)
    return handler


def _console(_: _Placed, options: _Options) -> Opened:
    target = options.take("Target")
    if target is not None and target.text not in ("System.err", "System.out"):
        raise target.refusal(f"the target is System.err or System.out, not {target.text}")
    return _ToTerminal


def _file(kind: _Placed, options: _Options) -> Opened:
    append = options.take("Append")
    mode = "a" if append is None or _truth(append) else "w"
    return partial(_in_folder, _ToFile, _path(kind, options), mode=mode)


def _rolling(kind: _Placed, options: _Options) -> Opened:
    size, kept = options.take("MaxFileSize"), options.take("MaxBackupIndex")
    return partial(
        _in_folder,
        _ToFiles,
        _path(kind, options),
        maxBytes=10 << 20 if size is None else _bytes(size),
        backupCount=1 if kept is None else _number(kept),
    )


def _in_folder(make: Callable[..., logging.Handler], path: Path, **options: Any) -> logging.Handler:
    path.parent.mkdir(parents=True, exist_ok=True)
    return make(path, encoding="utf-8", **options)


def _nowhere(_: _Placed, __: _Options) -> Opened:
    return logging.NullHandler


def _path(kind: _Placed, options: _Options) -> Path:
    file = options.take("File")
    if file is None or not file.text:
        raise kind.refusal("the appender has no file; add log4j.appender.NAME.File=PATH")
    return Path(file.text).expanduser()


APPENDERS = {
    "org.apache.log4j.ConsoleAppender": _console,
    "org.apache.log4j.FileAppender": _file,
    "org.apache.log4j.RollingFileAppender": _rolling,
    "org.apache.log4j.varia.NullAppender": _nowhere,
}


# A pattern says itself where a line ends


class _ToTerminal(logging.StreamHandler):  # type: ignore[type-arg]
    terminator = ""


class _ToFile(logging.FileHandler):
    terminator = ""


class _ToFiles(RotatingFileHandler):
    terminator = ""


# -- Layouts ----------------------------------------------------------------------------------------------------------

_PATTERN_LAYOUTS = ("org.apache.log4j.PatternLayout", "org.apache.log4j.EnhancedPatternLayout")
# The patterns that other layouts stand for
LAYOUTS = {
    "org.apache.log4j.SimpleLayout": "%p - %m%n",
    "org.apache.log4j.TTCCLayout": "%r [%t] %p %c %x - %m%n",
    **dict.fromkeys(_PATTERN_LAYOUTS, "%m%n"),
}


def _layout(kind: _Placed, options: _Options) -> logging.Formatter:
    layout, pattern = options.take("layout"), options.take("layout.ConversionPattern")
    if layout is None:
        layout = kind._replace(text="org.apache.log4j.SimpleLayout" if pattern is None else _PATTERN_LAYOUTS[0])
    if layout.text not in LAYOUTS:
        raise layout.refusal(f"there is no layout {layout.text}; {suggest_name(layout.text, LAYOUTS)}")
    if pattern is not None and layout.text not in _PATTERN_LAYOUTS:
        raise pattern.refusal(f"{layout.text} has no pattern; {_PATTERN_LAYOUTS[0]} has")
    return Pattern(layout._replace(text=LAYOUTS[layout.text]) if pattern is None else pattern)


Shown = Callable[[logging.LogRecord], str]


class Pattern(logging.Formatter):
    """Formats a record as a pattern of log4j says; where the record has an exception, its traceback follows."""

    def __init__(self, pattern: _Placed) -> None:
        super().__init__()
        self._parts = list(_parts(pattern))

    def formatMessage(self, record: logging.LogRecord) -> str:
        return "".join(part(record) for part in self._parts)

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return f"{text}\n" if record.exc_info or record.stack_info else text


_CONVERSION = re.compile(
    r"%(?:(?P<left>-)?(?P<least>\d+)?(?:\.(?P<most>\d+))?(?P<kind>[a-zA-Z])(?:\{(?P<option>[^}]*)\})?|(?P<percent>%))"
    r"|(?P<text>[^%]+)|(?P<wrong>%)"
)


def _parts(pattern: _Placed) -> Iterator[Shown]:
    """What makes each part of a pattern of a record."""
    for part in _CONVERSION.finditer(pattern.text):
        if part["wrong"]:
            raise pattern.refusal("behind % stands a letter, such as in %m; a % itself is written %%")
        if part["kind"] is None:
            yield partial(_always, part["text"] or "%")
            continue
        if (make := CONVERSIONS.get(part["kind"])) is None:
            raise pattern.refusal(f"the conversion %{part['kind']} is not known; known are %{' %'.join(CONVERSIONS)}")
        shown = make(pattern._replace(text=part["option"] or ""))
        least, most = int(part["least"] or 0), int(part["most"]) if part["most"] else None
        yield partial(_fitted, shown, -least if part["left"] else least, most) if least or most is not None else shown


def _always(text: str, _: logging.LogRecord) -> str:
    return text


def _fitted(shown: Shown, width: int, most: int | None, record: logging.LogRecord) -> str:
    """A part as wide as it should be. Of one that is too long the end is shown, as log4j does."""
    text = shown(record)
    if most is not None and len(text) > most:
        text = text[len(text) - most :]
    return text.rjust(width) if width >= 0 else text.ljust(-width)


def _of_record(shown: Shown) -> Callable[[_Placed], Shown]:
    """A conversion that has no option."""

    def conversion(option: _Placed) -> Shown:
        if option.text:
            raise option.refusal(f"this conversion takes no {{{option.text}}}")
        return shown

    return conversion


def _level_name(record: logging.LogRecord) -> str:
    return next((name for name, least in _NAMED_LEVELS if record.levelno >= least), "TRACE")


_NAMED_LEVELS = sorted(
    ((name, level) for name, level in LEVELS.items() if name not in ("ALL", "OFF")), key=lambda item: -item[1]
)


def _logger_name(option: _Placed) -> Shown:
    """The last so many parts of a logger's name, or all."""
    if not option.text:
        return lambda record: record.name
    last = _number(option)
    if not last:
        raise option.refusal("at least one part of a name is shown; write %c{1}")
    return lambda record: ".".join(record.name.split(".")[-last:])


def _of_context(_: _Placed) -> Shown:
    return lambda _: ""  # Python's logging has no context, neither nested nor mapped


_DATES = {"ISO8601": "yyyy-MM-dd HH:mm:ss,SSS", "ABSOLUTE": "HH:mm:ss,SSS", "DATE": "dd MMM yyyy HH:mm:ss,SSS"}
_DATE_PART = re.compile(
    r"'(?P<quoted>(?:[^']|'')*)'|(?P<letters>(?P<letter>[a-zA-Z])(?P=letter)*)|(?P<other>[^a-zA-Z'])"
)
_DATE_LETTERS = {
    "yyyy": "%Y",
    "yy": "%y",
    "MMMM": "%B",
    "MMM": "%b",
    "MM": "%m",
    "dd": "%d",
    "DDD": "%j",
    "EEEE": "%A",
    "EEE": "%a",
    "E": "%a",
    "HH": "%H",
    "hh": "%I",
    "mm": "%M",
    "ss": "%S",
    "a": "%p",
    "Z": "%z",
    "z": "%Z",
}


def _date(option: _Placed) -> Shown:
    written = _DATES.get(option.text.upper() or "ISO8601", option.text)
    parts = [_date_part(part, option) for part in _DATE_PART.finditer(written)]

    def shown(record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created).astimezone()
        return "".join(part(moment) for part in parts)

    return shown


def _date_part(part: re.Match[str], option: _Placed) -> Callable[[datetime], str]:
    if part["letters"] is None:
        text = part["other"] or part["quoted"].replace("''", "'") or "'"
        return lambda _: text
    if part["letters"] == "SSS":
        return lambda moment: f"{moment.microsecond // 1000:03}"
    if (letters := _DATE_LETTERS.get(part["letters"])) is None:
        raise option.refusal(
            f"{part['letters']} in a date is not known; known are {', '.join((*_DATE_LETTERS, 'SSS'))}"
        )
    return lambda moment: moment.strftime(letters)


CONVERSIONS: dict[str, Callable[[_Placed], Shown]] = {
    "c": _logger_name,
    "d": _date,
    "F": _of_record(lambda record: record.filename),
    "L": _of_record(lambda record: str(record.lineno)),
    "m": _of_record(lambda record: record.message),
    "M": _of_record(lambda record: record.funcName or "?"),
    "n": _of_record(lambda _: "\n"),
    "p": _of_record(_level_name),
    "r": _of_record(lambda record: str(int(record.relativeCreated))),
    "t": _of_record(lambda record: record.threadName or "?"),
    "x": _of_context,
    "X": _of_context,
}
