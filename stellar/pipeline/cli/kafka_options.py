"""The options by which commands reach Kafka."""

from __future__ import annotations

import argparse
from pathlib import Path

from stellar.pipeline.connectors.kafka.settings import KafkaSettings, make_settings, parse_property, read_properties

KAFKA_CONFIG_HELP = "file with properties of the clients, as NAME=VALUE or JSON, such as those for SASL and TLS"


def add_kafka_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that select Kafka."""
    add = parser.add_argument
    add("-k", "--kafka", metavar="HOST:PORT,...", help="brokers of Kafka")
    add("--kafka-config", metavar="FILE", type=Path, help=KAFKA_CONFIG_HELP)
    add("--kafka-property", metavar="NAME=VALUE", action="append", default=[], help="a property of the clients")


def read_kafka_settings(options: argparse.Namespace, protocol: str | None = None) -> KafkaSettings:
    """Return the settings that options select. Raises ValueError or OSError."""
    file = {} if options.kafka_config is None else read_properties(options.kafka_config)
    return make_settings(options.kafka, [file, *map(parse_property, options.kafka_property)], protocol)
