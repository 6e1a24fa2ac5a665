"""Filters: which records go on. A record that does not is left out without an error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from stellar import Expression
from stellar.language.context import Context
from stellar.language.conversions import to_text
from stellar.pipeline.config.compile import BuildContext
from stellar.pipeline.config.embedded_expressions import STELLAR_FILTERS
from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.config.schema import ParserConfig
from stellar.pipeline.records import Drop, Record, Stage
from stellar.util.suggestions import known_names


@dataclass(frozen=True)
class Keep:
    """Leave out every record that a condition does not hold for."""

    condition: Expression
    context: Context

    def __call__(self, record: Record) -> Record:
        if not self.condition(record, self.context):
            raise Drop
        return record


@dataclass(frozen=True)
class KeepProtocols:
    """Leave out every record that is of another protocol."""

    field: str
    protocols: frozenset[str]

    def __call__(self, record: Record) -> Record:
        if to_text(record.get(self.field)) not in self.protocols:
            raise Drop
        return record


Factory = Callable[[ParserConfig, SourceLocation, BuildContext], Stage | None]


def _stellar(config: ParserConfig, place: SourceLocation, workshop: BuildContext) -> Stage:
    text = config.parser_config.get("filter.query")
    place = place / "parserConfig" / "filter.query"
    if not isinstance(text, str):
        raise place.error('the filter STELLAR needs a condition here, such as "exists(ip_src_addr)"')
    return Keep(workshop.predicate(text, place), workshop.context)


def _bro(config: ParserConfig, place: SourceLocation, workshop: BuildContext) -> Stage:
    place = place / "parserConfig"
    field = config.parser_config.get("bro.filter.source.key")
    protocols = config.parser_config.get("bro.filter.source.known.protocols")
    if not isinstance(field, str):
        raise (place / "bro.filter.source.key").error("the filter BRO needs the name of a field here")
    if not isinstance(protocols, str | list):
        raise (place / "bro.filter.source.known.protocols").error("the filter BRO needs the protocols to keep here")
    return KeepProtocols(field, frozenset([protocols] if isinstance(protocols, str) else map(to_text, protocols)))


def _none(config: ParserConfig, place: SourceLocation, workshop: BuildContext) -> None:
    return None


FILTERS: dict[str, Factory] = {
    "": _none,
    "DEFAULT": _none,
    **dict.fromkeys(STELLAR_FILTERS, _stellar),
    "BRO": _bro,
    "org.apache.metron.parsers.filters.BroMessageFilter": _bro,
}


def record_filter(config: ParserConfig, place: SourceLocation, workshop: BuildContext) -> Stage | None:
    """The filter that a parser's configuration asks for; None for none.

    Raises ConfigError for an unknown one, or one whose configuration is not as it should be.
    """
    name = (config.filter_class_name or "").strip()
    if name not in FILTERS:
        short = [known for known in FILTERS if known and "." not in known]
        raise (place / "filterClassName").error(f"unknown filter {name!r}; {known_names(name, short)}")
    return FILTERS[name](config, place, workshop)
