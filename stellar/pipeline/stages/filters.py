"""Filters, which drop records without an error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stellar import Expression
from stellar.language.context import Context
from stellar.language.conversions import to_string
from stellar.pipeline.config.compile import BuildContext
from stellar.pipeline.config.embedded_expressions import STELLAR_FILTERS
from stellar.pipeline.config.factories import find_factory
from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.records import Drop, Record, Stage

if TYPE_CHECKING:
    from stellar.pipeline.config.schema import ParserConfig


@dataclass(frozen=True)
class Filter:
    """Drop records that do not match a condition, also if it is null."""

    condition: Expression
    context: Context

    def __call__(self, record: Record) -> Record:
        if not self.condition(record, self.context):
            raise Drop
        return record


@dataclass(frozen=True)
class FilterProtocols:
    """Drop records of other protocols, and those without a protocol."""

    field: str
    protocols: frozenset[str]

    def __call__(self, record: Record) -> Record:
        value = record.get(self.field)
        if value is None or to_string(value) not in self.protocols:
            raise Drop
        return record


Factory = Callable[["ParserConfig", SourceLocation, BuildContext], Stage | None]


def _stellar(config: ParserConfig, location: SourceLocation, builder: BuildContext) -> Stage:
    text = config.parser_config.get("filter.query")
    location = location / "parserConfig" / "filter.query"
    if not isinstance(text, str):
        raise location.error('missing condition of the filter STELLAR; specify one, such as "exists(ip_src_addr)"')
    return Filter(builder.start_condition(text, location), builder.context)


def _bro(config: ParserConfig, location: SourceLocation, builder: BuildContext) -> Stage:
    location = location / "parserConfig"
    field = config.parser_config.get("bro.filter.source.key")
    protocols = config.parser_config.get("bro.filter.source.known.protocols")
    if not isinstance(field, str):
        raise (location / "bro.filter.source.key").error("missing field of the filter BRO; specify its name")
    if not isinstance(protocols, str | list):
        raise (location / "bro.filter.source.known.protocols").error(
            "missing protocols of the filter BRO; specify a list"
        )
    return FilterProtocols(field, frozenset([protocols] if isinstance(protocols, str) else map(to_string, protocols)))


def _build_none(config: ParserConfig, location: SourceLocation, builder: BuildContext) -> None:
    return None


FILTERS: dict[str, Factory] = {
    "": _build_none,
    "DEFAULT": _build_none,
    **dict.fromkeys(STELLAR_FILTERS, _stellar),
    "BRO": _bro,
    "org.apache.metron.parsers.filters.BroMessageFilter": _bro,
}


def build_filter(config: ParserConfig, location: SourceLocation, builder: BuildContext) -> Stage | None:
    """Build the filter of a parser configuration, or return None if it has no filter.

    Raises ConfigError for an unknown name and for invalid options.
    """
    name = config.filter_class_name or ""
    factory = find_factory(name if name.strip() else "", FILTERS, "filter", location / "filterClassName")
    return factory(config, location, builder)
