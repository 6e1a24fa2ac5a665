"""Elements of fields: DataDictionary, MiningSchema, Targets, Output, transformations."""

from __future__ import annotations

from stellar.models.forms.fields import (
    DataField,
    DerivedField,
    FieldType,
    FunctionForm,
    ListedValue,
    MiningField,
    OutputField,
    TargetForm,
)
from stellar.models.pmml.xml import Element
from stellar.models.writer.elements import build, unless
from stellar.models.writer.expressions import write_expression, write_range


def write_data_field(form: DataField) -> Element:
    """Return the DataField of a field of records."""
    return build(
        "DataField",
        *map(write_range, form.ranges),
        *map(_write_listed, form.values),
        name=form.name,
        optype=form.type.operation,
        dataType=form.type.data,
    )


def _write_listed(form: ListedValue) -> Element:
    return build("Value", value=form.value, displayValue=form.display, property=unless(form.role, "valid"))


def write_mining_field(form: MiningField) -> Element:
    """Return the MiningField of the use of a field."""
    return build(
        "MiningField",
        name=form.name,
        usageType=unless(form.usage, "active"),
        optype=form.operation,
        importance=form.importance,
        outliers=unless(form.outliers, "asIs"),
        lowValue=form.low,
        highValue=form.high,
        missingValueReplacement=form.missing_replacement,
        missingValueTreatment=unless(form.missing, "asIs"),
        invalidValueTreatment=unless(form.invalid, "returnInvalid"),
        invalidValueReplacement=form.invalid_replacement,
    )


def write_target(form: TargetForm) -> Element:
    """Return the Target of the change of a predicted value."""
    values = (
        build(
            "TargetValue",
            value=value.value,
            displayValue=value.display,
            priorProbability=value.prior,
            defaultValue=value.default,
        )
        for value in form.values
    )
    return build(
        "Target",
        *values,
        field=form.field,
        min=form.low,
        max=form.high,
        rescaleConstant=unless(form.constant, 0.0),
        rescaleFactor=unless(form.factor, 1.0),
        castInteger=form.rounding,
    )


def write_output(form: OutputField) -> Element:
    """Return the OutputField of a result."""
    return build(
        "OutputField",
        *_write_order(form.type),
        None if form.expression is None else write_expression(form.expression),
        name=form.name,
        optype=None if form.type is None else form.type.operation,
        dataType=None if form.type is None else form.type.data,
        targetField=form.target,
        feature=unless(form.feature, "predictedValue"),
        value=form.value,
        ruleFeature=unless(form.rule_feature, "consequent"),
        algorithm=unless(form.algorithm, "exclusiveRecommendation"),
        rank=unless(form.rank, 1),
        rankBasis=unless(form.rank_basis, "confidence"),
        rankOrder=unless(form.rank_order, "descending"),
        isMultiValued=unless(form.is_multi_valued, False),
        segmentId=form.segment,
        isFinalResult=unless(form.is_final, True),
    )


def _write_order(form: FieldType | None) -> list[Element]:
    return [] if form is None else [build("Value", value=value) for value in form.order]


def write_derived(form: DerivedField) -> Element:
    """Return the DerivedField of a field that is computed."""
    return build(
        "DerivedField",
        write_expression(form.expression),
        *_write_order(form.type),
        name=form.name or None,
        optype=form.type.operation,
        dataType=form.type.data,
    )


def write_function(form: FunctionForm) -> Element:
    """Return the DefineFunction of a function of the document. The standard requires the types of its result."""
    return build(
        "DefineFunction",
        *(build("ParameterField", name=parameter.name, dataType=parameter.data_type) for parameter in form.parameters),
        write_expression(form.expression),
        name=form.name,
        optype="continuous" if form.data_type in ("integer", "float", "double") else "categorical",
        dataType=form.data_type,
    )
