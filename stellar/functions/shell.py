"""The shell's variables, tables and editor."""

from __future__ import annotations

import logging
import os
import shlex
import subprocess
import tempfile
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from stellar.functions.system import SystemProperties
from stellar.language.context import Context
from stellar.language.conversions import to_integer, to_string
from stellar.language.library import stellar
from stellar.util.text_tables import text_table

_NOT_GIVEN: Mapping[Any, Any] = MappingProxyType({})

log = logging.getLogger(__name__)


@dataclass(slots=True)
class ShellVariables:
    """The variables of a shell.

    values: value of each variable
    expressions: source after `:=` of each variable that was assigned by an expression
    """

    values: dict[str, Any] = field(default_factory=dict)
    expressions: dict[str, str] = field(default_factory=dict)


class Editor:
    """An external text editor."""

    def edit(self, text: str, command: str) -> str:
        """Open a string in the editor and return the edited string.

        command: the editor's command line, to which the name of a temporary file is appended

        Raises OSError if the editor or the file is missing, ValueError if the command is invalid or the file is not
        UTF-8, and subprocess.CalledProcessError if the editor fails.
        """
        with tempfile.TemporaryDirectory(prefix="stellar-") as folder:
            file = Path(folder, "text.stellar")
            file.write_text(text, encoding="utf-8")
            subprocess.run([*shlex.split(command), str(file)], check=True)
            return file.read_text(encoding="utf-8")


@stellar("SHELL_LIST_VARS")
def list_variables(context: Context, wrap: object = None) -> str:
    """Draw the variables of the shell as a table, with their values and the expressions that were assigned.

    wrap: Width at which cells are wrapped between words; no wrapping by default, and for null or a width below 1
    returns: The table, a string of several lines

    After `a := 1 + 1`:

        '║ a        │ 2     │ 1 + 1' in SHELL_LIST_VARS()  // true
        SHELL_LIST_VARS(40) == SHELL_LIST_VARS()  // true
        SHELL_LIST_VARS('wide')  // error: SHELL_LIST_VARS expected an integer as wrap
    """
    variables = _get_variables(context)
    width = None if wrap is None else to_integer(wrap)
    if wrap is not None and width is None:
        raise ValueError(f"SHELL_LIST_VARS expected an integer as wrap, got {to_string(wrap)}")
    rows = [
        tuple(_wrap(cell, width or 0) for cell in (name, to_string(value), variables.expressions.get(name, "")))
        for name, value in variables.values.items()
    ]
    return text_table(("VARIABLE", "VALUE", "EXPRESSION"), rows)


def _wrap(text: str, width: int) -> str:
    if width <= 0:
        return text
    lines = (textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False) for line in text.split("\n"))
    return "\n".join("\n".join(line) for line in lines)


@stellar("SHELL_VARS2MAP")
def variables_to_map(context: Context, *names: str | None) -> dict[str, str]:
    """Return the expressions of variables of the shell, such as for PARSER_STELLAR_TRANSFORM_ADD.

    names: Names of the variables
    returns: Map of names to expressions; variables that are undefined or have no expression are left out

    After `a := 1 + 1`:

        SHELL_VARS2MAP('a', 'undefined')  // {'a' : '1 + 1'}
        SHELL_VARS2MAP()  // {}
        SHELL_VARS2MAP(5)  // error
    """
    expressions = _get_variables(context).expressions
    return {name: expressions[name] for name in names if name is not None and name in expressions}


@stellar("SHELL_GET_EXPRESSION")
def get_expression(context: Context, name: object = None) -> str | None:
    """Return the expression of a variable of the shell.

    name: Name of the variable
    returns: The source after `:=`; null if the variable is undefined or has no expression

    After `a := 1 + 1`:

        SHELL_GET_EXPRESSION('a')  // '1 + 1'
        SHELL_GET_EXPRESSION('undefined')  // null
        SHELL_GET_EXPRESSION()  // null
    """
    expressions = _get_variables(context).expressions
    return expressions.get(name) if isinstance(name, str) else None


@stellar("SHELL_MAP2TABLE")
def map_to_table(map_: Mapping[Any, Any] | None = _NOT_GIVEN) -> str | None:
    """Draw a map as a table of keys and values.

    map: The map
    returns: The table, a string of several lines; an empty table for null; null if called without arguments

        SHELL_MAP2TABLE({'a': 1}) == SHELL_MAP2TABLE({'a': '1'})  // true
        'null' in SHELL_MAP2TABLE({'x': null})  // true
        '(empty)' in SHELL_MAP2TABLE(null)  // true
        SHELL_MAP2TABLE()  // null
        SHELL_MAP2TABLE('a')  // error
    """
    if map_ is _NOT_GIVEN:
        return None
    items = {} if map_ is None else map_
    return text_table(("KEY", "VALUE"), [(to_string(key), to_string(value)) for key, value in items.items()])


@stellar("SHELL_EDIT")
def edit(context: Context, text: object = None) -> str | None:
    """Open a string in an editor: the system property EDITOR, the environment variable EDITOR or VISUAL, or vi.

    text: The initial string; empty by default
    returns: The edited string, trimmed; null if the editor cannot be started or fails

    If nothing is changed:

        SHELL_EDIT(' a ')  // 'a'
        SHELL_EDIT(5)  // '5'
        SHELL_EDIT()  // ''
    """
    if (editor := context.get(Editor)) is None:
        raise LookupError("no editor available outside a shell in a terminal")
    properties = context.get(SystemProperties) or SystemProperties()
    choices = (properties.get("EDITOR"), os.environ.get("EDITOR"), os.environ.get("VISUAL"), "vi")
    command = next(choice for choice in choices if choice)
    try:
        return editor.edit("" if text is None else to_string(text), command).strip()
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        log.warning("editor %s failed: %s", command, error)  # Metron returns null here
        return None


def _get_variables(context: Context) -> ShellVariables:
    if (variables := context.get(ShellVariables)) is None:
        raise LookupError("no variables available outside a shell")
    return variables
