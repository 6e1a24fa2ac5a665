"""The difference between the desired state of a registry and that of a file, as requests that remove it.

Counts are absolute: what the requests add or remove is computed from the current desired state. So applying a file
again changes nothing. The requests are those of `maas deploy`:

    ADD, REMOVE    another number of instances of a version
    replace        another path or memory limit, or another version instead of the current ones: a rollout, which is
                   possible if the file has one version of the model with instances
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from maas_runtime.cli.manifest import ModelEntry, VersionEntry
from maas_runtime.cli.traffic import read_plan
from maas_runtime.errors import DeployError
from maas_runtime.state.store import StateStore
from stellar.maas.registry import natural_order
from stellar.maas.routing import TRAFFIC, TrafficPlan
from stellar.maas.schema import Model

Kind = Literal["ADD", "REMOVE", "REPLACE", "TRAFFIC"]


@dataclass(frozen=True)
class DeploymentChange:
    """A request that removes a part of the difference.

    instances: number to add or remove; for REPLACE, the number of new instances
    before: number of instances before; for REPLACE, of all versions
    gpus, warm_up: of ADD and REPLACE, as in Deployment
    plan: of TRAFFIC
    fresh: True for a REPLACE that also replaces the instances of the same version
    """

    kind: Kind
    model: Model
    instances: int = 0
    before: int = 0
    path: str = ""
    memory: int = 0
    gpus: int = 0
    warm_up: tuple[str, ...] = ()
    plan: TrafficPlan | None = None
    fresh: bool = False

    def __str__(self) -> str:
        memory = f", {self.memory} MB" if self.memory else ""
        memory += f", {self.gpus} GPUs" if self.gpus else ""
        if self.kind == "ADD":
            after = self.before + self.instances
            return f"{self.model}: add {self.instances} ({self.before} to {after}) of {self.path}{memory}"
        if self.kind == "REMOVE":
            return f"{self.model}: remove {self.instances} ({self.before} to {self.before - self.instances})"
        if self.kind == "REPLACE":
            return f"{self.model}: replace {self.before} by {self.instances} of {self.path}{memory}"
        weights = ", ".join(f"{version}={weight:g}" for version, weight in (self.plan or TrafficPlan()).weights.items())
        shadow = self.plan.shadow if self.plan else None
        more = f"; shadow {shadow.version}={shadow.share:g}" if shadow else ""
        return f"{self.model.name}: traffic {weights or 'to the newest version'}{more}"

    def to_fields(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        if self.kind == "TRAFFIC":
            return {"action": self.kind, "name": self.model.name, "plan": (self.plan or TrafficPlan()).to_note()}
        fields = {"action": self.kind, **self.model._asdict(), "instances": self.instances, "before": self.before}
        if self.kind == "REMOVE":
            return fields
        return {**fields, "path": self.path, "memory": self.memory, "gpus": self.gpus, "warm_up": list(self.warm_up)}


def read_current(state_store: StateStore) -> dict[str, ModelEntry]:
    """Return the models that are desired now, with their traffic plans, by name.

    Raises DeployError for an invalid desired state, ValueError for an invalid plan.
    """
    current = {}
    for name in sorted({*state_store.names("wanted"), *state_store.names(TRAFFIC)}):
        versions = {}
        for version in sorted(state_store.names(f"wanted/{name}"), key=natural_order):
            if (entry := _read_version(state_store, Model(name, version))) is not None:
                versions[version] = entry
        plan = read_plan(state_store, name)
        if versions or plan.to_note():
            current[name] = ModelEntry(None, versions, plan if plan.to_note() else None)
    return current


def _read_version(state_store: StateStore, model: Model) -> VersionEntry | None:
    """Return the desired state of a version; None if it has no instances."""
    entry = state_store.read(f"wanted/{model.name}/{model.version}")
    if entry is None:
        return None
    try:
        warm_up = tuple(map(str, entry.get("warm_up", ())))
        found = VersionEntry(
            int(entry["instances"]), str(entry["path"]), int(entry["memory"]), int(entry.get("gpus", 0)), warm_up
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DeployError(f"invalid desired state of {model}: {error!r}; replace it with maas deploy") from None
    return found if found.instances else None


def find_changes(name: str, entry: ModelEntry, current: ModelEntry) -> Iterator[DeploymentChange]:
    """Yield the changes of a model, in the order in which they are made.

    Raises DeployError for a change that no request makes.
    """
    new = {version: each for version, each in entry.versions.items() if each.instances}
    old = current.versions
    changed = [version for version in new.keys() & old.keys() if _differs(new[version], old[version])]
    is_replaced = len(new) == 1 and bool(old) and bool(changed or old.keys() - new.keys())
    if is_replaced:
        ((version, each),) = new.items()
        before = sum(other.instances for other in old.values())
        yield DeploymentChange(
            "REPLACE",
            Model(name, version),
            each.instances,
            before,
            each.path,
            each.memory,
            each.gpus,
            each.warm_up,
            fresh=bool(changed),
        )
    elif changed:
        version = min(changed, key=natural_order)
        raise DeployError(
            f"{entry.at}: {name} @ {version} runs {_describe(old[version])}, the file has {_describe(new[version])}; "
            "that replaces all its instances, which is possible only if the file has one version of the model; "
            "give the new files a version of their own"
        )
    else:
        yield from _find_counts(name, new, old)
    if entry.plan is None:
        return
    if entry.plan != (current.plan or TrafficPlan()) or (is_replaced and entry.plan.to_note()):  # a rollout removes it
        yield DeploymentChange("TRAFFIC", Model(name, ""), plan=entry.plan)


def _find_counts(
    name: str, new: Mapping[str, VersionEntry], old: Mapping[str, VersionEntry]
) -> Iterator[DeploymentChange]:
    """Yield additions, then removals, of each version with another number of instances."""
    versions = sorted({*new, *old}, key=natural_order)
    numbers = {
        version: (old[version].instances if version in old else 0, new[version].instances if version in new else 0)
        for version in versions
    }
    for version, (before, after) in numbers.items():
        if after > before:
            each = new[version]
            files = (each.path, each.memory, each.gpus, each.warm_up)
            yield DeploymentChange("ADD", Model(name, version), after - before, before, *files)
    for version, (before, after) in numbers.items():
        if after < before:
            yield DeploymentChange("REMOVE", Model(name, version), before - after, before)


def _differs(new: VersionEntry, old: VersionEntry) -> bool:
    return replace(new, instances=0) != replace(old, instances=0)


def _describe(entry: VersionEntry) -> str:
    limits = [f"{entry.memory} MB"] if entry.memory else []
    limits += [f"{entry.gpus} GPUs"] if entry.gpus else []
    limits += [f"warm-up {', '.join(entry.warm_up)}"] if entry.warm_up else []
    return f"{entry.path} with {', '.join(limits)}" if limits else entry.path
