"""maas doctor: preflight checks for deploying, running and discovering models, with suggested fixes.

A check is a function that yields results; `CHECKS` lists them. A check removes the files and nodes that it creates.
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

from maas_runtime.cli.common import add_registry_options, describe_registry_options, reject_options
from maas_runtime.cli.output import make_printable
from maas_runtime.deployers.yarn.rest import CLUSTER, SERVICES, validate_url
from maas_runtime.runner.processes import PROC
from maas_runtime.state import backend as backends
from maas_runtime.state.backend import Backend
from maas_runtime.store import options as stores
from stellar.maas.probe import find_unreachable, probe_url
from stellar.maas.schema import MaaSConfig
from stellar.maas.zookeeper import ZooKeeper, ZooKeeperSettings, read_config
from stellar.net.hadoop.webhdfs import WebHdfs
from stellar.util.abbreviate import quote

MB = 1 << 20
LITTLE_MB, TOO_LITTLE_MB = 1000, 50
MOST_SKEW_SECONDS = 5.0
MOST_NAMED = 5
YARN_SECONDS = 5.0


class Diagnosis(NamedTuple):
    """The result of a check, with a suggested fix."""

    state: Literal["ok", "warn", "fail"]
    message: str
    fix: str = ""


def ok(message: str) -> Diagnosis:
    return Diagnosis("ok", message)


def warn(message: str, fix: str) -> Diagnosis:
    return Diagnosis("warn", message, fix)


def fail(message: str, fix: str) -> Diagnosis:
    return Diagnosis("fail", message, fix)


@dataclass(frozen=True)
class CheckTarget:
    """The installation to check.

    hosts: ZooKeeper, if used; `client` is the file with settings of the connection
    host: host name of this machine for clients
    options: the registry's options as given, for commands in suggested fixes
    yarn, queue: URLs of YARN's resource managers, and the queue for models
    hdfs: connects to the model store, if it is in HDFS
    auth: returns the authentication for YARN; None for a YARN without it
    """

    directory: Path
    store: Path
    config_path: str
    hosts: str | None = None
    client: Path | None = None
    host: str = "127.0.0.1"
    options: str = ""
    yarn: Sequence[str] = ()
    queue: str = "default"
    hdfs: Callable[[], WebHdfs] | None = None
    auth: Callable[[], httpx.Auth | None] = lambda: None


# --- Python and the programs that scripts need


def python(_: CheckTarget) -> Iterator[Diagnosis]:
    yield ok(f"{sys.version.split()[0]} at {sys.executable}")
    if shutil.which("sh") is None:
        yield fail("sh not found", "install it, and add it to PATH")
    for program, reason in (
        ("bash", "scripts often begin with #!/bin/bash"),
        ("python3", "scripts often start a model with it"),
    ):
        if shutil.which(program) is None:
            yield warn(
                f"{program} not found; {reason}", f"install it, or add it to PATH, which is {os.get_exec_path()}"
            )
    if not PROC.is_dir():
        yield warn("this system has no /proc", "run models on Linux to limit their memory")


# --- directories


def directory(target: CheckTarget) -> Iterator[Diagnosis]:
    folder = _existing(target.directory)
    if not folder.is_dir():
        yield fail(f"{folder} is not a directory", "rename it, or choose another directory with --registry")
        return
    if not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
        yield fail(
            f"{folder} is not writable", f"chown {_user_id()} {folder}, or choose another directory with --registry"
        )
        return
    if folder != target.directory:
        yield ok(f"{target.directory} will be created when it is needed")
        return
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & 0o022:
        yield warn(
            f"other users can write to {folder} ({mode:04o}), and so run programs as user {_user_id()}",
            f"chmod go-w {folder}",
        )
    else:
        yield ok(f"{folder} is writable, for its owner only")


def programs(target: CheckTarget) -> Iterator[Diagnosis]:
    """Run a script in the directory of the containers: the file system may forbid it."""
    folder = _existing(target.directory)
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
        return  # reported by `directory`
    with tempfile.TemporaryDirectory(prefix=".doctor-", dir=folder) as temporary:
        script = Path(temporary, "rest.sh")
        script.write_text("#!/bin/sh\nexit 7\n")
        script.chmod(0o700)
        try:
            status = subprocess.run([script], check=False, timeout=10).returncode
        except (OSError, subprocess.TimeoutExpired) as error:
            status, reason = -1, str(error)
        else:
            reason = f"expected exit status 7, got {status}"
    if status == 7:
        yield ok("scripts can be executed there")
    else:
        yield fail(
            f"scripts cannot be executed there: {reason}",
            "remount without noexec, or choose another directory with --registry",
        )


def store(target: CheckTarget) -> Iterator[Diagnosis]:
    if target.hdfs is not None:
        yield from _store_in_hdfs(target.hdfs)
        return
    folder = _existing(target.store)
    if not folder.is_dir():
        yield fail(f"{folder} is not a directory", "rename it, or choose another model store with --store")
    elif not os.access(folder, os.W_OK | os.X_OK | os.R_OK, effective_ids=True):
        yield fail(
            f"{folder} is not readable and writable",
            f"chown {_user_id()} {folder}, or choose another model store with --store",
        )
    elif folder != target.store:
        yield ok(f"{target.store} will be created by the first upload")
    else:
        yield ok(f"{folder} is readable and writable")


def _store_in_hdfs(connect: Callable[[], WebHdfs]) -> Iterator[Diagnosis]:
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
        yield fail(str(error), "grant write access, or authenticate with --principal and --keytab, or kinit")
    except (OSError, ValueError) as error:
        yield fail(f"the model store: {error}", "start HDFS, or choose another store with --store")
    else:
        yield ok(f"HDFS at {where}: {home} is readable and writable")


def disk_space(target: CheckTarget) -> Iterator[Diagnosis]:
    for folder in dict.fromkeys(_existing(folder) for folder in (target.directory, target.store)):
        system = os.statvfs(folder)
        free = system.f_bavail * system.f_frsize // MB
        message = f"{free:,} MB free at {folder}"
        fix = "free space: models' files and logs are stored there"
        if free < TOO_LITTLE_MB:
            yield fail(message, fix)
        elif free < LITTLE_MB:
            yield warn(message, fix)
        else:
            yield ok(message)
        if system.f_files and not system.f_favail:
            yield fail(f"no inodes left at {folder}", "remove files there")


def _existing(folder: Path) -> Path:
    """Return the folder, or its nearest existing parent."""
    while not folder.exists():
        folder = folder.parent
    return folder


def _user_id() -> str:
    return str(os.geteuid())


# --- ports and names


def ports(target: CheckTarget) -> Iterator[Diagnosis]:
    try:
        server = socket.create_server(("0.0.0.0", 0))
    except OSError as error:
        yield fail(f"cannot open a port: {error}", "each model needs one; check the limits of this user and machine")
        return
    with server:
        yield from _check_host_name(target, server.getsockname()[1])


def _check_host_name(target: CheckTarget, port: int) -> Iterator[Diagnosis]:
    """Connect to a server on this machine by the name for clients."""
    try:
        addresses = {str(info[4][0]) for info in socket.getaddrinfo(target.host, port, socket.AF_INET)}
    except (OSError, UnicodeError) as error:
        yield fail(f"cannot resolve {target.host}: {error}", "set --host to a name that all clients can resolve")
        return
    if probe_url(f"http://{target.host}:{port}") != "listens":
        yield fail(
            f"a server on this machine is not reachable as {target.host} ({', '.join(sorted(addresses))})",
            "set --host to a name of this machine, and open its firewall",
        )
    elif target.hosts and all(ipaddress.ip_address(address).is_loopback for address in addresses):
        yield warn(
            f"{target.host} is a loopback address; clients on other machines would connect to themselves",
            f"use a name that all clients can resolve, as in --host {socket.getfqdn()}",
        )
    else:
        yield ok(f"servers on this machine are reachable as {target.host}")


# --- ZooKeeper


def zookeeper(target: CheckTarget) -> Iterator[Diagnosis]:
    if target.hosts is None:
        return
    try:
        settings = ZooKeeperSettings.read(target.hosts, target.client)
        connection = ZooKeeper(settings)
    except PermissionError as error:
        yield fail(str(error), "correct user and password, or sasl, in the file of --zk-client")
        return
    except ConnectionError as error:
        yield fail(str(error), "start it, correct -zq, or open a firewall")
        return
    with connection:
        session = f"session {connection.session or 0:#x} of {settings.session_seconds:g} s"
        yield ok(f"{_version(connection.client)} at {target.hosts}, {session}")
        try:
            config = read_config(connection, target.config_path)
        except ValueError as error:
            yield fail(str(error), f"replace it by {MaaSConfig().to_json().decode()}, or choose another with -zr")
            return
        yield ok(f"queue at {config.queue_path}, registrations at {config.service_root}")
        for path in (config.queue_path, config.service_root, config.ext_root):
            yield from _check_writable(connection, path)
        yield from _check_access(connection, config.queue_path)
        yield from _check_clocks(connection)


def _version(client: KazooClient) -> str:
    """Return the version of the server, if it allows `srvr`."""
    with suppress(OSError, refusals.KazooException):
        for line in client.command(b"srvr").splitlines():
            if line.startswith("Zookeeper version: "):
                return f"ZooKeeper {line.split()[2].split('-')[0].rstrip(',')}"
    return "ZooKeeper of unknown version"


def _check_writable(connection: ZooKeeper, path: str) -> Iterator[Diagnosis]:
    """Try to create a node below a path in a transaction that is rolled back, because a queue item would be taken."""
    parent = path
    while parent != "/" and not _exists(connection, parent):
        parent = parent.rpartition("/")[0] or "/"
    transaction = connection.client.transaction()
    transaction.create(f"{parent.rstrip('/')}/doctor-{os.getpid()}", b"", OPEN_ACL_UNSAFE, ephemeral=True)
    transaction.check("/", 1 << 30)  # never true, so the transaction is rolled back
    first = connection.end(transaction.commit_async())[0]
    if isinstance(first, refusals.RolledBackError):
        yield ok(f"{path} is writable")
    elif isinstance(first, refusals.NoAuthError):
        yield fail(f"{parent} is not writable", f"grant the permission to create nodes: setAcl {parent} …:cdrwa")
    else:
        yield fail(f"{parent} is not writable: {quote(first)}", "an ephemeral node cannot have children: delete it")


def _exists(connection: ZooKeeper, path: str) -> bool:
    try:
        return connection.request("exists", path) is not None
    except PermissionError:  # newer servers check permissions here, for existing nodes only
        return True


def _check_access(connection: ZooKeeper, queue: str) -> Iterator[Diagnosis]:
    with suppress(refusals.NoNodeError, PermissionError):  # an unreadable node is not open to all
        acls, _ = connection.request("get_acls", queue)
        if any(acl.id.scheme == "world" and "CREATE" in _permissions(acl.acl_list) for acl in acls):
            yield warn(
                f"any client of ZooKeeper can write to {queue}, and so run programs",
                'set "others" and credentials in the file of --zk-client before the queue is created, or use setAcl',
            )


def _permissions(permissions: Sequence[str]) -> set[str]:
    return {"CREATE"} if "ALL" in permissions or "CREATE" in permissions else set()


def _check_clocks(connection: ZooKeeper) -> Iterator[Diagnosis]:
    """Compare the server's clock with the local one."""
    try:
        path = connection.request("create", "/doctor-", b"", ephemeral=True, sequence=True)
    except OSError:
        return  # the root is not writable
    before = time.time()
    created = connection.request("exists", path).ctime / 1000
    connection.delete(path)
    if abs(created - before) > MOST_SKEW_SECONDS:
        yield warn(
            f"the clocks of ZooKeeper and this machine differ by {abs(created - before):.0f} s", "run NTP on both"
        )
    else:
        yield ok("its clock agrees with this machine's")


# --- service and registrations


def service(target: CheckTarget, backend: Backend) -> Iterator[Diagnosis]:
    if backend.state_store.is_led():
        yield ok("running")
    else:
        yield warn("not running, so requests wait", f"start one: maas serve{target.options}")


def registrations(target: CheckTarget, backend: Backend) -> Iterator[Diagnosis]:
    instances = backend.registry.instances()
    lost = find_unreachable(instances)
    yield ok(f"{len(instances) - len(lost)} of {len(instances)} registered instances accept connections")
    prune = f"maas deploy{target.options} --prune"
    for lasting, fix in (
        (True, f"run {prune} to remove those that refuse, or {prune}=unreachable for the others too"),
        (False, f"if they do not recover, check their logs: maas logs{target.options} NAME"),
    ):
        if lines := [f"{i.model} at {i.url} ({why})" for i, why in lost if i.lasting is lasting]:
            more = f" and {len(lines) - MOST_NAMED} more" if len(lines) > MOST_NAMED else ""
            kind = "lasting" if lasting else "ephemeral"
            yield warn(f"{kind} entries without a server: {', '.join(lines[:MOST_NAMED])}{more}", fix)


# --- YARN


def yarn(target: CheckTarget) -> Iterator[Diagnosis]:
    """Check the resource managers, and the services, queue and nodes of the active one."""
    if not target.yarn:
        return
    with httpx.Client(auth=target.auth(), timeout=YARN_SECONDS, trust_env=False) as client:
        for url in map(validate_url, target.yarn):
            try:
                info = _get_object(client, url + CLUSTER + "/info", "clusterInfo")
            except PermissionError as error:
                yield fail(f"{url}: {error}", "authenticate with --principal and --keytab, or kinit")
                continue
            except ValueError as error:
                yield fail(f"{url}: {error}", "start it, or correct --yarn, the URL of its web interface")
                continue
            if info.get("haState") != "ACTIVE" or info.get("state") != "STARTED":
                yield ok(f"{url} is {info.get('haState')} and {info.get('state')}, a standby")
                continue
            yield ok(f"Hadoop {info.get('hadoopVersion')} at {url}")
            yield from _check_services(client, url)
            yield from _check_queue(client, url, target.queue)


def _check_services(client: httpx.Client, url: str) -> Iterator[Diagnosis]:
    try:
        _get_object(client, f"{url}{SERVICES}/version")
    except ValueError as error:
        yield fail(
            f"YARN services are not available: {error}",
            "set yarn.webapp.api-service.enable to true in its yarn-site.xml, and restart it",
        )
    else:
        yield ok("YARN services are available")


def _check_queue(client: httpx.Client, url: str, name: str) -> Iterator[Diagnosis]:
    try:
        queues = _leaves(_get_object(client, f"{url}{CLUSTER}/scheduler", "scheduler", "schedulerInfo"))
        nodes = _get_object(client, f"{url}{CLUSTER}/nodes?states=RUNNING", "nodes").get("node") or []
    except ValueError as error:
        yield warn(f"cannot read its queues and nodes: {error}", "check the permission to view them")
        return
    queue = queues.get(name)
    if queue is None:
        yield fail(f"unknown queue {name}", f"choose one with -q: {', '.join(sorted(queues))}")
        return
    if queue.get("state", "RUNNING") != "RUNNING":
        yield fail(f"queue {name} is {queue['state']}", "start it, or choose another with -q")
    if not nodes:
        yield fail("no running node", "start its node managers")
        return
    largest = max(int(node.get("availMemoryMB", 0)) + int(node.get("usedMemoryMB", 0)) for node in nodes)
    allowed = int((queue.get("maximumAllocation") or {}).get("memory", largest))
    yield ok(f"queue {name}: {len(nodes)} nodes, largest container {min(largest, allowed):,} MB (-m)")


def _leaves(queue: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the leaf queues by name."""
    below = ((queue.get("queues") or {}).get("queue")) or []
    if not below:
        return {str(queue.get("queueName")): queue}
    return {name: leaf for each in below for name, leaf in _leaves(each).items()}


def _get_object(client: httpx.Client, url: str, *keys: str) -> dict[str, Any]:
    """Return the JSON object of a response of YARN, or the object at `keys` in it.

    Raises PermissionError if the client is not authenticated, ValueError for any other response.
    """
    try:
        response = client.get(url)
        if response.status_code == 401:
            raise PermissionError(f"YARN denied access: {response.reason_phrase}")
        content = response.json() if response.status_code == 200 else None
    except httpx.HTTPError as error:
        raise ValueError(f"connection failed: {error or type(error).__name__}") from None
    except ValueError:
        content = None
    for key in keys:
        content = content.get(key) if isinstance(content, dict) else None
    if not isinstance(content, dict):
        raise ValueError(f"status {response.status_code}, not a response of YARN")
    return content


# --- all of them

Check = Callable[[CheckTarget], Iterator[Diagnosis]]

CHECKS: tuple[tuple[str, Check], ...] = (
    ("Python", python),
    ("directory", directory),
    ("scripts", programs),
    ("store", store),
    ("disk", disk_space),
    ("ports", ports),
    ("ZooKeeper", zookeeper),
    ("YARN", yarn),
)
# Checks that need the registry, queue and state store
BACKEND_CHECKS: tuple[tuple[str, Callable[[CheckTarget, Backend], Iterator[Diagnosis]]], ...] = (
    ("service", service),
    ("models", registrations),
)


def examine(target: CheckTarget) -> Iterator[tuple[str, Diagnosis]]:
    """Run all checks. Yield the name of the check and each of its results."""
    has_zookeeper = True
    for name, check in CHECKS:
        for result in _catch_errors(check(target), target):
            has_zookeeper = has_zookeeper and (name, result.state) != ("ZooKeeper", "fail")
            yield name, result
    if not has_zookeeper:
        return
    try:
        with _open_backend(target) as backend:
            for name, check_backend in BACKEND_CHECKS:
                for result in _catch_errors(check_backend(target, backend), target):
                    yield name, result
    except (OSError, ValueError) as error:
        yield "registry", fail(str(error), _fix_first(target))


def _fix_first(target: CheckTarget) -> str:
    return f"fix this error, and run maas doctor{target.options} again"


def _catch_errors(results: Iterator[Diagnosis], target: CheckTarget) -> Iterator[Diagnosis]:
    """Yield the results of a check; an error that stops it is a result too."""
    try:
        yield from results
    except (OSError, ValueError, ModuleNotFoundError) as error:
        yield fail(str(error), _fix_first(target))


def _open_backend(target: CheckTarget) -> AbstractContextManager[Backend]:
    if target.hosts is None:
        return backends.open_directory(target.directory, target.config_path)
    return backends.open_zookeeper(target.hosts, target.client, target.config_path)


# --- the command

EXAMPLES = """examples:
  maas doctor
  maas doctor -zq node1:2181 --host node7
  maas doctor -zq node1:2181 --yarn http://node2:8088 -q models
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `maas doctor`."""
    add_registry_options(parser, contents="the model store and the containers")
    stores.add_location_options(parser)
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="host name of this machine for clients (default %(default)s)")
    add("--yarn", action="append", default=[], metavar="URL", help="a resource manager of YARN, http://node1:8088")
    add("-q", "--queue", default="default", metavar="NAME", help="YARN's queue for models (default %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Print all results. Return 1 if a check fails, else 0."""
    _check_effects(args)
    states = set()
    for name, (state, message, fix) in examine(_make_target(args)):
        lines = [f"{state:4}  {name:9}  {make_printable(message)}"]
        if fix:
            lines.append(f"{'':4}  {'':9}  fix: {make_printable(fix)}")
        args.out.append("checks", {"check": name, "state": state, "message": message, "fix": fix or None}, *lines)
        states.add(state)
    return int("fail" in states)


def _check_effects(args: argparse.Namespace) -> None:
    if args.zk_quorum is None:
        reject_options(args, "without -zq", "zk_client")
    if not args.yarn:
        reject_options(args, "without --yarn", "queue")
    if not stores.is_in_hdfs(args):
        reject_options(args, "because the model store is not in HDFS", *stores.IDENTITY)


def _make_target(args: argparse.Namespace) -> CheckTarget:
    in_hdfs = stores.is_in_hdfs(args)
    return CheckTarget(
        args.registry.absolute(),
        args.registry.absolute() if in_hdfs else Path(stores.resolve_shared_name(args)),
        args.zk_root,
        args.zk_quorum,
        args.zk_client,
        args.host,
        describe_registry_options(args),
        args.yarn,
        args.queue,
        partial(stores.connect_hdfs, args) if in_hdfs else None,
        partial(stores.make_auth, args),
    )
