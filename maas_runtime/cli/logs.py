"""maas logs: the output of a model's instances, on this machine or on YARN."""

from __future__ import annotations

import argparse
import logging
import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import sleep
from typing import Any

from maas_runtime.cli import yarn_logs
from maas_runtime.cli.common import add_registry_options, describe_registry_options, open_backend, reject_options
from maas_runtime.cli.containers import CONTAINERS, InstanceDirectory, find_instances
from maas_runtime.cli.instances import list_ids
from maas_runtime.cli.log_files import Follower, LogLine, read_history
from maas_runtime.cli.models import find_models, parse_model
from maas_runtime.cli.output import Output, make_printable
from maas_runtime.deployers.assigning import AGENTS
from maas_runtime.deployers.local import RUNNER_LOG
from maas_runtime.errors import DeployError
from maas_runtime.runner.runner import ERRORS, OUTPUT
from maas_runtime.state.assignments import ASSIGNED
from maas_runtime.state.store import StateStore
from stellar.maas.schema import ServiceInstance
from stellar.util.abbreviate import quote

log = logging.getLogger("maas")

EXAMPLES = """examples:
  maas logs dga
  maas logs dga@2.0 -f --tail 10
  maas logs dga --instance 2 --runner
"""

FOLLOW_SECONDS = 0.2
SHORTEST_ID = 4  # characters of an id that are enough to select an instance
_COLORS = re.compile("\x1b\\[[0-9;]*m")


def add_options(parser: argparse.ArgumentParser) -> None:
    add_registry_options(parser, contents="this machine's containers")
    add = parser.add_argument
    add("model", metavar="NAME[@VERSION]", help="the model, or one version of it")
    add("-f", "--follow", action="store_true", help="go on with new output, also of instances that start later")
    add("--instance", metavar="N|ID", help="one instance: its number or id in maas status -n, or the id's beginning")
    add("--runner", action="store_true", help="the log of the runner, which starts and checks the model")
    add("--tail", type=_parse_count, metavar="N", help="only the last lines of each file (default: all)")
    add(
        "--yarn",
        nargs="?",
        action="append",
        const="",
        metavar="URL",
        help="read the logs of instances on YARN; URL of the resource manager (default: from $HADOOP_CONF_DIR)",
    )
    add("--principal", metavar="NAME@REALM", help="Kerberos principal for YARN")
    add("--keytab", type=Path, metavar="FILE", help="keytab of the principal; without it, the ticket of kinit is used")


def _parse_count(text: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", text):
        raise argparse.ArgumentTypeError(f"invalid number of lines {quote(text)}")
    return int(text)


@dataclass(frozen=True)
class Selection:
    """The instances whose logs are shown.

    version, id: of all, if selected
    elsewhere: registered instances that do not run on this machine
    hosts: names of the hosts whose agents run them, by id
    """

    name: str
    version: str | None
    id: str | None
    local: Sequence[InstanceDirectory] = ()
    elsewhere: Sequence[ServiceInstance] = ()
    hosts: Mapping[str, str] = field(default_factory=dict)


def run(args: argparse.Namespace) -> int:
    """Print the output of a model's instances."""
    if args.yarn is None:
        reject_options(args, "without --yarn", "principal", "keytab")
    selection = _select(args)
    if not selection.local and not selection.elsewhere:
        raise DeployError(
            f"no instance of {args.model} has logs in {args.registry / CONTAINERS}, and none is registered; "
            f"see: maas status{describe_registry_options(args)} -n {shlex.quote(selection.name)}"
        )
    on_yarn = [each for each in selection.elsewhere if yarn_logs.is_on_yarn(each)] if args.yarn is not None else []
    others = [each for each in selection.elsewhere if each not in on_yarn]
    hints = [_describe_elsewhere(args, each, selection.hosts.get(each.id) or each.address) for each in others]
    if not selection.local and not on_yarn:
        raise DeployError("; ".join(hints))
    for hint in hints:
        log.warning("%s", hint)
    if on_yarn:
        _show_yarn(args, on_yarn)
    if selection.local:
        _show_local(args, selection)
    return 0


# --- selection


def _select(args: argparse.Namespace) -> Selection:
    """Return the instances that the arguments select. Raises ValueError for an unknown model or instance."""
    with open_backend(args) as backend:
        known = {*find_models(backend), *(each.model for each in find_instances(args.registry))}
        name, version = parse_model(args.model, known)
        registered = backend.registry.instances(name, version)
        ids = list_ids(backend, args.registry, name)
        hosts = _read_hosts(backend.state_store, name, [each.id for each in registered])
    local = find_instances(args.registry, name, version)
    id = None
    if args.instance is not None:
        id = _find_id(args.instance, ids, {*(each.id for each in registered), *(each.id for each in local)})
        local = [each for each in local if each.id == id]
    ours = {each.id for each in local}
    elsewhere = [each for each in registered if each.id not in ours and id in (None, each.id)]
    return Selection(name, version, id, local, elsewhere, hosts)


def _read_hosts(state_store: StateStore, name: str, ids: Sequence[str]) -> dict[str, str]:
    """Return the host of the agent of each instance that has one."""
    agents = state_store.read_published(AGENTS)
    owners = {id: (state_store.read(f"{ASSIGNED}/{name}/{id}") or {}).get("owner") for id in ids}
    known = {id: agents.get(str(owner), {}).get("host") for id, owner in owners.items()}
    return {id: make_printable(host) for id, host in known.items() if isinstance(host, str)}


def _find_id(text: str, numbered: Sequence[str], known: set[str]) -> str:
    """Return the id of the instance with this number, or with an id that begins so."""
    if text in known:
        return text
    found = [id for id in known if id.startswith(text)] if len(text) >= SHORTEST_ID else []
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(f"instance {quote(text)} is ambiguous: {', '.join(sorted(found))}")
    if text.isdecimal() and 1 <= int(text) <= len(numbered) and numbered[int(text) - 1] in known:
        return numbered[int(text) - 1]
    raise ValueError(f"unknown instance {quote(text)}: known are {', '.join(sorted(known)) or 'none'}")


def _describe_elsewhere(args: argparse.Namespace, instance: ServiceInstance, host: str | None) -> str:
    """Return a line with the host of an instance and the command to run there."""
    command = f"maas logs {shlex.quote(args.model)} --instance {shlex.quote(instance.id)}"
    begin = f"{instance.model} instance {instance.id} runs on {host or 'an unknown host'}"
    if yarn_logs.is_on_yarn(instance):
        return f"{begin}, in a container of YARN; add --yarn URL, or run: {yarn_logs.suggest_command(instance)}"
    options = "" if args.zk_quorum is None else f" -zq {shlex.quote(args.zk_quorum)}"
    return f"{begin}, and not in {args.registry / CONTAINERS}; run there: {command}{options}"


# --- output


def _show_local(args: argparse.Namespace, selection: Selection) -> None:
    first = list(selection.local)

    def find() -> Sequence[InstanceDirectory]:
        if first:  # selected above
            found, first[:] = list(first), []
            return found
        found = find_instances(args.registry, selection.name, selection.version)
        return [each for each in found if not each.failed and selection.id in (None, each.id)]

    follower = Follower(find, [RUNNER_LOG] if args.runner else [OUTPUT, ERRORS])
    writer = LogWriter(args.out, prefixed=len(selection.local) > 1 or (args.follow and selection.id is None))
    writer.write(read_history(follower.streams, args.tail))
    while args.follow:
        writer.write(follower.read_new())
        for stream in follower.take_lost():
            log.warning("%s %s: a full file was removed before it was read", stream.instance.id, stream.name)
        sleep(FOLLOW_SECONDS)
    for stream in follower.streams:
        writer.write(stream.end_line())
        stream.close()


@dataclass(frozen=True)
class LogWriter:
    """Writes lines of logs.

    prefixed: begin each line with the instance and the name of its log
    """

    out: Output
    prefixed: bool

    def write(self, lines: Iterator[LogLine]) -> None:
        for line in lines:
            instance = line.instance
            fields: dict[str, Any] = {**instance.model._asdict(), "instance": instance.id, "failed": instance.failed}
            failed = " (failed)" if instance.failed else ""
            self.write_line(f"{instance.id}{failed}", line.stream, line.text, fields)
        sys.stdout.flush()

    def write_line(self, source: str, stream: str, text: str, fields: dict[str, Any]) -> None:
        prefix = f"{source} {stream} | " if self.prefixed else ""
        shown = make_printable(_COLORS.sub("", text)) if sys.stdout.isatty() else text
        self.out.stream(prefix + shown, **fields, stream=stream, line=text)


def _show_yarn(args: argparse.Namespace, instances: Sequence[ServiceInstance]) -> None:
    if args.follow:
        raise ValueError("-f cannot follow instances on YARN; leave it out")
    writer = LogWriter(args.out, prefixed=len(instances) > 1)
    for instance, stream, text in yarn_logs.read_logs(args, instances):
        fields = {**instance.model._asdict(), "instance": instance.id, "failed": False}
        for line in _take_last(text.removesuffix("\n").split("\n"), args.tail):
            writer.write_line(instance.id, stream, line, fields)


def _take_last(lines: list[str], count: int | None) -> list[str]:
    return lines if count is None else lines[max(0, len(lines) - count) :]
