"""KeyboardInterrupt at signals, but not in the middle of what must be completed."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn


class Interrupts:
    """Raises KeyboardInterrupt at signals; those that arrive within `complete` take effect at its end.

    Only the main thread receives signals; in other threads this has no effect.
    """

    def __init__(self) -> None:
        self._is_deferred = False
        self._is_pending = False

    @contextmanager
    def handle(self, *signals: signal.Signals) -> Iterator[None]:
        """Handle signals within the block."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = [(each, signal.signal(each, self._interrupt)) for each in signals]
        try:
            yield
        finally:
            for each, handler in before:
                signal.signal(each, handler)

    @contextmanager
    def complete(self) -> Iterator[None]:
        """Let the block complete, or raise its exception, before KeyboardInterrupt is raised."""
        self._is_deferred = True
        try:
            yield
        finally:
            self._is_deferred = False
        if self._is_pending:
            self._raise()

    def _interrupt(self, *_: object) -> None:
        self._is_pending = True
        if not self._is_deferred:
            self._raise()

    def _raise(self) -> NoReturn:
        self._is_pending = False
        raise KeyboardInterrupt
