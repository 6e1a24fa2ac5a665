"""Reader of documents: the model, its segments, and what surrounds them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from stellar.models.errors import InvalidModel
from stellar.models.forms.bodies import AnomalyForm, EnsembleForm, SegmentForm
from stellar.models.forms.model import Body, ModelDocument, ModelForm, Verification
from stellar.models.pmml.associations import read_association
from stellar.models.pmml.attributes import (
    boolean,
    choice,
    find_array,
    find_required,
    number,
    optional_number,
    read_numbers,
    read_rows,
    required,
)
from stellar.models.pmml.distances import read_clustering, read_nearest
from stellar.models.pmml.elements import check_children
from stellar.models.pmml.fields import (
    children_of,
    read_data_field,
    read_derived,
    read_function,
    read_mining_field,
    read_output,
    read_target,
)
from stellar.models.pmml.networks import read_bayes, read_network, read_vector_machine
from stellar.models.pmml.predicates import find_predicate
from stellar.models.pmml.regressions import read_general_regression, read_regression
from stellar.models.pmml.trees import read_rule_set, read_scorecard, read_tree
from stellar.models.pmml.xml import Element, XmlLimits, read_xml
from stellar.util.abbreviate import quote

DEEPEST = 30  # nesting of models
FUNCTIONS = (
    "regression",
    "classification",
    "clustering",
    "associationRules",
    "sequences",
    "timeSeries",
    "mixed",
)
METHODS = (
    "majorityVote",
    "weightedMajorityVote",
    "average",
    "weightedAverage",
    "median",
    "weightedMedian",
    "max",
    "sum",
    "weightedSum",
    "selectFirst",
    "selectAll",
    "modelChain",
    "multiModelChain",
    "x-weightedMedian",
    "x-weightedSum",
)


def read_document(data: bytes, limits: XmlLimits | None = None) -> ModelDocument:
    """Return the form of a PMML document.

    Raise InvalidModel, with element and line, for an invalid or unsupported document.
    """
    root = read_xml(data, limits)
    if root.name != "PMML":
        raise InvalidModel("expected <PMML> as the outermost element", root.origin)
    version = required(root, "version")
    if re.fullmatch(r"[34]\.\d(\.\d)?", version) is None:
        raise InvalidModel(f"unsupported version {quote(version, 40)}; 3.0 to 4.4 are supported", root.origin)
    check_children(root)
    transformations = root.find("TransformationDictionary")
    return ModelDocument(
        version,
        _unique(
            root, (read_data_field(field) for field in find_required(root, "DataDictionary").find_all("DataField"))
        ),
        _unique(root, (read_derived(field) for field in children_of(transformations, "DerivedField"))),
        _unique(root, (read_function(function) for function in children_of(transformations, "DefineFunction"))),
        read_model(_find_model(root), 0),
    )


def _unique(element: Element, forms: Iterable[Any]) -> tuple[Any, ...]:
    by_name: dict[str, Any] = {}
    for form in forms:
        if form.name in by_name:
            raise InvalidModel(f"{quote(form.name, 80)} is declared twice; remove one", form.origin)
        by_name[form.name] = form
    return tuple(by_name.values())


def _find_model(root: Element) -> Element:
    for child in root.children:
        if child.name in MODELS and boolean(child, "isScorable", True):
            return child
        if child.name.endswith(("Model", "Network")) and child.name not in MODELS:
            raise InvalidModel("this kind of model is not supported", child.origin)
    raise InvalidModel("no model that can be scored", root.origin)


def read_model(element: Element, depth: int) -> ModelForm:
    """Return the form of a model."""
    if depth > DEEPEST:
        raise InvalidModel(f"models are nested deeper than {DEEPEST}", element.origin)
    outputs, locals_ = element.find("Output"), element.find("LocalTransformations")
    schema = find_required(element, "MiningSchema")
    return ModelForm(
        name=element.attributes.get("modelName"),
        function=choice(element, "functionName", FUNCTIONS),
        is_single=choice(element, "x-mathContext", ("float", "double"), "double") == "float",
        fields=_unique(element, (read_mining_field(field) for field in schema.find_all("MiningField"))),
        derived=_unique(element, (read_derived(field) for field in children_of(locals_, "DerivedField"))),
        targets=tuple(read_target(target) for target in children_of(element.find("Targets"), "Target")),
        outputs=_unique(element, (read_output(field) for field in children_of(outputs, "OutputField"))),
        verification=_read_verification(element.find("ModelVerification")),
        body=_read_body(element, depth),
        origin=element.origin,
    )


def _read_body(element: Element, depth: int) -> Body:
    if (read := _OUTER.get(element.name)) is not None:
        return read(element, depth)
    return _INNER[element.name](element)  # type: ignore[no-any-return]


def _read_verification(element: Element | None) -> Verification | None:
    if element is None:
        return None
    fields = tuple(
        (
            required(child, "field"),
            child.attributes.get("column") or required(child, "field"),
            number(child, "precision", 1e-6),
            number(child, "zeroThreshold", 1e-16),
        )
        for child in find_required(element, "VerificationFields").find_all("VerificationField")
    )
    return Verification(fields, read_rows(element), element.origin)


# -- Models of models -------------------------------------------------------------------------------------------------


def _read_ensemble(element: Element, depth: int) -> EnsembleForm:
    for name in ("Regression", "DecisionTree"):
        if (embedded := element.find(name)) is not None:
            raise InvalidModel("embedded models are not supported", embedded.origin)
    segmentation = find_required(element, "Segmentation")
    method = choice(segmentation, "multipleModelMethod", METHODS)
    if (child := segmentation.find("LocalTransformations")) is not None:
        raise InvalidModel("not supported; move the fields to the model", child.origin)
    return EnsembleForm(
        method.removeprefix("x-"),
        choice(segmentation, "missingPredictionTreatment", ("continue", "skipSegment", "returnMissing"), "continue"),
        number(segmentation, "missingThreshold", 1.0),
        tuple(_read_segments(segmentation, depth)),
        segmentation.origin,
    )


def _read_segments(element: Element, depth: int) -> Iterator[SegmentForm]:
    for child in element.find_all("Segment"):
        model = next((inner for inner in child.children if inner.name in MODELS), None)
        if model is None:
            raise InvalidModel("missing model; add one", child.origin)
        yield SegmentForm(
            child.attributes.get("id"),
            find_predicate(child),
            number(child, "weight", 1.0),
            read_model(model, depth + 1),
            child.origin,
        )


def _read_anomaly(element: Element, depth: int) -> AnomalyForm:
    model = next((child for child in element.children if child.name in MODELS), None)
    if model is None:
        raise InvalidModel("missing model; add one", element.origin)
    distances = element.find("MeanClusterDistances")
    return AnomalyForm(
        choice(element, "algorithmType", ("iforest", "ocsvm", "clusterMeanDist", "other")),
        optional_number(element, "sampleDataSize"),
        () if distances is None else read_numbers(find_array(distances)),
        read_model(model, depth + 1),
        element.origin,
    )


_OUTER: dict[str, Callable[[Element, int], Body]] = {
    "AnomalyDetectionModel": _read_anomaly,
    "MiningModel": _read_ensemble,
}
_INNER: dict[str, Callable[[Element], Any]] = {
    "AssociationModel": read_association,
    "ClusteringModel": read_clustering,
    "GeneralRegressionModel": read_general_regression,
    "NaiveBayesModel": read_bayes,
    "NearestNeighborModel": read_nearest,
    "NeuralNetwork": read_network,
    "RegressionModel": read_regression,
    "RuleSetModel": read_rule_set,
    "Scorecard": read_scorecard,
    "SupportVectorMachineModel": read_vector_machine,
    "TreeModel": read_tree,
}
MODELS = frozenset({*_OUTER, *_INNER})
