"""Parsers by name.

A configuration names a parser by Metron's Java class, by its short name (Grok), or by the dotted path of a Python
function that returns a parser for Settings. Distributions add short names by the entry point group `stellar.parsers`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module

from stellar.pipeline.config.factories import find_factory
from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.parsers.parser import Parser, ParserFactory, Settings, Unreadable

__all__ = [
    "PARSERS",
    "Parser",
    "ParserFactory",
    "Settings",
    "Unreadable",
    "find_parser_factory",
    "find_parser_name",
    "list_options",
    "shorten_parser_name",
]


class ParserTable(Mapping[str, ParserFactory]):
    """The classes of parsers by name, each of which is imported on first use: a configuration uses one of them.

    classes: `module:class` by name, with modules of this package
    """

    def __init__(self, classes: Mapping[str, str]) -> None:
        self.classes = classes

    def __getitem__(self, name: str) -> ParserFactory:
        return _import_parser(self.classes[name])

    def __contains__(self, name: object) -> bool:
        return name in self.classes

    def __iter__(self) -> Iterator[str]:
        return iter(self.classes)

    def __len__(self) -> int:
        return len(self.classes)


@cache
def _import_parser(path: str) -> ParserFactory:
    module, _, name = path.partition(":")
    factory: ParserFactory = getattr(import_module(f"{__name__}.{module}"), name)
    return factory


PARSERS = ParserTable(
    {
        "Grok": "grok:GrokParser",
        "CSV": "csv:CsvParser",
        "JSONMap": "json_map:JsonMapParser",
        "GrokWebSphere": "web_sphere:GrokWebSphereParser",
        "RegularExpressions": "regular_expressions:RegularExpressionsParser",
        "BasicAsa": "asa:BasicAsaParser",
        "CEF": "cef:CefParser",
        "LEEF": "leef:LeefParser",
        "Syslog3164": "syslog:Syslog3164Parser",
        "Syslog5424": "syslog:Syslog5424Parser",
        "BasicBro": "bro:BroParser",
        "BasicFireEye": "fireeye:FireEyeParser",
        "BasicIse": "ise:IseParser",
        "BasicLancope": "lancope:LancopeParser",
        "BasicLogstash": "logstash:LogstashParser",
        "BasicPaloAltoFirewall": "palo_alto:PaloAltoParser",
        "BasicSnort": "snort:SnortParser",
        "BasicSourcefire": "sourcefire:SourcefireParser",
    }
)

_JAVA = "org.apache.metron.parsers."


def find_parser_factory(name: str, location: SourceLocation) -> ParserFactory:
    """Return the factory of the parser with a name. Raises ConfigError for an unknown name."""
    short = shorten_parser_name(name)
    return find_factory(short if short in PARSERS else name, PARSERS, "parser", location)


def find_parser_name(parser: type) -> str:
    """Return the name of a parser's class in a configuration; for another class its own name."""
    path = f"{parser.__module__.removeprefix(f'{__name__}.')}:{parser.__name__}"
    return next((name for name, known in PARSERS.classes.items() if known == path), parser.__name__)


def list_options(name: str) -> frozenset[str] | None:
    """Return the names of the options that a built-in parser reads; None for another parser."""
    return getattr(PARSERS.get(shorten_parser_name(name)), "OPTIONS", None)


def shorten_parser_name(name: str) -> str:
    """Return the short name of a Java class."""
    short = name.rpartition(".")[2] if name.startswith(_JAVA) else name
    return short if short in PARSERS else short.removesuffix("Parser")
