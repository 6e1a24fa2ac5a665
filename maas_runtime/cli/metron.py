"""Metron's commands maas_service.sh and maas_deploy.sh."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial

from maas_runtime.cli import background
from maas_runtime.cli.common import (
    Parser,
    add_common_options,
    run_command,
)
from maas_runtime.cli.deploy import add_deploy_options, deploy
from maas_runtime.cli.serve import add_serve_options, serve_on_yarn
from maas_runtime.deployers.yarn import cluster
from maas_runtime.deployers.yarn import configuration as hadoop


def maas_deploy(argv: Sequence[str] | None = None) -> int:
    """Run Metron's command `maas_deploy.sh`: what `maas deploy` does, by ZooKeeper."""
    parser = Parser(
        "maas_deploy.sh",
        description="Add or remove instances of a model, or list what is registered.",
        allow_abbrev=False,
    )
    parser.set_defaults(command=deploy)
    add_common_options(parser, quorum_needed=True)
    add_deploy_options(parser)
    return run_command("maas_deploy.sh", parser.parse_args(argv))


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
    add_common_options(parser, quorum_needed=True)
    add_serve_options(parser)
    parser.set_defaults(effective=("--timeout",))
    given = parser.parse_args(argv)
    if given.on_yarn or given.yarn is not None or hadoop.configuration():
        given.on_yarn, given.command = True, serve_on_yarn
    if trouble := background.refused(given):
        print(f"maas_service.sh: {trouble}", file=sys.stderr)
        return 255
    for line in cluster.without_effect(given):
        print(f"maas_service.sh: {line}", file=sys.stderr)
    return run_command("maas_service.sh", given)
