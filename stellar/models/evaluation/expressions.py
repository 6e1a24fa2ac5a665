"""Expressions, compiled to functions of a frame."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from typing import Any

from stellar.models.errors import InvalidField, InvalidModel, NotScored, Origin
from stellar.models.evaluation import arithmetic, strings
from stellar.models.evaluation.arithmetic import UndefinedNumber
from stellar.models.evaluation.frames import Evaluation, FieldScope, Frame, FunctionTable, ScopeField
from stellar.models.evaluation.inputs import conversion_of, is_in_range
from stellar.models.evaluation.predicates import OPERATORS, rank_of
from stellar.models.evaluation.text_index import compile_text_index
from stellar.models.forms.expressions import (
    Aggregate,
    Apply,
    ConstantForm,
    Discretize,
    ExpressionForm,
    FieldRef,
    MapValues,
    NormContinuous,
    NormDiscrete,
    TextIndex,
)
from stellar.models.forms.fields import DerivedField, FieldType, FunctionForm
from stellar.models.values import Conversion, describe, find_conversion, to_double
from stellar.util.abbreviate import quote
from stellar.util.suggestions import suggest_name

FUNCTIONS = {**arithmetic.FUNCTIONS, **strings.FUNCTIONS}
MOST_CALLS = 10_000  # by a function of a document
# Functions with rules of their own for arguments
SPECIAL = ("if", "isValid", "isNotValid")


def compile_expression(form: ExpressionForm, scope: FieldScope) -> Evaluation:
    """Return the evaluation of an expression."""
    return _COMPILERS[type(form)](form, scope)


def compile_derived(scope: FieldScope) -> Callable[[DerivedField], Evaluation]:
    """Return a function that compiles the derived fields of a scope."""

    def compile_field(form: DerivedField) -> Evaluation:
        evaluate = compile_expression(form.expression, scope)
        return convert_result(evaluate, conversion_of(form.type.data, form.origin), form.name)

    return compile_field


def convert_result(evaluate: Evaluation, convert: Conversion, name: str) -> Evaluation:
    """Return an evaluation whose value has the type of a field."""

    def evaluate_field(frame: Frame) -> Any:
        value = evaluate(frame)
        if value is None:
            return None
        try:
            return [convert(item) for item in value] if value.__class__ is list else convert(value)
        except ValueError as error:
            raise InvalidField(name, str(error)) from None

    return evaluate_field


# -- Values -----------------------------------------------------------------------------------------------------------


def _compile_constant(form: ConstantForm, _: FieldScope) -> Evaluation:
    value = form.value
    return lambda frame: value


def _compile_field_ref(form: FieldRef, scope: FieldScope) -> Evaluation:
    scope.require(form.field, form.origin)
    name, missing = form.field, form.missing
    if missing is None:
        return lambda frame: frame.get(name)

    def evaluate(frame: Frame) -> Any:
        value = frame.get(name)
        return missing if value is None else value

    return evaluate


def _compile_norm_continuous(form: NormContinuous, scope: FieldScope) -> Evaluation:
    scope.require(form.field, form.origin)
    name, missing = form.field, form.missing
    originals = [original for original, _ in form.points]
    points, outliers = form.points, form.outliers

    def evaluate(frame: Frame) -> float | None:
        value = frame.get(name)
        if value is None:
            return missing
        number = to_double(value)
        if not originals[0] <= number <= originals[-1] and outliers != "asIs":
            if outliers == "asMissingValues":
                return None
            return points[0 if number < originals[0] else -1][1]
        return interpolate(number, points, originals)

    return evaluate


def interpolate(number: float, points: tuple[tuple[float, float], ...], originals: list[float]) -> float:
    """Return the value of a piecewise linear function, with its outer pieces continued."""
    index = min(max(bisect_right(originals, number), 1), len(points) - 1)
    (x, y), (next_x, next_y) = points[index - 1], points[index]
    return y + (number - x) / (next_x - x) * (next_y - y)


def _compile_norm_discrete(form: NormDiscrete, scope: FieldScope) -> Evaluation:
    kind = scope.require(form.field, form.origin).type
    name, missing, constant = form.field, form.missing, parse_for(form.value, kind, form.origin)

    def evaluate(frame: Frame) -> float | None:
        value = frame.get(name)
        return missing if value is None else float(value == constant)

    return evaluate


def parse_for(string: str, kind: FieldType | None, origin: Origin) -> Any:
    """Return the value of a string in the type of a field."""
    if kind is None:
        return string
    try:
        return conversion_of(kind.data, origin)(string)
    except ValueError as error:
        raise InvalidModel(f"invalid value {quote(string, 80)}: {error}", origin) from None


def _compile_discretize(form: Discretize, scope: FieldScope) -> Evaluation:
    scope.require(form.field, form.origin)
    name, default, missing = form.field, form.default, form.missing
    bins = tuple(reversed(form.bins))  # of bins that overlap, the last one counts

    def evaluate(frame: Frame) -> str | None:
        value = frame.get(name)
        if value is None:
            return missing
        number = to_double(value)
        return next((label for label, bounds in bins if is_in_range(number, bounds)), default)

    return evaluate


def _compile_map_values(form: MapValues, scope: FieldScope) -> Evaluation:
    kinds = [scope.require(name, form.origin).type for name, _ in form.fields]
    names = [name for name, _ in form.fields]
    table: dict[tuple[Any, ...], str | None] = {}
    for row in form.rows:
        key = _read_key(form, row, kinds)
        if key is not None:
            table.setdefault(key, row.get(form.output))
    default, missing = form.default, form.missing

    def evaluate(frame: Frame) -> str | None:
        key = tuple([frame.get(name) for name in names])
        return missing if None in key else table.get(key, default)

    return evaluate


def _read_key(form: MapValues, row: dict[str, str], kinds: list[FieldType | None]) -> tuple[Any, ...] | None:
    """Return the values of a row by which it is found; None if it lacks one, or one has not the field's type."""
    try:
        return tuple(
            parse_for(row[column], kind, form.origin) for (_, column), kind in zip(form.fields, kinds, strict=True)
        )
    except KeyError:
        return None


def _compile_aggregate(form: Aggregate, scope: FieldScope) -> Evaluation:
    scope.require(form.field, form.origin)
    name, reduce = form.field, _AGGREGATES[form.function]

    def evaluate(frame: Frame) -> Any:
        values = frame.get(name)
        if values is None:
            return None
        if not isinstance(values, list):
            raise InvalidField(name, f"expected a list, got {describe(values)}")
        return reduce([value for value in values if value is not None])

    return evaluate


_AGGREGATES: dict[str, Callable[[list[Any]], Any]] = {
    "count": len,
    "sum": lambda values: FUNCTIONS["sum"][0](*values),
    "average": lambda values: FUNCTIONS["avg"][0](*values),
    "min": lambda values: min(values, default=None),
    "max": lambda values: max(values, default=None),
    "multiset": list,
}


# -- Functions --------------------------------------------------------------------------------------------------------


def _compile_apply(form: Apply, scope: FieldScope) -> Evaluation:
    if form.function in SPECIAL:
        evaluate = _compile_special(form, scope)
    else:
        evaluate = _compile_call(form, scope)
    if form.default is None:
        return evaluate
    default = form.default

    def evaluate_with_default(frame: Frame) -> Any:
        value = evaluate(frame)
        return default if value is None else value

    return evaluate_with_default


def _compile_special(form: Apply, scope: FieldScope) -> Evaluation:
    if form.function == "if":
        return _compile_choice(form, scope)
    return _compile_validity(form, scope)


def _check_count(form: Apply, least: int, most: int) -> None:
    if not least <= len(form.arguments) <= most:
        expected = str(least) if least == most else f"{least} or more" if most > 3 else f"{least}–{most}"
        message = f"function {quote(form.function)} expects {expected} arguments, got {len(form.arguments)}"
        raise InvalidModel(message, form.origin)


def _compile_choice(form: Apply, scope: FieldScope) -> Evaluation:
    _check_count(form, 2, 3)
    test, then, *rest = [compile_expression(argument, scope) for argument in form.arguments]
    otherwise = rest[0] if rest else _missing
    replacement = form.missing

    def evaluate(frame: Frame) -> Any:
        condition = test(frame)
        if condition is None and replacement is not None:
            return replacement
        arithmetic.check_present("if", (condition,))
        value = then(frame) if arithmetic.expect_boolean(condition, "if") else otherwise(frame)
        return replacement if value is None and replacement is not None else value

    return evaluate


def _missing(_: Frame) -> None:
    return None


def _compile_validity(form: Apply, scope: FieldScope) -> Evaluation:
    _check_count(form, 1, 1)
    (argument,) = form.arguments
    is_invalid = None
    if isinstance(argument, FieldRef):
        is_invalid = scope.require(argument.field, argument.origin).is_invalid
    evaluate = compile_expression(argument, scope)
    negated = form.function == "isNotValid"

    def test(frame: Frame) -> bool:
        value = evaluate(frame)
        if value is None:
            return False
        return (is_invalid is not None and is_invalid(value)) is negated

    return test


def _compile_call(form: Apply, scope: FieldScope) -> Evaluation:
    function = _find_function(form, scope)
    arguments = tuple(compile_expression(argument, scope) for argument in form.arguments)
    missing, as_missing = form.missing, form.invalid == "asMissing"
    as_is = form.invalid == "asIs"
    name = form.function

    def evaluate(frame: Frame) -> Any:
        values = [argument(frame) for argument in arguments]
        if missing is not None and None in values:
            return missing
        try:
            return function(*values)
        except UndefinedNumber:
            if as_missing or as_is:
                return None if as_missing else float("nan")
            raise
        except NotScored:
            raise
        except (ValueError, TypeError, OverflowError) as error:
            raise NotScored(f"function {quote(name)} failed: {error}") from None

    return evaluate


def _find_function(form: Apply, scope: FieldScope) -> Callable[..., Any]:
    if form.function in scope.functions.forms:
        own = scope.functions.forms[form.function]
        _check_count(form, len(own.parameters), len(own.parameters))
        return compile_function(form.function, scope.functions, form.origin)
    if form.function not in FUNCTIONS:
        names = [*FUNCTIONS, *SPECIAL, *scope.functions.forms]
        raise InvalidModel(
            f"unknown function {quote(form.function, 80)}; {suggest_name(form.function, names)}", form.origin
        )
    function, least, most = FUNCTIONS[form.function]
    _check_count(form, least, most)
    if form.function in ("matches", "replace"):
        _check_pattern(form.arguments[1])
    return _compare_ranks(form, scope) or function


def _check_pattern(form: ExpressionForm) -> None:
    """Raise InvalidModel for a regular expression that no record can be matched with."""
    if isinstance(form, ConstantForm) and isinstance(form.value, str):
        try:
            strings.check_pattern(form.value)
        except ValueError as error:
            raise InvalidModel(str(error), form.origin) from None


def _compare_ranks(form: Apply, scope: FieldScope) -> Callable[..., Any] | None:
    """Return the comparison of an ordinal field, by the order of its values."""
    if form.function in ("equal", "notEqual") or form.function not in OPERATORS:
        return None
    first = form.arguments[0]
    kind = scope.require(first.field, first.origin).type if isinstance(first, FieldRef) else None
    if kind is None or kind.operation != "ordinal" or not kind.order:
        return None
    ranks = {value: rank for rank, value in enumerate(kind.order)}
    compare, name = OPERATORS[form.function], form.function

    def function(left: Any, right: Any) -> bool:
        arithmetic.check_present(name, (left, right))
        return compare(rank_of(left, ranks, name), rank_of(right, ranks, name))

    return function


def compile_function(name: str, table: FunctionTable, origin: Origin) -> Callable[..., Any]:
    """Return a function of the document. Raise InvalidModel if it calls itself."""
    if name in table.compiled:
        return table.compiled[name]
    if name in table.open:
        raise InvalidModel(f"function {quote(name, 80)} calls itself", origin)
    table.open.add(name)
    function = table.compiled[name] = _compile_body(table.forms[name], table)
    table.costs[name] = cost = find_cost(table.forms[name].expression, table)
    if cost > MOST_CALLS:
        raise InvalidModel(f"function {quote(name, 80)} needs more than {MOST_CALLS} calls of functions", origin)
    table.open.discard(name)
    return function


def find_cost(form: ExpressionForm, table: FunctionTable) -> int:
    """Return the number of calls that an expression needs, with those of the document's functions."""
    if not isinstance(form, Apply):
        return 0
    return 1 + table.costs.get(form.function, 0) + sum(find_cost(argument, table) for argument in form.arguments)


def _compile_body(form: FunctionForm, table: FunctionTable) -> Callable[..., Any]:
    scope = FieldScope(table)
    for parameter in form.parameters:
        kind = None if parameter.data_type is None else FieldType("continuous", parameter.data_type)
        scope.declare(parameter.name, ScopeField(kind, _missing))
    body = compile_expression(form.expression, scope)
    names = [parameter.name for parameter in form.parameters]
    conversions = [_optional_conversion(parameter.data_type) for parameter in form.parameters]
    convert = _optional_conversion(form.data_type)

    def call(*arguments: Any) -> Any:
        values = {
            name: value if value is None else conversion(value)
            for name, value, conversion in zip(names, arguments, conversions, strict=True)
        }
        result = body(Frame(scope.resolvers, {}, None, values))
        return None if result is None else convert(result)

    return call


def _optional_conversion(data_type: str | None) -> Conversion:
    conversion = None if data_type is None else find_conversion(data_type)
    return (lambda value: value) if conversion is None else conversion


def _compile_text_index(form: TextIndex, scope: FieldScope) -> Evaluation:
    scope.require(form.field, form.origin)
    return compile_text_index(form, compile_expression(form.term, scope))


_COMPILERS: dict[type, Callable[[Any, FieldScope], Evaluation]] = {
    ConstantForm: _compile_constant,
    FieldRef: _compile_field_ref,
    NormContinuous: _compile_norm_continuous,
    NormDiscrete: _compile_norm_discrete,
    Discretize: _compile_discretize,
    MapValues: _compile_map_values,
    Apply: _compile_apply,
    Aggregate: _compile_aggregate,
    TextIndex: _compile_text_index,
}
