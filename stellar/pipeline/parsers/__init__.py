"""Parsers by name.

A configuration names a parser by Metron's Java class, by its short name (Grok), or by the dotted path of a Python
function that returns a parser for Settings. Distributions add short names by the entry point group `stellar.parsers`.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

from stellar.pipeline.config.locations import SourceLocation, import_factory
from stellar.pipeline.parsers.csv import CsvParser
from stellar.pipeline.parsers.grok import GrokParser
from stellar.pipeline.parsers.json_map import JsonMapParser
from stellar.pipeline.parsers.parser import Parser, ParserFactory, Settings, Unreadable
from stellar.util.suggestions import suggest_name

__all__ = ["PARSERS", "Parser", "ParserFactory", "Settings", "Unreadable", "find_parser_factory"]

PARSERS: dict[str, ParserFactory] = {
    "Grok": GrokParser,
    "CSV": CsvParser,
    "JSONMap": JsonMapParser,
}

# Metron's other parsers, which have an error message of their own
UNSUPPORTED = frozenset({
    "RegularExpressions", "Syslog5424", "Syslog3164", "CEF", "LEEF", "BasicBro", "BasicSnort", "BasicAsa",
    "BasicPaloAltoFirewall", "BasicFireEye", "BasicSourcefire", "BasicLancope", "BasicLogstash", "GrokWebSphere",
    "BasicIse",
})  # fmt: skip
_JAVA = "org.apache.metron.parsers."


def find_parser_factory(name: str, location: SourceLocation) -> ParserFactory:
    """Return the factory of the parser with a name. Raises ConfigError for an unknown or unsupported name."""
    known = {**_entry_point_factories(), **PARSERS}
    short = name.rpartition(".")[2].removesuffix("Parser") if name.startswith(_JAVA) else name.removesuffix("Parser")
    if short in known:
        return known[short]
    if short in UNSUPPORTED:
        raise location.error(f"unsupported parser {name}; use {', '.join(sorted(known))}, or a Python function")
    if "." in name and not name.startswith(_JAVA):
        return import_factory(name, location, "parser")
    raise location.error(f"unknown parser {name!r}; {suggest_name(short, known)}")


def _entry_point_factories() -> dict[str, ParserFactory]:
    return {point.name: _load_lazily(point) for point in entry_points(group="stellar.parsers")}


def _load_lazily(point: EntryPoint) -> ParserFactory:
    def make(settings: Settings) -> Parser:
        factory: ParserFactory = import_factory(point.value.replace(":", "."), settings.location, "parser")
        return factory(settings)

    return make
