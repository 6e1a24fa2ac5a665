"""The command `maas`: serve, deploy, traffic, status, doctor."""

from __future__ import annotations

import argparse
import logging
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import NoReturn, TypeVar

from maas_runtime.cli import background, doctor, traffic
from maas_runtime.deployers import Deployer
from maas_runtime.deployers.local import LocalDeployer
from maas_runtime.deployers.yarn import cluster
from maas_runtime.deployers.yarn import configuration as hadoop
from maas_runtime.errors import DeployError
from maas_runtime.runner import memory_limit as memory
from maas_runtime.runner.endpoint import health_path
from maas_runtime.runner.logs import LogLimits
from maas_runtime.runner.runner import Limits
from maas_runtime.service.rollouts import ENDED, READY_SECONDS, ROLLOUTS, Rollout, Wish, rollout_of, wished
from maas_runtime.service.service import Service
from maas_runtime.state import backend as places
from maas_runtime.state.backend import Place
from maas_runtime.state.store import Note, Notes, failures_of, note_failure, nothing
from maas_runtime.store import options as stores
from maas_runtime.store.base import ModelStore
from stellar.maas.default_location import home
from stellar.maas.errors import MaasError
from stellar.maas.probe import silent
from stellar.maas.registry import Instances, Registry, natural_order
from stellar.maas.schema import CONFIG_PATH, Model, ModelRequest, checked_name
from stellar.util.version import add_version

log = logging.getLogger("maas")
T = TypeVar("T")

EXAMPLES = {
    "serve": """examples:
  maas serve
  maas serve --host node1 -e MODEL_THREADS=2
  maas serve -zq node1:2181 --yarn http://node1:8088 --store /nfs/maas -q models
  maas serve -zq node1:2181 --on-yarn --store /nfs/maas
""",
    "deploy": """examples:
  maas deploy -lmp ./dga -hmp /user/me/dga/1.0 -mo ADD -m 512 -n dga -v 1.0 -ni 1 --wait
  maas deploy -mo LIST -n dga
  maas deploy -mo REMOVE -n dga -v 1.0 -ni 1
  maas deploy -lmp ./dga2 -hmp /user/me/dga/2.0 -mo ADD -m 512 -n dga -v 2.0 -ni 3 --replace --wait
""",
    "traffic": traffic.EXAMPLES,
    "status": None,
    "doctor": doctor.EXAMPLES,
}

ANSWER_SECONDS = 5.0  # how long a service that runs may take to say what becomes of a request
WAIT_SECONDS = 60.0


class Parser(argparse.ArgumentParser):
    """Ends with status 1, as Metron's commands do, when the options can't be understood."""

    def error(self, message: str) -> NoReturn:
        self.exit(1, f"{self.prog}: {message}\nTry '{self.prog} --help'.\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0 done, 1 refused or failed."""
    return _run("maas", options().parse_args(argv))


def maas_deploy(argv: Sequence[str] | None = None) -> int:
    """Run Metron's command `maas_deploy.sh`: what `maas deploy` does, by ZooKeeper."""
    parser = Parser(
        "maas_deploy.sh",
        description="Add or remove instances of a model, or list what is registered.",
        allow_abbrev=False,
    )
    parser.set_defaults(command=deploy)
    _common_options(parser, quorum_needed=True)
    _deploy_options(parser)
    return _run("maas_deploy.sh", parser.parse_args(argv))


def maas_service(argv: Sequence[str] | None = None) -> int:
    """Run Metron's command `maas_service.sh`: start `maas serve` by ZooKeeper, and return when it runs.

    Where Hadoop is configured it runs on YARN; else in the background of this machine.

    The exit status is 0 when it runs, 2 when it does not or not in time, 1 for options that can't be understood, and
    255 for values that can't be meant.
    """
    parser = Parser(
        "maas_service.sh",
        description="Start the service that runs the models that are asked for, and return when it runs.",
        allow_abbrev=False,
    )
    parser.set_defaults(command=partial(background.start, list(sys.argv[1:] if argv is None else argv)))
    _common_options(parser, quorum_needed=True)
    _serve_options(parser)
    parser.set_defaults(effective=("--timeout",))
    given = parser.parse_args(argv)
    if given.on_yarn or given.yarn is not None or hadoop.configuration():
        given.on_yarn, given.command = True, _serve_on_yarn
    if trouble := background.refused(given):
        print(f"maas_service.sh: {trouble}", file=sys.stderr)
        return 255
    for line in cluster.without_effect(given):
        print(f"maas_service.sh: {line}", file=sys.stderr)
    return _run("maas_service.sh", given)


def _run(name: str, given: argparse.Namespace) -> int:
    try:
        return int(given.command(given))
    except (DeployError, MaasError, ValueError, OSError, ModuleNotFoundError) as error:
        if given.debug:
            raise
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def options() -> Parser:
    parser = Parser("maas", description="Model as a Service: run models, and find them.", allow_abbrev=False)
    add_version(parser)
    names = "serve | deploy | traffic | status | doctor"
    commands = parser.add_subparsers(title="commands", required=True, metavar=names)
    for name, command, describe, meaning in (
        ("serve", serve, _serve_options, "run the models that are asked for, until interrupted"),
        ("deploy", deploy, _deploy_options, "add or remove instances of a model, or list what is registered"),
        (
            "traffic",
            _traffic,
            traffic.options,
            "say where calls go that name no version of a model, or show it",
        ),
        ("status", status, _no_options, "tell what is wanted, what is ready, and what failed"),
        ("doctor", doctor.run, doctor.describe, "look whether all is there, and say the mend of what is not"),
    ):
        sub = commands.add_parser(
            name,
            help=meaning,
            description=meaning.capitalize() + ".",
            epilog=EXAMPLES[name],
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        sub.set_defaults(command=command)
        _common_options(sub)
        describe(sub)
    return parser


def _common_options(parser: argparse.ArgumentParser, *, quorum_needed: bool = False) -> None:
    add = parser.add_argument
    add(
        "--registry",
        type=Path,
        default=home(),
        metavar="DIR",
        help="the directory of the registry, the model store and the containers; with -zq, of the last two "
        "(default %(default)s)",
    )
    stores.options(parser)
    add(
        "-zq",
        "--zk_quorum",
        required=quorum_needed,
        metavar="HOST:PORT,...",
        help="the ZooKeeper that holds registry, queue and notes",
    )
    add(
        "--zk-client",
        type=Path,
        metavar="FILE",
        help="how to speak with ZooKeeper, a JSON file (default $MAAS_ZK_CLIENT)",
    )
    add(
        "-zr",
        "--zk_root",
        default=CONFIG_PATH,
        metavar="PATH",
        help="where the configuration stands in the registry (default %(default)s)",
    )
    add("--debug", action="store_true", help="show where an error came from")


def _place(given: argparse.Namespace) -> AbstractContextManager[Place]:
    """Where it is all written."""
    if given.zk_quorum is None:
        return places.directory(given.registry, given.zk_root)
    return places.zookeeper(given.zk_quorum, given.zk_client, given.zk_root)


def _no_options(parser: argparse.ArgumentParser) -> None:
    """None but the common ones."""


# --- deploy


def _deploy_options(parser: argparse.ArgumentParser) -> None:
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
        type=_seconds,
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
    with stores.model_store(given) as store, _place(given) as place:
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
            checked_name(text, what)
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
    for instance, why in silent(lasting):
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


def _request(given: argparse.Namespace, place: Place) -> int:
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


def _answer(given: argparse.Namespace, notes: Notes, model: Model, request: str) -> Note | None:
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
    if (answer := _awaited(lambda: notes.read(f"requests/{request}"), ANSWER_SECONDS)) is None:
        raise DeployError(f"the service did not answer within {ANSWER_SECONDS:g} seconds; see: maas status")
    return answer


def _replace(given: argparse.Namespace, place: Place) -> int:
    wish = Wish(
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


def _await_rollout(notes: Notes, id: str, wish: Wish, seconds: float) -> None:
    """Raises DeployError if the others are not replaced in time."""

    def ended() -> Rollout | None:
        rollout = rollout_of(notes, wish.name)
        if rollout is None or rollout.id != id:
            raise DeployError(f"{wish.model}: another replacement has taken the place of this one; see: maas status")
        return rollout if rollout.state in ENDED else None

    if (rollout := _awaited(ended, seconds)) is None:
        raise DeployError(f"after {seconds:g} seconds: {rollout_of(notes, wish.name)}; it goes on, see: maas status")
    if rollout.state == "failed":
        raise DeployError(f"{wish.model}: {rollout.why}; what was there before serves on")
    print(f"{wish.model}: {wish.instances} ready, the others are gone")


def _wait(registry: Registry, notes: Notes, model: Model, wanted: int, seconds: float, failures: int) -> None:
    """Wait until as many are ready as are wanted.

    Raises DeployError if they are not in time, with the last failure since there were `failures`.
    """

    def ready() -> bool:
        return len(registry.instances(*model)) == wanted

    if not _awaited(ready, seconds):
        note = notes.read(failures_of(model)) or {}
        why = f"; the last failure: {note['last']}" if _failures(notes, model) > failures else ""
        there = len(registry.instances(*model))
        raise DeployError(f"{model}: {there} ready of {wanted} after {seconds:g} seconds{why}")
    print(f"{model}: {wanted} ready")


def _failures(notes: Notes, model: Model) -> int:
    return int((notes.read(failures_of(model)) or {}).get("count", 0))


def _awaited(condition: Callable[[], T], seconds: float) -> T:
    """What the condition gives, as soon as it is true, or in the end."""
    deadline = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


# --- serve


def _serve_options(parser: argparse.ArgumentParser) -> None:
    limits = Limits()
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="the name by which clients reach this machine (default %(default)s)")
    add("-e", "--shell_env", action="append", default=[], type=_pair, metavar="K=V", help="a variable for all scripts")
    add("--restart", choices=("always", "never"), default="always", help="what to do when an instance ends unasked")
    add("--leave-running", action="store_true", help="when the service ends, let the models run on for the next one")
    add(
        "--file-root",
        action="append",
        default=[],
        type=Path,
        metavar="DIR",
        help="below which alone file:// paths of requests may be; several may be given (default: anywhere)",
    )
    add("--max-instances", type=int, default=100, metavar="N", help="of one model (default %(default)s)")
    for name, seconds, meaning in (
        ("start", limits.start, "for a model to get ready"),
        ("drain", limits.drain, "for calls under way, before a model is ended"),
        ("end", limits.end, "for a model to end, before it is killed"),
        ("probe", limits.probe, "between looks whether a model still listens"),
    ):
        add(
            f"--{name}-seconds",
            type=_seconds,
            default=seconds,
            metavar="S",
            help=f"{meaning} (default {seconds:g})",
        )
    add(
        "--log-mb",
        type=_at_least(1),
        default=limits.logs.most_bytes // 1_000_000,
        metavar="MB",
        help="how large each file of what a model prints may grow (default %(default)s)",
    )
    add(
        "--log-files",
        type=_at_least(0),
        default=limits.logs.kept,
        metavar="N",
        help="how many full ones are kept beside it (default %(default)s)",
    )
    add(
        "--health",
        type=_health,
        default=limits.health,
        metavar="PATH",
        help="where models tell how they are, such as /health, unless they say so themselves; one that does not answer "
        "there by 2xx is replaced (default: it is enough that they listen)",
    )
    # A file descriptor to write a line to when the service leads or waits, for maas_service.sh
    add("--ready-fd", type=int, help=argparse.SUPPRESS)
    cluster.options(parser)


def _pair(text: str) -> tuple[str, str]:
    name, _, value = text.strip().partition("=")
    if not name or "\0" in text:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form NAME=VALUE")
    return name, value


def _at_least(least: int) -> Callable[[str], int]:
    def count(text: str) -> int:
        if not re.fullmatch("[0-9]{1,6}", text) or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of {least} or more")
        return int(text)

    return count


def _health(text: str) -> str:
    try:
        health_path(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _seconds(text: str) -> float:
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return float(text)


def serve(given: argparse.Namespace) -> int:
    """Run the service until it is interrupted."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    if given.ready_fd is None:  # else who started us has said it
        for line in cluster.without_effect(given):
            log.warning("%s", line)
    if given.on_yarn:
        return _serve_on_yarn(given)
    asked: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: asked.append(number))
    with stores.model_store(given) as store, _place(given) as place:
        log.info("serving %s", place.name)
        tell = partial(_tell, given.ready_fd) if given.ready_fd is not None else nothing
        with _deployer(given, place, store) as deployer:
            service = _service(given, place, store, deployer)
            service.run(lambda: bool(asked), leave_running=given.leave_running, tell=tell)
    log.info("ended")
    return 0


def _serve_on_yarn(given: argparse.Namespace) -> int:
    if trouble := background.refused(given):
        raise ValueError(trouble)
    with stores.model_store(given) as store, _place(given) as place:
        return cluster.start(given, place, store, stores.elsewhere(given))


def _tell(descriptor: int, word: str) -> None:
    with suppress(OSError):  # who started us has heard enough
        os.write(descriptor, f"{word}\n".encode())


@contextmanager
def _deployer(given: argparse.Namespace, place: Place, store: ModelStore) -> Iterator[Deployer]:
    """What runs models, here or on YARN."""
    limits = Limits(
        given.start_seconds,
        given.drain_seconds,
        given.end_seconds,
        given.probe_seconds,
        logs=LogLimits(given.log_mb * 1_000_000, given.log_files),
        health=given.health,
    )
    report = partial(note_failure, place.notes)
    if cluster.wanted(given):
        with cluster.deployer(given, place, store, report, limits) as deployer:
            yield deployer
        return
    memory.prepare()
    yield LocalDeployer(
        given.registry / "containers",
        place.options,
        store,
        report,
        unregister=place.registry.unregister,
        ready=lambda model: {instance.id for instance in place.registry.instances(*model)},
        host=given.host,
        limits=limits,
    )


def _service(given: argparse.Namespace, place: Place, store: ModelStore, deployer: Deployer) -> Service:
    return Service(
        place.queue,
        place.registry,
        deployer,
        store,
        place.notes,
        environment=dict(given.shell_env),
        restart=given.restart == "always",
        most_instances=given.max_instances,
    )


# --- traffic


def _traffic(given: argparse.Namespace) -> int:
    with _place(given) as place:
        return traffic.traffic(given, place)


# --- status


def status(given: argparse.Namespace) -> int:
    """Print what is wanted, what is ready, and what failed."""
    with _place(given) as place:
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


def _rollouts(notes: Notes) -> Iterator[str]:
    """A line for each rollout under way, or that failed."""
    for name in notes.names(ROLLOUTS):
        if (rollout := rollout_of(notes, name)) and rollout.state != "done":
            yield str(rollout)


def _rows(registry: Registry, notes: Notes) -> Iterator[tuple[str, str, str, str, str]]:
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


if __name__ == "__main__":
    sys.exit(main())
