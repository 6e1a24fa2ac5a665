"""Generated encoders of flat records as JSON, for records with the same fields as earlier ones.

The encoder of the standard library examines each character of each string. Here the strings of a record are joined and
searched at once for characters that JSON escapes, which takes a quarter of the time, and the names of fields are
encoded once. The function for a shape, which is the fields of a record in their order, is

    def encode_shape(value_1, value_2, value_3):
        try:
            strings = join((value_1, value_3)).encode("utf-8", "surrogatepass")
        except TypeError:
            return None
        if value_2.__class__ is not int:
            return None
        if len(strings.translate(None, ESCAPED)) == len(strings):
            return join(('{"ip":"', value_1, '","port":', f"{value_2}", ',"url":"', value_3, '"}'))
        return join(('{"ip":', quote(value_1), ',"port":', f"{value_2}", ',"url":', quote(value_3), '}'))

It returns None if a value has another type than in the record from which the function was made. Then the standard
encoder takes the record, so the result is always the same.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from stellar.util.function_builder import FunctionBuilder, call, call_method, constant, is_none, load

if TYPE_CHECKING:
    from stellar.util.json_encoding import Encode, EncodeShape

_ESCAPED = bytes(range(32)) + b'"\\'
_quote: Encode = json.encoder.encode_basestring


def generate_encoder(shape: Sequence[str], kinds: Sequence[type | None], encode: Encode) -> EncodeShape:
    """Return a function that encodes a record, given its values as arguments.

    shape: the names of the fields
    kinds: the types of their values: str or int, or None for a value of any type
    encode: returns the JSON of any value
    """
    values = [f"value_{number}" for number in range(len(shape))]
    builder = FunctionBuilder(*values)
    join = builder.bind("".join, "join")
    strings: list[ast.expr] = [load(value) for value, kind in zip(values, kinds, strict=True) if kind is str]
    with builder.block() as differs:
        builder.return_value(constant(None))
    with builder.attempt(builder.handler(TypeError, differs)):
        joined = builder.assign_new("joined", call(join, ast.Tuple(strings, ast.Load())))
    for value, kind in zip(values, kinds, strict=True):
        if kind is int:
            is_other = ast.Compare(
                ast.Attribute(load(value), "__class__", ast.Load()), [ast.IsNot()], [builder.bind(int, "int")]
            )
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
    builder: FunctionBuilder, fields: Sequence[tuple[str, str, type | None]], encode: Encode, *, is_plain: bool
) -> ast.expr:
    """Return the tuple of the strings that a JSON object consists of."""
    quote, convert = builder.bind(_quote, "quote"), builder.bind(encode, "encode")
    pieces: list[ast.expr] = []
    pending = "{"
    for name, value, kind in fields:
        in_quotes = '"' if is_plain and kind is str else ""
        pieces.append(constant(f"{pending}{_quote(name)}:{in_quotes}"))
        if kind is None:
            pieces.append(ast.IfExp(is_none(load(value)), constant("null"), call(convert, load(value))))
        elif kind is int:
            pieces.append(ast.JoinedStr([ast.FormattedValue(load(value), -1)]))
        else:
            pieces.append(load(value) if is_plain else call(quote, load(value)))
        pending = f"{in_quotes},"
    return ast.Tuple([*pieces, constant(f"{pending.removesuffix(',')}}}")], ast.Load())
