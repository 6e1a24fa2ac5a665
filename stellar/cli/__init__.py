"""The `stellar` command: evaluate expressions over records, check them, or open the shell.

Each command is a module here with `add_options` and `run`, and with DESCRIPTION and END, which its help shows before
and after the options; only the module of the given command is loaded.
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

from stellar.cli.reading import FAILED, INTERRUPTED, UNUSABLE, UsageError, print_error

# Descriptions by command
COMMANDS = {
    "eval": "evaluate an expression, for one record or for many",
    "check": "report errors and lint findings in expressions",
    "fmt": "format expressions",
    "lsp": "start the language server for editors",
}
_DEBUG = "show the Python traceback of each error"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return the exit status; errors show a traceback only with --debug."""
    options = _options(sys.argv[1:] if arguments is None else arguments)
    try:
        with _plain_output():
            status: int = options.run(options)
            sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader of the output, such as `head`, has exited
        _drop_output()
        return FAILED
    except UsageError as error:
        print_error(f"stellar: {error}", error, options)
        return UNUSABLE
    except OSError as error:  # input is read in read_lines, so this concerns the output or a file to change
        _drop_output()
        written = " ".join(filter(None, ("can't write", error.filename)))
        print_error(f"stellar: {written}: {error.strerror}", error, options)
        return UNUSABLE
    except Exception as error:  # noqa: BLE001 - the edge of the program: tracebacks are shown with --debug only
        from stellar.shell import describe_unexpected

        print_error(f"stellar: {describe_unexpected(error)}", error, options)
        return UNUSABLE
    return status


@contextmanager
def _plain_output() -> Iterator[None]:
    """Write results as UTF-8, the encoding of JSON, and warnings without their source location."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # closed by the parent process
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 - it stays open
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: print(f"stellar: {message}", file=sys.stderr)
        yield


def _drop_output() -> None:
    """Discard buffered output, so that the interpreter reports no error at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the options of the given command, by default of the shell."""
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
    return f"commands, each with its own --help:\n{''.join(lines)}"
