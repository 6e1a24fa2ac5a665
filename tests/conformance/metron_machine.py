"""Evaluation as in Metron: a list of steps that run on a stack, with marks to skip to.

Without traits it is a second, independent implementation of our language. With all traits it returns Metron's results.
If the two differ, the traits that are necessary for Metron's result are the reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from cases import Case, decoded
from compare import CONTEXT, LIBRARY, Outcome, is_object, outcome
from metron_calls import LiteralMap, as_metron_answers, as_metron_takes_them
from metron_grammar import as_metron_reads_comments
from metron_lambdas import as_metron_groups_lambdas
from metron_numbers import Character, JavaNumbers, OurNumbers, hash_order
from metron_traits import NUMBERS, Trait

from stellar.language import nodes as n
from stellar.language import runtime
from stellar.language.errors import EvaluationError, StellarError
from stellar.language.parser import parse
from stellar.language.resolver import arity_problem
from stellar.language.source import Span


def metrons_outcome(case: Case, traits: frozenset[Trait]) -> Outcome:
    """Evaluate a case with some of Metron's traits."""
    text = as_metron_reads_comments(case.text) if Trait.BARE_COMMENT in traits else case.text
    try:
        tree = parse(text) if text.strip() else n.Literal(True if case.mode == "predicate" else None)
    except StellarError as error:
        return Outcome(error=error)
    if Trait.LAMBDA_EXTENT in traits:
        tree = as_metron_groups_lambdas(tree, text)
    return _MODES[case.mode](case, Machine(text, traits), tree)


def _evaluated(case: Case, machine: Machine, tree: n.Expr) -> Outcome:
    value = machine.evaluate(tree, machine.record(case.variables), strict=case.strict)
    if case.mode == "predicate" and value.error is None:
        return machine.catch_errors(partial(runtime.require_bool_or_null, value.value))
    return value


def _validated(case: Case, machine: Machine, tree: n.Expr) -> Outcome:
    if Trait.VALIDATED_BY_RUNNING not in machine.traits:
        return outcome(case)
    ran = machine.evaluate(tree, {}, strict=False)
    return Outcome(value=True) if ran.error is None else ran


def _variables(case: Case, machine: Machine, tree: n.Expr) -> Outcome:
    if Trait.PARAMETERS_ARE_VARIABLES not in machine.traits:
        return outcome(case)
    names = {node.name for node in n.walk(tree) if isinstance(node, n.Variable | n.Exists)}
    return Outcome(value=names)


_MODES: dict[str, Callable[[Case, Machine, n.Expr], Outcome]] = {
    "parse": _evaluated,
    "predicate": _evaluated,
    "validate": _validated,
    "variables": _variables,
}


@dataclass(frozen=True, eq=False)
class Frame:
    """An `and` or `or`; each value refers to the one that created it."""

    operator: str


@dataclass(frozen=True)
class Step:
    """One step of a program.

    kind: "push" a value, "do" something with the stack, or a mark: "operand" and "frame" of and/or; "if", "else" and
    "end"; "check", "clause" (its end) and "clauses" (their end)
    frame: the enclosing frame, which is that of pushed values
    owner: the node of a mark
    """

    kind: str
    frame: Frame | None = None
    payload: Any = None
    owner: object = None


@dataclass(frozen=True, eq=False)
class Cell:
    """A value on the stack and the frame that created it."""

    value: Any
    frame: Frame | None = None
    literal: bool = False


MARK = Cell("start of the arguments")
_DECIDING = ("operand", "if", "check")


@dataclass(frozen=True)
class Scope:
    """Look-up of names: first the parameters of the enclosing lambdas, then the record."""

    record: Mapping[str, Any]
    strict: bool
    parameters: Mapping[str, Any] = field(default_factory=dict)
    in_lambda: bool = False

    def __getitem__(self, name: str) -> Any:
        if name in self.parameters:
            return self.parameters[name]
        if name == "_":
            return runtime.Fields(self.record)
        if self.strict and not self.in_lambda:
            return runtime.require_field(self.record, name)
        return self.record.get(name)

    def exists(self, name: str) -> bool:
        return replace(self, strict=False)[name] is not None


class Machine:
    """A run of the steps of one expression."""

    def __init__(self, source: str, traits: frozenset[Trait]) -> None:
        self.source = source
        self.traits = traits
        self.numbers = JavaNumbers(traits) if traits & NUMBERS else OurNumbers()

    def record(self, variables: dict[str, Any]) -> dict[str, Any]:
        record = decoded(variables, self.numbers.tags)
        return {name: self.encode(value) for name, value in record.items()}

    def encode(self, value: Any) -> Any:
        """Convert the strings in a value to UTF-16 units if the trait is on."""
        if Trait.UTF16 not in self.traits:
            return value
        return _map_strings(value, _split)

    def evaluate(self, tree: n.Expr, record: Mapping[str, Any], *, strict: bool) -> Outcome:
        result = self.catch_errors(lambda: self.run([*self.steps(tree, None)], Scope(record, strict)))
        return Outcome(_map_strings(result.value, _join), result.error)

    def catch_errors(self, run: Callable[[], Any]) -> Outcome:
        try:
            return Outcome(run())
        except StellarError as error:
            return Outcome(error=error)
        except (ValueError, LookupError, OSError) as refusal:
            error = EvaluationError(str(refusal), self.source, Span(0, len(self.source)))
            error.__cause__ = refusal
            return Outcome(error=error)

    # -- Running ------------------------------------------------------------------------------------------------------

    def run(self, program: list[Step], scope: Scope) -> Any:
        stack: list[Cell] = []
        chosen: list[object] = []  # the conditionals and matches with a chosen branch
        at = 0
        while at < len(program):
            step = program[at]
            at += 1
            if step.kind == "else" and self.end_choice(step, chosen, "else"):
                at = self.skip(program, at, "end", step.owner, Trait.ELSE_ENDS_EARLY)
                continue
            if step.kind in ("clause", "check") and self.end_choice(step, chosen, "match"):
                at = self.skip(program, at, "clauses", step.owner, Trait.NESTED_MATCH)
                continue
            if step.kind in _DECIDING and stack:
                at = self.decide(step, stack, program, at, chosen)
            elif step.kind == "do":
                step.payload(stack, scope)
            elif step.kind == "push":
                stack.append(step.payload)
        if len(stack) != 1:
            raise ValueError("the stack is not empty at the end")
        return stack[0].value

    def end_choice(self, step: Step, chosen: list[object], kind: str) -> bool:
        """Return True if a mark ends a chosen branch, and remove that from the chosen ones."""
        trait = Trait.ELSE_ENDS_EARLY if kind == "else" else Trait.NESTED_MATCH
        key = kind if trait in self.traits else (kind, step.owner)
        if key not in chosen or (step.kind == "check" and trait not in self.traits):
            return False
        if kind == "match":
            chosen[:] = [other for other in chosen if other != key]
        else:
            chosen.remove(key)
        return True

    def choose(self, step: Step, chosen: list[object], kind: str, trait: Trait) -> None:
        chosen.append(kind if trait in self.traits else (kind, step.owner))

    def skip(self, program: list[Step], at: int, kind: str, owner: object, trait: Trait | None = None) -> int:
        """Return the position after the next mark of a kind: of the same owner, or of any with the trait."""
        while at < len(program):
            step = program[at]
            at += 1
            if step.kind == kind and (step.owner is owner or trait in self.traits):
                break
        return at

    def decide(self, step: Step, stack: list[Cell], program: list[Step], at: int, chosen: list[object]) -> int:
        top = stack[-1]
        if runtime.ends_and(top.value):
            top = stack[-1] = Cell(False, top.frame)
        if not isinstance(top.value, bool):
            if step.kind != "operand" and Trait.CONDITION_LEAKS not in self.traits:
                raise ValueError("invalid condition: expected true or false")
            return at
        if step.kind == "operand":
            assert step.frame is not None
            if top.value is not (step.frame.operator == "or"):
                return at
            frame = top.frame if Trait.SKIPS_TO_THE_END in self.traits else step.frame
            return self.skip(program, at, "frame", frame)
        stack.pop()
        if step.kind == "if":
            if top.value:
                self.choose(step, chosen, "else", Trait.ELSE_ENDS_EARLY)
                return at
            return self.skip(program, at, "else", step.owner)
        if top.value:
            self.choose(step, chosen, "match", Trait.NESTED_MATCH)
            return at
        return self.skip(program, at, "clause", step.owner, Trait.NESTED_MATCH)

    # -- Steps of a node ----------------------------------------------------------------------------------------------

    def steps(self, node: n.Expr, frame: Frame | None) -> Iterator[Step]:
        def do(action: Callable[[list[Cell], Scope], Any]) -> Step:
            """Return a step that pushes the result of `action` for the stack."""
            return Step("do", frame, lambda stack, scope: stack.append(Cell(action(stack, scope), frame)))

        match node:
            case n.Literal(value):
                source = self.source[node.span.start : node.span.end]
                literal = isinstance(value, bool)
                yield Step("push", frame, Cell(self.numbers.literal(self.encode(value), source), frame, literal))
            case n.Variable(name):
                yield do(lambda _, scope: scope[name])
            case n.Exists(name):
                yield do(lambda _, scope: scope.exists(name))
            case n.ListLiteral(items):
                yield from self.arguments(items, frame)
                yield do(lambda stack, _: _pop_arguments(stack))
            case n.MapLiteral(pairs):
                yield from self.arguments([part for pair in pairs for part in pair], frame)
                yield do(lambda stack, _: self.map(_pop_arguments(stack)))
            case n.Call(name, arguments):
                yield from self.arguments(arguments, frame)
                yield do(lambda stack, _: self.called(name, _pop_arguments(stack)))
            case n.Minus(operand):
                yield from self.steps(operand, frame)
                yield do(lambda stack, _: runtime.negate(_pop(stack)))
            case n.Arithmetic(symbol, left, right):
                yield from self.both(left, right, frame)
                yield do(lambda stack, _: self.numbers.calculate(symbol, *_pair(stack)))
            case n.Comparison(symbol, left, right):
                yield from self.both(left, right, frame)
                yield do(lambda stack, _: self.compare(symbol, *_pair(stack)))
            case n.Membership(item, container, negated):
                yield from self.both(item, container, frame)
                yield do(lambda stack, _: self.contains(*_pair(stack)) is not negated)
            case n.Negation(operand):
                yield from self.steps(operand, frame)
                yield do(lambda stack, _: not runtime.coerce_to_bool(_pop(stack)))
            case n.Conjunction(operands):
                yield from self.logical("and", operands, n.Conjunction, frame)
            case n.Disjunction(operands):
                yield from self.logical("or", operands, n.Disjunction, frame)
            case n.Conditional(condition, then, otherwise):
                yield from self.steps(condition, frame)
                yield Step("if", frame, owner=node)
                yield from self.steps(then, frame)
                yield Step("else", frame, owner=node)
                yield from self.steps(otherwise, frame)
                yield Step("end", frame, owner=node)
            case n.Match(clauses, default):
                yield from self.match(node, clauses, default, frame)
            case n.Lambda(parameters, body):
                yield do(lambda _, scope: self.closure(parameters, body, scope))

    def arguments(self, nodes: Any, frame: Frame | None) -> Iterator[Step]:
        yield Step("push", frame, MARK)
        for node in nodes:
            yield from self.steps(node, frame)

    def both(self, left: n.Expr, right: n.Expr, frame: Frame | None) -> Iterator[Step]:
        yield from self.steps(left, frame)
        yield from self.steps(right, frame)

    def logical(self, operator: str, operands: tuple[n.Expr, ...], kind: Any, frame: Frame | None) -> Iterator[Step]:
        own = Frame(operator)
        join = all if operator == "and" else any
        yield from self.steps(operands[0], own)
        yield Step("operand", own, owner=own)
        yield from self.steps(operands[1] if len(operands) == 2 else kind(operands[1:]), own)
        yield Step(
            "do", frame, lambda stack, _: stack.append(Cell(join([*map(runtime.coerce_to_bool, _pair(stack))]), frame))
        )
        yield Step("frame", own, owner=own)

    def match(
        self, node: n.Match, clauses: tuple[tuple[n.Expr, n.Expr], ...], default: n.Expr, frame: Frame | None
    ) -> Iterator[Step]:
        for check, action in clauses:
            yield from self.steps(check, frame)
            if Trait.LITERAL_CHECK in self.traits and _is_one_token(self.source, check):
                yield Step("do", frame, _literal_is_false)
            yield Step("check", frame, owner=node)
            yield from self.action(action, frame)
            yield Step("clause", frame, owner=node)
        yield from self.action(default, frame)
        yield Step("clauses", frame, owner=node)

    def action(self, node: n.Expr, frame: Frame | None) -> Iterator[Step]:
        yield from self.steps(node, frame)
        yield Step("do", frame, lambda stack, _: stack.append(Cell(runtime.call_if_lambda(_pop(stack)), frame)))

    # -- Operations ---------------------------------------------------------------------------------------------------

    def map(self, values: list[Any]) -> dict[Any, Any]:
        if len(values) % 2:  # a surplus value is on the stack: build the pairs from the end
            values = values[1:]
        made = runtime.make_map(*zip(values[::2], values[1::2], strict=True))
        if Trait.HASH_ORDER in self.traits:
            made = {key: made[key] for key in hash_order(reversed(made))}
        return LiteralMap(made) if Trait.NARROW_CLASSES in self.traits else made

    def compare(self, symbol: str, left: Any, right: Any) -> bool:
        if Trait.OBJECTS in self.traits and symbol in ("==", "!=") and is_object(left) and is_object(right):
            return (left is right) is (symbol == "==")
        return self.numbers.compare(symbol, left, right)

    def contains(self, item: Any, container: Any) -> bool:
        if isinstance(item, Character) and isinstance(container, str):
            return item == container
        return runtime.contains(item, container)

    def closure(self, parameters: tuple[str, ...], body: n.Expr, scope: Scope) -> Callable[..., Any]:
        program = [*self.steps(body, None)]

        def apply(*arguments: Any) -> Any:
            padded = [*arguments, *[None] * len(parameters)]
            bound = dict(scope.parameters) | dict(zip(parameters, padded, strict=False))
            return self.run(program, replace(scope, parameters=bound, in_lambda=True))

        return apply

    def called(self, name: str, arguments: list[Any]) -> Any:
        function = LIBRARY.get(name)
        if function is None:
            raise LookupError(f"unknown function {name}")
        if problem := arity_problem(function, len(arguments)):
            raise LookupError(problem)
        arguments = as_metron_takes_them(function, arguments, self.traits)
        used = [runtime.accept(function, index, value) for index, value in enumerate(arguments[: function.most])]
        context = [CONTEXT] if function.needs_context else []
        answer = self.numbers.returned(name, function.implementation(*context, *used))
        return as_metron_answers(function, used, answer, self.traits)


def _pop(stack: list[Cell]) -> Any:
    if not stack:
        raise ValueError("the stack is empty")
    return stack.pop().value


def _pair(stack: list[Cell]) -> tuple[Any, Any]:
    right, left = _pop(stack), _pop(stack)
    return left, right


def _pop_arguments(stack: list[Cell]) -> list[Any]:
    """Remove the values above the mark and return them."""
    if MARK not in stack:
        raise ValueError("the stack has no mark")
    values: list[Any] = []
    while (cell := stack.pop()) is not MARK:
        values.append(cell.value)
    return values[::-1]


def _is_one_token(source: str, node: n.Expr) -> bool:
    return isinstance(node, n.Literal | n.Variable) and not source[: node.span.start].rstrip().endswith("(")


def _literal_is_false(stack: list[Cell], _scope: Scope) -> None:
    if len(stack) == 1 and (stack[0].value is None or stack[0].literal):
        stack[0] = Cell(False)


# -- Strings of UTF-16 units------------------------------------------------------------------------------------------


def _split(string: str) -> str:
    return re.sub(r"[^\0-\uffff]", lambda wide: "".join(map(chr, _units(ord(wide[0])))), string)


def _units(code_point: int) -> tuple[int, int]:
    above = code_point - 0x10000
    return 0xD800 + (above >> 10), 0xDC00 + (above & 0x3FF)


def _join(string: str) -> str:
    return re.sub(
        "[\ud800-\udbff][\udc00-\udfff]",
        lambda pair: chr(0x10000 + ((ord(pair[0][0]) - 0xD800) << 10) + (ord(pair[0][1]) - 0xDC00)),
        string,
    )


def _map_strings(value: Any, change: Callable[[str], str]) -> Any:
    """Apply a function to all strings in a value."""
    if value.__class__ is str:
        return change(value)
    if isinstance(value, list):
        return [_map_strings(item, change) for item in value]
    if isinstance(value, dict):
        return {runtime.hashable(_map_strings(key, change)): _map_strings(item, change) for key, item in value.items()}
    if isinstance(value, set):
        return type(value)(runtime.hashable(_map_strings(item, change)) for item in value)
    return value
