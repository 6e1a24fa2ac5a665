"""The registry of drills, and their findings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """The result of a drill: one row of the table.

    drill: description of the fault and the load
    count: number of calls or runs
    required, result: the requirement and the measurement, in words
    met: True if the result meets the requirement
    """

    drill: str
    count: str
    required: str
    result: str
    met: bool

    def row(self) -> str:
        """Return the finding as a row of a Markdown table."""
        missed = "" if self.met else " **missed**"
        return f"| {self.drill} | {self.count} | {self.required} | {self.result}{missed} |"


Drill = Callable[[], Iterator[Finding]]
DRILLS: dict[str, Drill] = {}
DEFAULT: list[str] = []


def drill(name: str, *, by_default: bool = True) -> Callable[[Drill], Drill]:
    """Return a decorator that registers a drill under its name on the command line."""

    def add(function: Drill) -> Drill:
        DRILLS[name] = function
        if by_default:
            DEFAULT.append(name)
        return function

    return add
