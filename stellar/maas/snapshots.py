"""Immutable snapshots of a registry, indexed by model and version.

A change creates a new snapshot, which shares all unchanged models with the previous one: a changed instance replaces
the snapshots of its version and its model, and three dictionaries are copied. So readers need no lock, and detect by
identity (`is`) that a version has not changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple, Self

from stellar.maas.errors import ModelNotFound
from stellar.maas.schema import LONGEST_NAME, Model, ServiceInstance, validate_name
from stellar.maas.versions import VersionOrder, natural_order
from stellar.util.abbreviate import quote
from stellar.util.suggestions import find_nearest

Instances = tuple[ServiceInstance, ...]
Settings = Mapping[str, Any]
Key = tuple[str, str]
"""The key of a registration: the model's name and the instance's id, as in its path."""

NO_SETTINGS: Settings = MappingProxyType({})
MAX_SUGGESTIONS = 256  # names may come from records, and comparing one with all models takes milliseconds


class Registration(NamedTuple):
    """An instance with our own keys of its `endpoint.dat`."""

    instance: ServiceInstance
    settings: Settings = NO_SETTINGS


def validate_key(name: str, id: str) -> Key:
    """Return the key of a registration.

    Raises ValueError if the name or the id is not a valid element of a path.
    """
    return validate_name(name, "model's name"), validate_name(id, "instance's id")


@dataclass(frozen=True, slots=True)
class VersionSnapshot:
    """The instances of one version of a model; immutable, so a change replaces the snapshot.

    instances: by id
    urls: distinct, sorted
    settings: our own keys of `endpoint.dat`, by URL; URLs without settings are left out
    """

    model: Model
    instances: Instances
    urls: tuple[str, ...]
    settings: Mapping[str, Settings]

    @classmethod
    def of(cls, model: Model, registrations: Iterable[Registration]) -> Self:
        """Return the snapshot of a version's registrations, which may be in any order."""
        ordered = sorted(registrations, key=lambda each: each.instance.id)
        settings = {each.instance.url: each.settings for each in ordered if each.settings}
        instances = tuple(each.instance for each in ordered)
        return cls(model, instances, tuple(sorted({each.url for each in instances})), MappingProxyType(settings))


@dataclass(frozen=True, slots=True)
class ModelSnapshot:
    """The versions of a model that have instances, in natural order.

    newest: the last version in the order of the registry
    """

    versions: Mapping[str, VersionSnapshot]
    newest: str

    @classmethod
    def of(cls, versions: Mapping[str, VersionSnapshot], order: VersionOrder) -> Self:
        ordered = {version: versions[version] for version in sorted(versions, key=natural_order)}
        return cls(ordered, max(ordered, key=order))


@dataclass(slots=True)
class Suggestions:
    """Suggestions of registered names for unknown ones, computed once each and limited in number."""

    names: frozenset[str]
    _nearest: dict[str, str | None] = field(default_factory=dict)

    def hint(self, name: str) -> str:
        """Return the suggestion for an unknown name, to be appended to a message, or an empty string."""
        if (trimmed := name.strip()) in self.names:
            return f"; did you mean {quote(trimmed)}, without the surrounding whitespace?"
        if name not in self._nearest and len(self._nearest) < MAX_SUGGESTIONS and len(name) <= LONGEST_NAME:
            self._nearest[name] = find_nearest(name, self.names)
        near = self._nearest.get(name)
        return f"; did you mean {quote(near)}?" if near else ""


@dataclass(frozen=True, slots=True)
class RegistrySnapshot:
    """All instances of a registry."""

    registrations: Mapping[Key, Registration] = field(default_factory=dict)
    models: Mapping[str, ModelSnapshot] = field(default_factory=dict)
    _members: Mapping[Model, Mapping[Key, Registration]] = field(default_factory=dict)
    _suggestions: Suggestions = field(default_factory=lambda: Suggestions(frozenset()))

    def version(self, name: str, version: str) -> VersionSnapshot | None:
        model = self.models.get(name)
        return None if model is None else model.versions.get(version)

    def find(self, name: str, version: str | None) -> VersionSnapshot:
        """Return the version of a model, or its newest one.

        Raises ModelNotFound, with a suggested name or the list of versions.
        """
        if (model := self.models.get(name)) is None:
            raise ModelNotFound(f"no model {quote(name)} is registered{self._suggestions.hint(name)}")
        if (found := model.versions.get(model.newest if version is None else version)) is None:
            known = ", ".join(model.versions)
            raise ModelNotFound(f"model {quote(name)} has no version {quote(version)}; registered: {known}")
        return found

    def counts(self, name: str) -> dict[str, int]:
        """Return the number of instances of each version of a model."""
        model = self.models.get(name)
        return {version: len(each.instances) for version, each in model.versions.items()} if model else {}

    def instances(self, name: str | None = None, version: str | None = None) -> Instances:
        """Return the instances with this name, this version or both; by name, version and id."""
        models = sorted(self.models) if name is None else [name] if name in self.models else []
        return tuple(
            instance
            for each in models
            for number, snapshot in self.models[each].versions.items()
            if version in (None, number)
            for instance in snapshot.instances
        )

    def changes_to(self, registrations: Mapping[Key, Registration]) -> dict[Key, Registration | None]:
        """Return the differences to a complete set of registrations; None for a removed one."""
        known = self.registrations
        changes: dict[Key, Registration | None] = {
            key: new for key, new in registrations.items() if (old := known.get(key)) is not new and old != new
        }
        return changes | dict.fromkeys(known.keys() - registrations.keys())

    def with_changes(self, changes: Mapping[Key, Registration | None], order: VersionOrder) -> RegistrySnapshot:
        """Return the snapshot after these changes; this object itself if they change nothing."""
        changes = {key: new for key, new in changes.items() if self.registrations.get(key) != new}
        if not changes:
            return self
        registrations = dict(self.registrations)
        fresh: dict[Model, dict[Key, Registration]] = {}  # members of the changed versions
        for key, new in changes.items():
            if (old := registrations.pop(key, None)) is not None:
                self._fresh_members(fresh, old).pop(key, None)
            if new is not None:
                registrations[key] = self._fresh_members(fresh, new)[key] = new
        members = {model: each for model, each in {**self._members, **fresh}.items() if each}
        models = self._models_with(fresh, order)
        same_names = models.keys() == self._suggestions.names
        suggestions = self._suggestions if same_names else Suggestions(frozenset(models))
        return RegistrySnapshot(registrations, models, members, suggestions)

    def _fresh_members(
        self, fresh: dict[Model, dict[Key, Registration]], registration: Registration
    ) -> dict[Key, Registration]:
        model = registration.instance.model
        if model not in fresh:
            fresh[model] = dict(self._members.get(model, {}))
        return fresh[model]

    def _models_with(
        self, fresh: Mapping[Model, Mapping[Key, Registration]], order: VersionOrder
    ) -> dict[str, ModelSnapshot]:
        models = dict(self.models)
        by_name: dict[str, dict[str, VersionSnapshot | None]] = {}
        for model, members in fresh.items():
            snapshot = VersionSnapshot.of(model, members.values()) if members else None
            by_name.setdefault(model.name, {})[model.version] = snapshot
        for name, changed in by_name.items():
            before = models.pop(name, None)
            versions = {**(before.versions if before else {}), **changed}
            if present := {version: each for version, each in versions.items() if each is not None}:
                models[name] = ModelSnapshot.of(present, order)
        return models
