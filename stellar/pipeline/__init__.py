"""A pipeline turns raw messages into records, as configured by Apache Metron's JSON files.

    from stellar.pipeline import Raw, build_pipeline, load_config

    pipeline = build_pipeline(load_config(Path("config"), "squid"))
    for outcome, reports in pipeline.processed(Raw(b"1571163620.277 192 127.0.0.1 TCP_MISS/301 …")):
        ...

The modules, in the order of the data:

config      the JSON files: schema, source locations, the expressions in them
build       configuration → parser and stages, by tables of names
check       all errors and warnings of a configuration
parsers     raw message → records
stages      record → record: field transformations, filters, validation, enrichment, triage
messages    the message in a Kafka record, and its metadata
pipeline    parser and stages, run on one raw message
routing     several pipelines, which pass records on by topic
run         the loop from a source to the sinks, with counts
records     Record, Drop, Rejected, Report, and the error document
connectors  sources of raw messages, and sinks for documents

Each name is loaded when it is first used.
"""

from __future__ import annotations

from stellar.util.lazy_exports import export_lazily

TYPE_CHECKING = False

if TYPE_CHECKING:
    from stellar.pipeline.build import build_group as build_group
    from stellar.pipeline.build import build_pipeline as build_pipeline
    from stellar.pipeline.check import check_sensor as check_sensor
    from stellar.pipeline.config.compile import BuildContext as BuildContext
    from stellar.pipeline.config.loading import SensorConfig as SensorConfig
    from stellar.pipeline.config.loading import load_config as load_config
    from stellar.pipeline.config.locations import SourceLocation as SourceLocation
    from stellar.pipeline.connectors.sinks import Sink as Sink
    from stellar.pipeline.connectors.sinks import Sinks as Sinks
    from stellar.pipeline.connectors.sources import read_lines as read_lines
    from stellar.pipeline.parsers.parser import Parser as Parser
    from stellar.pipeline.parsers.parser import Settings as Settings
    from stellar.pipeline.parsers.parser import Unreadable as Unreadable
    from stellar.pipeline.pipeline import Pipeline as Pipeline
    from stellar.pipeline.records import Drop as Drop
    from stellar.pipeline.records import Forward as Forward
    from stellar.pipeline.records import Invalid as Invalid
    from stellar.pipeline.records import Outcome as Outcome
    from stellar.pipeline.records import Raw as Raw
    from stellar.pipeline.records import Record as Record
    from stellar.pipeline.records import Rejected as Rejected
    from stellar.pipeline.records import Report as Report
    from stellar.pipeline.records import Stage as Stage
    from stellar.pipeline.records import make_error_document as make_error_document
    from stellar.pipeline.routing import PipelineGroup as PipelineGroup
    from stellar.pipeline.run import Counts as Counts
    from stellar.pipeline.run import run_pipeline as run_pipeline

__getattr__, __dir__, __all__ = export_lazily(
    __name__,
    {
        ".build": ("build_group", "build_pipeline"),
        ".check": ("check_sensor",),
        ".config.compile": ("BuildContext",),
        ".config.locations": ("SourceLocation",),
        ".config.loading": ("SensorConfig", "load_config"),
        ".connectors.sinks": ("Sink", "Sinks"),
        ".connectors.sources": ("read_lines",),
        ".parsers.parser": ("Parser", "Settings", "Unreadable"),
        ".pipeline": ("Pipeline",),
        ".records": (
            "Drop",
            "Forward",
            "Invalid",
            "Outcome",
            "Raw",
            "Record",
            "Rejected",
            "Report",
            "Stage",
            "make_error_document",
        ),
        ".routing": ("PipelineGroup",),
        ".run": ("Counts", "run_pipeline"),
    },
)
