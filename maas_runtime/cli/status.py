"""maas status: what is desired, what is ready, and what failed."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from maas_runtime.cli import traffic
from maas_runtime.cli.common import (
    open_backend,
)
from maas_runtime.service.rollouts import ROLLOUTS, rollout_of
from maas_runtime.state.store import StateStore, failures_of
from stellar.maas.registry import Registry, natural_order
from stellar.maas.schema import Model


def status(given: argparse.Namespace) -> int:
    """Print what is wanted, what is ready, and what failed."""
    with open_backend(given) as place:
        rows = list(_rows(place.registry, place.notes))
        led = place.notes.is_led()
        more = [*traffic.plans(place.registry, place.notes), *_rollouts(place.notes)]
    print(f"service: {'running' if led else 'not running'} on {place.name}")
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows if len(rows) > 1 else ():
        print("  ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)).rstrip())
    for line in more:
        print(line)
    return 0


def _rollouts(notes: StateStore) -> Iterator[str]:
    """A line for each rollout under way, or that failed."""
    for name in notes.names(ROLLOUTS):
        if (rollout := rollout_of(notes, name)) and rollout.state != "done":
            yield str(rollout)


def _rows(registry: Registry, notes: StateStore) -> Iterator[tuple[str, str, str, str, str]]:
    yield "model", "wanted", "ready", "failures", "last failure"
    noted = (
        Model(name, version)
        for kind in ("wanted", "failures")
        for name in notes.names(kind)
        for version in notes.names(f"{kind}/{name}")
    )
    models = {*noted, *(instance.model for instance in registry.instances())}
    for model in sorted(models, key=lambda model: (model.name, natural_order(model.version))):
        wanted = notes.read(f"wanted/{model.name}/{model.version}") or {}
        failure = notes.read(failures_of(model)) or {}
        ready = len(registry.instances(*model))
        yield (
            str(model),
            str(wanted.get("instances", 0)),
            str(ready),
            str(failure.get("count", 0)),
            failure.get("last", ""),
        )
