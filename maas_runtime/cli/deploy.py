"""maas deploy: add or remove instances of a model, replace a version, list registrations."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from maas_runtime.cli.common import (
    RESPONSE_SECONDS,
    WAIT_SECONDS,
    InvalidOptions,
    add_registry_options,
    await_condition,
    describe_registry_options,
    open_backend,
    parse_seconds,
    read_name,
    reject_options,
)
from maas_runtime.cli.output import Output, make_printable
from maas_runtime.cli.waiting import WaitReport, count_failures
from maas_runtime.errors import DeployError
from maas_runtime.runner.samples import parse_warm_up, read_samples
from maas_runtime.service.desired_state import MAX_GPUS
from maas_runtime.service.judging import STEP_SECONDS
from maas_runtime.service.rollouts import (
    ENDED,
    MAX_ERROR_INCREASE,
    READY_SECONDS,
    ReplaceRequest,
    Rollout,
    read_rollout,
    request_replacement,
)
from maas_runtime.state.backend import Backend
from maas_runtime.state.store import JsonObject, StateStore
from maas_runtime.store import options as stores
from maas_runtime.store.base import ModelSize, ModelStore, has_script
from stellar.maas.probe import find_unreachable
from stellar.maas.registry import Instances, Registry
from stellar.maas.requests import make_note
from stellar.maas.schema import Model, ModelRequest, ServiceInstance
from stellar.util.abbreviate import quote

EXAMPLES = """examples:
  maas deploy -lmp ./dga -hmp /user/me/dga/1.0 -mo ADD -m 512 -n dga -v 1.0 -ni 1 --wait
  maas deploy -mo LIST -n dga
  maas deploy -mo REMOVE -n dga -v 1.0 -ni 1
  maas deploy -lmp ./dga2 -hmp /user/me/dga/2.0 -mo ADD -m 512 -n dga -v 2.0 -ni 3 --replace --wait
"""

POLL_SECONDS = 0.05


def add_options(parser: argparse.ArgumentParser, *, quorum_needed: bool = False) -> None:
    add_registry_options(parser, quorum_needed=quorum_needed, contents="the model store")
    stores.add_store_options(parser)
    _add_deploy_options(parser)


def _add_deploy_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("-mo", "--mode", type=str.upper, choices=("ADD", "REMOVE", "LIST"), help="the action")
    add("-n", "--name", help="the model's name")
    add("-v", "--version", help="the model's version")
    add("-ni", "--num_instances", type=int, metavar="N", help="number of instances to add or remove")
    add("-m", "--memory", type=int, metavar="MB", help="memory limit of each instance; 0 for no limit")
    add("-g", "--gpus", type=int, metavar="N", help="number of GPUs of each instance (default: 0, or as it has now)")
    add("-lmp", "--local_model_path", type=Path, metavar="DIR", help="directory of the model's files to upload")
    add("-hmp", "--hdfs_model_path", metavar="PATH", help="path of the model's files in the model store")
    add("-l", "--log4j", metavar="FILE", help="accepted for compatibility with Metron; has no effect")
    add("--script", metavar="NAME.sh", help="start script of the model, if there are several")
    add("--model", metavar="FILE", help="model file of a directory without a start script, if there are several")
    add(
        "--wait",
        nargs="?",
        type=float,
        const=WAIT_SECONDS,
        metavar="SECONDS",
        help="wait until the desired number of instances is ready (default %(const)g seconds)",
    )
    add(
        "--replace",
        nargs="?",
        type=parse_seconds,
        const=READY_SECONDS,
        metavar="SECONDS",
        help="replace all other instances of the model one by one, as new ones become ready; SECONDS is the time-out "
        "of each new instance (default %(const)g seconds)",
    )
    add(
        "--max-error-increase",
        type=_parse_percent,
        metavar="PERCENT",
        help="roll a --replace back if the share of failed calls of the new version exceeds that of the others by more "
        f"than this (default {MAX_ERROR_INCREASE:g})",
    )
    add(
        "--warm-up",
        action="append",
        default=[],
        metavar="QUERY",
        help="a request, such as 'host=a.com&port=80', to which each instance must respond before it is registered; "
        "may be repeated",
    )
    add("--strict", action="store_true", help="fail if the model to remove is not deployed")
    add(
        "--prune",
        nargs="?",
        const="refused",
        choices=("refused", "unreachable"),
        help="unregister lasting entries whose host refuses the connection; with `unreachable`, also those whose host "
        "does not respond (default %(const)s)",
    )


def _parse_percent(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,3}(\.[0-9]+)?%?", text) or float(text.rstrip("%")) > 100:
        raise argparse.ArgumentTypeError(f"invalid percentage {quote(text)}: expected a number from 0 to 100")
    return float(text.rstrip("%"))


NEEDED = {
    "ADD": ("name", "version", "num_instances", "memory", "hdfs_model_path"),
    "REMOVE": ("name", "version", "num_instances"),
    "LIST": (),
}
SHORT = {"name": "-n", "version": "-v", "num_instances": "-ni", "memory": "-m", "hdfs_model_path": "-hmp"}


def run(args: argparse.Namespace) -> int:
    """Add, remove, replace or list instances, or unregister lost ones."""
    _check_options(args)
    _check_effects(args)
    if args.log4j:
        print("maas: -l has no effect: this service does not use log4j", file=sys.stderr)
    with (
        _prepare_files(args) as folder,
        stores.model_store(args) as store,
        open_backend(args, create=args.mode == "ADD") as backend,
    ):
        content = _upload(args, store, folder) if folder else None
        if args.prune:
            return prune(args, backend.registry)
        if args.mode == "LIST":
            return _list(args.out, backend.registry.instances(args.name, args.version))
        if args.mode == "ADD" and content is None:
            store.script(args.hdfs_model_path)
        args.out.write(name=args.name, version=args.version)
        return _enqueue(args, backend, content) if args.replace is None else _replace(args, backend, content)


@contextmanager
def _prepare_files(args: argparse.Namespace) -> Iterator[Path | None]:
    """Yield the directory to upload: the user's with a start script, or a copy completed with one; None without -lmp.

    Raises ServingError, before anything is uploaded, for a model that cannot be served.
    """
    folder = args.local_model_path
    if folder is None or args.script or has_script(folder):
        if args.model:
            reason = "a start script decides what is served" if folder else "it needs -lmp"
            raise InvalidOptions(f"--model has no effect: {reason}")
        yield folder
        return
    from maas_runtime.serving.preparation import complete_folder, find_flattened  # load the readers of models

    with complete_folder(folder, args.model, ModelSize(args.model_files, args.model_mb)) as completed:
        for file in find_flattened(completed):
            print(f"maas: Metron's own service would confuse {file} with a file at the top level", file=sys.stderr)
        yield completed


def _upload(args: argparse.Namespace, store: ModelStore, folder: Path) -> str:
    """Upload the model's files, for Metron and other services to their path; return that of the immutable copy."""
    files = store.upload(folder, args.hdfs_model_path, args.script)
    content = store.add_content(folder, args.script)
    for file in files:
        args.out.append("uploaded", str(file), f"uploaded {file}")
    return content


def _check_options(args: argparse.Namespace) -> None:
    """Raise ValueError for missing or invalid options."""
    if args.prune:
        if args.mode not in (None, "LIST"):
            raise InvalidOptions(f"--prune cannot be used with {args.mode}")
        args.mode = "LIST"
    if args.mode is None:
        raise InvalidOptions("the following arguments are required: -mo/--mode")
    needed = [*NEEDED[args.mode], *(["hdfs_model_path"] if args.local_model_path else [])]
    if missing := [f"{SHORT[name]} (--{name})" for name in dict.fromkeys(needed) if getattr(args, name) is None]:
        raise InvalidOptions(f"{args.mode} needs {', '.join(missing)}")
    for value, label in ((args.name, "model's name"), (args.version, "model's version")):
        if value is not None:
            read_name(value, label)
    if args.mode != "LIST" and args.num_instances < 1:
        raise InvalidOptions(f"invalid -ni {args.num_instances}: expected at least 1")
    if args.mode == "ADD" and args.memory < 0:
        raise InvalidOptions(f"invalid -m {args.memory}: expected at least 0")
    if args.replace is not None and args.mode != "ADD":
        raise InvalidOptions(f"--replace requires ADD, got {args.mode}")
    if args.max_error_increase is not None and args.replace is None:
        raise InvalidOptions("--max-error-increase requires --replace: only rollouts are judged")
    if args.gpus is not None and (args.mode != "ADD" or not 0 <= args.gpus <= MAX_GPUS):
        raise InvalidOptions(f"invalid -g {args.gpus}: expected 0 to {MAX_GPUS}, with ADD")
    if args.warm_up and args.mode != "ADD":
        raise InvalidOptions(f"--warm-up requires ADD, got {args.mode}")
    try:
        parse_warm_up(args.warm_up)
    except ValueError as error:
        raise InvalidOptions(f"--warm-up: {error}") from error
    if args.local_model_path:
        read_samples(args.local_model_path)
    if args.script and not args.local_model_path:
        raise InvalidOptions("--script requires -lmp: it is stored with the uploaded files")


def _check_effects(args: argparse.Namespace) -> None:
    """Raise ValueError for an option without effect; Metron's own options are accepted in every mode."""
    mode = "--prune" if args.prune else args.mode
    if args.mode == "LIST":
        reject_options(args, f"with {mode}", "wait")
    if args.mode != "REMOVE":
        reject_options(args, f"with {mode}", "strict")
    if args.mode == "LIST" and not args.local_model_path:
        reject_options(args, f"with {mode}", *stores.OPTIONS)
    if not stores.is_in_hdfs(args):
        reject_options(args, "because the model store is not in HDFS", *stores.IDENTITY)


def prune(args: argparse.Namespace, registry: Registry) -> int:
    """Unregister lasting entries whose server is gone, and print each."""
    lasting = [instance for instance in registry.instances(args.name, args.version) if instance.lasting]
    args.out.write(unregistered=[], unreachable=[], lasting=len(lasting))
    removed = 0
    for instance, reason in find_unreachable(lasting):
        fields = {**describe_instance(instance), "reason": reason}
        if reason == "refused" or args.prune == "unreachable":
            registry.unregister(instance.name, instance.id)
            removed += 1
            args.out.append("unregistered", fields, f"{instance.model} at {instance.url}: {reason}; unregistered")
        else:
            line = f"{instance.model} at {instance.url}: {reason} from here; not removed (see --prune=unreachable)"
            args.out.append("unreachable", fields, line)
    args.out.write(f"{removed} of {len(lasting)} lasting entries unregistered")
    return 0


def _list(out: Output, instances: Instances) -> int:
    out.write(*format_listing(instances).splitlines(), instances=[describe_instance(each) for each in instances])
    return 0


def describe_instance(instance: ServiceInstance) -> dict[str, Any]:
    """Return the fields of a registered instance for JSON."""
    return {
        "name": instance.name,
        "version": instance.model.version,
        "id": instance.id,
        "url": instance.url,
        "host": instance.address,
        "port": instance.port,
        "functions": instance.payload.endpoint.functions,
        "registered": instance.registration_time_utc,
        "ephemeral": not instance.lasting,
    }


def format_listing(instances: Instances) -> str:
    """Return the instances in Metron's list format."""
    lines = []
    for model, group in groupby(instances, key=lambda instance: instance.model):
        lines.append(f"Model {model.name} @ {model.version}\n")
        for instance in group:
            functions = "\n".join(f"\t{name}={path}" for name, path in instance.payload.endpoint.functions.items())
            lines.append(f"{model.name}:{model.version} @ {instance.url} serving:\n{functions or chr(9)}\n")
    return "\n".join(map(make_printable, "".join(lines).split("\n")))


def _enqueue(args: argparse.Namespace, backend: Backend, content: str | None) -> int:
    adding = args.mode == "ADD"
    model, state_store = Model(args.name, args.version), backend.state_store
    failures = count_failures(state_store, model)
    request = ModelRequest(
        name=args.name,
        version=args.version,
        num_instances=args.num_instances,
        memory=args.memory if adding else 0,
        action=args.mode,
        path=args.hdfs_model_path if adding else None,
    )
    store = stores.store_name(args) if content else None
    note = make_note(content=content, store=store, warm_up=args.warm_up or None, gpus=args.gpus)
    result = submit_request(args, backend, request, note)
    if result is None:
        return 1 if args.wait is not None else 0
    if "refused" in result:
        print(f"maas: {result['refused']}", file=sys.stderr)
        args.out.write(refused=result["refused"])
        return 1 if adding or args.strict else 0
    args.out.write(f"{model}: {result['wanted']} desired", desired=result["wanted"])
    if args.wait is not None:
        await_ready(backend.registry, state_store, model, result["wanted"], args.wait, failures)
        args.out.write(f"{model}: {result['wanted']} ready", ready=result["wanted"])
    return 0


def submit_request(
    args: argparse.Namespace, backend: Backend, request: ModelRequest, note: dict[str, Any] | None = None
) -> JsonObject | None:
    """Add a request to the queue. Return its result; None, after a message, if no service runs."""
    note = note or make_note()
    name, state_store = backend.queue.enqueue(request, note), backend.state_store
    model = Model(request.name or "", request.version or "")
    return _await_result(args, state_store, model, lambda: find_result(state_store, name, note["token"]))


def submit_replacement(
    args: argparse.Namespace, backend: Backend, request: ReplaceRequest
) -> tuple[str, JsonObject | None]:
    """Store a replace request. Return its id and its result; None, after a message, if no service runs."""
    id, state_store = request_replacement(backend.state_store, request), backend.state_store
    return id, _await_result(args, state_store, request.model, lambda: state_store.read(f"requests/{id}"))


def find_result(state_store: StateStore, name: str, token: str) -> JsonObject | None:
    """Return the result of a request in the queue; None while it is missing.

    name: of its item, which an earlier item may have had too
    token: of its note
    """
    for result in [each for each in state_store.names("requests") if each.endswith(f"-{name}")]:
        if (found := state_store.read(f"requests/{result}")) and found.get("token") == token:
            return found
    return None


def _await_result(
    args: argparse.Namespace, state_store: StateStore, model: Model, find: Callable[[], JsonObject | None]
) -> JsonObject | None:
    """Return the result of a request; None, after a message, if no service runs.

    Raises DeployError if the service does not respond in time.
    """
    if not state_store.is_led():
        start = f"start one with: maas serve{describe_registry_options(args)}"
        print(f"{model}: the request is queued, but no service is running; {start}", file=sys.stderr)
        args.out.write(queued=True)
        return None
    if (result := await_condition(find, RESPONSE_SECONDS)) is None:
        raise DeployError(
            f"{model}: the request is queued, but the service did not respond within {RESPONSE_SECONDS:g} seconds; it "
            f"may be copying files, and handles the request later; see: maas status{describe_registry_options(args)}"
        )
    return result


def _replace(args: argparse.Namespace, backend: Backend, content: str | None) -> int:
    request = ReplaceRequest(
        args.name,
        args.version,
        args.num_instances,
        args.hdfs_model_path,
        args.memory,
        args.replace,
        fresh=args.local_model_path is not None,
        content=content or "",
        store=stores.store_name(args),
        max_error_increase=MAX_ERROR_INCREASE if args.max_error_increase is None else args.max_error_increase,
        warm_up=args.warm_up,
        gpus=args.gpus or 0,
    )
    id, result = submit_replacement(args, backend, request)
    if result is None:
        return 1 if args.wait is not None else 0
    if "refused" in result:
        raise DeployError(result["refused"])
    args.out.write(f"{request.model}: {result['wanted']} desired, replacing the others", desired=result["wanted"])
    if args.wait is not None:
        await_rollout(backend.state_store, id, request, args.wait)
        args.out.write(f"{request.model}: {request.instances} ready, the others removed", ready=request.instances)
    return 0


def await_rollout(state_store: StateStore, id: str, request: ReplaceRequest, seconds: float) -> None:
    """Wait until a rollout is done.

    seconds: the longest time without progress; the time for judging calls is added

    Raises DeployError if it fails or makes no progress in time.
    """
    report = WaitReport(state_store, request.model, count_failures(state_store, request.model))
    last, deadline = None, 0.0
    while (rollout := _read_rollout(state_store, id, request)).state not in ENDED:
        if rollout != last:
            last, deadline = rollout, monotonic() + seconds + (STEP_SECONDS if rollout.is_judging else 0)
        if monotonic() > deadline:
            reasons = report.explain()
            raise DeployError(
                f"no progress for {seconds:g} seconds: {rollout}{reasons}; still active, see: maas status"
            )
        report.update()
        sleep(POLL_SECONDS)
    if rollout.state == "failed":
        raise DeployError(f"{request.model}: {rollout.reason}; rolled back to the previous instances")


def _read_rollout(state_store: StateStore, id: str, request: ReplaceRequest) -> Rollout:
    rollout = read_rollout(state_store, request.name)
    if rollout is None or rollout.id != id:
        raise DeployError(f"{request.model}: another rollout replaced this one; see: maas status")
    return rollout


def await_ready(
    registry: Registry, state_store: StateStore, model: Model, desired: int, seconds: float, failures: int
) -> None:
    """Wait until the desired number of instances is ready.

    Raises DeployError on a time-out, with the reasons, and the last failure if there are more than `failures`.
    """
    report = WaitReport(state_store, model, failures)

    def is_ready() -> bool:
        if len(registry.instances(*model)) == desired:
            return True
        report.update()
        return False

    if not await_condition(is_ready, seconds):
        count = len(registry.instances(*model))
        raise DeployError(
            f"{model}: {count} of {desired} ready after {seconds:g} seconds{report.explain()}; accepted, not finished: "
            "the service goes on, see: maas status"
        )
