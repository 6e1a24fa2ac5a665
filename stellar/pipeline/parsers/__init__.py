"""Parsers by name.

A configuration names a parser by Metron's Java class, by its short name (Grok), or by the dotted path of a Python
function that returns a parser for Settings. Distributions add short names by the entry point group `stellar.parsers`.
"""

from __future__ import annotations

from stellar.pipeline.config.factories import find_factory
from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.parsers.asa import BasicAsaParser
from stellar.pipeline.parsers.bro import BroParser
from stellar.pipeline.parsers.cef import CefParser
from stellar.pipeline.parsers.csv import CsvParser
from stellar.pipeline.parsers.fireeye import FireEyeParser
from stellar.pipeline.parsers.grok import GrokParser
from stellar.pipeline.parsers.ise import IseParser
from stellar.pipeline.parsers.json_map import JsonMapParser
from stellar.pipeline.parsers.lancope import LancopeParser
from stellar.pipeline.parsers.leef import LeefParser
from stellar.pipeline.parsers.logstash import LogstashParser
from stellar.pipeline.parsers.palo_alto import PaloAltoParser
from stellar.pipeline.parsers.parser import Parser, ParserFactory, Settings, Unreadable
from stellar.pipeline.parsers.regular_expressions import RegularExpressionsParser
from stellar.pipeline.parsers.snort import SnortParser
from stellar.pipeline.parsers.sourcefire import SourcefireParser
from stellar.pipeline.parsers.syslog import Syslog3164Parser, Syslog5424Parser
from stellar.pipeline.parsers.web_sphere import GrokWebSphereParser

__all__ = ["PARSERS", "Parser", "ParserFactory", "Settings", "Unreadable", "find_parser_factory", "list_options"]

PARSERS: dict[str, ParserFactory] = {
    "Grok": GrokParser,
    "CSV": CsvParser,
    "JSONMap": JsonMapParser,
    "GrokWebSphere": GrokWebSphereParser,
    "RegularExpressions": RegularExpressionsParser,
    "BasicAsa": BasicAsaParser,
    "CEF": CefParser,
    "LEEF": LeefParser,
    "Syslog3164": Syslog3164Parser,
    "Syslog5424": Syslog5424Parser,
    "BasicBro": BroParser,
    "BasicFireEye": FireEyeParser,
    "BasicIse": IseParser,
    "BasicLancope": LancopeParser,
    "BasicLogstash": LogstashParser,
    "BasicPaloAltoFirewall": PaloAltoParser,
    "BasicSnort": SnortParser,
    "BasicSourcefire": SourcefireParser,
}

_JAVA = "org.apache.metron.parsers."


def find_parser_factory(name: str, location: SourceLocation) -> ParserFactory:
    """Return the factory of the parser with a name. Raises ConfigError for an unknown name."""
    short = _shorten(name)
    return find_factory(short if short in PARSERS else name, PARSERS, "parser", location)


def list_options(name: str) -> frozenset[str] | None:
    """Return the names of the options that a built-in parser reads; None for another parser."""
    return getattr(PARSERS.get(_shorten(name)), "OPTIONS", None)


def _shorten(name: str) -> str:
    """Return the short name of a Java class."""
    short = name.rpartition(".")[2] if name.startswith(_JAVA) else name
    return short if short in PARSERS else short.removesuffix("Parser")
