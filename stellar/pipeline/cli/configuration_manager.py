"""Metron's command zk_load_configs.sh."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from stellar.pipeline.cli.config import (
    delete,
    dump,
    make_operation,
    patch,
    pull_directory,
    push_directory,
    read_patch,
)
from stellar.pipeline.command_line import MAX_SHOWN, run_parsed
from stellar.util.abbreviate import quote
from stellar.util.version import add_version

_NAME = "zk_load_configs.sh"  # Metron's usage has another one
_INVALID_OPTIONS = 255
_DESCRIPTION = (
    "Push configurations from a directory to ZooKeeper, or pull, show, change or delete them there. Everything is "
    "checked before anything is stored."
)
_FORCE_HELP = (
    "PULL: replace existing files. PUSH and PATCH: store configurations that are valid but cannot be used here. "
    "DELETE: succeed if there is none"
)


class ConfigurationManagerParser(argparse.ArgumentParser):
    """A parser that exits with the status of Metron's command for invalid options."""

    def error(self, message: str) -> NoReturn:
        """Print the usage and an error, and exit."""
        self.print_usage(sys.stderr)
        self.exit(_INVALID_OPTIONS, f"{_NAME}: {message}\n")


def zk_load_configs(arguments: Sequence[str] | None = None) -> int:
    """Run Metron's command `zk_load_configs.sh` and return its exit status."""
    parser = ConfigurationManagerParser(
        "configuration_manager", description=_DESCRIPTION, allow_abbrev=False, add_help=False
    )
    add = parser.add_argument
    add("-h", "--help", action="help", help="show this help and exit")
    add_version(parser)
    add("-z", "--zk_quorum", dest="zookeeper", required=True, metavar="HOST:PORT,...", help="ZooKeeper servers")
    add("-m", "--mode", required=True, metavar="MODE", help="DUMP, PULL, PUSH, PATCH or DELETE")
    add("-i", "--input_dir", metavar="DIR", type=_read_path, help="PUSH: directory with the configurations")
    add("-o", "--output_dir", metavar="DIR", type=_read_path, help="PULL: directory for the configurations")
    add("-f", "--force", action="store_true", help=_FORCE_HELP)
    add("-c", "--config_type", dest="kind", metavar="TYPE", help="GLOBAL, PARSER, ENRICHMENT, INDEXING or PROFILER")
    add("-n", "--config_name", dest="sensor", metavar="NAME", help="the sensor")
    add("-pf", "--patch_file", metavar="FILE", type=Path, help="PATCH: file with a JSON Patch (RFC 6902)")
    add("-pk", "--patch_key", metavar="KEY", help="PATCH: JSON Pointer of the value to add or remove")
    add("-pm", "--patch_mode", metavar="MODE", help="PATCH: ADD (the default) or REMOVE")
    add("-pv", "--patch_value", metavar="VALUE", help="PATCH: the value to add, as JSON")
    parser.set_defaults(run=_run, prog=_NAME, max_warnings=MAX_SHOWN, debug=False, dry_run=False)
    return run_parsed(_NAME, parser.parse_args(sys.argv[1:] if arguments is None else arguments))


def _read_path(text: str) -> Path | None:
    return Path(text) if text else None


def _run(options: argparse.Namespace) -> int:
    act = _MODES.get(options.mode.lower())
    if act is None:
        raise ValueError(f"Invalid mode: {options.mode} expected DUMP, PULL, PUSH, or PATCH")
    return act(options)


def _push(options: argparse.Namespace) -> int:
    if options.input_dir is None:
        raise ValueError("Input directory is required when performing a PUSH operation.")
    options.directory = options.input_dir
    return push_directory(options)


def _pull(options: argparse.Namespace) -> int:
    if options.output_dir is None:
        raise ValueError("Output directory is required when performing a PULL operation.")
    options.directory = options.output_dir
    return pull_directory(options)


def _patch(options: argparse.Namespace) -> int:
    if options.kind is None:
        raise ValueError("Patch requires config type")
    return patch(options, _read_operations(options))


def _read_operations(options: argparse.Namespace) -> Any:
    if options.patch_file is not None:
        if options.patch_key is not None or options.patch_value is not None or options.patch_mode is not None:
            raise ValueError("-pk, -pm and -pv have no effect with -pf; remove them, or -pf")
        return read_patch(options.patch_file)
    mode = (options.patch_mode or "ADD").upper()
    if mode not in ("ADD", "REMOVE"):
        raise ValueError(
            f"Patch mode not supported: {quote(mode, 40)}; use ADD or REMOVE, or a file of operations, -pf"
        )
    if options.patch_key is None:
        raise ValueError("Key is required to apply a patch without a file; add -pk, or -pf with a file of operations")
    if mode == "REMOVE" and options.patch_value is not None:
        raise ValueError("-pv has no effect with the mode REMOVE; remove it")
    if mode == "ADD" and options.patch_value is None:
        raise ValueError("Key and value are required to apply patches without a file; add -pv")
    return [make_operation(mode.lower(), options.patch_key, options.patch_value)]


def _delete(options: argparse.Namespace) -> int:
    if options.kind is None:
        raise ValueError("Delete requires config type; add -c")
    return delete(options)


_MODES: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "push": _push,
    "pull": _pull,
    "dump": dump,
    "patch": _patch,
    "delete": _delete,
}
