"""Columns of a matrix of features as expressions of fields, and the fields that records need for them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from stellar.models.boosters.documents import LARGEST_SINGLE, MISSING
from stellar.models.errors import KeyOrigin, NotExported
from stellar.models.forms.expressions import Apply, ConstantForm, ExpressionForm, FieldRef, MapValues
from stellar.models.forms.fields import DataField, DerivedField, FieldType, ListedValue, MiningField, ValueRange
from stellar.util.abbreviate import quote

ORIGIN = KeyOrigin("scikit-learn", 0)
LARGEST_DOUBLE = 1.7976931348623157e308
NUMBERS = ("double", "integer")


@dataclass(frozen=True, slots=True)
class FeatureColumn:
    """A column of a matrix of features.

    label: name of the derived field, if it needs one
    sources: fields without which the column is missing
    data: type of the values
    indicator: field and category, of a column that is 1 if the field has the category, else 0
    values_of: field whose categories it has
    """

    label: str
    expression: ExpressionForm
    sources: frozenset[str]
    data: str = "double"
    indicator: tuple[str, str] | None = None
    values_of: str | None = None


Columns = tuple[FeatureColumn, ...]


def number(value: float) -> ConstantForm:
    """Return a constant."""
    return ConstantForm(float(value), ORIGIN)


def apply(function: str, *arguments: ExpressionForm) -> Apply:
    """Return the call of a function."""
    return Apply(function, arguments, None, None, "returnInvalid", ORIGIN)


def refer(name: str) -> FieldRef:
    """Return the value of a field."""
    return FieldRef(name, None, ORIGIN)


def derive(function: str, column: FeatureColumn, expression: ExpressionForm, data: str = "double") -> FeatureColumn:
    """Return a column that is computed from another."""
    return FeatureColumn(f"{function}({column.label})", expression, column.sources, data)


def combine(label: str, columns: Iterable[FeatureColumn], expression: ExpressionForm) -> FeatureColumn:
    """Return a column that is computed from several others."""
    sources: frozenset[str] = frozenset().union(*(column.sources for column in columns))
    return FeatureColumn(label, expression, sources)


@dataclass(slots=True)
class _Feature:
    """What is known about a field of records.

    is_number: it is used as a number
    data: type of its categories, None if it has none
    categories: strings
    is_open: other categories are accepted
    is_unknown_missing: other categories are missing values
    is_required: a record must have it
    is_finite: infinite numbers are not accepted
    is_single: numbers that are infinite in binary32 are not accepted
    """

    is_number: bool = False
    data: str | None = None
    categories: dict[str, None] = field(default_factory=dict)
    is_open: bool = True
    is_unknown_missing: bool = False
    is_required: bool = False
    is_finite: bool = False
    is_single: bool = False


class FeatureSchema:
    """The fields of records, and the fields that are derived from them.

    names: of the columns of the training data
    derived: in the order in which they were added
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._features = {name: _Feature() for name in names}
        self.derived: list[DerivedField] = []
        self._reserved: set[str] = set()
        self._by_expression: dict[tuple[object, str], str] = {}
        if len(self._features) < len(names):
            twice = next(name for index, name in enumerate(names) if name in names[:index])
            raise NotExported(f"two features have the name {quote(twice)}; rename one")

    @property
    def names(self) -> list[str]:
        """The names of the columns of the training data."""
        return list(self._features)

    def columns(self) -> Columns:
        """Return the columns of the training data."""
        return tuple(FeatureColumn(name, refer(name), frozenset([name]), values_of=name) for name in self._features)

    # -- Use of fields ------------------------------------------------------------------------------------------------

    def use_numbers(
        self, columns: Iterable[FeatureColumn], *, allows_missing: bool = False, allows_infinite: bool = False
    ) -> None:
        """Use columns as numbers.

        allows_missing: a record may lack them
        allows_infinite: they may be infinite
        """
        for column in columns:
            if column.data not in NUMBERS:
                raise NotExported(f"column {quote(column.label)} has strings; encode them, as by OneHotEncoder")
            if not allows_missing:
                self.require(column)
            if (feature := self._find_raw(column)) is not None:
                feature.is_number = True
                feature.is_finite |= not allows_infinite

    def limit_to_single(self, column: FeatureColumn) -> None:
        """Refuse values of a field that are infinite in binary32."""
        if (feature := self._find_raw(column)) is not None:
            feature.is_single = True

    def require(self, column: FeatureColumn) -> None:
        """Refuse records for which a column is missing."""
        for name in column.sources:
            self._features[name].is_required = True

    def can_miss(self, column: FeatureColumn) -> bool:
        """Return True for a column that is missing for some of the records that are accepted."""
        return any(not self._features[name].is_required for name in column.sources)

    def use_categories(
        self,
        column: FeatureColumn,
        data: str,
        categories: Iterable[str],
        *,
        is_open: bool,
        is_unknown_missing: bool = False,
    ) -> None:
        """Use a column as categories.

        is_open: categories that training did not have are accepted
        is_unknown_missing: they are missing values
        """
        if (feature := self._features.get(column.values_of or "")) is None:
            raise NotExported(f"column {quote(column.label)} is computed; encode features of the records alone")
        if feature.data not in (None, data):
            raise NotExported(f"feature {quote(column.label)} has categories of two types; encode it once")
        feature.is_open = is_open and (feature.is_open or feature.data is None)
        feature.data = data
        feature.is_unknown_missing |= is_unknown_missing
        feature.categories.update(dict.fromkeys(categories))

    def _find_raw(self, column: FeatureColumn) -> _Feature | None:
        if isinstance(column.expression, FieldRef) and column.expression.missing is None:
            return self._features.get(column.expression.field)
        return None

    # -- Names --------------------------------------------------------------------------------------------------------

    def name_column(self, column: FeatureColumn) -> str:
        """Return the name of the field that a column is, which is derived if it has none."""
        if isinstance(column.expression, FieldRef) and column.expression.missing is None:
            return column.expression.field
        key = (repr(column.expression) if isinstance(column.expression, MapValues) else column.expression, column.data)
        if (name := self._by_expression.get(key)) is not None:
            return name
        name = self._find_free_name(column.label)
        operation = "continuous" if column.data in NUMBERS else "categorical"
        self.derived.append(DerivedField(name, FieldType(operation, column.data), column.expression, ORIGIN))
        self._by_expression[key] = name
        return name

    def refer_to(self, column: FeatureColumn) -> FeatureColumn:
        """Return a column as a reference to its field, so that it is computed once."""
        name = self.name_column(column)
        return replace(column, expression=refer(name), indicator=None)

    def reserve(self, label: str) -> str:
        """Return a name for an output of a model, which no field and no other output has."""
        name = self._find_free_name(label)
        self._reserved.add(name)
        return name

    def _find_free_name(self, label: str) -> str:
        known = {form.name for form in self.derived} | self._features.keys() | self._reserved
        name, count = label, 1
        while name in known:
            count += 1
            name = f"{label}#{count}"
        return name

    # -- Fields -------------------------------------------------------------------------------------------------------

    def build_derived(self, used: set[str]) -> tuple[DerivedField, ...]:
        """Return the derived fields that are used. Names of the fields that they use are added to the set."""
        kept = []
        for form in reversed(self.derived):
            if form.name in used:
                kept.append(form)
                used |= find_references(form.expression)
        return tuple(reversed(kept))

    def build_fields(self, used: set[str]) -> tuple[tuple[DataField, ...], tuple[MiningField, ...]]:
        """Return the fields of records, and their use.

        A feature that the score does not need, as one that no node of a tree compares, is supplementary: records of the
        features of training are accepted.
        """
        features = {
            name: feature
            for name, feature in self._features.items()
            if name in used or feature.is_number or feature.data is not None
        }
        data = tuple(_build_data_field(name, feature) for name, feature in features.items())
        return data, tuple(
            _build_mining_field(name, feature) if name in used else build_mining_field(name, "supplementary")
            for name, feature in features.items()
        )


def find_references(form: ExpressionForm) -> set[str]:
    """Return the names of the fields that an expression uses."""
    if isinstance(form, Apply):
        return set().union(*map(find_references, form.arguments))
    if isinstance(form, ConstantForm):
        return set()
    if hasattr(form, "field"):
        return {form.field}
    return {name for name, _ in form.fields}


def _build_data_field(name: str, feature: _Feature) -> DataField:
    values = tuple(ListedValue(category, "valid") for category in feature.categories)
    if feature.data is not None and not feature.is_number:
        return DataField(name, FieldType("categorical", feature.data), values, (), ORIGIN)
    if feature.data is not None and feature.data not in NUMBERS:
        raise NotExported(f"feature {quote(name)} is used as a {feature.data} and as a number; encode it")
    if feature.is_open:
        values = ()
    if not feature.is_required:
        values = (*values, *MISSING)
    ranges = () if feature.categories and not feature.is_open else _find_ranges(feature)
    return DataField(name, FieldType("continuous", "double"), values, ranges, ORIGIN)


def _find_ranges(feature: _Feature) -> tuple[ValueRange, ...]:
    if feature.is_single:
        return (ValueRange(-LARGEST_SINGLE, LARGEST_SINGLE, True, True),)
    return (ValueRange(-LARGEST_DOUBLE, LARGEST_DOUBLE, False, False),) if feature.is_finite else ()


def _build_mining_field(name: str, feature: _Feature) -> MiningField:
    is_listed = bool(feature.categories) and not feature.is_number
    return build_mining_field(
        name,
        missing="returnInvalid" if feature.is_required else "asIs",
        invalid=_find_invalid(feature) if is_listed and feature.is_open else "returnInvalid",
    )


def _find_invalid(feature: _Feature) -> str:
    return "asMissing" if feature.is_unknown_missing else "asIs"


def build_mining_field(
    name: str, usage: str = "active", missing: str = "asIs", invalid: str = "returnInvalid"
) -> MiningField:
    """Return the use of a field by a model."""
    return MiningField(name, usage, None, "asIs", None, None, missing, None, invalid, None, None, ORIGIN)


def list_items(array: Any) -> list[Any]:
    """Return the items of an array of numpy, or of a sparse matrix, as Python's."""
    dense = array.toarray() if hasattr(array, "toarray") else array
    items: list[Any] = dense.tolist() if hasattr(dense, "tolist") else list(dense)
    return items
