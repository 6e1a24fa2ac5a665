"""Looks whether all is there that models need to be deployed, run and found, and says the mend of what is not.

A check is a function that yields what it finds; `CHECKS` lists them. What a check writes to try it out, it takes away.
"""

from __future__ import annotations

import argparse
import ipaddress
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import httpx
from kazoo import exceptions as refusals
from kazoo.client import KazooClient
from kazoo.security import OPEN_ACL_UNSAFE

from maas_runtime.deployers.yarn.rest import CLUSTER, SERVICES, checked_url
from maas_runtime.runner.processes import PROC
from maas_runtime.state import backend as places
from maas_runtime.state.backend import Backend
from maas_runtime.store import options as stores
from stellar.maas.probe import find_unreachable, probe_url
from stellar.maas.schema import MaaSConfig
from stellar.maas.zookeeper import ZooKeeper, ZooKeeperSettings, read_config
from stellar.net.hadoop.webhdfs import WebHdfs

MB = 1 << 20
LITTLE_MB, TOO_LITTLE_MB = 1000, 50
MOST_SKEW_SECONDS = 5.0
MOST_NAMED = 5
YARN_SECONDS = 5.0


class Finding(NamedTuple):
    """What was found, and what to do about it."""

    state: Literal["ok", "warn", "fail"]
    found: str
    mend: str = ""


def ok(found: str) -> Finding:
    return Finding("ok", found)


def warn(found: str, mend: str) -> Finding:
    return Finding("warn", found, mend)


def fail(found: str, mend: str) -> Finding:
    return Finding("fail", found, mend)


@dataclass(frozen=True)
class Subject:
    """What is looked at.

    hosts: the ZooKeeper, if there is one; `client` is the file that tells how to speak with it
    host: the name by which others are to reach this machine
    yarn, queue: the addresses of YARN's resource managers, and the queue there
    hdfs: connects to the model store, if that is in HDFS
    """

    directory: Path
    store: Path
    config_path: str
    hosts: str | None = None
    client: Path | None = None
    host: str = "127.0.0.1"
    yarn: Sequence[str] = ()
    queue: str = "default"
    hdfs: Callable[[], WebHdfs] | None = None


# --- Python and the programs that scripts need


def python(_: Subject) -> Iterator[Finding]:
    yield ok(f"{sys.version.split()[0]} at {sys.executable}")
    if shutil.which("sh") is None:
        yield fail("there is no sh", "install one, and have it on PATH")
    for program, why in (
        ("bash", "scripts often begin with #!/bin/bash"),
        ("python3", "scripts often start a model with it"),
    ):
        if shutil.which(program) is None:
            yield warn(
                f"there is no {program}; {why}", f"install it, or have it on PATH, which is {os.get_exec_path()}"
            )
    if not PROC.is_dir():
        yield warn("this system has no /proc", "memory is not limited here; run models on Linux to have it limited")


# --- directories


def directory(subject: Subject) -> Iterator[Finding]:
    place = _existing(subject.directory)
    if not place.is_dir():
        yield fail(f"{place} is in the way", "move it away, or name another place with --registry")
        return
    if not os.access(place, os.W_OK | os.X_OK, effective_ids=True):
        yield fail(f"{place} can't be written to", f"chown {_who()} {place}, or name another place with --registry")
        return
    if place != subject.directory:
        yield ok(f"{subject.directory} will be made when it is needed")
        return
    mode = stat.S_IMODE(place.stat().st_mode)
    if mode & 0o022:
        yield warn(
            f"others may write to {place} ({mode:04o}), and who does can have programs run as {_who()}",
            f"chmod go-w {place}",
        )
    else:
        yield ok(f"{place} can be written to, by its owner alone")


def programs(subject: Subject) -> Iterator[Finding]:
    """Whether a script can be run where the containers are: a filesystem may forbid it."""
    place = _existing(subject.directory)
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK, effective_ids=True):
        return  # that is said already
    with tempfile.TemporaryDirectory(prefix=".doctor-", dir=place) as folder:
        script = Path(folder, "rest.sh")
        script.write_text("#!/bin/sh\nexit 7\n")
        script.chmod(0o700)
        try:
            status = subprocess.run([script], check=False, timeout=10).returncode
        except (OSError, subprocess.TimeoutExpired) as error:
            status, why = -1, str(error)
        else:
            why = f"a script ended with {status} and not with 7"
    if status == 7:
        yield ok("scripts can be run there")
    else:
        yield fail(f"no script can be run there: {why}", "is it mounted noexec? Name another place with --registry")


def store(subject: Subject) -> Iterator[Finding]:
    if subject.hdfs is not None:
        yield from _store_in_hdfs(subject.hdfs)
        return
    place = _existing(subject.store)
    if not place.is_dir():
        yield fail(f"{place} is in the way of the model store", "move it away, or name another place with --store")
    elif not os.access(place, os.W_OK | os.X_OK | os.R_OK, effective_ids=True):
        yield fail(f"{place} can't be read and written", f"chown {_who()} {place}, or name another place with --store")
    elif place != subject.store:
        yield ok(f"{subject.store} will be made by the first upload")
    else:
        yield ok(f"{place} can be read and written")


def _store_in_hdfs(connect: Callable[[], WebHdfs]) -> Iterator[Finding]:
    try:
        with connect() as hdfs:
            where, home = hdfs.uri or hdfs.urls[0], hdfs.home()
            if hdfs.status(home) is None:
                yield fail(
                    f"HDFS at {where} has no home directory {home}",
                    f"as HDFS' administrator: hdfs dfs -mkdir -p {home}; hdfs dfs -chown {hdfs.user} {home}",
                )
                return
            probe = f"{home}/.maas-doctor-{uuid.uuid4().hex}"
            hdfs.write(probe, b"")
            hdfs.delete(probe)
    except PermissionError as error:
        yield fail(str(error), "let us write there, or say who we are: --principal and --keytab, or kinit")
    except (OSError, ValueError) as error:
        yield fail(f"the model store: {error}", "start HDFS, or name another store with --store")
    else:
        yield ok(f"HDFS at {where}: {home} can be read and written")


def room(subject: Subject) -> Iterator[Finding]:
    for place in dict.fromkeys(_existing(folder) for folder in (subject.directory, subject.store)):
        system = os.statvfs(place)
        free = system.f_bavail * system.f_frsize // MB
        found = f"{free:,} MB are free at {place}"
        mend = "make room: models' files and what they print are kept there"
        if free < TOO_LITTLE_MB:
            yield fail(found, mend)
        elif free < LITTLE_MB:
            yield warn(found, mend)
        else:
            yield ok(found)
        if system.f_files and not system.f_favail:
            yield fail(f"no more files can be made at {place}: it has no inodes left", "remove files there")


def _existing(place: Path) -> Path:
    """The place, or what is above it, as far as it is there."""
    while not place.exists():
        place = place.parent
    return place


def _who() -> str:
    return str(os.geteuid())


# --- ports and names


def ports(subject: Subject) -> Iterator[Finding]:
    try:
        server = socket.create_server(("0.0.0.0", 0))
    except OSError as error:
        yield fail(f"no port can be opened: {error}", "models need one each; look for limits of this user or machine")
        return
    with server:
        yield from _by_name(subject, server.getsockname()[1])


def _by_name(subject: Subject, port: int) -> Iterator[Finding]:
    """Whether a server here is reached by the machine's name."""
    try:
        addresses = {str(info[4][0]) for info in socket.getaddrinfo(subject.host, port, socket.AF_INET)}
    except (OSError, UnicodeError) as error:
        yield fail(f"{subject.host} is no name or address: {error}", "give a name that all callers know with --host")
        return
    if probe_url(f"http://{subject.host}:{port}") != "listens":
        yield fail(
            f"a server on this machine is not reached as {subject.host} ({', '.join(sorted(addresses))})",
            "give a name of this machine with --host, and let its firewall pass",
        )
    elif subject.hosts and all(ipaddress.ip_address(address).is_loopback for address in addresses):
        yield warn(
            f"{subject.host} is this machine for itself alone; callers on others would ask themselves",
            f"give a name that all callers know, as in --host {socket.getfqdn()}",
        )
    else:
        yield ok(f"servers on this machine are reached as {subject.host}")


# --- ZooKeeper


def zookeeper(subject: Subject) -> Iterator[Finding]:
    if subject.hosts is None:
        return
    try:
        settings = ZooKeeperSettings.read(subject.hosts, subject.client)
        connection = ZooKeeper(settings)
    except PermissionError as error:
        yield fail(str(error), "correct user and password, or sasl, in the file of --zk-client")
        return
    except ConnectionError as error:
        yield fail(str(error), "start it, correct -zq, or let a firewall pass")
        return
    with connection:
        session = f"session {connection.session or 0:#x} of {settings.session_seconds:g} s"
        yield ok(f"{_version(connection.client)} at {subject.hosts}, {session}")
        try:
            config = read_config(connection, subject.config_path)
        except ValueError as error:
            yield fail(str(error), f"write it anew, as {MaaSConfig().to_json().decode()}, or name another with -zr")
            return
        yield ok(f"the queue is at {config.queue_path}, registrations are at {config.service_root}")
        for path in (config.queue_path, config.service_root, config.ext_root):
            yield from _may_write(connection, path)
        yield from _open_to_all(connection, config.queue_path)
        yield from _skew(connection)


def _version(client: KazooClient) -> str:
    """What the server says of itself, if it is allowed to."""
    with suppress(OSError, refusals.KazooException):
        for line in client.command(b"srvr").splitlines():
            if line.startswith("Zookeeper version: "):
                return f"ZooKeeper {line.split()[2].split('-')[0].rstrip(',')}"
    return "a ZooKeeper that does not say its version"


def _may_write(connection: ZooKeeper, path: str) -> Iterator[Finding]:
    """Whether something can be made below a path: all but done, for a queue's items would be taken at once."""
    above = path
    while above != "/" and not _exists(connection, above):
        above = above.rpartition("/")[0] or "/"
    transaction = connection.client.transaction()
    transaction.create(f"{above.rstrip('/')}/doctor-{os.getpid()}", b"", OPEN_ACL_UNSAFE, ephemeral=True)
    transaction.check("/", 1 << 30)  # never so, and then nothing is done
    first = connection.end(transaction.commit_async())[0]
    if isinstance(first, refusals.RolledBackError):
        yield ok(f"{path} can be written to")
    elif isinstance(first, refusals.NoAuthError):
        yield fail(f"{above} can't be written to", f"give us the right to create there: setAcl {above} …:cdrwa")
    else:
        yield fail(f"{above} can't be written to: {first!r}", "nothing can stand below an ephemeral node: delete it")


def _exists(connection: ZooKeeper, path: str) -> bool:
    try:
        return connection.request("exists", path) is not None
    except PermissionError:  # newer servers do not even tell that, and not of what is not there
        return True


def _open_to_all(connection: ZooKeeper, queue: str) -> Iterator[Finding]:
    with suppress(refusals.NoNodeError, PermissionError):  # what we may not even read is not open to all
        acls, _ = connection.request("get_acls", queue)
        if any(acl.id.scheme == "world" and "CREATE" in _rights(acl.acl_list) for acl in acls):
            yield warn(
                f"everyone who reaches ZooKeeper may write to {queue}, and so have programs run",
                'set "others" and who we are in the file of --zk-client, before the queue is made, or setAcl it',
            )


def _rights(named: Sequence[str]) -> set[str]:
    return {"CREATE"} if "ALL" in named or "CREATE" in named else set()


def _skew(connection: ZooKeeper) -> Iterator[Finding]:
    """How far the server's clock is from ours."""
    try:
        path = connection.request("create", "/doctor-", b"", ephemeral=True, sequence=True)
    except OSError:
        return  # its root is not ours to write to
    before = time.time()
    made = connection.request("exists", path).ctime / 1000
    connection.delete(path)
    if abs(made - before) > MOST_SKEW_SECONDS:
        yield warn(
            f"the clocks of ZooKeeper and of this machine are {abs(made - before):.0f} s apart", "run NTP on both"
        )
    else:
        yield ok("its clock and ours agree")


# --- who is there


def service(subject: Subject, place: Backend) -> Iterator[Finding]:
    if place.notes.is_led():
        yield ok("one runs")
    else:
        where = f" -zq {subject.hosts}" if subject.hosts else ""
        yield warn("none runs, so requests wait", f"start one: maas serve{where}")


def registrations(_: Subject, place: Backend) -> Iterator[Finding]:
    instances = place.registry.instances()
    lost = find_unreachable(instances)
    yield ok(f"{len(instances) - len(lost)} of {len(instances)} registered instances listen")
    for lasting, mend in (
        (True, "maas deploy --prune removes those that refuse, --prune=unreachable the others too"),
        (False, "if they stay, look at the logs of their runners"),
    ):
        if named := [f"{i.model} at {i.url} ({why})" for i, why in lost if i.lasting is lasting]:
            more = f" and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
            kind = "lasting" if lasting else "ephemeral"
            yield warn(f"nobody listens at these {kind} entries: {', '.join(named[:MOST_NAMED])}{more}", mend)


# --- YARN


def yarn(subject: Subject) -> Iterator[Finding]:
    """One of its resource managers is active, and has what services of models need."""
    with httpx.Client(timeout=YARN_SECONDS, trust_env=False) as client:
        for url in map(checked_url, subject.yarn):
            try:
                info = _told(client, url + CLUSTER + "/info", "clusterInfo")
            except ValueError as error:
                yield fail(f"{url}: {error}", "start it, or correct --yarn: the address of its web interface")
                continue
            if info.get("haState") != "ACTIVE" or info.get("state") != "STARTED":
                yield ok(f"{url} is {info.get('haState')} and {info.get('state')}, for another to step in")
                continue
            yield ok(f"Hadoop {info.get('hadoopVersion')} at {url}")
            yield from _services(client, url)
            yield from _queue(client, url, subject.queue)


def _services(client: httpx.Client, url: str) -> Iterator[Finding]:
    try:
        _told(client, f"{url}{SERVICES}/version")
    except ValueError as error:
        yield fail(
            f"it runs no services for us: {error}",
            "set yarn.webapp.api-service.enable to true in its yarn-site.xml, and start it anew",
        )
    else:
        yield ok("it runs services")


def _queue(client: httpx.Client, url: str, name: str) -> Iterator[Finding]:
    try:
        queues = _leaves(_told(client, f"{url}{CLUSTER}/scheduler", "scheduler", "schedulerInfo"))
        nodes = _told(client, f"{url}{CLUSTER}/nodes?states=RUNNING", "nodes").get("node") or []
    except ValueError as error:
        yield warn(f"its queues and nodes are not told: {error}", "look whether we may see them")
        return
    queue = queues.get(name)
    if queue is None:
        yield fail(f"it has no queue {name}", f"name one of these with -q: {', '.join(sorted(queues))}")
        return
    if queue.get("state", "RUNNING") != "RUNNING":
        yield fail(f"its queue {name} is {queue['state']}", "have it started, or name another with -q")
    if not nodes:
        yield fail("it has no node that runs", "start its node managers")
        return
    largest = max(int(node.get("availMemoryMB", 0)) + int(node.get("usedMemoryMB", 0)) for node in nodes)
    allowed = int((queue.get("maximumAllocation") or {}).get("memory", largest))
    yield ok(f"queue {name}: {len(nodes)} nodes, and {min(largest, allowed):,} MB for the largest container (-m)")


def _leaves(queue: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The queues that take something, by their names."""
    below = ((queue.get("queues") or {}).get("queue")) or []
    if not below:
        return {str(queue.get("queueName")): queue}
    return {name: leaf for each in below for name, leaf in _leaves(each).items()}


def _told(client: httpx.Client, url: str, *keys: str) -> dict[str, Any]:
    """A JSON object that YARN gives, or what is in it.

    Raises ValueError for anything else.
    """
    try:
        answer = client.get(url)
        told = answer.json() if answer.status_code == 200 else None
    except httpx.HTTPError as error:
        raise ValueError(f"it can't be reached: {error or type(error).__name__}") from None
    except ValueError:
        told = None
    for key in keys:
        told = told.get(key) if isinstance(told, dict) else None
    if not isinstance(told, dict):
        raise ValueError(f"it answers {answer.status_code}, and not as YARN does")
    return told


# --- all of them

Check = Callable[[Subject], Iterator[Finding]]

CHECKS: tuple[tuple[str, Check], ...] = (
    ("Python", python),
    ("directory", directory),
    ("scripts", programs),
    ("store", store),
    ("room", room),
    ("ports", ports),
    ("ZooKeeper", zookeeper),
    ("YARN", yarn),
)
# Those that need registry, queue and notes to be there
WITH_PLACE: tuple[tuple[str, Callable[[Subject, Backend], Iterator[Finding]]], ...] = (
    ("service", service),
    ("models", registrations),
)


def examine(subject: Subject) -> Iterator[tuple[str, Finding]]:
    """All that is found, with the name of the check that found it."""
    can_be_opened = True
    for name, check in CHECKS:
        for finding in _carefully(check(subject)):
            can_be_opened = can_be_opened and (name, finding.state) != ("ZooKeeper", "fail")
            yield name, finding
    if not can_be_opened:
        return
    try:
        with _opened(subject) as place:
            for name, with_place in WITH_PLACE:
                for finding in _carefully(with_place(subject, place)):
                    yield name, finding
    except (OSError, ValueError) as error:
        yield "registry", fail(str(error), AS_SAID)


AS_SAID = "mend what it says, and look again"


def _carefully(findings: Iterator[Finding]) -> Iterator[Finding]:
    """What a check finds; what keeps it from looking is a finding too."""
    try:
        yield from findings
    except (OSError, ValueError) as error:
        yield fail(str(error), AS_SAID)


def _opened(subject: Subject) -> AbstractContextManager[Backend]:
    if subject.hosts is None:
        return places.directory(subject.directory, subject.config_path)
    return places.zookeeper(subject.hosts, subject.client, subject.config_path)


# --- the command

EXAMPLES = """examples:
  maas doctor
  maas doctor -zq node1:2181 --host node7
  maas doctor -zq node1:2181 --yarn http://node2:8088 -q models
"""


def describe(parser: argparse.ArgumentParser) -> None:
    """Add the options that `maas doctor` has beside the common ones."""
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="the name by which clients reach this machine (default %(default)s)")
    add("--yarn", action="append", default=[], metavar="URL", help="a resource manager of YARN, http://node1:8088")
    add("-q", "--queue", default="default", metavar="NAME", help="YARN's queue for models (default %(default)s)")


def run(given: argparse.Namespace) -> int:
    """Print what is found; 1 if something fails."""
    subject = Subject(
        given.registry.absolute(),
        given.registry.absolute() if stores.in_hdfs(given) else Path(stores.elsewhere(given)),
        given.zk_root,
        given.zk_quorum,
        given.zk_client,
        given.host,
        given.yarn,
        given.queue,
        partial(stores.hdfs, given) if stores.in_hdfs(given) else None,
    )
    worst = 0
    for name, (state, found, mend) in examine(subject):
        print(f"{state:4}  {name:9}  {_printable(found)}")
        if mend:
            print(f"{'':4}  {'':9}  mend: {_printable(mend)}")
        worst = max(worst, state == "fail")
    return worst


def _printable(text: str) -> str:
    """Fit for a terminal: some of it was written by others."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
