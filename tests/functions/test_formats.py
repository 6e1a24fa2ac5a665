"""FORMAT formats like Java's String.format."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

import stellar
from stellar.functions import formats
from stellar.functions.formats import format_, hash_code
from stellar.language.inline import Prepared
from stellar.language.library import UNKNOWN

MOMENT = 1508769960123  # 2017-10-23 14:46:00.123

FORMATTED = [
    ("%s %S %.2s|%5s|%-5s|", ("a", "b", "cde", "f", "g"), "a B cd|    f|g    |"),
    ("%5%|%-5%|%n|", (), "    %|%    |\n|"),
    ("%2$s %s %<s %s", ("a", "b"), "b a a b"),
    ("%b %B %.1b %5b|", (None, 0, True, False), "false TRUE t false|"),
    ("%h %H %h %h", ("hello", "hello", None, [1, "a", None]), "5e918d2 5E918D2 null 83df"),
    ("%c%C%c", (65, 98, 0x1F600), "AB\U0001f600"),
    ("%d|%5d|%-5d|%05d|%+d|% d|%(d|%,d", (1, 2, 3, -4, 5, 6, -7, -1234567), "1|    2|3    |-0004|+5| 6|(7)|-1,234,567"),
    ("%(08d|%,010d|%+,d", (-42, 1234567, 1000), "(000042)|01,234,567|+1,000"),
    ("%o %#o %x %#X %08x %#06x", (8, 8, 255, 255, 255, 255), "10 010 ff 0XFF 000000ff 0x00ff"),
    ("%x %x %o %x", (-1, -(2**31) - 1, -8, -(2**64)), "ffffffff ffffffff7fffffff 37777777770 -10000000000000000"),
    ("%f %.0f %#.0f %.1f %.2f", (1.5, 2.5, 2.5, 0.25, 1.005), "1.500000 3 3. 0.3 1.01"),
    (
        "%,.2f|%08.2f|%(.1f|%+.1f|%-8.1f|",
        (1234567.891, -3.14159, -2.0, 2.0, 2.0),
        "1,234,567.89|-0003.14|(2.0)|+2.0|2.0     |",
    ),
    ("%.1f %.3f %f", (1e22, 1e-7, -0.0), "10000000000000000000000.0 0.000 -0.000000"),
    (
        "%e %.0e %.3E %e %010.1e",
        (12345.678, 9.96, 0.000123456, 0.0, 1.0),
        "1.234568e+04 1e+01 1.235E-04 0.000000e+00 0001.0e+00",
    ),
    ("%e", (9.9999999,), "1.000000e+01"),
    (
        "%g %g %g %.3g %.0g %g",
        (0.00012345, 123456.0, 1e10, 99.95, 5.0, 0.0),
        "0.000123450 123456 1.00000e+10 100 5 0.00000",
    ),
    ("%g %g %.3g", (0.00001, 999999.5, 0.00009999), "1.00000e-05 1.00000e+06 0.000100"),
    ("%a %a %a %.2a %A", (1.0, 0.1, 0.0, 1.999, 1.0), "0x1.0p0 0x1.999999999999ap-4 0x0.0p0 0x1.00p1 0X1.0P0"),
    (
        "%f %E %5.1f|%+f",
        (math.nan, math.inf, -math.inf, math.inf),
        "NaN INFINITY -Infinity|+Infinity",
    ),
    ("%d %.2f %5x|%X %c", (None,) * 5, "null nu  null|NULL null"),
    ("%tY-%<tm-%<td %<tH:%<tM:%<tS.%<tL %<tN", (MOMENT,), "2017-10-23 14:46:00.123 123000000"),
    ("%tA %<ta %<tB %<tb %<th %<te %<tj %<tC %<ty", (MOMENT,), "Monday Mon October Oct Oct 23 296 20 17"),
    ("%tI %<tl %<tk %<tp %<Tp %<tz %<tZ %<ts %<tQ", (MOMENT,), f"02 2 14 pm PM +0000 UTC 1508769960 {MOMENT}"),
    ("%tF|%<tT|%<tR|%<tr|%<tD", (MOMENT,), "2017-10-23|14:46:00|14:46|02:46:00 PM|10/23/17"),
    ("%tc|%<TB|%<15tF|%<-15tF|", (MOMENT,), "Mon Oct 23 14:46:00 UTC 2017|OCTOBER|     2017-10-23|2017-10-23     |"),
]


@pytest.mark.parametrize(("pattern", "values", "string"), FORMATTED)
def test_values_are_formatted(pattern, values, string):
    # %g has trailing zeros, but no decimal point without digits after it
    assert format_(pattern, *values) == string.replace("123456. ", "123456 ").replace("100. ", "100 ").replace(
        "0. ", "0 "
    )


@pytest.mark.parametrize(
    "pattern",
    [
        *(
            "%",
            "%5",
            "%z",
            "%D",
            "%N",
            "%-d",
            "%05",
            "%-05d",
            "%+ d",
            "%++d",
            "%0d",
            "%.1d",
            "%#d",
            "%,x",
            "%,e",
            "%#g",
        ),
        *("%,a", "%(a", "%+s", "%#s", "%#b", "%5n", "%-n", "%.2c", "%0$s", "%tq", "%.1tY", "%.1%", "%99999999999s"),
        "%.2000000f",
    ],
)
def test_an_invalid_pattern_is_rejected(pattern):
    with pytest.raises(ValueError, match="invalid directive"):
        format_(pattern, 1, 1)


@pytest.mark.parametrize(
    ("pattern", "value"),
    [
        *(("%d", 1.0), ("%d", "1"), ("%d", True), ("%x", 1.5), ("%f", 1), ("%e", "1"), ("%g", 1), ("%a", True)),
        *(("%c", "a"), ("%c", -1), ("%c", 0x110000), ("%c", 1.0), ("%tY", 1.0), ("%tY", "x"), ("%tY", 2**63)),
    ],
)
def test_a_value_of_another_type_is_rejected(pattern, value):
    with pytest.raises(ValueError, match=f"'{pattern}' expected"):
        format_(pattern, value)


@pytest.mark.parametrize(("pattern", "values"), [("%s", ()), ("%s %s", (1,)), ("%2$s", (1,)), ("%<s", (1,))])
def test_a_missing_value_is_rejected(pattern, values):
    with pytest.raises(LookupError, match="missing value"):
        format_(pattern, *values)


@pytest.mark.parametrize(
    ("value", "code"),
    [
        *(("", 0), ("abc", 96354), (7, 7), (-1, -1), (2**40, 256), (True, 1231), (False, 1237), (1.5, 1073217536)),
        *(([], 1), ([1, 2], 994), ({"a": 1}, 96), (None, 0), ("polygenelubricants", -(2**31)), ({1, 2}, 3)),
    ],
)
def test_a_hash_code_is_the_same_as_in_java(value, code):
    assert hash_code(value) == code


@given(st.floats(-1e300, 1e300), st.integers(0, 20))
def test_a_rounded_number_is_within_half_a_unit(number, decimals):
    assert math.isclose(float(format_(f"%.{decimals}f", number)), number, abs_tol=0.5000001 * 10**-decimals)
    assert math.isclose(float(format_(f"%.{decimals}e", number)), number, rel_tol=5.000001 * 10 ** -(decimals + 1))
    assert math.isclose(float(format_(f"%.{decimals + 1}g", number)), number, rel_tol=5.000001 * 10 ** -(decimals + 1))


# Formatted by the fast and by the general path; 0.125 and 1.005 are ties between two decimals
VALUES = st.one_of(
    st.integers(-(10**12), 10**12),
    st.floats(),
    st.sampled_from([0.125, 1.005, 2.675, -0.5, 1e22, -0.0, 0.0005, 123456789.5]),
    st.text("ab%", max_size=4),
    st.booleans(),
    st.none(),
)
DIRECTIVES = st.sampled_from(
    [
        "%s",
        "%-6s|",
        "%.2s",
        "%d",
        "%05d",
        "%+d",
        "% d",
        "%-6d|",
        "%f",
        "%.2f",
        "%08.1f",
        "%+.0f",
        "%%",
        "é",
        "%,d",
        "%5s",
    ]
)


@given(st.lists(DIRECTIVES, max_size=4).map(" ".join), st.lists(VALUES, max_size=4))
def test_the_fast_path_agrees_with_the_general_one(pattern: str, values: list[object]) -> None:
    prepared = formats._prepare_format(pattern, *[UNKNOWN] * len(values))
    assert (
        _outcome(format_, pattern, *values)
        == _outcome(prepared.function if isinstance(prepared, Prepared) else prepared, *values)
        == _outcome(_format_inline, pattern, *values)
        == _outcome(_format_generally, pattern, *values)
    )


def _format_inline(pattern: str, *values: object) -> str:
    fields = {f"v{index}": value for index, value in enumerate(values)}
    try:
        return stellar.evaluate(f"FORMAT({', '.join([repr(pattern), *fields])})", fields)
    except stellar.EvaluationError as error:
        raise error.__cause__ or error from None


def _format_generally(pattern: str, *values: object) -> str:
    return formats._render(formats._parse(pattern), values)


def _outcome(function: Callable[..., str], *arguments: object) -> str:
    try:
        return function(*arguments)
    except (ValueError, LookupError) as error:
        return f"{type(error).__name__}: {error}"


def test_an_invalid_pattern_is_not_prepared() -> None:
    assert formats._prepare_format("%q", UNKNOWN) is None
    assert formats._prepare_format("%s", 1) is None
    assert formats._prepare_format(UNKNOWN, UNKNOWN) is None
