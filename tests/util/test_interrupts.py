"""Signals raise KeyboardInterrupt, or after the end of a block that must complete."""

from __future__ import annotations

import signal
import threading

import pytest

from stellar.util.interrupts import Interrupts


def test_a_signal_interrupts_the_block() -> None:
    interrupts = Interrupts()
    before = signal.getsignal(signal.SIGTERM)
    with interrupts.handle(signal.SIGTERM), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_signal_takes_effect_after_what_must_be_completed() -> None:
    interrupts = Interrupts()
    done = []

    def complete() -> None:
        with interrupts.complete():
            signal.raise_signal(signal.SIGTERM)
            done.append("completed")
        done.append("continued")

    with interrupts.handle(signal.SIGTERM), pytest.raises(KeyboardInterrupt):
        complete()
    assert done == ["completed"]


def test_an_error_of_what_must_be_completed_is_raised() -> None:
    interrupts = Interrupts()

    def fail() -> None:
        with interrupts.complete():
            signal.raise_signal(signal.SIGTERM)
            raise OSError("disk full")

    with interrupts.handle(signal.SIGTERM), pytest.raises(OSError, match="disk full"):
        fail()


def test_other_threads_handle_no_signals() -> None:
    found = []

    def work() -> None:
        with Interrupts().handle(signal.SIGTERM):
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [signal.getsignal(signal.SIGTERM)]
