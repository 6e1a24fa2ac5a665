"""The columns of data frames that have the fields of a model."""

from __future__ import annotations

from collections.abc import Sequence

from stellar.models.scoring import ScoringModel
from stellar.util.abbreviate import quote
from stellar.util.suggestions import suggest_name

_NEEDED = ("active", "group", "order")  # usages of fields that a frame must have


def find_input_columns(model: ScoringModel, columns: Sequence[str], *, ignores_case: bool = False) -> dict[str, int]:
    """Return the index of the column of each field.

    ignores_case: a column whose name differs in case is that of a field, if no column has its name

    Raises ValueError if a column is missing or occurs twice.
    """
    needed = {field.name for field in model.document.model.fields if field.usage in _NEEDED}
    found = {}
    for field in model.inputs():
        indexes = [index for index, name in enumerate(columns) if name == field.name]
        if not indexes and ignores_case:
            indexes = [index for index, name in enumerate(columns) if name.lower() == field.name.lower()]
        if len(indexes) > 1:
            raise ValueError(f"the data frame has several columns {quote(field.name)}; rename or drop the others")
        if indexes:
            found[field.name] = indexes[0]
        elif field.name in needed:
            raise ValueError(
                f"the data frame has no column {quote(field.name)}, an input of the model; "
                f"{suggest_name(field.name, map(str, columns))}"
            )
    return found
