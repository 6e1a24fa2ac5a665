"""The target of a model: its type, and the changes of predicted values."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from stellar.models.errors import InvalidField, InvalidModel, Origin
from stellar.models.evaluation.inputs import conversion_of
from stellar.models.evaluation.predictions import Prediction, find_winner
from stellar.models.forms.fields import DataField, FieldType, TargetForm
from stellar.models.forms.model import ModelForm
from stellar.models.values import Single, identity, round_single
from stellar.util.abbreviate import quote

ROUNDINGS: dict[str, Callable[[float], int]] = {
    "round": lambda value: math.floor(value + 0.5),
    "ceiling": math.ceil,
    "floor": math.floor,
}


class TargetField:
    """A target of a model.

    name: None for a model without one
    type: None if nothing declares it
    form: the change of predicted values, None if there is none
    is_plain: a prediction is returned as it is
    category_type: of categories, that of the model around it if the model has no target
    order: the categories, in the order of the document
    """

    def __init__(
        self,
        name: str | None,
        data: DataField | None,
        form: TargetForm | None,
        model: ModelForm,
        outer: FieldType | None = None,
    ) -> None:
        self.name = name
        self.type: FieldType | None = None if data is None else data.type
        self.order = () if data is None else tuple(value.value for value in data.values if value.role == "valid")
        self.form = form
        self._round = round_single if model.is_single else identity
        self._is_single = model.is_single
        self._is_classification = model.function == "classification"
        self.convert = None if data is None else conversion_of(data.type.data, data.origin)
        self.category_type = outer if self.type is None else self.type
        self._parse = None if self.category_type is None else conversion_of(self.category_type.data, model.origin)
        self.is_plain = form is None and data is None and not model.is_single
        self.displays = _find_displays(data, form)

    @property
    def is_ordinal(self) -> bool:
        """True if the categories have an order."""
        return self.type is not None and self.type.operation == "ordinal"

    def finish(self, prediction: Prediction) -> Prediction:
        """Return a prediction as it is returned: changed, with a default if it is missing, in the target's type."""
        if self._is_classification:
            if prediction.value is None:
                prediction = self._default_category()
            return replace(
                prediction, value=self._convert(prediction.value), displays=self.displays or prediction.displays
            )
        value = self._default_number() if prediction.value is None else prediction.value
        return replace(prediction, value=self.finish_number(value), displays=self.displays or prediction.displays)

    def finish_number(self, value: Any) -> Any:
        """Return a predicted number as it is returned."""
        if isinstance(value, float | int) and not isinstance(value, bool):
            value = self.change(value) if self.form is not None else value
            if self._is_single and self.convert is None:
                value = Single(value)
        return self._convert(value)

    def parse(self, category: str, origin: Origin) -> Any:
        """Return a category of the document in the type of the target."""
        if self._parse is None:
            return category
        try:
            return self._parse(category)
        except ValueError as error:
            raise InvalidModel(f"invalid category {quote(category, 80)}: {error}", origin) from None

    def change(self, value: float) -> float:
        """Return a number, limited, scaled and rounded."""
        form, to_width = self.form, self._round
        assert form is not None  # otherwise nothing is changed
        if form.low is not None:
            value = max(value, form.low)
        if form.high is not None:
            value = min(value, form.high)
        value = to_width(to_width(value * to_width(form.factor)) + to_width(form.constant))
        if form.rounding is None or not math.isfinite(value):
            return value
        return ROUNDINGS[form.rounding](value)

    def _convert(self, value: Any) -> Any:
        if value is None or self.convert is None:
            return value
        try:
            return self.convert(value)
        except ValueError as error:
            raise InvalidField(self.name or "target", f"as predicted: {error}") from None

    def _default_category(self) -> Prediction:
        values = () if self.form is None else self.form.values
        priors = {value.value: value.prior for value in values if value.value is not None and value.prior is not None}
        return Prediction(find_winner(priors), probabilities=priors) if priors else Prediction(None)

    def _default_number(self) -> float | None:
        values = () if self.form is None else self.form.values
        return next((value.default for value in values if value.default is not None), None)


def _find_displays(data: DataField | None, form: TargetForm | None) -> dict[str, str]:
    displays = {} if data is None else {value.value: value.display for value in data.values if value.display}
    for value in () if form is None else form.values:
        if value.value is not None and value.display is not None:
            displays[value.value] = value.display
    return displays


def find_targets(model: ModelForm, data: dict[str, DataField], outer: FieldType | None) -> list[TargetField]:
    """Return the targets of a model; one without a name for a model that declares no target."""
    names: list[str | None] = [field.name for field in model.fields if field.usage in ("target", "predicted")]
    forms = {form.field: form for form in model.targets}
    _check_names(model.targets, names)
    if not names:
        return [TargetField(None, None, next(iter(model.targets), None), model, outer)]
    only = forms.get(None) if len(names) == 1 else None
    return [TargetField(name, data.get(name or ""), forms.get(name, only), model) for name in names]


def _check_names(forms: Iterable[TargetForm], names: list[str | None]) -> None:
    for form in forms:
        if names and form.field is not None and form.field not in names:
            raise InvalidModel(f"field {quote(form.field, 80)} is not a target of the model", form.origin)
