"""What a line of a shell means: an assignment, a question, a command, or an expression to evaluate."""

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
from stellar.repl.rendering import Report, as_expression
from stellar.tooling.completion import Names
from stellar.util.suggestions import suggest_name

if TYPE_CHECKING:
    from stellar.maas import Registry

# What looks like an assignment to something that can't be a name: no quote or bracket stands before `:=`
_BAD_ASSIGNMENT = re.compile(r"([^\s'\"()\[\]{}]+)\s*:=")

NOTHING_TO_SAY = ""

HELP = """\
An expression is evaluated, and its value shown; x := expression sets a variable as well.

  ?NAME or NAME?    the help of a function, a variable or a command
  %help             all commands, such as %vars, %explain and %maas
  # or //           begins a comment
  quit              leaves

A text that is not finished goes on in the next line."""


class Quit(EOFError):
    """The user wants to leave: no more input comes."""


class Session:
    """The variables and settings of a shell, and what it does with a line.

    library: the functions that there are; by default those that only a shell may call are among them
    variables: the variables, which are the record of each expression
    settings: the global configuration, which functions see; it is changed here alone
    context: the services that functions ask for
    ignore_case: whether names are offered that differ from what is typed by capital and small letters
    assignments: the lines so far that set a variable or a setting, in order
    notes: what commands have to say beside their value, until somebody takes it
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
        self._opened = ExitStack()

    def execute(self, line: str) -> Any:
        """The value of a line; null for what has none, and an empty text where there is nothing to say.

        Raises StellarError if an expression fails; ValueError, LookupError or OSError, with a sentence, if anything
        else does; and Quit.
        """
        line = line.strip()
        if not line or line.startswith(COMMENTS):
            return NOTHING_TO_SAY
        if not line.startswith("%") and (assignment := ASSIGNMENT.fullmatch(line)):
            return self._assign(line, *assignment.groups())
        if line == "quit" or (line == "exit" and "exit" not in self.variables.values):
            raise Quit
        if question := QUESTION.fullmatch(line):
            return self.help(question[1] or question[2] or "")
        if command := COMMAND.fullmatch(line):
            return self.magic(command[1]).run(self, command[3])
        if bad := _BAD_ASSIGNMENT.match(line):
            raise ValueError(f"{bad[1]} can't name a variable; a name has letters, digits, _, . and :, first a letter")
        return self.evaluate(line)

    def evaluate(self, source: str) -> Any:
        """The value of an expression over the variables."""
        return self.run(self.compiled(source))

    def run(self, expression: Expression) -> Any:
        """The value of a compiled expression over the variables."""
        return expression(self.variables.values, self.context)

    def taken_notes(self) -> list[str]:
        """The notes so far, which are then gone."""
        notes, self.notes = self.notes, []
        return notes

    def add_variables(self, values: Mapping[str, Any]) -> None:
        """Set variables to values that come from no expression, but from a file of JSON."""
        for name, value in values.items():
            self.variables.values[name] = value
            self.variables.expressions.pop(name, None)
            if NAME.fullmatch(name) and name not in KEYWORDS:
                self.assignments.append(f"{name} := {as_expression(value)}")
            else:
                self.notes.append(f"{name} is no name that an expression can read; it is only in _")

    @property
    def names(self) -> Names:
        """What has a name in an expression here."""
        return Names(self.library, self.variables.values, _registry(self.context), self.ignore_case)

    def compiled(self, source: str) -> Expression:
        """An expression of this session's functions."""
        return Expression(source, self.library)

    def _assign(self, line: str, name: str, source: str) -> Any:
        if name in KEYWORDS:
            raise ValueError(f"the keyword {name} can't name a variable")
        value = self.execute(source)
        if isinstance(value, Report):
            value = str(value)
        self.variables.values[name] = value
        self.variables.expressions[name] = source.strip()
        self.assignments.append(line)
        return value

    def magic(self, word: str) -> Magic:
        """The command of a name such as `%vars`. Raises LookupError, with the one that may be meant."""
        if (magic := MAGICS.get(word)) is None:
            raise LookupError(f"unknown command {word}\nhint: {suggest_name(word, MAGICS)}")
        return magic

    def help(self, name: str) -> str:
        """What there is to say of a function, a variable or a command; of none, how to find one's way.

        Raises LookupError if nothing has that name.
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

    def use(self, services: dict[type[Any], Any], *closing: Any) -> None:
        """Give functions more services; what is named behind them is closed with the session."""
        self.context = self.context.with_services(services)
        for service in closing:
            self._opened.callback(service.close)

    def close(self) -> None:
        """Close what was opened for this session."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _registry(context: Context) -> Registry | None:
    """Where models are registered; what has to do with models is loaded only if something of it is there."""
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
