"""`stellar-pipeline worker`: runs pipelines on the topics of Kafka."""

from __future__ import annotations

import argparse
from functools import partial

from stellar.monitoring.options import add_log_format_option, add_metrics_option
from stellar.pipeline.cli.common import add_config_or_zookeeper
from stellar.pipeline.cli.kafka_options import add_kafka_options, read_kafka_settings
from stellar.pipeline.command_line import OptionError
from stellar.pipeline.connectors.search.target import parse_search_target
from stellar.pipeline.connectors.sinks import is_search
from stellar.pipeline.options import positive_integer
from stellar.pipeline.services import add_registry_options
from stellar.pipeline.worker.plan import WorkerLoader, WorkerPhase
from stellar.pipeline.worker.process import run_worker
from stellar.pipeline.worker.supervisor import supervise
from stellar.pipeline.worker.targets import find_topic

DESCRIPTION = (
    "Read topics of Kafka, and run pipelines on their messages, until Ctrl-C or SIGTERM. The offsets of messages are "
    "committed after their documents were stored, so that a worker that is killed loses none."
)
EXIT_STATUS = """\
exit status: 0 if the worker was stopped; 1 for an error in the configuration,
or if messages cannot be read or documents cannot be stored; 2 for invalid options"""
_SENSOR_HELP = "the sensors, or groups of parser.groups, whose topics are read; for the stages all and parse"
_STAGE_HELP = (
    "the stages: all of them (the default); parse, from the sensors' topics to enrichments; enrich, from enrichments "
    "to indexing; or index, from indexing to --output"
)
_OUTPUT_HELP = (
    "target for records: topic:NAME, or one of `stellar-pipeline run`, which is continued. By default topic:indexing; "
    "with --stage parse the outputTopic of the sensor, or topic:enrichments"
)
_ERRORS_HELP = "target for error documents, likewise; by default the errorTopic of the sensor, or topic:indexing"
_IDEMPOTENT_HELP = (
    "make identifiers of documents from the positions of their messages, so that a repeated message makes the same "
    "document. They are the guid of records that bring none, and the header document-id, which later stages pass on"
)
_PROCESSES_HELP = "processes, which share the partitions; one that dies is started again"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add = parser.add_argument
    add("--sensor", metavar="NAME,...", help=_SENSOR_HELP)
    add("--stage", choices=[phase.value for phase in WorkerPhase], default="all", help=_STAGE_HELP)
    add_kafka_options(parser)
    add("--input", metavar="TOPIC", help="the topic that is read, instead of that of the sensor or stage")
    add("--group", metavar="NAME", help="the consumer group, instead of the one that Metron has for the topic")
    add("--output", metavar="TARGET", help=_OUTPUT_HELP)
    add("--errors", metavar="TARGET", help=_ERRORS_HELP)
    add("--spread", action="store_true", help="distribute records over all partitions of a topic, without order")
    add("--idempotent", action="store_true", help=_IDEMPOTENT_HELP)
    add_registry_options(parser)
    add("--processes", metavar="N", type=positive_integer, default=1, help=_PROCESSES_HELP)
    add("--in-flight", metavar="N", type=positive_integer, help="messages processed concurrently, as for run")
    add_metrics_option(parser)
    add_log_format_option(parser)
    add("--quiet", action="store_true", help="print no counts")
    add_config_or_zookeeper(parser)
    parser.set_defaults(protocol=None, spout={}, seconds=None)


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    settings = read_kafka_settings(options, options.protocol)
    work = partial(run_worker, make_loader(options), settings, options)
    return supervise(options.processes, work, options.metrics, is_quiet=options.quiet)


def make_loader(options: argparse.Namespace) -> WorkerLoader:
    """Return the loader of the pipelines that options select. Raises OptionError for options that have no effect."""
    phase = WorkerPhase(options.stage)
    if phase in (WorkerPhase.ENRICH, WorkerPhase.INDEX):
        if options.sensor is not None:
            raise OptionError(f"--sensor has no effect with --stage {phase.value}, which processes all sensors")
        if phase is WorkerPhase.INDEX and options.output is None:
            raise OptionError("--stage index needs the target of documents; pass --output TARGET")
        if phase is WorkerPhase.INDEX and is_search(options.output):
            return WorkerLoader(phase, writer=parse_search_target(options.output).kind)
        return WorkerLoader(phase)
    if options.sensor is None:
        raise OptionError("no sensor selected; pass --sensor NAME")
    names = tuple(name.strip() for name in options.sensor.split(","))
    if options.input is not None and len(names) > 1:
        raise OptionError("--input is the topic of one sensor; select one, or set the sensorTopic of each")
    return WorkerLoader(phase, names, options.input, find_topic(options.output or ""))
