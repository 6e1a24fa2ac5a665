"""Floating-point numbers as Java prints them."""

from __future__ import annotations

import math
from decimal import Decimal


def print_double(value: float) -> str:
    """Return a number as `Double.toString` does: `1.5`, `1.0E20`, `NaN`."""
    if 1e-3 <= value < 1e7 or -1e7 < value <= -1e-3:
        return float.__repr__(value)
    if value == 0:
        return "-0.0" if math.copysign(1, value) < 0 else "0.0"
    if value - value != 0:  # infinite, or not a number
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    sign, digits, exponent = Decimal(float.__repr__(value)).normalize().as_tuple()
    assert isinstance(exponent, int)  # it is finite
    exponent += len(digits) - 1
    if len(digits) == 1 and float(closer := f"{value:.1e}") == value:
        # Java prints at least two digits, and chooses the nearest two: 4.9E-324
        sign, digits, _ = Decimal(closer).as_tuple()
        exponent = int(closer.partition("e")[2])
    first, *rest = map(str, digits)
    return f"{'-' * sign}{first}.{''.join(rest) or '0'}E{exponent}"
