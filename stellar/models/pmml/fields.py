"""Elements of fields: DataDictionary, MiningSchema, Targets, Output, transformations."""

from __future__ import annotations

from collections.abc import Iterable

from stellar.models.errors import InvalidModel
from stellar.models.forms.fields import (
    DataField,
    DerivedField,
    FieldType,
    FunctionForm,
    FunctionParameter,
    ListedValue,
    MiningField,
    OutputField,
    TargetForm,
    TargetValue,
)
from stellar.models.pmml.attributes import (
    boolean,
    choice,
    data_type,
    integer,
    number,
    optional_choice,
    optional_number,
    required,
)
from stellar.models.pmml.expressions import find_expression, read_expression
from stellar.models.pmml.intervals import read_range
from stellar.models.pmml.xml import Element
from stellar.util.abbreviate import quote

OPERATIONS = ("continuous", "categorical", "ordinal")
ROLES = ("valid", "invalid", "missing")
USAGES = (
    "active",
    "predicted",
    "target",
    "supplementary",
    "group",
    "order",
    "frequencyWeight",
    "analysisWeight",
)
OUTLIERS = ("asIs", "asMissingValues", "asExtremeValues")
MISSING = ("asIs", "asMean", "asMode", "asMedian", "asValue", "returnInvalid")
INVALID = ("returnInvalid", "asIs", "asMissing", "asValue")
FEATURES = (
    "predictedValue",
    "predictedDisplayValue",
    "transformedValue",
    "decision",
    "probability",
    "affinity",
    "residual",
    "clusterId",
    "clusterAffinity",
    "entityId",
    "entityAffinity",
    "confidence",
    "reasonCode",
    "ruleValue",
    "ruleId",
    "antecedent",
    "consequent",
    "rule",
    "ruleAffinity",
    "support",
    "lift",
    "leverage",
    "standardError",
    "standardDeviation",
    "warning",
    "report",
)
_UNSUPPORTED_FEATURES = ("standardError", "standardDeviation", "warning", "report")


def read_type(element: Element, operation: str | None = None) -> FieldType:
    """Return the type of a field."""
    optype = choice(element, "optype", OPERATIONS, operation)
    order = tuple(
        required(value, "value")
        for value in element.find_all("Value")
        if value.attributes.get("property") in (None, "valid")
    )
    data = data_type(element) or required(element, "dataType")
    return FieldType(optype, data, order if optype == "ordinal" else ())


def read_data_field(element: Element) -> DataField:
    """Return the field of a DataField."""
    if boolean(element, "isCyclic", False):
        raise InvalidModel("cyclic fields are not supported", element.origin)
    values = tuple(
        ListedValue(
            required(value, "value"),
            choice(value, "property", ROLES, "valid"),
            value.attributes.get("displayValue"),
        )
        for value in element.find_all("Value")
    )
    ranges = tuple(read_range(interval) for interval in element.find_all("Interval"))
    return DataField(required(element, "name"), read_type(element), values, ranges, element.origin)


def read_mining_field(element: Element) -> MiningField:
    """Return the use of a field by a model."""
    outliers = choice(element, "outliers", OUTLIERS, "asIs")
    low, high = optional_number(element, "lowValue"), optional_number(element, "highValue")
    if outliers != "asIs" and low is None and high is None:
        raise InvalidModel(f"outliers {quote(outliers)} need lowValue or highValue", element.origin)
    return MiningField(
        name=required(element, "name"),
        usage=choice(element, "usageType", USAGES, "active"),
        operation=optional_choice(element, "optype", OPERATIONS),
        outliers=outliers,
        low=low,
        high=high,
        missing=choice(element, "missingValueTreatment", MISSING, "asIs"),
        missing_replacement=element.attributes.get("missingValueReplacement"),
        invalid=choice(element, "invalidValueTreatment", INVALID, "returnInvalid"),
        invalid_replacement=element.attributes.get("invalidValueReplacement"),
        importance=optional_number(element, "importance"),
        origin=element.origin,
    )


def read_target(element: Element) -> TargetForm:
    """Return the change of a predicted value."""
    values = tuple(
        TargetValue(
            value.attributes.get("value"),
            value.attributes.get("displayValue"),
            optional_number(value, "priorProbability"),
            optional_number(value, "defaultValue"),
        )
        for value in element.find_all("TargetValue")
    )
    return TargetForm(
        field=element.attributes.get("field"),
        values=values,
        low=optional_number(element, "min"),
        high=optional_number(element, "max"),
        factor=number(element, "rescaleFactor", 1.0),
        constant=number(element, "rescaleConstant", 0.0),
        rounding=optional_choice(element, "castInteger", ("round", "ceiling", "floor")),
        origin=element.origin,
    )


def read_output(element: Element) -> OutputField:
    """Return a result."""
    feature = choice(element, "feature", FEATURES, "predictedValue")
    if feature in _UNSUPPORTED_FEATURES:
        raise InvalidModel(f"feature {quote(feature)} is not supported; remove the field", element.origin)
    expression = None
    if feature in ("transformedValue", "decision"):
        expression = read_expression(find_expression(element))
    kind = data_type(element)
    return OutputField(
        name=required(element, "name"),
        type=None if kind is None else read_type(element, "categorical" if kind == "string" else "continuous"),
        feature=feature,
        value=element.attributes.get("value"),
        target=element.attributes.get("targetField"),
        segment=element.attributes.get("segmentId"),
        rank=integer(element, "rank", 1),
        rank_basis=choice(
            element, "rankBasis", ("confidence", "support", "lift", "leverage", "affinity"), "confidence"
        ),
        rank_order=choice(element, "rankOrder", ("descending", "ascending"), "descending"),
        rule_feature=choice(element, "ruleFeature", RULE_FEATURES, "consequent"),
        algorithm=choice(
            element,
            "algorithm",
            ("recommendation", "exclusiveRecommendation", "ruleAssociation"),
            "exclusiveRecommendation",
        ),
        is_multi_valued=bool(boolean(element, "isMultiValued", False)),
        is_final=bool(boolean(element, "isFinalResult", True)),
        expression=expression,
        origin=element.origin,
    )


RULE_FEATURES = (
    "antecedent",
    "consequent",
    "rule",
    "ruleId",
    "confidence",
    "support",
    "lift",
    "leverage",
    "affinity",
)


def read_derived(element: Element) -> DerivedField:
    """Return a field that is computed from others."""
    expression = read_expression(find_expression(element))
    return DerivedField(element.attributes.get("name", ""), read_type(element), expression, element.origin)


def read_function(element: Element) -> FunctionForm:
    """Return a function of the document."""
    parameters = tuple(
        FunctionParameter(required(parameter, "name"), data_type(parameter))
        for parameter in element.find_all("ParameterField")
    )
    expression = read_expression(find_expression(element))
    return FunctionForm(required(element, "name"), parameters, data_type(element), expression, element.origin)


def children_of(element: Element | None, name: str) -> Iterable[Element]:
    """Return the children of a name of an element that may be missing."""
    return () if element is None else element.find_all(name)
