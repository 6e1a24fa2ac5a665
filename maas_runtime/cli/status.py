"""maas status: desired and ready instances, failures, traffic plans, rollouts, and requests that wait."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from maas_runtime.cli import traffic
from maas_runtime.cli.common import add_registry_options, open_backend, read_name
from maas_runtime.cli.instances import describe_problems, format_instances, read_instances
from maas_runtime.cli.models import find_models, find_names, require_known
from maas_runtime.cli.output import format_table, make_printable
from maas_runtime.cli.pending import describe_pending, read_pending
from maas_runtime.cli.reports import read_reports
from maas_runtime.service.rollouts import ROLLOUTS, read_rollout
from maas_runtime.state.backend import Backend
from maas_runtime.state.store import failures_path
from stellar.maas.schema import Model

EXAMPLES = """examples:
  maas status
  maas status -n dga
  maas status -n dga --output json
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    add_registry_options(parser, contents="this machine's containers")
    parser.add_argument("-n", "--name", help="show this model only, with its instances")


def run(args: argparse.Namespace) -> int:
    """Print desired and ready instances, failures, traffic plans, rollouts and requests that wait."""
    with open_backend(args) as backend:
        pending = list(read_pending(backend))
        if args.name is not None:
            read_name(args.name)
            known = {*find_names(backend), *(str(each["name"]) for each in pending if each.get("name"))}
            require_known("model", args.name, known)
        _show_service(args, backend)
        _show_models(args, backend)
        if args.name is not None:
            _show_instances(args, backend)
        _show_plans(args, backend)
        args.out.write(pending=[])
        for fields in pending:
            if args.name in (None, fields.get("name")):
                args.out.append("pending", fields, describe_pending(fields))
    return 0


def _show_service(args: argparse.Namespace, backend: Backend) -> None:
    is_led = backend.state_store.is_led()
    line = f"service: {'running' if is_led else 'not running'} on {backend.name}"
    args.out.write(line, service={"running": is_led, "registry": backend.name})


def _show_models(args: argparse.Namespace, backend: Backend) -> None:
    models = [_read_model(backend, model) for model in find_models(backend) if args.name in (None, model.name)]
    rows = [
        (
            f"{each['name']} @ {each['version']}",
            *(str(each[column]) for column in ("desired", "ready", "failures")),
            each["last_failure"],
        )
        for each in models
    ]
    headings = ("model", "desired", "ready", "failures", "last failure")
    args.out.write(*(format_table([headings, *rows]) if rows else ()), models=models)


def _read_model(backend: Backend, model: Model) -> dict[str, Any]:
    """Return the fields of a version: desired and ready instances, path, memory limit, failures."""
    desired = backend.state_store.read(f"wanted/{model.name}/{model.version}") or {}
    failure = backend.state_store.read(failures_path(model)) or {}
    return {
        "name": model.name,
        "version": model.version,
        "desired": desired.get("instances", 0),
        "ready": len(backend.registry.instances(*model)),
        "path": desired.get("path"),
        "memory": desired.get("memory"),
        "failures": failure.get("count", 0),
        "last_failure": make_printable(str(failure.get("last", ""))),
        "last_failure_at": failure.get("at"),
    }


def _show_instances(args: argparse.Namespace, backend: Backend) -> None:
    reports = read_reports(backend.state_store, args.name)
    instances = read_instances(backend, args.registry, args.name, reports)
    lines = format_table(format_instances(instances)) if instances else ["no instances"]
    args.out.write(
        *lines,
        *describe_problems(instances),
        *map(str, reports),
        instances=[each.to_fields() for each in instances],
        reports=[each.to_fields() for each in reports],
    )


def _show_plans(args: argparse.Namespace, backend: Backend) -> None:
    args.out.write(plans=[], rollouts=[])
    for name, plan in traffic.read_plans(backend.state_store):
        if args.name in (None, name):
            args.out.append("plans", *traffic.describe_plan(name, plan, backend.registry))
    for fields, line in _read_rollouts(backend):
        if args.name in (None, fields["request"]["name"]):
            args.out.append("rollouts", fields, line)


def _read_rollouts(backend: Backend) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield the fields of each rollout that is active or failed, and a line."""
    for name in backend.state_store.names(ROLLOUTS):
        if (rollout := read_rollout(backend.state_store, name)) and rollout.state != "done":
            yield asdict(rollout), str(rollout)
