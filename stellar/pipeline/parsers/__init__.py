"""Parsers by name.

A configuration names a parser as Metron does, by its Java class, or by its short name (Grok), or by the dotted path of
a Python function that makes one from its Settings. Distributions add short names by the entry point group
`stellar.parsers`.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

from stellar.pipeline.config.locations import SourceLocation, imported
from stellar.pipeline.parsers.csv import CsvParser
from stellar.pipeline.parsers.grok import GrokParser
from stellar.pipeline.parsers.json_map import JsonMapParser
from stellar.pipeline.parsers.parser import Parser, ParserFactory, Settings, Unreadable
from stellar.util.suggestions import known_names

__all__ = ["PARSERS", "Parser", "ParserFactory", "Settings", "Unreadable", "parser_factory"]

PARSERS: dict[str, ParserFactory] = {
    "Grok": GrokParser,
    "CSV": CsvParser,
    "JSONMap": JsonMapParser,
}

# Metron's others, so that a configuration that names one gets an answer
ELSEWHERE = frozenset({
    "RegularExpressions", "Syslog5424", "Syslog3164", "CEF", "LEEF", "BasicBro", "BasicSnort", "BasicAsa",
    "BasicPaloAltoFirewall", "BasicFireEye", "BasicSourcefire", "BasicLancope", "BasicLogstash", "GrokWebSphere",
    "BasicIse",
})  # fmt: skip
_JAVA = "org.apache.metron.parsers."


def parser_factory(name: str, place: SourceLocation) -> ParserFactory:
    """What makes the parser of this name. Raises ConfigError if there is none."""
    known = {**_from_entry_points(), **PARSERS}
    short = name.rpartition(".")[2].removesuffix("Parser") if name.startswith(_JAVA) else name.removesuffix("Parser")
    if short in known:
        return known[short]
    if short in ELSEWHERE:
        raise place.error(
            f"the parser {name} is not in this release; there are {', '.join(sorted(known))}, or your own"
        )
    if "." in name and not name.startswith(_JAVA):
        return imported(name, place, "parser")
    raise place.error(f"unknown parser {name!r}; {known_names(short, known)}")


def _from_entry_points() -> dict[str, ParserFactory]:
    return {point.name: _loaded_when_called(point) for point in entry_points(group="stellar.parsers")}


def _loaded_when_called(point: EntryPoint) -> ParserFactory:
    def make(settings: Settings) -> Parser:
        factory: ParserFactory = imported(point.value.replace(":", "."), settings.place, "parser")
        return factory(settings)

    return make
