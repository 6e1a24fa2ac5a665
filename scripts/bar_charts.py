"""Bar charts as SVG, for the documentation: readable on light and dark pages, without scripts or fonts of their own."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 760
MARGIN = 12
BAR, GAP, GROUP_GAP = 16, 2, 8
TITLE, AXIS = 34, 24
# Of the width of a character, in a proportional font of 12 pixels
CHARACTER = 7.0
LONGEST_LABEL = 46
VALUE = 90
# The colours of the others, ours, and a third
THEIRS, OURS, THIRD = "#90a4ae", "#3f51b5", "#ef9a50"


@dataclass(frozen=True)
class Bar:
    """A bar: its value, the value as it is shown, and its colour. A bar without a value has a text instead."""

    value: float | None
    shown: str
    colour: str


@dataclass(frozen=True)
class Group:
    """The bars of a label."""

    label: str
    bars: Sequence[Bar]


@dataclass(frozen=True)
class Scale:
    """A function from values to pixels, linear or logarithmic, and the values that are marked on its axis."""

    left: float
    right: float
    low: float
    high: float
    logarithmic: bool

    def __call__(self, value: float) -> float:
        share = (self._position(value) - self._position(self.low)) / (
            self._position(self.high) - self._position(self.low)
        )
        return self.left + share * (self.right - self.left)

    def _position(self, value: float) -> float:
        return math.log10(max(value, self.low)) if self.logarithmic else value

    def ticks(self) -> list[float]:
        if self.logarithmic:
            return [10.0**power for power in range(round(math.log10(self.low)), round(math.log10(self.high)) + 1)]
        step = _round_up(self.high / 6)
        return [step * index for index in range(int(self.high / step + 1e-9) + 1)]

    @classmethod
    def of(cls, values: Sequence[float], left: float, right: float, *, logarithmic: bool) -> Scale:
        """Return a scale that has space for all values; a logarithmic one begins at a power of ten below them."""
        if not logarithmic:
            return cls(left, right, 0, max(values), logarithmic)
        low, high = (
            round_(math.log10(value)) for round_, value in ((math.floor, min(values)), (math.ceil, max(values)))
        )
        return cls(left, right, 10.0**low, 10.0 ** max(high, low + 1), logarithmic)


def _round_up(value: float) -> float:
    """Return the next number of the form 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= value * (1 - 1e-9))


def draw_bars(
    title: str, groups: Sequence[Group], legend: Sequence[tuple[str, str]] = (), *, logarithmic: bool = False
) -> str:
    """Return a chart with horizontal bars.

    legend: the names and colours of the bars in each group

    Raises ValueError if no bar has a positive value.
    """
    values = [bar.value for group in groups for bar in group.bars if bar.value is not None and bar.value > 0]
    if not values:
        raise ValueError(f"no bar of {title!r} has a value")
    left = MARGIN + 8 + CHARACTER * min(LONGEST_LABEL, max(len(group.label) for group in groups))
    scale = Scale.of(values, left, WIDTH - MARGIN - VALUE, logarithmic=logarithmic)
    top = TITLE + (20 if legend else 0)
    bottom = top + sum(_measure(group) for group in groups)
    height = bottom + AXIS
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" font-family="system-ui, sans-serif" font-size="12">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{height}" rx="6" fill="#fff"/>',
        f'<text x="{MARGIN}" y="22" font-size="14" font-weight="600" fill="#222">{escape(title)}</text>',
        *_draw_legend(legend),
        *_draw_axis(scale, top, bottom),
    ]
    for group in groups:
        lines += _draw_group(group, scale, top)
        top += _measure(group)
    return "\n".join([*lines, "</svg>"]) + "\n"


def _measure(group: Group) -> int:
    return len(group.bars) * (BAR + GAP) + GROUP_GAP


def _draw_legend(legend: Sequence[tuple[str, str]]) -> Iterator[str]:
    x = float(MARGIN)
    for name, colour in legend:
        yield f'<rect x="{x:.0f}" y="34" width="10" height="10" fill="{colour}"/>'
        yield f'<text x="{x + 14:.0f}" y="43" fill="#555">{escape(name)}</text>'
        x += 30 + CHARACTER * len(name)


def _draw_axis(scale: Scale, top: float, bottom: float) -> Iterator[str]:
    for tick in scale.ticks():
        x = scale(tick)
        yield f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{bottom}" stroke="#ddd"/>'
        yield f'<text x="{x:.1f}" y="{bottom + 15}" text-anchor="middle" fill="#777" font-size="11">{tick:,.10g}</text>'


def _draw_group(group: Group, scale: Scale, top: float) -> Iterator[str]:
    label = group.label if len(group.label) <= LONGEST_LABEL else f"{group.label[: LONGEST_LABEL - 1]}…"
    middle = top + (_measure(group) - GROUP_GAP) / 2 + 4
    yield f'<text x="{scale.left - 8:.1f}" y="{middle:.1f}" text-anchor="end" fill="#222">{escape(label)}</text>'
    for index, bar in enumerate(group.bars):
        y = top + index * (BAR + GAP)
        end = scale.left
        if bar.value is not None:
            end = max(scale(bar.value), scale.left + 1)
            yield (
                f'<rect x="{scale.left:.1f}" y="{y}" width="{end - scale.left:.1f}" height="{BAR}" '
                f'fill="{bar.colour}"/>'
            )
        yield f'<text x="{end + 5:.1f}" y="{y + 12}" fill="#222">{escape(bar.shown)}</text>'
