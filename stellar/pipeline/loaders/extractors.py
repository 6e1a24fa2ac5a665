"""The table of extractors, and the parts of their configuration that concern all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from stellar.language.errors import ConfigError
from stellar.pipeline.config.factories import find_factory
from stellar.pipeline.config.locations import ConfigErrors, ErrorCollector, SourceLocation
from stellar.pipeline.config.stored_models import create_model
from stellar.pipeline.loaders.csv_rows import CsvExtractor
from stellar.pipeline.loaders.json_rows import JsonExtractor
from stellar.pipeline.loaders.rows import Extractor
from stellar.pipeline.loaders.stix import StixExtractor
from stellar.pipeline.loaders.whois import WhoisExtractor
from stellar.util.abbreviate import quote
from stellar.util.suggestions import suggest_name

if TYPE_CHECKING:
    from stellar.pipeline.config.schema import ExtractorConfig, ExtractorOptions

BY_LINE, WHOLE_FILE = "BY_LINE", "WHOLE_FILE"

ExtractorFactory = Callable[["ExtractorOptions", SourceLocation, str | None], Extractor]


def _make_csv(options: ExtractorOptions, location: SourceLocation, form: str | None) -> Extractor:
    return CsvExtractor(options, location)


def _make_json(options: ExtractorOptions, location: SourceLocation, form: str | None) -> Extractor:
    return JsonExtractor(options, location, is_whole=form == WHOLE_FILE)


def _make_stix(options: ExtractorOptions, location: SourceLocation, form: str | None) -> Extractor:
    return StixExtractor(options, location, is_whole=form != BY_LINE)


def _make_whois(options: ExtractorOptions, location: SourceLocation, form: str | None) -> Extractor:
    return WhoisExtractor(options, location)


EXTRACTORS: dict[str, ExtractorFactory] = {
    "CSV": _make_csv,
    "JSON": _make_json,
    "STIX": _make_stix,
    "WHOIS": _make_whois,
    "org.apache.metron.dataloads.extractor.csv.CSVExtractor": _make_csv,
    "org.apache.metron.dataloads.extractor.stix.StixExtractor": _make_stix,
}
_WITH_OWN_TYPES = (_make_stix, _make_whois)
_LINES_ONLY = (_make_csv, _make_whois)


def build_extractor(config: ExtractorConfig, location: SourceLocation, *, needs_type: bool = True) -> Extractor:
    """Return the extractor of a configuration.

    location: the source location of the configuration
    needs_type: True if the rows are stored, so that each must have a type

    Raises ConfigErrors with all errors: an unknown extractor, unknown options and invalid values.
    """
    errors: list[ConfigError] = []
    problems = ErrorCollector(errors)
    factory = problems.attempt(
        lambda: find_factory(config.extractor, EXTRACTORS, "extractor", location / "extractor"), None
    )
    errors += _find_errors(config, location, factory)
    inner = location / "config"
    if needs_type and not config.config.type and config.config.type_column is None and factory not in _WITH_OWN_TYPES:
        errors.append(
            inner.error("missing key 'type'; name the type of the rows, such as \"malicious_ip\", or type_column")
        )
    extractor = problems.attempt(partial(factory, config.config, inner, config.input_format), None) if factory else None
    if errors or extractor is None:
        raise ConfigErrors(errors)
    return extractor


def _find_errors(
    config: ExtractorConfig, location: SourceLocation, factory: ExtractorFactory | None
) -> Iterator[ConfigError]:
    """Yield the errors in the options that the built-in extractors have in common."""
    inner = location / "config"
    if factory is None or factory in EXTRACTORS.values():
        for key in config.config.model_extra or ():
            yield (inner / key).error(
                f"unknown key {quote(key)}; {suggest_name(key, type(create_model(config.config)).model_fields)}"
            )
    if config.input_format not in (None, BY_LINE, WHOLE_FILE):
        yield (location / "inputFormat").error(
            f"unknown input format {quote(config.input_format)}; known are {BY_LINE} and {WHOLE_FILE}"
        )
    if config.input_format == WHOLE_FILE and factory in _LINES_ONLY:
        yield (location / "inputFormat").error(f"the extractor {config.extractor} reads lines; expected {BY_LINE}")
    if config.config.lookup_converter not in (None, "ENRICHMENT"):
        yield (inner / "lookup_converter").error(
            f"unsupported converter {quote(config.config.lookup_converter)}; ENRICHMENT is the only "
            f"one, remove this key"
        )
