"""Elements of clustering and nearest neighbor models."""

from __future__ import annotations

from stellar.models.errors import InvalidModel
from stellar.models.forms.bodies import ClusterCenter, ClusteringForm, ComparedField, Measure, NearestForm
from stellar.models.pmml.attributes import (
    boolean,
    choice,
    find_array,
    find_required,
    integer,
    number,
    optional_number,
    read_numbers,
    read_rows,
    required,
)
from stellar.models.pmml.xml import Element

MEASURES = (
    "euclidean",
    "squaredEuclidean",
    "chebychev",
    "cityBlock",
    "minkowski",
    "simpleMatching",
    "jaccard",
    "tanimoto",
    "binarySimilarity",
)
COMPARES = ("absDiff", "gaussSim", "delta", "equal", "table")
BINARY = tuple(f"{kind}{cell}-parameter" for kind in "cd" for cell in ("00", "01", "10", "11"))


def read_measure(element: Element) -> Measure:
    """Return the measure of a model."""
    comparison = find_required(element, "ComparisonMeasure")
    measure = find_required(comparison, *MEASURES)
    parameters: tuple[float, ...] = ()
    if measure.name == "minkowski":
        parameters = (number(measure, "p-parameter"),)
    elif measure.name == "binarySimilarity":
        parameters = tuple(number(measure, name) for name in BINARY)
    kind = choice(comparison, "kind", ("distance", "similarity"), "distance")
    return Measure(measure.name, kind, _read_compare(comparison) or "absDiff", parameters, measure.origin)


def _read_compare(element: Element) -> str | None:
    if "compareFunction" not in element.attributes:
        return None
    compare = choice(element, "compareFunction", COMPARES)
    if compare == "table":
        raise InvalidModel("compareFunction 'table' is not supported", element.origin)
    return compare


def _read_compared(element: Element) -> ComparedField:
    if (child := element.find("Comparisons")) is not None:
        raise InvalidModel("not supported", child.origin)
    return ComparedField(
        required(element, "field"),
        number(element, "fieldWeight", 1.0),
        _read_compare(element),
        optional_number(element, "similarityScale"),
        bool(boolean(element, "isCenterField", True)),
    )


def read_clustering(element: Element) -> ClusteringForm:
    """Return the clusters of a ClusteringModel."""
    choice(element, "modelClass", ("centerBased",))
    fields = tuple(_read_compared(child) for child in element.find_all("ClusteringField"))
    clusters = tuple(_read_cluster(child, len(fields)) for child in element.find_all("Cluster"))
    centers = sum(field.is_center_field for field in fields)
    for child, cluster in zip(element.find_all("Cluster"), clusters, strict=True):
        if len(cluster.center) != centers:
            raise InvalidModel(
                f"expected {centers} numbers as there are fields, got {len(cluster.center)}", child.origin
            )
    weights = None
    if (missing := element.find("MissingValueWeights")) is not None:
        weights = read_numbers(find_array(missing), len(fields))
        if len(weights) != len(fields):
            raise InvalidModel(f"expected {len(fields)} weights, got {len(weights)}", missing.origin)
    return ClusteringForm(read_measure(element), fields, weights, clusters, element.origin)


def _read_cluster(element: Element, length: int) -> ClusterCenter:
    return ClusterCenter(
        element.attributes.get("id"), element.attributes.get("name"), read_numbers(find_array(element), length)
    )


CONTINUOUS = ("average", "median", "weightedAverage")
CATEGORICAL = ("majorityVote", "weightedMajorityVote")


def read_nearest(element: Element) -> NearestForm:
    """Return the instances of a NearestNeighborModel."""
    training = find_required(element, "TrainingInstances")
    columns = {
        required(child, "field"): child.attributes.get("column") or required(child, "field")
        for child in find_required(training, "InstanceFields").find_all("InstanceField")
    }
    instances = tuple(
        {field: row[column] for field, column in columns.items() if column in row} for row in read_rows(training)
    )
    neighbors = integer(element, "numberOfNeighbors", 0)
    if not 1 <= neighbors <= len(instances):
        raise InvalidModel(f"invalid numberOfNeighbors {neighbors}: expected 1–{len(instances)}", element.origin)
    return NearestForm(
        neighbors,
        read_measure(element),
        tuple(_read_compared(child) for child in find_required(element, "KNNInputs").find_all("KNNInput")),
        instances,
        element.attributes.get("instanceIdVariable"),
        choice(element, "continuousScoringMethod", CONTINUOUS, "average"),
        choice(element, "categoricalScoringMethod", CATEGORICAL, "majorityVote"),
        number(element, "threshold", 0.001),
        element.origin,
    )
