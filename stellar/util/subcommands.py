"""The first word of a command line, which selects a subcommand."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Sequence

# The options of programs with subcommands; each prints something and ends the program
_OWN_OPTIONS = ("-h", "--help", "--version")


def select_command(parser: argparse.ArgumentParser, words: Sequence[str], commands: Collection[str]) -> str | None:
    """Return the subcommand that the first word names; None if there are no words, or for help or the version.

    Another first word is a usage error, which ends the program: nothing after an unknown subcommand is executed.
    """
    if not words or words[0] in commands:
        return words[0] if words else None
    if words[0] in _OWN_OPTIONS:
        return None
    parser.error(describe_unknown_command(words[0], commands))


def describe_unknown_command(word: str, commands: Collection[str]) -> str:
    """Return the message about a word that is not a command."""
    from stellar.util.suggestions import suggest_name  # loads difflib

    if word.startswith("-"):
        return f"expected a command before {word}: {', '.join(commands)}"
    return f"unknown command {word}; {suggest_name(word, commands)}"
