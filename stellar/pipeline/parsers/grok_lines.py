"""The compiled form of the Grok parser: a generated function for usual lines, in threads with a timer for matches.

    def parse_line(line):
        if TIMER.thread != get_ident() or not line.isascii() or "\\r" in line or not line[:1] > " ":
            return parse(line)
        TIMER.number += 1
        TIMER.is_matching = True
        try:
            match = search(line)
        except TimeoutError:
            return retry(line)
        finally:
            TIMER.is_matching = False
        if match is None:
            raise reject(line)
        captures = match.groups()
        [capture_1, capture_2] = captures
        time = None
        if capture_1 and len(capture_1) == 14 and capture_1[10] == "." and …:
            time = int(digits)
        record = {"timestamp": time or …, "code": int(capture_2) if … else capture_2, "original_string": line}
        if time is None:
            record["timestamp"] = read_timestamp(record, captures)
        return record

The parser itself is the slow form of the same semantics, which takes all other lines.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from threading import get_ident
from typing import TYPE_CHECKING, Any

from stellar.java.grok import CONVERTED, Grok, convert_capture
from stellar.java.match_timer import TIMER
from stellar.java.regex_traits import find_traits
from stellar.pipeline.records import Record
from stellar.util.function_builder import FunctionBuilder, call, call_method, constant, is_none, load

if TYPE_CHECKING:
    from stellar.pipeline.parsers.grok import Captures

ParseLine = Callable[[str], Record]
_USUAL_LENGTH, _POINT = 14, 10  # of times in seconds with three decimals, from 2001 to 2286


def compile_line_parser(
    grok: Grok,
    parse: ParseLine,
    retry: ParseLine,
    reject: Callable[[str], Exception],
    timestamp_field: str | None,
    read_timestamp: Callable[[Record, Captures], int],
    *,
    has_usual_times: bool,
) -> ParseLine | None:
    """Return a function that parses a line; None if the pattern has no form for the standard library.

    parse: parses a line of any form
    retry: parses a line whose match took too long
    reject: returns the error of a line that does not match
    timestamp_field: the field with the time; None if the record gets no timestamp
    read_timestamp: returns the timestamp of a record in milliseconds
    has_usual_times: True if the time of a usual record is in seconds with three decimals
    """
    if (quick := grok.quick) is None:
        return None
    builder = FunctionBuilder("line")
    with builder.if_true(_is_unusual(builder)):
        builder.return_value(call(builder.bind(parse, "parse"), load("line")))
    _search(builder, quick.search, retry)
    with builder.if_true(is_none(load("match"))):
        builder.raise_error(call(builder.bind(reject, "reject"), load("line")))
    captures = {field: builder.new_name("capture") for field in grok.fields}
    numbers = (0, 0, *grok.numbers)  # with two more numbers, `group` always returns a tuple
    if grok.numbers == tuple(range(1, quick.groups + 1)):
        builder.assign("captures", call_method("match", "groups"))
    else:
        values = call_method("match", "group", *map(constant, numbers))
        builder.assign("captures", ast.Subscript(values, ast.Slice(constant(2)), ast.Load()))
    builder.unpack(list(captures.values()), load("captures"))
    is_timed = timestamp_field is not None
    if is_timed:
        builder.assign("time", constant(None))
        if has_usual_times and timestamp_field in captures:
            _read_usual_time(builder, captures[timestamp_field])
    _make_record(builder, quick, captures, grok.numbers, is_timed=is_timed)
    if is_timed:
        with builder.if_true(is_none(load("time"))):
            read = call(builder.bind(read_timestamp, "read_timestamp"), load("record"), load("captures"))
            builder.set_item("record", "timestamp", read)
    builder.return_value(load("record"))
    return builder.link("parse_line")


def _is_unusual(builder: FunctionBuilder) -> ast.expr:
    timer = ast.Attribute(builder.bind(TIMER, "timer"), "thread", ast.Load())
    is_other_thread = ast.Compare(timer, [ast.NotEq()], [call(builder.bind(get_ident, "get_ident"))])
    is_not_ascii = ast.UnaryOp(ast.Not(), call_method("line", "isascii"))
    has_return = ast.Compare(constant("\r"), [ast.In()], [load("line")])
    first = ast.Subscript(load("line"), ast.Slice(None, constant(1)), ast.Load())
    may_be_blank = ast.UnaryOp(ast.Not(), ast.Compare(first, [ast.Gt()], [constant(" ")]))
    return ast.BoolOp(ast.Or(), [is_other_thread, is_not_ascii, has_return, may_be_blank])


def _search(builder: FunctionBuilder, search: Callable[[str], Any], retry: ParseLine) -> None:
    """Assign the match, limited by the timer; see `stellar.java.match_timer`."""
    timer = builder.bind(TIMER, "timer")

    def set_attribute(name: str, value: ast.expr) -> ast.stmt:
        return ast.Assign([ast.Attribute(timer, name, ast.Store())], value)

    builder.add(ast.AugAssign(ast.Attribute(timer, "number", ast.Store()), ast.Add(), constant(1)))
    builder.add(set_attribute("is_matching", constant(True)))
    with builder.block() as body:
        builder.assign("match", call(builder.bind(search, "search"), load("line")))
    with builder.block() as late:
        builder.return_value(call(builder.bind(retry, "retry"), load("line")))
    handler = builder.handler(TimeoutError, late)
    builder.add(ast.Try(body, [handler], [], [set_attribute("is_matching", constant(False))]))


def _read_usual_time(builder: FunctionBuilder, capture: str) -> None:
    """Assign milliseconds to `time` if a capture is a usual time in seconds with three decimals."""
    value = load(capture)

    def cut(start: int | None, end: int | None) -> ast.expr:
        bounds = [None if bound is None else constant(bound) for bound in (start, end)]
        return ast.Subscript(value, ast.Slice(*bounds), ast.Load())

    has_length = ast.Compare(call(load("len"), value), [ast.Eq()], [constant(_USUAL_LENGTH)])
    has_point = ast.Compare(ast.Subscript(value, constant(_POINT), ast.Load()), [ast.Eq()], [constant(".")])
    digits = ast.NamedExpr(
        ast.Name("digits", ast.Store()), ast.BinOp(cut(None, _POINT), ast.Add(), cut(_POINT + 1, None))
    )
    are_digits = call(ast.Attribute(digits, "isdecimal", ast.Load()))
    is_later = ast.Compare(ast.Subscript(load("digits"), constant(0), ast.Load()), [ast.NotEq()], [constant("0")])
    with builder.if_true(ast.BoolOp(ast.And(), [value, has_length, has_point, are_digits, is_later])):
        builder.assign("time", call(load("int"), load("digits")))


def _make_record(
    builder: FunctionBuilder, quick: Any, captures: dict[str, str], numbers: tuple[int, ...], *, is_timed: bool
) -> None:
    traits = find_traits(quick, CONVERTED)
    values: dict[str, ast.expr] = {
        field: convert_capture(builder, name, traits[number], is_ascii=True)
        for (field, name), number in zip(captures.items(), numbers, strict=True)
    }
    values["original_string"] = load("line")
    if is_timed:
        other = values.get("timestamp")
        values["timestamp"] = load("time") if other is None else ast.BoolOp(ast.Or(), [load("time"), other])
    builder.assign("record", ast.Dict([constant(field) for field in values], list(values.values())))
