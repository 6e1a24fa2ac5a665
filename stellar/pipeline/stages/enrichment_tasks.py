"""Tasks of enrichment, which are independent of each other, and their execution: in order, or in parallel if they wait.

A task waits if it may take long without using the CPU: it calls a model, a service or a store in the network. If at
least two such tasks of a record are not cached, they run in threads, or in fibers if the record is processed in one.
All other tasks run in the thread of the record, without a thread, a lock or a cache in between.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Protocol

from stellar.pipeline.records import Record
from stellar.pipeline.stages.enrichment_cache import EnrichmentCache
from stellar.util.forks import reset_after_fork
from stellar.util.waiting import Future, current_loop

THREADS = 64


class EnrichmentTask(Protocol):
    """A part of an enrichment that runs, fails and is cached by itself.

    adapter: the name of its adapter in the configuration
    waits: True if it may wait, as opposed to compute
    is_cached: True if equal inputs have equal results for some minutes
    """

    @property
    def adapter(self) -> str: ...

    @property
    def waits(self) -> bool: ...

    @property
    def is_cached(self) -> bool: ...

    @property
    def input_fields(self) -> frozenset[str]:
        """The fields without one of which the task does not run; without it nothing is reported for the record."""

    def has_input(self, record: Record) -> bool:
        """Return False for a record without the field that the task reads; then it does not run."""

    def make_key(self, record: Record) -> Hashable | None:
        """Return a key for the inputs of the task; None if its result for them can't be cached."""

    def run(self, record: Record) -> Record:
        """Return the fields to add. Raises an exception if they cannot be computed."""

    def describe_input(self, record: Record) -> Record:
        """Return the inputs of the task, for an error document."""

    def describe_failure(self, error: Exception) -> str:
        """Return the object in the task that failed."""


class NotCached(Exception):
    """Raised by a task whose result may be wrong, because a failure was reported, so that it must not be cached.

    fields: the result
    """

    def __init__(self, fields: Record) -> None:
        super().__init__("the result must not be cached")
        self.fields = fields


# The fields of a task; None for a task without input; an exception for one that failed
Outcome = Record | Exception | None


def _waits(task: EnrichmentTask) -> bool:
    try:
        return task.waits
    except LookupError:  # no store is configured; the task itself reports it
        return False


class TaskRunner:
    """Runs the tasks of records.

    has_run: True if there was a record
    used: the indices of the tasks that had their input in at least one record
    """

    def __init__(self, cache: EnrichmentCache) -> None:
        self.cache = cache
        self.has_run = False
        self.used: set[int] = set()
        self._pool: ThreadPoolExecutor | None = None
        self._creating = threading.Lock()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Abandon the threads, which exist in the parent only."""
        self._pool, self._creating = None, threading.Lock()

    def run_pure(self, tasks: Sequence[EnrichmentTask], record: Record) -> list[Outcome]:
        """Return the outcomes of tasks that neither wait nor are cached, and always have input."""
        outcomes: list[Outcome] = []
        for task in tasks:
            try:
                outcomes.append(task.run(record))
            except Exception as error:  # noqa: BLE001 (reported: a task that fails must not stop the record)
                outcomes.append(error)
        return outcomes

    def run_all(self, tasks: Sequence[EnrichmentTask], record: Record) -> list[Outcome]:
        """Return the outcomes of tasks, in their order."""
        outcomes: list[Outcome] = [None] * len(tasks)
        waiting = []
        self.has_run = True
        for index, task in enumerate(tasks):
            if not task.has_input(record):
                continue
            self.used.add(index)
            key = task.make_key(record) if task.is_cached else None
            cached = None if key is None else self.cache.get((index, key))
            if cached is not None:
                outcomes[index] = cached
            elif _waits(task):
                waiting.append((index, partial(self._attempt, task, record, index, key)))
            else:
                outcomes[index] = self._attempt(task, record, index, key)
        if len(waiting) > 1:
            started = [(index, self._start(work)) for index, work in waiting]
            outcomes_of_waiting = [(index, future.result()) for index, future in started]
        else:
            outcomes_of_waiting = [(index, work()) for index, work in waiting]
        for index, outcome in outcomes_of_waiting:
            outcomes[index] = outcome
        return outcomes

    def _attempt(self, task: EnrichmentTask, record: Record, index: int, key: Hashable | None) -> Outcome:
        try:
            fields = task.run(record)
        except NotCached as result:
            return result.fields
        except Exception as error:  # noqa: BLE001 (reported: a task that fails must not stop the record)
            return error
        if key is not None:
            self.cache.put((index, key), fields)
        return fields

    def _start(self, work: Callable[[], Outcome]) -> Future[Outcome]:
        """Start a callable in a fiber or thread, with the context variables of the caller."""
        future: Future[Outcome] = Future()

        def run() -> None:
            try:
                future.set_result(work())
            except BaseException as error:
                future.set_exception(error)  # else the caller would wait forever
                raise

        within = copy_context()
        if (loop := current_loop()) is not None:
            loop.start(partial(within.run, run), lambda task: None)
        else:
            self._get_pool().submit(within.run, run)
        return future

    def _get_pool(self) -> ThreadPoolExecutor:
        with self._creating:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(THREADS, "stellar enrichment")
            return self._pool
