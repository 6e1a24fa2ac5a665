"""The library of Kafka clients, loaded when it is first used, and its errors with their fixes."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from stellar.pipeline.connectors.kafka.settings import BROKERS, Properties
from stellar.util.abbreviate import quote
from stellar.util.optional_imports import import_optional

if TYPE_CHECKING:
    from confluent_kafka import KafkaError

log = logging.getLogger(__name__)

T = TypeVar("T")

EXTRA = "kafka"
CONNECT_SECONDS = 15.0


class KafkaFailure(OSError):
    """A request to Kafka failed; str() gives the reason and the fix.

    code: the code of librdkafka, otherwise None
    """

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class KafkaUnreachable(KafkaFailure):
    """No broker responds."""


class UnusableTopic(KafkaFailure):
    """A topic that does not exist, or may not be used; str() gives the reason and the fix."""


def load_library() -> Any:
    """Return the module confluent_kafka. Raises ValueError with the command to install it if it is missing."""
    try:
        return import_optional("confluent_kafka", EXTRA)
    except LookupError as error:
        raise ValueError(str(error)) from error


class ConnectionMonitor:
    """Notes the errors of connections that a client meets in the background, and logs when Kafka is unavailable.

    brokers: the hosts, for messages
    """

    def __init__(self, brokers: str) -> None:
        self._brokers = brokers
        self._last = ""
        self._was_connected = False
        self._is_down = False

    def note_error(self, error: KafkaError) -> None:
        """Note an error; librdkafka calls this while the client waits."""
        if error.name() != "_ALL_BROKERS_DOWN":
            self._last = _STATE.sub("", error.str()).replace("/bootstrap: ", ": ")
        elif self._was_connected and not self._is_down:
            self._is_down = True
            log.warning("no broker of %s is available: %s; records wait until one is", self._brokers, self._last)

    def note_success(self) -> None:
        """Note that Kafka responds."""
        if self._is_down:
            log.warning("Kafka at %s is available again", self._brokers)
        self._is_down, self._was_connected = False, True

    @property
    def problem(self) -> str | None:
        """The reason why Kafka is unavailable; None if it is available."""
        return f"no broker of {self._brokers} is available: {self._last}" if self._is_down else None

    def explain(self, error: Exception) -> KafkaFailure:
        """Return the failure of a request, with the last error of a connection if there was no response."""
        return explain_failure(error, self._brokers, self._last)

    def add_to(self, properties: Mapping[str, Any]) -> Properties:
        """Return the properties of a client whose errors are noted here."""
        return {**properties, "error_cb": self.note_error, "logger": _ClientLog()}


_STATE = re.compile(r" \(after \d+ms in state .*\)$")


class _ClientLog:
    """Receives the log of librdkafka, whose errors are also passed to callbacks."""

    name, level = __name__, logging.DEBUG

    def log(self, level: int, *arguments: object) -> None:
        log.debug(*arguments)


def make_client(kind: str, properties: Properties, monitor: ConnectionMonitor) -> Any:
    """Return a client: a `Consumer`, a `Producer`, or an `AdminClient`.

    Raises ValueError for an invalid property or if the library is not installed.
    """
    library = load_library()
    if kind == "AdminClient":
        library = import_optional("confluent_kafka.admin", EXTRA)
    try:
        return getattr(library, kind)(monitor.add_to(properties))
    except (load_library().KafkaException, TypeError, ValueError) as error:
        reason = error.args[0].str() if hasattr(error.args[0], "str") else str(error)
        fix = "; set sasl.mechanism to PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512" if "GSSAPI" in reason else ""
        raise ValueError(f"invalid Kafka property: {reason}{fix}") from error


def explain_failure(error: Exception, brokers: str, connection_error: str = "") -> KafkaFailure:
    """Return an exception of the library as a failure that says what to do.

    connection_error: the last error of a connection
    """
    failed: Any = error.args[0] if error.args else error
    if not hasattr(failed, "code"):
        return KafkaFailure(str(error))
    code: int = failed.code()
    name: str = failed.name()
    if name in CONNECTION_ERRORS:
        detail = connection_error or failed.str()
        likely = next((fix for word, fix in _CONNECTION_FIXES.items() if word in detail), "check the hosts and ports")
        return KafkaUnreachable(f"cannot connect to Kafka at {brokers}: {detail}; {likely}", code)
    fix = _FIXES.get(name)
    return KafkaFailure(f"{failed.str()}; {fix}" if fix else failed.str(), code)


CONNECTION_ERRORS = frozenset({"_TRANSPORT", "_ALL_BROKERS_DOWN", "_TIMED_OUT", "_RESOLVE"})
# By a word in the error of a connection
_CONNECTION_FIXES = {
    "SSL": "check security.protocol and ssl.ca.location",
    "uthentication": "check sasl.mechanism, sasl.username and sasl.password",
    "Disconnected": "check security.protocol",
}
_FIXES = {
    "_AUTHENTICATION": "check sasl.mechanism, sasl.username and sasl.password",
    "_SSL": "check security.protocol and ssl.ca.location",
    "TOPIC_AUTHORIZATION_FAILED": "grant the user access to the topic",
    "GROUP_AUTHORIZATION_FAILED": "grant the user access to the consumer group",
    "CLUSTER_AUTHORIZATION_FAILED": "grant the user IdempotentWrite on the cluster",
    "SASL_AUTHENTICATION_FAILED": "check sasl.username and sasl.password",
    "INCONSISTENT_GROUP_PROTOCOL": "members of the consumer group use another assignment strategy; end them first",
    "INVALID_SESSION_TIMEOUT": "set session.timeout.ms to a value that the brokers allow",
    "_AUTO_OFFSET_RESET": "set auto.offset.reset to earliest or latest",
}


def await_coordinator(request: Callable[[], T]) -> T:
    """Return the result of a request to the coordinator of a group, which may be moving to another broker.

    Raises KafkaException if it fails for another reason, or for too long.
    """
    end = time.monotonic() + CONNECT_SECONDS
    while True:
        try:
            return request()
        except load_library().KafkaException as error:
            if error.args[0].name() not in _COORDINATOR_MOVES or time.monotonic() > end:
                raise
        time.sleep(_RETRY_SECONDS)


_COORDINATOR_MOVES = frozenset({
    "NOT_COORDINATOR", "COORDINATOR_NOT_AVAILABLE", "COORDINATOR_LOAD_IN_PROGRESS", "_WAIT_COORD",
})  # fmt: skip
_RETRY_SECONDS = 0.2


def describe_missing(topic: str) -> str:
    """Return the message for a topic that does not exist."""
    return f"topic {quote(topic)} does not exist; create it with stellar-pipeline topic create {topic}"


_TOPIC_NAME = re.compile(r"[A-Za-z0-9._-]{1,249}")


def check_topic_name(topic: str) -> None:
    """Raise UnusableTopic for a name that no topic can have."""
    if not _TOPIC_NAME.fullmatch(topic):
        raise UnusableTopic(f"invalid name of a topic {quote(topic)}: expected letters, digits, '.', '_' and '-'")


def list_partitions(client: Any, monitor: ConnectionMonitor, *topics: str) -> dict[str, int]:
    """Return the number of partitions of each topic; if none is named, of all that can be used now.

    Raises KafkaUnreachable if Kafka does not respond, UnusableTopic if a topic does not exist or may not be used.
    """
    for topic in topics:
        check_topic_name(topic)
    try:
        named = [client.list_topics(topic, CONNECT_SECONDS) for topic in topics]
        found = {name: each for metadata in named for name, each in metadata.topics.items()}
        if not topics:
            found = client.list_topics(timeout=CONNECT_SECONDS).topics
    except load_library().KafkaException as error:
        client.poll(0)
        raise monitor.explain(error) from error
    monitor.note_success()
    for failure in (_explain_topic(name, each.error) for name, each in found.items() if each.error is not None):
        if topics:
            raise failure
        log.warning("%s", failure)
    return {name: len(each.partitions) for name, each in found.items() if each.error is None}


def _explain_topic(topic: str, error: KafkaError) -> UnusableTopic:
    if error.name() in ("UNKNOWN_TOPIC_OR_PART", "LEADER_NOT_AVAILABLE"):
        return UnusableTopic(describe_missing(topic), error.code())
    return UnusableTopic(f"topic {quote(topic)}: {explain_failure(Exception(error), BROKERS)}", error.code())
