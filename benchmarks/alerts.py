"""Lists of the alerts page over a SQLite database of many alerts: 50 rows, with their states.

A search has the time limit of the page, so a string that few documents contain takes about that time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from benchmarks.measure import interleave
from benchmarks.peers import Compile
from benchmarks.report import Finding, GroupResult, Limit, Quantity, Table

if TYPE_CHECKING:
    from stellar.web.alerts.notes import AlertNotes
    from stellar.web.alerts.queries import AlertQuery
    from stellar.web.alerts.sqlite_source import SqliteSource

SLOWEST = Limit("the slowest list of alerts", must=200, aim=150, unit="ms")

ROWS, PAGE = 50, 200
SECONDS = 0.12  # as the page has
_SHARE = 0.2
_START, _STEP = 1_571_163_620_000, 37  # ms between alerts
_FIVE_MINUTES = 300_000
_RARE = 10  # alerts of a rare sensor
_SENSORS = ("squid", "bro", "snort", "asa", "yaf")


def alerts(peers: dict[str, Compile | None], documents: int) -> GroupResult:
    """Measure lists of a database with this number of alerts."""
    if peers["stellar"] is None:
        return GroupResult(["stellar is not installed\n"], [])
    with TemporaryDirectory() as directory:
        path = Path(directory) / "alerts.sqlite"
        write_alerts(path, documents)
        times = _measure(path, documents)
        size = path.stat().st_size
    rows = [(name, Quantity(time / 1e6, "ms")) for name, time in times.items()]
    title = f"{documents:,} alerts, {size / 1e6:,.0f} MB of SQLite: processor time of a list of {ROWS}"
    return GroupResult([Table(title, ("list", "time"), rows)], [Finding(SLOWEST, max(times.values()) / 1e6)])


def write_alerts(path: Path, documents: int) -> None:
    """Write a database as a run does."""
    from stellar.pipeline.connectors.sqlite import Database

    with closing(Database(str(path))) as database:
        add = database.open_table("records")
        for number in range(documents):
            add(_make_document(number, documents))


def _make_document(number: int, documents: int) -> dict[str, Any]:
    is_rare = number % (documents // _RARE) == 0
    return {
        "guid": f"{number:032x}",
        "timestamp": _START + number * _STEP,
        "source.type": "rare" if is_rare else _SENSORS[number % len(_SENSORS)],
        "is_alert": "true",
        "threat.triage.score": float(number * 7919 % 100),
        "threat.triage.rules.0.name": "blocked",
        "threat.triage.rules.0.reason": f"user{number % 977} used a blocked host",
        "user": "nobody-else" if number == 0 else f"user{number % 977}",
        "original_string": f"{_START + number * _STEP} GET http://www.example.com/{number} " + "x" * 350,
    }


def make_queries(documents: int) -> dict[str, AlertQuery]:
    """Return the queries by their names."""
    from stellar.web.alerts.queries import AlertQuery

    middle = _START + documents * _STEP // 2
    minutes = {"since": middle, "until": middle + _FIVE_MINUTES}
    return {
        "newest first": AlertQuery(),
        "highest score first": AlertQuery(order="score"),
        "one of five sensors": AlertQuery(sensor="bro"),
        f"a sensor with {_RARE} alerts": AlertQuery(sensor="rare"),
        "score from 90": AlertQuery(least_score=90),
        "a score that no alert has": AlertQuery(least_score=101),
        "five minutes, newest first": AlertQuery(**minutes),
        "five minutes, highest score first": AlertQuery(**minutes, order="score"),
        "a string in many documents": AlertQuery(text="user42"),
        "a string in one document": AlertQuery(text="nobody-else"),
    }


def _measure(path: Path, documents: int) -> dict[str, float]:
    """Return the processor time of each list in nanoseconds."""
    from stellar.web.alerts.notes import AlertNotes
    from stellar.web.alerts.sqlite_source import SqliteSource

    with closing(SqliteSource(str(path))) as source, closing(AlertNotes(f"{path}.notes")) as notes:
        return interleave(dict(_make_slices(source, notes, documents)), _SHARE)


def _make_slices(source: SqliteSource, notes: AlertNotes, documents: int) -> Iterator[tuple[str, Callable[[], object]]]:
    from stellar.web.alerts.listing import list_alerts
    from stellar.web.alerts.queries import AlertQuery

    for name, query in make_queries(documents).items():
        yield name, partial(list_alerts, source, notes, query, "", ROWS, SECONDS)
    cursor = source.find(AlertQuery(), "", ROWS * (PAGE - 1), 60).cursor
    yield f"the {PAGE}th page", partial(list_alerts, source, notes, AlertQuery(), cursor, ROWS, SECONDS)
