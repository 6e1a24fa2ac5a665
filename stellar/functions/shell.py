"""What a shell shows and keeps: its variables, tables, and an editor."""

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
from stellar.language.conversions import to_integer, to_text
from stellar.language.library import stellar
from stellar.util.text_tables import text_table

_NOT_GIVEN: Mapping[Any, Any] = MappingProxyType({})

log = logging.getLogger(__name__)


@dataclass(slots=True)
class ShellVariables:
    """The variables of a shell.

    values: the value of each
    expressions: what stands behind `:=`, of those that were set so
    """

    values: dict[str, Any] = field(default_factory=dict)
    expressions: dict[str, str] = field(default_factory=dict)


class Editor:
    """Lets a person change a text, in the editor of their choice."""

    def edit(self, text: str, command: str) -> str:
        """The text as the editor leaves it.

        command: the editor, and options if it needs any; the name of a file is put behind them

        Raises OSError if there is no such editor or file, ValueError if it is no command or leaves no UTF-8, and
        subprocess.CalledProcessError if it fails.
        """
        with tempfile.TemporaryDirectory(prefix="stellar-") as folder:
            file = Path(folder, "text.stellar")
            file.write_text(text, encoding="utf-8")
            subprocess.run([*shlex.split(command), str(file)], check=True)
            return file.read_text(encoding="utf-8")


@stellar("SHELL_LIST_VARS")
def list_variables(context: Context, wrap: object = None) -> str:
    """The variables of the shell, drawn as a table with their values and the expressions that set them.

    wrap: The width at which the cells are wrapped between words; they are not if it is left out, null, 0 or less
    returns: The table, a text of several lines

    After `a := 1 + 1`:

        '║ a        │ 2     │ 1 + 1' in SHELL_LIST_VARS()  // true
        SHELL_LIST_VARS(40) == SHELL_LIST_VARS()  // true
        SHELL_LIST_VARS('wide')  // error: the width is a whole number
    """
    variables = _variables(context)
    width = None if wrap is None else to_integer(wrap)
    if wrap is not None and width is None:
        raise ValueError(f"the width is a whole number, not {to_text(wrap)}")
    rows = [
        tuple(_wrapped(cell, width or 0) for cell in (name, to_text(value), variables.expressions.get(name, "")))
        for name, value in variables.values.items()
    ]
    return text_table(("VARIABLE", "VALUE", "EXPRESSION"), rows)


def _wrapped(text: str, width: int) -> str:
    if width <= 0:
        return text
    lines = (textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False) for line in text.split("\n"))
    return "\n".join("\n".join(line) for line in lines)


@stellar("SHELL_VARS2MAP")
def variables_to_map(context: Context, *names: str | None) -> dict[str, str]:
    """The expressions that set variables of the shell, such as for PARSER_STELLAR_TRANSFORM_ADD.

    names: The names of the variables
    returns: A map of name and expression, without those variables that are not there or have no expression

    After `a := 1 + 1`:

        SHELL_VARS2MAP('a', 'nobody')  // {'a' : '1 + 1'}
        SHELL_VARS2MAP()  // {}
        SHELL_VARS2MAP(5)  // error
    """
    expressions = _variables(context).expressions
    return {name: expressions[name] for name in names if name is not None and name in expressions}


@stellar("SHELL_GET_EXPRESSION")
def get_expression(context: Context, name: object = None) -> str | None:
    """The expression that set a variable of the shell.

    name: The name of the variable
    returns: What stood behind `:=`; null if there is no such variable, or it has no expression

    After `a := 1 + 1`:

        SHELL_GET_EXPRESSION('a')  // '1 + 1'
        SHELL_GET_EXPRESSION('nobody')  // null
        SHELL_GET_EXPRESSION()  // null
    """
    expressions = _variables(context).expressions
    return expressions.get(name) if isinstance(name, str) else None


@stellar("SHELL_MAP2TABLE")
def map_to_table(map_: Mapping[Any, Any] | None = _NOT_GIVEN) -> str | None:
    """A map drawn as a table of its keys and values.

    map: The map
    returns: The table, a text of several lines; an empty table for null; null if no map is given

        SHELL_MAP2TABLE({'a': 1}) == SHELL_MAP2TABLE({'a': '1'})  // true
        'null' in SHELL_MAP2TABLE({'x': null})  // true
        '(empty)' in SHELL_MAP2TABLE(null)  // true
        SHELL_MAP2TABLE()  // null
        SHELL_MAP2TABLE('a')  // error
    """
    if map_ is _NOT_GIVEN:
        return None
    items = {} if map_ is None else map_
    return text_table(("KEY", "VALUE"), [(to_text(key), to_text(value)) for key, value in items.items()])


@stellar("SHELL_EDIT")
def edit(context: Context, text: object = None) -> str | None:
    """What a person makes of a text in an editor: that of the system property EDITOR, of the environment's EDITOR or
    VISUAL, or vi.

    text: The text to begin with
    returns: The text without blanks around it; null if the editor could not be started or failed

    Where nothing is changed:

        SHELL_EDIT(' a ')  // 'a'
        SHELL_EDIT(5)  // '5'
        SHELL_EDIT()  // ''
    """
    if (editor := context.get(Editor)) is None:
        raise LookupError("only a shell in a terminal can open an editor")
    properties = context.get(SystemProperties) or SystemProperties()
    choices = (properties.get("EDITOR"), os.environ.get("EDITOR"), os.environ.get("VISUAL"), "vi")
    command = next(choice for choice in choices if choice)
    try:
        return editor.edit("" if text is None else to_text(text), command).strip()
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        log.warning("the editor %s gave nothing: %s", command, error)  # Metron answers null here
        return None


def _variables(context: Context) -> ShellVariables:
    if (variables := context.get(ShellVariables)) is None:
        raise LookupError("only a shell has variables")
    return variables
