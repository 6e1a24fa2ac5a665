"""The properties of Kafka clients: brokers, security, and any property of librdkafka.

Metron's configurations have the properties of Kafka's Java client. Most have the same names in librdkafka; those that
differ are translated, and those without a counterpart are reported.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from stellar.util.abbreviate import quote
from stellar.util.suggestions import suggest_name

log = logging.getLogger(__name__)

BROKERS = "bootstrap.servers"
Properties = dict[str, Any]
NO_PROPERTIES: Mapping[str, Any] = MappingProxyType({})

SECURITY_PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
# Older names, which Metron's scripts pass
_PROTOCOL_ALIASES = {"PLAINTEXTSASL": "SASL_PLAINTEXT"}

# Properties of the Java client that have no meaning here
_IGNORED = frozenset({
    "key.deserializer", "value.deserializer", "key.serializer", "value.serializer", "max.poll.records",
    "partition.assignment.strategy", "interceptor.classes", "metric.reporters", "max.block.ms",
    "sasl.kerberos.ticket.renew.jitter", "sasl.kerberos.ticket.renew.window.factor", "ssl.protocol", "ssl.provider",
    "ssl.enabled.protocols", "ssl.secure.random.implementation", "ssl.keymanager.algorithm",
    "ssl.trustmanager.algorithm", "ssl.keystore.type", "ssl.truststore.type",
})  # fmt: skip

# Properties of the Java client with the property to set instead
_REPLACEMENTS = {
    "sasl.jaas.config": "sasl.mechanism, sasl.username and sasl.password, or sasl.kerberos.keytab",
    "sasl.login.class": "sasl.mechanism",
    "sasl.client.callback.handler.class": "sasl.mechanism",
    "sasl.login.callback.handler.class": "sasl.oauthbearer.config",
    "ssl.truststore.location": "ssl.ca.location, the path of a PEM file",
    "ssl.truststore.password": "ssl.ca.location, the path of a PEM file",
    "ssl.truststore.certificates": "ssl.ca.pem",
    "ssl.keystore.certificate.chain": "ssl.certificate.pem",
    "ssl.keystore.key": "ssl.key.pem",
}

# Properties on which the guarantees of a worker depend
RESERVED = frozenset({
    "enable.auto.commit", "enable.auto.offset.store", "enable.idempotence", "acks", "request.required.acks",
    "delivery.report.only.error", "message.timeout.ms", "delivery.timeout.ms", "enable.gapless.guarantee",
})  # fmt: skip


@dataclass(frozen=True)
class KafkaSettings:
    """How clients connect to Kafka.

    brokers: the hosts of some brokers, with ports: `node1:9092,node2:9092`
    properties: further properties of all clients, in the names of librdkafka
    """

    brokers: str
    properties: Mapping[str, Any] = field(default_factory=dict)

    def make_properties(self, *more: Mapping[str, Any], defaults: Mapping[str, Any] = NO_PROPERTIES) -> Properties:
        """Return the properties of a client; later ones take precedence, and all over the defaults."""
        together: Properties = {**defaults, **self.properties, BROKERS: self.brokers}
        for each in more:
            together |= each
        return together


def make_settings(
    brokers: str | None, properties: Iterable[Mapping[str, Any]] = (), protocol: str | None = None
) -> KafkaSettings:
    """Return the settings of options and files.

    brokers: the hosts; None for those of the property bootstrap.servers
    properties: in the names of librdkafka or of the Java client; later ones take precedence
    protocol: the security protocol, or None

    Raises ValueError if there are no brokers, and for properties that librdkafka does not have.
    """
    together: Properties = {}
    for each in properties:
        together |= translate(each)
    configured = together.pop(BROKERS, None)
    hosts = brokers or configured
    if not hosts:
        raise ValueError("no Kafka brokers configured; pass --kafka HOST:PORT,...")
    if protocol is not None:
        together["security.protocol"] = check_protocol(protocol)
    return KafkaSettings(check_brokers(str(hosts)), together)


def check_brokers(hosts: str) -> str:
    """Return the hosts of brokers. Raises ValueError if one has no valid port."""
    for host in hosts.split(","):
        name, colon, port = host.strip().rpartition(":")
        if not colon or not name or not port.isdecimal() or not 1 <= int(port) <= 65535:
            raise ValueError(f"invalid Kafka broker {quote(host)}: expected HOST:PORT, such as node1:9092")
    return ",".join(host.strip() for host in hosts.split(","))


def check_protocol(name: str) -> str:
    """Return a security protocol in uppercase. Raises ValueError for an unknown one."""
    protocol = _PROTOCOL_ALIASES.get(name.upper(), name.upper())
    if protocol not in SECURITY_PROTOCOLS:
        raise ValueError(f"unknown security protocol {quote(name)}; {suggest_name(protocol, SECURITY_PROTOCOLS)}")
    return protocol


def translate(properties: Mapping[str, Any], *, reserved: frozenset[str] = RESERVED) -> Properties:
    """Return properties of the Java client in the names of librdkafka.

    reserved: properties that cannot be set, and are ignored with a warning

    Raises ValueError for a property that librdkafka has under other names.
    """
    translated: Properties = {}
    for name, value in properties.items():
        if (replacement := _REPLACEMENTS.get(name)) is not None:
            raise ValueError(f"{name} is a property of Kafka's Java client; set {replacement} instead")
        if name in reserved:
            log.warning("the property %s is ignored: it is set so that no record is lost", name)
        elif name in _IGNORED:
            log.debug("the property %s of Kafka's Java client has no effect", name)
        elif value is not None:
            translated[name] = _format(value)
    if isinstance(protocol := translated.get("security.protocol"), str):
        translated["security.protocol"] = check_protocol(protocol)
    return translated


def _format(value: object) -> object:
    """Return the value of a property as librdkafka accepts it: strings and numbers as they are, true and false."""
    return ("true" if value else "false") if isinstance(value, bool) else value


def read_properties(path: Path) -> Properties:
    """Return the properties in a file: a JSON object, or lines `name=value` as in Kafka's own files.

    Raises OSError if it cannot be read, and ValueError for an invalid line.
    """
    text = path.read_text(encoding="utf-8")
    if not text.lstrip().startswith("{"):
        return dict(_parse_line(line, f"{path}:{number}") for number, line in _list_lines(text))
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{path}: invalid JSON: {error}") from error
    return {str(name): item for name, item in value.items()}


def _list_lines(text: str) -> list[tuple[int, str]]:
    """Return the lines of a file of properties that are neither empty nor comments, with their numbers."""
    lines = enumerate(text.splitlines(), 1)
    return [(number, line) for number, line in lines if line.strip() and line.lstrip()[0] not in "#!"]


def _parse_line(line: str, where: str) -> tuple[str, str]:
    name, equals, value = line.partition("=")
    if not equals or not name.strip():
        raise ValueError(f"{where}: invalid property {quote(line)}: expected NAME=VALUE")
    return name.strip(), value.strip()


def parse_property(text: str) -> Properties:
    """Return the property of an option `NAME=VALUE`. Raises ValueError."""
    name, value = _parse_line(text, "--kafka-property")
    return {name: value}
