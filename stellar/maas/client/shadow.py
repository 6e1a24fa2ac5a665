"""Sends calls to a model's shadow too, in the background, and tells where its answers differ.

The shadow is a version that a traffic plan names. What it does, or does not do, changes nothing for those who call.
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

MOST_OPEN = 256  # calls that no shadow has answered yet; more are dropped
FILE_BYTES = 10 << 20
FILES_KEPT = 5


@dataclass(frozen=True)
class Disagreement:
    """A call to which the shadow answered something else.

    at: milliseconds since the epoch
    arguments: the texts that the models were asked with
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
        """One line of ASCII, whatever the arguments hold."""
        return json.dumps(_finite(asdict(self)))


OnDisagreement = Callable[[Disagreement], object]


@dataclass(slots=True)
class ShadowCounters:
    compared: int = 0
    disagreed: int = 0
    shadow_failed: int = 0
    shadow_dropped: int = 0


class _Call(NamedTuple):
    endpoint: Mapping[str, Any]
    shadow: str
    function: str | None
    query: str
    answer: Result


class Shadows:
    """Shows calls to shadows, and compares what they answer.

    ask: asks an endpoint, given as a map, for a function with a query; raises MaasError
    in_flight: so many calls are with shadows at a time
    keys: which members of an answer are compared; all if there are none
    file: where disagreements are written, a line of JSON each; None for nowhere
    on_disagreement: called with each, in the thread of all shadows
    """

    def __init__(
        self,
        registry: Registry,
        ask: Callable[[Mapping[str, Any], str | None, str], Result],
        in_flight: int,
        keys: Sequence[str] = (),
        file: BoundedFile | None = None,
        on_disagreement: OnDisagreement | None = None,
    ) -> None:
        self._registry = registry
        self._ask = ask
        self._in_flight = in_flight
        self._keys = keys
        self._file = file
        self._on_disagreement = on_disagreement
        self._counters = ShadowCounters()
        self._closed = False
        self._trouble = ""
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """The calls of the parent stay with it."""
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._hub: RunLoop | None = None  # one thread for all, so that callers lose as little time to it as can be
        self._calls: deque[_Call] = deque()
        self._open = self._fibers = 0

    def counters(self) -> ShadowCounters:
        with self._lock:
            return ShadowCounters(**asdict(self._counters))

    def show(self, endpoint: Mapping[str, Any], function: str | None, query: str, answer: Result) -> None:
        """Send a call that was answered to the shadow too, if there is one and it is not busy. Waits for nothing.

        A call that named its version is shown to nobody, and so is one that the shadow itself has answered.
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
            self._calls.append(_Call(endpoint, shadow.version, function, query, answer))
            if self._fibers == self._in_flight:
                return
            self._fibers += 1
            if self._hub is None:
                self._hub = RunLoop("shadow")
            self._hub.submit(self._work_off)

    def _work_off(self) -> None:
        """Show calls, one after the other, until there is none."""
        while True:
            with self._lock:
                if not self._calls:
                    self._fibers -= 1
                    return
                call = self._calls.popleft()
            self._compared(call)
            with self._lock:
                self._open -= 1
                if not self._open:
                    self._idle.notify_all()

    def _compared(self, call: _Call) -> None:
        endpoint, version, function, query, answer = call
        try:
            asked = self._registry.endpoint(endpoint["name"], version).as_map()
            other = self._ask(asked, function, query)
            agreed = self._agree(answer, other)
        except MaasError as error:
            self._counted("shadow_failed")
            log.info("the shadow %s of %s: %s", version, endpoint["name"], error)
            return
        except Exception:  # whatever it answers, the next one is shown to it too
            self._counted("shadow_failed")
            log.exception("a call could not be shown to the shadow %s of %s", version, endpoint["name"])
            return
        self._counted("compared")
        if not agreed:
            self._counted("disagreed")
            self._tell(
                Disagreement(
                    int(time.time() * 1000),
                    endpoint["name"],
                    endpoint["version"],
                    version,
                    function or "apply",
                    _arguments(query),
                    answer,
                    other,
                )
            )

    def _agree(self, one: Result, other: Result) -> bool:
        if self._keys:
            return all(same(one.get(key), other.get(key)) and (key in one) == (key in other) for key in self._keys)
        return same(one, other)

    def _counted(self, what: str) -> None:
        with self._lock:
            setattr(self._counters, what, getattr(self._counters, what) + 1)

    def _tell(self, disagreement: Disagreement) -> None:
        if self._file is not None:
            try:
                self._file.write(disagreement.to_json())
            except OSError as error:
                if self._trouble != str(error):
                    log.warning("what a shadow answers otherwise can't be written down: %s", error)
                self._trouble = str(error)
        if self._on_disagreement is not None:
            try:
                self._on_disagreement(disagreement)
            except Exception:  # who listens must not end the comparison
                log.exception("what is called for each disagreement failed itself")

    def close(self, seconds: float) -> None:
        """Wait so long for the calls that are still to be shown; drop the others, and wait for what is under way."""
        with self._lock:
            self._closed = True
            self._idle.wait_for(lambda: not self._open, seconds)
            self._counters.shadow_dropped += len(self._calls)
            self._calls.clear()
        if self._hub is not None:
            self._hub.shutdown()


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same as JSON: 1 is 1.0, and true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool) or one is None or other is None:
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def _arguments(query: str) -> dict[str, str | None]:
    """What a query holds; a bare name is null."""
    pairs = (part.partition("=") for part in query.split("&") if part)
    return {unquote_plus(name): unquote_plus(value) if equals else None for name, equals, value in pairs}


def _finite(value: Any) -> Any:
    """The value without numbers that JSON does not have, which 1e999 becomes when it is read."""
    if isinstance(value, dict):
        return {key: _finite(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_finite(member) for member in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class BoundedFile:
    """Lines in a file that is begun anew when it is full; the last ones stay as `.1`, `.2` and so on.

    Several programs may write to it. It is readable for its owner alone.

    most: bytes of each
    kept: how many files there may be in all
    """

    def __init__(self, path: str | os.PathLike[str], most: int = FILE_BYTES, kept: int = FILES_KEPT) -> None:
        self._path, self._most, self._kept = Path(path), most, kept
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        self._lock = threading.Lock()

    def write(self, line: str) -> None:
        """Add a line. Raises OSError if it can't be written."""
        data = f"{line}\n".encode()
        with self._lock:
            while not self._written(data):
                pass

    def _written(self, data: bytes) -> bool:
        """False if the file was full, or somebody else has just begun it anew."""
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
                self._begin_anew()
                return False
            file.write(data)
            return True

    def _begin_anew(self) -> None:
        names = [self._path, *(self._path.with_name(f"{self._path.name}.{n}") for n in range(1, self._kept))]
        for older, newer in reversed(list(zip(names[1:], names[:-1], strict=True))):
            with suppress(FileNotFoundError):
                newer.replace(older)
        if self._kept < 2:
            self._path.unlink()
