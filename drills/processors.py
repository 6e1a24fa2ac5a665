"""How a thread spends its time: running, ready but without a processor, or waiting (Linux)."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self


class Shares(NamedTuple):
    """Fractions of a second. A thread that is ready is kept from running by other threads and processes."""

    running: float
    ready: float

    def __str__(self) -> str:
        waiting = max(0.0, 1 - self.running - self.ready)
        return f"{self.running:.0%} running, {self.ready:.0%} ready, {waiting:.0%} waiting"


class ThreadTimes:
    """The shares of the thread with a name, for each second of a block.

    The thread may start after the block has begun.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._samples: list[tuple[int, int]] = []  # nanoseconds running and ready, since the thread started
        self._ended = threading.Event()
        self._sampler = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Self:
        self._sampler.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        self._sampler.join()

    def second(self, number: int) -> Shares:
        """Return the shares of a second, counted from 0; of the last complete one if the block ended before it."""
        number = min(number, len(self._samples) - 2)
        before, after = self._samples[number], self._samples[number + 1]
        running, ready = ((now - then) / 1e9 for now, then in zip(after, before, strict=True))
        return Shares(running, ready)

    def _sample(self) -> None:
        begin = time.monotonic()
        while not self._ended.wait(max(0.0, begin + len(self._samples) - time.monotonic())):
            self._samples.append(self._read())

    def _read(self) -> tuple[int, int]:
        for thread in threading.enumerate():
            if thread.name == self._name:
                running, ready, _ = Path(f"/proc/self/task/{thread.native_id}/schedstat").read_text().split()
                return int(running), int(ready)
        return 0, 0
