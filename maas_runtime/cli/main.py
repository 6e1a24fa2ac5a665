"""The command `maas`: serve, deploy, traffic, status, doctor."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from maas_runtime.cli import doctor, traffic
from maas_runtime.cli.common import (
    Parser,
    add_common_options,
    add_no_options,
    open_backend,
    run_command,
)
from maas_runtime.cli.deploy import add_deploy_options, deploy
from maas_runtime.cli.serve import add_serve_options, serve
from maas_runtime.cli.status import status
from stellar.util.version import add_version

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


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0 done, 1 refused or failed."""
    return run_command("maas", options().parse_args(argv))


def options() -> Parser:
    parser = Parser("maas", description="Model as a Service: run models, and find them.", allow_abbrev=False)
    add_version(parser)
    names = "serve | deploy | traffic | status | doctor"
    commands = parser.add_subparsers(title="commands", required=True, metavar=names)
    for name, command, describe, meaning in (
        ("serve", serve, add_serve_options, "run the models that are asked for, until interrupted"),
        ("deploy", deploy, add_deploy_options, "add or remove instances of a model, or list what is registered"),
        (
            "traffic",
            _traffic,
            traffic.options,
            "say where calls go that name no version of a model, or show it",
        ),
        ("status", status, add_no_options, "tell what is wanted, what is ready, and what failed"),
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
        add_common_options(sub)
        describe(sub)
    return parser


def _traffic(given: argparse.Namespace) -> int:
    with open_backend(given) as place:
        return traffic.traffic(given, place)
