"""Documents of boosters: trees that are checked, and the fields of records around them."""

from __future__ import annotations

from collections.abc import Sequence

from stellar.models.errors import InvalidModel, Origin
from stellar.models.forms.boosting import BoosterForm, Feature, Split
from stellar.models.forms.fields import DataField, FieldType, ListedValue, MiningField, ValueRange
from stellar.models.forms.model import ModelDocument, ModelForm
from stellar.util.abbreviate import quote

MOST_FEATURES = 100_000
MOST_NODES = 2_000_000
LARGEST_SINGLE = 3.4028235677973366e38  # numbers from here on are infinite in binary32
MISSING = (ListedValue("NaN", "missing"),)


def check_tree(nodes: Sequence[Split | float], features: int, origin: Origin) -> None:
    """Raise InvalidModel if a child or feature does not exist, or a node has two parents."""
    if not nodes:
        raise InvalidModel("the tree has no nodes; export the model again", origin)
    reached = bytearray(len(nodes))
    pending = [0]
    while pending:
        index = pending.pop()
        if reached[index]:
            raise InvalidModel(f"node {index} has two parents or is below itself; export the model again", origin)
        reached[index] = 1
        node = nodes[index]
        if isinstance(node, Split):
            _check_split(node, index, len(nodes), features, origin)
            pending += (node.left, node.right)


def _check_split(node: Split, index: int, nodes: int, features: int, origin: Origin) -> None:
    if not 0 <= node.feature < features:
        message = f"node {index} has feature {node.feature}, expected 0 to {features - 1}; export the model again"
        raise InvalidModel(message, origin)
    for child in (node.left, node.right):
        if not 0 <= child < nodes:
            message = f"node {index} has the child {child}, expected 0 to {nodes - 1}; export the model again"
            raise InvalidModel(message, origin)


def check_names(names: Sequence[str], origin: Origin) -> None:
    """Raise InvalidModel if two features have one name."""
    if len(set(names)) < len(names):
        seen: set[str] = set()
        twice = next(name for name in names if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise InvalidModel(f"two features have the name {quote(twice, 80)}; rename one", origin)


def build_document(form: BoosterForm, version: str) -> ModelDocument:
    """Return the document of a booster, whose fields are the features that its trees use."""
    used = {node.feature for tree in form.trees for node in tree.nodes if isinstance(node, Split)}
    features = [form.features[index] for index in sorted(used)]
    model = ModelForm(
        name=None,
        function="regression" if form.link.result == "number" else "classification",
        is_single=form.is_single,
        fields=tuple(_build_mining_field(feature, form) for feature in features),
        derived=(),
        targets=(),
        outputs=(),
        verification=None,
        body=form,
        origin=form.origin,
    )
    data = tuple(_build_data_field(feature, form.is_single, form.origin) for feature in features)
    return ModelDocument(version, data, (), (), model)


def _build_data_field(feature: Feature, is_single: bool, origin: Origin) -> DataField:
    if feature.categories:
        data_type = "string" if isinstance(feature.categories[0], str) else "integer"
        values = tuple(ListedValue(str(category), "valid") for category in feature.categories)
        return DataField(feature.name, FieldType("categorical", data_type), values, (), origin)
    # XGBoost refuses numbers that are infinite in binary32
    ranges = (ValueRange(-LARGEST_SINGLE, LARGEST_SINGLE, True, True),) if is_single else ()
    return DataField(feature.name, FieldType("continuous", "double"), MISSING, ranges, origin)


def _build_mining_field(feature: Feature, form: BoosterForm) -> MiningField:
    """A category that training did not have is missing in LightGBM, and an error in XGBoost."""
    return MiningField(
        name=feature.name,
        usage="active",
        operation=None,
        outliers="asIs",
        low=None,
        high=None,
        missing="asIs",
        missing_replacement=None,
        invalid="asMissing" if feature.categories and not form.is_single else "returnInvalid",
        invalid_replacement=None,
        importance=None,
        origin=form.origin,
    )
