"""Another endpoint for one whose version is gone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stellar.maas.errors import ModelNotFound

if TYPE_CHECKING:
    from stellar.maas.registry import Registry
from stellar.maas.routing import Chosen


def chosen_anew(endpoint: Mapping[str, Any], registry: Registry) -> Chosen | None:
    """Another endpoint for one that was chosen and whose version has no instance any more; None for any other."""
    if not isinstance(endpoint, Chosen) or registry.instances(endpoint["name"], endpoint["version"]):
        return None
    try:
        return Chosen(registry.endpoint(endpoint["name"], None, endpoint.key).as_map(), endpoint.key)
    except ModelNotFound:
        return None
