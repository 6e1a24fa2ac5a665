"""Properties of a syntax tree that are known before it is evaluated."""

from __future__ import annotations

from types import FunctionType, GenericAlias, NoneType
from typing import Any, NamedTuple

from stellar.language import nodes as n
from stellar.language import runtime
from stellar.language.compiler.operators import (
    ARITHMETIC,
    EXACT,
    MOST_INLINE_OPERATIONS,
    MOST_INLINE_VARIABLES,
)
from stellar.language.library import UNKNOWN, Kind, Library
from stellar.language.python_values import OWN


def static_class(node: n.Expr, library: Library) -> type | None:
    """Return the Python class that every value of a node has; None if it is unknown."""
    match node:
        case n.Literal(value):
            return value.__class__
        case n.Comparison() | n.Membership() | n.Negation() | n.Conjunction() | n.Disjunction() | n.Exists():
            return bool
        case n.ListLiteral():
            return list
        case n.MapLiteral():
            return dict
        case n.Lambda():
            return FunctionType
        case n.Call(name) if name in library:
            returns = library[name].returns
            if isinstance(returns, GenericAlias) and returns.__origin__ in _COLLECTIONS:
                return returns.__origin__
            # Any and object are classes, but do not restrict the value
            return returns if isinstance(returns, type) and returns not in (Any, object) else None
    return None


# The classes of values whose annotation names the classes of its members, too, such as list[str]
_COLLECTIONS = (list, dict, set)


def may_be_lambda(node: n.Expr, library: Library) -> bool:
    """Return False if no value of a node is a lambda."""
    if isinstance(node, n.Variable | n.Lambda | n.Conditional | n.Match):
        return True
    return isinstance(node, n.Call) and static_class(node, library) is None


def accepts_every_value(kind: Kind, node: n.Expr, library: Library) -> bool:
    """Return True if a parameter of this kind accepts every value that a node can have."""
    if isinstance(node, n.Literal):
        return kind.accepts(node.value)
    if not kind.classes:
        return not kind.converted or static_class(node, library) in OWN
    return static_class(node, library) in kind.classes


def literal_members(node: n.Expr) -> frozenset[Any] | None:
    """Return the items of a list literal of strings only, or of integers only; None for any other node."""
    if not isinstance(node, n.ListLiteral) or not node.items:
        return None
    values = [item.value for item in node.items if isinstance(item, n.Literal)]
    classes = {value.__class__ for value in values}
    if len(values) == len(node.items) and (classes == {str} or classes == {int}):
        return frozenset(values)
    return None


def comparable_classes(value: Any) -> tuple[type, ...]:
    """Return the classes whose values Python compares with a literal as Stellar does."""
    if isinstance(value, str):
        return (str,)
    if value is None or isinstance(value, bool) or not abs(value) < EXACT:
        return ()
    return (int, float)


def constant_collection(node: n.Expr) -> list[Any] | dict[Any, Any] | None:
    """Return the list or map of a literal whose members are all constants; None for any other node."""
    match node:
        case n.ListLiteral(items):
            members = [fold_constant(item) for item in items]
            return None if any(member is UNKNOWN for member in members) else members
        case n.MapLiteral(pairs):
            entries = [(fold_constant(key), fold_constant(value)) for key, value in pairs]
            is_constant = all(part is not UNKNOWN for entry in entries for part in entry)
            return runtime.make_map(*entries) if is_constant else None
    return None


def fold_constant(node: n.Expr) -> Any:
    """Return the value of a literal, or of a calculation with numbers; UNKNOWN for any other node."""
    folded = node if isinstance(node, n.Literal) else fold(node)
    return folded.value if isinstance(folded, n.Literal) else UNKNOWN


def is_nested_loop(arguments: tuple[n.Expr, ...]) -> bool:
    """Return True for a lambda among arguments, and one within a lambda that evaluating them or the call evaluates."""
    if not any(isinstance(each, n.Lambda) for each in arguments):
        return False
    nodes = [(each, False) for each in arguments]
    while nodes:  # a long chain has more levels than a recursion may have
        node, is_inside = nodes.pop()
        is_lambda = isinstance(node, n.Lambda)
        if is_lambda and is_inside:
            return True
        nodes += [(child, is_inside or is_lambda) for child in n.children(node)]
    return False


def split_chain(node: n.Arithmetic) -> tuple[n.Expr, list[n.Arithmetic]]:
    """Split `a + b + c` into its first operand and its operations from left to right."""
    steps = [node]
    while isinstance(steps[-1].left, n.Arithmetic):
        steps.append(steps[-1].left)
    return steps[-1].left, steps[::-1]


class InlineTree(NamedTuple):
    """A calculation on a few variables and numbers, for which one guard is enough.

    node: the tree, with operations on numbers only replaced by their results
    variables: the variables in the order of evaluation
    divisors: the variables that are divided by
    for_integers: True if Python's operators give Stellar's result for ints as well as for floats
    """

    node: n.Expr
    variables: list[str]
    divisors: frozenset[str]
    for_integers: bool

    @property
    def constant(self) -> int | float | None:
        """The value of a tree without variables."""
        value = self.node.value if isinstance(self.node, n.Literal) else None
        return value if isinstance(value, int | float) else None

    @classmethod
    def of(cls, node: n.Arithmetic) -> InlineTree | None:
        """Return the inline tree of a node, or None.

        None means that the node contains something other than variables and numbers, too many variables or operations,
        or a division that can't be inline.
        """
        folded = fold(node)
        if folded is None:
            return None
        nodes = list(n.walk(folded))
        variables = list(dict.fromkeys(node.name for node in nodes if isinstance(node, n.Variable)))
        operations = [node for node in nodes if isinstance(node, n.Arithmetic)]
        if "_" in variables or len(variables) > MOST_INLINE_VARIABLES or len(operations) > MOST_INLINE_OPERATIONS:
            return None
        divisors = [operation.right for operation in operations if operation.operator == "/"]
        if not all(isinstance(d, n.Variable) or (isinstance(d, n.Literal) and d.value) for d in divisors):
            return None
        numbers = [node.value for node in nodes if isinstance(node, n.Literal)]
        if any(isinstance(number, int) and abs(number) > EXACT for number in numbers) and variables:
            return None
        for_integers = not divisors and all(isinstance(number, int) for number in numbers)
        return cls(folded, variables, frozenset(d.name for d in divisors if isinstance(d, n.Variable)), for_integers)


def fold(node: n.Expr) -> n.Expr | None:
    """Replace operations on numbers by their results; None if a node contains more than variables and numbers."""
    match node:
        case n.Variable():
            return node
        case n.Literal(value):
            return node if runtime.is_number(value) else None
        case n.Minus(operand):
            inner = fold(operand)
            if isinstance(inner, n.Literal):
                return n.Literal(runtime.negate(inner.value), span=node.span)
            return None if inner is None else n.Minus(inner, span=node.span)
        case n.Arithmetic():
            return _fold_operation(node)
    return None


def _fold_operation(node: n.Arithmetic) -> n.Expr | None:
    left, right = fold(node.left), fold(node.right)
    if left is None or right is None:
        return None
    if isinstance(left, n.Literal) and isinstance(right, n.Literal):
        try:
            return n.Literal(ARITHMETIC[node.operator][1](left.value, right.value), span=node.span)
        except ValueError:
            return None  # the error is raised when the operation is evaluated
    return n.Arithmetic(node.operator, left, right, span=node.span)


# -- Tests of a variable for literals, such as `port == 22` ------------------------------------------------------------

Key = tuple[type, Any]


class ValueTest(NamedTuple):
    """A test that is true exactly for some values of a variable, as long as its class is Stellar's own."""

    variable: str
    keys: frozenset[Key]


def find_test(node: n.Expr) -> ValueTest | None:
    """Return the test that a node is: a variable compared with literals by `==` or `in`, or several with `or`."""
    match node:
        case n.Comparison("==", n.Variable(name), n.Literal(value)) | n.Comparison(
            "==", n.Literal(value), n.Variable(name)
        ):
            keys = _list_equal(value)
        case n.Membership(n.Variable(name), container, False):
            # Members are compared by class and value
            keys = [(type(member), member) for member in literal_members(container) or ()]
        case n.Disjunction(operands):
            return _unite([find_test(operand) for operand in operands])
        case _:
            return None
    return ValueTest(name, frozenset(keys)) if keys and name != "_" else None


def _unite(tests: list[ValueTest | None]) -> ValueTest | None:
    known = [test for test in tests if test is not None]
    if len(known) < len(tests) or len({test.variable for test in known}) > 1:
        return None
    return ValueTest(known[0].variable, frozenset().union(*(test.keys for test in known)))


def _list_equal(value: Any) -> list[Key]:
    """Return the keys of all values that equal a literal; none if that depends on rounding."""
    match value:
        case None:
            return [(NoneType, None)]
        case bool() | str():
            return [(type(value), value)]
    if not abs(value) < EXACT:  # also if it is not a number
        return []
    keys: list[Key] = [(float, float(value))]
    return [*keys, (int, int(value))] if value == int(value) else keys
