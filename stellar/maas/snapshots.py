"""The index of a registry: an immutable snapshot of its instances, by model and version.

A change makes a new snapshot that shares with the previous one whatever did not change: a changed instance replaces the
snapshot of its version and that of its model, and copies three dictionaries. So readers need no lock, and see by
identity (`is`) that a version is the same as before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple, Self

from stellar.maas.errors import ModelNotFound
from stellar.maas.schema import LONGEST_NAME, Model, ServiceInstance
from stellar.maas.versions import VersionOrder, natural_order
from stellar.util.suggestions import nearest

Instances = tuple[ServiceInstance, ...]
Settings = Mapping[str, Any]
Key = tuple[str, str]
"""Where an instance is registered: the model's name and the instance's id as they are in the path."""

NO_SETTINGS: Settings = MappingProxyType({})
MAX_SUGGESTIONS = 256  # names come from records, and comparing one with all models takes milliseconds


class Registration(NamedTuple):
    """An instance with our own keys of its `endpoint.dat`."""

    instance: ServiceInstance
    settings: Settings = NO_SETTINGS


@dataclass(frozen=True, slots=True)
class VersionSnapshot:
    """The instances of one version of a model at a moment; replaced, not changed, when they change.

    instances: by id
    urls: distinct, sorted
    settings: our own keys of `endpoint.dat`, by URL; only URLs that have any
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

    newest: by the order that the registry was given
    """

    versions: Mapping[str, VersionSnapshot]
    newest: str

    @classmethod
    def of(cls, versions: Mapping[str, VersionSnapshot], order: VersionOrder) -> Self:
        ordered = {version: versions[version] for version in sorted(versions, key=natural_order)}
        return cls(ordered, max(ordered, key=order))


@dataclass(slots=True)
class Suggestions:
    """Suggests the nearest registered name for unknown ones: a limited number, each computed once."""

    names: frozenset[str]
    _nearest: dict[str, str | None] = field(default_factory=dict)

    def hint(self, name: str) -> str:
        """Return the end of a message about an unknown name; empty if none is near, or the limit is reached."""
        if (trimmed := name.strip()) in self.names:
            return f"; did you mean {trimmed!r}, without the surrounding whitespace?"
        if name not in self._nearest and len(self._nearest) < MAX_SUGGESTIONS and len(name) <= LONGEST_NAME:
            self._nearest[name] = nearest(name, self.names)
        near = self._nearest.get(name)
        return f"; did you mean {near!r}?" if near else ""


@dataclass(frozen=True, slots=True)
class RegistrySnapshot:
    """All instances of a registry at a moment."""

    registrations: Mapping[Key, Registration] = field(default_factory=dict)
    models: Mapping[str, ModelSnapshot] = field(default_factory=dict)
    _members: Mapping[Model, Mapping[Key, Registration]] = field(default_factory=dict)
    _suggestions: Suggestions = field(default_factory=lambda: Suggestions(frozenset()))

    def version(self, name: str, version: str) -> VersionSnapshot | None:
        model = self.models.get(name)
        return None if model is None else model.versions.get(version)

    def find(self, name: str, version: str | None) -> VersionSnapshot:
        """Return the version of a model, or its newest one.

        Raises ModelNotFound, suggesting a name or listing the versions.
        """
        if (model := self.models.get(name)) is None:
            raise ModelNotFound(f"no model {name!r} is registered{self._suggestions.hint(name)}")
        if (found := model.versions.get(model.newest if version is None else version)) is None:
            known = ", ".join(model.versions)
            raise ModelNotFound(f"model {name!r} has no version {version!r}; registered: {known}")
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
        """Return what differs in a complete set of registrations; None for one that is gone."""
        known = self.registrations
        changes: dict[Key, Registration | None] = {
            key: new for key, new in registrations.items() if (old := known.get(key)) is not new and old != new
        }
        return changes | dict.fromkeys(known.keys() - registrations.keys())

    def with_changes(self, changes: Mapping[Key, Registration | None], order: VersionOrder) -> RegistrySnapshot:
        """Return the snapshot after these changes; this very one if they change nothing."""
        changes = {key: new for key, new in changes.items() if self.registrations.get(key) != new}
        if not changes:
            return self
        registrations = dict(self.registrations)
        fresh: dict[Model, dict[Key, Registration]] = {}  # the members of the versions concerned
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
