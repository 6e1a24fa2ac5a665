"""maas deploy: add or remove instances of a model, replace a version, list what is registered."""

from __future__ import annotations

import argparse
import sys
from itertools import groupby
from pathlib import Path

from maas_runtime.cli.common import (
    ANSWER_SECONDS,
    WAIT_SECONDS,
    await_condition,
    open_backend,
    parse_seconds,
)
from maas_runtime.errors import DeployError
from maas_runtime.service.rollouts import ENDED, READY_SECONDS, ReplaceRequest, Rollout, rollout_of, wished
from maas_runtime.state.backend import Backend
from maas_runtime.state.store import Note, StateStore, failures_of
from maas_runtime.store import options as stores
from stellar.maas.probe import find_unreachable
from stellar.maas.registry import Instances, Registry
from stellar.maas.schema import Model, ModelRequest, validate_name


def add_deploy_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("-mo", "--mode", type=str.upper, choices=("ADD", "REMOVE", "LIST"), help="what to do")
    add("-n", "--name", help="the model's name")
    add("-v", "--version", help="the model's version")
    add("-ni", "--num_instances", type=int, metavar="N", help="how many instances more, or less")
    add("-m", "--memory", type=int, metavar="MB", help="memory that each instance may use; 0 for no limit")
    add("-lmp", "--local_model_path", type=Path, metavar="DIR", help="the model's files, to be uploaded")
    add("-hmp", "--hdfs_model_path", metavar="PATH", help="where the model's files are in the model store")
    add("-l", "--log4j", metavar="FILE", help="accepted for Metron's sake; there is no log4j here")
    add("--script", metavar="NAME.sh", help="which script starts the model, if there are several")
    add(
        "--wait",
        nargs="?",
        type=float,
        const=WAIT_SECONDS,
        metavar="SECONDS",
        help="until as many instances are ready as are wanted (default %(const)g seconds)",
    )
    add(
        "--replace",
        nargs="?",
        type=parse_seconds,
        const=READY_SECONDS,
        metavar="SECONDS",
        help="add instances in place of all others of the model, one after the other as new ones get ready; how long "
        "each may take to (default %(const)g seconds)",
    )
    add("--strict", action="store_true", help="fail when what is to be removed is not there")
    add(
        "--prune",
        nargs="?",
        const="refused",
        choices=("refused", "unreachable"),
        help="unregister lasting entries whose machine says that nobody listens there; with `unreachable`, also those "
        "whose machine gives no answer from here (default %(const)s)",
    )


NEEDED = {
    "ADD": ("name", "version", "num_instances", "memory", "hdfs_model_path"),
    "REMOVE": ("name", "version", "num_instances"),
    "LIST": (),
}


SHORT = {"name": "-n", "version": "-v", "num_instances": "-ni", "memory": "-m", "hdfs_model_path": "-hmp"}


def deploy(given: argparse.Namespace) -> int:
    """Add or remove instances, or list the registered ones, or clear away what is left of lost ones."""
    _check(given)
    if given.log4j:
        print("maas: -l has no effect: there is no log4j here", file=sys.stderr)
    with stores.model_store(given) as store, open_backend(given) as place:
        if given.local_model_path:
            for file in store.upload(given.local_model_path, given.hdfs_model_path, given.script):
                print(f"uploaded {file}")
        if given.prune:
            return prune(place.registry, given.name, given.version, unreachable_too=given.prune == "unreachable")
        if given.mode == "LIST":
            sys.stdout.write(listing(place.registry.instances(given.name, given.version)))
            return 0
        if given.mode == "ADD":
            store.script(given.hdfs_model_path)
        return _request(given, place) if given.replace is None else _replace(given, place)


def _check(given: argparse.Namespace) -> None:
    """Raise ValueError if something is missing, or can't be meant."""
    if given.prune:
        if given.mode not in (None, "LIST"):
            raise ValueError(f"--prune does not go with {given.mode}")
        given.mode = "LIST"
    if given.mode is None:
        raise ValueError("the following arguments are required: -mo/--mode")
    needed = [*NEEDED[given.mode], *(["hdfs_model_path"] if given.local_model_path else [])]
    if missing := [f"{SHORT[name]} (--{name})" for name in dict.fromkeys(needed) if getattr(given, name) is None]:
        raise ValueError(f"{given.mode} needs {', '.join(missing)}")
    for text, what in ((given.name, "model's name"), (given.version, "model's version")):
        if text is not None:
            validate_name(text, what)
    if given.mode != "LIST" and given.num_instances < 1:
        raise ValueError(f"-ni must be 1 or more, not {given.num_instances}")
    if given.mode == "ADD" and given.memory < 0:
        raise ValueError(f"-m must be 0 or more, not {given.memory}")
    if given.replace is not None and given.mode != "ADD":
        raise ValueError(f"--replace goes with ADD, not with {given.mode}")
    if given.script and not given.local_model_path:
        raise ValueError("--script goes with -lmp: it is kept with the files that are uploaded")


def prune(registry: Registry, name: str | None, version: str | None, *, unreachable_too: bool) -> int:
    """Unregister lasting entries at which nobody listens, and say so of each."""
    lasting = [instance for instance in registry.instances(name, version) if instance.lasting]
    removed = 0
    for instance, why in find_unreachable(lasting):
        if why == "refused" or unreachable_too:
            registry.unregister(instance.name, instance.id)
            removed += 1
            print(f"{instance.model} at {instance.url}: {why}; unregistered")
        else:
            print(f"{instance.model} at {instance.url}: {why} from here; stays, but for --prune=unreachable")
    print(f"{removed} of {len(lasting)} lasting entries are unregistered")
    return 0


def listing(instances: Instances) -> str:
    """The instances as Metron lists them."""
    lines = []
    for model, group in groupby(instances, key=lambda instance: instance.model):
        lines.append(f"Model {model.name} @ {model.version}\n")
        for instance in group:
            functions = "\n".join(f"\t{name}={path}" for name, path in instance.payload.endpoint.functions.items())
            lines.append(f"{model.name}:{model.version} @ {instance.url} serving:\n{functions or chr(9)}\n")
    return "".join(letter if letter.isprintable() or letter in "\n\t" else "?" for letter in "".join(lines))


def _request(given: argparse.Namespace, place: Backend) -> int:
    adding = given.mode == "ADD"
    model, notes = Model(given.name, given.version), place.notes
    failures = _failures(notes, model)
    item = place.queue.enqueue(
        ModelRequest(
            name=given.name,
            version=given.version,
            num_instances=given.num_instances,
            memory=given.memory if adding else 0,
            action=given.mode,
            path=given.hdfs_model_path if adding else None,
        )
    )
    answer = _answer(given, notes, model, item)
    if answer is None:
        return 1 if given.wait is not None else 0
    if "refused" in answer:
        print(f"maas: {answer['refused']}", file=sys.stderr)
        return 1 if adding or given.strict else 0
    print(f"{model}: {answer['wanted']} wanted")
    if given.wait is not None:
        _wait(place.registry, notes, model, answer["wanted"], given.wait, failures)
    return 0


def _answer(given: argparse.Namespace, notes: StateStore, model: Model, request: str) -> Note | None:
    """What becomes of a request; None, once that is said, if no service runs.

    Raises DeployError if the service does not answer.
    """
    if not notes.is_led():
        where = f" -zq {given.zk_quorum}" if given.zk_quorum else ""
        print(
            f"{model}: the request waits in the queue; no service runs. Start one with: maas serve{where}",
            file=sys.stderr,
        )
        return None
    if (answer := await_condition(lambda: notes.read(f"requests/{request}"), ANSWER_SECONDS)) is None:
        raise DeployError(f"the service did not answer within {ANSWER_SECONDS:g} seconds; see: maas status")
    return answer


def _replace(given: argparse.Namespace, place: Backend) -> int:
    wish = ReplaceRequest(
        given.name,
        given.version,
        given.num_instances,
        given.hdfs_model_path,
        given.memory,
        given.replace,
        fresh=given.local_model_path is not None,
    )
    id = wished(place.notes, wish)
    answer = _answer(given, place.notes, wish.model, id)
    if answer is None:
        return 1 if given.wait is not None else 0
    if "refused" in answer:
        raise DeployError(answer["refused"])
    print(f"{wish.model}: {answer['wanted']} wanted, in place of the others")
    if given.wait is not None:
        _await_rollout(place.notes, id, wish, given.wait)
    return 0


def _await_rollout(notes: StateStore, id: str, wish: ReplaceRequest, seconds: float) -> None:
    """Raises DeployError if the others are not replaced in time."""

    def ended() -> Rollout | None:
        rollout = rollout_of(notes, wish.name)
        if rollout is None or rollout.id != id:
            raise DeployError(f"{wish.model}: another replacement has taken the place of this one; see: maas status")
        return rollout if rollout.state in ENDED else None

    if (rollout := await_condition(ended, seconds)) is None:
        raise DeployError(f"after {seconds:g} seconds: {rollout_of(notes, wish.name)}; it goes on, see: maas status")
    if rollout.state == "failed":
        raise DeployError(f"{wish.model}: {rollout.why}; what was there before serves on")
    print(f"{wish.model}: {wish.instances} ready, the others are gone")


def _wait(registry: Registry, notes: StateStore, model: Model, wanted: int, seconds: float, failures: int) -> None:
    """Wait until as many are ready as are wanted.

    Raises DeployError if they are not in time, with the last failure since there were `failures`.
    """

    def ready() -> bool:
        return len(registry.instances(*model)) == wanted

    if not await_condition(ready, seconds):
        note = notes.read(failures_of(model)) or {}
        why = f"; the last failure: {note['last']}" if _failures(notes, model) > failures else ""
        there = len(registry.instances(*model))
        raise DeployError(f"{model}: {there} ready of {wanted} after {seconds:g} seconds{why}")
    print(f"{model}: {wanted} ready")


def _failures(notes: StateStore, model: Model) -> int:
    return int((notes.read(failures_of(model)) or {}).get("count", 0))
