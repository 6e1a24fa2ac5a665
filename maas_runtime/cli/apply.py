"""maas apply: make the desired state that of a file."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from maas_runtime.cli.common import (
    RESPONSE_SECONDS,
    WAIT_SECONDS,
    add_registry_options,
    await_condition,
    describe_registry_options,
    open_backend,
    parse_seconds,
    reject_options,
)
from maas_runtime.cli.deploy import (
    await_ready,
    await_rollout,
    submit_replacement,
    submit_request,
)
from maas_runtime.cli.difference import DeploymentChange, find_changes, read_current
from maas_runtime.cli.manifest import ModelEntry, read_manifest
from maas_runtime.cli.pending import describe_pending, read_pending
from maas_runtime.cli.waiting import count_failures
from maas_runtime.errors import DeployError
from maas_runtime.service.rollouts import ENDED, ReplaceRequest, read_rollout
from maas_runtime.state.backend import Backend
from maas_runtime.state.store import JsonObject
from stellar.maas.requests import make_note
from stellar.maas.routing import TRAFFIC, TrafficPlan
from stellar.maas.schema import ModelRequest

EXAMPLES = """examples:
  maas export > models.yaml
  maas apply -f models.yaml --dry-run
  maas apply -f models.yaml --wait
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    add_registry_options(parser)
    add = parser.add_argument
    add("-f", "--file", type=Path, required=True, metavar="FILE", help="YAML file with models, as of maas export")
    add("--dry-run", action="store_true", help="show the difference, and change nothing")
    add("--prune", action="store_true", help="also remove models that the file does not have")
    add(
        "--wait",
        nargs="?",
        type=parse_seconds,
        const=WAIT_SECONDS,
        metavar="SECONDS",
        help="wait until the desired number of instances of each version is ready (default %(const)g seconds)",
    )


def run(args: argparse.Namespace) -> int:
    """Show the difference between the file and the desired state, and request the changes."""
    if args.dry_run:
        reject_options(args, "with --dry-run", "wait")
    models = read_manifest(args.file)
    with open_backend(args) as backend:
        current = read_current(backend.state_store)
        others = sorted(current.keys() - models.keys())
        if args.prune:
            models = {**models, **{name: ModelEntry(None, {}, TrafficPlan()) for name in others}}
        _require_no_pending(args, backend, models)
        changes = {name: _find_changes(backend, name, entry, current) for name, entry in models.items()}
        _show(args, changes, [] if args.prune else others)
        if args.dry_run:
            return 0
        statuses = [_apply(args, backend, name, each) for name, each in changes.items()]
    return max(statuses, default=0)


def _find_changes(
    backend: Backend, name: str, entry: ModelEntry, current: Mapping[str, ModelEntry]
) -> Sequence[DeploymentChange]:
    """Return the changes of a model. Raises DeployError while a rollout of it is active."""
    changes = list(find_changes(name, entry, current.get(name, ModelEntry(None, {}))))
    rollout = read_rollout(backend.state_store, name)
    if changes and rollout and rollout.state not in ENDED:
        raise DeployError(f"a rollout of {name} is active: {rollout}; wait until it has ended")
    return changes


def _require_no_pending(args: argparse.Namespace, backend: Backend, names: Mapping[str, ModelEntry]) -> None:
    """Raise DeployError if requests for these models wait: the desired state does not include them yet."""

    def find() -> list[JsonObject]:
        return [fields for fields in read_pending(backend) if fields.get("name") in names]

    if backend.state_store.is_led():
        await_condition(lambda: not find(), RESPONSE_SECONDS)
    if pending := find():
        options = describe_registry_options(args)
        hint = f"see: maas status{options}" if backend.state_store.is_led() else f"start one with: maas serve{options}"
        raise DeployError(
            f"a request waits for a service, {describe_pending(pending[0])}; apply the file later; {hint}"
        )


def _show(args: argparse.Namespace, changes: Mapping[str, Sequence[DeploymentChange]], others: Sequence[str]) -> None:
    args.out.write(changes=[], others=list(others))
    for each in (change for found in changes.values() for change in found):
        args.out.append("changes", each.to_fields(), str(each))
    if not any(changes.values()):
        args.out.write("no changes")
    if others:
        args.out.write(f"not in the file, left as they are: {', '.join(others)} (--prune removes them)")


# --- changes


def _apply(args: argparse.Namespace, backend: Backend, name: str, changes: Sequence[DeploymentChange]) -> int:
    """Make the changes of a model, in order. Return 1 if --wait is given and no service runs.

    Additions are ready before anything of the same model is removed, so that calls are never without an instance.
    """
    status = 0
    must_wait = len({change.kind for change in changes} - {"TRAFFIC"}) > 1
    for change in changes:
        if change.kind == "TRAFFIC":
            backend.state_store.write(f"{TRAFFIC}/{name}", (change.plan or TrafficPlan()).to_note() or None)
        elif change.kind == "REPLACE":
            status |= _replace(args, backend, change, must_wait=changes[-1].kind == "TRAFFIC")
        else:
            status |= _scale(args, backend, change, must_wait=must_wait and change.kind == "ADD")
    return status


def _scale(args: argparse.Namespace, backend: Backend, change: DeploymentChange, *, must_wait: bool) -> int:
    adding = change.kind == "ADD"
    failures = count_failures(backend.state_store, change.model)
    request = ModelRequest(
        name=change.model.name,
        version=change.model.version,
        num_instances=change.instances,
        memory=change.memory,
        action="ADD" if adding else "REMOVE",
        path=change.path if adding else None,
    )
    note = make_note(gpus=change.gpus, warm_up=list(change.warm_up)) if adding else make_note()
    result = submit_request(args, backend, request, note)
    if result is None:
        return _require_service(args, change, must_wait=must_wait)
    if "refused" in result:
        raise DeployError(f"{change.model}: {result['refused']}")
    if args.wait is not None or must_wait:
        seconds = WAIT_SECONDS if args.wait is None else args.wait
        await_ready(backend.registry, backend.state_store, change.model, result["wanted"], seconds, failures)
        args.out.append(
            "ready",
            {**change.model._asdict(), "instances": result["wanted"]},
            f"{change.model}: {result['wanted']} ready",
        )
    return 0


def _replace(args: argparse.Namespace, backend: Backend, change: DeploymentChange, *, must_wait: bool) -> int:
    request = ReplaceRequest(
        *change.model,
        change.instances,
        change.path,
        change.memory,
        fresh=change.fresh,
        warm_up=list(change.warm_up),
        gpus=change.gpus,
    )
    id, result = submit_replacement(args, backend, request)
    if result is None:
        return _require_service(args, change, must_wait=must_wait)
    if "refused" in result:
        raise DeployError(f"{change.model}: {result['refused']}")
    if args.wait is not None or must_wait:  # a rollout controls the traffic of its model until it ends
        await_rollout(backend.state_store, id, request, request.seconds if args.wait is None else args.wait)
        line = f"{change.model}: {change.instances} ready, the others removed"
        args.out.append("ready", {**change.model._asdict(), "instances": change.instances}, line)
    return 0


def _require_service(args: argparse.Namespace, change: DeploymentChange, *, must_wait: bool) -> int:
    """Return the exit status if no service runs. Raises DeployError if a later change has to wait for this one."""
    if must_wait:
        raise DeployError(
            f"{change.model}: the following changes of {change.model.name} need a running service; start one with: "
            f"maas serve{describe_registry_options(args)}, and apply the file again"
        )
    return 1 if args.wait is not None else 0
