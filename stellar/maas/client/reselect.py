"""Choice of another version for a call whose version the caller left open."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stellar.maas.errors import ModelNotFound
from stellar.maas.routing import Chosen

if TYPE_CHECKING:
    from stellar.maas.registry import Registry


def choose_again(endpoint: Mapping[str, Any], registry: Registry) -> Chosen | None:
    """Return an endpoint of another version if the endpoint's version was chosen, and is gone or on trial.

    Return None otherwise, and if there is no other version.
    """
    if not isinstance(endpoint, Chosen):
        return None
    name, version, key = endpoint["name"], endpoint["version"], endpoint.key
    try:
        if not registry.instances(name, version):
            return Chosen(registry.endpoint(name, None, key).as_map(), key)
        if (other := _find_proven_version(name, version, key, registry)) is not None:
            return Chosen(registry.endpoint(name, other, key).as_map(), key)
    except ModelNotFound:
        pass
    return None


def _find_proven_version(name: str, version: str, key: str | None, registry: Registry) -> str | None:
    """Return another version of the traffic plan if this one is on trial; None otherwise."""
    plan = registry.traffic(name)
    if plan is None or (others := plan.without_trial(version)) is None:
        return None
    snapshots = ((other, registry.version(name, other)) for other in others.weights)
    counts = {other: len(snapshot.instances) for other, snapshot in snapshots if snapshot is not None}
    return others.choose(counts, name, key)
