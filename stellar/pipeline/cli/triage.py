"""`stellar-pipeline triage`: scores records by the rules of threat triage, and explains the scores."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

from stellar.pipeline.build import build_pipeline
from stellar.pipeline.cli.common import add_config
from stellar.pipeline.command_line import FAILED, OK
from stellar.pipeline.config.loading import load_enrichment
from stellar.pipeline.connectors.sources import STANDARD_INPUT, STANDARD_INPUT_NAME, check_readable, read_lines
from stellar.pipeline.options import add_line_limit
from stellar.pipeline.records import Record, to_json_bytes
from stellar.pipeline.routing import PipelineGroup, TopicPattern
from stellar.pipeline.services import add_registry_options, connect_services
from stellar.pipeline.stages.triage import Triage
from stellar.pipeline.triage_explanation import (
    TriageExplanation,
    describe_triage,
    draw_triage,
    explain_triage,
    find_stage,
    select_triage,
)
from stellar.util.abbreviate import escape, quote

DESCRIPTION = (
    "Score enriched records, given as JSON objects, by the rules of threat triage in enrichments/SENSOR.json, and "
    "print them with the fields of the matching rules. With --explain, show each rule with the values of its "
    "variables, its score and reason, and the aggregation."
)
EXIT_STATUS = """\
exit status: 0 if all records could be scored; 1 if a record is unreadable or a rule failed,
and for an error in the configuration or the options"""
_SENSOR_HELP = "the sensor of all records; by default that in the field source.type of each record"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add = parser.add_argument
    add("files", nargs="*", metavar="FILE", help="file with JSON objects; - or no file is standard input")
    add("--sensor", metavar="NAME", help=_SENSOR_HELP)
    add("--explain", action="store_true", help="show how each score is computed, instead of the records")
    add("--format", choices=("text", "json"), default="text", help="format of explanations (default %(default)s)")
    add_line_limit(parser)
    add_registry_options(parser)
    add_config(parser)
    parser.set_defaults(quiet=True)


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    files = options.files or [STANDARD_INPUT]
    check_readable(files, ())
    status, origin = OK, None
    with ExitStack() as stack:
        stages = _Stages(options, stack)
        for origin, item in _read_records(files, options.max_line_bytes):
            try:
                explanation = explain_triage(stages.find(item), item) if isinstance(item, dict) else item
            except LookupError as error:
                explanation = ValueError(str(error))
            if isinstance(explanation, ValueError):
                print(escape(f"stellar-pipeline: {origin}: {explanation}"), file=sys.stderr)
                status = FAILED
                continue
            _print_result(explanation, origin, options)
            status = FAILED if explanation.has_failures else status
    if origin is None:
        raise ValueError("no records to score; check the files")
    return status


@dataclass
class _Stages:
    """The triage of each sensor, which is built and connected to its models on first use."""

    options: argparse.Namespace
    stack: ExitStack
    built: dict[str, Triage] = field(default_factory=dict)

    def find(self, record: Record) -> Triage:
        """Return the triage of a record. Raises LookupError for a record without a sensor, ConfigError."""
        sensor = self.options.sensor or record.get("source.type")
        if not isinstance(sensor, str) or not sensor:
            raise LookupError("the record has no source.type; pass --sensor NAME")
        if sensor not in self.built:
            self.built[sensor] = self._build(sensor)
        return self.built[sensor]

    def _build(self, sensor: str) -> Triage:
        config = load_enrichment(self.options.config, sensor)
        pipeline = select_triage(build_pipeline(config), config)
        connect_services(PipelineGroup([(TopicPattern(sensor), pipeline)]), config, self.options, self.stack)
        return find_stage(pipeline)


def _print_result(explanation: TriageExplanation, origin: str, options: argparse.Namespace) -> None:
    if not options.explain:
        for reason in _list_failures(explanation):
            print(escape(f"stellar-pipeline: {origin}: triage: {reason}"), file=sys.stderr)
        print(to_json_bytes(explanation.result).decode())
    elif options.format == "json":
        print(to_json_bytes({"origin": origin, **describe_triage(explanation)}).decode())
    else:
        print(draw_triage(explanation, escape(origin)))


def _list_failures(explanation: TriageExplanation) -> Iterator[str]:
    for report in explanation.reports:
        yield " ".join(report.reason.split())
    for rule in explanation.rules:
        for component, error in rule.failures:
            first, *_ = str(error).splitlines()
            yield f"rule {quote(rule.rule.name or rule.rule.text)} failed in its {component}: {first}"


def _read_records(files: Iterable[str], most: int) -> Iterator[tuple[str, Record | ValueError]]:
    """Yield the JSON objects of files, each in one or more lines, with their locations; or an error instead.

    After an error, reading continues with the next line.

    most: the limit of a line in bytes
    """
    for name in files:
        lines, number = [], 0
        for raw in read_lines([name], most=most):
            number = raw.line or number
            if raw.error is not None:
                yield f"{raw.origin}:{number}", ValueError(str(raw.error))
            lines.append(raw.content if raw.error is None else b"")  # an empty line counts, but has no record
        origin = STANDARD_INPUT_NAME if name == STANDARD_INPUT else name
        yield from _parse_records(b"\n".join(lines).decode("utf-8", "surrogateescape"), origin)


def _parse_records(text: str, origin: str) -> Iterator[tuple[str, Record | ValueError]]:
    decoder, offset, counted, line = json.JSONDecoder(), 0, 0, 1
    while (offset := _skip_whitespace(text, offset)) < len(text):
        line += text.count("\n", counted, offset)
        counted = offset
        try:
            value, offset = decoder.raw_decode(text, offset)
        except (ValueError, RecursionError) as error:
            offset = _find_next_line(text, offset)
            yield f"{origin}:{line}", ValueError(f"invalid JSON: {_describe(error)}")
            continue
        kind = value if isinstance(value, dict) else ValueError("expected a JSON object")
        yield f"{origin}:{line}", kind


def _describe(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at line {error.lineno}, column {error.colno}"
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


def _skip_whitespace(text: str, offset: int) -> int:
    while offset < len(text) and text[offset] in " \t\r\n":
        offset += 1
    return offset


def _find_next_line(text: str, offset: int) -> int:
    end = text.find("\n", offset)
    return len(text) if end < 0 else end + 1
