"""Lints: expressions that are valid, but by Metron's rules mean something else than a reader would expect.

Each lint is a function `check_…` of a node. The rest of its name, with dashes, is the lint's name; LINTS at the end
lists them with their severities. docs/lints.md describes them. Comments with noqa suppress findings, see suppressions.
"""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeGuard, Union, get_args, get_origin

from stellar.language import nodes as n
from stellar.language.compiler.analysis import static_class
from stellar.language.errors import ParseError
from stellar.language.library import UNKNOWN, Function, Library
from stellar.language.literals import LiteralKind
from stellar.language.parser import parse
from stellar.language.source import Span
from stellar.tooling.findings import ERROR, UNUSED_NOQA, WARNING, Edits, Finding, SourceEdit, apply_edits

# The results of a check: span, message, hint, and edits if there is a fix
Findings = Iterator[tuple[Span, str, str] | tuple[Span, str, str, Edits]]


@dataclass(frozen=True, slots=True)
class LintContext:
    """The input of lints besides the node: source, functions, and parents of nodes by their ids."""

    source: str
    library: Library
    parents: dict[int, n.Expr] = field(default_factory=dict)

    def parent(self, node: n.Expr) -> n.Expr | None:
        return self.parents.get(id(node))

    def between(self, start: int, end: int) -> str:
        """Return the source between two offsets without comments and whitespace: an operator, brackets."""
        return re.sub(r"//[^\n]*|\s", "", self.source[start:end])

    def is_left_enclosed(self, left: n.Expr, right: n.Expr) -> bool:
        """Return True if the left one of two operands is in parentheses."""
        return ")" in self.between(left.span.end, right.span.start)

    def is_right_enclosed(self, left: n.Expr, right: n.Expr) -> bool:
        """Return True if the right one of two operands is in parentheses."""
        return "(" in self.between(left.span.end, right.span.start)

    def parenthesize(self, whole: Span, inner: Span) -> tuple[str, Edits]:
        """Return a hint that shows `whole` with parentheses around `inner` if it is short, and their insertion."""
        start, end = inner.start, inner.end
        result = f"{self.source[whole.start : start]}({self.source[start:end]}){self.source[end : whole.end]}"
        shown = f": it is read as {result}" if len(result) <= 80 and "\n" not in result else ""
        return f"add parentheses{shown}", _insert_parentheses(inner)

    def is_parameter(self, node: n.Variable) -> bool:
        """Return True if a variable is a parameter of an enclosing lambda."""
        above = self.parent(node)
        while above is not None:
            if isinstance(above, n.Lambda) and node.name in above.parameters:
                return True
            above = self.parent(above)
        return False

    def noun(self, node: n.Expr) -> str | None:
        """Return the type of a node's value when it is not null, such as "a string"; None if it is unknown."""
        if isinstance(node, n.Arithmetic | n.Minus):
            return "a number"
        if isinstance(node, n.Call):
            return _result_noun(self.library.get(node.name))
        return _NOUNS.get(static_class(node, self.library))


def _insert_parentheses(span: Span) -> Edits:
    return SourceEdit(Span(span.start, span.start), "("), SourceEdit(Span(span.end, span.end), ")")


def _result_noun(function: Function | None) -> str | None:
    """Return the type of a function's results other than null; None if it is unknown."""
    if function is None:
        return None
    returns = function.returns
    members = get_args(returns) if get_origin(returns) in (Union, types.UnionType) else (returns,)
    nouns = {_NOUNS.get(get_origin(member) or member) for member in members if member is not types.NoneType}
    return nouns.pop() if len(nouns) == 1 else None


_NOUNS: dict[object, str] = {
    str: "a string",
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
    """Return the lint findings of an expression in source order, without those that a comment suppresses."""
    nodes = list(n.walk(tree))
    context = LintContext(source, library, {id(child): node for node in nodes for child in n.children(node)})
    findings = [
        Finding(name, message, span, hint, LINTS[name], *edits)
        for node in nodes
        for check, name in _NAMES.items()
        for span, message, hint, *edits in check(node, context)
    ]
    if any(finding.edits for finding in findings):
        findings = _verify_edits(findings, source, n.outline(tree))
    if "noqa" in source.lower():
        from stellar.tooling.suppressions import suppress_findings  # loads the lexer

        findings = suppress_findings(source, findings, LINTS)
    return sorted(findings, key=lambda finding: (finding.span.start, finding.name))


def _verify_edits(findings: list[Finding], source: str, expected: list[tuple[str, ...]]) -> list[Finding]:
    """Return findings, those without edits after whose edits the expression would have another tree.

    Parsing takes time, so the edits of many findings are verified together. That proves each of them: in equal trees,
    what a pair of parentheses encloses is a subtree, which it may enclose alone, too. It does not for pairs that cross,
    which would match those of each other. Otherwise halves of the findings are verified.

    expected: the outline of the tree
    """
    edits = tuple(edit for finding in findings for edit in finding.edits)
    if not edits or (_are_nested_or_apart(findings) and _outline(apply_edits(source, edits)) == expected):
        return findings
    if len(findings) == 1:
        return [replace(findings[0], edits=())]
    middle = len(findings) // 2
    return [
        *_verify_edits(findings[:middle], source, expected),
        *_verify_edits(findings[middle:], source, expected),
    ]


def _are_nested_or_apart(findings: list[Finding]) -> bool:
    """Return True if the edits of no two findings cross, or begin where others end."""
    ranges = [(each.edits[0].span.start, each.edits[-1].span.end) for each in findings if each.edits]
    enclosing: list[int] = []  # the ends of the ranges around the current one
    for start, end in sorted(ranges, key=lambda each: (each[0], -each[1])):
        while enclosing and enclosing[-1] < start:
            enclosing.pop()
        if enclosing and (enclosing[-1] == start or enclosing[-1] < end):
            return False
        enclosing.append(end)
    return True


def _outline(source: str) -> list[tuple[str, ...]] | None:
    try:
        return n.outline(parse(source))
    except ParseError:
        return None


# -- Precedence -------------------------------------------------------------------------------------------------------


def check_product_in_divisor(node: n.Expr, context: LintContext) -> Findings:
    match node:
        case n.Arithmetic("/", left, n.Arithmetic("*") as divisor) if not context.is_right_enclosed(left, divisor):
            message = "* binds tighter than /, so this divides by the product"
            yield node.span, message, *context.parenthesize(node.span, divisor.span)


def check_mixed_and_or(node: n.Expr, context: LintContext) -> Findings:
    # A chain is reported once, at its start
    if _mixes(node, context) and not _mixes(context.parent(node), context):
        message = "`and` and `or` have one precedence and group from the right: a and b or c is a and (b or c)"
        yield node.span, message, *context.parenthesize(node.span, node.operands[-1].span)


def _mixes(node: n.Expr | None, context: LintContext) -> TypeGuard[n.Conjunction | n.Disjunction]:
    match node:
        case n.Conjunction((*_, before, n.Disjunction() as last)) | n.Disjunction(
            (*_, before, n.Conjunction() as last)
        ):
            return not context.is_right_enclosed(before, last)
    return False


def check_swallowed_comparison(node: n.Expr, context: LintContext) -> Findings:
    match node:
        case n.Membership(item, n.Comparison() | n.Membership() as container) if not context.is_right_enclosed(
            item, container
        ):
            message = "`in` takes the comparison after it as its container: a in b == c is a in (b == c)"
            yield node.span, message, *context.parenthesize(node.span, container.span)


def check_chained_comparison(node: n.Expr, context: LintContext) -> Findings:
    if _chains(node, context) and not _chains(context.parent(node), context):
        message = "this compares the boolean result of the first comparison with the next operand"
        yield node.span, message, "join two comparisons: a < b and b < c"


def _chains(node: n.Expr | None, context: LintContext) -> bool:
    match node:
        case n.Comparison(_, n.Comparison(), n.Literal(bool())):  # a < b == true is not misleading
            return False
        case n.Comparison(_, n.Comparison() as left, right):
            return not context.is_left_enclosed(left, right)
    return False


def check_tight_not(node: n.Expr, context: LintContext) -> Findings:
    match node:
        case n.Comparison(_, n.Negation() as left, right) | n.Membership(n.Negation() as left, right):
            # not(x) == y is Metron's only form, and is not misleading
            is_call = "(" in context.between(left.span.start, left.operand.span.start)
            if not is_call and not context.is_left_enclosed(left, right):
                message = "`not` binds tighter than the operator: it negates only the operand directly after it"
                yield node.span, message, "write not(a == b), or (not a) == b if that is meant"


def check_swallowed_name(node: n.Expr, context: LintContext) -> Findings:
    match node:
        case n.Membership(_, container, True):
            start = container.span.start
            name = re.compile(r"[\w.:$]+").match(context.source, start)
            if name and context.source[:start].endswith(("not in", "NOT IN")):
                message = "`not in` is one token even within a name: 1 not index is 1 not in dex"
                edits = (SourceEdit(Span(start, start), " "),)
                yield Span(start - len("not in"), name.end()), message, "insert a space after `not in`", edits


# -- Values of the wrong type -----------------------------------------------------------------------------------------


def check_condition_not_boolean(node: n.Expr, context: LintContext) -> Findings:
    for check in _conditions(node):
        noun = context.noun(check)
        filled = isinstance(check, n.ListLiteral | n.MapLiteral) and n.children(check)
        if filled or noun in ("a string", "a number", "a lambda"):
            message = f"expected a boolean as condition, got {noun}, which is an error"
            yield check.span, message, "compare it with a value"


def check_literal_match_check(node: n.Expr, context: LintContext) -> Findings:
    for check in _conditions(node):
        if isinstance(node, n.Match) and isinstance(check, n.Literal) and check.value is True:
            message = "a literal true always matches here; Metron treats it as false"
            yield check.span, message, "use default for the last case"


def _conditions(node: n.Expr) -> list[n.Expr]:
    match node:
        case n.Conditional(condition):
            return [condition]
        case n.Match(clauses):
            return [check for check, _ in clauses]
    return []


def check_value_as_truth(node: n.Expr, context: LintContext) -> Findings:
    if isinstance(node, n.Conjunction | n.Disjunction | n.Negation):
        for operand in n.children(node):
            noun = context.noun(operand)
            if noun not in (None, "true or false"):
                conversion = _CONVERSIONS.get(
                    noun, "becomes a boolean by its string form here; only true, yes, y, on and 1 are true"
                )
                yield operand.span, f"{noun} {conversion}", "compare it with a value: x == 1 or x == 2, not x == 1 or 2"


_CONVERSIONS: dict[str | None, str] = {
    **dict.fromkeys(
        ("a list", "a set"), "becomes a boolean by its first item here; only true, yes, y, on and 1 are true"
    ),
    **dict.fromkeys(("a map", "a lambda"), "is always false here"),
}


def check_different_kinds(node: n.Expr, context: LintContext) -> Findings:
    if not isinstance(node, n.Comparison) or _chains(node, context):
        return
    left, right = context.noun(node.left), context.noun(node.right)
    if left is not None and right is not None and left != right:
        outcome = {"==": "is always false", "!=": "is always true"}.get(node.operator, "is an error")
        message = f"{left} is compared with {right}: this {outcome}"
        yield node.span, message, "convert one side: TO_STRING(x), TO_INTEGER(x), TO_DOUBLE(x)"


def check_fruitless_in(node: n.Expr, context: LintContext) -> Findings:
    if isinstance(node, n.Membership):
        item, container = context.noun(node.item), context.noun(node.container)
        if container == "a string" and item not in (None, "a string"):
            yield node.span, f"{item} is never in a string", "convert it: TO_STRING(x) in string"
        elif container in ("a number", "a lambda"):
            message = f"`in` searches a string, list, set or map; with {container} it is =="
            yield node.span, message, "use ==, or a list: x in [1, 2]"


def check_calculation_without_numbers(node: n.Expr, context: LintContext) -> Findings:
    if isinstance(node, n.Arithmetic | n.Minus):
        for operand in n.children(node):
            noun = context.noun(operand)
            if noun not in (None, "a number"):
                message = f"expected a number in arithmetic, got {noun}, which is an error unless it is null"
                yield operand.span, message, "use JOIN([a, b], '') to concatenate strings, TO_DOUBLE(x) to convert one"


def check_truncated_division(node: n.Expr, context: LintContext) -> Findings:
    match node:
        case n.Arithmetic("/", n.Literal(int() as dividend), n.Literal(int() as divisor)) if (
            divisor and dividend % divisor
        ):
            message = "integer division drops the fraction"
            yield node.span, message, f"write {dividend}.0 / {divisor} for the fraction"


def check_order_with_null(node: n.Expr, context: LintContext) -> Findings:
    match node:
        case n.Comparison("<" | "<=" | ">" | ">=", n.Literal(None), _) | n.Comparison(
            "<" | "<=" | ">" | ">=", _, n.Literal(None)
        ):
            yield node.span, "an order comparison with null is always false", "use == null, or exists(x)"


def check_compared_with_nan(node: n.Expr, context: LintContext) -> Findings:
    if isinstance(node, n.Comparison) and any(_is_nan(side) for side in (node.left, node.right)):
        nouns = {context.noun(node.left), context.noun(node.right)}
        outcome = "true" if node.operator == "!=" else "false"
        if nouns <= {None, "a number"}:  # otherwise different-kinds reports it
            yield node.span, f"NaN equals nothing, not even itself: this is always {outcome}", "use IS_NAN(x)"


def _is_nan(node: n.Expr) -> bool:
    return isinstance(node, n.Literal) and node.value != node.value


# -- Names, calls and collections -------------------------------------------------------------------------------------


def check_keyword_as_name(node: n.Expr, context: LintContext) -> Findings:
    if isinstance(node, n.Variable) and not context.is_parameter(node):
        keyword = "null" if node.name == "None" else _KEYWORDS.get(node.name.lower())
        if keyword:
            yield node.span, f"{node.name} is the name of a field here", f"the keyword is {keyword}"


_KEYWORDS = {"true": "true", "false": "false", "null": "null", "nan": "NaN"}


def check_name_as_key(node: n.Expr, context: LintContext) -> Findings:
    if not isinstance(node, n.MapLiteral):
        return
    before = node.span.start
    for key, value in node.pairs:
        plain = "(" not in context.between(before, key.span.start)
        if isinstance(key, n.Variable) and plain and not context.is_parameter(key):
            message = f"the key is the value of the field {key.name}, not the string '{key.name}'"
            yield key.span, message, f"write '{key.name}', or ({key.name}) if the value is meant"
        before = value.span.end


def check_repeated_key(node: n.Expr, context: LintContext) -> Findings:
    if isinstance(node, n.MapLiteral):
        keys = [key for key, _ in node.pairs if isinstance(key, n.Literal)]
        for index, key in enumerate(keys):
            if any(key.value == earlier.value for earlier in keys[:index]):
                message = "duplicate key: the first one is used; 1, 1.0 and true are equal as keys"
                yield key.span, message, "remove one of the two"


def check_repeated_parameter(node: n.Expr, context: LintContext) -> Findings:
    if isinstance(node, n.Lambda) and len(set(node.parameters)) < len(node.parameters):
        names = re.finditer(r"//[^\n]*|[\w.:$]+", context.source[node.span.start : node.body.span.start])
        spans = [name.span() for name in names if not name[0].startswith("//")]
        for index, (name, (start, end)) in enumerate(zip(node.parameters, spans, strict=True)):
            if name in node.parameters[:index]:
                span = Span(node.span.start + start, node.span.start + end)
                yield span, "duplicate parameter: the last one is bound", "rename one"


def check_surplus_argument(node: n.Expr, context: LintContext) -> Findings:
    if not isinstance(node, n.Call) or (function := context.library.get(node.name)) is None:
        return
    if function.most is not None and len(node.arguments) > function.most and function.ignores_surplus:
        span = node.arguments[function.most].span | node.arguments[-1].span
        yield span, f"{node.name} evaluates this and ignores it", f"its usage is {function.usage}"


def check_doubled_backslash(node: n.Expr, context: LintContext) -> Findings:
    if not isinstance(node, n.Call) or (function := context.library.get(node.name)) is None:
        return
    for argument, parameter in zip(node.arguments, function.parameters, strict=False):
        # Not before more letters, as in C:\\Windows, which matches a backslash
        if (
            parameter.name == "pattern"
            and isinstance(argument, n.Literal)
            and (doubled := re.search(r"\\\\([dDwWsSbB])(?!\w)", str(argument.value)))
        ):
            message = f"this regular expression matches a backslash and the letter {doubled[1]}"
            yield argument.span, message, rf"in a string, write one backslash as two: '\\{doubled[1]}'"


def check_invalid_literal(node: n.Expr, context: LintContext) -> Findings:
    for argument, kind, value, values in _literals(node, context):
        try:
            kind.validate(value, values)
        except (ValueError, LookupError) as error:
            yield argument.span, str(error), kind.hint


def check_misleading_literal(node: n.Expr, context: LintContext) -> Findings:
    for argument, kind, value, values in _literals(node, context):
        for message, hint in kind.find_pitfalls(value, values):
            yield argument.span, message, hint


def _literals(node: n.Expr, context: LintContext) -> Iterator[tuple[n.Expr, LiteralKind, object, tuple[object, ...]]]:
    """Yield the literal arguments with a declared meaning: node, meaning, value, and the values of all arguments."""
    if not isinstance(node, n.Call) or (function := context.library.get(node.name)) is None or not function.literals:
        return
    values = tuple(map(_literal_value, node.arguments))
    if len(values) < function.required:
        return
    for index, value in enumerate(values):
        kind = function.literals.get(function.parameter_at(index).name)
        is_used = function.most is None or index < function.most
        if kind is not None and is_used and value is not UNKNOWN and value is not None:
            yield node.arguments[index], kind, value, values


def _literal_value(node: n.Expr) -> object:
    """Return the value of a literal or a list of literals; UNKNOWN for other expressions."""
    if isinstance(node, n.ListLiteral):
        items = [_literal_value(item) for item in n.children(node)]
        return UNKNOWN if any(item is UNKNOWN for item in items) else items
    return node.value if isinstance(node, n.Literal) else UNKNOWN


def check_always_exists(node: n.Expr, context: LintContext) -> Findings:
    if isinstance(node, n.Exists) and node.name == "_":
        yield node.span, "_ is the record, which always exists", "name a field, or use IS_EMPTY(_)"


def check_name_as_model(node: n.Expr, context: LintContext) -> Findings:
    match node:
        case n.Call("MAAS_GET_ENDPOINT", (n.Variable(name) as model, *_)) if not context.is_parameter(model):
            if not _is_enclosed(node, model, context):
                message = f"the model is the value of the field {name}, not the model '{name}'"
                yield model.span, message, f"write '{name}', or ({name}) if the value is meant"


def _is_enclosed(call: n.Call, first: n.Expr, context: LintContext) -> bool:
    """Return True if the first argument of a call is in parentheses of its own."""
    return context.between(call.span.start, first.span.start).count("(") > 1


def check_function_as_name(node: n.Expr, context: LintContext) -> Findings:
    if isinstance(node, n.Variable) and node.name in context.library and not context.is_parameter(node):
        message = f"{node.name} is the name of a field here, not a call of the function"
        is_lambda = isinstance(context.parent(node), n.Call)
        lambda_form = f", or x -> {node.name}(x) for the function itself" if is_lambda else ""
        yield node.span, message, f"write {node.name}(...){lambda_form}"


_CHECKS: tuple[Callable[[n.Expr, LintContext], Findings], ...] = (
    check_product_in_divisor,
    check_mixed_and_or,
    check_swallowed_comparison,
    check_chained_comparison,
    check_tight_not,
    check_swallowed_name,
    check_condition_not_boolean,
    check_literal_match_check,
    check_value_as_truth,
    check_different_kinds,
    check_fruitless_in,
    check_calculation_without_numbers,
    check_truncated_division,
    check_order_with_null,
    check_compared_with_nan,
    check_keyword_as_name,
    check_function_as_name,
    check_name_as_model,
    check_name_as_key,
    check_repeated_key,
    check_repeated_parameter,
    check_surplus_argument,
    check_doubled_backslash,
    check_invalid_literal,
    check_misleading_literal,
    check_always_exists,
)
_NAMES = {check: check.__name__.removeprefix("check_").replace("_", "-") for check in _CHECKS}
_ERRORS = ("condition-not-boolean", "invalid-literal")  # they fail whenever they are evaluated, unless with null

# The severity of the findings of each lint
LINTS = {name: ERROR if name in _ERRORS else WARNING for name in (*_NAMES.values(), UNUSED_NOQA)}
