"""Elements of regression models."""

from __future__ import annotations

from collections.abc import Iterator

from stellar.models.errors import InvalidModel
from stellar.models.forms.bodies import (
    BaselineHazard,
    Cell,
    Coefficient,
    Equation,
    GeneralRegressionForm,
    Predictor,
    RegressionForm,
    Term,
)
from stellar.models.pmml.attributes import (
    choice,
    find_required,
    number,
    optional_choice,
    optional_number,
    parse_text,
    read_array,
    required,
)
from stellar.models.pmml.xml import Element
from stellar.util.abbreviate import quote

NORMALIZATIONS = ("none", "simplemax", "softmax", "logit", "probit", "cloglog", "exp", "loglog", "cauchit")
LINKS = ("cloglog", "identity", "log", "logc", "logit", "loglog", "negbin", "oddspower", "power", "probit")
CUMULATIVE_LINKS = ("logit", "probit", "cloglog", "loglog", "cauchit")
KINDS = (
    "regression",
    "generalLinear",
    "multinomialLogistic",
    "ordinalMultinomial",
    "generalizedLinear",
    "CoxRegression",
)


def read_regression(element: Element) -> RegressionForm:
    """Return the equations of a RegressionModel."""
    equations = tuple(_read_equation(table) for table in element.find_all("RegressionTable"))
    if not equations:
        raise InvalidModel("missing <RegressionTable>; add it", element.origin)
    return RegressionForm(choice(element, "normalizationMethod", NORMALIZATIONS, "none"), equations, element.origin)


def _read_equation(element: Element) -> Equation:
    terms = tuple(_read_terms(element))
    return Equation(element.attributes.get("targetCategory"), number(element, "intercept"), terms, element.origin)


def _read_terms(element: Element) -> Iterator[Term]:
    """Yield the terms in JPMML's order: numbers, categories, products."""
    for child in element.find_all("NumericPredictor"):
        factor = (required(child, "name"), number(child, "exponent", 1.0))
        yield Term(number(child, "coefficient"), (factor,), None, child.origin)
    for child in element.find_all("CategoricalPredictor"):
        factor = (required(child, "name"), 1.0)
        yield Term(number(child, "coefficient"), (factor,), required(child, "value"), child.origin)
    for child in element.find_all("PredictorTerm"):
        fields = tuple((required(ref, "field"), 1.0) for ref in child.find_all("FieldRef"))
        if not fields:
            raise InvalidModel("missing <FieldRef>; add it", child.origin)
        yield Term(number(child, "coefficient"), fields, None, child.origin)


# -- General regression -----------------------------------------------------------------------------------------------


def read_general_regression(element: Element) -> GeneralRegressionForm:
    """Return the parameters of a GeneralRegressionModel."""
    kind = choice(element, "modelType", KINDS)
    if "startTimeVariable" in element.attributes:
        raise InvalidModel("startTimeVariable is not supported", element.origin)
    return GeneralRegressionForm(
        kind=kind,
        link=optional_choice(element, "linkFunction", LINKS),
        cumulative_link=optional_choice(element, "cumulativeLink", CUMULATIVE_LINKS),
        distribution=element.attributes.get("distribution"),
        link_parameter=optional_number(element, "linkParameter"),
        distribution_parameter=optional_number(element, "distParameter"),
        trials=optional_number(element, "trialsValue"),
        trials_variable=element.attributes.get("trialsVariable"),
        offset=optional_number(element, "offsetValue"),
        offset_variable=element.attributes.get("offsetVariable"),
        end_time=element.attributes.get("endTimeVariable"),
        strata=element.attributes.get("baselineStrataVariable"),
        reference=element.attributes.get("targetReferenceCategory"),
        parameters=_read_parameters(element),
        factors=_read_predictors(element, "FactorList"),
        covariates=_read_predictors(element, "CovariateList"),
        cells=tuple(_read_cells(element)),
        coefficients=tuple(_read_coefficients(element)),
        hazards=tuple(_read_hazards(element)),
        origin=element.origin,
    )


def _read_parameters(element: Element) -> dict[str, float]:
    parameters = find_required(element, "ParameterList")
    return {required(child, "name"): number(child, "referencePoint", 0.0) for child in parameters.find_all("Parameter")}


def _read_predictors(element: Element, name: str) -> tuple[Predictor, ...]:
    if (predictors := element.find(name)) is None:
        return ()
    return tuple(_read_predictor(child) for child in predictors.find_all("Predictor"))


def _read_predictor(element: Element) -> Predictor:
    categories: tuple[str, ...] = ()
    if (child := element.find("Categories")) is not None:
        categories = tuple(required(category, "value") for category in child.find_all("Category"))
    return Predictor(required(element, "name"), categories, _read_matrix(element))


def _read_matrix(element: Element) -> tuple[tuple[float, ...], ...]:
    if (matrix := element.find("Matrix")) is None:
        return ()
    if matrix.attributes.get("kind", "any") != "any":
        raise InvalidModel(
            f"unsupported kind {quote(matrix.attributes['kind'])}; write all cells as kind='any'", matrix.origin
        )
    rows = tuple(matrix.find_all("Array"))
    if not rows:
        raise InvalidModel("missing <Array>; write the matrix as rows", matrix.origin)
    return tuple(tuple(parse_text(row, item) for item in read_array(row)) for row in rows)


def _read_cells(element: Element) -> Iterator[tuple[str | None, Cell]]:
    if (matrix := element.find("PPMatrix")) is None:
        return
    for child in matrix.find_all("PPCell"):
        cell = Cell(required(child, "predictorName"), required(child, "parameterName"), required(child, "value"))
        yield child.attributes.get("targetCategory"), cell


def _read_coefficients(element: Element) -> Iterator[Coefficient]:
    for child in find_required(element, "ParamMatrix").find_all("PCell"):
        yield Coefficient(
            required(child, "parameterName"), child.attributes.get("targetCategory"), number(child, "beta")
        )


def _read_hazards(element: Element) -> Iterator[BaselineHazard]:
    if (tables := element.find("BaseCumHazardTables")) is None:
        return
    strata = tuple(tables.find_all("BaselineStratum"))
    for table in strata or (tables,):
        cells = tuple((number(cell, "time"), number(cell, "cumHazard")) for cell in table.find_all("BaselineCell"))
        yield BaselineHazard(table.attributes.get("value"), number(table, "maxTime"), cells)
