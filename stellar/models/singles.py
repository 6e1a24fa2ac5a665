"""Functions of binary32 numbers, with the results of the C library if Python can call it.

The C library's results differ from the correctly rounded ones in the last bit of about one in a thousand. XGBoost
returns those of the C library.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable

from stellar.models.values import round_single

Function = Callable[[float], float]


def _exp(value: float) -> float:
    try:
        return round_single(math.exp(value))
    except OverflowError:
        return math.inf


def _log(value: float) -> float:
    return round_single(math.log(value))


def _load_library() -> tuple[Function, Function]:
    try:
        library = ctypes.CDLL(None)
        exp, log = library.expf, library.logf
    except (OSError, TypeError, AttributeError):  # Windows and static builds of Python have no such names
        return _exp, _log
    for function in (exp, log):
        function.argtypes, function.restype = [ctypes.c_float], ctypes.c_float
    return exp, log


exp_single, log_single = _load_library()
