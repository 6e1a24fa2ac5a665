"""Checkpoints of a run: its documents, positions and counts are stored together, about once a second."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict

from stellar.pipeline.connectors.lines import LineBatch
from stellar.pipeline.connectors.positions import RunState
from stellar.pipeline.connectors.sinks import SECONDS_BETWEEN_SAVES, Sinks
from stellar.pipeline.run import Counts


class Checkpoints:
    """Stores the state of a run with its documents.

    state: the state, as stored last; the position in each file advances by the batches that are committed
    counts: the counts of the run, which continue those of the state
    complete: returns a context manager in which interrupts wait, so that documents are not visible without their state
    """

    def __init__(
        self,
        sinks: Sinks,
        state: RunState,
        counts: Counts,
        clock: Callable[[], float] = time.monotonic,
        complete: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._sinks = sinks
        self._state = state
        self._counts = counts
        self._clock = clock
        self._complete = complete
        self._seconds = sinks.seconds_between_saves
        self._next = clock() + self._seconds
        self._is_current = True
        self._restore_counts(state)

    def commit(self, batch: LineBatch) -> None:
        """Note that the documents of a batch were written, and save if it is time to. Raises OSError."""
        if batch.source is not None:
            batch.source.commit(batch.position, batch.is_last)
            self._is_current = False
        # Without more lines for now, save at once, unless that makes many small files
        is_idle = batch.source is None and self._seconds == SECONDS_BETWEEN_SAVES
        if not self._is_current and (is_idle or self._clock() >= self._next):
            self.save()

    def save(self) -> None:
        """Store all documents, positions and counts. Raises OSError."""
        self._sinks.deliver()  # may take long, and be interrupted
        with self._complete():
            self._state.counts = asdict(self._counts)
            self._sinks.save(self._state)
            self._is_current = True
            self._next = self._clock() + self._seconds

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(self, *exception: object) -> None:
        """Save at the end; after an exception, discard what was written since the last save, if that can be resumed."""
        if exception[0] is not None:
            self._roll_back()
            return
        try:
            self._sinks.deliver()
        except BaseException:
            self._roll_back()
            raise
        self.save()

    def _roll_back(self) -> None:
        if self._sinks.has_positions:
            self._restore_counts(self._sinks.roll_back())

    def _restore_counts(self, state: RunState | None) -> None:
        for name in asdict(self._counts):
            setattr(self._counts, name, 0 if state is None else state.counts.get(name, 0))
