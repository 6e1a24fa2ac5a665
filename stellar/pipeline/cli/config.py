"""`stellar-pipeline config`: pushes configurations to ZooKeeper, and pulls, shows and changes them there."""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stellar.java.jackson import read_first_value
from stellar.language.errors import ConfigError
from stellar.pipeline.command_line import FAILED, OK, print_error
from stellar.stores.configurations import KINDS, describe_path, has_sensors
from stellar.util.abbreviate import quote

if TYPE_CHECKING:
    from stellar.pipeline.cluster_tools import Cluster, ConfigurationSelection

log = logging.getLogger(__name__)

DESCRIPTION = (
    "Push the configurations of a directory to ZooKeeper, where running pipelines and Metron's topologies follow them, "
    "or pull, show, check, change or delete them there. Everything is checked before anything is stored, and several "
    "configurations are stored in one transaction."
)
EXIT_STATUS = """\
exit status: 0 if all is done; 1 for an error, after which nothing was stored; 2 for invalid options"""

_ZOOKEEPER_HELP = "the ZooKeeper servers; a path at the end, as in node1:2181/a, is the root of all other paths"
_FORCE_PUSH_HELP = (
    "store configurations that are valid but cannot be used here, such as one with a parser or function of another "
    "installation"
)
_PATCH_HELP = "file with a list of operations: JSON Patch, RFC 6902"
_KEY_HELP = "the value to add, replace or remove, as a JSON Pointer such as /parserConfig/grokPath"
_VALUE_HELP = "the new value as JSON, such as 5 or '\"text\"'; without it, the value is removed"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    actions = parser.add_subparsers(title="actions", required=True, metavar="action", dest="action")
    push = _add_action(actions, "push", push_directory, "store the configurations of a directory")
    push.add_argument("directory", metavar="DIR", type=Path, help="directory with global.json, parsers/ and so on")
    push.add_argument("--force", action="store_true", help=_FORCE_PUSH_HELP)
    push.add_argument("--dry-run", action="store_true", help="check them and show the changes, but store nothing")
    pull = _add_action(actions, "pull", pull_directory, "write configurations to a directory")
    pull.add_argument("directory", metavar="DIR", type=Path, help="directory, which is created if it does not exist")
    pull.add_argument("--force", action="store_true", help="replace existing files")
    _add_action(actions, "dump", dump, "print configurations")
    check_ = _add_action(actions, "check", check, "check stored configurations, and compile all their expressions")
    check_.add_argument("--patterns", metavar="DIR", type=Path, help="directory in which the files of grokPath are")
    patch = _add_action(actions, "patch", _patch, "change values of a configuration", one=True)
    what = patch.add_mutually_exclusive_group(required=True)
    what.add_argument("--file", metavar="FILE", type=Path, help=_PATCH_HELP)
    what.add_argument("--key", metavar="POINTER", help=_KEY_HELP)
    patch.add_argument("--value", metavar="JSON", help=_VALUE_HELP)
    patch.add_argument("--force", action="store_true", help=_FORCE_PUSH_HELP)
    delete_ = _add_action(actions, "delete", delete, "delete a configuration", one=True)
    delete_.add_argument("--force", action="store_true", help="succeed if it does not exist")


def _add_action(
    actions: Any, name: str, act: Callable[[argparse.Namespace], int], summary: str, *, one: bool = False
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(name, help=summary, description=f"{summary.capitalize()}.")
    add = parser.add_argument
    add("-z", "--zookeeper", required=True, metavar="HOST:PORT,...", help=_ZOOKEEPER_HELP)
    add("-c", "--type", dest="kind", metavar="TYPE", required=one, help=f"{', '.join(KINDS)}, in any case")
    add("-n", "--name", dest="sensor", metavar="SENSOR", help="the sensor, for PARSER, ENRICHMENT and INDEXING")
    add("--debug", action="store_true", help="print the Python traceback of an error")
    parser.set_defaults(act=act, dry_run=False)
    return parser


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    options.kind = options.kind and options.kind.upper()
    status: int = options.act(options)
    return status


@contextmanager
def open_cluster(options: argparse.Namespace) -> Iterator[Cluster]:
    """Connect to the configurations in ZooKeeper. Raises OSError or ValueError if that is not possible."""
    from stellar.pipeline.cluster_tools import Cluster  # loads kazoo
    from stellar.repl.models import connect_zookeeper

    zookeeper = connect_zookeeper(options.zookeeper)
    try:
        yield Cluster(zookeeper)
    finally:
        zookeeper.close()


def read_selection(options: argparse.Namespace) -> ConfigurationSelection:
    """Return the configurations that options select. Raises ValueError for an invalid selection."""
    from stellar.pipeline.cluster_tools import ConfigurationSelection

    if options.kind is not None:
        _check_kind(options.kind)
        if not has_sensors(options.kind) and options.sensor == describe_path(options.kind):
            return ConfigurationSelection(options.kind)  # `-c GLOBAL -n global`, the name that is printed
    if options.sensor is not None and (options.kind is None or not has_sensors(options.kind)):
        raise ValueError(
            f"the name {quote(options.sensor)} needs the type PARSER, ENRICHMENT or INDEXING, which have one "
            "configuration for each sensor; add -c"
        )
    return ConfigurationSelection(options.kind, options.sensor)


def _check_kind(kind: str) -> None:
    if kind not in KINDS:
        raise ValueError(f"unknown type of configuration {quote(kind)}; expected one of {', '.join(KINDS)}")


def push_directory(options: argparse.Namespace) -> int:
    """Store the configurations of a directory in ZooKeeper, and return the exit status."""
    from stellar.pipeline.cluster_tools import read_directory

    selection = read_selection(options)
    new = read_directory(options.directory, selection)
    with open_cluster(options) as cluster:
        try:
            changes = cluster.push(new, options.directory, force=options.force, dry_run=options.dry_run)
        except ConfigError as error:
            return _refuse(options, error)
    for change in changes:
        print(f"{change.path}: {change.effect}")
    if options.dry_run:
        print("nothing was stored, because of --dry-run")
    return OK


def _refuse(options: argparse.Namespace, error: ConfigError) -> int:
    if options.debug:
        raise error
    print_error(options.prog, error)
    print_error(options.prog, ValueError("nothing was stored"))
    return FAILED


def pull_directory(options: argparse.Namespace) -> int:
    """Write configurations in ZooKeeper to a directory, and return the exit status."""
    selection = read_selection(options)
    with open_cluster(options) as cluster:
        for file in cluster.pull(options.directory, selection, force=options.force):
            print(file)
    return OK


def dump(options: argparse.Namespace) -> int:
    """Print configurations in ZooKeeper, and return the exit status: 1 if any is invalid."""
    from stellar.pipeline.cluster_tools import find_errors

    selection, status = read_selection(options), OK
    with open_cluster(options) as cluster:
        for found in cluster.select(selection):
            print(f"{found.kind} Config: {found.name}\n{found.data.decode('utf-8', 'replace')}", flush=True)
            for error in find_errors(found, cluster.origin):
                print_error(options.prog, error)
                status = FAILED
    return status


def check(options: argparse.Namespace) -> int:
    """Check configurations in ZooKeeper, and return the exit status: 1 if one has an error."""
    from stellar.pipeline.cluster_tools import check_stored

    selection, status = read_selection(options), OK
    with open_cluster(options) as cluster:
        snapshot = cluster.read()
        for found in cluster.select(selection):
            result = check_stored(found, snapshot, options.patterns)
            for warning in result.warnings:
                log.warning("%s", warning)
            for error in result.errors:
                print_error(options.prog, error)
                status = FAILED
            if not result.errors:
                print(f"{found.path}: valid", flush=True)
    return status


def _patch(options: argparse.Namespace) -> int:
    if options.file is not None:
        if options.value is not None:
            raise ValueError("--value has no effect with --file; add the value to the file")
        return patch(options, read_patch(options.file))
    operation = "remove" if options.value is None else "add"
    return patch(options, [make_operation(operation, options.key, options.value)])


def patch(options: argparse.Namespace, operations: Any) -> int:
    """Apply a JSON Patch to a configuration in ZooKeeper, and return the exit status."""
    kind, sensor = read_one(options)
    with open_cluster(options) as cluster:
        try:
            cluster.patch(kind, sensor, operations, force=options.force)
        except ConfigError as error:
            return _refuse(options, error)
    return OK


def delete(options: argparse.Namespace) -> int:
    """Delete a configuration in ZooKeeper, and return the exit status."""
    kind, sensor = read_one(options)
    with open_cluster(options) as cluster:
        cluster.delete(kind, sensor, force=options.force)
    return OK


def read_one(options: argparse.Namespace) -> tuple[str, str | None]:
    """Return the kind and the sensor of the one configuration that options select. Raises ValueError."""
    _check_kind(options.kind)
    if has_sensors(options.kind) and options.sensor is None:
        raise ValueError(f"a configuration of the type {options.kind} needs the name of a sensor; add -n")
    selection = read_selection(options)
    return options.kind, selection.sensor


def read_patch(file: Path) -> Any:
    """Return the JSON Patch in a file. Raises OSError or ValueError."""
    try:
        return _parse_json(file.read_bytes().decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: invalid UTF-8 at byte {error.start}; save the file as UTF-8") from None
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error


def make_operation(operation: str, key: str, value: str | None) -> Mapping[str, Any]:
    """Return an operation of a JSON Patch; value is JSON. Raises ValueError if it is not."""
    if value is None:
        return {"op": operation, "path": key}
    try:
        return {"op": operation, "path": key, "value": _parse_json(value)}
    except ValueError as error:
        raise ValueError(
            f"invalid value {quote(value, 80)}: {error}; a string needs quotes, as in '\"text\"'"
        ) from error


def _parse_json(text: str) -> Any:
    try:
        value, rest = read_first_value(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"invalid JSON: {error.msg} at line {error.lineno}, column {error.colno}") from error
    if rest:
        raise ValueError(f"invalid JSON: unexpected {quote(rest, 40)} after the value")
    return value
