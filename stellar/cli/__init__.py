"""The `stellar` command: evaluate expressions over records, check them, or open the shell.

Each command is a module here with DESCRIPTION and END, which stand around the options in its help, `add_options` and
`run`; only the one that is asked for is loaded.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from io import TextIOWrapper

from stellar.cli.reading import FAILED, INTERRUPTED, UNUSABLE, Unusable, complain

# The commands, and what each is for
COMMANDS = {
    "eval": "evaluate an expression, for one record or for many",
    "check": "report errors and surprises in expressions",
    "fmt": "lay out expressions as they should look",
    "lsp": "serve an editor by the Language Server Protocol",
}
_DEBUG = "show Python's traceback of each error"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status. A traceback is shown only with --debug."""
    options = _options(sys.argv[1:] if arguments is None else arguments)
    try:
        with _plain_output():
            status: int = options.run(options)
            sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader of the output has gone, as `head` does
        _drop_output()
        return FAILED
    except Unusable as error:
        complain(f"stellar: {error}", error, options)
        return UNUSABLE
    except OSError as error:  # all that is read is read in lines_of: this is the output
        _drop_output()
        complain(f"stellar: can't write: {error.strerror}", error, options)
        return UNUSABLE
    except Exception as error:  # noqa: BLE001 - the edge of the program: users see a traceback only if they ask for it
        from stellar.shell import unforeseen

        complain(f"stellar: {unforeseen(error)}", error, options)
        return UNUSABLE
    return status


@contextmanager
def _plain_output() -> Iterator[None]:
    """Results in UTF-8, as JSON is, and warnings as plain sentences."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # it was closed before we began
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 - it stays open
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: print(f"stellar: {message}", file=sys.stderr)
        yield


def _drop_output() -> None:
    """Let what is still to be written go nowhere, so that the interpreter does not complain at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    """What is to be done: what the command says that comes first, or else what the shell's options say."""
    before, rest = (arguments[:1], arguments[1:]) if arguments[:1] == ["--debug"] else ([], arguments)
    name = rest[0] if rest and rest[0] in COMMANDS else None
    module = import_module(f"stellar.cli.{name or 'shell'}")
    parser = argparse.ArgumentParser(
        prog=f"stellar {name}" if name else "stellar",
        description=module.DESCRIPTION,
        epilog=module.END if name else f"{_commands()}\n{module.END}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--debug", action="store_true", help=_DEBUG)
    module.add_options(parser)
    parser.set_defaults(run=module.run)
    return parser.parse_args([*before, *(rest[1:] if name else rest)])


def _commands() -> str:
    width = max(map(len, COMMANDS))
    lines = (f"  {name:{width}}  {summary}\n" for name, summary in COMMANDS.items())
    return f"commands, each with a --help of its own:\n{''.join(lines)}"
