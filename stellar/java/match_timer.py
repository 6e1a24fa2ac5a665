"""A time limit for matches by the standard library's `re`, which has none of its own, in the main thread.

`re` looks for signals while it matches. A timer of the process sends one whenever it has used some more processor time,
and its handler raises TimeoutError in a match that has lasted longer than the limit:

    number of the match   1 1 1 2 3 3 3 3 3 …
    signals                 ^   ^   ^   ^      the last one finds the same match as the one before

Processor time, not time of day: a process that waits gets no signals, and one that is not scheduled has no time-outs.

A program allows this by `with match_timer():`, because it takes SIGVTALRM. Without it, and in threads other than the
main one, `TIMER.thread` is not the calling thread, and callers use an engine that has a time limit. A match is

    TIMER.number += 1
    TIMER.is_matching = True
    try:
        return pattern.search(string)
    finally:
        TIMER.is_matching = False
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

LIMIT = 0.2  # seconds of processor time
_INTERVAL = 0.05


class _Timer:
    """The state that matches and the handler share; only the main thread uses it.

    thread: the thread whose matches are limited, otherwise None
    number: the number of the last match
    is_matching: True while a match is under way
    """

    def __init__(self) -> None:
        self.thread: int | None = None
        self.number = 0
        self.is_matching = False
        self._seen = 0
        self._intervals = 0

    def handle_signal(self, number: int, frame: object) -> None:
        """Raise TimeoutError if the same match has been under way for the limit."""
        if not self.is_matching or self.number != self._seen:
            self._seen, self._intervals = self.number, 0
            return
        self._intervals += 1
        if self._intervals * _INTERVAL >= LIMIT:
            self.is_matching = False
            raise TimeoutError(f"the match took longer than {LIMIT * 1000:g} ms")

    def after_fork(self) -> None:
        """A child inherits no timer."""
        self.thread = None


TIMER = _Timer()
os.register_at_fork(after_in_child=TIMER.after_fork)


@contextmanager
def match_timer() -> Iterator[None]:
    """Limit the matches of the main thread within the block.

    No effect in other threads, within another such block, and if the program uses SIGVTALRM or its timer itself.
    """
    if threading.current_thread() is not threading.main_thread() or not _is_signal_free():
        yield
        return
    before: Any = signal.signal(signal.SIGVTALRM, TIMER.handle_signal)
    signal.setitimer(signal.ITIMER_VIRTUAL, _INTERVAL, _INTERVAL)
    TIMER.thread = threading.get_ident()
    try:
        yield
    finally:
        TIMER.thread = None
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _is_signal_free() -> bool:
    if not hasattr(signal, "setitimer"):  # a system without this timer, such as Windows
        return False
    is_default = signal.getsignal(signal.SIGVTALRM) in (signal.SIG_DFL, signal.SIG_IGN)
    return is_default and signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)
