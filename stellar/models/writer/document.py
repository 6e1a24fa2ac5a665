"""Documents: the model, its segments, and what surrounds them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stellar.models.errors import NotExported
from stellar.models.forms import bodies
from stellar.models.forms.boosting import BoosterForm
from stellar.models.forms.model import ModelDocument, ModelForm, Verification
from stellar.models.pmml.xml import Element
from stellar.models.writer.distances import write_association, write_clustering, write_nearest
from stellar.models.writer.elements import (
    NAMESPACE,
    Attribute,
    build,
    build_list,
    build_numbers,
    build_table,
    unless,
    write_xml,
)
from stellar.models.writer.fields import (
    write_data_field,
    write_derived,
    write_function,
    write_mining_field,
    write_output,
    write_target,
)
from stellar.models.writer.networks import write_bayes, write_network, write_vector_machine
from stellar.models.writer.regressions import write_general_regression, write_regression
from stellar.models.writer.trees import write_predicate, write_rule_set, write_scorecard, write_tree
from stellar.util.version import __version__

# The children and attributes of a body
WrittenBody = tuple[list[Element], dict[str, Any]]


def write_document(document: ModelDocument) -> str:
    """Return the text of a PMML 4.4 document. Raise NotExported for a model that has none.

    The reader makes an equal form of it, but for the origins.
    """
    dictionary = [write_data_field(field) for field in document.fields]
    transformations = [*map(write_function, document.functions), *map(write_derived, document.derived)]
    root = build(
        "PMML",
        build("Header", build("Application", name="stellar-maas", version=__version__)),
        build("DataDictionary", *dictionary, numberOfFields=len(dictionary)),
        build_list("TransformationDictionary", transformations),
        write_model(document.model),
        xmlns=NAMESPACE,
        version="4.4",
    )
    return write_xml(root)


def write_model(form: ModelForm) -> Element:
    """Return the element of a model."""
    if isinstance(form.body, BoosterForm):
        raise NotExported("a model of XGBoost or LightGBM is not written as PMML; deploy its own file")
    name, write = _BODIES[type(form.body)]
    children, attributes = write(form.body)
    return build(
        name,
        build("MiningSchema", *map(write_mining_field, form.fields)),
        build_list("Output", map(write_output, form.outputs)),
        build_list("Targets", map(write_target, form.targets)),
        build_list("LocalTransformations", map(write_derived, form.derived)),
        *children,
        None if form.verification is None else _write_verification(form.verification),
        **_name_model(form),
        **attributes,
    )


def _name_model(form: ModelForm) -> dict[str, Attribute]:
    return {
        "modelName": form.name,
        "functionName": form.function,
        "x_mathContext": "float" if form.is_single else None,
    }


def _write_verification(form: Verification) -> Element:
    fields = (
        build(
            "VerificationField",
            field=name,
            column=column,
            precision=unless(precision, 1e-6),
            zeroThreshold=unless(zero, 1e-16),
        )
        for name, column, precision, zero in form.fields
    )
    return build(
        "ModelVerification",
        build("VerificationFields", *fields),
        build_table(form.rows),
        recordCount=len(form.rows),
    )


# -- Models of models -------------------------------------------------------------------------------------------------


def _write_ensemble(form: bodies.EnsembleForm) -> WrittenBody:
    segmentation = build(
        "Segmentation",
        *map(_write_segment, form.segments),
        multipleModelMethod=form.method,
        missingPredictionTreatment=unless(form.missing, "continue"),
        missingThreshold=unless(form.missing_threshold, 1.0),
    )
    return [segmentation], {}


def _write_segment(form: bodies.SegmentForm) -> Element:
    weight = unless(form.weight, 1.0)
    return build("Segment", write_predicate(form.predicate), write_model(form.model), id=form.id, weight=weight)


def _write_anomaly(form: bodies.AnomalyForm) -> WrittenBody:
    distances = None
    if form.mean_distances:
        distances = build("MeanClusterDistances", build_numbers(form.mean_distances))
    children = [child for child in (write_model(form.model), distances) if child is not None]
    return children, {"algorithmType": form.algorithm, "sampleDataSize": form.sample_size}


_BODIES: dict[type, tuple[str, Callable[[Any], WrittenBody]]] = {
    bodies.AnomalyForm: ("AnomalyDetectionModel", _write_anomaly),
    bodies.AssociationForm: ("AssociationModel", write_association),
    bodies.BayesForm: ("NaiveBayesModel", write_bayes),
    bodies.ClusteringForm: ("ClusteringModel", write_clustering),
    bodies.EnsembleForm: ("MiningModel", _write_ensemble),
    bodies.GeneralRegressionForm: ("GeneralRegressionModel", write_general_regression),
    bodies.NearestForm: ("NearestNeighborModel", write_nearest),
    bodies.NetworkForm: ("NeuralNetwork", write_network),
    bodies.RegressionForm: ("RegressionModel", write_regression),
    bodies.RuleSetForm: ("RuleSetModel", write_rule_set),
    bodies.ScorecardForm: ("Scorecard", write_scorecard),
    bodies.TreeForm: ("TreeModel", write_tree),
    bodies.VectorMachineForm: ("SupportVectorMachineModel", write_vector_machine),
}
