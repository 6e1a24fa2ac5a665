"""Tasks of the work queue: the scoring of one record, or of a batch in slices of time.

Records are scored one after the other. A compiled model takes microseconds for a record, in which a batch gains
nothing; so a batch only saves requests, and a bad record cannot affect its neighbors.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any, NamedTuple, NoReturn, Protocol, TypeVar

from maas_runtime.serving.http import ServedReply
from maas_runtime.serving.metrics import Outcome, ServingCounters
from stellar.models.errors import NotScored
from stellar.models.records import Record, RecordReader, UnreadableRecord, encode_error, encode_result
from stellar.models.scoring import ScoringModel
from stellar.util.abbreviate import quote

log = logging.getLogger(__name__)

MAX_ROWS = 10_000

T = TypeVar("T")


class RecordRefusal(NamedTuple):
    """The reason why a record has no result.

    status: 400 for names and types, 422 for a record that the model declines, 500 for an error of the program
    """

    status: int
    outcome: Outcome
    message: str


class RecordScorer:
    """Scores records, and counts the outcomes."""

    def __init__(self, model: ScoringModel, counters: ServingCounters) -> None:
        self._model, self._counters = model, counters
        self._reader = RecordReader(model)

    def score_query(self, query: str) -> bytes | RecordRefusal:
        """Return the result, in JSON, for the record of a query."""
        return self._score(self._reader.read_query, query)

    def score_object(self, values: Any) -> bytes | RecordRefusal:
        """Return the result, in JSON, for the record of a JSON value."""
        return self._score(self._read_object, values)

    def _read_object(self, values: Any) -> Record:
        if not isinstance(values, dict):
            raise UnreadableRecord(f"expected a JSON object with the inputs, got {quote(values, 80)}")
        return self._reader.read_object(values)

    def _score(self, read: Callable[[T], Record], source: T) -> bytes | RecordRefusal:
        try:
            encoded = encode_result(self._model.score(read(source)))
        except UnreadableRecord as error:
            return self.count_refusal(400, "invalid", str(error))
        except NotScored as error:
            return self.count_refusal(422, "declined", str(error))
        except Exception:  # an error of the program must fail this record only
            log.exception("cannot score a record")
            return self.count_refusal(500, "failed", "internal error; the log of the model has the reason")
        self._counters.records["ok"] += 1
        return encoded

    def count_refusal(self, status: int, outcome: Outcome, message: str) -> RecordRefusal:
        """Count a record without a result. Return the reason."""
        self._counters.records[outcome] += 1
        return RecordRefusal(status, outcome, message)


class ScoringTask(Protocol):
    """A request that is scored when it is its turn."""

    def advance(self, until: float) -> ServedReply | None:
        """Continue, at most until a monotonic time. Return the response once it is complete."""

    def refuse(self, message: str, seconds: int) -> ServedReply:
        """Return the response if there is no time for the request.

        seconds: until the client may try again
        """


class RecordTask:
    """The scoring of the record of one request.

    is_strict: the client distinguishes statuses
    is_lenient: respond with status 200 also if there is no result: a client of Metron gives up after any other
    """

    __slots__ = ("_is_lenient", "_is_strict", "_score", "_scorer", "_source")

    def __init__(
        self,
        scorer: RecordScorer,
        score: Callable[[Any], bytes | RecordRefusal],
        source: Any,
        *,
        is_strict: bool,
        is_lenient: bool = False,
    ) -> None:
        self._scorer, self._score, self._source = scorer, score, source
        self._is_strict, self._is_lenient = is_strict, is_lenient

    def advance(self, until: float) -> ServedReply | None:
        result = self._score(self._source)
        if result.__class__ is bytes:
            return ServedReply(200, result)
        assert isinstance(result, RecordRefusal)
        return self._reply(result.status, result.message)

    def refuse(self, message: str, seconds: int) -> ServedReply:
        refusal = self._scorer.count_refusal(503, "busy", message)
        return self._reply(refusal.status, message, ("Retry-After", str(seconds)))

    def _reply(self, status: int, message: str, *headers: tuple[str, str]) -> ServedReply:
        return make_error(200 if self._is_lenient else status, message, *_list_applied(self._is_strict), *headers)


class BatchTask:
    """The scoring of a JSON list of records.

    is_strict: the client distinguishes the statuses of records without a result
    """

    def __init__(self, scorer: RecordScorer, body: bytes, *, is_strict: bool) -> None:
        self._scorer, self._body, self._is_strict = scorer, body, is_strict
        self._rows: Iterator[Any] | None = None
        self._results: list[bytes] = []

    def advance(self, until: float) -> ServedReply | None:
        if self._rows is None:
            try:
                self._rows = iter(read_rows(self._body))
            except ValueError as error:
                return make_error(400, str(error))
        for row in self._rows:
            self._results.append(self._encode(self._scorer.score_object(row)))
            if monotonic() >= until:
                return None
        return ServedReply(200, b"[%b]" % b",".join(self._results), headers=_list_applied(self._is_strict))

    def _encode(self, result: bytes | RecordRefusal) -> bytes:
        if not isinstance(result, RecordRefusal):
            return result
        return encode_error(result.message, **({"status": result.status} if self._is_strict else {}))

    def refuse(self, message: str, seconds: int) -> ServedReply:
        self._scorer.count_refusal(503, "busy", message)
        return make_error(503, message, ("Retry-After", str(seconds)))


def _list_applied(is_strict: bool) -> tuple[tuple[str, str], ...]:
    """Return the header by which a client knows that errors are not results."""
    return (("Preference-Applied", "handling=strict"),) if is_strict else ()


def make_error(status: int, message: str, *headers: tuple[str, str]) -> ServedReply:
    """Return a response with a reason."""
    return ServedReply(status, encode_error(message), headers=headers)


def read_rows(body: bytes) -> list[Any]:
    """Return the JSON list of a batch. Raise ValueError for anything else, and for more than 10,000 rows."""
    rows = read_body(body)
    if not isinstance(rows, list):
        raise ValueError(f"expected a JSON list of objects, got {quote(rows, 80)}")
    if len(rows) > MAX_ROWS:
        raise ValueError(f"expected at most {MAX_ROWS:,} records, got {len(rows):,}; send several batches")
    return rows


def read_body(body: bytes) -> Any:
    """Return the JSON value of a body. Raise ValueError if it is invalid, or has NaN or a repeated name."""
    try:
        return _decode(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ValueError(f"the body is not UTF-8: byte {error.start}") from None
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"invalid JSON: {error}") from None


def _make_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"repeated name {quote(repeated)}; give each name once")
    return values


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON; use null for a missing value")


_decode = json.JSONDecoder(object_pairs_hook=_make_object, parse_constant=_reject_constant).decode
