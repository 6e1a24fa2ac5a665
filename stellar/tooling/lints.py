"""Surprises: texts that mean, by Metron's rules which are kept, something else than a reader would think.

Each lint is a function of a node; its name with dashes is the lint's name, and LINTS at the end lists them. They are
described in docs/lints.md.
"""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeGuard, Union, get_args, get_origin

from stellar.language import nodes as n
from stellar.language.compiler.analysis import static_class
from stellar.language.library import Function, Library
from stellar.language.source import Span


@dataclass(frozen=True, slots=True)
class Finding:
    """Something in an expression that is allowed, but seldom meant.

    name: the lint's name, such as `mixed-and-or`
    message: what the text really means
    span: where
    hint: how to write it so that nobody is surprised
    """

    name: str
    message: str
    span: Span
    hint: str


Found = Iterator[tuple[Span, str, str]]


@dataclass(frozen=True, slots=True)
class Text:
    """What a lint may look at beside the node: the source, the functions that there are, and the node's parents."""

    source: str
    library: Library
    parents: dict[int, n.Expr] = field(default_factory=dict)

    def parent(self, node: n.Expr) -> n.Expr | None:
        return self.parents.get(id(node))

    def between(self, start: int, end: int) -> str:
        """What stands between two parts of the text, without comments and blanks: an operator, brackets."""
        return re.sub(r"//[^\n]*|\s", "", self.source[start:end])

    def encloses_left(self, left: n.Expr, right: n.Expr) -> bool:
        """Whether the left one of two operands stands in parentheses of its own."""
        return ")" in self.between(left.span.end, right.span.start)

    def encloses_right(self, left: n.Expr, right: n.Expr) -> bool:
        """Whether the right one of two operands stands in parentheses of its own."""
        return "(" in self.between(left.span.end, right.span.start)

    def grouped(self, whole: Span, part: Span) -> str:
        """A hint that shows the whole with parentheses round the part, if it is short enough to be shown."""
        start, end = part.start, part.end
        written = f"{self.source[whole.start : start]}({self.source[start:end]}){self.source[end : whole.end]}"
        shown = f": it is read as {written}" if len(written) <= 80 and "\n" not in written else ""
        return f"put parentheses round what belongs together{shown}"

    def is_parameter(self, node: n.Variable) -> bool:
        """Whether the variable is a parameter of a lambda around it."""
        above = self.parent(node)
        while above is not None:
            if isinstance(above, n.Lambda) and node.name in above.parameters:
                return True
            above = self.parent(above)
        return False

    def noun(self, node: n.Expr) -> str | None:
        """What kind of value a node has, unless it is null: "a text", "a number", …; None if that can't be told."""
        if isinstance(node, n.Arithmetic | n.Minus):
            return "a number"
        if isinstance(node, n.Call):
            return _returned(self.library.get(node.name))
        return _NOUNS.get(static_class(node, self.library))


def _returned(function: Function | None) -> str | None:
    """What kind of value a function returns when it does not return null."""
    if function is None:
        return None
    returns = function.returns
    members = get_args(returns) if get_origin(returns) in (Union, types.UnionType) else (returns,)
    nouns = {_NOUNS.get(get_origin(member) or member) for member in members if member is not types.NoneType}
    return nouns.pop() if len(nouns) == 1 else None


_NOUNS: dict[object, str] = {
    str: "a text",
    int: "a number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "a map",
    Mapping: "a map",
    set: "a set",
    types.FunctionType: "a lambda",
}


def lint(tree: n.Expr, source: str, library: Library) -> list[Finding]:
    """All findings in an expression, in the order of the text."""
    nodes = list(n.walk(tree))
    text = Text(source, library, {id(part): node for node in nodes for part in n.children(node)})
    findings = [
        Finding(name, message, span, hint)
        for node in nodes
        for name, look in LINTS.items()
        for span, message, hint in look(node, text)
    ]
    return sorted(findings, key=lambda finding: (finding.span.start, finding.name))


# -- Precedence -------------------------------------------------------------------------------------------------------


def product_in_divisor(node: n.Expr, text: Text) -> Found:
    match node:
        case n.Arithmetic("/", left, n.Arithmetic("*") as divisor) if not text.encloses_right(left, divisor):
            message = "* binds tighter than /, so this divides by the product"
            yield node.span, message, text.grouped(node.span, divisor.span)


def mixed_and_or(node: n.Expr, text: Text) -> Found:
    # A chain is reported once, at its beginning
    if _mixes(node, text) and not _mixes(text.parent(node), text):
        message = "`and` and `or` have one precedence and group from the right: a and b or c is a and (b or c)"
        yield node.span, message, text.grouped(node.span, node.operands[-1].span)


def _mixes(node: n.Expr | None, text: Text) -> TypeGuard[n.Conjunction | n.Disjunction]:
    match node:
        case n.Conjunction((*_, before, n.Disjunction() as last)) | n.Disjunction(
            (*_, before, n.Conjunction() as last)
        ):
            return not text.encloses_right(before, last)
    return False


def swallowed_comparison(node: n.Expr, text: Text) -> Found:
    match node:
        case n.Membership(item, n.Comparison() | n.Membership() as container) if not text.encloses_right(
            item, container
        ):
            message = "`in` takes the comparison after it as its container: a in b == c is a in (b == c)"
            yield node.span, message, text.grouped(node.span, container.span)


def chained_comparison(node: n.Expr, text: Text) -> Found:
    if _chains(node, text) and not _chains(text.parent(node), text):
        message = "this compares the outcome of the first comparison, true or false, with what follows"
        yield node.span, message, "join two comparisons: a < b and b < c"


def _chains(node: n.Expr | None, text: Text) -> bool:
    match node:
        case n.Comparison(_, n.Comparison(), n.Literal(bool())):  # a < b == true means what it seems to
            return False
        case n.Comparison(_, n.Comparison() as left, right):
            return not text.encloses_left(left, right)
    return False


def tight_not(node: n.Expr, text: Text) -> Found:
    match node:
        case n.Comparison(_, n.Negation() as left, right) | n.Membership(n.Negation() as left, right):
            # not(x) == y is Metron's only form, and looks like what it is
            called = "(" in text.between(left.span.start, left.operand.span.start)
            if not called and not text.encloses_left(left, right):
                message = "`not` binds tighter than the operator: it negates only what stands right behind it"
                yield node.span, message, "write not(a == b), or (not a) == b if that is meant"


def swallowed_name(node: n.Expr, text: Text) -> Found:
    match node:
        case n.Membership(_, container, True):
            start = container.span.start
            name = re.compile(r"[\w.:$]+").match(text.source, start)
            if name and text.source[:start].endswith(("not in", "NOT IN")):
                message = "`not in` is read as one word, also where a name goes on: 1 not index is 1 not in dex"
                yield Span(start - len("not in"), name.end()), message, "put a blank behind `not in`"


# -- Values of the wrong kind -----------------------------------------------------------------------------------------


def condition_not_boolean(node: n.Expr, text: Text) -> Found:
    for check in _conditions(node):
        noun = text.noun(check)
        filled = isinstance(check, n.ListLiteral | n.MapLiteral) and n.children(check)
        if filled or noun in ("a text", "a number", "a lambda"):
            message = f"a condition is true or false; {noun} here is an error"
            yield check.span, message, "compare it with something"


def literal_match_check(node: n.Expr, text: Text) -> Found:
    for check in _conditions(node):
        if isinstance(node, n.Match) and isinstance(check, n.Literal) and check.value is True:
            message = "a literal true always matches here, where Metron takes it for false"
            yield check.span, message, "use default for the last resort"


def _conditions(node: n.Expr) -> list[n.Expr]:
    match node:
        case n.Conditional(condition):
            return [condition]
        case n.Match(clauses):
            return [check for check, _ in clauses]
    return []


def value_as_truth(node: n.Expr, text: Text) -> Found:
    if isinstance(node, n.Conjunction | n.Disjunction | n.Negation):
        for operand in n.children(node):
            noun = text.noun(operand)
            if noun not in (None, "true or false"):
                judged = _JUDGED.get(noun, "is judged by its text here; only true, yes, y, on and 1 are true")
                yield operand.span, f"{noun} {judged}", "compare it with something: x == 1 or x == 2, not x == 1 or 2"


_JUDGED: dict[str | None, str] = {
    **dict.fromkeys(("a list", "a set"), "is judged by its first item here; only true, yes, y, on and 1 are true"),
    **dict.fromkeys(("a map", "a lambda"), "is always false here"),
}


def different_kinds(node: n.Expr, text: Text) -> Found:
    if not isinstance(node, n.Comparison) or _chains(node, text):
        return
    left, right = text.noun(node.left), text.noun(node.right)
    if left is not None and right is not None and left != right:
        outcome = {"==": "is always false", "!=": "is always true"}.get(node.operator, "is an error")
        message = f"{left} is compared with {right}: this {outcome}"
        yield node.span, message, "convert one side: TO_STRING(x), TO_INTEGER(x), TO_DOUBLE(x)"


def fruitless_in(node: n.Expr, text: Text) -> Found:
    if isinstance(node, n.Membership):
        item, container = text.noun(node.item), text.noun(node.container)
        if container == "a text" and item not in (None, "a text"):
            yield node.span, f"{item} is never in a text", "convert it: TO_STRING(x) in text"
        elif container in ("a number", "a lambda"):
            message = f"`in` looks into a text, list, set or map; with {container} it is =="
            yield node.span, message, "write ==, or a list: x in [1, 2]"


def calculation_without_numbers(node: n.Expr, text: Text) -> Found:
    if isinstance(node, n.Arithmetic | n.Minus):
        for operand in n.children(node):
            noun = text.noun(operand)
            if noun not in (None, "a number"):
                message = f"only numbers can be calculated with; {noun} is an error, unless it is null"
                yield operand.span, message, "JOIN([a, b], '') joins texts; TO_DOUBLE(x) makes a number of one"


def truncated_division(node: n.Expr, text: Text) -> Found:
    match node:
        case n.Arithmetic("/", n.Literal(int() as dividend), n.Literal(int() as divisor)) if (
            divisor and dividend % divisor
        ):
            message = "whole numbers divide to a whole number: the fraction is dropped"
            yield node.span, message, f"write {dividend}.0 / {divisor} for the fraction"


def order_with_null(node: n.Expr, text: Text) -> Found:
    match node:
        case n.Comparison("<" | "<=" | ">" | ">=", n.Literal(None), _) | n.Comparison(
            "<" | "<=" | ">" | ">=", _, n.Literal(None)
        ):
            yield node.span, "an order with null is always false", "use == null, or exists(x)"


def compared_with_nan(node: n.Expr, text: Text) -> Found:
    if isinstance(node, n.Comparison) and any(_is_nan(side) for side in (node.left, node.right)):
        nouns = {text.noun(node.left), text.noun(node.right)}
        outcome = "true" if node.operator == "!=" else "false"
        if nouns <= {None, "a number"}:  # else it compares different kinds
            yield node.span, f"NaN equals nothing, not even itself: this is always {outcome}", "use IS_NAN(x)"


def _is_nan(node: n.Expr) -> bool:
    return isinstance(node, n.Literal) and node.value != node.value


# -- Names, calls and collections -------------------------------------------------------------------------------------


def keyword_as_name(node: n.Expr, text: Text) -> Found:
    if isinstance(node, n.Variable) and not text.is_parameter(node):
        keyword = "null" if node.name == "None" else _KEYWORDS.get(node.name.lower())
        if keyword:
            yield node.span, f"{node.name} is the name of a field here", f"the keyword is {keyword}"


_KEYWORDS = {"true": "true", "false": "false", "null": "null", "nan": "NaN"}


def name_as_key(node: n.Expr, text: Text) -> Found:
    if not isinstance(node, n.MapLiteral):
        return
    before = node.span.start
    for key, value in node.pairs:
        plain = "(" not in text.between(before, key.span.start)
        if isinstance(key, n.Variable) and plain and not text.is_parameter(key):
            message = f"the key is the value of the field {key.name}, not the text '{key.name}'"
            yield key.span, message, f"write '{key.name}', or ({key.name}) if the value is meant"
        before = value.span.end


def repeated_key(node: n.Expr, text: Text) -> Found:
    if isinstance(node, n.MapLiteral):
        keys = [key for key, _ in node.pairs if isinstance(key, n.Literal)]
        for index, key in enumerate(keys):
            if any(key.value == earlier.value for earlier in keys[:index]):
                message = "of two equal keys the first one counts; 1, 1.0 and true are equal as keys"
                yield key.span, message, "remove one of the two"


def repeated_parameter(node: n.Expr, text: Text) -> Found:
    if isinstance(node, n.Lambda) and len(set(node.parameters)) < len(node.parameters):
        names = re.finditer(r"//[^\n]*|[\w.:$]+", text.source[node.span.start : node.body.span.start])
        spans = [name.span() for name in names if not name[0].startswith("//")]
        for index, (name, (start, end)) in enumerate(zip(node.parameters, spans, strict=True)):
            if name in node.parameters[:index]:
                span = Span(node.span.start + start, node.span.start + end)
                yield span, "of two parameters with one name the last one is bound", "rename one of them"


def surplus_argument(node: n.Expr, text: Text) -> Found:
    if not isinstance(node, n.Call) or (function := text.library.get(node.name)) is None:
        return
    if function.most is not None and len(node.arguments) > function.most and function.ignores_surplus:
        span = node.arguments[function.most].span | node.arguments[-1].span
        yield span, f"{node.name} evaluates this and ignores it", f"its form is {function.usage}"


def doubled_backslash(node: n.Expr, text: Text) -> Found:
    if not isinstance(node, n.Call) or (function := text.library.get(node.name)) is None:
        return
    for argument, parameter in zip(node.arguments, function.parameters, strict=False):
        # Not where a name goes on, as in C:\\Windows: there a backslash is looked for
        if (
            parameter.name == "pattern"
            and isinstance(argument, n.Literal)
            and (doubled := re.search(r"\\\\([dDwWsSbB])(?!\w)", str(argument.value)))
        ):
            message = f"this regular expression looks for a backslash and the letter {doubled[1]}"
            yield argument.span, message, rf"in a text each backslash is written twice: '\\{doubled[1]}'"


def always_exists(node: n.Expr, text: Text) -> Found:
    if isinstance(node, n.Exists) and node.name == "_":
        yield node.span, "_ is the whole record, which always exists", "name a field, or ask IS_EMPTY(_)"


_ALL: tuple[Callable[[n.Expr, Text], Found], ...] = (
    product_in_divisor,
    mixed_and_or,
    swallowed_comparison,
    chained_comparison,
    tight_not,
    swallowed_name,
    condition_not_boolean,
    literal_match_check,
    value_as_truth,
    different_kinds,
    fruitless_in,
    calculation_without_numbers,
    truncated_division,
    order_with_null,
    compared_with_nan,
    keyword_as_name,
    name_as_key,
    repeated_key,
    repeated_parameter,
    surplus_argument,
    doubled_backslash,
    always_exists,
)
LINTS = {look.__name__.replace("_", "-"): look for look in _ALL}
