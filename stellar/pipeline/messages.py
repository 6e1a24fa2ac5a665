"""The message in a Kafka record, and its metadata: Metron's strategies DEFAULT and ENVELOPE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stellar.java.jackson import read_first_value
from stellar.language.errors import ConfigError
from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.records import Raw, Record, format_raw
from stellar.util.abbreviate import quote
from stellar.util.suggestions import suggest_name

if TYPE_CHECKING:
    from stellar.pipeline.config.schema import ParserConfig

STRATEGIES = ("DEFAULT", "ENVELOPE")
DEFAULT_PREFIX = "metron.metadata"


@dataclass(frozen=True)
class MessageStrategy:
    """Takes the message to parse from a Kafka record, and adds metadata to the parsed records.

    prefix: a prefix for the names of metadata fields, with its dot
    is_read: if False, there is no metadata
    is_merged: if True, metadata fields are added to each record; otherwise they are variables of transformations
    message_field: the field of an envelope with the message; None if the value of the Kafka record is the message
    """

    prefix: str = f"{DEFAULT_PREFIX}."
    is_read: bool = False
    is_merged: bool = False
    message_field: str | None = None

    @property
    def changes_records(self) -> bool:
        """True if `merge` may add something to a record."""
        return self.is_merged or self.message_field is not None

    def extract(self, raw: Raw) -> tuple[bytes, Record]:
        """Return the message to parse, and the metadata.

        Raises ValueError for a key that is not a JSON object, and for an envelope without a message.
        """
        metadata = self._read_metadata(raw) if self.is_read else {}
        if self.message_field is None:
            return raw.content, metadata
        message, others = _open_envelope(raw.content, self.message_field)
        if self.is_read:
            metadata |= {f"{self.prefix}{name}": value for name, value in others.items()}
        return message.encode("utf-8", "surrogatepass"), metadata

    def _read_metadata(self, raw: Raw) -> Record:
        metadata = _read_key(raw.key) if raw.key else {}
        if raw.topic is not None:
            metadata = {"topic": raw.topic, **metadata}
        return {f"{self.prefix}{name}": value for name, value in metadata.items()}

    def merge(self, record: Record, metadata: Mapping[str, Any]) -> Record:
        """Return the record with the metadata added.

        Metadata takes precedence, but that of an envelope does not: only its `original_string` does, also if metadata
        is not merged.
        """
        if self.message_field is None:
            return {**record, **metadata} if self.is_merged else record
        together = {**metadata, **record} if self.is_merged else record
        original = metadata.get(f"{self.prefix}original_string")
        return together if original is None else {**together, "original_string": original}

    def select_variables(self, metadata: Record) -> Record:
        """Return the metadata that transformations see as variables."""
        return {} if self.is_merged else metadata


def _read_key(key: bytes) -> Record:
    text = format_raw(key)
    expectation = f"Unable to parse metadata; expected JSON Map: {text}"
    try:
        value, _ = read_first_value(text)
    except ValueError as error:
        raise ValueError(f"{expectation}: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(expectation)
    return value


def _open_envelope(content: bytes, field: str) -> tuple[str, Record]:
    """Return the message in an envelope, and the other fields."""
    try:
        value, _ = read_first_value(format_raw(content))
    except ValueError as error:
        raise ValueError(f"envelope is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError("Expected a JSON Map as the envelope.")
    message = value.pop(field, None)
    if message is None:
        raise ValueError(f"envelope has no field {quote(field)}")
    if not isinstance(message, str):
        raise ValueError(
            f"field {quote(field)} of the envelope is {_describe(message)}; expected a string with the message"
        )
    return message, value


def _describe(value: object) -> str:
    kinds = {bool: "a boolean", int: "a number", float: "a number", list: "a list", dict: "a map"}
    return kinds.get(type(value), type(value).__name__)


def build_strategy(config: ParserConfig, location: SourceLocation) -> MessageStrategy:
    """Build the message strategy of a parser configuration.

    location: the location of the parser configuration

    Raises ConfigError for an unknown strategy, and for invalid options of it.
    """
    name = config.raw_message_strategy
    if name not in STRATEGIES:
        raise (location / "rawMessageStrategy").error(
            f"unknown strategy {quote(name)}; {suggest_name(name, STRATEGIES)}"
        )
    is_envelope = name == "ENVELOPE"
    options, inner = config.raw_message_strategy_config, location / "rawMessageStrategyConfig"
    return MessageStrategy(
        _prefix(options, inner / "metadataPrefix"),
        is_envelope if config.read_metadata is None else config.read_metadata,
        is_envelope if config.merge_metadata is None else config.merge_metadata,
        _message_field(options, inner / "messageField") if is_envelope else None,
    )


def _message_field(options: Mapping[str, Any], location: SourceLocation) -> str:
    field = options.get("messageField")
    if isinstance(field, str) and field:
        return field
    raise _missing_field(location, field)


def _missing_field(location: SourceLocation, field: object) -> ConfigError:
    if field is None:
        return location.error(
            "missing messageField; the strategy ENVELOPE needs the name of the field with the message to parse"
        )
    return location.error(f"expected the name of the field with the message to parse, got {quote(field)}")


def _prefix(options: Mapping[str, Any], location: SourceLocation) -> str:
    prefix = options.get("metadataPrefix", DEFAULT_PREFIX)
    if prefix is not None and not isinstance(prefix, str):
        raise location.error(f"expected a string, got {quote(prefix)}")
    return f"{prefix}." if prefix else ""  # null means no prefix, too
