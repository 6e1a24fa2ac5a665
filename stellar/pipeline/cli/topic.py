"""`stellar-pipeline topic`: creates and lists topics of Kafka, sends lines to them, and prints their messages."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from itertools import islice
from typing import Any

from stellar.pipeline.cli.kafka_options import add_kafka_options, read_kafka_settings
from stellar.pipeline.command_line import FAILED, OK
from stellar.pipeline.connectors.kafka.producer import MessageTooLarge, TopicWriter
from stellar.pipeline.connectors.kafka.settings import parse_property
from stellar.pipeline.connectors.kafka.tail import tail_topic
from stellar.pipeline.connectors.kafka.topics import TopicAdmin
from stellar.pipeline.connectors.sources import STANDARD_INPUT, read_lines
from stellar.pipeline.options import positive_integer
from stellar.pipeline.records import Raw
from stellar.util.abbreviate import escape

DESCRIPTION = "Create and list topics of Kafka, send lines to them, and print their messages."
EXIT_STATUS = "exit status: 0 for success; 1 if a request failed or a line was not sent; 2 for invalid options"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    actions = parser.add_subparsers(title="actions", required=True, metavar="action")
    create = _add_action(actions, "create", "create a topic", _create)
    create.add_argument("topic", metavar="NAME")
    create.add_argument("--partitions", metavar="N", type=positive_integer, default=1, help="1 by default")
    create.add_argument("--replicas", metavar="N", type=positive_integer, default=1, help="1 by default")
    create.add_argument("--property", metavar="NAME=VALUE", action="append", default=[], help="a property of the topic")
    _add_action(actions, "list", "list the topics with their numbers of partitions", _list)
    send = _add_action(actions, "send", "send each line as a message", _send)
    send.add_argument("topic", metavar="NAME")
    send.add_argument("files", nargs="*", metavar="FILE", help="files to read, by default standard input")
    tail = _add_action(actions, "tail", "print new messages, one a line, until Ctrl-C", _tail)
    tail.add_argument("topic", metavar="NAME")
    tail.add_argument("--from-beginning", action="store_true", help="print all messages, then new ones")
    tail.add_argument("--until-end", action="store_true", help="end after the messages that exist now")
    tail.add_argument("--count", metavar="N", type=positive_integer, help="end after this number of messages")
    tail.add_argument("--details", action="store_true", help="print JSON with partition, offset, time, key and value")


def _add_action(
    actions: Any, name: str, summary: str, act: Callable[[argparse.Namespace], int]
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(
        name, help=summary, description=f"{summary[0].upper()}{summary[1:]}."
    )
    add_kafka_options(parser)
    parser.add_argument("--debug", action="store_true", help="print the Python traceback of an error")
    parser.set_defaults(act=act)
    return parser


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    act: Callable[[argparse.Namespace], int] = options.act
    return act(options)


def _create(options: argparse.Namespace) -> int:
    config: dict[str, str] = {}
    for text in options.property:
        config |= parse_property(text)
    TopicAdmin(read_kafka_settings(options)).create(options.topic, options.partitions, options.replicas, config)
    return OK


def _list(options: argparse.Namespace) -> int:
    for topic, partitions in sorted(TopicAdmin(read_kafka_settings(options)).list_partitions().items()):
        print(f"{topic}\t{partitions}")
    return OK


def _send(options: argparse.Namespace) -> int:
    settings = read_kafka_settings(options)
    limits = TopicAdmin(settings).read_limits([options.topic])
    failures: list[str] = []
    writer = TopicWriter(settings, lambda rejected: failures.append(rejected.reason), limits=limits, spreads=True)
    try:
        writer.check_topic(options.topic)
        sent = 0
        for raw in read_lines(options.files or [STANDARD_INPUT]):
            sent += 1
            _send_line(writer, options.topic, raw, failures)
        writer.flush()
    finally:
        writer.close()
    for failure in failures:
        print(f"stellar-pipeline: not sent: {escape(failure)}", file=sys.stderr)
    print(f"stellar-pipeline: {sent - len(failures):,} messages sent to {options.topic}", file=sys.stderr)
    return FAILED if failures else OK


def _send_line(writer: TopicWriter, topic: str, raw: Raw, failures: list[str]) -> None:
    location = f"{raw.origin}:{raw.line}"
    if raw.error is not None:
        failures.append(f"{location}: {raw.error}")
        return
    try:
        writer.write(topic, raw.content)
    except MessageTooLarge as error:
        failures.append(f"{location}: {error}")


def _tail(options: argparse.Namespace) -> int:
    messages = tail_topic(
        read_kafka_settings(options),
        options.topic,
        from_beginning=options.from_beginning,
        until_end=options.until_end,
    )
    show = _describe if options.details else _value
    try:
        for message in islice(messages, options.count):
            sys.stdout.buffer.write(show(message) + b"\n")
            sys.stdout.buffer.flush()
    except KeyboardInterrupt:
        return OK
    return OK


def _value(message: Any) -> bytes:
    value: bytes | None = message.value()
    return value or b""


def _describe(message: Any) -> bytes:
    key, value = message.key(), message.value()
    described = {
        "partition": message.partition(),
        "offset": message.offset(),
        "time": message.timestamp()[1],
        "key": None if key is None else key.decode("utf-8", "replace"),
        "value": None if value is None else value.decode("utf-8", "replace"),
    }
    return json.dumps(described, ensure_ascii=False).encode("utf-8", "backslashreplace")
