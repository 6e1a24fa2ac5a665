"""maas traffic: set or show traffic plans, which route calls without a version."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace

from maas_runtime.service.rollouts import ENDED, read_rollout
from maas_runtime.state.backend import Backend
from maas_runtime.state.store import StateStore
from stellar.maas.registry import Registry, natural_order
from stellar.maas.routing import TRAFFIC, Shadow, TrafficPlan
from stellar.maas.schema import validate_name

EXAMPLES = """examples:
  maas traffic -n dga --weight 1.0=90 --weight 2.0=10
  maas traffic -n dga --shadow 2.0=0.5
  maas traffic -n dga
  maas traffic -n dga --clear
"""


def add_traffic_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("-n", "--name", help="the model's name; without it all plans are shown")
    add(
        "--weight",
        action="append",
        default=[],
        type=_weight,
        metavar="VERSION=N",
        help="relative weight of a version; repeat for each version that receives calls",
    )
    add("--per-instance", action="store_true", help="multiply a weight by the number of instances of the version")
    add(
        "--shadow",
        type=_shadow,
        metavar="VERSION[=SHARE]",
        help="also send calls to this version and compare the results: all of them, or a share from 0 to 1",
    )
    add("--clear", action="store_true", help="remove the current plan first")


def _weight(text: str) -> tuple[str, float]:
    version, equals, number = text.rpartition("=")
    try:
        if not equals:
            raise ValueError
        return version, float(number) if "." in number or "e" in number else int(number)
    except ValueError:
        raise argparse.ArgumentTypeError(f"invalid weight {text!r}: expected VERSION=NUMBER, such as 2.0=10") from None


def _shadow(text: str) -> Shadow:
    version, equals, share = text.rpartition("=")
    if not equals:
        return Shadow(text)
    try:
        return Shadow(version, float(share))
    except ValueError:
        raise argparse.ArgumentTypeError(f"invalid shadow {text!r}: expected VERSION or VERSION=SHARE") from None


def traffic(args: argparse.Namespace, backend: Backend) -> int:
    """Change the plan of a model by the options given, and print it. Raises ValueError for invalid options."""
    changes = args.weight or args.shadow or args.clear or args.per_instance
    if args.name is None:
        if changes:
            raise ValueError("missing model name: add -n (--name)")
        sys.stdout.writelines(f"{line}\n" for line in describe_plans(backend.registry, backend.state_store))
        return 0
    name = validate_name(args.name, "model's name")
    plan = _change_plan(args, name, backend.state_store) if changes else read_plan(backend.state_store, name)
    if changes:
        _warn(name, plan, backend.registry)
        backend.state_store.write(f"{TRAFFIC}/{name}", plan.to_note() or None)
    print(describe(name, plan, backend.registry))
    return 0


def read_plan(state_store: StateStore, name: str) -> TrafficPlan:
    """Return the plan of a model, which may be empty. Raises ValueError, with the model's name, for an invalid plan."""
    try:
        return TrafficPlan.from_note(state_store.read(f"{TRAFFIC}/{name}") or {})
    except ValueError as error:
        raise ValueError(f"invalid traffic plan of {name}; replace it with --clear: {error}") from None


def _change_plan(args: argparse.Namespace, name: str, state_store: StateStore) -> TrafficPlan:
    rollout = read_rollout(state_store, name)
    if rollout and rollout.state not in ENDED:
        raise ValueError(f"a rollout of {name} controls its traffic: {rollout}; wait until it has ended")
    plan = TrafficPlan() if args.clear else read_plan(state_store, name)
    if len(dict(args.weight)) < len(args.weight):
        raise ValueError("--weight: duplicate version")
    if args.per_instance and not args.weight:
        raise ValueError("--per-instance requires --weight")
    if args.weight:
        plan = replace(plan, weights=dict(args.weight), per_instance=args.per_instance)
    if args.shadow:
        plan = replace(plan, shadow=args.shadow)
    return TrafficPlan.from_note(plan.to_note())  # raises ValueError for invalid weights and shares


def _warn(name: str, plan: TrafficPlan, registry: Registry) -> None:
    present = {instance.model.version for instance in registry.instances(name)}
    for version in dict.fromkeys([*plan.weights, *([plan.shadow.version] if plan.shadow else [])]):
        if version not in present:
            available = ", ".join(sorted(present, key=natural_order)) or "none"
            print(
                f"maas: {name} has no instances of version {version} (found {available}), so it receives no calls yet",
                file=sys.stderr,
            )


def describe_plans(registry: Registry, state_store: StateStore) -> Iterator[str]:
    """Yield a line for each plan."""
    for name in state_store.names(TRAFFIC):
        try:
            yield describe(name, read_plan(state_store, name), registry)
        except ValueError as error:
            yield str(error)


def describe(name: str, plan: TrafficPlan, registry: Registry) -> str:
    """Return a line with the versions that receive calls without a version, and their shares."""
    counts: dict[str, int] = {}
    for instance in registry.instances(name):
        counts[instance.model.version] = counts.get(instance.model.version, 0) + 1
    weights = {
        version: weight * (counts.get(version, 0) if plan.per_instance else bool(counts.get(version)))
        for version, weight in plan.weights.items()
    }
    total = sum(weights.values())
    shares = [
        f"{version} {100 * weights[version] / total if total else 0:.3g} %"
        for version in sorted(weights, key=natural_order)
    ]
    to = ", ".join(shares) if total else ", ".join([*shares, "the newest version"])
    shadow = f"; {100 * plan.shadow.share:.3g} % also to {plan.shadow.version}, its shadow" if plan.shadow else ""
    return f"{name}: calls go to {to}{' (by instance)' if plan.per_instance else ''}{shadow}"
