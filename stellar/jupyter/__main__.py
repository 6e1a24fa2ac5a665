"""`python -m stellar.jupyter`: starts a kernel for Jupyter, or installs a kernel with options."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from stellar.repl.options import add_options

DESCRIPTION = """\
The Stellar kernel. Jupyter offers it once the package is installed; this
command installs another kernel, with the options of the shell.
"""

END = """\
examples:
  python -m stellar.jupyter install --name stellar-live -z node1:2181
  python -m stellar.jupyter install --name squid --registry registry -v record.json
  jupyter kernelspec remove squid
"""

OK, FAILED = 0, 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        if arguments[:1] in (["-f"], ["--connection-file"]):
            return _serve(arguments)
        return _install(_parser().parse_args(arguments))
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        message = f"the kernel requires {package}: pip install 'stellar-maas[jupyter]'"
    except (ValueError, OSError) as error:
        message = str(error)
    print(f"stellar.jupyter: {message}", file=sys.stderr)
    return FAILED


def _serve(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m stellar.jupyter", add_help=False, allow_abbrev=False)
    parser.add_argument("-f", "--connection-file", required=True)
    add_options(parser)
    options = parser.parse_args(arguments)
    from stellar.jupyter.kernel import serve

    serve(options.connection_file, options)
    return OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m stellar.jupyter",
        description=DESCRIPTION,
        epilog=END,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    install = commands.add_parser("install", help="install a kernel", allow_abbrev=False)
    install.add_argument(
        "--name", default="stellar", help="name of the kernel in notebooks; an existing kernel is replaced"
    )
    install.add_argument("--display-name", metavar="TEXT", help="name of the kernel in menus; defaults to --name")
    scope = install.add_mutually_exclusive_group()
    scope.add_argument("--user", action="store_true", help="install for this user; the default")
    scope.add_argument("--sys-prefix", action="store_true", help="install for this Python environment")
    add_options(install)
    return parser


def _install(options: argparse.Namespace) -> int:
    from stellar.jupyter.kernelspec import install

    display_name = options.display_name or ("Stellar" if options.name == "stellar" else options.name)
    print(install(options.name, display_name, options, sys.prefix if options.sys_prefix else None))
    return OK


if __name__ == "__main__":
    sys.exit(main())
