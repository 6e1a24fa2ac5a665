"""Names of models on the command line: parsing, look-up, suggestions."""

from __future__ import annotations

from collections.abc import Collection

from maas_runtime.cli.common import read_name
from maas_runtime.state.backend import Backend
from stellar.maas.registry import natural_order
from stellar.maas.routing import TRAFFIC
from stellar.maas.schema import Model
from stellar.util.suggestions import suggest_name

RECORDED = ("wanted", "failures")  # kinds of state that name versions


def find_models(backend: Backend) -> list[Model]:
    """Return all versions that are registered, desired or failed, in order."""
    state_store = backend.state_store
    recorded = (
        Model(name, version)
        for kind in RECORDED
        for name in state_store.names(kind)
        for version in state_store.names(f"{kind}/{name}")
    )
    found = {*recorded, *(instance.model for instance in backend.registry.instances())}
    return sorted(found, key=lambda model: (model.name, natural_order(model.version)))


def find_names(backend: Backend) -> set[str]:
    """Return the names of all models, including those that only have a traffic plan."""
    return {*(model.name for model in find_models(backend)), *backend.state_store.names(TRAFFIC)}


def require_known(kind: str, name: str, known: Collection[str], of: str = "") -> None:
    """Raise ValueError, with a suggestion, for an unknown name.

    kind: of the name, for the message, such as `model`
    of: the model of a version
    """
    if name not in known:
        subject = f"{kind} {name} of {of}" if of else f"{kind} {name}"
        raise ValueError(f"unknown {subject}: {suggest_name(name, known) if known else 'none exists'}")


def parse_model(text: str, models: Collection[Model]) -> tuple[str, str | None]:
    """Return name and version in `NAME` or `NAME@VERSION`; the version is None without one.

    models: all that exist

    Raises ValueError for an unknown model or version. Names may contain `@`.
    """
    names = {model.name for model in models}
    name, at, version = (part.strip() for part in text.rpartition("@"))
    if not at or text in names:
        name, version = text.strip(), ""
    require_known("model", read_name(name), names)
    if not at or text in names:
        return name, None
    versions = {model.version for model in models if model.name == name}
    require_known("version", read_name(version, "model's version"), versions, name)
    return name, version


def list_versions(backend: Backend, name: str) -> list[str]:
    """Return the versions of a model, oldest first."""
    return [model.version for model in find_models(backend) if model.name == name]
