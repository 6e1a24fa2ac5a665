"""Models that are data, evaluated in this process instead of by their instances.

It joins two packages that do not know each other: `stellar.maas`, whose client decides which calls may be, and
`stellar.models`, which scores records. Their code is loaded if `maas.local` has a kind of models.

    files      the model files, from the model store
    scoring    records and results as an instance reads and returns them
    loading    the models of this process
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stellar.maas.client.local import LocalModels
    from stellar.maas.client.settings import ClientSettings
    from stellar.maas.registry import Registry


def open_local_models(registry: Registry, settings: ClientSettings) -> LocalModels | None:
    """Return the models for a client; None if `maas.local` has no kind. Raise ValueError for an invalid store."""
    if not settings.local:
        return None
    from stellar.local_models.files import ModelFiles, find_store
    from stellar.local_models.loading import BackgroundModels

    return BackgroundModels(ModelFiles(settings.local_store or find_store(registry)))
