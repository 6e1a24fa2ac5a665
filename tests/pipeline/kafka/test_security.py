"""Workers and topics over TLS, with passwords and with certificates."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from kafka_topics import LIMIT, Topics, Worker, wait_for, write_to

from stellar.pipeline.cli import main
from stellar.pipeline.connectors.kafka.client import UnusableTopic
from stellar.pipeline.connectors.kafka.producer import TopicWriter
from stellar.pipeline.connectors.kafka.settings import KafkaSettings
from stellar.pipeline.connectors.kafka.topics import TopicAdmin

if TYPE_CHECKING:
    from engines.kafka.server import Kafka

pytestmark = pytest.mark.engine

PASSWORD = "a secret"


class Secured(NamedTuple):
    """A broker with further ports: SASL_SSL for passwords, SSL for certificates of clients."""

    kafka: Kafka
    certificates: Path
    topics: Topics

    def hosts(self, protocol: str) -> str:
        return f"localhost:{self.kafka.ports[protocol]}"


def convert_key(key: bytes) -> bytes:
    """Return a private key in PKCS #8, the only form that Kafka reads."""
    loaded = serialization.load_pem_private_key(key, None)
    form = serialization.PrivateFormat.PKCS8
    return loaded.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


@pytest.fixture(scope="module")
def secured(engines: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    from engines.kafka.server import Kafka

    folder = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    server, client = authority.issue_cert("localhost", "127.0.0.1"), authority.issue_cert("metron@example.org")
    chain = b"".join(each.bytes() for each in server.cert_chain_pems)
    (folder / "server.pem").write_bytes(convert_key(server.private_key_pem.bytes()) + chain)
    client.private_key_pem.write_to_path(str(folder / "client.key"))
    client.cert_chain_pems[0].write_to_path(str(folder / "client.pem"))
    login = (
        "org.apache.kafka.common.security.plain.PlainLoginModule required "
        f'username="metron" password="{PASSWORD}" user_metron="{PASSWORD}";'
    )
    more = {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": folder / "server.pem",
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": folder / "ca.pem",
        "listener.name.ssl.ssl.client.auth": "required",
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.sasl_ssl.plain.sasl.jaas.config": login,
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "true",
    }
    with Kafka(more, ("SSL", "SASL_SSL")) as kafka:
        yield Secured(kafka, folder, Topics(kafka.hosts))


def allow_only(topics: Topics, topic: str, operation: str, user: str = "ANONYMOUS") -> None:
    """Let a user do one operation on a topic, and nobody anything else. Clients without a password are ANONYMOUS."""
    from confluent_kafka.admin import (
        AclBinding,
        AclOperation,
        AclPermissionType,
        ResourcePatternType,
        ResourceType,
    )

    kind, form = ResourceType.TOPIC, ResourcePatternType.LITERAL
    rule = AclBinding(kind, topic, form, f"User:{user}", "*", AclOperation[operation], AclPermissionType.ALLOW)
    topics.admin.create_acls([rule])[rule].result(30)


def write_properties(path: Path, properties: dict[str, str]) -> str:
    path.write_text("# for a test\n\n" + "".join(f"{name} = {value}\n" for name, value in properties.items()))
    return str(path)


def test_a_worker_reads_and_writes_by_password_over_tls(
    secured: Secured, tmp_path: Path, start: Callable[..., Worker]
) -> None:
    topics = secured.topics
    source, out = topics.create("in"), topics.create("out")
    (tmp_path / "c" / "parsers").mkdir(parents=True)
    parser = {"parserClassName": "JSONMap", "sensorTopic": source}
    (tmp_path / "c" / "parsers" / "s.json").write_text(json.dumps(parser))
    properties = {
        "security.protocol": "SASL_SSL",
        "ssl.ca.location": str(secured.certificates / "ca.pem"),
        "sasl.mechanism": "PLAIN",
        "sasl.username": "metron",
        "sasl.password": PASSWORD,
    }
    options = ["--kafka-config", write_properties(tmp_path / "client.properties", properties)]
    options += [
        "--config",
        str(tmp_path / "c"),
        "--sensor",
        "s",
        *write_to(out),
    ]
    topics.send(source, [b'{"n":1}'])
    worker = start(*options, hosts=secured.hosts("SASL_SSL"))
    topics.workers.append(worker)
    topics.wait_until_committed(f"{source}_parser", source)
    worker.stop()
    assert [each["n"] for each in topics.documents(out)] == [1]

    wrong = {**properties, "sasl.password": "another"}
    options[1] = write_properties(tmp_path / "wrong.properties", wrong)
    failed = start(*options, hosts=secured.hosts("SASL_SSL"))
    assert failed.process.wait(LIMIT) == 1
    assert "Invalid username or password" in failed.printed
    assert "another" not in failed.printed


def test_topics_are_read_by_a_certificate(secured: Secured, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    name = secured.topics.create("read")
    secured.topics.send(name, [b"a message"])
    properties = {
        "security.protocol": "ssl",
        "ssl.ca.location": str(secured.certificates / "ca.pem"),
        "ssl.certificate.location": str(secured.certificates / "client.pem"),
        "ssl.key.location": str(secured.certificates / "client.key"),
    }
    (tmp_path / "client.json").write_text(json.dumps(properties))
    options = ["--from-beginning", "--until-end", "--kafka", secured.hosts("SSL")]
    assert main(["topic", "tail", name, *options, "--kafka-config", str(tmp_path / "client.json")]) == 0
    assert capfd.readouterr().out == "a message\n"
    del properties["ssl.ca.location"]
    (tmp_path / "client.json").write_text(json.dumps(properties))
    assert main(["topic", "tail", name, *options, "--kafka-config", str(tmp_path / "client.json")]) == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert "certificate verify failed" in line
    assert "check security.protocol and ssl.ca.location" in line


def test_limits_that_may_not_be_read_are_a_warning(secured: Secured, caplog: pytest.LogCaptureFixture) -> None:
    topics = secured.topics
    open_to_all, protected = topics.create("open"), topics.create("protected")
    allow_only(topics, protected, "DESCRIBE")
    admin = TopicAdmin(KafkaSettings(topics.hosts))
    wait_for(lambda: protected not in admin.read_limits([protected]), "the rule")
    caplog.clear()
    assert admin.read_limits([open_to_all, protected]) == {open_to_all: 1048588}
    assert caplog.messages == [
        f"the user may not read the limit of messages of topic '{protected}', and larger messages are rejected with "
        "those sent beside them; grant DescribeConfigs on the topic"
    ]


def test_a_topic_that_may_not_be_used_is_unusable_with_the_reason(secured: Secured) -> None:
    topics = secured.topics
    protected = topics.create("hidden")
    allow_only(topics, protected, "READ", "somebody")
    wait_for(lambda: topics.admin.list_topics(protected, 30).topics[protected].error is not None, "the rule")
    writer = TopicWriter(KafkaSettings(topics.hosts), lambda rejected: None)
    for _ in range(2):  # the second one is not looked up
        with pytest.raises(UnusableTopic, match=rf"topic '{protected}': .*; grant the user access to the topic"):
            writer.require_topic(protected)
    writer.close()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("security.protocol=SASL_PLAIN", "unknown security protocol 'SASL_PLAIN'; did you mean SASL_PLAINTEXT"),
        ("ssl.truststore.location=/a.jks", "set ssl.ca.location, the path of a PEM file instead"),
        ("sasl.jaas.config=x", "set sasl.mechanism, sasl.username and sasl.password, or sasl.kerberos.keytab instead"),
        ("no equals sign", ":1: invalid property 'no equals sign': expected NAME=VALUE"),
        ("{broken", "invalid JSON"),
        ("security.protocol=SASL_PLAINTEXT", "set sasl.mechanism to PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"),
    ],
)
def test_properties_that_cannot_be_used_are_one_error(
    content: str, message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "f").write_text(content)
    assert main(["topic", "list", "--kafka", "127.0.0.1:1", "--kafka-config", str(tmp_path / "f")]) == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert message in line
