"""Elements of association models."""

from __future__ import annotations

from stellar.models.errors import InvalidModel
from stellar.models.forms.bodies import AssociationForm, AssociationRule
from stellar.models.pmml.attributes import number, optional_number, required
from stellar.models.pmml.xml import Element
from stellar.util.abbreviate import quote


def read_association(element: Element) -> AssociationForm:
    """Return the rules of an AssociationModel."""
    items = {required(child, "id"): required(child, "value") for child in element.find_all("Item")}
    sets = {required(child, "id"): _read_itemset(child, items) for child in element.find_all("Itemset")}
    rules = tuple(_read_rule(child, sets) for child in element.find_all("AssociationRule"))
    return AssociationForm(tuple(items.values()), rules, element.origin)


def _read_itemset(element: Element, items: dict[str, str]) -> frozenset[str]:
    values = []
    for child in element.find_all("ItemRef"):
        if (name := required(child, "itemRef")) not in items:
            raise InvalidModel(f"unknown itemRef {quote(name)}", child.origin)
        values.append(items[name])
    return frozenset(values)


def _read_rule(element: Element, sets: dict[str, frozenset[str]]) -> AssociationRule:
    ends = []
    for name in ("antecedent", "consequent"):
        if (reference := required(element, name)) not in sets:
            raise InvalidModel(f"unknown {name} {quote(reference)}", element.origin)
        ends.append(sets[reference])
    values = {name: number(element, name) for name in ("confidence", "support")}
    values |= {name: optional_number(element, name) for name in ("lift", "leverage", "affinity")}  # type: ignore[misc]
    return AssociationRule(element.attributes.get("id"), ends[0], ends[1], values)
