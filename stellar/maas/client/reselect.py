"""Choice of another version for a call whose chosen version is gone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stellar.maas.errors import ModelNotFound
from stellar.maas.routing import Chosen

if TYPE_CHECKING:
    from stellar.maas.registry import Registry


def choose_again(endpoint: Mapping[str, Any], registry: Registry) -> Chosen | None:
    """Return an endpoint of another version if the endpoint's version was chosen and is gone; None otherwise."""
    if not isinstance(endpoint, Chosen) or registry.instances(endpoint["name"], endpoint["version"]):
        return None
    try:
        return Chosen(registry.endpoint(endpoint["name"], None, endpoint.key).as_map(), endpoint.key)
    except ModelNotFound:
        return None
