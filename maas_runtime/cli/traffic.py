"""The command `maas traffic`: say where calls go that name no version of a model, or show it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace

from maas_runtime.service.rollouts import ENDED, rollout_of
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


def options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("-n", "--name", help="the model's name; without it all plans are shown")
    add(
        "--weight",
        action="append",
        default=[],
        type=_weight,
        metavar="VERSION=N",
        help="how much goes to a version, in proportion to the others; once for each that gets any",
    )
    add("--per-instance", action="store_true", help="a weight counts for each instance of the version")
    add(
        "--shadow",
        type=_shadow,
        metavar="VERSION[=SHARE]",
        help="send calls to this version too, and compare the answers; all of them, or a share from 0 to 1",
    )
    add("--clear", action="store_true", help="first forget the plan that there is")


def _weight(text: str) -> tuple[str, float]:
    version, equals, number = text.rpartition("=")
    try:
        if not equals:
            raise ValueError
        return version, float(number) if "." in number or "e" in number else int(number)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form VERSION=NUMBER, such as 2.0=10") from None


def _shadow(text: str) -> Shadow:
    version, equals, share = text.rpartition("=")
    if not equals:
        return Shadow(text)
    try:
        return Shadow(version, float(share))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form VERSION or VERSION=SHARE") from None


def traffic(given: argparse.Namespace, place: Backend) -> int:
    """Change the plan of a model as far as the options say, and show it. Raises ValueError for what can't be meant."""
    changes = given.weight or given.shadow or given.clear or given.per_instance
    if given.name is None:
        if changes:
            raise ValueError("which model? It is named by -n (--name)")
        sys.stdout.writelines(f"{line}\n" for line in plans(place.registry, place.notes))
        return 0
    name = validate_name(given.name, "model's name")
    plan = _changed(given, name, place.notes) if changes else plan_of(place.notes, name)
    if changes:
        _warn(name, plan, place.registry)
        place.notes.write(f"{TRAFFIC}/{name}", plan.to_note() or None)
    print(describe(name, plan, place.registry))
    return 0


def plan_of(notes: StateStore, name: str) -> TrafficPlan:
    """The plan of a model, which may say nothing. Raises ValueError, naming the model, for what is no plan."""
    try:
        return TrafficPlan.from_note(notes.read(f"{TRAFFIC}/{name}") or {})
    except ValueError as error:
        raise ValueError(f"the traffic plan of {name} can't be read; set it anew with --clear: {error}") from None


def _changed(given: argparse.Namespace, name: str, notes: StateStore) -> TrafficPlan:
    rollout = rollout_of(notes, name)
    if rollout and rollout.state not in ENDED:
        raise ValueError(f"calls of {name} move by themselves now: {rollout}; wait until that has ended")
    plan = TrafficPlan() if given.clear else plan_of(notes, name)
    if len(dict(given.weight)) < len(given.weight):
        raise ValueError("--weight: a version is given twice")
    if given.per_instance and not given.weight:
        raise ValueError("--per-instance goes with --weight")
    if given.weight:
        plan = replace(plan, weights=dict(given.weight), per_instance=given.per_instance)
    if given.shadow:
        plan = replace(plan, shadow=given.shadow)
    return TrafficPlan.from_note(plan.to_note())  # raises ValueError for weights and shares that can't be


def _warn(name: str, plan: TrafficPlan, registry: Registry) -> None:
    present = {instance.model.version for instance in registry.instances(name)}
    for version in dict.fromkeys([*plan.weights, *([plan.shadow.version] if plan.shadow else [])]):
        if version not in present:
            there = ", ".join(sorted(present, key=natural_order)) or "none"
            print(
                f"maas: {name} has no version {version} now ({there}); it gets no calls until it has instances",
                file=sys.stderr,
            )


def plans(registry: Registry, notes: StateStore) -> Iterator[str]:
    """A line for each plan that there is."""
    for name in notes.names(TRAFFIC):
        try:
            yield describe(name, plan_of(notes, name), registry)
        except ValueError as error:
            yield str(error)


def describe(name: str, plan: TrafficPlan, registry: Registry) -> str:
    """What calls that name no version meet now."""
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
