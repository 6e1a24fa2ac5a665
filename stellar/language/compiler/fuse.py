"""Many predicates to one Python function, built as Python's `ast` by the compiler of single expressions.

    def rules(record, context, match, fail):
        v_user = record.get("user")               # variables of several rules are read once
        s1 = s2 = None                            # the values of shared subexpressions
        try:
            if <rule 0>: match(0)
        except Exception as error: fail((0, error))
        try:
            if <rule 1>: match(1)
        except Exception as error: fail((1, error))

Each rule is compiled as by itself, with the source locations of its own source, so the traceback of an exception and
the number of the rule give the failing subexpression.

Sharing. Subexpressions are numbered such that equal ones have the same number. One that occurs several times, and whose
values cannot be changed, has a local `s1`, and each occurrence becomes

    s1 if s1 is not None else (s1 := <subexpression>)

It is evaluated by the first rule that reaches it. If it fails there, the local stays unset, so each rule that reaches
it fails with an error of its own. A value equal to the mark of an unset local is computed again, which is correct as
the functions of fused rules are pure. Within a shared subexpression only what also occurs elsewhere is shared.

Order. A rule may be skipped at any point by an exception, so the locals that one rule assigns are unknown to the next.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from stellar.language import nodes as n
from stellar.language import runtime
from stellar.language.compiler import pyast as py
from stellar.language.compiler.analysis import static_class
from stellar.language.compiler.codegen import Compiler
from stellar.language.compiler.functions import define_function
from stellar.language.compiler.pyast import IS_NOT, LOAD, STORE, Code, HeldValue, Position
from stellar.language.compiler.source_map import RULES_FILENAME, SourceMap
from stellar.language.library import Library

# Rules of one Python function, because Python compiles long functions in more than linear time
MOST_RULES = 200
# Levels of a tree that is fused; deeper ones may exceed Python's stack, and are compiled by themselves
MOST_LEVELS = 60
# The position of code that belongs to no rule
NOWHERE: Position = {"lineno": 1, "col_offset": 0, "end_lineno": 1, "end_col_offset": 0}

# A function (record, context, match, fail) that evaluates several rules
FusedRules = Callable[..., None]


class RuleSource(NamedTuple):
    """A predicate to compile: its number in the rule set, source and tree."""

    number: int
    source: str
    tree: n.Expr


def fuse(rules: Sequence[RuleSource], library: Library) -> FusedRules:
    """Return a function `(record, context, match, fail)` that evaluates predicates.

    record: a dict
    match: called with the number of each rule that is true, in order
    fail: called with the number of each rule that fails, and the exception, as a pair

    All functions that the rules call are pure.
    """
    compiler = RuleCompiler(rules, library)
    function: FusedRules = define_function(compiler.compile_rules(), "rules", compiler.names, RULES_FILENAME)
    return function


def is_shallow(tree: n.Expr) -> bool:
    """Return True unless a tree is too deep."""
    level: tuple[n.Expr, ...] = (tree,)
    levels = 0
    while level and levels < MOST_LEVELS:
        level = tuple(child for node in level for child in n.children(node))
        levels += 1
    return not level


class RuleCompiler(Compiler):
    """The compiler of one function for several rules."""

    def __init__(self, rules: Sequence[RuleSource], library: Library) -> None:
        super().__init__(library, SourceMap(""), strict=False, fast=True)
        self.rules = rules
        self.shared = find_shared([rule.tree for rule in rules], library)
        self._temporaries = 0

    def new_name(self, prefix: str) -> str:
        """Return a name that the rule does not use yet; other rules reuse those of temporary values."""
        if prefix != "t":
            return super().new_name(prefix)
        self._temporaries += 1
        return f"t{self._temporaries}"

    def compile_rules(self) -> ast.Module:
        """Return a module that defines the function."""
        body: list[ast.stmt] = [
            ast.Assign([ast.Name(share.local, STORE, **NOWHERE)], py.constant(share.unset, NOWHERE), None, **NOWHERE)
            for share in sorted(set(self.shared.values()), key=lambda share: share.number)
        ]
        body += self._read_variables()
        for rule in self.rules:
            self._temporaries = 0
            self.source_map = SourceMap(rule.source)
            with self.branch():
                body.append(self._compile_rule(rule))
        parameters = [py.parameter(name, NOWHERE) for name in ("record", "context", "match", "fail")]
        arguments = ast.arguments([], parameters, None, [], [], None, [])
        return ast.Module([ast.FunctionDef("rules", arguments, body, [], None, None, **NOWHERE)], [])

    def _read_variables(self) -> Iterator[ast.stmt]:
        """Read the variables of several rules into locals."""
        counts = Counter(name for rule in self.rules for name in _free_variables(rule.tree))
        for name, count in counts.items():
            if count > 1:
                yield ast.Expr(self.compile_variable(name, NOWHERE), **NOWHERE)

    def _compile_rule(self, rule: RuleSource) -> ast.stmt:
        at = self.source_map[rule.tree.span]
        test = self.compile(rule.tree)
        if static_class(rule.tree, self.library) is not bool:
            test = self.call_helper(runtime.require_bool_or_null, [test], at)
        number = py.constant(rule.number, at)
        match = ast.Expr(py.call(py.load("match", at), [number], at), **at)
        pair = ast.Tuple([number, py.load("error", at)], LOAD, **at)
        failure = ast.Expr(py.call(py.load("fail", at), [pair], at), **at)
        handler = ast.ExceptHandler(py.load("Exception", at), "error", [failure], **at)
        return ast.Try([ast.If(test, [match], [], **at)], [handler], [], [], **at)

    # -- Shared subexpressions ----------------------------------------------------------------------------------------

    def compile(self, node: n.Expr) -> Code:
        share = self.shared.get(id(node))
        if share is None:
            return super().compile(node)
        at = self.source_map[node.span]
        local = share.local
        if local in self.scope.locals:  # it is evaluated on every path to this point
            return py.load(local, at)
        with self.branch():
            code = super().compile(node)
        self.scope.locals[local] = local
        is_set = py.compare(py.load(local, at), IS_NOT, py.constant(share.unset, at), at)
        return py.conditional(is_set, py.load(local, at), py.assign(local, code, at), at)

    def hold(self, node: n.Expr) -> HeldValue:
        if (share := self.shared.get(id(node))) is None:
            return super().hold(node)
        return HeldValue(self.compile(node), py.load(share.local, self.source_map[node.span]))


class Share(NamedTuple):
    """A shared subexpression: its number, and the value of its local while it is unset."""

    number: int
    unset: Any

    @property
    def local(self) -> str:
        """The name of its local; in the locals of a scope also its key, as no variable has such a name."""
        return f"shared {self.number}"


def find_shared(trees: Sequence[n.Expr], library: Library) -> dict[int, Share]:
    """Return the shared subexpressions by the id of each of their nodes.

    Equal subexpressions have one number, which is greater than those of their children. So in descending order all
    parents of a number are known: a shared parent evaluates it once, any other as often as it is evaluated itself.
    """
    numbers: dict[Any, int] = {}
    by_id: dict[int, int] = {}
    unique: list[n.Expr] = []
    for node in _list_children_first(trees):
        within = () if isinstance(node, n.Lambda) else tuple(by_id[id(child)] for child in n.children(node))
        attributes = n.outline(node) if isinstance(node, n.Lambda) else n.describe_attributes(node)
        number = numbers.setdefault((type(node), *attributes, within), len(unique))
        if number == len(unique):
            unique.append(node)
        by_id[id(node)] = number
    uses = Counter(by_id[id(tree)] for tree in trees)
    shares: dict[int, Share] = {}
    for number in reversed(range(len(unique))):
        node, count = unique[number], uses[number]
        if count > 1 and _is_shareable(node, library):
            shares[number] = Share(number, None if _is_never_null(node, library) else ...)
            count = 1
        if not isinstance(node, n.Lambda):
            for child in n.children(node):
                uses[by_id[id(child)]] += count
    return {key: shares[number] for key, number in by_id.items() if number in shares}


def _list_children_first(trees: Sequence[n.Expr]) -> Iterator[n.Expr]:
    for tree in trees:
        yield from reversed(list(_walk_outside_lambdas(tree)))


# Their values are booleans or numbers
_OPERATIONS = (n.Comparison, n.Membership, n.Negation, n.Conjunction, n.Disjunction, n.Arithmetic, n.Minus)


def _is_shareable(node: n.Expr, library: Library) -> bool:
    """Return True for an operation, or a call whose result cannot be changed, on variables."""
    if not isinstance(node, _OPERATIONS) and not (isinstance(node, n.Call) and library[node.name].returns_scalar):
        return False
    return any(isinstance(each, n.Variable | n.Exists) for each in n.walk(node))


def _is_never_null(node: n.Expr, library: Library) -> bool:
    return not isinstance(node, n.Call) or library[node.name].returns in (bool, int, float, str)


def _walk_outside_lambdas(tree: n.Expr) -> Iterator[n.Expr]:
    stack = [tree]
    while stack:
        node = stack.pop()
        yield node
        if not isinstance(node, n.Lambda):
            stack.extend(reversed(n.children(node)))


def _free_variables(tree: n.Expr) -> set[str]:
    return {node.name for node in _walk_outside_lambdas(tree) if isinstance(node, n.Variable | n.Exists)}
