"""The function of a record whose features are finite floats, for boosters: its trees are code already."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from stellar.models.compiled.fields import NotCompiled
from stellar.models.evaluation.boosting import BoosterEvaluation
from stellar.models.evaluation.boosting_links import LINKS
from stellar.models.evaluation.predictions import find_winner
from stellar.models.evaluation.targets import TargetField

Record = Mapping[str, Any]
Score = Callable[[Record], dict[str, Any]]


def compile_booster_score(evaluation: BoosterEvaluation, target: TargetField, complete: Score) -> Score:
    """Return the function of an ordinary record.

    complete: scores all other records
    Raise NotCompiled for a booster that has categories, or several results that are numbers.
    """
    form, read, add = evaluation.form, evaluation.read_numbers, evaluation.add
    function = LINKS[form.is_single][form.link.name](form.link)
    count = len(function([0.5] * len(form.bases)))
    if read is None or (form.link.result == "number" and count > 1):
        raise NotCompiled
    finish, name = target.finish_number, target.name or "prediction"
    names = [f"probability({category})" for category in range(count)]
    result = form.link.result

    def score_record(record: Record) -> dict[str, Any]:
        values = read(record)
        if values is None:
            return complete(record)
        numbers = function(add(values))
        if result == "probabilities":
            return {name: find_winner(dict(enumerate(numbers))), **dict(zip(names, numbers, strict=True))}
        return {name: int(numbers[0]) if result == "class" else finish(numbers[0])}

    return score_record
