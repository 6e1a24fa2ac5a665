"""The table of drills, and their findings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One line of the table.

    drill: what was done
    count: how often
    required, result: in words
    met: whether the result is what is required
    """

    drill: str
    count: str
    required: str
    result: str
    met: bool

    def row(self) -> str:
        missed = "" if self.met else " **missed**"
        return f"| {self.drill} | {self.count} | {self.required} | {self.result}{missed} |"


Drill = Callable[[], Iterator[Finding]]
DRILLS: dict[str, Drill] = {}


def drill(name: str) -> Callable[[Drill], Drill]:
    """Add a drill under a name for the command line."""

    def add(function: Drill) -> Drill:
        DRILLS[name] = function
        return function

    return add
