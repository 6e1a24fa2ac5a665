"""The compiled form of the CSV parser: a generated function for rows in which Python's csv module agrees with opencsv.

    def parse_row(text):
        if "\\" in text:
            return parse(text)
        if '"' in text:
            values = read_quoted(text)
            if values is None:
                return parse(text)
        else:
            values = text.split(",")
        if len(values) < 2:
            return parse(text)
        if len(values) > 2:
            values = values[:2]
        [value_1, value_2] = values
        time = value_1.strip(WHITESPACE)
        return {
            "timestamp": int(time) if time.isdecimal() and … else read_time(time),
            "ip_src_addr": value_2.strip(WHITESPACE),
            "original_string": text,
        }

The parser itself takes other rows, and makes the errors.
"""

from __future__ import annotations

import ast
import csv
from collections.abc import Callable, Sequence

from stellar.language.conversions import JAVA_WHITESPACE
from stellar.pipeline.records import Record
from stellar.util.clock import now
from stellar.util.function_builder import FunctionBuilder, call, call_method, constant, is_none, load

_MOST_DIGITS = 18  # that always are an integer of 64 bits


def compile_row_parser(
    columns: Sequence[tuple[str, int]],
    separator: str,
    parse: Callable[[str], Record],
    read_time: Callable[[str], int | str],
    *,
    is_number: bool,
) -> Callable[[str], Record]:
    """Return a function that parses a row.

    columns: names and indexes
    parse: parses a row of any form
    read_time: returns the timestamp of the value in its column
    is_number: True if that is usually a number of milliseconds
    """
    width = max(index for _, index in columns) + 1
    builder = FunctionBuilder("text")
    with builder.block() as unusual:
        builder.return_value(call(builder.bind(parse, "parse"), load("text")))
    builder.add(ast.If(ast.Compare(constant("\\"), [ast.In()], [load("text")]), unusual, []))
    _split(builder, separator, unusual)
    length = call(load("len"), load("values"))
    builder.add(ast.If(ast.Compare(length, [ast.Lt()], [constant(width)]), unusual, []))
    fields = _select(builder, columns, width)
    if "timestamp" in fields:
        fields["timestamp"] = _read_time(builder, fields["timestamp"], read_time, is_number=is_number)
    else:
        fields["timestamp"] = call(builder.bind(now, "now"))
    fields["original_string"] = load("text")
    builder.return_value(ast.Dict([constant(name) for name in fields], list(fields.values())))
    return builder.link("parse_row")


def _split(builder: FunctionBuilder, separator: str, unusual: list[ast.stmt]) -> None:
    """Assign the values of the row."""
    with builder.block() as quoted:
        builder.assign("values", call(builder.bind(make_quoted_reader(separator), "read_quoted"), load("text")))
        builder.add(ast.If(is_none(load("values")), unusual, []))
    with builder.block() as plain:
        builder.assign("values", call_method("text", "split", constant(separator)))
    builder.add(ast.If(ast.Compare(constant('"'), [ast.In()], [load("text")]), quoted, plain))


def make_quoted_reader(separator: str) -> Callable[[str], list[str] | None]:
    """Return a function that splits a row with quotes but no backslashes; None for a row that opencsv may split else.

    Both dialects agree if each quote is at the start or the end of a quoted value. Then no value has a quote, as the
    csv module keeps all others.
    """
    if separator in "\r\n":
        return lambda row: None
    dialect = csv.reader((), delimiter=separator, strict=True).dialect
    reader, join = csv.reader, "".join

    def read_quoted(row: str) -> list[str] | None:
        if "\n" in row or "\r" in row:
            return None
        try:
            (values,) = reader((row,), dialect)
        except (csv.Error, ValueError):
            return None
        return None if '"' in join(values) else values

    return read_quoted


def _select(builder: FunctionBuilder, columns: Sequence[tuple[str, int]], width: int) -> dict[str, ast.expr]:
    """Return the value of each field, without whitespace at its ends."""
    if [index for _, index in columns] == list(range(width)):
        with builder.if_true(ast.Compare(call(load("len"), load("values")), [ast.Gt()], [constant(width)])):
            builder.assign("values", ast.Subscript(load("values"), ast.Slice(None, constant(width)), ast.Load()))
        names = [builder.new_name("value") for _ in columns]
        builder.unpack(names, load("values"))
        values = [load(name) for name in names]
    else:
        values = [ast.Subscript(load("values"), constant(index), ast.Load()) for _, index in columns]
    return {
        name: call(ast.Attribute(value, "strip", ast.Load()), constant(JAVA_WHITESPACE))
        for (name, _), value in zip(columns, values, strict=True)
    }


def _read_time(
    builder: FunctionBuilder, value: ast.expr, read_time: Callable[[str], int | str], *, is_number: bool
) -> ast.expr:
    builder.assign("time", value)
    other = call(builder.bind(read_time, "read_time"), load("time"))
    if not is_number:
        return other
    is_short = ast.Compare(call(load("len"), load("time")), [ast.LtE()], [constant(_MOST_DIGITS)])
    is_usual = ast.BoolOp(ast.And(), [call_method("time", "isdecimal"), call_method("time", "isascii"), is_short])
    return ast.IfExp(is_usual, call(load("int"), load("time")), other)
