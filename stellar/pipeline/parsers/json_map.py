"""The JSON parser: an object is a record, or a JSONPath query selects the objects that are.

The JSON is Jackson's: strict, with comments unless there is a query, and whatever follows the first value is no part of
it. Metron loses that text silently; here it is reported.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from stellar.java.jackson import read_first_value
from stellar.language.conversions import to_string
from stellar.pipeline.parsers.lines import trim
from stellar.pipeline.parsers.parser import Settings, Unreadable, find_missing_fields
from stellar.pipeline.records import Record, to_json
from stellar.util.abbreviate import quote
from stellar.util.clock import now
from stellar.util.suggestions import suggest_name

if TYPE_CHECKING:
    from stellar.java.json_path import JsonPath


def _flatten(record: Record) -> Record:
    """Join the keys of nested maps by dots."""
    flat: Record = {}
    stack = [("", iter(record.items()))]
    while stack:
        prefix, items = stack[-1]
        for key, value in items:
            if isinstance(value, dict):
                stack.append((f"{prefix}{key}.", iter(value.items())))
                break
            flat[prefix + key] = value
        else:
            stack.pop()
    return flat


def _without_maps(record: Record) -> Record:
    return {key: value for key, value in record.items() if not isinstance(value, dict)}


def _reject_maps(record: Record) -> Record:
    for key, value in record.items():
        if isinstance(value, dict):
            raise ValueError(f"Unable to process {key} => {to_string(value)} because value is a map.")
    return dict(record)


# The treatment of maps in a record
MAP_STRATEGIES: dict[str, Callable[[Record], Record]] = {
    "DROP": _without_maps,
    "UNFOLD": _flatten,
    "ALLOW": dict,
    "ERROR": _reject_maps,
}


class JsonMapParser:
    """Parses raw messages that are a JSON object, or that contain a list of objects."""

    OPTIONS: ClassVar[frozenset[str]] = frozenset({
        "mapStrategy", "jsonpQuery", "wrapInEntityArray", "wrapEntityName", "overrideOriginalString",
    })  # fmt: skip

    def __init__(self, settings: Settings) -> None:
        strategy = settings.text("mapStrategy", "DROP")
        if strategy not in MAP_STRATEGIES:
            raise (settings.location / "mapStrategy").error(
                f"unknown strategy {quote(strategy)}; {suggest_name(strategy, MAP_STRATEGIES)}"
            )
        self.apply_strategy = MAP_STRATEGIES[strategy]
        self.query = _query(settings)
        self.entity = settings.text("wrapEntityName", "messages") if settings.truth("wrapInEntityArray") else None
        self.overrides_original = _boolean(settings, "overrideOriginalString")

    def __call__(self, text: str) -> Iterable[Record | Unreadable]:
        if self.query is not None:
            return (self._record(each, text) for each in self._select(self.query, text))
        value, rest = _read_value(text, text)
        record = self._record(value, text)
        if not rest or not rest.strip():
            return (record,)
        message = f"Unable to parse {rest}: unexpected text after the first JSON value; send one value per message"
        return record, Unreadable(rest, ValueError(message))

    def complaint(self, record: Record) -> str | None:
        return find_missing_fields(record)

    def _select(self, query: JsonPath, text: str) -> list[Any]:
        """Return the objects that the query selects."""
        wrapped = text if self.entity is None else _wrap(text, self.entity)
        value, _ = _read_value(wrapped, text, comments=False)
        if value is None:
            raise ValueError(f"Unable to parse {text}: expected an object or a list, got null")
        found = query.find(value)
        if found is None:
            return []
        if not isinstance(found, list):
            raise ValueError(
                f"Unable to parse {text}: expected jsonpQuery to select a list of objects, got {_kind(found)}"
            )
        for each in found:
            if not isinstance(each, dict):
                message = f"expected jsonpQuery to select a list of objects, got {_kind(each)} in the list"
                raise ValueError(f"Unable to parse {text}: {message}")
        return found

    def _record(self, value: Any, text: str) -> Record | Unreadable:
        if not isinstance(value, dict):
            hint = "; select its objects by jsonpQuery '$'" if isinstance(value, list) else ""
            raise ValueError(f"Unable to parse {text}: expected an object, got {_kind(value)}{hint}")
        try:
            record = self.apply_strategy(value)
        except ValueError as error:
            return Unreadable(text, ValueError(f"Unable to parse {text}: {error}"))
        if self.overrides_original:
            record["original_string"] = _to_json_simple(value)
        record.setdefault("timestamp", now())
        return record


# -- Options ----------------------------------------------------------------------------------------------------------


def _query(settings: Settings) -> JsonPath | None:
    text = "" if settings.options.get("jsonpQuery") is None else settings.text("jsonpQuery")
    if not text:
        return None
    from stellar.java.json_path import JsonPathError, compile_json_path  # few configurations have a query

    try:
        return compile_json_path(text)
    except JsonPathError as error:
        raise (settings.location / "jsonpQuery").error(str(error)) from error


def _boolean(settings: Settings, name: str) -> bool:
    value = settings.options.get(name, False)
    if not isinstance(value, bool):
        raise (settings.location / name).error(f"expected true or false, got {quote(value)}")
    return value


# -- JSON -------------------------------------------------------------------------------------------------------------


def _wrap(text: str, entity: str) -> str:
    """Wrap a sequence of values in an object with a list."""
    return f'{{ "{entity}" : [{trim(text).removesuffix(",")}]}}'


def _read_value(text: str, raw: str, *, comments: bool = True) -> tuple[Any, str]:
    """Return the first value, and the text after it.

    raw: the raw message, for errors. Raises ValueError for invalid JSON.
    """
    try:
        return read_first_value(text, comments=comments)
    except json.JSONDecodeError as error:
        message = f"{error.msg} at line {error.lineno}, column {error.colno}"
        raise ValueError(f"Unable to parse {raw}: invalid JSON: {message}") from error
    except ValueError as error:
        reason = str(error).partition("; use sys.")[0]  # of an integer with too many digits
        raise ValueError(f"Unable to parse {raw}: invalid JSON: {reason}") from error


_JSON_SIMPLE_ESCAPES = re.compile(r"[/\x7f-\x9f\u2000-\u20ff]")


def _to_json_simple(value: Record) -> str:
    """Return an object as JSON in the form of json-simple, which escapes `/` and some other characters."""
    return _JSON_SIMPLE_ESCAPES.sub(
        lambda match: "\\/" if match[0] == "/" else f"\\u{ord(match[0]):04X}", to_json(value)
    )


_KINDS = {dict: "an object", list: "a list", str: "a string", bool: "true or false", int: "a number", float: "a number"}


def _kind(value: object) -> str:
    return _KINDS.get(type(value), "null")
