"""How many different values there are, estimated in little memory by HyperLogLog. It needs the extra `sketches`."""

from __future__ import annotations

from typing import Any

from stellar.language.conversions import to_integer, to_text
from stellar.language.library import stellar
from stellar.language.runtime import ABSENT, described
from stellar.util.optional_imports import needed

PRECISION, SPARSE_PRECISION = 14, 25
# What the sketch takes: 2 to this power are its registers
LEAST_REGISTERS, MOST_REGISTERS = 4, 21


class Cardinality:
    """A HyperLogLog sketch of the texts of values. It can be merged with others of its precision, and pickled."""

    STELLAR_NOUN = "an estimator of cardinality"

    __slots__ = ("precision", "sketch", "sparse_precision")

    def __init__(self, precision: int = PRECISION, sparse_precision: int = SPARSE_PRECISION) -> None:
        """precision: 2 to this power registers; from 14 on, an estimate is within 2 %, and 10 at most, of the truth."""
        sketches = needed("datasketches", "sketches")
        self.precision, self.sparse_precision = precision, sparse_precision
        self.sketch: Any = sketches.hll_sketch(min(precision, MOST_REGISTERS), sketches.tgt_hll_type.HLL_8)

    def add(self, value: object) -> None:
        self.sketch.update(to_text(value))

    def merge(self, other: Cardinality) -> None:
        sketches = needed("datasketches", "sketches")
        union = sketches.hll_union(min(self.precision, MOST_REGISTERS))
        union.update(self.sketch)
        union.update(other.sketch)
        self.sketch = union.get_result(sketches.tgt_hll_type.HLL_8)

    def __getstate__(self) -> tuple[int, int, bytes]:
        return self.precision, self.sparse_precision, self.sketch.serialize_updatable()

    def __setstate__(self, state: tuple[int, int, bytes]) -> None:
        self.precision, self.sparse_precision, data = state
        self.sketch = needed("datasketches", "sketches").hll_sketch.deserialize(data)


@stellar("HLLP_INIT")
def init(p: object = ABSENT, sp: object = ABSENT) -> Cardinality:
    """An estimator that has seen nothing yet.

    p: The precision: 2 to this power are its registers, 4 or more; 14 if left out
    sp: The precision while it has seen little, from p to 32; 25 if both are left out
    returns: The estimator

        HLLP_CARDINALITY(HLLP_INIT())  // 0
        HLLP_INIT(3)  // error
    """
    if p is ABSENT:
        return Cardinality()
    precision, sparse = _precision("p", p), 0 if sp is ABSENT else _precision("sp", sp)
    if not LEAST_REGISTERS <= precision <= 32:
        raise ValueError(f"HLLP_INIT takes a precision from {LEAST_REGISTERS} to 32, not {precision}")
    if sparse and not precision <= sparse <= 32:
        raise ValueError(f"HLLP_INIT takes a sparse precision from p to 32, not {sparse}")
    return Cardinality(precision, sparse)


def _precision(name: str, value: object) -> int:
    if (number := to_integer(value)) is None:
        raise ValueError(f"HLLP_INIT takes a whole number as {name}, not {described(value)}")
    return number


@stellar("HLLP_ADD")
def add(hllp: Cardinality | None, value: object) -> Cardinality:
    """An estimator that has seen more; the very one given is changed.

    hllp: The estimator; null for a new one
    value: A value, or a list of values, which are told apart by their texts
    returns: The estimator

        HLLP_CARDINALITY(HLLP_ADD(null, ['a', 'b', 'a']))  // 2
        HLLP_CARDINALITY(HLLP_ADD(HLLP_INIT(), 'a'))  // 1
        HLLP_ADD('a', 'b')  // error
    """
    estimator = hllp or Cardinality()
    for item in value if isinstance(value, list) else (value,):
        estimator.add(item)
    return estimator


@stellar("HLLP_CARDINALITY")
def cardinality(*hllp: object) -> int:
    """How many different values an estimator has seen, about.

    hllp: The estimator
    returns: The estimate; 0 for anything else

        HLLP_CARDINALITY(HLLP_ADD(null, [1, 2, 3]))  // 3
        HLLP_CARDINALITY(null)  // 0
    """
    if len(hllp) != 1 or not isinstance(hllp[0], Cardinality):
        return 0
    estimate: float = hllp[0].sketch.get_estimate()
    return round(estimate)


@stellar("HLLP_MERGE", surplus="refuse")
def merge(estimators: object) -> Cardinality | None:
    """An estimator that has seen what several have seen.

    estimators: The list of estimators, all of one precision, or one estimator
    returns: A new estimator; the only one, if there is but one; null if there is none

        HLLP_CARDINALITY(HLLP_MERGE([HLLP_ADD(null, 'a'), HLLP_ADD(null, 'b')]))  // 2
        HLLP_MERGE([])  // null
        HLLP_MERGE([HLLP_INIT(5), HLLP_INIT(6)])  // error
    """
    given: list[Cardinality] = []
    for estimator in estimators if isinstance(estimators, list) else [estimators]:
        if isinstance(estimator, Cardinality):
            given.append(estimator)
        elif estimators != [None] and estimators is not None:
            raise ValueError(f"HLLP_MERGE takes estimators of cardinality, not {described(estimator)}")
    if len(given) < 2:
        return given[0] if given else None
    first = given[0]
    merged = Cardinality(first.precision, first.sparse_precision)
    for other in given:
        if (other.precision, other.sparse_precision) != (first.precision, first.sparse_precision):
            raise ValueError("HLLP_MERGE takes estimators of one precision")
        merged.merge(other)
    return merged
