"""Elements of clustering, nearest neighbor and association models."""

from __future__ import annotations

from stellar.models.errors import NotExported
from stellar.models.forms.bodies import AssociationForm, ClusteringForm, ComparedField, Measure, NearestForm
from stellar.models.pmml.distances import BINARY
from stellar.models.pmml.xml import Element
from stellar.models.writer.elements import build, build_numbers, build_table, unless


def write_clustering(form: ClusteringForm) -> tuple[list[Element], dict[str, str | float | None]]:
    """Return the children and attributes of a ClusteringModel."""
    clusters = [
        build("Cluster", build_numbers(cluster.center), id=cluster.id, name=cluster.name) for cluster in form.clusters
    ]
    weights = (
        None if form.missing_weights is None else build("MissingValueWeights", build_numbers(form.missing_weights))
    )
    fields = [_write_compared("ClusteringField", field) for field in form.fields]
    children = [_write_measure(form.measure), *fields, weights, *clusters]
    return [child for child in children if child is not None], {
        "modelClass": "centerBased",
        "numberOfClusters": len(clusters),
    }


def _write_measure(form: Measure) -> Element:
    parameters = dict(zip(BINARY if len(form.parameters) > 1 else ("p-parameter",), form.parameters, strict=False))
    measure = build(form.name, **parameters)
    compare = unless(form.compare, "absDiff")
    return build("ComparisonMeasure", measure, kind=form.kind, compareFunction=compare)


def _write_compared(name: str, form: ComparedField) -> Element:
    return build(
        name,
        field=form.field,
        isCenterField=unless(form.is_center_field, True),
        fieldWeight=unless(form.weight, 1.0),
        similarityScale=form.similarity_scale,
        compareFunction=form.compare,
    )


def write_nearest(form: NearestForm) -> tuple[list[Element], dict[str, str | float | None]]:
    """Return the children and attributes of a NearestNeighborModel. Columns of the table are numbered."""
    names = list(dict.fromkeys(name for instance in form.instances for name in instance))
    columns = {name: f"c{index}" for index, name in enumerate(names, 1)}
    fields = build("InstanceFields", *(build("InstanceField", field=name, column=columns[name]) for name in names))
    rows = ({columns[name]: value for name, value in instance.items()} for instance in form.instances)
    children = [
        build("TrainingInstances", fields, build_table(rows), recordCount=len(form.instances)),
        _write_measure(form.measure),
        build("KNNInputs", *(_write_compared("KNNInput", field) for field in form.fields)),
    ]
    return children, {
        "numberOfNeighbors": form.neighbors,
        "continuousScoringMethod": unless(form.continuous_method, "average"),
        "categoricalScoringMethod": unless(form.categorical_method, "majorityVote"),
        "instanceIdVariable": form.id_variable,
        "threshold": unless(form.threshold, 0.001),
    }


# -- Associations -----------------------------------------------------------------------------------------------------


def write_association(form: AssociationForm) -> tuple[list[Element], dict[str, str | float | None]]:
    """Return the children and attributes of an AssociationModel."""
    if len(set(form.items)) < len(form.items):
        raise NotExported("two items have one value; remove one")
    ids = {value: str(index) for index, value in enumerate(form.items, 1)}
    items = [build("Item", id=id_, value=value) for value, id_ in ids.items()]
    sides = (side for rule in form.rules for side in (rule.antecedent, rule.consequent))
    sets = {side: f"s{index}" for index, side in enumerate(dict.fromkeys(sides), 1)}
    rules = [
        build(
            "AssociationRule",
            id=rule.id,
            antecedent=sets[rule.antecedent],
            consequent=sets[rule.consequent],
            **rule.values,
        )
        for rule in form.rules
    ]
    return [*items, *(_write_itemset(name, side, ids) for side, name in sets.items()), *rules], {
        "numberOfTransactions": 0,
        "numberOfItems": len(items),
        "minimumSupport": 0.0,
        "minimumConfidence": 0.0,
        "numberOfItemsets": len(sets),
        "numberOfRules": len(rules),
    }


def _write_itemset(name: str, side: frozenset[str], ids: dict[str, str]) -> Element:
    references = (build("ItemRef", itemRef=ids[value]) for value in sorted(side))
    return build("Itemset", *references, id=name, numberOfItems=len(side))
