"""The commands of a shell that begin with %: a function each, whose docstring is its help; at the end, their table."""

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
from stellar.repl.rendering import Report, Table, shortened_cell

if TYPE_CHECKING:
    from stellar.maas import Registry
    from stellar.repl.session import Session

Takes = Literal["nothing", "text", "expression", "assignment", "setting", "file", "place"]


@dataclass(frozen=True, slots=True)
class Magic:
    """A command.

    usage: how it is typed, such as `%functions [TEXT]`
    run: does it; what it returns is the value of the line
    takes: what its argument is, for completion
    """

    usage: str
    run: Callable[[Session, str], Any]
    takes: Takes = "nothing"

    @property
    def name(self) -> str:
        return self.usage.split()[0]

    @property
    def summary(self) -> str:
        """What it does, in one line."""
        return cleandoc(self.run.__doc__ or "").split("\n")[0]

    @property
    def help(self) -> str:
        """How it is typed, and all about it."""
        return f"{self.usage}\n{cleandoc(self.run.__doc__ or '')}"


# -- What Metron's shell has ------------------------------------------------------------------------------------------


def functions(session: Session, text: str) -> Report:
    """The functions that there are, or those whose names contain a text.

    ?NAME shows the help of one.
    """
    names = sorted(name for name in session.library if text in name)
    usages = [(session.library[name].usage, session.library[name].help.summary) for name in names]
    return Report(", ".join(names), Table(("FUNCTION", "WHAT IT DOES"), usages))


def variables(session: Session, _: str) -> Report:
    """The variables: their values, and the expressions that set them."""
    values, expressions = session.variables.values, session.variables.expressions
    items = [
        f"{name} = {to_string(value)}" + (f" via `{expressions[name]}`" if name in expressions else "")
        for name, value in values.items()
    ]
    rows = [(name, shortened_cell(value), expressions.get(name, "")) for name, value in values.items()]
    return Report(", ".join(items), Table(("VARIABLE", "VALUE", "EXPRESSION"), rows))


def define(session: Session, text: str) -> Any:
    """Set a value of the global configuration of this shell.

    Nothing is written to ZooKeeper. Some functions read their settings once, when they are first called.
    """
    name, assigned, source = text.partition(":=")
    if not text:
        raise ValueError("missing assignment expression; write %define NAME := EXPRESSION")
    if not assigned or not name.strip():
        raise ValueError("expected assignment expression; write %define NAME := EXPRESSION")
    value = session.execute(source)
    if value is None or value == "":
        raise ValueError(f"{source.strip() or 'nothing'} produced no result; %undefine {name.strip()} takes it away")
    session.settings[name.strip()] = str(value) if isinstance(value, str) else value
    session.assignments.append(f"%define {text}")
    return value


def undefine(session: Session, name: str) -> str:
    """Take a value of the global configuration of this shell away."""
    if not name:
        raise ValueError("the name is missing; write %undefine NAME")
    session.settings.pop(name, None)
    session.assignments.append(f"%undefine {name}")
    return ""


def settings(session: Session, _: str) -> Report:
    """The global configuration."""
    rows = [(name, to_string(value)) for name, value in session.settings.items()]
    return Report(to_string(dict(session.settings)), Table(("SETTING", "VALUE"), rows))


# -- What this one has besides ----------------------------------------------------------------------------------------


def help_(session: Session, _: str) -> Report:
    """The commands."""
    rows = [(magic.usage, magic.summary) for magic in MAGICS.values()]
    text = "\n".join(f"{usage:26} {summary}" for usage, summary in rows)
    return Report(text, Table(("COMMAND", "WHAT IT DOES"), rows))


def time_(session: Session, source: str) -> Any:
    """Evaluate an expression, show its value, and how long that took.

    The first time, functions are loaded that the expression calls; what counts in a pipeline is the second time.
    """
    began = time.perf_counter()
    expression = session.compiled(source)
    compiled = time.perf_counter()
    value = session.run(expression)
    evaluated = time.perf_counter()
    session.notes.append(f"compiled in {_duration(compiled - began)}, evaluated in {_duration(evaluated - compiled)}")
    return value


def _duration(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} µs"


def python(session: Session, source: str) -> str:
    """The Python that an expression is compiled to.

    Operators are written out behind guards for the classes of their operands; what the guards do not let through goes
    to helpers such as add and equal. docs/design.md tells more.
    """
    from stellar.language.compiler.link import python_source

    expression = session.compiled(source)
    return python_source(expression.tree, expression.library, source)


def explain(session: Session, source: str) -> Report:
    """Evaluate an expression once, and show what each part of it came to.

    Parts that were not reached, as behind an `and` that was false, have no value.
    """
    from stellar.tooling.explanation import explain as explained

    found = explained(session.compiled(source), session.variables.values, session.context)
    rows = [("  " * part.depth + part.text, _values(part.values)) for part in found.parts]
    text = "\n".join(f"{part}  =  {value}" for part, value in rows)
    if found.error is not None:
        session.notes.append(str(found.error))
    return Report(text, Table(("EXPRESSION", "VALUE"), rows))


def _values(values: tuple[Any, ...]) -> str:
    if not values:
        return "(not reached)"
    text = ", ".join(repr(value) if isinstance(value, str) else shortened_cell(value) for value in values[:_SHOWN])
    return text if len(values) <= _SHOWN else f"{text}, … ({len(values)} times)"


_SHOWN = 5


def check(session: Session, source: str) -> str:
    """What is wrong with an expression, or seldom meant.

    It is not evaluated for that.
    """
    from stellar.tooling.checks import problems

    return "\n".join(
        f"{problem.name}: {problem.message}\n{snippet(source, problem.span)}"
        + (f"\nhint: {problem.hint}" if problem.hint else "")
        for problem in problems(source, session.library)
    )


def load(session: Session, name: str) -> str:
    """Execute the lines of a file, or take variables from JSON.

    A file whose name ends in .json holds an object, and each member becomes a variable. In any other file a line is
    what one can type here, and indented lines go on with it. It ends at the first line that fails.
    """
    from stellar.tooling.statements import statements

    file = _file(name, "%load FILE")
    if file.suffix == ".json":
        session.add_variables(read_variables(name))
        return ""
    count = 0
    for count, statement in enumerate(statements(_lines(file)), start=1):  # noqa: B007 - it is told below
        try:
            session.execute(statement.code)
        except (StellarError, LookupError, ValueError, OSError) as error:
            raise ValueError(f"line {statement.line} of {file}: {error}") from error
    session.notes.append(f"{_counted(count, 'line')} of {file}")
    return ""


def save(session: Session, text: str) -> str:
    """Write the lines that set variables and settings to a file.

    %load executes them again. A file that is there already is only replaced by %save -f FILE.
    """
    replacing = text.partition(" ")[0] == "-f"
    name = text.removeprefix("-f").strip() if replacing else text
    file = _file(name, "%save FILE")
    try:
        with open(file, "w" if replacing else "x", encoding="utf-8") as out:
            out.writelines(f"{continued(line)}\n" for line in session.assignments)
    except FileExistsError:
        raise ValueError(f"{file} is there already; %save -f {name} replaces it") from None
    session.notes.append(f"{_counted(len(session.assignments), 'line')} in {file}")
    return ""


def continued(line: str) -> str:
    """What was typed, as a file has it: all lines but the first are indented."""
    first, *others = line.split("\n")
    return "\n".join([first, *(other if other[:1] in (" ", "\t") else f"  {other}" for other in others)])


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _file(name: str, usage: str) -> Path:
    if not name:
        raise ValueError(f"the name of a file is missing; write {usage}")
    return Path(name).expanduser()


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is not UTF-8 at byte {error.start}") from error


def maas(session: Session, place: str) -> Any:
    """The models that are registered, and whether they answer.

    With the directory of a registry, or the hosts of a ZooKeeper such as node1:2181, models are looked for there from
    now on.
    """
    from stellar.maas import ModelClient, Registry
    from stellar.repl.models import use_models_at

    if place:
        use_models_at(session, place)
    registry, client = session.context.get(Registry), session.context.get(ModelClient)  # type: ignore[type-abstract]
    if registry is None:
        raise LookupError("it is not said where models are; write %maas DIR, or %maas HOST:PORT of a ZooKeeper")
    if client is not None and (calls := client.counters().calls):
        counted = client.counters()
        session.notes.append(
            f"{_counted(calls, 'call')} from here: {counted.cache_hits} answered from the cache, "
            f"{sum(counted.failures.values())} without an answer"
        )
    rows = list(_instances(registry))
    return Report("\n".join("  ".join(row) for row in rows), Table(_COLUMNS, rows))


_COLUMNS = ("MODEL", "VERSION", "URL", "FUNCTIONS", "HEALTH")


def _instances(registry: Registry) -> Iterator[tuple[str, ...]]:
    from stellar.maas.probe import find_unreachable

    instances = registry.instances()
    unheard = {instance.url: why for instance, why in find_unreachable(instances)}
    for instance in instances:
        health = unheard.get(instance.url, "answers")
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
        Magic("%maas [DIR | HOST:PORT]", maas, "place"),
    )
}
