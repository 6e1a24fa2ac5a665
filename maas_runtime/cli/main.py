"""The command `maas`: serve, deploy, traffic, status, doctor."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from maas_runtime.cli import doctor, traffic
from maas_runtime.cli.common import (
    CommandParser,
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
    """Run the command. Return its exit status: 0 for success, 1 for a failure."""
    return run_command("maas", make_parser().parse_args(argv))


def make_parser() -> CommandParser:
    parser = CommandParser("maas", description="Model as a Service: run models, and find them.", allow_abbrev=False)
    add_version(parser)
    names = "serve | deploy | traffic | status | doctor"
    commands = parser.add_subparsers(title="commands", required=True, metavar=names)
    for name, command, add_options, summary in (
        ("serve", serve, add_serve_options, "run the requested models until interrupted"),
        ("deploy", deploy, add_deploy_options, "add, remove, replace or list instances of a model"),
        (
            "traffic",
            _traffic,
            traffic.add_traffic_options,
            "set or show the traffic plan of a model, which routes calls without a version",
        ),
        ("status", status, add_no_options, "show desired and ready instances, and failures"),
        ("doctor", doctor.run, doctor.add_doctor_options, "check the installation, and suggest fixes"),
    ):
        sub = commands.add_parser(
            name,
            help=summary,
            description=summary.capitalize() + ".",
            epilog=EXAMPLES[name],
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        sub.set_defaults(command=command)
        add_common_options(sub)
        add_options(sub)
    return parser


def _traffic(args: argparse.Namespace) -> int:
    with open_backend(args) as backend:
        return traffic.traffic(args, backend)
