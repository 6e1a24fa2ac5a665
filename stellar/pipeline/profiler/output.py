"""Messages for threat triage, and error documents of profiles."""

from __future__ import annotations

from collections.abc import Callable

from stellar.pipeline.records import Record, Report, make_error_document
from stellar.profiles.builder import Measurement, make_message
from stellar.util.clock import now
from stellar.util.guids import make_guid

SENSOR = "profiler"
STAGE = "profile"

Write = Callable[[Record], None]


class ProfilerOutput:
    """Writes a message for each value with triage expressions, and an error document for each failure.

    messages: the number of messages that were written
    """

    def __init__(self, messages: Write, errors: Write) -> None:
        self._messages = messages
        self._errors = errors
        self.messages = 0

    def report(self, error: Exception) -> None:
        """Write an error document."""
        self._errors(make_error_document(Report("", STAGE, error), SENSOR))

    def emit(self, measurement: Measurement) -> None:
        """Write the message of a value, if its profile has triage expressions."""
        if not measurement.triage:
            return
        message, errors = make_message(measurement)
        for error in errors:
            self.report(error)
        self._messages({**message, "timestamp": now(), "guid": make_guid()})
        self.messages += 1
