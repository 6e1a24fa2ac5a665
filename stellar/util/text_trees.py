"""Trees of lines, drawn with box characters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from stellar.util.abbreviate import escape


@dataclass(frozen=True, slots=True)
class TreeBranch:
    """A line of a tree, and the branches below it."""

    text: str
    children: tuple[TreeBranch, ...] = ()


def draw_branches(branches: Iterable[TreeBranch]) -> Iterator[str]:
    """Yield the lines of a tree. Whitespace and unprintable characters in a branch do not break its line."""
    siblings = list(branches)
    for branch in siblings:
        is_last = branch is siblings[-1]
        yield f"{'└─' if is_last else '├─'} {escape(' '.join(branch.text.split()))}"
        for line in draw_branches(branch.children):
            yield f"{'   ' if is_last else '│  '}{line}"
