"""`stellar-pipeline worker`: runs pipelines on the topics of Kafka."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack

from stellar.java.match_timer import match_timer
from stellar.pipeline.cli.common import add_config
from stellar.pipeline.cli.kafka_options import add_kafka_options, read_kafka_settings
from stellar.pipeline.command_line import OK, OptionError
from stellar.pipeline.connectors.directories import choose_by_type
from stellar.pipeline.connectors.kafka.consumer import TopicReader
from stellar.pipeline.connectors.kafka.producer import TopicWriter
from stellar.pipeline.connectors.kafka.settings import KafkaSettings
from stellar.pipeline.connectors.kafka.topics import TopicAdmin
from stellar.pipeline.connectors.sinks import Sinks
from stellar.pipeline.options import positive_integer
from stellar.pipeline.run import Counts
from stellar.pipeline.services import add_registry_options, connect_services
from stellar.pipeline.worker.loop import Commits, Stop, WorkerLoop
from stellar.pipeline.worker.plan import WorkerPhase, WorkerPlan, plan_enrichment, plan_indexing, plan_sensors
from stellar.pipeline.worker.targets import Targets, find_topic
from stellar.util.windowed import IN_FLIGHT

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


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add = parser.add_argument
    add("--sensor", metavar="NAME,...", help=_SENSOR_HELP)
    add("--stage", choices=[phase.value for phase in WorkerPhase], default="all", help=_STAGE_HELP)
    add_kafka_options(parser)
    add("--output", metavar="TARGET", help=_OUTPUT_HELP)
    add("--errors", metavar="TARGET", help=_ERRORS_HELP)
    add("--spread", action="store_true", help="distribute records over all partitions of a topic, without order")
    add_registry_options(parser)
    add("--in-flight", metavar="N", type=positive_integer, help="messages processed concurrently, as for run")
    add("--quiet", action="store_true", help="print no counts")
    add_config(parser)


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    plan = make_plan(options).with_targets(options.output, options.errors)
    return run_worker(plan, read_kafka_settings(options), options)


def make_plan(options: argparse.Namespace) -> WorkerPlan:
    """Return the plan that options select. Raises ConfigError and OptionError."""
    phase = WorkerPhase(options.stage)
    if phase in (WorkerPhase.ENRICH, WorkerPhase.INDEX):
        if options.sensor is not None:
            raise OptionError(f"--sensor has no effect with --stage {phase.value}, which processes all sensors")
        if phase is WorkerPhase.ENRICH:
            return plan_enrichment(options.config)
        if options.output is None:
            raise OptionError("--stage index needs the target of documents; pass --output TARGET")
        return plan_indexing(options.config, options.output, "hdfs", "indexing-batch")
    if options.sensor is None:
        raise OptionError("no sensor selected; pass --sensor NAME")
    names = [name.strip() for name in options.sensor.split(",")]
    return plan_sensors(options.config, names, phase, find_topic(options.output or ""))


def run_worker(plan: WorkerPlan, settings: KafkaSettings, options: argparse.Namespace) -> int:
    """Run a worker until it is stopped, and return the exit status."""
    with ExitStack() as stack:
        connect_services(plan.pipeline, plan.config, options, stack)
        stack.enter_context(match_timer())
        loop = _open_loop(plan, settings, options, stack)
        try:
            with loop.stop.on_signals():
                loop.process(options.in_flight or (IN_FLIGHT if plan.pipeline.calls_models else 1))
        finally:
            if not options.quiet:
                print(f"stellar-pipeline: {plan.pipeline.sensor}: {loop.counts}", file=sys.stderr)
    return OK


def _open_loop(plan: WorkerPlan, settings: KafkaSettings, options: argparse.Namespace, stack: ExitStack) -> WorkerLoop:
    """Open the topics and targets of a worker. Raises OSError or ValueError."""
    counts = Counts()
    targets = Targets(stack.enter_context(Sinks()), counts)
    limits = _read_limits(plan, settings)
    writer = TopicWriter(settings, targets.reject, dict(plan.producer), limits=limits, spreads=options.spread)
    stack.callback(writer.close)
    targets.use_topics(writer)
    sink = targets.open(plan.output, "records", choose_by_type)
    errors = targets.open_errors(plan.errors, plan.errors_of_sensors, choose_by_type)
    commits = Commits(_open_readers(plan, settings, targets, stack), targets)
    writer.stay = commits.stay
    return WorkerLoop(
        plan.pipeline, sink, errors, counts, commits.commit_in_time, commits=commits, targets=targets, stop=Stop()
    )


def _read_limits(plan: WorkerPlan, settings: KafkaSettings) -> dict[str, int]:
    """Return the limits of messages of the topics that are written. Raises KafkaFailure if one does not exist."""
    admin = TopicAdmin(settings)
    if plan.topics:
        admin.list_partitions(*plan.topics)
    return admin.read_limits(plan.topics)


def _open_readers(
    plan: WorkerPlan, settings: KafkaSettings, targets: Targets, stack: ExitStack
) -> dict[str, TopicReader]:
    readers = {}
    for each in plan.subscriptions:
        reader = TopicReader(settings, each.group, [each.topic], targets.acknowledge, dict(each.properties))
        stack.callback(reader.close)
        readers[each.topic] = reader
    return readers
