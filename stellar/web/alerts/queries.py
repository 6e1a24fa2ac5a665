"""Queries of alerts, and the interface of the sources that process them.

AlertQuery      the filters and the order of a list
Alert           a row of a list
AlertList       some rows, and the position after them
StoredDocument  a document with all its fields
AlertSource     a store of documents: SQLite, or a search engine
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

from stellar.util.abbreviate import quote

Order = Literal["time", "score"]
State = Literal["open", "escalated", "closed"]

ORDERS: tuple[Order, ...] = ("time", "score")
STATES: tuple[State, ...] = ("open", "escalated", "closed")
ANY_STATE, NOT_CLOSED = "any", "unclosed"
LONGEST_TEXT = 200
LONGEST_CURSOR = 2000


class SourceError(Exception):
    """A source is missing, locked, damaged or too slow. The message has the fix."""


@dataclass(frozen=True, slots=True)
class AlertQuery:
    """The filters and the order of a list. Empty filters match everything.

    sensor: the exact `source.type`
    least_score: the lowest score; documents without a score don't match
    text: a string in the names or values of the fields; ASCII letters match in either case
    since, until: the interval of `timestamp`, in ms since 1970, without its end
    state: one of STATES, ANY_STATE, or NOT_CLOSED
    order: the newest or the highest score first
    everything: list all documents, in the order in which they were stored
    """

    sensor: str = ""
    least_score: float | None = None
    text: str = ""
    since: int | None = None
    until: int | None = None
    state: str = NOT_CLOSED
    order: Order = "time"
    everything: bool = False


@dataclass(frozen=True, slots=True)
class Alert:
    """A row of a list.

    id: the identifier of the document in its source
    timestamp, score: as stored; normally an integer and a number, or None
    reasons: the names and reasons of the rules that matched
    problem: why the document could not be read, or empty
    """

    id: str
    guid: str
    timestamp: object
    sensor: str
    score: object
    is_alert: str
    reasons: tuple[str, ...] = ()
    problem: str = ""

    @property
    def key(self) -> str:
        """The key of its notes: the guid, so that a document that was stored twice has them once."""
        return f"guid:{self.guid}" if self.guid else f"id:{self.id}"


@dataclass(frozen=True, slots=True)
class AlertList:
    """Rows of a list.

    cursor: the position after them, for `find`; empty at the end of the list
    is_complete: False if the time was over before the list was full; the search continues at the cursor
    reached: `timestamp` up to which was searched, if the list is incomplete
    notice: a restriction that the user should know about, or empty
    """

    alerts: Sequence[Alert]
    cursor: str = ""
    is_complete: bool = True
    reached: object = None
    notice: str = ""


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """A document with all its fields.

    text: its JSON, as stored
    """

    alert: Alert
    text: str


class AlertSource(Protocol):
    """A store of documents. Its methods may be called from several threads, and raise SourceError."""

    @property
    def name(self) -> str:
        """The name of the store, for the user."""

    def find(
        self, query: AlertQuery, cursor: str, most: int, seconds: float, among: Sequence[Alert] | None = None
    ) -> AlertList:
        """Return up to `most` documents that match a query, its state excepted.

        cursor: the position to continue at, from an earlier list of the same query; empty for the beginning
        seconds: after about this time the list is returned as it is
        among: find these documents only, by their guid, or else their id

        Raises ValueError for a cursor that is not of this source and order.
        """

    def read(self, id: str) -> StoredDocument | None:
        """Return a document; None if it does not exist any more. Raises ValueError for an invalid id."""

    def list_sensors(self) -> Sequence[str]:
        """Return the names of the sensors that have alerts, sorted; at most 200."""

    def close(self) -> None:
        """Close connections."""


# -- Cursors ----------------------------------------------------------------------------------------------------------


def write_cursor(values: Sequence[object]) -> str:
    """Return a position, which consists of JSON scalars, as a string for a URL."""
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


def read_cursor(text: str, length: int) -> list[Any]:
    """Return the values of a position. Raises ValueError unless it is a list of that many scalars."""
    problem = ValueError("invalid position in the list; go back to the first page")
    if len(text) > LONGEST_CURSOR:
        raise problem
    try:
        values = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, binascii.Error, RecursionError) as error:
        raise problem from error
    if not isinstance(values, list) or len(values) != length or any(isinstance(each, list | dict) for each in values):
        raise problem
    return values


# -- Forms ------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class QueryForm:
    """The fields of the filter form, as the user has entered them.

    errors: messages by field
    """

    values: Mapping[str, str]
    errors: dict[str, str] = field(default_factory=dict)

    def read(self) -> AlertQuery:
        """Return the query; fields with errors, which are collected, don't filter."""
        since, until = self._read_time("since"), self._read_time("until")
        if since is not None and until is not None and until <= since:
            self.errors["until"] = "the end must be after the start"
        return AlertQuery(
            sensor=self.values.get("sensor", ""),
            least_score=self._read_score(),
            text=self._read_text(),
            since=since,
            until=until,
            state=self._choose("state", (NOT_CLOSED, ANY_STATE, *STATES)),
            order="score" if self._choose("order", ORDERS) == "score" else "time",
            everything=self._choose("show", ("alerts", "all")) == "all",
        )

    def _choose(self, name: str, choices: Sequence[str]) -> str:
        text = self.values.get(name, "") or choices[0]
        if text in choices:
            return text
        self.errors[name] = f"expected {', '.join(choices)}, got {quote(text, 40)}"
        return choices[0]

    def _read_text(self) -> str:
        text = self.values.get("text", "").strip()
        if len(text) <= LONGEST_TEXT:
            return text
        self.errors["text"] = f"expected at most {LONGEST_TEXT} characters, got {len(text)}"
        return ""

    def _read_score(self) -> float | None:
        text = self.values.get("score", "").strip()
        if not text:
            return None
        try:
            score = float(text[:50])
        except ValueError:
            score = math.nan
        if math.isfinite(score):
            return score
        self.errors["score"] = f"expected a number, got {quote(text, 40)}"
        return None

    def _read_time(self, name: str) -> int | None:
        text = self.values.get(name, "").strip()
        if not text:
            return None
        try:
            time = datetime.fromisoformat(text[:50])
            time = time if time.tzinfo else time.replace(tzinfo=UTC)
            return round(time.timestamp() * 1000)
        except (ValueError, OverflowError):
            self.errors[name] = f"expected a time in UTC such as 2026-11-30T16:05, got {quote(text, 40)}"
            return None
