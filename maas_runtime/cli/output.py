"""Output of commands: lines for people, or JSON with `--output json`.

A command writes each result twice in one call, as a line and as fields. So both forms have the same content, and a
command cannot forget one of them.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, field
from typing import Any

FORMATS = ("text", "json")


def add_output_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--output",
        choices=FORMATS,
        default=FORMATS[0],
        help="`json` prints one JSON document, or one a line for a stream (default %(default)s)",
    )


@dataclass
class Output:
    """The standard output of a command.

    as_json: print one JSON document at the end, or one a line for a stream, instead of lines
    """

    as_json: bool = False
    _document: dict[str, Any] = field(default_factory=dict, init=False)
    _is_stream: bool = field(default=False, init=False)

    def write(self, *lines: str, **fields: Any) -> None:
        """Print lines; as JSON, set fields of the document instead."""
        if self.as_json:
            self._document.update(fields)
        else:
            sys.stdout.writelines(f"{line}\n" for line in lines)

    def append(self, name: str, value: Any, *lines: str) -> None:
        """Print lines; as JSON, append a value to the list in a field of the document instead."""
        if self.as_json:
            self._document.setdefault(name, []).append(value)
        else:
            self.write(*lines)

    def stream(self, text: str, /, **fields: Any) -> None:
        """Print a line at once; as JSON, a document of its own."""
        self._is_stream = True
        sys.stdout.write(f"{json.dumps(fields) if self.as_json else text}\n")

    def finish(self, error: str | None = None) -> None:
        """Print the document.

        error: the reason for which the command failed
        """
        if self.as_json:
            if error is not None:
                self._document["error"] = error
            if self._is_stream and self._document:
                print(json.dumps(self._document))
            elif not self._is_stream:
                print(json.dumps(self._document, indent=2))
        sys.stdout.flush()


def make_printable(text: str) -> str:
    """Replace control characters of a string, because terminals execute them."""
    return "".join(character if character.isprintable() or character == "\t" else "?" for character in text)


def format_table(rows: list[tuple[str, ...]]) -> list[str]:
    """Return lines with the columns aligned; the first row has the headings."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)).rstrip() for row in rows
    ]
