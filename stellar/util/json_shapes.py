"""Generated encoders of flat records as JSON, for records with the same fields as earlier ones.

The encoder of the standard library examines each character of each string. Here the strings of a record are joined and
searched at once for characters that JSON escapes, which takes a quarter of the time, and the names of fields are
encoded once. Strings of fields that had such characters before, as `url` below, are left to the standard encoder. The
function for a shape, which is the fields of a record in their order, is

    def encode_shape(value_0, value_1, value_2):
        try:
            joined = join((value_0,))
        except TypeError:
            return None
        if value_1.__class__ is not int or value_2.__class__ is not str:
            return None
        strings = joined.encode("utf-8", "surrogatepass")
        if len(strings.translate(None, ESCAPED)) == len(strings):
            return join(('{"ip":"', value_0, '","port":', f"{value_1}", ',"url":', quote(value_2), '}'))
        return join(('{"ip":', quote(value_0), ',"port":', f"{value_1}", ',"url":', quote(value_2), '}'))

It returns None if a value has another type than in the records for which the function was made. Then the standard
encoder takes the record, so the result is always the same.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from stellar.util.function_builder import FunctionBuilder, call, call_method, constant, is_none, load

if TYPE_CHECKING:
    from stellar.util.json_encoding import Encode, EncodeShape, Kind

_ESCAPED = bytes(range(32)) + b'"\\'
_CLASSES: dict[str, type] = {"integer": int, "text": str}
_quote: Encode = json.encoder.encode_basestring


def generate_encoder(shape: Sequence[str], kinds: Sequence[Kind], encode: Encode) -> EncodeShape:
    """Return a function that encodes a record, given its values as arguments.

    shape: the names of the fields
    kinds: the kinds of their values
    encode: returns the JSON of any value
    """
    values = [f"value_{number}" for number in range(len(shape))]
    builder = FunctionBuilder(*values)
    join = builder.bind("".join, "join")
    plain: list[ast.expr] = [load(value) for value, kind in zip(values, kinds, strict=True) if kind == "plain"]
    with builder.block() as differs:
        builder.return_value(constant(None))
    with builder.attempt(builder.handler(TypeError, differs)):
        joined = builder.assign_new("joined", call(join, ast.Tuple(plain, ast.Load())))
    for value, kind in zip(values, kinds, strict=True):
        if (expected := _CLASSES.get(kind)) is not None:
            cls = ast.Attribute(load(value), "__class__", ast.Load())
            is_other = ast.Compare(cls, [ast.IsNot()], [builder.bind(expected, "expected")])
            builder.add(ast.If(is_other, differs, []))
    encoded = builder.assign_new("strings", call_method(joined, "encode", constant("utf-8"), constant("surrogatepass")))
    rest = call_method(encoded, "translate", constant(None), constant(_ESCAPED))
    is_plain = ast.Compare(call(load("len"), rest), [ast.Eq()], [call(load("len"), load(encoded))])
    fields = list(zip(shape, values, kinds, strict=True))
    with builder.if_true(is_plain):
        builder.return_value(call(join, _list_pieces(builder, fields, encode, is_plain=True)))
    builder.return_value(call(join, _list_pieces(builder, fields, encode, is_plain=False)))
    return builder.link("encode_shape")


def _list_pieces(
    builder: FunctionBuilder, fields: Sequence[tuple[str, str, Kind]], encode: Encode, *, is_plain: bool
) -> ast.expr:
    """Return the tuple of the strings that a JSON object consists of."""
    quote, convert = builder.bind(_quote, "quote"), builder.bind(encode, "encode")
    pieces: list[ast.expr] = []
    pending = "{"
    for name, value, kind in fields:
        is_copied = is_plain and kind == "plain"
        in_quotes = '"' if is_copied else ""
        pieces.append(constant(f"{pending}{_quote(name)}:{in_quotes}"))
        if kind == "any":
            pieces.append(ast.IfExp(is_none(load(value)), constant("null"), call(convert, load(value))))
        elif kind == "integer":
            pieces.append(ast.JoinedStr([ast.FormattedValue(load(value), -1)]))
        else:
            pieces.append(load(value) if is_copied else call(quote, load(value)))
        pending = f"{in_quotes},"
    return ast.Tuple([*pieces, constant(f"{pending.removesuffix(',')}}}")], ast.Load())
