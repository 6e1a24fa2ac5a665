"""Counts of the calls of each model version. The totals of a client are their sums, so nothing is counted twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace

from stellar.maas.errors import Reason
from stellar.maas.schema import Model

MAX_MODELS = 1000  # names may come from records
NO_MODEL = Model("", "")  # calls of endpoints without a name, and failures to find a model
OTHERS = Model("other", "")  # the models above the limit


@dataclass(slots=True)
class CallCounts:
    """Counts of the calls of one model version.

    calls: all calls
    cache_hits: calls that got a cached result
    joined: calls that waited for the result of an equal call
    succeeded: calls that made a request themselves, or were evaluated in this process, and returned the result
    shared: calls that returned the result of an equal call
    local: calls that were evaluated in this process
    failures: failed calls by reason
    """

    calls: int = 0
    cache_hits: int = 0
    joined: int = 0
    succeeded: int = 0
    shared: int = 0
    local: int = 0
    failures: Counter[Reason] = field(default_factory=Counter)


class CountsByModel:
    """The counts of all model versions, of which the first 1,000 are counted apart. The owner has the lock."""

    def __init__(self) -> None:
        self._counts = {NO_MODEL: CallCounts()}

    def of(self, model: Model | None) -> CallCounts:
        """Return the counts of a model version, to add to."""
        key = NO_MODEL if model is None else model
        if (known := self._counts.get(key)) is not None:
            return known
        return self._counts.setdefault(key if len(self._counts) < MAX_MODELS else OTHERS, CallCounts())

    def sum(self) -> CallCounts:
        """Return the sums of all counts."""
        found = list(self._counts.values())
        names = [each.name for each in fields(CallCounts) if each.name != "failures"]
        sums = {name: sum(getattr(each, name) for each in found) for name in names}
        return CallCounts(**sums, failures=sum((each.failures for each in found), Counter()))

    def copy(self) -> Iterator[tuple[Model, CallCounts]]:
        """Yield a copy of the counts of each model version."""
        for model, each in list(self._counts.items()):
            yield model, replace(each, failures=Counter(each.failures))
