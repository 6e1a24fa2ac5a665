"""Parsers by name.

A configuration names a parser by Metron's Java class, by its short name (Grok), or by the dotted path of a Python
function that returns a parser for Settings. Distributions add short names by the entry point group `stellar.parsers`.
"""

from __future__ import annotations

from stellar.pipeline.config.factories import find_factory
from stellar.pipeline.config.locations import SourceLocation
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
from stellar.pipeline.parsers.snort import SnortParser
from stellar.pipeline.parsers.sourcefire import SourcefireParser
from stellar.pipeline.parsers.syslog import Syslog3164Parser, Syslog5424Parser

__all__ = ["PARSERS", "Parser", "ParserFactory", "Settings", "Unreadable", "find_parser_factory"]

PARSERS: dict[str, ParserFactory] = {
    "Grok": GrokParser,
    "CSV": CsvParser,
    "JSONMap": JsonMapParser,
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

# Metron's other parsers, which have an error message of their own
UNSUPPORTED = frozenset({
    "RegularExpressions", "BasicAsa", "GrokWebSphere",
})  # fmt: skip
_JAVA = "org.apache.metron.parsers."


def find_parser_factory(name: str, location: SourceLocation) -> ParserFactory:
    """Return the factory of the parser with a name. Raises ConfigError for an unknown or unsupported name."""
    short = name.rpartition(".")[2] if name.startswith(_JAVA) else name
    short = short if short in PARSERS else short.removesuffix("Parser")
    if short in UNSUPPORTED:
        raise location.error(f"unsupported parser {name}; use {', '.join(sorted(PARSERS))}, or a Python function")
    return find_factory(short if short in PARSERS else name, PARSERS, "parser", location)
