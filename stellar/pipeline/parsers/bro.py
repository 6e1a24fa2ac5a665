"""The parser of Bro, now Zeek: JSON logs such as `{"http": {"ts": 1402307733.473, …}}`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, ClassVar

from stellar.java.hash_order import sort_in_hash_order
from stellar.java.integers import LONG_MAX, LONG_MIN
from stellar.language.conversions import to_string
from stellar.pipeline.parsers.json_simple import format_json, parse_json
from stellar.pipeline.parsers.parser import Settings, find_missing_fields
from stellar.pipeline.records import Record

_NOT_IN_KEYS = re.compile(r"[^._a-zA-Z0-9]+")

# The fields of a connection, with the keys that define them, by precedence, and a list whose first element also does
_ENDPOINTS = (
    ("ip_src_addr", ("source_ip", "id.orig_h"), "tx_hosts"),
    ("ip_dst_addr", ("dest_ip", "id.resp_h"), "rx_hosts"),
    ("ip_src_port", ("source_port", "id.orig_p"), None),
    ("ip_dst_port", ("dest_port", "id.resp_p"), None),
)


class BroParser:
    """Parses an object whose key is the protocol and whose value is the log, or a log with the key `type`."""

    OPTIONS: ClassVar[frozenset[str]] = frozenset({"corrected"})

    def __init__(self, settings: Settings) -> None:
        self.keeps_nulls = settings.truth("corrected")

    def __call__(self, text: str) -> Iterator[Record]:
        try:
            yield self._record(text)
        except ValueError as error:
            raise ValueError(f"Unable to parse Message: {text}") from error

    def complaint(self, record: Record) -> str | None:
        return find_missing_fields(record)

    def _record(self, text: str) -> Record:
        protocol, record = _find_log(parse_json(text))
        if not self.keeps_nulls and (null := next((key for key, value in record.items() if value is None), None)):
            raise ValueError(f"{null} is null; set corrected to true in parserConfig to accept null")
        record["original_string"] = " ".join(
            [f"{protocol.upper()} |", *(f"{key}:{_show(value)}" for key, value in record.items())]
        )
        _set_timestamp(record)
        for field, keys, hosts in _ENDPOINTS:
            if not _rename_first(record, keys, field) and hosts is not None:
                _take_first_host(record, hosts, field)
        record["protocol"] = protocol
        return record


def _find_log(outer: Any) -> tuple[str, Record]:
    """Return the protocol and the log. If there are several keys, the protocol is the first by Java's hash order."""
    if not isinstance(outer, dict):
        raise ValueError("expected an object")
    by_cleaned_key = {_clean(key): outer[key] for key in sort_in_hash_order(outer)}
    log = {_clean(key): by_cleaned_key[_clean(key)] for key in outer}
    if "type" in log:
        if log["type"] is None:
            raise ValueError("type is null")
        return _show_type(log["type"]), log
    if not log:
        raise ValueError("the object is empty")
    protocol = sort_in_hash_order(by_cleaned_key)[0]
    if not isinstance(log[protocol], dict):
        raise ValueError(f"the value of {protocol} is not an object")
    return protocol, dict(log[protocol])


def _clean(key: str) -> str:
    return _NOT_IN_KEYS.sub("", key)


def _show_type(value: Any) -> str:
    return format_json(value) if isinstance(value, dict | list) else to_string(value)


def _show(value: Any) -> str:
    return format_decimal(value) if isinstance(value, float) else _show_type(value)


def format_decimal(value: float) -> str:
    """Return a number with one to six decimals, such as 3.0 and 0.041203."""
    if value - value != 0:
        return "∞" if value > 0 else "-∞"
    shortest = Decimal(repr(value))
    if int(shortest.as_tuple().exponent) < -6:  # round the exact value, half to even
        shortest = Decimal(value).quantize(Decimal("1e-6"), ROUND_HALF_EVEN)
    whole, _, decimals = f"{shortest:f}".partition(".")
    return f"{whole}.{decimals.rstrip('0') or '0'}"


def _set_timestamp(record: Record) -> None:
    _rename_first(record, ("ts",), "timestamp")
    if "timestamp" not in record:
        return
    seconds = record["timestamp"]
    if seconds.__class__ not in (int, float):
        raise ValueError(f"the time {format_json(seconds)} is not a number")
    milliseconds = float(seconds) * 1000
    record["timestamp"] = int(max(LONG_MIN, min(LONG_MAX, milliseconds)))
    record["bro_timestamp"] = format_decimal(float(seconds))


def _rename_first(record: Record, keys: tuple[str, ...], field: str) -> bool:
    """Rename the first of several keys that exists; return False if none does."""
    key = next((key for key in keys if key in record), None)
    if key is not None:
        record[field] = record.pop(key)
    return key is not None


def _take_first_host(record: Record, key: str, field: str) -> None:
    hosts = record.pop(key, None)
    if hosts is None:
        return
    if not isinstance(hosts, list):
        raise ValueError(f"{key} is not a list")
    if hosts:
        record[field] = hosts[0]
