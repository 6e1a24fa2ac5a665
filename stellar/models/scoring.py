"""A model that scores records, read from a file."""

from __future__ import annotations

import gc
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from stellar.models.compiled.boosters import compile_booster_score
from stellar.models.compiled.fields import NotCompiled
from stellar.models.compiled.models import Score, compile_score
from stellar.models.errors import InvalidModel, NotScored
from stellar.models.evaluation.boosting import BoosterEvaluation
from stellar.models.evaluation.model import compile_document
from stellar.models.evaluation.predictions import Scores
from stellar.models.evaluation.tracing import ScoreStep
from stellar.models.forms.fields import DataField
from stellar.models.forms.model import ModelDocument, Verification
from stellar.models.values import name_share
from stellar.util.abbreviate import quote
from stellar.util.optional_imports import import_optional

if TYPE_CHECKING:
    from stellar.models.batch.scores import BatchScoring, ColumnScores

RECORDS_BEFORE_COMPILATION = 100


class ScoringModel:
    """A model that returns results for records.

    document: the form of the model
    content: of the file that it was read from; None without a file
    """

    def __init__(self, document: ModelDocument, content: bytes | None = None) -> None:
        self.document = document
        self.content = content
        self._evaluation = compile_document(document)
        self._count = 0
        self._score: Score = self._count_score
        self._batch: BatchScoring | None = None

    def evaluate(self, record: Mapping[str, Any]) -> Scores:
        """Return the predictions and outputs for a record. Raise NotScored for one that the model does not accept."""
        return self._evaluate(record, None)

    def explain(self, record: Mapping[str, Any]) -> list[ScoreStep]:
        """Return the nodes of trees, and the terms of sums, from which the results for a record follow."""
        steps: list[ScoreStep] = []
        self._evaluate(record, steps)
        return steps

    def _evaluate(self, record: Mapping[str, Any], steps: list[ScoreStep] | None) -> Scores:
        try:
            return self._evaluation.evaluate(None, record, steps)
        except NotScored:
            raise
        except (ValueError, ArithmeticError) as error:  # of conversions and arithmetic within the model
            raise NotScored(f"{self.document.model.origin}: {error}") from None

    def score(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Return the results for a record as one map.

        The prediction has the name of the target, or `prediction`; shares are named `probability(category)`.
        """
        return self._score(record)

    def _count_score(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Score one of the first records; after them, a compiled function pays."""
        self._count += 1
        if self._count >= RECORDS_BEFORE_COMPILATION:
            self.compile()
        return self.score_completely(record)

    def compile(self) -> bool:
        """Compile the function of ordinary records. Return False for a model that has none."""
        try:
            with pause_collection():
                self._score = self._compile_score()
        except NotCompiled:
            self._score = self.score_completely
            return False
        return True

    def _compile_score(self) -> Score:
        body = self._evaluation.body
        if isinstance(body, BoosterEvaluation):
            return compile_booster_score(body, self._evaluation.targets[0], self.score_completely)
        return compile_score(self.document, self.score_completely)

    def score_columns(self, columns: Mapping[str, Any]) -> ColumnScores:
        """Return the results of a batch, in columns: those that `score` returns for each record.

        columns: arrays of numpy, or what it converts to them, by field. A masked value, or None, is missing.

        Raise InvalidColumns for a field without a column, and for columns of different lengths. Raise LookupError
        unless numpy, the extra `batch`, is installed.
        """
        if self._batch is None:
            import_optional("numpy", "batch")
            scores = import_module("stellar.models.batch.scores")  # numpy takes as long to import as all the rest
            required = [field.name for field in self.document.model.fields if field.usage == "active"]
            optional = [field.name for field in self.inputs() if field.name not in required]
            with pause_collection():
                self._batch = scores.BatchScoring(self.document, required, optional, self.score)
        return self._batch.score(columns)

    def score_completely(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Return the results for a record by the complete evaluation, which the compiled function must equal."""
        scores = self.evaluate(record)
        result: dict[str, Any] = {}
        for name, prediction in scores.predictions.items():
            result[name or "prediction"] = prediction.value
            for category, share in (prediction.probabilities or {}).items():
                result[name_share(category)] = share
        finals = {field.name for field in self.document.model.outputs if not field.is_final}
        return result | {name: value for name, value in scores.outputs.items() if name not in finals}

    def inputs(self) -> tuple[DataField, ...]:
        """Return the fields that records have."""
        used = {field.name for field in self.document.model.fields if field.usage not in ("target", "predicted")}
        return tuple(field for field in self.document.fields if field.name in used)

    def verify(self) -> None:
        """Score the records that the document has with their results. Raise InvalidModel if a result differs."""
        verification = self.document.model.verification
        if verification is not None:
            for index, row in enumerate(verification.rows, 1):
                self._verify_row(verification, index, row)

    def _verify_row(self, verification: Verification, index: int, row: Mapping[str, str]) -> None:
        inputs = {field.name for field in self.inputs()}
        fields = [field for field in verification.fields if field[1] in row]
        record = {name: row[column] for name, column, _, _ in fields if name in inputs}
        try:
            results = self.score(record)
        except NotScored as error:
            raise InvalidModel(f"verification record {index}: {error}", verification.origin) from None
        for name, column, precision, zero in fields:
            if name not in inputs and not matches(results.get(name), row[column], precision, zero):
                found, expected = quote(results.get(name)), quote(row[column])
                message = f"verification record {index}: {quote(name)} is {found}, expected {expected}"
                raise InvalidModel(message, verification.origin)


def matches(value: Any, expected: str, precision: float, zero: float) -> bool:
    """Return True if a value equals an expected one within its tolerance."""
    if isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool)):
        try:
            number = float(expected)
        except ValueError:
            return False
        if abs(number) <= zero:
            return abs(value) <= zero
        return math.isclose(value, number, rel_tol=precision)
    return value is not None and str(value).lower() == expected.lower()


@contextmanager
def pause_collection() -> Iterator[None]:
    """Pause the search for cycles of garbage, which takes half of the time in which a large model is created."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
