"""What a run shows on a terminal while it goes on: a bar where rich is installed, else a line of counts."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from stellar.pipeline.records import Raw
from stellar.pipeline.run import Counts

SECONDS_BETWEEN = 0.1

_LONGEST = 400

Say = Callable[[str], None]


@dataclass(frozen=True)
class Display:
    """How to show progress, and how to say something without tearing it.

    show: takes how many bytes have been read
    """

    show: Callable[[int], None]
    say: Say

    def watched(self, source: Iterable[Raw]) -> Iterator[Raw]:
        """The same messages; the display follows."""
        done, next_time = 0, 0.0
        for raw in source:
            yield raw
            done += len(raw.content) + 1
            if (moment := time.monotonic()) >= next_time:
                self.show(done)
                next_time = moment + SECONDS_BETWEEN
        self.show(done)


def say_plainly(text: str) -> None:
    """Write a line to standard error."""
    print(text, file=sys.stderr)


def shown(text: str) -> str:
    """A text for a terminal: what is not printable is escaped, and what is very long is cut."""
    short = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in short)


@contextmanager
def display(counts: Counts, total: int | None, wanted: bool) -> Iterator[Display]:
    """A display of a run, taken away at its end; one that shows nothing unless it is wanted.

    counts: what the run keeps up to date
    total: how many bytes there are; None if that is not known
    """
    if not wanted:
        yield Display(lambda done: None, say_plainly)
        return
    try:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
    except ImportError:
        yield from _plain(counts, total)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=total)

        def show(done: int) -> None:
            progress.update(task, completed=done, description=_summary(counts))

        yield Display(show, lambda text: progress.console.print(text, markup=False, highlight=False, soft_wrap=True))


def _plain(counts: Counts, total: int | None) -> Iterator[Display]:
    def show(done: int) -> None:
        part = f"{done / total:4.0%}  " if total else ""
        print(f"\r{part}{_summary(counts)}", end="", file=sys.stderr, flush=True)

    def say(text: str) -> None:
        print(f"\r\x1b[K{text}", file=sys.stderr)

    yield Display(show, say)
    print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _summary(counts: Counts) -> str:
    return f"{counts.read:,} lines, {counts.out:,} out, {counts.rejected:,} rejected, {counts.reports:,} reports"
