"""Transformers of categories."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from stellar.models.errors import NotExported
from stellar.models.forms.expressions import ExpressionForm, MapValues, NormDiscrete
from stellar.models.sklearn.columns import ORIGIN, Columns, FeatureColumn, apply, list_items, number
from stellar.models.sklearn.export import Export, check_fitted
from stellar.models.sklearn.goals import find_type
from stellar.models.values import to_string


def is_missing_category(value: Any) -> bool:
    """Return True for the categories None and NaN."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def encode_one_hot(step: Any, columns: Columns, export: Export) -> Columns:
    """Return the columns of OneHotEncoder: one for each category."""
    check_fitted(step, columns)
    return tuple(
        encoded for index, column in enumerate(columns) for encoded in _encode_column(step, index, column, export)
    )


def binarize_labels(step: Any, columns: Columns, export: Export) -> Columns:
    """Return the columns of LabelBinarizer: one for each class, or for the second of two; 0 for an unknown class."""
    if (step.neg_label, step.pos_label) != (0, 1):
        raise NotExported("LabelBinarizer is supported with neg_label=0 and pos_label=1")
    (column,) = columns
    categories = list_items(step.classes_)
    source = prepare_categories(column, categories, export, is_open=True)
    return tuple(_indicate(source, category) for category in categories[-1 if len(categories) == 2 else 0 :])


def _encode_column(step: Any, index: int, column: FeatureColumn, export: Export) -> Columns:
    categories = list_items(step.categories_[index])
    is_open = step.handle_unknown != "error"
    source = prepare_categories(column, categories, export, is_open=is_open)
    infrequent = getattr(step, "infrequent_categories_", None) or [None] * (index + 1)
    rare = [] if infrequent[index] is None else list_items(infrequent[index])
    frequent = [category for category in categories if category not in rare]
    encoded = [_indicate(source, category) for category in frequent]
    if rare:
        includes_unknown = step.handle_unknown in ("infrequent_if_exist", "warn")
        encoded.append(_indicate_rare(source, frequent if includes_unknown else rare, is_rest=includes_unknown))
    drop = None if step.drop_idx_ is None else step._drop_idx_after_grouping[index]
    return tuple(item for position, item in enumerate(encoded) if drop is None or position != drop)


def prepare_categories(
    column: FeatureColumn,
    categories: Sequence[Any],
    export: Export,
    *,
    is_open: bool,
    is_unknown_missing: bool = False,
) -> FeatureColumn:
    """Return a column that is used as categories.

    is_open: categories that training did not have are accepted
    is_unknown_missing: they are missing values
    """
    present = [category for category in categories if not is_missing_category(category)]
    data = find_type(present)
    export.schema.use_categories(
        column, data, map(to_string, present), is_open=is_open, is_unknown_missing=is_unknown_missing
    )
    if not is_open and len(present) == len(categories):
        export.schema.require(column)
    return export.schema.refer_to(column)


def _indicate(column: FeatureColumn, category: Any) -> FeatureColumn:
    if is_missing_category(category):
        return _build_test(column, "missing", apply("isMissing", column.expression))
    name, string = column.expression.field, to_string(category)  # type: ignore[union-attr]
    expression = NormDiscrete(name, string, 0.0, ORIGIN)
    return FeatureColumn(f"{column.label}={string}", expression, frozenset(), indicator=(name, string))


def _indicate_rare(column: FeatureColumn, categories: Sequence[Any], *, is_rest: bool) -> FeatureColumn:
    """Return 1 for a list of categories, or for all others.

    is_rest: the categories are those for which it is 0
    """
    tests: list[ExpressionForm] = []
    for category in categories:
        tests.append(_test_category(column, category))
    test = apply("or", *tests) if len(tests) > 1 else tests[0]
    return _build_test(column, "infrequent", apply("not", test) if is_rest else test)


def _test_category(column: FeatureColumn, category: Any) -> ExpressionForm:
    if is_missing_category(category):
        return apply("isMissing", column.expression)
    name = column.expression.field  # type: ignore[union-attr]
    return apply("equal", NormDiscrete(name, to_string(category), 0.0, ORIGIN), number(1.0))


def _build_test(column: FeatureColumn, label: str, test: ExpressionForm) -> FeatureColumn:
    expression = apply("if", test, number(1.0), number(0.0))
    return FeatureColumn(f"{column.label}={label}", expression, frozenset())


# -- Numbers of categories --------------------------------------------------------------------------------------------


def encode_ordinal(step: Any, columns: Columns, export: Export) -> Columns:
    """Return the columns of OrdinalEncoder: the index of the category."""
    check_fitted(step, columns)
    if getattr(step, "_infrequent_enabled", False):
        raise NotExported("infrequent categories of OrdinalEncoder are not supported; use OneHotEncoder")
    is_open = step.handle_unknown == "use_encoded_value"
    unknown = step.unknown_value if is_open else None
    return tuple(
        map_categories(
            "ordinal", column, categories, range(len(categories)), unknown, step.encoded_missing_value, export
        )
        for column, categories in zip(columns, map(list_items, step.categories_), strict=True)
    )


def encode_target(step: Any, columns: Columns, export: Export) -> Columns:
    """Return the columns of TargetEncoder: the mean of the target, for each class if there are more than two."""
    check_fitted(step, columns)
    several = step.target_type_ == "multiclass"
    means = list_items(step.target_mean_) if several else [float(step.target_mean_)]
    encoded = []
    for index, values in enumerate(step.encodings_):
        number_of_feature, target = divmod(index, len(means))
        categories = list_items(step.categories_[number_of_feature])
        column = columns[number_of_feature]
        encoded.append(map_categories("target", column, categories, list_items(values), means[target], None, export))
    return tuple(encoded)


def map_categories(
    label: str,
    column: FeatureColumn,
    categories: Sequence[Any],
    values: Sequence[float],
    unknown: float | None,
    missing: float | None,
    export: Export,
) -> FeatureColumn:
    """Return the number of each category.

    unknown: number of the others; None to refuse them
    missing: number of the missing value instead of that of its category
    """
    pairs = list(zip(categories, values, strict=True))
    source = prepare_categories(column, categories, export, is_open=unknown is not None)
    rows = tuple(
        {"category": to_string(category), "number": _write_number(value)}
        for category, value in pairs
        if not is_missing_category(category)
    )
    own = next((value for category, value in pairs if is_missing_category(category)), unknown)
    found = own if missing is None or own is unknown else missing
    name = source.expression.field  # type: ignore[union-attr]
    mapped = MapValues(
        ((name, "category"),), rows, "number", _write_number(unknown), _write_number(found), "double", ORIGIN
    )
    sources = source.sources if found is None else frozenset()
    return export.schema.refer_to(FeatureColumn(f"{label}({column.label})", mapped, sources))


def _write_number(value: float | None) -> Any:
    """Return the string of a number; NaN is a missing value."""
    return None if value is None or value != value else repr(float(value))
