"""Estimates of the number of distinct values in little memory, by HyperLogLog. Requires the extra `sketches`."""

from __future__ import annotations

from stellar.language.conversions import to_integer, to_string
from stellar.language.library import stellar
from stellar.language.python_values import from_python
from stellar.language.runtime import ABSENT, describe
from stellar.sketches.cardinality import LEAST_REGISTERS, MOST_PRECISION, Cardinality
from stellar.util.optional_imports import import_optional


def _check_package(_: object) -> None:
    import_optional("datasketches", "sketches")


@stellar("HLLP_INIT", check=_check_package)
def init(p: object = ABSENT, sp: object = ABSENT) -> Cardinality:
    """Return an empty estimator of distinct values.

    p: The precision: the estimator has 2 to this power registers. From 4 to 32; 14 by default
    sp: The sparse precision, from p to 32; 25 if both arguments are omitted
    returns: The estimator

        HLLP_CARDINALITY(HLLP_INIT())  // 0
        HLLP_INIT(3)  // error
    """
    if p is ABSENT:
        return Cardinality()
    precision, sparse = _require_precision("p", p), 0 if sp is ABSENT else _require_precision("sp", sp)
    if not LEAST_REGISTERS <= precision <= MOST_PRECISION:
        raise ValueError(
            f"HLLP_INIT expected a precision from {LEAST_REGISTERS} to {MOST_PRECISION} as p, got {precision}"
        )
    if sparse and not precision <= sparse <= MOST_PRECISION:
        raise ValueError(f"HLLP_INIT expected a precision from p to {MOST_PRECISION} as sp, got {sparse}")
    return Cardinality(precision, sparse)


def _require_precision(name: str, value: object) -> int:
    if (number := to_integer(value)) is None:
        raise ValueError(f"HLLP_INIT expected an integer as {name}, got {describe(value)}")
    return number


@stellar("HLLP_ADD", check=_check_package)
def add(hllp: Cardinality | None, value: object) -> Cardinality:
    """Add values to an estimator of distinct values. The estimator itself is changed.

    hllp: The estimator; null creates one
    value: A value, or a list of values; they are compared as strings, except for null
    returns: The estimator

        HLLP_CARDINALITY(HLLP_ADD(null, ['a', 'b', 'a']))  // 2
        HLLP_CARDINALITY(HLLP_ADD(HLLP_INIT(), 'a'))  // 1
        HLLP_CARDINALITY(HLLP_ADD(null, ['', null, 'null']))  // 3
        HLLP_ADD('a', 'b')  // error
    """
    estimator = hllp or Cardinality()
    value = from_python(value)
    for item in value if isinstance(value, list) else (value,):
        estimator.add(None if item is None else to_string(item))
    return estimator


@stellar("HLLP_CARDINALITY", pure=True)
def cardinality(*hllp: object) -> int:
    """Estimate the number of distinct values.

    hllp: The estimator
    returns: The estimate; 0 for any other value

        HLLP_CARDINALITY(HLLP_ADD(null, [1, 2, 3]))  // 3
        HLLP_CARDINALITY(null)  // 0
    """
    if len(hllp) != 1 or not isinstance(hllp[0], Cardinality):
        return 0
    estimate: float = hllp[0].sketch.get_estimate()
    return round(estimate)


@stellar("HLLP_MERGE", surplus="refuse")
def merge(estimators: object) -> Cardinality | None:
    """Merge estimators of distinct values.

    estimators: List of estimators of the same precision, or a single estimator
    returns: A new estimator; the only element of a list of one; null for an empty list

        HLLP_CARDINALITY(HLLP_MERGE([HLLP_ADD(null, 'a'), HLLP_ADD(null, 'b')]))  // 2
        HLLP_MERGE([])  // null
        HLLP_MERGE([HLLP_INIT(5), HLLP_INIT(6)])  // error
    """
    members: list[Cardinality] = []
    for estimator in estimators if isinstance(estimators, list) else [estimators]:
        if isinstance(estimator, Cardinality):
            members.append(estimator)
        elif estimators != [None] and estimators is not None:
            raise ValueError(f"HLLP_MERGE expected estimators of cardinality, got {describe(estimator)}")
    if len(members) < 2:
        return members[0] if members else None
    first = members[0]
    merged = Cardinality(first.precision, first.sparse_precision)
    for other in members:
        if (other.precision, other.sparse_precision) != (first.precision, first.sparse_precision):
            raise ValueError("HLLP_MERGE expected estimators of the same precision")
        merged.merge(other)
    return merged
