"""The paths of a model server."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from maas_runtime.serving.http import JSON, ServedReply, ServedRequest
from maas_runtime.serving.tasks import (
    BatchTask,
    RecordScorer,
    RecordTask,
    ScoringTask,
    make_error,
    read_body,
)

Handler = Callable[[ServedRequest], ServedReply | ScoringTask]
Read = Callable[[], ServedReply]


class ServingRoutes:
    """Finds the response to a request, or the task that makes it.

    documents: responses to a GET of further paths
    """

    def __init__(self, scorer: RecordScorer, documents: Mapping[str, Read]) -> None:
        self._scorer = scorer
        self._handlers: dict[str, dict[str, Handler]] = {
            "/apply": {"GET": self._apply_query, "HEAD": self._apply_query, "POST": self._apply_object},
            "/batch": {"POST": self._apply_batch},
            **{path: dict.fromkeys(("GET", "HEAD"), _ignore_request(read)) for path, read in documents.items()},
        }

    def respond(self, request: ServedRequest) -> ServedReply | ScoringTask:
        """Return the response, or a task for the queue."""
        handlers = self._handlers.get(request.path)
        if handlers is None:
            return make_error(404, f"unknown path; expected {', '.join(self._handlers)}")
        if (handler := handlers.get(request.method)) is None:
            allowed = ", ".join(handlers)
            return make_error(405, f"the method must be {allowed}", ("Allow", allowed))
        return handler(request)

    def is_known(self, path: str) -> bool:
        """Return True for the path of a route."""
        return path in self._handlers

    def _apply_query(self, request: ServedRequest) -> ScoringTask:
        is_strict = request.headers.is_strict
        return RecordTask(
            self._scorer, self._scorer.score_query, request.query, is_strict=is_strict, is_lenient=not is_strict
        )

    def _apply_object(self, request: ServedRequest) -> ServedReply | ScoringTask:
        if (refusal := _check_type(request)) is not None:
            return refusal
        try:
            values = read_body(request.body)
        except ValueError as error:
            return make_error(400, str(error))
        return RecordTask(self._scorer, self._scorer.score_object, values, is_strict=request.headers.is_strict)

    def _apply_batch(self, request: ServedRequest) -> ServedReply | ScoringTask:
        if (refusal := _check_type(request)) is not None:
            return refusal
        return BatchTask(self._scorer, request.body, is_strict=request.headers.is_strict)


def _ignore_request(read: Read) -> Handler:
    return lambda _: read()


def _check_type(request: ServedRequest) -> ServedReply | None:
    """Return the response to a body that is not declared as JSON; None if it is."""
    if request.headers.content_type in (JSON, ""):
        return None
    return make_error(415, f"the body must be JSON; send the header Content-Type: {JSON}")


def read_document(document: Any) -> Read:
    """Return a function that returns a JSON document, which is encoded once."""
    reply = ServedReply(200, json.dumps(document, indent=2, allow_nan=False).encode("ascii"))
    return lambda: reply
