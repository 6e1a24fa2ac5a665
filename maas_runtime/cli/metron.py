"""Metron's commands maas_service.sh and maas_deploy.sh."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial

from maas_runtime.cli import background, deploy, serve
from maas_runtime.cli.common import MetronParser, run_command
from maas_runtime.deployers.yarn import cluster
from maas_runtime.deployers.yarn import configuration as hadoop


def maas_deploy(argv: Sequence[str] | None = None) -> int:
    """Run Metron's command `maas_deploy.sh`: `maas deploy` with a required ZooKeeper."""
    parser = MetronParser(
        "maas_deploy.sh",
        description="Add, remove, replace or list instances of a model.",
        allow_abbrev=False,
    )
    parser.set_defaults(command=deploy.run)
    deploy.add_options(parser, quorum_needed=True)
    return run_command("maas_deploy.sh", parser.parse_args(argv))


def maas_service(argv: Sequence[str] | None = None) -> int:
    """Run Metron's command `maas_service.sh`: start `maas serve` with ZooKeeper, and return when it runs.

    It runs on YARN if Hadoop is configured, else in the background of this machine.

    Return 0 when the service runs, 2 if it does not start in time, 1 for invalid options, and 255 for invalid values.
    """
    parser = MetronParser(
        "maas_service.sh",
        description="Start the service that runs the requested models, and return when it runs.",
        allow_abbrev=False,
    )
    parser.set_defaults(command=partial(_start, list(sys.argv[1:] if argv is None else argv)))
    serve.add_options(parser, quorum_needed=True)
    parser.set_defaults(effective=("--timeout",))
    args = parser.parse_args(argv)
    if args.on_yarn or args.yarn is not None or hadoop.find_configuration():
        args.on_yarn, args.command = True, serve.run_on_yarn
    if message := background.find_invalid_value(args):
        print(f"maas_service.sh: {message}", file=sys.stderr)
        return 255
    for line in cluster.explain_ignored_options(args):
        print(f"maas_service.sh: {line}", file=sys.stderr)
    return run_command("maas_service.sh", args)


def _start(arguments: Sequence[str], args: argparse.Namespace) -> int:
    """Start the service in the background of this machine."""
    serve.check_effects(args)
    return background.start(arguments, args)
