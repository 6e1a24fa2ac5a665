"""Code of derived fields of numbers."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from stellar.models.compiled.fields import LocalValue, NotCompiled, compare
from stellar.models.evaluation.expressions import FUNCTIONS
from stellar.models.evaluation.inputs import parse_constant
from stellar.models.forms.expressions import Apply, ConstantForm, ExpressionForm, FieldRef, NormDiscrete
from stellar.models.forms.fields import DerivedField
from stellar.util.function_builder import FunctionBuilder, call, constant, load

_OPERATORS: dict[str, type[ast.operator]] = {"+": ast.Add, "-": ast.Sub, "*": ast.Mult, "/": ast.Div}
# Functions of a float that return a float, and those of floats
FLOAT_FUNCTIONS = frozenset("exp expm1 ln ln1p log10 sqrt sin cos tan tanh".split())  # noqa: SIM905
_FUNCTIONS_OF_FLOATS = frozenset("abs max min pow sum threshold".split())  # noqa: SIM905
# Tests of a value that an ordinary record has, with the position of the argument that `if` returns
_CHOICES = {"isMissing": 2, "isNotMissing": 1}


def write_expression(form: DerivedField, values: Mapping[str, LocalValue], builder: FunctionBuilder) -> LocalValue:
    """Add the code of a derived field. Return its variable, of which a float is not rounded to binary32 yet."""
    if form.type.data not in ("double", "float"):
        raise NotCompiled
    value, is_float = _write(form.expression, values, builder)
    if not is_float:
        raise NotCompiled
    return LocalValue(builder.assign_new("d", value), form.type.data)


def _write(form: ExpressionForm, values: Mapping[str, LocalValue], builder: FunctionBuilder) -> tuple[ast.expr, bool]:
    """Return an expression, and True if its value is a float."""
    match form:
        case ConstantForm() if form.value.__class__ in (int, float):
            return constant(form.value), form.value.__class__ is float
        case FieldRef() if form.missing is None and form.field in values:
            local = values[form.field]
            if local.kind not in ("double", "integer"):
                raise NotCompiled
            return load(local.name), local.kind == "double"
        case NormDiscrete() if form.field in values:
            return _write_indicator(form, values[form.field]), True
        case Apply():
            return _write_apply(form, values, builder)
    raise NotCompiled


def _write_indicator(form: NormDiscrete, local: LocalValue) -> ast.expr:
    if local.kind == "float":
        raise NotCompiled
    value = parse_constant(form.value, local.kind, form.origin)
    return ast.IfExp(compare(load(local.name), ast.Eq(), constant(value)), constant(1.0), constant(0.0))


def _find_choice(form: Apply) -> ExpressionForm | None:
    """Return the argument that `if` returns for an ordinary record, None if it depends on the record."""
    test = form.arguments[0]
    if form.function != "if" or not isinstance(test, Apply) or not isinstance(test.arguments[0], FieldRef):
        return None
    position = _CHOICES.get(test.function, len(form.arguments))
    return form.arguments[position] if position < len(form.arguments) else None


def _write_apply(form: Apply, values: Mapping[str, LocalValue], builder: FunctionBuilder) -> tuple[ast.expr, bool]:
    if form.missing is not None or form.default is not None or form.invalid != "returnInvalid":
        raise NotCompiled
    if (chosen := _find_choice(form)) is not None:
        return _write(chosen, values, builder)
    arguments = [_write(argument, values, builder) for argument in form.arguments]
    if form.function in FLOAT_FUNCTIONS and len(arguments) == 1:
        return call(builder.bind(FUNCTIONS[form.function][0], "function"), arguments[0][0]), True
    if form.function in _FUNCTIONS_OF_FLOATS and all(is_float for _, is_float in arguments):
        return call(builder.bind(FUNCTIONS[form.function][0], "function"), *(value for value, _ in arguments)), True
    if form.function not in _OPERATORS or len(arguments) != 2 or not (arguments[0][1] or arguments[1][1]):
        raise NotCompiled
    divisor = form.arguments[1]
    if form.function == "/" and not (isinstance(divisor, ConstantForm) and divisor.value):
        raise NotCompiled
    return ast.BinOp(arguments[0][0], _OPERATORS[form.function](), arguments[1][0]), True
