"""Scores of the rows of a batch, by columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stellar.models.scoring import ScoringModel
from stellar.spark.result_columns import ResultColumn


@dataclass(frozen=True)
class ScoredRows:
    """The results of the rows of a batch.

    values: of each column; None for a row that the model does not accept
    errors: the reasons by the index of the row
    """

    values: list[list[Any]]
    errors: dict[int, str]


def score_rows(
    model: ScoringModel, fields: Mapping[str, Sequence[Any]], rows: int, columns: Sequence[ResultColumn]
) -> ScoredRows:
    """Return the results of the rows of a batch.

    fields: the values of the fields of rows, with None for missing ones
    columns: of the results
    """
    scored = ScoredRows([[] for _ in columns], {})
    names = tuple(fields)
    for index, values in enumerate(zip(*fields.values(), strict=True) if fields else [()] * rows):
        try:
            results = model.score(dict(zip(names, values, strict=True)))
            read = [column.read(results) for column in columns]
        except ValueError as error:
            scored.errors[index] = str(error)
            read = [None] * len(columns)
        for column, value in zip(scored.values, read, strict=True):
            column.append(value)
    return scored
