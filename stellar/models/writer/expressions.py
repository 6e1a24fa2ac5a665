"""Elements of expressions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stellar.models.forms.expressions import (
    Aggregate,
    Apply,
    ConstantForm,
    Discretize,
    ExpressionForm,
    FieldRef,
    MapValues,
    NormalizationRows,
    NormContinuous,
    NormDiscrete,
    TextIndex,
)
from stellar.models.forms.fields import ValueRange
from stellar.models.pmml.xml import Element
from stellar.models.values import type_of
from stellar.models.writer.elements import build, build_table, build_text, unless, write_value


def write_expression(form: ExpressionForm) -> Element:
    """Return the element of an expression."""
    return _WRITERS[type(form)](form)


def _write_constant(form: ConstantForm) -> Element:
    if form.value is None:
        return build("Constant", missing=True)
    return build_text("Constant", write_value(form.value), dataType=type_of(form.value))


def _write_field_ref(form: FieldRef) -> Element:
    return build("FieldRef", field=form.field, mapMissingTo=form.missing)


def _write_norm_continuous(form: NormContinuous) -> Element:
    points = (build("LinearNorm", orig=original, norm=value) for original, value in form.points)
    return build(
        "NormContinuous", *points, field=form.field, outliers=unless(form.outliers, "asIs"), mapMissingTo=form.missing
    )


def _write_norm_discrete(form: NormDiscrete) -> Element:
    return build("NormDiscrete", field=form.field, value=form.value, mapMissingTo=form.missing)


def _write_discretize(form: Discretize) -> Element:
    bins = (build("DiscretizeBin", write_range(bounds), binValue=label) for label, bounds in form.bins)
    return build(
        "Discretize",
        *bins,
        field=form.field,
        defaultValue=form.default,
        mapMissingTo=form.missing,
        dataType=form.data_type,
    )


def write_range(form: ValueRange) -> Element:
    """Return the Interval of a range."""
    closure = ("open" if form.is_low_open else "closed") + ("Open" if form.is_high_open else "Closed")
    return build("Interval", closure=closure, leftMargin=form.low, rightMargin=form.high)


def _write_map_values(form: MapValues) -> Element:
    return build(
        "MapValues",
        *(build("FieldColumnPair", field=field, column=column) for field, column in form.fields),
        build_table(form.rows),
        outputColumn=form.output,
        defaultValue=form.default,
        mapMissingTo=form.missing,
        dataType=form.data_type,
    )


def _write_apply(form: Apply) -> Element:
    return build(
        "Apply",
        *map(write_expression, form.arguments),
        function=form.function,
        mapMissingTo=form.missing,
        defaultValue=form.default,
        invalidValueTreatment=unless(form.invalid, "returnInvalid"),
    )


def _write_aggregate(form: Aggregate) -> Element:
    return build("Aggregate", field=form.field, function=form.function)


def _write_text_index(form: TextIndex) -> Element:
    return build(
        "TextIndex",
        *map(_write_normalization, form.normalizations),
        write_expression(form.term),
        textField=form.field,
        localTermWeights=unless(form.weights, "termFrequency"),
        isCaseSensitive=unless(form.is_case_sensitive, False),
        maxLevenshteinDistance=unless(form.max_distance, 0),
        countHits=unless(form.count_hits, "allHits"),
        wordSeparatorCharacterRE=unless(form.separator, r"\s+"),
        tokenize=unless(form.tokenize, True),
    )


def _write_normalization(form: NormalizationRows) -> Element:
    return build(
        "TextIndexNormalization",
        build_table(form.rows),
        inField=unless(form.input, "string"),
        outField=unless(form.output, "stem"),
        regexField=unless(form.expression, "regex"),
        recursive=unless(form.is_recursive, False),
        isCaseSensitive=form.is_case_sensitive,
        tokenize=form.tokenize,
        wordSeparatorCharacterRE=form.separator,
    )


_WRITERS: dict[type, Callable[[Any], Element]] = {
    Aggregate: _write_aggregate,
    Apply: _write_apply,
    ConstantForm: _write_constant,
    Discretize: _write_discretize,
    FieldRef: _write_field_ref,
    MapValues: _write_map_values,
    NormContinuous: _write_norm_continuous,
    NormDiscrete: _write_norm_discrete,
    TextIndex: _write_text_index,
}
