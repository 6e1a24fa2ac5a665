"""The commands of a shell that start with %: a function each, whose docstring is its help, and their table."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from inspect import cleandoc
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from stellar.language.conversions import to_string
from stellar.language.errors import StellarError
from stellar.language.source import snippet
from stellar.repl.json_files import read_variables
from stellar.repl.rendering import CommandOutput, Table, shorten_cell

if TYPE_CHECKING:
    from stellar.maas import Registry
    from stellar.repl.session import Session

Takes = Literal["nothing", "text", "expression", "assignment", "setting", "file", "registry"]


@dataclass(frozen=True, slots=True)
class Magic:
    """A command.

    usage: its syntax, such as `%functions [TEXT]`
    run: executes it; its result is the value of the line
    takes: kind of its argument, for completion
    """

    usage: str
    run: Callable[[Session, str], Any]
    takes: Takes = "nothing"

    @property
    def name(self) -> str:
        return self.usage.split()[0]

    @property
    def summary(self) -> str:
        """The first line of its help."""
        return cleandoc(self.run.__doc__ or "").split("\n")[0]

    @property
    def help(self) -> str:
        """Its usage and description."""
        return f"{self.usage}\n{cleandoc(self.run.__doc__ or '')}"


# -- Commands of Metron's shell ----------------------------------------------------------------------------------------


def functions(session: Session, text: str) -> CommandOutput:
    """List the functions, or those whose names contain a string.

    ?NAME shows the help of one.
    """
    names = sorted(name for name in session.library if text in name)
    usages = [(session.library[name].usage, session.library[name].help.summary) for name in names]
    return CommandOutput(", ".join(names), Table(("FUNCTION", "DESCRIPTION"), usages))


def variables(session: Session, _: str) -> CommandOutput:
    """List the variables with their values and expressions."""
    values, expressions = session.variables.values, session.variables.expressions
    items = [
        f"{name} = {to_string(value)}" + (f" via `{expressions[name]}`" if name in expressions else "")
        for name, value in values.items()
    ]
    rows = [(name, shorten_cell(value), expressions.get(name, "")) for name, value in values.items()]
    return CommandOutput(", ".join(items), Table(("VARIABLE", "VALUE", "EXPRESSION"), rows))


def define(session: Session, text: str) -> Any:
    """Set a value of the global configuration of this shell.

    Nothing is written to ZooKeeper. Some functions read their settings once, when they are first called.
    """
    name, operator, source = text.partition(":=")
    if not text:
        raise ValueError("missing assignment expression; write %define NAME := EXPRESSION")
    if not operator or not name.strip():
        raise ValueError("expected assignment expression; write %define NAME := EXPRESSION")
    value = session.execute(source)
    if value is None or value == "":
        raise ValueError(
            f"{source.strip() or 'empty expression'} produced no result; use %undefine {name.strip()} to remove it"
        )
    session.settings[name.strip()] = str(value) if isinstance(value, str) else value
    session.assignments.append(f"%define {text}")
    return value


def undefine(session: Session, name: str) -> str:
    """Remove a value from the global configuration of this shell."""
    if not name:
        raise ValueError("missing name; write %undefine NAME")
    session.settings.pop(name, None)
    session.assignments.append(f"%undefine {name}")
    return ""


def settings(session: Session, _: str) -> CommandOutput:
    """Show the global configuration."""
    rows = [(name, to_string(value)) for name, value in session.settings.items()]
    return CommandOutput(to_string(dict(session.settings)), Table(("SETTING", "VALUE"), rows))


# -- Additional commands ----------------------------------------------------------------------------------------------


def help_(session: Session, _: str) -> CommandOutput:
    """List the commands."""
    rows = [(magic.usage, magic.summary) for magic in MAGICS.values()]
    text = "\n".join(f"{usage:26} {summary}" for usage, summary in rows)
    return CommandOutput(text, Table(("COMMAND", "DESCRIPTION"), rows))


def time_(session: Session, source: str) -> Any:
    """Evaluate an expression and show its value and its time.

    The first evaluation also loads functions; the second one shows the time in a pipeline.
    """
    start = time.perf_counter()
    expression = session.compile(source)
    middle = time.perf_counter()
    value = session.run(expression)
    end = time.perf_counter()
    session.notes.append(f"compiled in {_duration(middle - start)}, evaluated in {_duration(end - middle)}")
    return value


def _duration(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} µs"


def python(session: Session, source: str) -> str:
    """Show the Python code of an expression.

    Operators are inlined with guards for the classes of their operands; other operands are passed to helpers such as
    add and equal. docs/design.md describes the compiler.
    """
    from stellar.language.compiler.link import python_source

    expression = session.compile(source)
    return python_source(expression.tree, expression.library, source)


def explain(session: Session, source: str) -> CommandOutput:
    """Show the values of subexpressions in one evaluation.

    Subexpressions that were not reached, such as those after an `and` with a false operand, have no value.
    """
    from stellar.tooling.explanation import explain_expression

    explanation = explain_expression(session.compile(source), session.variables.values, session.context)
    rows = [("  " * part.depth + part.text, _values(part.values)) for part in explanation.parts]
    text = "\n".join(f"{part}  =  {value}" for part, value in rows)
    if explanation.error is not None:
        session.notes.append(str(explanation.error))
    return CommandOutput(text, Table(("EXPRESSION", "VALUE"), rows))


def _values(values: tuple[Any, ...]) -> str:
    if not values:
        return "(not reached)"
    text = ", ".join(repr(value) if isinstance(value, str) else shorten_cell(value) for value in values[:_MOST_VALUES])
    return text if len(values) <= _MOST_VALUES else f"{text}, … ({len(values)} times)"


_MOST_VALUES = 5


def check(session: Session, source: str) -> str:
    """Report errors and lint findings of an expression.

    The expression is not evaluated.
    """
    from stellar.tooling.checks import find_problems

    return "\n".join(
        f"{problem.name}: {problem.message}\n{snippet(source, problem.span)}"
        + (f"\nhint: {problem.hint}" if problem.hint else "")
        for problem in find_problems(source, session.library)
    )


def load(session: Session, name: str) -> str:
    """Execute the lines of a file, or read variables from JSON.

    A .json file contains an object, and each member becomes a variable. In any other file, each line is executed like
    input here, and indented lines continue a line. Execution stops at the first line that fails.
    """
    from stellar.tooling.statements import read_statements

    file = _file(name, "%load FILE")
    if file.suffix == ".json":
        session.add_variables(read_variables(name))
        return ""
    count = 0
    for count, statement in enumerate(read_statements(_lines(file)), start=1):  # noqa: B007 - used below
        try:
            session.execute(statement.code)
        except (StellarError, LookupError, ValueError, OSError) as error:
            raise ValueError(f"line {statement.line} of {file}: {error}") from error
    session.notes.append(f"{_count(count, 'line')} of {file}")
    return ""


def save(session: Session, text: str) -> str:
    """Write the lines that set variables and settings to a file.

    %load executes them again. An existing file is replaced only by %save -f FILE.
    """
    replace = text.partition(" ")[0] == "-f"
    name = text.removeprefix("-f").strip() if replace else text
    file = _file(name, "%save FILE")
    try:
        with open(file, "w" if replace else "x", encoding="utf-8") as out:
            out.writelines(f"{indent_continuation(line)}\n" for line in session.assignments)
    except FileExistsError:
        raise ValueError(f"{file} exists; use %save -f {name} to replace it") from None
    session.notes.append(f"{_count(len(session.assignments), 'line')} in {file}")
    return ""


def indent_continuation(line: str) -> str:
    """Indent all lines except the first, as files require."""
    first, *others = line.split("\n")
    return "\n".join([first, *(other if other[:1] in (" ", "\t") else f"  {other}" for other in others)])


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _file(name: str, usage: str) -> Path:
    if not name:
        raise ValueError(f"missing file name; write {usage}")
    return Path(name).expanduser()


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is not UTF-8 at byte {error.start}") from error


def maas(session: Session, location: str) -> Any:
    """List the registered models and their health.

    With the directory of a registry, or ZooKeeper hosts such as node1:2181, that registry is used from now on.
    """
    from stellar.maas import ModelClient, Registry
    from stellar.repl.models import use_models_at

    if location:
        use_models_at(session, location)
    registry, client = session.context.get(Registry), session.context.get(ModelClient)  # type: ignore[type-abstract]
    if registry is None:
        raise LookupError("no model registry configured; write %maas DIR, or %maas HOST:PORT for ZooKeeper")
    if client is not None and (calls := client.counters().calls):
        counters = client.counters()
        session.notes.append(
            f"{_count(calls, 'call')} in this session: {counters.cache_hits} cache hits, "
            f"{sum(counters.failures.values())} failures"
        )
    rows = list(_instances(registry))
    if not rows:
        session.notes.append("no models are registered; deploy one, as with maas deploy, or name another registry")
    return CommandOutput("\n".join("  ".join(row) for row in rows), Table(_COLUMNS, rows))


_COLUMNS = ("MODEL", "VERSION", "URL", "FUNCTIONS", "HEALTH")


def _instances(registry: Registry) -> Iterator[tuple[str, ...]]:
    from stellar.maas.probe import find_unreachable

    instances = registry.instances()
    unreachable = {instance.url: reason for instance, reason in find_unreachable(instances)}
    for instance in instances:
        health = unreachable.get(instance.url, "healthy")
        if instance.url in registry.breakers:
            health += ", circuit open"
        yield (*instance.model, instance.url, ", ".join(instance.payload.endpoint.functions), health)


MAGICS: Mapping[str, Magic] = {
    magic.name: magic
    for magic in (
        Magic("%functions [TEXT]", functions, "text"),
        Magic("%vars", variables),
        Magic("%define NAME := EXPRESSION", define, "assignment"),
        Magic("%undefine NAME", undefine, "setting"),
        Magic("%globals", settings),
        Magic("%help", help_),
        Magic("%explain EXPRESSION", explain, "expression"),
        Magic("%check EXPRESSION", check, "expression"),
        Magic("%time EXPRESSION", time_, "expression"),
        Magic("%python EXPRESSION", python, "expression"),
        Magic("%load FILE", load, "file"),
        Magic("%save [-f] FILE", save, "file"),
        Magic("%maas [DIR | HOST:PORT]", maas, "registry"),
    )
}
