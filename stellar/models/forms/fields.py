"""Fields of a model: what it accepts, how it treats surprises, and what it returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stellar.models.errors import Origin
    from stellar.models.forms.expressions import ExpressionForm


@dataclass(frozen=True, slots=True)
class ValueRange:
    """An interval of numbers; a bound of None is infinite."""

    low: float | None
    high: float | None
    is_low_open: bool
    is_high_open: bool


@dataclass(frozen=True, slots=True)
class ListedValue:
    """A value that a field lists.

    role: valid, invalid or missing
    display: the string that is shown instead of it
    """

    value: str
    role: str
    display: str | None = None


@dataclass(frozen=True, slots=True)
class FieldType:
    """The type of a field.

    operation: continuous, categorical or ordinal
    data: string, integer, float, double, boolean, date, time, dateTime, …
    order: the values of an ordinal field, from the lowest
    """

    operation: str
    data: str
    order: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DataField:
    """A field of a record."""

    name: str
    type: FieldType
    values: tuple[ListedValue, ...]
    ranges: tuple[ValueRange, ...]
    origin: Origin


@dataclass(frozen=True, slots=True)
class MiningField:
    """The use of a field by a model, and the treatment of outliers, missing and invalid values."""

    name: str
    usage: str
    operation: str | None
    outliers: str
    low: float | None
    high: float | None
    missing: str
    missing_replacement: str | None
    invalid: str
    invalid_replacement: str | None
    importance: float | None
    origin: Origin


@dataclass(frozen=True, slots=True)
class TargetValue:
    """A value of a target: how it is shown, how probable it is without a score, or the default of a number."""

    value: str | None
    display: str | None
    prior: float | None
    default: float | None


@dataclass(frozen=True, slots=True)
class TargetForm:
    """The change of a predicted value before it is returned."""

    field: str | None
    values: tuple[TargetValue, ...]
    low: float | None
    high: float | None
    factor: float
    constant: float
    rounding: str | None
    origin: Origin


@dataclass(frozen=True, slots=True)
class OutputField:
    """A result that is derived from the prediction or from fields.

    feature: predictedValue, probability, transformedValue, …
    value: category that the feature is of; None for the predicted one
    expression: of a transformed value or a decision
    """

    name: str
    type: FieldType | None
    feature: str
    value: str | None
    target: str | None
    segment: str | None
    rank: int
    rank_basis: str
    rank_order: str
    rule_feature: str
    algorithm: str
    is_multi_valued: bool
    is_final: bool
    expression: ExpressionForm | None
    origin: Origin


@dataclass(frozen=True, slots=True)
class DerivedField:
    """A field that is computed from others."""

    name: str
    type: FieldType
    expression: ExpressionForm
    origin: Origin


@dataclass(frozen=True, slots=True)
class FunctionParameter:
    """A parameter of a function of the document."""

    name: str
    data_type: str | None


@dataclass(frozen=True, slots=True)
class FunctionForm:
    """A function that a document defines."""

    name: str
    parameters: tuple[FunctionParameter, ...]
    data_type: str | None
    expression: ExpressionForm
    origin: Origin
