"""Lists of alerts with their states, which are stored beside the documents."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import cast

from stellar.web.alerts.notes import MOST_MARKED, AlertNotes
from stellar.web.alerts.queries import ANY_STATE, NOT_CLOSED, Alert, AlertList, AlertQuery, AlertSource, State

_ONLY_NEWEST = f"Only the {MOST_MARKED} alerts that were marked last are searched."


def list_alerts(
    source: AlertSource, notes: AlertNotes, query: AlertQuery, cursor: str, most: int, seconds: float
) -> tuple[AlertList, Mapping[str, State]]:
    """Return up to `most` alerts that match a query, and the states of those that are not open by their keys.

    seconds: after about this time the list is returned as it is

    Raises SourceError, and ValueError for an invalid cursor.
    """
    if query.state in ("escalated", "closed"):
        marked = notes.list_marked(cast(State, query.state))
        found = source.find(query, cursor, most, seconds, marked)
        if len(marked) == MOST_MARKED:
            found = replace(found, notice=" ".join(filter(None, (found.notice, _ONLY_NEWEST))))
        return found, notes.find_states(found.alerts)
    if query.state == ANY_STATE:
        found = source.find(query, cursor, most, seconds)
        return found, notes.find_states(found.alerts)
    return _list_unmarked(source, notes, query, cursor, most, seconds)


def _list_unmarked(
    source: AlertSource, notes: AlertNotes, query: AlertQuery, cursor: str, most: int, seconds: float
) -> tuple[AlertList, Mapping[str, State]]:
    """Return alerts without those that are closed, or escalated. Most are open, so these are left out one by one."""
    kept: list[Alert] = []
    states: dict[str, State] = {}
    hidden = ("closed",) if query.state == NOT_CLOSED else ("closed", "escalated")
    end = time.monotonic() + seconds
    while True:
        found = source.find(query, cursor, most - len(kept), max(end - time.monotonic(), 0.0))
        marked = notes.find_states(found.alerts)
        kept += (alert for alert in found.alerts if marked.get(alert.key) not in hidden)
        states |= marked
        cursor = found.cursor
        if not cursor or len(kept) >= most or not found.is_complete:
            return replace(found, alerts=kept), states
        if time.monotonic() >= end:
            return replace(found, alerts=kept, is_complete=False), states
