"""Elements of intervals."""

from __future__ import annotations

from stellar.models.forms.fields import ValueRange
from stellar.models.pmml.attributes import choice, optional_number
from stellar.models.pmml.xml import Element

CLOSURES = ("openOpen", "openClosed", "closedOpen", "closedClosed")


def read_range(element: Element) -> ValueRange:
    """Return the range of an Interval."""
    closure = choice(element, "closure", CLOSURES)
    low, high = optional_number(element, "leftMargin"), optional_number(element, "rightMargin")
    return ValueRange(low, high, closure.startswith("open"), closure.endswith("Open"))
