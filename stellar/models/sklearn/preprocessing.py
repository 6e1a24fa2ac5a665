"""Transformers that replace, combine or discretize columns."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby, pairwise
from typing import Any

from stellar.models.errors import NotExported
from stellar.models.forms.expressions import (
    Apply,
    ConstantForm,
    Discretize,
    ExpressionForm,
    NormContinuous,
    NormDiscrete,
)
from stellar.models.forms.fields import ValueRange
from stellar.models.sklearn.columns import (
    ORIGIN,
    Columns,
    FeatureColumn,
    apply,
    combine,
    derive,
    list_items,
    number,
)
from stellar.models.sklearn.encoders import is_missing_category
from stellar.models.sklearn.export import Export, check_fitted
from stellar.util.abbreviate import quote

# -- Missing values ---------------------------------------------------------------------------------------------------


def impute(step: Any, columns: Columns, export: Export) -> Columns:
    """Return the columns of SimpleImputer, and those of its indicator."""
    check_fitted(step, columns)
    statistics = list_items(step.statistics_)
    imputed = tuple(
        _replace_missing(step.missing_values, column, value)
        for column, value in zip(columns, statistics, strict=True)
        if not is_missing_category(value)
    )
    if any(isinstance(value, str) for value in statistics):
        for column in columns:
            export.schema.use_categories(column, "string", (), is_open=True)
    else:
        export.schema.use_numbers(columns, allows_missing=is_missing_category(step.missing_values))
    return imputed if step.indicator_ is None else (*imputed, *indicate_missing(step.indicator_, columns, export))


def _replace_missing(missing: Any, column: FeatureColumn, value: Any) -> FeatureColumn:
    data = "string" if isinstance(value, str) else column.data
    constant = ConstantForm(value, ORIGIN) if isinstance(value, str) else number(value)
    expression = apply("if", _test_missing(missing, column), constant, column.expression)
    if data == "string":  # a category that training did not have is returned, too
        expression = replace(expression, invalid="asIs")
    sources = frozenset() if is_missing_category(missing) else column.sources
    return FeatureColumn(f"imputer({column.label})", expression, sources, data, values_of=column.values_of)


def _test_missing(missing: Any, column: FeatureColumn) -> Apply:
    if is_missing_category(missing):
        return apply("isMissing", column.expression)
    if isinstance(missing, str):
        return apply("equal", column.expression, ConstantForm(missing, ORIGIN))
    return apply("equal", column.expression, number(missing))


def indicate_missing(step: Any, columns: Columns, _: Export) -> Columns:
    """Return the columns of MissingIndicator: 1 for a missing value, else 0."""
    chosen = [columns[index] for index in list_items(step.features_)]
    return tuple(_indicate_missing(step.missing_values, column) for column in chosen)


def _indicate_missing(missing: Any, column: FeatureColumn) -> FeatureColumn:
    expression = apply("if", _test_missing(missing, column), number(1.0), number(0.0))
    sources = frozenset() if is_missing_category(missing) else column.sources
    return FeatureColumn(f"missing({column.label})", expression, sources)


# -- Combinations -----------------------------------------------------------------------------------------------------


def normalize(step: Any, columns: Columns, export: Export) -> Columns:
    """Return the columns of Normalizer, divided by the norm of the row if it is not 0."""
    values = [column.expression for column in columns]
    norm = export.schema.refer_to(combine(f"norm({step.norm})", columns, _NORMS[step.norm](values)))
    is_zero = apply("equal", norm.expression, number(0.0))
    divisor = combine("divisor", columns, apply("if", is_zero, number(1.0), norm.expression))
    expression = export.schema.refer_to(divisor).expression
    return tuple(
        combine(f"normalizer({column.label})", columns, apply("/", column.expression, expression)) for column in columns
    )


def _measure_length(values: Sequence[ExpressionForm]) -> ExpressionForm:
    return apply("sqrt", apply("sum", *(apply("*", value, value) for value in values)))


_NORMS: dict[str, Callable[[Sequence[ExpressionForm]], ExpressionForm]] = {
    "l1": lambda values: apply("sum", *(apply("abs", value) for value in values)),
    "l2": _measure_length,
    "max": lambda values: apply("max", *(apply("abs", value) for value in values)),
}


def expand_polynomial(step: Any, columns: Columns, export: Export) -> Columns:
    """Return the columns of PolynomialFeatures: products of powers."""
    named = [export.schema.refer_to(column) for column in columns]
    return tuple(_multiply(named, powers) for powers in list_items(step.powers_))


def _multiply(columns: Sequence[FeatureColumn], powers: Sequence[int]) -> FeatureColumn:
    factors = [column for column, power in zip(columns, powers, strict=True) for _ in range(power)]
    if not factors:
        return FeatureColumn("1", number(1.0), frozenset())
    if len(factors) == 1:
        return factors[0]
    product: ExpressionForm = factors[0].expression
    for factor in factors[1:]:
        product = apply("*", product, factor.expression)
    return combine("*".join(factor.label for factor in factors), factors, product)


def project(step: Any, columns: Columns, export: Export) -> Columns:
    """Return the columns of PCA or TruncatedSVD: sums of products."""
    means = getattr(step, "mean_", None)
    shifted = _shift(columns, None if means is None else list_items(means), export)
    scales = None
    if getattr(step, "whiten", False):
        scales = [math.sqrt(variance) for variance in list_items(step.explained_variance_)]
    projected = []
    for index, row in enumerate(list_items(step.components_)):
        total: ExpressionForm = apply(
            "sum",
            *(apply("*", column.expression, number(weight)) for column, weight in zip(shifted, row, strict=True)),
        )
        if scales is not None:
            total = apply("/", total, number(scales[index]))
        projected.append(combine(f"component{index + 1}", columns, total))
    return tuple(projected)


def _shift(columns: Columns, means: list[float] | None, export: Export) -> Columns:
    if means is None:
        return tuple(map(export.schema.refer_to, columns))
    return tuple(
        export.schema.refer_to(derive("centered", column, apply("-", column.expression, number(mean))))
        for column, mean in zip(columns, means, strict=True)
    )


# -- Functions --------------------------------------------------------------------------------------------------------

# Functions of numpy, by the name of PMML
FUNCTIONS = {
    "abs": "abs",
    "absolute": "abs",
    "arccos": "acos",
    "arcsin": "asin",
    "arctan": "atan",
    "ceil": "ceil",
    "cos": "cos",
    "cosh": "cosh",
    "exp": "exp",
    "expm1": "expm1",
    "floor": "floor",
    "log": "ln",
    "log10": "log10",
    "log1p": "ln1p",
    "rint": "rint",
    "sin": "sin",
    "sinh": "sinh",
    "sqrt": "sqrt",
    "tan": "tan",
    "tanh": "tanh",
}


def call_function(step: Any, columns: Columns, export: Export) -> Columns:
    """Return the columns of FunctionTransformer, if its function is one of numpy that PMML has."""
    if step.func is None:
        return columns
    name = getattr(step.func, "__name__", "")
    if type(step.func).__module__ != "numpy" or step.kw_args:
        raise NotExported(f"function {quote(name)} is not supported; use a function of numpy: {', '.join(FUNCTIONS)}")
    export.schema.use_numbers(columns, allows_missing=True)
    if name == "square":
        return tuple(derive("square", column, apply("*", column.expression, column.expression)) for column in columns)
    if name not in FUNCTIONS:
        raise NotExported(f"function {quote(name)} is not supported; use one of {', '.join(FUNCTIONS)}")
    return tuple(_call(FUNCTIONS[name], column) for column in columns)


def _call(function: str, column: FeatureColumn) -> FeatureColumn:
    """Return the result of a function, which does not accept a missing value."""
    return derive(function, column, _if_present(column, apply(function, column.expression)))


def _if_present(column: FeatureColumn, expression: ExpressionForm) -> ExpressionForm:
    return apply("if", apply("isNotMissing", column.expression), expression)


def transform_power(step: Any, columns: Columns, export: Export) -> Columns:
    """Return the columns of PowerTransformer."""
    transform = _yeo_johnson if step.method == "yeo-johnson" else _box_cox
    named = tuple(map(export.schema.refer_to, columns))
    powers = tuple(
        derive("power", column, _if_present(column, transform(column.expression, power)))
        for column, power in zip(named, list_items(step.lambdas_), strict=True)
    )
    return export.transform(step._scaler, powers) if step.standardize else powers


def _raise_power(logarithm: ExpressionForm, power: float) -> ExpressionForm:
    """Return (e^(power * logarithm) - 1) / power, or its limit."""
    if abs(power) < 2.220446049250313e-16:
        return logarithm
    return apply("/", apply("expm1", apply("*", number(power), logarithm)), number(power))


def _box_cox(value: ExpressionForm, power: float) -> ExpressionForm:
    return _raise_power(apply("ln", value), power)


def _yeo_johnson(value: ExpressionForm, power: float) -> ExpressionForm:
    below = _raise_power(apply("ln1p", apply("-", number(0.0), value)), 2.0 - power)
    return apply(
        "if",
        apply("greaterOrEqual", value, number(0.0)),
        _raise_power(apply("ln1p", value), power),
        apply("-", number(0.0), below),
    )


# Nearer to the ends, and beyond the ends, QuantileTransformer returns the lowest and highest value
BOUNDS_THRESHOLD = 1e-7
EXTREMES = (-5.199337582605575, 5.19933758270342)  # of a normal distribution


def rank_quantiles(step: Any, columns: Columns, export: Export) -> Columns:
    """Return the columns of QuantileTransformer."""
    references = list_items(step.references_)
    by_column = zip(*list_items(step.quantiles_), strict=True)
    ranked = []
    for column, quantiles in zip(columns, by_column, strict=True):
        source = export.schema.refer_to(column)
        name = source.expression.field  # type: ignore[union-attr]
        points = interpolate_quantiles(quantiles, references)
        norm = NormContinuous(name, points, "asExtremeValues", None, ORIGIN)
        rank = export.schema.refer_to(derive("quantile", column, norm))
        normal = step.output_distribution == "normal"
        ranked.append(_invert_normal(source, rank, quantiles) if normal else rank)
    return tuple(ranked)


def interpolate_quantiles(quantiles: Sequence[float], references: Sequence[float]) -> tuple[tuple[float, float], ...]:
    """Return the points of a piecewise linear function, which jumps at a quantile that is repeated.

    It has the average of the references there, and the first and the last of them beside it.
    """
    points: list[tuple[float, float]] = []
    for quantile, group in groupby(zip(quantiles, references, strict=True), key=lambda pair: pair[0]):
        first, *others = [reference for _, reference in group]
        last = others[-1] if others else first
        if others and first > references[0]:
            points.append((math.nextafter(quantile, -math.inf), first))
        lowest = first == references[0]
        highest = last == references[-1]
        points.append((quantile, first if lowest else last if highest else (first + last) / 2))
        if others and last < references[-1]:
            points.append((math.nextafter(quantile, math.inf), last))
    return tuple(points)


def _invert_normal(column: FeatureColumn, rank: FeatureColumn, quantiles: Sequence[float]) -> FeatureColumn:
    """Return the number of a normal distribution that has a rank."""
    value = column.expression
    is_low = apply("lessThan", apply("-", value, number(BOUNDS_THRESHOLD)), number(quantiles[0]))
    is_high = apply("greaterThan", apply("+", value, number(BOUNDS_THRESHOLD)), number(quantiles[-1]))
    inverse = apply("stdNormalIDF", rank.expression)
    limited = apply("max", apply("min", inverse, number(EXTREMES[1])), number(EXTREMES[0]))
    bounded = apply("if", is_high, number(EXTREMES[1]), limited)
    return derive("normal", column, _if_present(column, apply("if", is_low, number(EXTREMES[0]), bounded)))


# -- Intervals --------------------------------------------------------------------------------------------------------


def discretize(step: Any, columns: Columns, export: Export) -> Columns:
    """Return the columns of KBinsDiscretizer: the index of an interval, or a column for each."""
    encoded: list[FeatureColumn] = []
    for column, edges in zip(columns, step.bin_edges_, strict=True):
        bins = _discretize(export.schema.refer_to(column), list_items(edges))
        if step.encode == "ordinal":
            encoded.append(bins)
        else:
            named = export.schema.name_column(bins)
            encoded += [_indicate_bin(bins, named, index) for index in range(len(edges) - 1)]
    return tuple(encoded)


def _discretize(column: FeatureColumn, edges: list[float]) -> FeatureColumn:
    bounds = [None, *edges[1:-1], None]
    bins = tuple(
        (f"{index}.0", ValueRange(low, high, low is None, True)) for index, (low, high) in enumerate(pairwise(bounds))
    )
    name = column.expression.field  # type: ignore[union-attr]
    return derive("bin", column, Discretize(name, bins, None, None, "double", ORIGIN))


def _indicate_bin(column: FeatureColumn, name: str, index: int) -> FeatureColumn:
    expression = NormDiscrete(name, f"{index}.0", None, ORIGIN)
    return derive(f"{index}", column, expression)
