"""Results of boosters from the sums of their trees."""

from __future__ import annotations

import math
from collections.abc import Callable

from stellar.models.evaluation.predictions import Prediction, Predictions, find_winner
from stellar.models.forms.boosting import Link
from stellar.models.singles import exp_single
from stellar.models.values import round_single

Sums = list[float]
Convert = Callable[[Sums], Predictions]


def compile_link(link: Link, target: str | None, is_single: bool) -> Convert:
    """Return a function of the sums that returns the predictions."""
    function = LINKS[is_single][link.name](link)
    return _RESULTS[link.result](function, target)


# -- Results ----------------------------------------------------------------------------------------------------------


def _return_numbers(function: Callable[[Sums], Sums], target: str | None) -> Convert:
    """One number is the prediction; several have their index in their names."""

    def convert(sums: Sums) -> Predictions:
        numbers = function(sums)
        if len(numbers) == 1:
            return {target: Prediction(numbers[0])}
        return {f"prediction({index})": Prediction(number) for index, number in enumerate(numbers)}

    return convert


def _return_class(function: Callable[[Sums], Sums], target: str | None) -> Convert:
    return lambda sums: {target: Prediction(int(function(sums)[0]))}


def _return_probabilities(function: Callable[[Sums], Sums], target: str | None) -> Convert:
    def convert(sums: Sums) -> Predictions:
        shares = dict(enumerate(function(sums)))
        return {target: Prediction(find_winner(shares), probabilities=shares)}

    return convert


_RESULTS: dict[str, Callable[[Callable[[Sums], Sums], str | None], Convert]] = {
    "number": _return_numbers,
    "class": _return_class,
    "probabilities": _return_probabilities,
}


# -- Functions of binary32 numbers, with the operations of XGBoost ----------------------------------------------------


def _logistic_single(value: float) -> float:
    return round_single(1.0 / round_single(exp_single(min(-value, LARGEST_EXPONENT)) + 1.0))


LARGEST_EXPONENT = round_single(88.7)  # exp of it is finite in binary32


def _share_single(link: Link) -> Callable[[Sums], Sums]:
    def convert(sums: Sums) -> Sums:
        share = _logistic_single(sums[0])
        return [share] if link.result == "number" else [round_single(1.0 - share), share]

    return convert


def _softmax_single(sums: Sums) -> Sums:
    largest = max(sums)
    powers = [exp_single(round_single(value - largest)) for value in sums]
    total = round_single(sum_in_order(powers))
    return [round_single(power / total) for power in powers]


def sum_in_order(values: Sums) -> float:
    """Return the sum, rounded after each addition; `sum` compensates for rounding since Python 3.12."""
    total = 0.0
    for value in values:
        total += value
    return total


_SINGLE: dict[str, Callable[[Link], Callable[[Sums], Sums]]] = {
    "identity": lambda _: lambda sums: sums,
    "exponential": lambda _: lambda sums: [exp_single(value) for value in sums],
    "logistic": _share_single,
    "softmax": lambda _: _softmax_single,
    "argmax": lambda _: lambda sums: [float(sums.index(max(sums)))],
    "step": lambda _: lambda sums: [1.0 if sums[0] > 0 else 0.0],
}


# -- Functions of binary64 numbers, with the operations of LightGBM ---------------------------------------------------


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf


def _logistic(value: float, scale: float) -> float:
    return 1.0 / (1.0 + _exp(-scale * value))


def _share(link: Link) -> Callable[[Sums], Sums]:
    def convert(sums: Sums) -> Sums:
        share = _logistic(sums[0], link.scale)
        return [share] if link.result == "number" else [1.0 - share, share]

    return convert


def _softmax(sums: Sums) -> Sums:
    largest = max(sums)
    powers = [_exp(value - largest) for value in sums]
    total = sum_in_order(powers)
    return [power / total for power in powers]


def _softplus(value: float) -> float:
    return math.log1p(_exp(value))


_DOUBLE: dict[str, Callable[[Link], Callable[[Sums], Sums]]] = {
    "identity": lambda _: lambda sums: sums,
    "exponential": lambda _: lambda sums: [_exp(value) for value in sums],
    "logistic": _share,
    "logistics": lambda link: lambda sums: [_logistic(value, link.scale) for value in sums],
    "signed_square": lambda _: lambda sums: [math.copysign(value * value, value) for value in sums],
    "softmax": lambda _: _softmax,
    "softplus": lambda _: lambda sums: [_softplus(value) for value in sums],
}

# By True for binary32 numbers
LINKS = {True: _SINGLE, False: _DOUBLE}
