"""Documents in OpenSearch or Elasticsearch, as `stellar-pipeline run --output opensearch:URL` writes them.

Fields have names with `:` or with `.`, by the writer, and types by an index template, or as guessed by the server.
So the names of the fields that filter and sort are read from the mapping: without a template, a string is sorted by its
subfield `keyword`. Pages continue after the sort values of the last row. Equal ones are sorted by the number of the
document in its shard. The guid would be unique, but servers sort by strings slowly: several seconds for a million
documents in the order of their time.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote as quote_path

from stellar.pipeline.connectors.search.client import SearchClient, SearchFailure, describe, describe_error, to_body
from stellar.pipeline.records import Record
from stellar.util.abbreviate import quote
from stellar.web.alerts.contents import list_reasons
from stellar.web.alerts.queries import (
    Alert,
    AlertList,
    AlertQuery,
    SourceError,
    StoredDocument,
    read_cursor,
    write_cursor,
)

INDICES = "*_index_*,-error_index_*"
MOST_SENSORS = 200
_SENSORS_SECONDS = 30.0  # for which the names of sensors are cached
_FIELDS_SECONDS = 30.0
_SPELLINGS = [spelling for word in ("true", "yes", "y", "on", "1") for spelling in (word, word.upper(), word.title())]
_LISTED = [
    name.replace(".", separator)
    for name in ("guid", "timestamp", "source.type", "is_alert", "threat.triage.*")
    for separator in ":."
]
_SORT_TYPES = {"timestamp": "date", "threat.triage.score": "float", "guid": "keyword"}


@dataclass
class _Cached:
    """A value that is read again after some seconds."""

    read: Callable[[], Any]
    seconds: float
    _value: Any = None
    _end: float = -1.0

    def get(self) -> Any:
        """Return the value."""
        if time.monotonic() >= self._end:
            self._value = self.read()
            self._end = time.monotonic() + self.seconds
        return self._value


@dataclass
class SearchSource:
    """The indices of a search server.

    indices: their names and patterns, separated by commas
    seconds: the time limit of a query

    Raises SourceError if the server can't be used, or has none of these indices.
    """

    client: SearchClient
    indices: str = INDICES
    seconds: float = 5.0
    _number: str | None = field(init=False)
    _names: _Cached = field(init=False)
    _sensors: _Cached = field(init=False)

    def __post_init__(self) -> None:
        self._names = _Cached(self._read_names, _FIELDS_SECONDS)
        self._sensors = _Cached(self._read_sensors, _SENSORS_SECONDS)
        try:
            version = self.client.read_version()
        except SearchFailure as error:
            raise SourceError(str(error)) from error
        self._number = "_seq_no" if version.is_opensearch or version.major >= 6 else None
        if not self._search({"size": 0})["_shards"]["total"]:
            raise SourceError(
                f"{self.name} has no index {quote(self.indices)}; write documents with "
                "`stellar-pipeline run --output`, or pass --index"
            )

    @property
    def name(self) -> str:
        return f"{self.client.name} at {self.client.urls}"

    def find(
        self, query: AlertQuery, cursor: str, most: int, seconds: float, among: Sequence[Alert] | None = None
    ) -> AlertList:
        names: Mapping[str, str] = self._names.get()
        order = ("threat.triage.score", "timestamp") if query.order == "score" else ("timestamp",)
        body: Record = {
            "size": most + 1,
            "query": {"bool": {"filter": self._make_filters(query, names, among)}},
            "sort": [
                {names[each]: {"order": "desc", "missing": "_last", "unmapped_type": _SORT_TYPES[each]}}
                for each in order
            ],
            "_source": _LISTED,
        }
        body["sort"].append({self._number or names["guid"]: {"order": "desc"}})
        if self._number is not None:  # the server can then skip documents instead of counting them
            body["track_total_hits"] = False
        if cursor:
            label, *body["search_after"] = read_cursor(cursor, len(order) + 2)
            if label != query.order:
                raise ValueError("the order of the list has changed; go back to the first page")
        hits = self._find_hits(body, query, names["timestamp"], most, is_sorted_by_time=among is None)
        end = _find_end(hits, most)
        position = write_cursor([query.order, *hits[end - 1]["sort"]]) if end < len(hits) else ""
        return AlertList([_make_alert(hit) for hit in hits[:end]], position)

    def _find_hits(
        self, body: Record, query: AlertQuery, time_field: str, most: int, *, is_sorted_by_time: bool
    ) -> Sequence[Record]:
        """Return the first hits, one more than `most` if there are so many.

        Servers sort by time slowly if most documents match: they compare all of them. So those of the last minute are
        sorted first, and older ones only if these are too few.
        """
        filters = body["query"]["bool"]["filter"]
        if is_sorted_by_time and query.order == "time" and self._number is not None:
            newest = self._find_newest(body, query, time_field)
            for start in _list_starts(newest, query.since):
                recent = {"bool": {"filter": [*filters, {"range": {time_field: {"gte": start}}}]}}
                hits: Sequence[Record] = self._search({**body, "query": recent})["hits"]["hits"]
                if len(hits) > most:
                    return hits
        hits = self._search(body)["hits"]["hits"]
        return hits

    def _find_newest(self, body: Record, query: AlertQuery, time_field: str) -> float | None:
        """Return the time at which a list begins, in ms; None if no document has one."""
        if "search_after" in body:
            newest = body["search_after"][0]
        else:  # for all documents, because a server has that without reading them
            found = self._search({"size": 0, "aggs": {"newest": {"max": {"field": time_field}}}})
            newest = found["aggregations"]["newest"]["value"]
        if not isinstance(newest, int | float) or newest <= 0:  # documents without a time are the last ones
            return None
        return newest if query.until is None else min(newest, query.until)

    def read(self, id: str) -> StoredDocument | None:
        index, own = _read_id(id)
        conditions = [{"ids": {"values": [own]}}, {"term": {"_index": index}}]
        hits = self._search({"size": 1, "query": {"bool": {"filter": conditions}}})["hits"]["hits"]
        if not hits:
            return None
        return StoredDocument(_make_alert(hits[0]), json.dumps(hits[0]["_source"], ensure_ascii=False))

    def list_sensors(self) -> Sequence[str]:
        sensors: Sequence[str] = self._sensors.get()
        return sensors

    def close(self) -> None:
        self.client.close()

    # -- Requests

    def _search(self, body: Record) -> Record:
        """Send a query. Raises SourceError if it fails, also in one shard only: alerts would be missing."""
        path = f"/{quote_path(self.indices, safe=',*')}/_search"
        found = self._request("POST", path, {**body, "timeout": f"{round(self.seconds * 1000)}ms"})
        if found.get("timed_out"):
            raise SourceError(
                f"the query took longer than {self.seconds:g} s; select a sensor or a time to narrow it, or pass "
                "--query-seconds"
            )
        if failures := found["_shards"].get("failures"):
            raise SourceError(f"{self.name} can't search all shards: {describe_error(failures[0].get('reason'))}")
        return found

    def _request(self, method: str, path: str, body: Record | None = None) -> Record:
        try:
            response = self.client.request(method, path, None if body is None else to_body(body))
        except SearchFailure as error:
            raise SourceError(str(error)) from error
        if response.status != 200 or not isinstance(response.body, dict):
            raise SourceError(f"{self.name} rejects the query: {describe(response)}; check --index")
        return response.body

    def _read_names(self) -> Mapping[str, str]:
        """Return the names by which the indices can be filtered and sorted, by the names of the pipeline."""
        candidates = {name: _list_candidates(name) for name in ("source.type", "is_alert", *_SORT_TYPES)}
        wanted = ",".join(each for names in candidates.values() for each in names)
        path = f"/{quote_path(self.indices, safe=',*')}/_field_caps?fields={quote_path(wanted, safe=',')}"
        existing = self._request("GET", path).get("fields", {})
        return {name: next(filter(_can_sort(existing), each), each[0]) for name, each in candidates.items()}

    def _read_sensors(self) -> Sequence[str]:
        names: Mapping[str, str] = self._names.get()
        body: Record = {
            "size": 0,
            "query": {"bool": {"filter": [{"terms": {names["is_alert"]: _SPELLINGS}}]}},
            "aggs": {"sensors": {"terms": {"field": names["source.type"], "size": MOST_SENSORS}}},
        }
        buckets = self._search(body)["aggregations"]["sensors"]["buckets"]
        return sorted(str(bucket["key"]) for bucket in buckets)

    # -- Queries

    def _make_filters(self, query: AlertQuery, names: Mapping[str, str], among: Sequence[Alert] | None) -> list[Record]:
        filters: list[Record] = []
        if not query.everything:
            filters.append({"terms": {names["is_alert"]: _SPELLINGS}})
        if query.sensor:
            filters.append({"term": {names["source.type"]: query.sensor}})
        if query.least_score is not None:
            filters.append({"range": {names["threat.triage.score"]: {"gte": query.least_score}}})
        if query.since is not None:
            filters.append({"range": {names["timestamp"]: {"gte": query.since}}})
        if query.until is not None:
            filters.append({"range": {names["timestamp"]: {"lt": query.until}}})
        if query.text:
            filters.append({"multi_match": {"query": query.text, "type": "phrase", "fields": ["*"], "lenient": True}})
        if among is not None:
            filters.append(_match_any(among, names["guid"]))
        return filters


_WINDOWS_MS = tuple(60_000 * 24**step for step in range(4))  # from a minute to ten days


def _list_starts(newest: float | None, since: int | None) -> Iterator[int]:
    """Yield earlier and earlier times from which the newest documents are searched."""
    for window in () if newest is None else _WINDOWS_MS:
        start = round(newest or 0) - window
        if since is not None and start <= since:
            return
        yield start


def _find_end(hits: Sequence[Record], most: int) -> int:
    """Return the number of rows of a page, which does not end between rows with equal sort values.

    Only documents of different shards can be equal, so a page is at most a few rows shorter.
    """
    if len(hits) <= most:
        return len(hits)
    end = most
    while end > 1 and hits[end - 1]["sort"] == hits[end]["sort"]:
        end -= 1
    return end if hits[end - 1]["sort"] != hits[end]["sort"] else most


def _match_any(alerts: Sequence[Alert], guid_field: str) -> Record:
    """Return the filter for some documents: those with the identifiers, and those with the guids."""
    choices: list[Record] = [
        {"ids": {"values": [_read_id(alert.id)[1] for alert in alerts]}},
        {"terms": {guid_field: [alert.guid for alert in alerts if alert.guid]}},
    ]
    return {"bool": {"should": choices, "minimum_should_match": 1}}


def _list_candidates(name: str) -> list[str]:
    spellings = dict.fromkeys((name.replace(".", ":"), name))
    return [candidate for each in spellings for candidate in (each, f"{each}.keyword")]


def _can_sort(existing: Mapping[str, Any]) -> Callable[[str], bool]:
    """Return a predicate that is true for a field that can be sorted in each index that has it."""

    def is_sortable(name: str) -> bool:
        types: Mapping[str, Any] = existing.get(name, {})
        kinds = [kind for type_, kind in types.items() if type_ != "unmapped"]
        return bool(kinds) and all(kind.get("aggregatable") for kind in kinds)

    return is_sortable


def _make_id(index: str, own: str) -> str:
    return write_cursor([index, own])


def _read_id(id: str) -> tuple[str, str]:
    """Return the index and the identifier of a document. Raises ValueError for an invalid one."""
    try:
        index, own = read_cursor(id, 2)
    except ValueError as error:
        raise ValueError(f"invalid document identifier {quote(id, 60)}") from error
    if not isinstance(index, str) or not isinstance(own, str):
        raise ValueError(f"invalid document identifier {quote(id, 60)}")
    return index, own


def _make_alert(hit: Record) -> Alert:
    source: Record = hit.get("_source") or {}

    def get(name: str) -> Any:
        return source.get(name.replace(".", ":"), source.get(name))

    return Alert(
        _make_id(hit["_index"], hit["_id"]),
        _to_string(get("guid")),
        get("timestamp"),
        _to_string(get("source.type")),
        get("threat.triage.score"),
        _to_string(get("is_alert")),
        list_reasons(source),
    )


def _to_string(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)
