"""The table of extractors, and the parts of their configuration that concern all of them."""

from __future__ import annotations

from collections.abc import Callable

from stellar.pipeline.config.factories import find_factory
from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.config.schema import ExtractorConfig, ExtractorOptions
from stellar.pipeline.loaders.csv_rows import CsvExtractor
from stellar.pipeline.loaders.json_rows import JsonExtractor
from stellar.pipeline.loaders.rows import Extractor
from stellar.pipeline.loaders.stix import StixExtractor
from stellar.pipeline.loaders.whois import WhoisExtractor
from stellar.util.suggestions import suggest_name

BY_LINE, WHOLE_FILE = "BY_LINE", "WHOLE_FILE"

ExtractorFactory = Callable[[ExtractorOptions, SourceLocation, str | None], Extractor]


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

    Raises ConfigError for an unknown extractor, unknown options and invalid values.
    """
    options, inner = config.config, location / "config"
    factory = find_factory(config.extractor, EXTRACTORS, "extractor", location / "extractor")
    if factory in EXTRACTORS.values():
        _reject_unknown_options(options, inner)
    if config.input_format not in (None, BY_LINE, WHOLE_FILE):
        raise (location / "inputFormat").error(
            f"unknown input format {config.input_format!r}; known are {BY_LINE} and {WHOLE_FILE}"
        )
    if config.input_format == WHOLE_FILE and factory in _LINES_ONLY:
        raise (location / "inputFormat").error(f"the extractor {config.extractor} reads lines; expected {BY_LINE}")
    if options.lookup_converter not in (None, "ENRICHMENT"):
        raise (inner / "lookup_converter").error(
            f"unsupported converter {options.lookup_converter!r}; ENRICHMENT is the only one, remove this key"
        )
    if needs_type and not options.type and options.type_column is None and factory not in _WITH_OWN_TYPES:
        raise inner.error("missing key 'type'; name the type of the rows, such as \"malicious_ip\", or type_column")
    return factory(options, inner, config.input_format)


def _reject_unknown_options(options: ExtractorOptions, location: SourceLocation) -> None:
    known = ExtractorOptions.model_fields
    for key in options.model_extra or ():
        raise (location / key).error(f"unknown key {key!r}; {suggest_name(key, known)}")
