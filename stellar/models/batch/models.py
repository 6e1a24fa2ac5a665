"""Compilation of a document to a program for batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from stellar.models.batch.boosters import compile_booster, declare_features
from stellar.models.batch.columns import Array, Columns, Flags, Floats
from stellar.models.batch.ensembles import compile_ensemble, compile_tree
from stellar.models.batch.expressions import compile_field
from stellar.models.batch.fields import InputFields
from stellar.models.batch.predictions import BatchNumber, BatchPrediction, BatchShares, make_array
from stellar.models.batch.program import BatchProgram, Values, find_undefined
from stellar.models.batch.regressions import compile_general_regression, compile_regression
from stellar.models.batch.scope import BatchField, BatchScope
from stellar.models.compiled.ensembles import check_segment
from stellar.models.compiled.fields import NotCompiled
from stellar.models.evaluation.model import is_input
from stellar.models.evaluation.targets import TargetField, find_targets
from stellar.models.forms.bodies import EnsembleForm, GeneralRegressionForm, RegressionForm, TreeForm
from stellar.models.forms.boosting import BoosterForm
from stellar.models.forms.fields import DerivedField, FieldType, OutputField, TargetForm
from stellar.models.forms.model import ModelDocument, ModelForm
from stellar.models.values import name_share

Predictions = dict[str | None, BatchPrediction]
ROWS = 16_384  # of a block, which bounds the memory


class BatchModel:
    """The program of a document.

    Raise NotCompiled for a document whose records are scored one by one.
    """

    def __init__(self, document: ModelDocument) -> None:
        self._fields = {form.name: form for form in document.fields}
        self._inputs = InputFields(document.fields, [form for form in document.model.fields if is_input(form)])
        self._program = BatchProgram()
        self._scope = BatchScope(self._inputs, self._program)
        self._scope.derive(document.derived)
        self._results = self._compile_results(document.model)

    def score(self, columns: Columns, size: int) -> tuple[Columns, Flags]:
        """Return the results, and flags of the records that have them: those without surprises."""
        values, surprises = self._inputs.read(columns, size)
        rows = np.flatnonzero(~surprises)
        chosen = Values(len(rows))
        chosen.update(values if len(rows) == size else {name: array[rows] for name, array in values.items()})
        blocks = [self._score_block(block) for block in _split(chosen)]
        results = {name: _join([block[name] for block in blocks]) for name in self._results}
        undefined = find_undefined(results.values(), len(rows))
        is_scored = ~surprises
        is_scored[rows[undefined]] = False
        return {name: array[~undefined] for name, array in results.items()}, is_scored

    def _score_block(self, values: Values) -> Columns:
        self._program.run(values)
        return {name: values[array] for name, array in self._results.items()}

    # -- Results ------------------------------------------------------------------------------------------------------

    def _compile_results(self, model: ModelForm) -> dict[str, str]:
        """Return the names of the results with those of their arrays."""
        predictions, outputs = self._compile_model(model, None)
        results = {}
        for name, prediction in predictions.items():
            if isinstance(prediction, BatchNumber):
                results[name or "prediction"] = prediction.array
                continue
            results[name or "prediction"] = prediction.winner
            for category, array in zip(prediction.categories, prediction.arrays, strict=True):
                shown = self._program.assign(_hide_zeros(array)) if prediction.is_vote else array
                results[name_share(category)] = shown
        hidden = {form.name for form in model.outputs if not form.is_final}
        return results | {name: array for name, array in outputs.items() if name not in hidden}

    # -- Models -------------------------------------------------------------------------------------------------------

    def _compile_model(self, model: ModelForm, outer: FieldType | None) -> tuple[Predictions, dict[str, str]]:
        """Add the steps of a model. Return its predictions and outputs."""
        targets = find_targets(model, self._fields, outer)
        if len(targets) != 1 or (model.is_single and not isinstance(model.body, BoosterForm)):
            raise NotCompiled
        self._scope.derive(model.derived)
        (target,) = targets
        outputs: dict[str, str] = {}
        if isinstance(model.body, EnsembleForm) and model.body.method == "modelChain":
            predictions, outputs = self._compile_chain(model.body)
        else:
            predictions = self._compile_body(model, target)
        if target.name in predictions and not isinstance(model.body, BoosterForm):
            predictions[target.name] = self._finish(predictions[target.name], model, target)
        return predictions, outputs | self._compile_outputs(model, predictions, target)

    def _compile_body(self, model: ModelForm, target: TargetField) -> Predictions:
        body, scope, name = model.body, self._scope, target.name
        match body:
            case BoosterForm():
                declare_features(body, self._fields, self._inputs)
                return compile_booster(body, name, scope)
            case RegressionForm():
                return {name: compile_regression(body, model, target, scope)}
            case GeneralRegressionForm():
                return {name: compile_general_regression(body, model, target, scope)}
            case TreeForm():
                return {name: compile_tree(body, model, target, scope)}
            case EnsembleForm():
                return {name: compile_ensemble(body, model, target, scope, self._fields)}
        raise NotCompiled

    def _compile_chain(self, form: EnsembleForm) -> tuple[Predictions, dict[str, str]]:
        """Add the steps of a chain, whose results are those of its last segment."""
        for segment in form.segments:
            check_segment(segment)
            results = self._compile_model(segment.model, None)
        return results

    def _finish(self, prediction: BatchPrediction, model: ModelForm, target: TargetField) -> BatchPrediction:
        """Add the change of a number by the target."""
        if isinstance(prediction, BatchShares):
            return prediction
        if target.type is not None and target.type.data != "double":
            raise NotCompiled
        array, finish, form = prediction.array, target.finish_number, target.form
        if form is None:
            return prediction
        if form.rounding is None:
            return BatchNumber(self._program.assign(lambda values: change_numbers(form, values[array])))
        return BatchNumber(self._program.assign(lambda values: make_array([*map(finish, values[array].tolist())])))

    def _compile_outputs(self, model: ModelForm, predictions: Predictions, target: TargetField) -> dict[str, str]:
        """Add the outputs to the scope. Return the names of their arrays."""
        outputs = {}
        for form in model.outputs:
            if form.target not in (None, target.name) or form.segment is not None or target.name not in predictions:
                raise NotCompiled
            field = self._compile_output(form, predictions[target.name], target)
            self._scope.declare(form.name, field)
            outputs[form.name] = field.array
        return outputs

    def _compile_output(self, form: OutputField, prediction: BatchPrediction, target: TargetField) -> BatchField:
        kind = None if form.type is None else form.type.data
        if form.feature == "transformedValue" and form.expression is not None and form.type is not None:
            if kind != "double":
                raise NotCompiled
            return compile_field(DerivedField(form.name, form.type, form.expression, form.origin), self._scope)
        if kind not in (None, "double"):
            raise NotCompiled
        if form.feature == "predictedValue" and isinstance(prediction, BatchNumber):
            return BatchField(prediction.array, "double")
        if form.feature == "probability" and isinstance(prediction, BatchShares) and form.value is not None:
            return BatchField(_find_share(prediction, target.parse(form.value, form.origin)), "double")
        raise NotCompiled


def change_numbers(form: TargetForm, values: Floats) -> Floats:
    """Return numbers, limited and scaled."""
    if form.low is not None:
        values = np.where(values < form.low, form.low, values)
    if form.high is not None:
        values = np.where(values > form.high, form.high, values)
    return values * form.factor + form.constant


def _find_share(prediction: BatchShares, category: Any) -> str:
    if category not in prediction.categories:
        raise NotCompiled
    return prediction.arrays[prediction.categories.index(category)]


def _hide_zeros(name: str) -> Callable[[Values], Array]:
    return lambda values: np.ma.masked_equal(values[name], 0.0)


def _join(arrays: list[Array]) -> Array:
    if any(isinstance(array, np.ma.MaskedArray) for array in arrays):
        return np.ma.concatenate(arrays)  # type: ignore[no-any-return, no-untyped-call]
    return np.concatenate(arrays)


def _split(values: Values) -> list[Values]:
    """Return the values in blocks."""
    if values.size <= ROWS:
        return [values]
    blocks = []
    for start in range(0, values.size, ROWS):
        block = Values(min(ROWS, values.size - start))
        block.update({name: array[start : start + ROWS] for name, array in values.items()})
        blocks.append(block)
    return blocks
