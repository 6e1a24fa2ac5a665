"""Translation of expressions to Polars, operator by operator. Each has the rule of `stellar.language.runtime`.

Differences between Polars and Stellar that the translation accounts for:

- null is 0 in arithmetic, and not less or greater than anything; two nulls are equal
- NaN is not equal to itself, but is to Polars
- one value for all rows is calculated in another way, with other results for floats
- integers have no limit, but 64 bits in Polars: bounds of the columns prove that no result is larger
- the quotient of integers is truncated toward zero, but rounded down by Polars
- strings, numbers and booleans never equal each other
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, assert_never

from stellar.columns.functions import TRANSLATIONS
from stellar.columns.translated import (
    ColumnType,
    Rows,
    Translated,
    all_of,
    any_of,
    as_expression,
    boolean,
    invert,
    literal,
    unknown,
)
from stellar.java.integers import LONG_MAX, LONG_MIN
from stellar.language import nodes as n
from stellar.language.library import Library
from stellar.language.source import Span
from stellar.util.optional_imports import import_optional

if TYPE_CHECKING:
    import polars as pl
else:
    pl = import_optional("polars", "columns")

# A deeper expression has no translation: Polars is recursive
MAX_DEPTH = 60
MAX_OPERANDS = 60  # of `and`, `or` and `match`
MAX_DIVISIONS = 6  # as the translation of each contains its operands several times


class Translator:
    """Translates expressions.

    fields: the columns of fields; a field without one is null, unless it is in `untyped`
    untyped: the fields whose values have several types
    calls: the columns of calls, by their source locations
    """

    def __init__(
        self,
        fields: Mapping[str, Translated],
        untyped: frozenset[str],
        library: Library,
        calls: Mapping[Span, Translated],
    ) -> None:
        self._fields = fields
        self._untyped = untyped
        self._library = library
        self._calls = calls
        self._depth = self._divisions = 0

    def translate(self, node: n.Expr) -> Translated:
        """Return an expression in a column."""
        if self._depth == MAX_DEPTH:
            return unknown()
        self._depth += 1
        try:
            return self._translate(node)
        finally:
            self._depth -= 1

    def _translate(self, node: n.Expr) -> Translated:
        match node:
            case n.Literal(value):
                return literal(value)
            case n.Variable(name):
                return self._find(name)
            case n.Exists(name):
                field = self._find(name)
                return boolean(as_expression(invert(field.is_null)), field.open)
            case n.Minus(operand):
                return _negate(self.translate(operand))
            case n.Arithmetic("/") if self._divisions == MAX_DIVISIONS:
                return unknown()
            case n.Arithmetic(symbol, left, right):
                self._divisions += symbol == "/"
                return _calculate(symbol, self.translate(left), self.translate(right))
            case n.Comparison(symbol, left, right):
                return _compare(symbol, self.translate(left), self.translate(right))
            case n.Membership(item, container, negated):
                found = self._find_member(self.translate(item), container)
                return boolean(~found.value, found.open) if negated and found.kind is ColumnType.BOOLEAN else found
            case n.Negation(operand):
                condition = _as_boolean(self.translate(operand))
                return boolean(~condition.value, condition.open)
            case n.Conjunction(operands):
                return self._connect(operands, is_conjunction=True)
            case n.Disjunction(operands):
                return self._connect(operands, is_conjunction=False)
            case n.Conditional(condition, then, otherwise):
                return self._choose(condition, then, self.translate(otherwise))
            case n.Match(clauses, default):
                return self._match(clauses, default)
            case n.Call():
                return self._call(node)
            case n.ListLiteral() | n.MapLiteral() | n.Lambda():
                return unknown()
            case _:
                assert_never(node)

    def _find(self, name: str) -> Translated:
        if name == "_" or name in self._untyped:
            return unknown()
        return self._fields.get(name) or literal(None)

    # -- Conditions

    def _connect(self, operands: tuple[n.Expr, ...], *, is_conjunction: bool) -> Translated:
        """Translate `and` or `or`: an operand is reached if no earlier one has ended it."""
        if len(operands) > MAX_OPERANDS:
            return unknown()
        first, *others = operands
        result = _as_boolean(self.translate(first))
        for operand in others:
            each = _as_boolean(self.translate(operand))
            reached: Rows = result.value if is_conjunction else ~result.value
            value = result.value & each.value if is_conjunction else result.value | each.value
            result = boolean(value, result.open, all_of(reached, each.open))
        return result

    def _choose(self, condition: n.Expr, then: n.Expr, otherwise: Translated) -> Translated:
        test, chosen = _as_boolean(self.translate(condition)), self.translate(then)
        kinds = {chosen.kind, otherwise.kind} - {ColumnType.NULL, ColumnType.UNKNOWN}
        if len(kinds) > 1:
            return unknown()
        kind = kinds.pop() if kinds else ColumnType.NULL
        value = pl.when(test.value).then(_or_null(chosen)).otherwise(_or_null(otherwise))
        open_rows = any_of(
            test.open, all_of(test.value, chosen.open), all_of(~test.value, otherwise.open)
        )  # a branch that is not chosen is not evaluated
        bounds = [each for each in (chosen, otherwise) if each.kind is ColumnType.INTEGER]
        return Translated(
            kind,
            value,
            open_rows,
            chosen.nullable or otherwise.nullable,
            min((each.low for each in bounds), default=LONG_MIN),
            max((each.high for each in bounds), default=LONG_MAX),
        )

    def _match(self, clauses: tuple[tuple[n.Expr, n.Expr], ...], default: n.Expr) -> Translated:
        if len(clauses) > MAX_OPERANDS:
            return unknown()
        result = self.translate(default)
        for check, action in reversed(clauses):
            result = self._choose(check, action, result)
        return result

    # -- Membership and calls

    def _find_member(self, item: Translated, container: n.Expr) -> Translated:
        if isinstance(container, n.ListLiteral):
            return _is_in(item, container)
        text = self.translate(container)
        if text.kind is ColumnType.NULL:
            return boolean(pl.lit(False), item.open, text.open)
        if item.kind is ColumnType.NULL and text.kind is ColumnType.STRING:
            return boolean(pl.lit(False), item.open, text.open)
        if item.kind is not ColumnType.STRING or text.kind is not ColumnType.STRING:
            return unknown()
        found = text.value.str.contains(item.value, literal=True)
        return boolean(found.fill_null(False), item.open, text.open)

    def _call(self, node: n.Call) -> Translated:
        if (column := self._calls.get(node.span)) is not None:
            return column
        function = self._library.get(node.name)
        if function is None or not function.pure:
            return unknown()
        found = TRANSLATIONS.get(function.implementation)
        if found is None or len(node.arguments) != found.arguments:
            return unknown()
        return found.translate(*map(self.translate, node.arguments))


def _or_null(column: Translated) -> pl.Expr:
    return pl.lit(None) if column.kind is ColumnType.UNKNOWN else column.value


def _as_boolean(column: Translated) -> Translated:
    """Return a condition: null is false, and rows with a value of another type are open."""
    match column.kind:
        case ColumnType.BOOLEAN:
            value = column.value.fill_null(False) if column.nullable else column.value
            return boolean(value, column.open)
        case ColumnType.NULL:
            return boolean(pl.lit(False), column.open)
    return boolean(pl.lit(False), column.open, invert(column.is_null))


def _is_in(item: Translated, container: n.ListLiteral) -> Translated:
    """Translate the membership in a list of constants; 1, 1.0 and true are different members."""
    values = []
    for each in container.items:
        if not isinstance(each, n.Literal) or literal(each.value).kind is ColumnType.UNKNOWN:
            return unknown()
        values.append(each.value)
    has_null = None in values
    if item.kind is ColumnType.NULL:
        return boolean(pl.lit(has_null), item.open)
    kinds: dict[ColumnType, type] = {ColumnType.STRING: str, ColumnType.INTEGER: int, ColumnType.BOOLEAN: bool}
    if item.kind not in kinds:  # of floats, -0.0 and 0.0 are different, and NaN is a member
        return unknown()
    own = [value for value in values if type(value) is kinds[item.kind]]
    return boolean(item.value.is_in(own).fill_null(has_null) if own else _test_null(item, has_null), item.open)


def _test_null(item: Translated, has_null: bool) -> pl.Expr:
    return as_expression(all_of(item.is_null, has_null))


# -- Comparisons ------------------------------------------------------------------------------------------------------

_ORDERS: dict[str, Callable[[pl.Expr, pl.Expr], pl.Expr]] = {
    "<": pl.Expr.lt,
    "<=": pl.Expr.le,
    ">": pl.Expr.gt,
    ">=": pl.Expr.ge,
}


def _compare(symbol: str, left: Translated, right: Translated) -> Translated:
    if ColumnType.UNKNOWN in (left.kind, right.kind):
        return unknown()
    if symbol in ("==", "!="):
        equal = _equal(left, right)
        return boolean(~equal if symbol == "!=" else equal, left.open, right.open)
    if ColumnType.NULL in (left.kind, right.kind):
        return boolean(pl.lit(False), left.open, right.open)
    if left.is_number and right.is_number:
        value = _compare_numbers(_ORDERS[symbol], left, right)
    elif left.kind is right.kind is ColumnType.STRING:  # UTF-8 has the order of code points
        value = _ORDERS[symbol](left.value, right.value)
    else:
        neither_null = invert(any_of(left.is_null, right.is_null))
        return boolean(pl.lit(False), left.open, right.open, neither_null)
    return boolean(_false_if_null(value, left, right), left.open, right.open)


def _equal(left: Translated, right: Translated) -> pl.Expr:
    both_null = all_of(left.is_null, right.is_null)
    if left.is_number and right.is_number:
        value = _compare_numbers(pl.Expr.eq, left, right)
    elif left.kind is right.kind and left.kind is not ColumnType.NULL:
        value = left.value == right.value
    else:
        return as_expression(both_null)
    return as_expression(any_of(_false_if_null(value, left, right), both_null))


def _compare_numbers(compare: Callable[[pl.Expr, pl.Expr], pl.Expr], left: Translated, right: Translated) -> pl.Expr:
    """Compare numbers by value, as floats if one of them is one. NaN is equal to nothing."""
    if left.kind is right.kind is ColumnType.INTEGER:
        return compare(left.value, right.value)
    value = compare(_as_float(left), _as_float(right))
    for each in (left, right):
        if each.kind is ColumnType.FLOAT:
            value = value & each.value.is_not_nan()
    return value


def _false_if_null(value: pl.Expr, left: Translated, right: Translated) -> pl.Expr:
    return value.fill_null(False) if left.nullable or right.nullable else value


# -- Arithmetic -------------------------------------------------------------------------------------------------------


def _as_float(column: Translated) -> pl.Expr:
    return column.value.cast(pl.Float64) if column.kind is ColumnType.INTEGER else column.value


def _calculate(symbol: str, left: Translated, right: Translated) -> Translated:
    if ColumnType.UNKNOWN in (left.kind, right.kind):
        return unknown()
    left, right = _as_number(left), _as_number(right)
    if left.kind is right.kind is ColumnType.INTEGER:
        return _calculate_integers(symbol, left, right)
    open_rows = any_of(left.open, right.open)
    if symbol == "*":
        value, solid = _as_float(left) * _as_float(right), left.solid or right.solid
        return Translated(ColumnType.FLOAT, value, open_rows, nullable=False, solid=solid)
    first, second = _as_solid(left), _as_solid(right)
    if first is None or second is None:
        return unknown()
    values = {"+": pl.Expr.add, "-": pl.Expr.sub, "/": pl.Expr.truediv}
    return Translated(ColumnType.FLOAT, values[symbol](first, second), open_rows, nullable=False, solid=True)


def _as_solid(column: Translated) -> pl.Expr | None:
    """Return floats as values of each row; None if they may be one value.

    With one value, Polars divides by multiplying with the reciprocal, and adds 0.0 by doing nothing, also to -0.0.
    """
    if column.solid:
        return _as_float(column)
    constant = column.constant
    if column.kind is ColumnType.INTEGER and column.low == column.high:
        constant = float(column.low)
    if constant is None:
        return None
    return pl.lit(pl.Series([constant, constant], dtype=pl.Float64)).gather(pl.int_range(pl.len()) % 2)


def _as_number(column: Translated) -> Translated:
    """Return an operand of arithmetic, without nulls.

    Null is the integer 0. So rows of floats with null are open, because their result may be an integer.
    """
    match column.kind:
        case ColumnType.INTEGER:
            if not column.nullable:
                return column
            low, high = min(column.low, 0), max(column.high, 0)
            return Translated(
                ColumnType.INTEGER, column.value.fill_null(0), column.open, False, low, high, column.solid
            )
        case ColumnType.FLOAT:
            value = column.value.fill_null(0.0) if column.nullable else column.value
            return replace(column, value=value, open=any_of(column.open, column.is_null), nullable=False)
        case ColumnType.NULL:
            return Translated(ColumnType.INTEGER, pl.lit(0, pl.Int64), column.open, nullable=False, low=0, high=0)
    zero = Translated(ColumnType.INTEGER, pl.lit(0, pl.Int64), column.open, nullable=False, low=0, high=0)
    return zero.also_open(invert(column.is_null))  # a string or a boolean is an error


def _calculate_integers(symbol: str, left: Translated, right: Translated) -> Translated:
    bounds = [left.low, left.high], [right.low, right.high]
    open_rows = any_of(left.open, right.open)
    match symbol:
        case "+":
            value, results = left.value + right.value, [a + b for a, b in zip(*bounds, strict=True)]
        case "-":
            value, results = left.value - right.value, [left.low - right.high, left.high - right.low]
        case "*":
            value, results = left.value * right.value, [a * b for a in bounds[0] for b in bounds[1]]
        case _ if right.low == LONG_MIN:
            return unknown()
        case _:
            value, results = _divide(left, right), [left.low, left.high, -left.low, -left.high]
            open_rows = any_of(open_rows, right.value == 0 if right.low <= 0 <= right.high else False)
    low, high = min(results), max(results)
    if low < LONG_MIN or high > LONG_MAX:
        return unknown()
    return Translated(ColumnType.INTEGER, value, open_rows, False, low, high, left.solid or right.solid)


def _divide(left: Translated, right: Translated) -> pl.Expr:
    """Return a quotient that is truncated toward zero."""
    divisor = pl.when(right.value == 0).then(1).otherwise(right.value) if right.low <= 0 <= right.high else right.value
    if left.low >= 0 and right.low >= 0:
        return left.value // divisor
    whole = left.value.abs() // divisor.abs()
    return pl.when((left.value < 0) == (right.value < 0)).then(whole).otherwise(-whole)


def _negate(operand: Translated) -> Translated:
    if operand.kind is ColumnType.UNKNOWN:
        return unknown()
    number = _as_number(operand)
    if number.kind is ColumnType.FLOAT:
        constant = None if number.constant is None else -number.constant
        return replace(number, value=-number.value, constant=constant)
    if number.low == LONG_MIN:
        return unknown()
    return Translated(
        ColumnType.INTEGER, -number.value, number.open, nullable=False, low=-number.high, high=-number.low
    )
