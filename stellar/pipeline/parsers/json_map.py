"""The JSON parser: each object is a record."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from stellar.pipeline.parsers.parser import Settings, Unreadable, find_missing_fields
from stellar.pipeline.records import Record, now, to_json
from stellar.util.suggestions import suggest_name


def _flatten(record: Record, prefix: str = "") -> Record:
    flat: Record = {}
    for key, value in record.items():
        if isinstance(value, dict):
            flat.update(_flatten(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat


def _without_maps(record: Record) -> Record:
    return {key: value for key, value in record.items() if not isinstance(value, dict)}


def _reject_maps(record: Record) -> Record:
    for key, value in record.items():
        if isinstance(value, dict):
            raise ValueError(f"Unable to process {key} => {json.dumps(value)} because value is a map.")
    return record


# The treatment of maps in a record
MAP_STRATEGIES: dict[str, Callable[[Record], Record]] = {
    "DROP": _without_maps,
    "UNFOLD": _flatten,
    "ALLOW": dict,
    "ERROR": _reject_maps,
}


class JsonMapParser:
    """Parses raw messages that are a JSON object or a list of objects."""

    def __init__(self, settings: Settings) -> None:
        strategy = settings.text("mapStrategy", "DROP").upper()
        if strategy not in MAP_STRATEGIES:
            raise (settings.location / "mapStrategy").error(
                f"unknown strategy {strategy!r}; {suggest_name(strategy, MAP_STRATEGIES)}"
            )
        for key in ("jsonpQuery", "wrapInEntityArray"):
            if settings.options.get(key):
                raise (settings.location / key).error(
                    f"unsupported option {key!r}; send an object or a list of objects"
                )
        self.flatten = MAP_STRATEGIES[strategy]
        self.own_text = settings.truth("overrideOriginalString")

    def __call__(self, text: str) -> Iterator[Record | Unreadable]:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"Unable to parse {text}: {error}") from error
        for item in value if isinstance(value, list) else [value]:
            try:
                yield self._record(item, text)
            except ValueError as error:
                yield Unreadable(text, error)

    def complaint(self, record: Record) -> str | None:
        return find_missing_fields(record)

    def _record(self, item: Any, text: str) -> Record:
        if not isinstance(item, dict):
            raise ValueError(f"Unable to parse {text}: expected an object")
        record = self.flatten(item)
        if self.own_text:
            record["original_string"] = to_json(item)
        else:
            record.setdefault("original_string", text)
        record.setdefault("timestamp", now())
        return record
