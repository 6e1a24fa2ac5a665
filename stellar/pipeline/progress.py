"""Progress of a run on a terminal: a bar if rich is installed, otherwise a line with counts."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from stellar.pipeline.connectors.lines import LineBatch
from stellar.pipeline.run import Counts

SECONDS_BETWEEN = 0.1


Print = Callable[[str], None]


@dataclass(frozen=True)
class Display:
    """Shows progress, and prints messages without overwriting it.

    show: updates the display; takes the number of bytes read so far
    print_message: prints a line above the display
    """

    show: Callable[[int], None]
    print_message: Print

    def track(self, batches: Iterable[LineBatch]) -> Iterator[LineBatch]:
        """Yield the batches of a source, and update the display."""
        done, next_time = 0, 0.0
        for batch in batches:
            yield batch
            done += batch.size
            if (now := time.monotonic()) >= next_time:
                self.show(done)
                next_time = now + SECONDS_BETWEEN
        self.show(done)


def print_line(text: str) -> None:
    """Write a line to standard error."""
    print(text, file=sys.stderr)


@contextmanager
def display(summarize: Callable[[], str], total: int | None, enabled: bool) -> Iterator[Display]:
    """Show the progress of a run, and clear it at the end.

    summarize: returns the counts of the run so far
    total: bytes to read; None if unknown
    enabled: if False, messages are printed and no progress is shown
    """
    if not enabled:
        yield Display(lambda done: None, print_line)
        return
    try:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
    except ImportError:
        yield from _show_counts(summarize, total)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=total)

        def show(done: int) -> None:
            progress.update(task, completed=done, description=summarize())

        yield Display(show, lambda text: progress.console.print(text, markup=False, highlight=False, soft_wrap=True))


def _show_counts(summarize: Callable[[], str], total: int | None) -> Iterator[Display]:
    def show(done: int) -> None:
        percent = f"{done / total:4.0%}  " if total else ""
        print(f"\r{percent}{summarize()}", end="", file=sys.stderr, flush=True)

    def print_message(text: str) -> None:
        print(f"\r\x1b[K{text}", file=sys.stderr)

    yield Display(show, print_message)
    print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def summarize_counts(counts: Counts) -> str:
    """Return the counts of a run of a pipeline, on one line."""
    return f"{counts.read:,} lines, {counts.out:,} out, {counts.rejected:,} rejected, {counts.reports:,} reports"
