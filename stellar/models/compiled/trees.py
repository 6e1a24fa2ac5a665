"""Code of predicates and trees for ordinary records, in which no predicate is unknown."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping

from stellar.models.compiled.fields import LocalValue, NotCompiled, compare
from stellar.models.compiled.thresholds import find_upper_bound
from stellar.models.evaluation.inputs import parse_constant
from stellar.models.forms.bodies import TreeForm, TreeNode
from stellar.models.forms.predicates import Always, Combination, FieldComparison, Predicate, SetMembership
from stellar.util.function_builder import FunctionBuilder, constant, load

DEEPEST = 60  # levels of a tree, which are nested statements
Locals = Mapping[str, LocalValue]
_OPERATORS: dict[str, type[ast.cmpop]] = {
    "equal": ast.Eq,
    "notEqual": ast.NotEq,
    "lessThan": ast.Lt,
    "lessOrEqual": ast.LtE,
    "greaterThan": ast.Gt,
    "greaterOrEqual": ast.GtE,
}


def write_predicate(form: Predicate, values: Locals, builder: FunctionBuilder) -> ast.expr:
    """Return the test of a predicate."""
    match form:
        case Always():
            return constant(form.value)
        case FieldComparison():
            return _write_comparison(form, values)
        case SetMembership():
            local = find_local(form.field, values)
            if local.kind == "float":
                raise NotCompiled
            members = frozenset(parse_constant(value, local.kind, form.origin) for value in form.values)
            operator = ast.NotIn() if form.negated else ast.In()
            return compare(load(local.name), operator, builder.bind(members, "members"))
    return _write_combination(form, values, builder)


def find_local(name: str, values: Locals) -> LocalValue:
    """Return the variable of a field."""
    if name not in values:
        raise NotCompiled
    return values[name]


def _write_comparison(form: FieldComparison, values: Locals) -> ast.expr:
    local = find_local(form.field, values)
    if form.operator in ("isMissing", "isNotMissing"):
        return constant(form.operator == "isNotMissing")
    assert form.value is not None  # the other operators have one
    is_equality = form.operator in ("equal", "notEqual")
    if local.kind == "float":
        return _write_single(form, local)
    if local.kind == "string" and not is_equality:
        raise NotCompiled
    data = "double" if local.kind == "integer" and not is_equality else local.kind
    value = parse_constant(form.value, data, form.origin)
    return compare(load(local.name), _OPERATORS[form.operator](), constant(value))


def _write_single(form: FieldComparison, local: LocalValue) -> ast.expr:
    """Return a comparison of a number as if it were rounded to binary32."""
    value = float(parse_constant(form.value or "", "float", form.origin))
    match form.operator:
        case "lessOrEqual" | "greaterThan":
            limit = find_upper_bound(value, is_open=False)
        case "lessThan" | "greaterOrEqual":
            limit = find_upper_bound(value, is_open=True)
        case _:
            raise NotCompiled
    operator = ast.LtE() if form.operator.startswith("less") else ast.Gt()
    return compare(load(local.name), operator, constant(limit))


_COMPLEMENTS = {
    "equal": "notEqual",
    "notEqual": "equal",
    "lessThan": "greaterOrEqual",
    "lessOrEqual": "greaterThan",
    "greaterThan": "lessOrEqual",
    "greaterOrEqual": "lessThan",
}


def are_complements(one: Predicate, other: Predicate) -> bool:
    """Return True if exactly one of two predicates is true, whatever the value of their field."""
    if isinstance(one, FieldComparison) and isinstance(other, FieldComparison):
        is_same = (one.field, one.value) == (other.field, other.value)
        return is_same and _COMPLEMENTS.get(one.operator) == other.operator
    if isinstance(one, SetMembership) and isinstance(other, SetMembership):
        return (one.field, one.values) == (other.field, other.values) and one.negated is not other.negated
    return False


def _write_combination(form: Combination, values: Locals, builder: FunctionBuilder) -> ast.expr:
    if form.operator == "surrogate":
        return write_predicate(form.predicates[0], values, builder)
    tests = [write_predicate(predicate, values, builder) for predicate in form.predicates]
    if form.operator == "xor":
        first, *rest = tests
        for test in rest:
            first = compare(first, ast.IsNot(), test)
        return first
    return ast.BoolOp(ast.And() if form.operator == "and" else ast.Or(), tests)


def write_tree(
    form: TreeForm,
    values: Locals,
    builder: FunctionBuilder,
    write_leaf: Callable[[TreeNode], list[ast.stmt]],
    write_missing: Callable[[], list[ast.stmt]],
) -> list[ast.stmt]:
    """Return the statements of a tree.

    write_leaf: returns the statements for the node of a record
    write_missing: returns the statements for a record without one
    """
    returns_last = form.no_true_child == "returnLastPrediction"

    def write_node(node: TreeNode, depth: int) -> list[ast.stmt]:
        if depth > DEEPEST:
            raise NotCompiled
        if not node.children:
            return write_leaf(node)
        orelse = write_leaf(node) if returns_last and node.score is not None else write_missing()
        children = [form.nodes[index] for index in node.children]
        if len(children) == 2 and are_complements(children[0].predicate, children[1].predicate):
            orelse = write_node(children.pop(), depth + 1)
        for child in reversed(children):
            body = write_node(child, depth + 1)
            test = write_predicate(child.predicate, values, builder)
            orelse = body if isinstance(test, ast.Constant) and test.value is True else [ast.If(test, body, orelse)]
        return orelse

    root = form.nodes[0]
    test = write_predicate(root.predicate, values, builder)
    body = write_node(root, 0)
    return body if isinstance(test, ast.Constant) and test.value is True else [ast.If(test, body, write_missing())]
