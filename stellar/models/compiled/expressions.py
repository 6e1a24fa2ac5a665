"""Code of derived fields of numbers."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from stellar.models.compiled.fields import LocalValue, NotCompiled
from stellar.models.evaluation.expressions import FUNCTIONS
from stellar.models.forms.expressions import Apply, ConstantForm, ExpressionForm, FieldRef
from stellar.models.forms.fields import DerivedField
from stellar.util.function_builder import FunctionBuilder, call, constant, load

_OPERATORS: dict[str, type[ast.operator]] = {"+": ast.Add, "-": ast.Sub, "*": ast.Mult, "/": ast.Div}
# Functions of a float that return a float
FLOAT_FUNCTIONS = frozenset("exp expm1 ln ln1p log10 sqrt sin cos tan tanh".split())  # noqa: SIM905


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
        case Apply():
            return _write_apply(form, values, builder)
    raise NotCompiled


def _write_apply(form: Apply, values: Mapping[str, LocalValue], builder: FunctionBuilder) -> tuple[ast.expr, bool]:
    if form.missing is not None or form.default is not None or form.invalid != "returnInvalid":
        raise NotCompiled
    arguments = [_write(argument, values, builder) for argument in form.arguments]
    if form.function in FLOAT_FUNCTIONS and len(arguments) == 1:
        return call(builder.bind(FUNCTIONS[form.function][0], "function"), arguments[0][0]), True
    if form.function not in _OPERATORS or len(arguments) != 2 or not (arguments[0][1] or arguments[1][1]):
        raise NotCompiled
    divisor = form.arguments[1]
    if form.function == "/" and not (isinstance(divisor, ConstantForm) and divisor.value):
        raise NotCompiled
    return ast.BinOp(arguments[0][0], _OPERATORS[form.function](), arguments[1][0]), True
