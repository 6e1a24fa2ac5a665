"""Conversion of Python objects that are not Stellar values, where an operator or a function takes them.

Records may hold any Python object. A value that is only passed through stays as it is, so nothing is converted when a
record is read: helpers call `from_python` for objects of classes other than OWN.

    bool int float str bytes None list dict set     Stellar's own values, and their subclasses: unchanged
    Decimal, integers and floats of numpy           an integer if integral, else a float; numpy's floats stay floats
    bool of numpy                                   a boolean
    tuple, array of numpy                           a list
    frozenset, bytearray                            a set, bytes
    UUID, IP address, network or interface          a string
    objects of the functions, such as Bloom filters unchanged; their class declares STELLAR_NOUN
    all others, such as datetime or Fraction        foreign: unchanged, and an error where they are used

Classes are compared by name, because loading their modules takes time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import FunctionType, NoneType
from typing import Any

from stellar.language.ordered_set import OrderedSet
from stellar.util.abbreviate import describe_type

# Exact classes of values that need no conversion
OWN: frozenset[type] = frozenset(
    {str, int, float, bool, NoneType, list, dict, set, OrderedSet, bytes, FunctionType},
)
_OWN_BASES = (str, int, float, list, tuple, set, frozenset, bytes, Mapping, NoneType, FunctionType)
# The types of array elements that have a Stellar value: boolean, integers, float, strings, bytes and objects
_ARRAY_KINDS = "biufUSO"
_MAX_DIGITS = 1233  # of integers of 4,096 bits


def from_python(value: Any) -> Any:
    """Return the Stellar value of an object, or the object itself if it is one or is foreign.

    Raises ValueError for an integral Decimal that is too large for an integer.
    """
    if value.__class__ in OWN:
        return value
    convert = _find_conversion(type(value))  # type: ignore[arg-type]  # classes are hashable
    return value if convert is None else convert(value)


@lru_cache(256)
def is_unchanged(cls: type) -> bool:
    """Return True if objects of a class are Stellar values as they are: neither converted nor foreign."""
    return cls in OWN or (_find_conversion(cls) is None and not _is_foreign_class(cls))


@lru_cache(256)
def _find_conversion(cls: type) -> Callable[[Any], Any] | None:
    names = ((base.__module__, base.__name__) for base in cls.__mro__)
    return next((_CONVERSIONS[name] for name in names if name in _CONVERSIONS), None)


def is_foreign(value: Any) -> bool:
    """Return True for an object that no operator takes, and a function only if it declares its class."""
    return _is_foreign_class(type(value))


def _is_foreign_class(cls: type) -> bool:
    return cls not in OWN and not issubclass(cls, _OWN_BASES) and not hasattr(cls, "STELLAR_NOUN")


def describe_foreign(value: Any) -> str:
    """Describe a foreign object, with a conversion: `an object of type Fraction (convert it, as by float(value))`."""
    names = ((base.__module__, base.__name__) for base in type(value).__mro__)
    fix = next((_FIXES[name] for name in names if name in _FIXES), None)
    if fix is None:
        is_series = hasattr(type(value), "__iter__") and not isinstance(value, type)
        fix = "list(value)" if is_series else "str(value)"
    return f"{describe_type(value)} (convert it, as by {fix})"


def _from_decimal(value: Any) -> int | float:
    if not value.is_finite():
        return math.nan if value.is_nan() else math.copysign(math.inf, value)
    if value != value.to_integral_value():
        return float(value)
    if value.adjusted() >= _MAX_DIGITS:
        raise ValueError(f"an integer of {value.adjusted() + 1} digits is too large")
    return int(value)


def _from_array(value: Any) -> Any:
    return value.tolist() if value.dtype.kind in _ARRAY_KINDS else value


def _keep(value: Any) -> Any:
    return value


_CONVERSIONS: dict[tuple[str, str], Callable[[Any], Any]] = {
    ("decimal", "Decimal"): _from_decimal,
    ("builtins", "tuple"): list,
    ("builtins", "frozenset"): set,
    ("builtins", "bytearray"): bytes,
    ("uuid", "UUID"): str,
    **{("ipaddress", f"IPv{version}{kind}"): str for version in (4, 6) for kind in ("Address", "Network", "Interface")},
    ("numpy", "bool"): bool,
    ("numpy", "bool_"): bool,  # its name before numpy 2
    ("numpy", "timedelta64"): _keep,  # a subclass of numpy's integers
    ("numpy", "integer"): int,
    ("numpy", "floating"): float,
    ("numpy", "str_"): str.__str__,
    ("numpy", "ndarray"): _from_array,
}
_FIXES: dict[tuple[str, str], str] = {
    ("datetime", "datetime"): "int(value.timestamp() * 1000) or value.isoformat()",
    ("datetime", "date"): "value.isoformat()",
    ("datetime", "time"): "value.isoformat()",
    ("datetime", "timedelta"): "value.total_seconds()",
    ("fractions", "Fraction"): "float(value)",
    ("builtins", "complex"): "abs(value)",
    ("enum", "Enum"): "value.value",
    ("numpy", "datetime64"): "str(value)",
    ("numpy", "timedelta64"): "value.astype(int)",
    ("numpy", "ndarray"): "value.astype(str).tolist()",
}
