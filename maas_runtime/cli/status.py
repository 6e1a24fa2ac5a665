"""maas status: desired and ready instances, failures, traffic plans and rollouts."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from maas_runtime.cli import traffic
from maas_runtime.cli.common import (
    open_backend,
)
from maas_runtime.service.rollouts import ROLLOUTS, read_rollout
from maas_runtime.state.store import StateStore, failures_path
from stellar.maas.registry import Registry, natural_order
from stellar.maas.schema import Model


def status(args: argparse.Namespace) -> int:
    """Print desired and ready instances, failures, traffic plans and rollouts."""
    with open_backend(args) as backend:
        rows = list(_rows(backend.registry, backend.state_store))
        is_led = backend.state_store.is_led()
        more = [*traffic.describe_plans(backend.registry, backend.state_store), *_rollouts(backend.state_store)]
    print(f"service: {'running' if is_led else 'not running'} on {backend.name}")
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows if len(rows) > 1 else ():
        print("  ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)).rstrip())
    for line in more:
        print(line)
    return 0


def _rollouts(state_store: StateStore) -> Iterator[str]:
    """Yield a line for each rollout that is active or failed."""
    for name in state_store.names(ROLLOUTS):
        if (rollout := read_rollout(state_store, name)) and rollout.state != "done":
            yield str(rollout)


def _rows(registry: Registry, state_store: StateStore) -> Iterator[tuple[str, str, str, str, str]]:
    yield "model", "desired", "ready", "failures", "last failure"
    recorded = (
        Model(name, version)
        for kind in ("wanted", "failures")
        for name in state_store.names(kind)
        for version in state_store.names(f"{kind}/{name}")
    )
    models = {*recorded, *(instance.model for instance in registry.instances())}
    for model in sorted(models, key=lambda model: (model.name, natural_order(model.version))):
        desired = state_store.read(f"wanted/{model.name}/{model.version}") or {}
        failure = state_store.read(failures_path(model)) or {}
        ready = len(registry.instances(*model))
        yield (
            str(model),
            str(desired.get("instances", 0)),
            str(ready),
            str(failure.get("count", 0)),
            failure.get("last", ""),
        )
