"""Shadow calls: copies of calls to another version, in the background, and the comparison of the results.

The shadow is a version named by a traffic plan. Its results and failures do not affect the callers.
"""

from __future__ import annotations

import fcntl
import json
import logging
import math
import os
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

from stellar.maas.errors import MaasError
from stellar.maas.registry import Registry
from stellar.maas.routing import Chosen
from stellar.util.forks import reset_after_fork
from stellar.util.scheduler import RunLoop

log = logging.getLogger(__name__)

Result = dict[str, Any]

MOST_OPEN = 256  # pending calls of shadows; further ones are dropped
FILE_BYTES = 10 << 20
MAX_FILES = 5


@dataclass(frozen=True)
class Disagreement:
    """A call for which the shadow returned a different result.

    at: time in milliseconds since the epoch
    arguments: the strings that were sent to both models
    """

    at: int
    model: str
    version: str
    shadow: str
    function: str
    arguments: Mapping[str, str | None]
    answer: Result
    shadow_answer: Result

    def to_json(self) -> str:
        """Return one line of JSON in ASCII."""
        return json.dumps(_replace_non_finite(asdict(self)))


OnDisagreement = Callable[[Disagreement], object]


@dataclass(slots=True)
class ShadowCounters:
    """Counters of shadow calls; see `stellar.maas.client.client.Counters`."""

    compared: int = 0
    disagreed: int = 0
    shadow_failed: int = 0
    shadow_dropped: int = 0


class _ShadowCall(NamedTuple):
    endpoint: Mapping[str, Any]
    shadow: str
    function: str | None
    query: str
    result: Result


class Shadows:
    """Sends copies of calls to shadows, and compares the results.

    send: calls an endpoint, given as a map, with a function and a query; raises MaasError
    in_flight: maximum number of concurrent calls
    keys: keys of the results to compare; empty for all
    file: file for disagreements, one line of JSON each; None for none
    on_disagreement: called with each disagreement, in the thread of the shadows
    """

    def __init__(
        self,
        registry: Registry,
        send: Callable[[Mapping[str, Any], str | None, str], Result],
        in_flight: int,
        keys: Sequence[str] = (),
        file: BoundedFile | None = None,
        on_disagreement: OnDisagreement | None = None,
    ) -> None:
        self._registry = registry
        self._send = send
        self._in_flight = in_flight
        self._keys = keys
        self._file = file
        self._on_disagreement = on_disagreement
        self._counters = ShadowCounters()
        self._closed = False
        self._last_error = ""
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Start without calls: the pending ones belong to the parent."""
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._loop: RunLoop | None = None  # one thread for all shadows, to take little time from the callers
        self._calls: deque[_ShadowCall] = deque()
        self._open = self._workers = 0

    def counters(self) -> ShadowCounters:
        """Return a copy of the counters."""
        with self._lock:
            return ShadowCounters(**asdict(self._counters))

    def submit(self, endpoint: Mapping[str, Any], function: str | None, query: str, result: Result) -> None:
        """Queue a copy of a completed call for the shadow, if there is one and it is not busy. Never blocks.

        Calls that named a version are not copied, nor are calls that the shadow itself has responded to.
        """
        if not isinstance(endpoint, Chosen) or (plan := self._registry.traffic(endpoint["name"])) is None:
            return
        shadow = plan.shadow
        if shadow is None or shadow.version == endpoint["version"] or random.random() >= shadow.share:
            return
        with self._lock:
            if self._closed:
                return
            if self._open >= MOST_OPEN:
                self._counters.shadow_dropped += 1
                return
            self._open += 1
            self._calls.append(_ShadowCall(endpoint, shadow.version, function, query, result))
            if self._workers == self._in_flight:
                return
            self._workers += 1
            if self._loop is None:
                self._loop = RunLoop("shadow")
            self._loop.submit(self._process_queue)

    def _process_queue(self) -> None:
        """Process pending calls one by one, until the queue is empty."""
        while True:
            with self._lock:
                if not self._calls:
                    self._workers -= 1
                    return
                call = self._calls.popleft()
            self._compare(call)
            with self._lock:
                self._open -= 1
                if not self._open:
                    self._idle.notify_all()

    def _compare(self, call: _ShadowCall) -> None:
        name, version = call.endpoint["name"], call.shadow
        try:
            shadow = self._registry.endpoint(name, version).as_map()
            other = self._send(shadow, call.function, call.query)
            agrees = self._agree(call.result, other)
        except MaasError as error:
            self._count("shadow_failed")
            log.info("shadow %s of %s failed: %s", version, name, error)
            return
        except Exception:  # the worker must survive, to process the next call
            self._count("shadow_failed")
            log.exception("unexpected error in a call of shadow %s of %s", version, name)
            return
        self._count("compared")
        if not agrees:
            self._count("disagreed")
            self._report(_disagreement(call, other))

    def _agree(self, one: Result, other: Result) -> bool:
        if self._keys:
            return all(
                is_same_json(one.get(key), other.get(key)) and (key in one) == (key in other) for key in self._keys
            )
        return is_same_json(one, other)

    def _count(self, what: str) -> None:
        with self._lock:
            setattr(self._counters, what, getattr(self._counters, what) + 1)

    def _report(self, disagreement: Disagreement) -> None:
        if self._file is not None:
            try:
                self._file.write(disagreement.to_json())
            except OSError as error:
                if self._last_error != str(error):
                    log.warning("can't write disagreements of a shadow: %s", error)
                self._last_error = str(error)
        if self._on_disagreement is not None:
            try:
                self._on_disagreement(disagreement)
            except Exception:  # an error in the callback must not end the comparison
                log.exception("the callback for disagreements of shadows raised an error")

    def close(self, seconds: float) -> None:
        """Wait up to so many seconds for pending calls; drop the rest, and wait for the calls in flight."""
        with self._lock:
            self._closed = True
            self._idle.wait_for(lambda: not self._open, seconds)
            self._counters.shadow_dropped += len(self._calls)
            self._calls.clear()
        if self._loop is not None:
            self._loop.shutdown()


def _disagreement(call: _ShadowCall, shadow_result: Result) -> Disagreement:
    return Disagreement(
        at=int(time.time() * 1000),
        model=call.endpoint["name"],
        version=call.endpoint["version"],
        shadow=call.shadow,
        function=call.function or "apply",
        arguments=_parse_query(call.query),
        answer=call.result,
        shadow_answer=shadow_result,
    )


def is_same_json(one: Any, other: Any) -> bool:
    """Return True if two values are the same JSON value: 1 equals 1.0, but not true."""
    if isinstance(one, bool) or isinstance(other, bool) or one is None or other is None:
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(is_same_json(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_same_json, one, other))
    return bool(one == other)


def _parse_query(query: str) -> dict[str, str | None]:
    """Return the arguments in a query; a bare name is null."""
    pairs = (part.partition("=") for part in query.split("&") if part)
    return {unquote_plus(name): unquote_plus(value) if equals else None for name, equals, value in pairs}


def _replace_non_finite(value: Any) -> Any:
    """Return the value with infinite numbers, such as a parsed 1e999, replaced by null."""
    if isinstance(value, dict):
        return {key: _replace_non_finite(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_replace_non_finite(member) for member in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class BoundedFile:
    """A file of lines that is rotated when it is full; previous files are renamed to `.1`, `.2` and so on.

    Several processes may write to it. Only its owner may read it.

    most: maximum size of a file in bytes
    files: maximum number of files, the current one included
    """

    def __init__(self, path: str | os.PathLike[str], most: int = FILE_BYTES, files: int = MAX_FILES) -> None:
        self._path, self._most, self._files = Path(path), most, files
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        self._lock = threading.Lock()

    def write(self, line: str) -> None:
        """Append a line. Raises OSError if it can't be written."""
        data = f"{line}\n".encode()
        with self._lock:
            while not self._try_write(data):
                pass

    def _try_write(self, data: bytes) -> bool:
        """Append data; return False if the file was full and was rotated, by this process or by another one."""
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            status = os.fstat(file.fileno())
            try:
                if os.stat(self._path).st_ino != status.st_ino:
                    return False
            except FileNotFoundError:
                return False
            if status.st_size and status.st_size + len(data) > self._most:
                self._rotate()
                return False
            file.write(data)
            return True

    def _rotate(self) -> None:
        names = [self._path, *(self._path.with_name(f"{self._path.name}.{n}") for n in range(1, self._files))]
        for older, newer in reversed(list(zip(names[1:], names[:-1], strict=True))):
            with suppress(FileNotFoundError):
                newer.replace(older)
        if self._files < 2:
            self._path.unlink()
