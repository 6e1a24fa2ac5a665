"""A session: executes lines, which are assignments, questions, commands and expressions."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from stellar.functions.shell import ShellVariables
from stellar.language.context import NOTHING, Context, GlobalSettings
from stellar.language.diagnostics import KEYWORDS
from stellar.language.expression import Expression, shell_library
from stellar.language.library import Function, Library
from stellar.language.parser import NAME
from stellar.repl.commands import MAGICS, Magic
from stellar.repl.lines import ASSIGNMENT, COMMAND, COMMENTS, QUESTION
from stellar.repl.rendering import CommandOutput, as_expression
from stellar.tooling.completion import CompletionScope
from stellar.util.suggestions import suggest_name

if TYPE_CHECKING:
    from stellar.maas import Registry

# An assignment to an invalid name: no quote or bracket before `:=`
_BAD_ASSIGNMENT = re.compile(r"([^\s'\"()\[\]{}]+)\s*:=")

NO_OUTPUT = ""

HELP = """\
An expression is evaluated, and its value shown; x := expression sets a variable as well.

  ?NAME or NAME?    the help of a function, a variable or a command
  %help             all commands, such as %vars, %explain and %maas
  # or //           starts a comment
  quit              leaves

An unfinished expression continues on the next line."""


class Quit(EOFError):
    """The user entered `quit` or `exit`."""


class Session:
    """The state of a shell, and the execution of its lines.

    library: the functions; by default including those for shells only
    variables: the variables, which are the record of each expression
    settings: the global configuration that functions see; changes stay local to the session
    context: the services that functions use
    ignore_case: complete names in any case
    assignments: the executed lines that set a variable or a setting, in order
    notes: messages of commands in addition to their values, until `take_notes`
    """

    def __init__(
        self, library: Library | None = None, context: Context = NOTHING, settings: GlobalSettings | None = None
    ) -> None:
        self.library = shell_library() if library is None else library
        self.variables = ShellVariables()
        self.settings = GlobalSettings() if settings is None else settings
        self.context = context.with_services({ShellVariables: self.variables, GlobalSettings: self.settings})
        self.ignore_case = False
        self.assignments: list[str] = []
        self.notes: list[str] = []
        self._resources = ExitStack()

    def execute(self, line: str) -> Any:
        """Execute a line and return its value; null if it has no value, an empty string if there is no output.

        Raise StellarError if an expression fails, ValueError, LookupError or OSError if a command fails, and Quit.
        """
        line = line.strip()
        if not line or line.startswith(COMMENTS):
            return NO_OUTPUT
        if not line.startswith("%") and (assignment := ASSIGNMENT.fullmatch(line)):
            return self._assign(line, *assignment.groups())
        if line == "quit" or (line == "exit" and "exit" not in self.variables.values):
            raise Quit
        if question := QUESTION.fullmatch(line):
            return self.help(question[1] or question[2] or "")
        if command := COMMAND.fullmatch(line):
            return self.magic(command[1]).run(self, command[3])
        if bad := _BAD_ASSIGNMENT.match(line):
            raise ValueError(f"invalid variable name {bad[1]}: expected a letter, then letters, digits, _, . and :")
        return self.evaluate(line)

    def evaluate(self, source: str) -> Any:
        """Evaluate an expression over the variables."""
        return self.run(self.compile(source))

    def run(self, expression: Expression) -> Any:
        """Evaluate a compiled expression over the variables."""
        return expression(self.variables.values, self.context)

    def take_notes(self) -> list[str]:
        """Return the notes and clear them."""
        notes, self.notes = self.notes, []
        return notes

    def add_variables(self, values: Mapping[str, Any]) -> None:
        """Set variables to values without expressions, such as those of a JSON file."""
        for name, value in values.items():
            self.variables.values[name] = value
            self.variables.expressions.pop(name, None)
            if NAME.fullmatch(name) and name not in KEYWORDS:
                self.assignments.append(f"{name} := {as_expression(value)}")
            else:
                self.notes.append(f"{name} is not a valid variable name; it is available only in _")

    @property
    def scope(self) -> CompletionScope:
        """The names that expressions can use."""
        return CompletionScope(self.library, self.variables.values, _registry(self.context), self.ignore_case)

    def compile(self, source: str) -> Expression:
        """Compile an expression with the session's functions."""
        return Expression(source, self.library)

    def _assign(self, line: str, name: str, source: str) -> Any:
        if name in KEYWORDS:
            raise ValueError(f"the keyword {name} can't name a variable")
        value = self.execute(source)
        if isinstance(value, CommandOutput):
            value = str(value)
        self.variables.values[name] = value
        self.variables.expressions[name] = source.strip()
        self.assignments.append(line)
        return value

    def magic(self, word: str) -> Magic:
        """Return the command with a name such as `%vars`. Raise LookupError, with a suggestion, if it is unknown."""
        if (magic := MAGICS.get(word)) is None:
            raise LookupError(f"unknown command {word}\nhint: {suggest_name(word, MAGICS)}")
        return magic

    def help(self, name: str) -> str:
        """Return the help of a function, variable or command; for an empty name that of the shell.

        Raise LookupError for an unknown name.
        """
        if not name:
            return HELP
        if name.startswith("%"):
            return self.magic(name).help
        if name in self.library:
            return "\n".join(_help_lines(self.library[name]))
        if name in self.variables.values:
            via = self.variables.expressions.get(name)
            return f"{name} is a variable" + ("" if via is None else f", set by {name} := {via}")
        hint = self.library.hint(name)
        raise LookupError(f"unknown function {name}" + (f"\nhint: {hint}" if hint else ""))

    def use(self, services: dict[type[Any], Any], *resources: Any) -> None:
        """Add services for functions, and resources to close with the session."""
        self.context = self.context.with_services(services)
        for service in resources:
            self._resources.callback(service.close)

    def close(self) -> None:
        """Close the resources of the session."""
        self._resources.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _registry(context: Context) -> Registry | None:
    """Return the registry of models, if any, without loading `stellar.maas`."""
    if "stellar.maas.registry" not in sys.modules:
        return None
    from stellar.maas.registry import Registry

    return context.get(Registry)  # type: ignore[type-abstract]


def _help_lines(function: Function) -> Iterator[str]:
    help_ = function.help
    yield function.usage
    yield f"Description: {help_.summary}"
    if help_.details:
        yield ""
        yield help_.details
    if function.parameters:
        yield ""
        yield "Arguments:"
        for parameter in function.parameters:
            yield f"\t{parameter.name} - {parameter.description} ({parameter.kind.noun})"
    yield ""
    yield f"Returns: {help_.returns}"
    if help_.examples:
        yield ""
        yield "Examples:"
        yield from (f"\t{line}" for line in help_.examples.splitlines())
