"""Elements of expressions."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from stellar.models.errors import InvalidModel
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
from stellar.models.pmml.attributes import (
    boolean,
    choice,
    data_type,
    integer,
    number,
    optional_number,
    read_rows,
    required,
)
from stellar.models.pmml.intervals import read_range
from stellar.models.pmml.xml import Element
from stellar.models.values import find_conversion, infer_constant

DEEPEST = 100  # nesting of expressions


def find_expression(element: Element) -> Element:
    """Return the expression in an element."""
    for child in element.children:
        if child.name in _READERS:
            return child
        if child.name == "Lag":
            raise InvalidModel("not supported", child.origin)
    raise InvalidModel("missing expression; add one", element.origin)


def is_expression(element: Element) -> bool:
    """Return True for elements that are expressions."""
    return element.name in _READERS


def read_expression(element: Element, depth: int = 0) -> ExpressionForm:
    """Return an expression."""
    if depth > DEEPEST:
        raise InvalidModel(f"expressions are nested deeper than {DEEPEST}", element.origin)
    if element.name == "Apply":
        return _read_apply(element, depth)
    if (read := _READERS.get(element.name)) is None:
        raise InvalidModel("not supported as an expression", element.origin)
    form: ExpressionForm = read(element)
    return form


def _read_constant(element: Element) -> ConstantForm:
    if boolean(element, "missing", False):
        return ConstantForm(None, element.origin)
    kind = data_type(element)
    try:
        value = infer_constant(element.text) if kind is None else find_conversion(kind)(element.text)  # type: ignore[misc]
    except ValueError as error:
        raise InvalidModel(f"invalid constant: {error}", element.origin) from None
    return ConstantForm(value, element.origin)


def _read_field_ref(element: Element) -> FieldRef:
    return FieldRef(required(element, "field"), element.attributes.get("mapMissingTo"), element.origin)


def _read_norm_continuous(element: Element) -> NormContinuous:
    points = tuple((number(point, "orig"), number(point, "norm")) for point in element.find_all("LinearNorm"))
    if len(points) < 2:
        raise InvalidModel("expected two <LinearNorm> or more", element.origin)
    if any(one[0] >= other[0] for one, other in pairwise(points)):
        raise InvalidModel("expected <LinearNorm> in ascending order of orig", element.origin)
    outliers = choice(element, "outliers", ("asIs", "asMissingValues", "asExtremeValues"), "asIs")
    missing = optional_number(element, "mapMissingTo")
    return NormContinuous(required(element, "field"), points, outliers, missing, element.origin)


def _read_norm_discrete(element: Element) -> NormDiscrete:
    missing = optional_number(element, "mapMissingTo")
    return NormDiscrete(required(element, "field"), required(element, "value"), missing, element.origin)


def _read_discretize(element: Element) -> Discretize:
    bins = []
    for child in element.find_all("DiscretizeBin"):
        if (interval := child.find("Interval")) is None:
            raise InvalidModel("missing <Interval>; add it", child.origin)
        bins.append((required(child, "binValue"), read_range(interval)))
    return Discretize(
        required(element, "field"),
        tuple(bins),
        element.attributes.get("defaultValue"),
        element.attributes.get("mapMissingTo"),
        data_type(element),
        element.origin,
    )


def _read_map_values(element: Element) -> MapValues:
    pairs = tuple((required(pair, "field"), required(pair, "column")) for pair in element.find_all("FieldColumnPair"))
    return MapValues(
        pairs,
        read_rows(element),
        required(element, "outputColumn"),
        element.attributes.get("defaultValue"),
        element.attributes.get("mapMissingTo"),
        data_type(element),
        element.origin,
    )


def _read_apply(element: Element, depth: int) -> Apply:
    arguments = tuple(read_expression(child, depth + 1) for child in element.children if child.name != "Extension")
    return Apply(
        required(element, "function"),
        arguments,
        element.attributes.get("mapMissingTo"),
        element.attributes.get("defaultValue"),
        choice(element, "invalidValueTreatment", ("returnInvalid", "asIs", "asMissing"), "returnInvalid"),
        element.origin,
    )


def _read_aggregate(element: Element) -> Aggregate:
    functions = ("count", "sum", "average", "min", "max", "multiset")
    if "groupField" in element.attributes or "sqlWhere" in element.attributes:
        raise InvalidModel("groupField and sqlWhere are not supported", element.origin)
    return Aggregate(required(element, "field"), choice(element, "function", functions), element.origin)


WEIGHTS = ("termFrequency", "binary", "logarithmic", "augmentedNormalizedTermFrequency")


def _read_text_index(element: Element) -> TextIndex:
    term = next((child for child in element.children if is_expression(child)), None)
    if term is None:
        raise InvalidModel("missing expression of the term; add one", element.origin)
    return TextIndex(
        required(element, "textField"),
        read_expression(term),
        choice(element, "localTermWeights", WEIGHTS, "termFrequency"),
        bool(boolean(element, "isCaseSensitive", False)),
        integer(element, "maxLevenshteinDistance", 0),
        choice(element, "countHits", ("allHits", "bestHits"), "allHits"),
        element.attributes.get("wordSeparatorCharacterRE", r"\s+"),
        bool(boolean(element, "tokenize", True)),
        tuple(_read_normalization(child) for child in element.find_all("TextIndexNormalization")),
        element.origin,
    )


def _read_normalization(element: Element) -> NormalizationRows:
    return NormalizationRows(
        read_rows(element),
        element.attributes.get("inField", "string"),
        element.attributes.get("outField", "stem"),
        element.attributes.get("regexField", "regex"),
        bool(boolean(element, "recursive", False)),
        boolean(element, "isCaseSensitive", None),
        boolean(element, "tokenize", None),
        element.attributes.get("wordSeparatorCharacterRE"),
        element.origin,
    )


_READERS: dict[str, Callable[[Element], Any]] = {
    "Constant": _read_constant,
    "FieldRef": _read_field_ref,
    "NormContinuous": _read_norm_continuous,
    "NormDiscrete": _read_norm_discrete,
    "Discretize": _read_discretize,
    "MapValues": _read_map_values,
    "Apply": lambda element: _read_apply(element, 0),
    "Aggregate": _read_aggregate,
    "TextIndex": _read_text_index,
}
