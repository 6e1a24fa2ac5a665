"""Values of a record: converted to the type of their field, with the treatment of surprises."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stellar.models.errors import InvalidField, InvalidModel, Origin
from stellar.models.evaluation.frames import Frame, Resolver, ScopeField
from stellar.models.forms.fields import DataField, FieldType, MiningField, ValueRange
from stellar.models.values import Conversion, describe, find_conversion
from stellar.util.abbreviate import quote

Check = Callable[[Any], bool]


def parse_constant(string: str, data_type: str, origin: Origin) -> Any:
    """Return the value of a string in a document. Raise InvalidModel if it has not the type."""
    try:
        return conversion_of(data_type, origin)(string)
    except ValueError as error:
        raise InvalidModel(f"invalid value {quote(string, 80)}: {error}", origin) from None


def conversion_of(data_type: str, origin: Origin) -> Conversion:
    """Return the conversion to a type."""
    if (conversion := find_conversion(data_type)) is None:
        raise InvalidModel(f"unsupported dataType {quote(data_type, 80)}", origin)
    return conversion


def is_in_range(value: Any, bounds: ValueRange) -> bool:
    """Return True if a number is in an interval."""
    if bounds.low is not None and (value <= bounds.low if bounds.is_low_open else value < bounds.low):
        return False
    return bounds.high is None or not (value >= bounds.high if bounds.is_high_open else value > bounds.high)


def find_listed(field: DataField, role: str) -> frozenset[Any]:
    """Return the values that a field lists as valid, invalid or missing."""
    strings = (value.value for value in field.values if value.role == role)
    if role == "valid":
        return frozenset(parse_constant(string, field.type.data, field.origin) for string in strings)
    return frozenset(parsed for string in strings for parsed in _parse_leniently(string, field))


def _parse_leniently(string: str, field: DataField) -> list[Any]:
    """Return a value that may not have the type of the field: `N/A` among numbers."""
    try:
        return [string, conversion_of(field.type.data, field.origin)(string)]
    except ValueError:
        return [string]


def compile_check(field: DataField) -> Check:
    """Return a test for invalid values that have the type of a field."""
    valid, invalid = find_listed(field, "valid"), find_listed(field, "invalid")
    ranges = field.ranges

    def is_invalid(value: Any) -> bool:
        if value in invalid:
            return True
        if value in valid:
            return False
        if ranges:
            return not any(is_in_range(value, bounds) for bounds in ranges)
        return bool(valid)

    if field.type.operation != "continuous":
        return lambda value: value in invalid or (bool(valid) and value not in valid)
    return lambda value: value != value or is_invalid(value)


# -- Treatments -------------------------------------------------------------------------------------------------------


class Treatment:
    """The treatment of missing, invalid and extreme values by a model.

    field: of the model's mining schema
    type: of the values
    """

    def __init__(self, field: MiningField, kind: FieldType) -> None:
        self.name = field.name
        self._field = field
        self._convert = conversion_of(kind.data, field.origin)
        self.replacement = None
        if field.missing_replacement is not None:
            self.replacement = parse_constant(field.missing_replacement, kind.data, field.origin)
        self._invalid_replacement = None
        if field.invalid == "asValue":
            if field.invalid_replacement is None:
                raise InvalidModel("missing attribute 'invalidValueReplacement'; add it", field.origin)
            self._invalid_replacement = parse_constant(field.invalid_replacement, kind.data, field.origin)
        self.has_outliers = field.outliers != "asIs"

    def replace_missing(self) -> Any:
        """Return the value instead of a missing one."""
        if self._field.missing == "returnInvalid":
            raise InvalidField(self.name, "it is missing; set it")
        return self.replacement

    def replace_invalid(self, raw: Any) -> Any:
        """Return the value instead of an invalid one."""
        match self._field.invalid:
            case "returnInvalid":
                raise InvalidField(self.name, f"the model does not accept {describe(raw)}")
            case "asIs":
                return self.convert(raw)
            case "asMissing":
                return self.replace_missing()
        return self._invalid_replacement

    def convert(self, raw: Any) -> Any:
        """Return a value in the type of the field."""
        try:
            return self._convert(raw)
        except ValueError as error:
            raise InvalidField(self.name, str(error)) from None

    def limit(self, value: Any) -> Any:
        """Return a value with outliers replaced."""
        field = self._field
        is_low, is_high = field.low is not None and value < field.low, field.high is not None and value > field.high
        if not (is_low or is_high):
            return value
        if field.outliers == "asMissingValues":
            return self.replace_missing()
        return self._convert(field.low if is_low else field.high)


def compile_input(data: DataField, field: MiningField, *, is_list: bool = False) -> ScopeField:
    """Return the field of a scope that reads a value of the record.

    is_list: the value may be a list
    """
    kind = FieldType(field.operation or data.type.operation, data.type.data, data.type.order)
    treatment = Treatment(field, kind)
    prepare = compile_preparation(data, treatment)
    if is_list:
        prepare = _prepare_each(prepare)
    name = data.name

    def resolve(frame: Frame) -> Any:
        return prepare(frame.record.get(name))

    return ScopeField(kind, resolve, compile_check(data))


def compile_preparation(data: DataField, treatment: Treatment) -> Callable[[Any], Any]:
    """Return a function of a value of the record that returns the model's value."""
    is_invalid, missing = compile_check(data), find_listed(data, "missing")
    is_nan_missing = any(value != value for value in missing)
    convert = conversion_of(data.type.data, data.origin)

    def prepare(raw: Any) -> Any:
        if raw is None:
            return treatment.replace_missing()
        if missing and raw.__class__ is str and raw in missing:
            return treatment.replace_missing()
        try:
            value = convert(raw)
        except (ValueError, TypeError):
            return treatment.replace_invalid(raw)
        if missing and (value in missing or (is_nan_missing and value != value)):
            return treatment.replace_missing()
        if is_invalid(value):
            return treatment.replace_invalid(raw)
        return treatment.limit(value) if treatment.has_outliers else value

    return prepare


def _prepare_each(prepare: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda raw: [prepare(item) for item in raw] if isinstance(raw, list | tuple) else prepare(raw)


def compile_inner_input(outer: ScopeField, field: MiningField) -> ScopeField:
    """Return the field of an inner model's scope, which takes a value of the model around it."""
    if outer.type is None:
        return ScopeField(None, _resolve_outer(field.name))
    treatment = Treatment(field, outer.type)

    def resolve(frame: Frame) -> Any:
        value = frame.parent.get(field.name)  # type: ignore[union-attr]
        if value is None:
            return treatment.replace_missing()
        return treatment.limit(value) if treatment.has_outliers else value

    return ScopeField(outer.type, resolve, outer.is_invalid)


def _resolve_outer(name: str) -> Resolver:
    return lambda frame: frame.parent.get(name)  # type: ignore[union-attr]
