"""maas traffic: set or show traffic plans, which route calls without a version."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from maas_runtime.cli.common import InvalidOptions, add_registry_options, open_backend, read_name, reject_options
from maas_runtime.cli.models import find_names, list_versions, require_known
from maas_runtime.service.rollouts import ENDED, read_rollout
from maas_runtime.state.backend import Backend
from maas_runtime.state.store import StateStore
from stellar.maas.registry import Registry, natural_order
from stellar.maas.routing import TRAFFIC, Shadow, TrafficPlan
from stellar.util.abbreviate import quote

EXAMPLES = """examples:
  maas traffic -n dga --weight 1.0=90 --weight 2.0=10
  maas traffic -n dga --weight 1.0=90 --weight 2.0=10 --ahead
  maas traffic -n dga --shadow 2.0=0.5
  maas traffic -n dga
  maas traffic -n dga --clear
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    add_registry_options(parser)
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
    add("--ahead", action="store_true", help="accept a model or versions that are not deployed yet")


def _weight(text: str) -> tuple[str, float]:
    version, equals, number = text.rpartition("=")
    try:
        if not equals:
            raise ValueError
        return version, float(number) if "." in number or "e" in number else int(number)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"invalid weight {quote(text)}: expected VERSION=NUMBER, such as 2.0=10"
        ) from None


def _shadow(text: str) -> Shadow:
    version, equals, share = text.rpartition("=")
    if not equals:
        return Shadow(text)
    try:
        return Shadow(version, float(share))
    except ValueError:
        raise argparse.ArgumentTypeError(f"invalid shadow {quote(text)}: expected VERSION or VERSION=SHARE") from None


def run(args: argparse.Namespace) -> int:
    """Change the plan of a model by the options given, and print it; without a model, print all plans."""
    with open_backend(args) as backend:
        if args.name is None:
            _show_all(args, backend)
        else:
            _show_or_change(args, read_name(args.name), backend)
    return 0


def _show_all(args: argparse.Namespace, backend: Backend) -> None:
    if _has_changes(args):
        raise InvalidOptions("missing model name: add -n (--name)")
    reject_options(args, "without -n", "ahead")
    args.out.write(plans=[])
    for name, plan in read_plans(backend.state_store):
        args.out.append("plans", *describe_plan(name, plan, backend.registry))


def _show_or_change(args: argparse.Namespace, name: str, backend: Backend) -> None:
    if not _has_changes(args):
        reject_options(args, "without --weight and --shadow", "ahead")
        require_known("model", name, find_names(backend))
        plan: TrafficPlan | str = read_plan(backend.state_store, name)
    else:
        plan = _change_plan(args, name, backend.state_store)
        _check_names(args, name, backend)
        _warn(name, plan, backend.registry)
        backend.state_store.write(f"{TRAFFIC}/{name}", plan.to_note() or None)
    fields, line = describe_plan(name, plan, backend.registry)
    args.out.write(line, **fields)


def _has_changes(args: argparse.Namespace) -> bool:
    return bool(args.weight or args.shadow or args.clear or args.per_instance)


def _check_names(args: argparse.Namespace, name: str, backend: Backend) -> None:
    """Raise ValueError for a model or version that is neither registered nor desired, unless --ahead is given.

    A misspelt version would have no instances, so that all calls would go to the others.
    """
    given = [*dict(args.weight), *([args.shadow.version] if args.shadow else [])]
    if args.ahead:
        if not given:
            reject_options(args, "without --weight and --shadow", "ahead")
        return
    hint = "; add --ahead to set the plan before it is deployed" if given else ""
    try:
        require_known("model", name, find_names(backend))
        for version in given:
            require_known("version", version, list_versions(backend, name), name)
    except ValueError as error:
        raise ValueError(f"{error}{hint}") from None


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
        raise InvalidOptions("--weight: duplicate version")
    if args.per_instance and not args.weight:
        raise InvalidOptions("--per-instance requires --weight")
    if args.weight:
        plan = replace(plan, weights=dict(args.weight), per_instance=args.per_instance)
    if args.shadow:
        plan = replace(plan, shadow=args.shadow)
    try:
        return TrafficPlan.from_note(plan.to_note())
    except ValueError as error:  # invalid weights and shares
        raise InvalidOptions(str(error)) from error


def _warn(name: str, plan: TrafficPlan, registry: Registry) -> None:
    present = {instance.model.version for instance in registry.instances(name)}
    for version in dict.fromkeys([*plan.weights, *([plan.shadow.version] if plan.shadow else [])]):
        if version not in present:
            available = ", ".join(sorted(present, key=natural_order)) or "none"
            print(
                f"maas: {name} has no instances of version {version} (found {available}), so it receives no calls yet",
                file=sys.stderr,
            )


def read_plans(state_store: StateStore) -> Iterator[tuple[str, TrafficPlan | str]]:
    """Yield the name and the plan of each model that has one; the reason instead of an invalid plan."""
    for name in state_store.names(TRAFFIC):
        try:
            yield name, read_plan(state_store, name)
        except ValueError as error:
            yield name, str(error)


def describe_plan(name: str, plan: TrafficPlan | str, registry: Registry) -> tuple[dict[str, Any], str]:
    """Return the fields of a plan, and a line with the versions that receive calls without a version.

    plan: the reason instead of an invalid plan
    """
    if isinstance(plan, str):
        return {"name": name, "error": plan}, plan
    counts = Counter(instance.model.version for instance in registry.instances(name))
    weights = {
        version: weight * (counts[version] if plan.per_instance else bool(counts[version]))
        for version, weight in plan.weights.items()
    }
    total = sum(weights.values())
    shares = {version: weights[version] / total if total else 0 for version in sorted(weights, key=natural_order)}
    shown = [f"{version} {100 * share:.3g} %" for version, share in shares.items()]
    to = ", ".join(shown if total else [*shown, "the newest version"])
    shadow = f"; {100 * plan.shadow.share:.3g} % also to {plan.shadow.version}, its shadow" if plan.shadow else ""
    line = f"{name}: calls go to {to}{' (by instance)' if plan.per_instance else ''}{shadow}"
    return {"name": name, **plan.to_note(), "shares": shares}, line
