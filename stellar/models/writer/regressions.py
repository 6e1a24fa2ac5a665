"""Elements of regression models."""

from __future__ import annotations

from collections.abc import Iterator

from stellar.models.errors import NotExported
from stellar.models.forms.bodies import BaselineHazard, Equation, GeneralRegressionForm, Predictor, RegressionForm, Term
from stellar.models.pmml.xml import Element
from stellar.models.writer.elements import build, build_list, build_numbers, unless


def write_regression(form: RegressionForm) -> tuple[list[Element], dict[str, str | float | None]]:
    """Return the children and attributes of a RegressionModel."""
    tables = [_write_equation(equation) for equation in form.equations]
    return tables, {"normalizationMethod": unless(form.normalization, "none")}


def _write_equation(form: Equation) -> Element:
    return build("RegressionTable", *_write_terms(form), targetCategory=form.category, intercept=form.intercept)


def _write_terms(form: Equation) -> Iterator[Element]:
    """Yield predictors in the order of the terms, which the standard wants as numbers, categories, products."""
    is_number = True
    for term in form.terms:
        (name, exponent), *others = term.factors
        is_number = is_number and term.category is None and not others
        if term.category is not None:
            yield build("CategoricalPredictor", name=name, value=term.category, coefficient=term.coefficient)
        elif is_number:
            exponent_ = unless(exponent, 1.0)
            yield build("NumericPredictor", name=name, exponent=exponent_, coefficient=term.coefficient)
        else:
            yield build("PredictorTerm", *_write_factors(term), coefficient=term.coefficient)


def _write_factors(form: Term) -> list[Element]:
    for name, exponent in form.factors:
        if exponent != 1:
            raise NotExported(f"a product with a power of {name} has no element; use a derived field")
    return [build("FieldRef", field=name) for name, _ in form.factors]


# -- General regression -----------------------------------------------------------------------------------------------


def write_general_regression(form: GeneralRegressionForm) -> tuple[list[Element], dict[str, str | float | None]]:
    """Return the children and attributes of a GeneralRegressionModel."""
    lists = [
        build("ParameterList", *_write_parameters(form)),
        build_list("FactorList", map(_write_predictor, form.factors)),
        build_list("CovariateList", map(_write_predictor, form.covariates)),
        build("PPMatrix", *_write_cells(form)),
        build("ParamMatrix", *_write_coefficients(form)),
        _write_hazards(form.hazards),
    ]
    return [child for child in lists if child is not None], {
        "modelType": form.kind,
        "linkFunction": form.link,
        "cumulativeLink": form.cumulative_link,
        "distribution": form.distribution,
        "linkParameter": form.link_parameter,
        "distParameter": form.distribution_parameter,
        "trialsValue": form.trials,
        "trialsVariable": form.trials_variable,
        "offsetValue": form.offset,
        "offsetVariable": form.offset_variable,
        "endTimeVariable": form.end_time,
        "baselineStrataVariable": form.strata,
        "targetReferenceCategory": form.reference,
    }


def _write_parameters(form: GeneralRegressionForm) -> Iterator[Element]:
    for name, reference in form.parameters.items():
        yield build("Parameter", name=name, referencePoint=unless(reference, 0.0))


def _write_predictor(form: Predictor) -> Element:
    categories = build_list("Categories", (build("Category", value=category) for category in form.categories))
    matrix = build_list("Matrix", map(build_numbers, form.matrix))
    return build("Predictor", categories, matrix, name=form.field)


def _write_cells(form: GeneralRegressionForm) -> Iterator[Element]:
    for category, cell in form.cells:
        yield build(
            "PPCell",
            value=cell.value,
            predictorName=cell.field,
            parameterName=cell.parameter,
            targetCategory=category,
        )


def _write_coefficients(form: GeneralRegressionForm) -> Iterator[Element]:
    for cell in form.coefficients:
        yield build("PCell", parameterName=cell.parameter, targetCategory=cell.category, beta=cell.value)


def _write_hazards(forms: tuple[BaselineHazard, ...]) -> Element | None:
    if not forms:
        return None
    if forms[0].stratum is None:
        return build("BaseCumHazardTables", *_write_hazard_cells(forms[0]), maxTime=forms[0].max_time)
    strata = (
        build("BaselineStratum", *_write_hazard_cells(form), value=form.stratum, maxTime=form.max_time)
        for form in forms
    )
    return build("BaseCumHazardTables", *strata)


def _write_hazard_cells(form: BaselineHazard) -> list[Element]:
    return [build("BaselineCell", time=time, cumHazard=hazard) for time, hazard in form.cells]
