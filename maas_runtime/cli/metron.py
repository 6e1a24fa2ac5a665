"""Metron's commands maas_service.sh and maas_deploy.sh."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial

from maas_runtime.cli import background
from maas_runtime.cli.common import (
    CommandParser,
    add_common_options,
    run_command,
)
from maas_runtime.cli.deploy import add_deploy_options, deploy
from maas_runtime.cli.serve import add_serve_options, serve_on_yarn
from maas_runtime.deployers.yarn import cluster
from maas_runtime.deployers.yarn import configuration as hadoop


def maas_deploy(argv: Sequence[str] | None = None) -> int:
    """Run Metron's command `maas_deploy.sh`: `maas deploy` with a required ZooKeeper."""
    parser = CommandParser(
        "maas_deploy.sh",
        description="Add, remove, replace or list instances of a model.",
        allow_abbrev=False,
    )
    parser.set_defaults(command=deploy)
    add_common_options(parser, quorum_needed=True)
    add_deploy_options(parser)
    return run_command("maas_deploy.sh", parser.parse_args(argv))


def maas_service(argv: Sequence[str] | None = None) -> int:
    """Run Metron's command `maas_service.sh`: start `maas serve` with ZooKeeper, and return when it runs.

    It runs on YARN if Hadoop is configured, else in the background of this machine.

    Return 0 when the service runs, 2 if it does not start in time, 1 for invalid options, and 255 for invalid values.
    """
    parser = CommandParser(
        "maas_service.sh",
        description="Start the service that runs the requested models, and return when it runs.",
        allow_abbrev=False,
    )
    parser.set_defaults(command=partial(background.start, list(sys.argv[1:] if argv is None else argv)))
    add_common_options(parser, quorum_needed=True)
    add_serve_options(parser)
    parser.set_defaults(effective=("--timeout",))
    args = parser.parse_args(argv)
    if args.on_yarn or args.yarn is not None or hadoop.find_configuration():
        args.on_yarn, args.command = True, serve_on_yarn
    if message := background.find_invalid_value(args):
        print(f"maas_service.sh: {message}", file=sys.stderr)
        return 255
    for line in cluster.explain_ignored_options(args):
        print(f"maas_service.sh: {line}", file=sys.stderr)
    return run_command("maas_service.sh", args)
