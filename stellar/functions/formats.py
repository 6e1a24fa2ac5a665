"""FORMAT: formatting of values like Java's String.format."""

from __future__ import annotations

import math
import re
import struct
import sys
from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

from stellar.java.calendar import LocalDateTime
from stellar.java.date_patterns import HALVES, MONTHS, WEEKDAYS
from stellar.java.timezones import DEFAULT
from stellar.language.conversions import to_long, to_optional_string, to_string
from stellar.language.inline import Inline, Prepared
from stellar.language.library import UNKNOWN, stellar
from stellar.language.limits import FEW_CHARACTERS, check_characters, check_string, measure
from stellar.language.literals import Arguments, LiteralKind
from stellar.language.python_values import from_python
from stellar.language.runtime import describe
from stellar.util.abbreviate import quote
from stellar.util.memoize import memoize_for

# No record needs more, and a wrong width must not exhaust memory
_WIDEST = 1_000_000


def _prepare_format(format_: object, *args: object) -> Callable[..., str] | Prepared | None:
    if not isinstance(format_, str) or any(value is not UNKNOWN for value in args):
        return None
    try:
        parts, template = _parse(format_), _make_python_template(format_)
    except ValueError:
        return None
    if template is None:
        return lambda *values: _render(parts, values)
    fits, text = template.fits, template.text

    def format_values(*values: Any) -> str:
        return check_string(text % values) if fits(values) else _render(parts, values)

    return Prepared(format_values, () if template.decimals else (_inline(template),))


def _inline(template: _PythonTemplate) -> Inline:
    """Return the inline form of FORMAT with a template without floats."""
    names = [f"value{index}" for index in range(len(template.classes))]
    return Inline(
        f"string if len(string := text % ({''.join(f'{name}, ' for name in names)})) <= most else check_string(string)",
        dict(zip(names, template.classes, strict=True)),
        # Python compiles a template of %s alone to an f-string; of an integer %d is the same
        values={
            "text": re.sub("%%|%d", lambda directive: directive[0].replace("d", "s"), template.text),
            "most": FEW_CHARACTERS,
            "check_string": check_string,
        },
        result=str,
    )


def _validate_format(format_: object, arguments: Arguments) -> None:
    if not isinstance(format_, str):
        return
    values = arguments[1:]
    for directive, index in _number_values(_parse(format_)):
        if not 0 <= index < len(values):
            raise LookupError(f"missing value for {quote(directive.source)}")
        if values[index] is not UNKNOWN:
            directive.format(values[index])


FORMAT = LiteralKind(_validate_format, "add a value for each directive; write a percent sign as %%")


@stellar("FORMAT", pure=True, prepare=_prepare_format, literals={"format": FORMAT})
def format_(format_: object, *args: Any) -> str:
    """Format values by a pattern, like Java's String.format.

    format: The pattern. Its directives are replaced by values: `%s` any value, `%d` and `%x` integers, `%f` and `%e`
        floats, `%b` booleans, `%tY` and the like fields of a timestamp; `%%` is a percent sign, `%n` a line end. `%2$s`
        takes the second value, `%<s` the previous one again. Flags, a width and a precision go between, as in `%-10s`,
        `%05d`, `%,.2f`
    args: The values; surplus ones are ignored
    returns: The formatted string

        FORMAT('%s has %d of %.1f%%', 'squid', 3, 12.25)  // 'squid has 3 of 12.3%'
        FORMAT('%05d|%-5s|%,d', 42, 'ab', 1234567)  // '00042|ab   |1,234,567'
        FORMAT('%2$s %1$s %<s', 'a', null)  // 'null a a'
        FORMAT('%tF', 1508769960000L)  // '2017-10-23'
        FORMAT('%d', 1.5)  // error
        FORMAT('%s')  // error
    """
    pattern = to_optional_string(format_)
    if pattern is None:
        raise ValueError(f"FORMAT expected a pattern as format, got {describe(format_)}")
    return _format(pattern, *args)


def _format(pattern: str, *args: object) -> str:
    template = _make_python_template(pattern)
    return template.render(args) if template and template.fits(args) else _render(_parse(pattern), args)


def _render(parts: list[str | _Directive], args: tuple[object, ...]) -> str:
    indices = _number_values(parts)
    pieces: list[str] = []
    length = 0
    for part in parts:
        if isinstance(part, str):
            pieces.append(part)
            continue
        _, index = next(indices)
        if not 0 <= index < len(args):
            raise LookupError(f"missing value for {quote(part.source)}")
        pieces.append(part.format(args[index]))
        length += len(pieces[-1])
        check_characters(length)
    return check_string("".join(pieces))


def _number_values(parts: list[str | _Directive]) -> Iterator[tuple[_Directive, int]]:
    """Yield the directives, each with the index of its value; -1 for a missing previous one."""
    sequential = last = -1
    for part in parts:
        if isinstance(part, str):
            continue
        if part.index is None:
            sequential = last = sequential + 1
        elif part.index > 0:
            last = part.index - 1
        yield part, last


@dataclass(frozen=True)
class _Directive:
    """A directive of a pattern, such as `%-10s`.

    source: the directive itself
    index: number of the value, from 1; 0 is the previous one, None the next
    """

    source: str
    index: int | None
    flags: str
    width: int
    precision: int | None
    letter: str
    date_letter: str

    def format(self, value: object) -> str:
        value = from_python(value)
        if value is None and self.letter not in "bB":
            text = "null" if self.precision is None else "null"[: self.precision]
        else:
            text = _WRITERS[self.letter.lower()](self, value)
        if self.letter.isupper():
            text = text.upper()
        return self.pad(text)

    def pad(self, text: str) -> str:
        return text.ljust(self.width) if "-" in self.flags else text.rjust(self.width)

    def error(self, value: object) -> ValueError:
        return ValueError(f"{quote(self.source)} expected {_NOUNS[self.letter.lower()]}, got {describe(value)}")


_NOUNS = {
    **dict.fromkeys("dox", "an integer"),
    **dict.fromkeys("efga", "a float"),
    "c": "a code point",
    "t": "a timestamp in milliseconds",
}
_DIRECTIVE = re.compile(r"%(?:(\d+)\$)?([-#+ 0,(<]*)(\d+)?(?:\.(\d+))?([tT])?([a-zA-Z%])", re.ASCII)
_LETTERS = "bBhHsScCdoxXeEfgGaAn%"
_DATE_LETTERS = "HIklMSLNpzZsQBbhAaCYyjmdeRTrDFc"
# The flags that each conversion letter supports
_FLAGS = {
    **dict.fromkeys("bBhHsScCtT%", "-"),
    "d": "-+ 0,(",
    **dict.fromkeys("oxX", "-#+ 0("),
    **dict.fromkeys("eE", "-#+ 0("),
    "f": "-#+ 0,(",
    **dict.fromkeys("gG", "-+ 0,("),
    **dict.fromkeys("aA", "-#+ 0"),
    "n": "",
}
_PRECISE = "bBhHsSeEfgGaA"


@dataclass(frozen=True)
class _PythonTemplate:
    """An equivalent Python `%` template, for the values for which both languages agree.

    classes: required class of each value
    decimals: for each float, its index and ten to the power of its number of decimals
    """

    text: str
    classes: list[type]
    decimals: list[tuple[int, float]]

    def fits(self, values: tuple[Any, ...]) -> bool:
        if list(map(type, values)) != self.classes and not self._fit_as_strings(values):
            return False
        for index, scale in self.decimals:
            scaled = abs(values[index]) * scale
            if not (scaled < 1e12 and not 0.499 < scaled % 1 < 0.501):
                return False
        return True

    def _fit_as_strings(self, values: tuple[Any, ...]) -> bool:
        """Return True if values have the required classes, or are integers instead of strings."""
        classes = self.classes
        return len(values) == len(classes) and all(
            value.__class__ is cls or (value.__class__ is int and cls is str)
            for value, cls in zip(values, classes, strict=True)
        )

    def render(self, values: tuple[object, ...]) -> str:
        return check_string(self.text % values)


_FEW_DIRECTIVES = 16
_SAME_FLAGS = frozenset("-+ 0")
_SAME_LETTERS: dict[str, type] = {"s": str, "d": int, "f": float}


@memoize_for(512)
def _make_python_template(pattern: str) -> _PythonTemplate | None:
    """Return the equivalent Python template of a pattern, or None if Python has no equivalent.

    There is none for a pattern of many or wide directives, as the length of the result is checked after rendering it.
    Ties between two decimals are rounded up by their decimal digits in Java, and by their binary value in Python, so
    values near a tie do not fit a template.
    """
    text, decimals = "", []
    classes: list[type] = []
    parts = _parse(pattern)
    directives = [part for part in parts if isinstance(part, _Directive)]
    width = sum(directive.width + (directive.precision or 0) for directive in directives)
    if len(directives) > _FEW_DIRECTIVES or width > FEW_CHARACTERS:
        return None
    for part in parts:
        if isinstance(part, str):
            text += part.replace("%", "%%")
            continue
        if part.index is not None or part.letter not in _SAME_LETTERS or not _SAME_FLAGS.issuperset(part.flags):
            return None
        if part.letter == "f":
            decimals.append((len(classes), 10.0 ** (6 if part.precision is None else min(part.precision, 300))))
        text += part.source
        classes.append(_SAME_LETTERS[part.letter])
    return _PythonTemplate(text, classes, decimals)


@memoize_for(512)
def _parse(pattern: str) -> list[str | _Directive]:
    """Split a pattern into literal strings and directives. Raises ValueError if it is invalid."""
    parts: list[str | _Directive] = []
    at = 0
    while at < len(pattern):
        found = pattern.find("%", at)
        if found != at:
            parts.append(pattern[at : None if found < 0 else found])
            at = len(pattern) if found < 0 else found
            continue
        match = _DIRECTIVE.match(pattern, at)
        if match is None:
            raise ValueError(f"invalid directive at {quote(pattern[at : at + 10])}; use %% for a percent sign")
        directive = _parse_directive(match)
        constant = {"n": "\n", "%": "%"}.get(directive.letter)
        parts.append(directive if constant is None else directive.pad(constant))
        at = match.end()
    return parts


def _parse_directive(match: re.Match[str]) -> _Directive:
    index, flags, width, precision, date, letter = match.groups()
    problem = _find_problem(flags, width, precision, date or letter, letter if date else None)
    if index == "0" * len(index or "x"):
        problem = "values are numbered from 1"
    if problem:
        raise ValueError(f"invalid directive {quote(match[0])}: {problem}")
    return _Directive(
        source=match[0],
        index=0 if "<" in flags else int(index) if index else None,
        flags=flags,
        width=int(width or 0),
        precision=int(precision) if precision else None,
        letter=date or letter,
        date_letter=letter if date else "",
    )


def _find_problem(
    flags: str, width: str | None, precision: str | None, letter: str, date_letter: str | None
) -> str | None:
    if date_letter is None and letter not in _LETTERS:
        return f"unknown conversion %{letter}"
    if date_letter is not None and date_letter not in _DATE_LETTERS:
        return f"unknown conversion %t{date_letter}"
    if wrong := set(flags) - set(_FLAGS[letter]) - {"<"}:
        return f"%{letter} does not support the flag {quote(''.join(sorted(wrong)))}"
    if len(set(flags)) < len(flags) or {"+", " "} <= set(flags) or {"-", "0"} <= set(flags):
        return "conflicting flags"
    if width is None and ("-" in flags or "0" in flags):
        return "missing width"
    if precision is not None and letter not in _PRECISE:
        return f"%{letter} does not support a precision"
    if letter == "n" and (width is not None or flags):
        return "%n does not support flags or a width"
    if max(len(width or ""), len(precision or "")) > 9 or max(int(width or 0), int(precision or 0)) > _WIDEST:
        return f"width or precision above {_WIDEST}"
    return None


# -- Any value --------------------------------------------------------------------------------------------------------


def _format_any(directive: _Directive, value: object) -> str:
    return to_string(value)[: directive.precision]


def _format_boolean(directive: _Directive, value: object) -> str:
    return to_string(value if isinstance(value, bool) else value is not None)[: directive.precision]


def _format_hash(directive: _Directive, value: object) -> str:
    measure(value)
    return f"{hash_code(value) & 0xFFFFFFFF:x}"[: directive.precision]


def hash_code(value: Any) -> int:
    """Return Java's hash code of a value, a 32-bit integer."""
    if value is None:
        return 0
    if isinstance(value, bool):
        return 1231 if value else 1237
    if isinstance(value, int):
        return _fold_to_int32(value) if not -(2**31) <= value < 2**31 else value
    if isinstance(value, float):
        return _fold_to_int32(struct.unpack(">q", struct.pack(">d", value))[0])
    if isinstance(value, str):
        units = array("H", value.encode("utf-16" + sys.byteorder[0] + "e", "surrogatepass"))
        return _combine_hashes(0, units)
    if isinstance(value, list | tuple):
        return _combine_hashes(1, map(hash_code, value))
    if isinstance(value, set | frozenset):
        return _to_int32(sum(map(hash_code, value)))
    if isinstance(value, Mapping):
        return _to_int32(sum(hash_code(key) ^ hash_code(item) for key, item in value.items()))
    return _to_int32(hash(value))


def _combine_hashes(start: int, numbers: Any) -> int:
    total = start
    for number in numbers:
        total = (31 * total + number) & 0xFFFFFFFF
    return _to_int32(total)


def _fold_to_int32(number: int) -> int:
    return _to_int32((number ^ (number >> 32)) & 0xFFFFFFFF)


def _to_int32(number: int) -> int:
    return (number + 2**31) % 2**32 - 2**31


def _format_character(directive: _Directive, value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 0x10FFFF:
        return chr(value)
    raise directive.error(value)


# -- Integers ---------------------------------------------------------------------------------------------------------


def _format_decimal(directive: _Directive, value: object) -> str:
    number = _require_integer(directive, value)
    digits = f"{abs(number):,}" if "," in directive.flags else str(abs(number))
    return _format_signed(directive, digits, negative=number < 0)


def _format_octal(directive: _Directive, value: object) -> str:
    return _format_unsigned(directive, value, "o", "0")


def _format_hexadecimal(directive: _Directive, value: object) -> str:
    return _format_unsigned(directive, value, "x", "0x")


def _format_unsigned(directive: _Directive, value: object, base: str, prefix: str) -> str:
    number = _require_integer(directive, value)
    prefix = prefix if "#" in directive.flags else ""
    if not -(2**63) <= number < 2**63:  # a BigInteger in Java, which is signed
        return _format_signed(directive, f"{abs(number):{base}}", negative=number < 0, prefix=prefix)
    if set(directive.flags) & set("+ ("):
        raise ValueError(f"invalid flags in {quote(directive.source)}: this conversion has no sign")
    bits = 32 if -(2**31) <= number < 2**31 else 64
    digits = f"{number % 2**bits:{base}}"
    return prefix + (digits.rjust(directive.width - len(prefix), "0") if "0" in directive.flags else digits)


def _require_integer(directive: _Directive, value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise directive.error(value)


def _format_signed(directive: _Directive, digits: str, *, negative: bool, prefix: str = "") -> str:
    """Return digits with their sign, padded with zeros to the width if the directive has that flag."""
    in_brackets = negative and "(" in directive.flags
    positive = "+" if "+" in directive.flags else " " if " " in directive.flags else ""
    before = ("(" if in_brackets else "-" if negative else positive) + prefix
    if "0" in directive.flags:
        digits = digits.rjust(directive.width - len(before) - in_brackets, "0")
    return before + digits + ")" * in_brackets


# -- Floats -----------------------------------------------------------------------------------------------------------


def _format_float(directive: _Directive, value: object) -> str:
    if not isinstance(value, float):
        raise directive.error(value)
    if math.isnan(value):
        return "NaN"
    negative = math.copysign(1, value) < 0
    if math.isinf(value):
        return _format_signed(_remove_zero_flag(directive), "Infinity", negative=negative)
    return _FLOATS[directive.letter.lower()](directive, abs(value), negative)


def _remove_zero_flag(directive: _Directive) -> _Directive:
    return _Directive(directive.source, None, directive.flags.replace("0", ""), 0, None, directive.letter, "")


def _format_fixed(directive: _Directive, value: float, negative: bool) -> str:
    return _format_signed(
        directive,
        _format_fraction(directive, value, 6 if directive.precision is None else directive.precision),
        negative=negative,
    )


def _format_fraction(directive: _Directive, value: float, decimals: int) -> str:
    digits = f"{_round_half_up(Decimal(repr(value)), decimals):f}"
    whole, _, fraction = digits.partition(".")
    if "," in directive.flags:
        whole = f"{int(whole):,}"
    point = "." if decimals or "#" in directive.flags else ""
    return whole + point + fraction.ljust(decimals, "0")


def _round_half_up(number: Decimal, decimals: int) -> Decimal:
    """Round to a number of decimals, half up, by the digits of its shortest representation."""
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int) or -exponent <= decimals:
        return number
    context = Context(prec=max(1, number.adjusted() + decimals + 3), rounding=ROUND_HALF_UP)
    return number.quantize(Decimal(1).scaleb(-decimals), context=context)


def _format_scientific(directive: _Directive, value: float, negative: bool) -> str:
    return _format_exponent(directive, value, 6 if directive.precision is None else directive.precision, negative)


def _format_exponent(directive: _Directive, value: float, decimals: int, negative: bool) -> str:
    number = Decimal(repr(value))
    power = number.adjusted() if value else 0
    mantissa = _round_half_up(number.scaleb(-power), decimals)
    if mantissa >= 10:
        power += 1
        mantissa = _round_half_up(number.scaleb(-power), decimals)
    whole, _, fraction = f"{mantissa:f}".partition(".")
    point = "." if decimals or "#" in directive.flags else ""
    digits = whole + point + fraction.ljust(decimals, "0") + f"e{power:+03d}"
    return _format_signed(directive, digits, negative=negative)


def _format_general(directive: _Directive, value: float, negative: bool) -> str:
    precision = 6 if directive.precision is None else directive.precision or 1
    if not value:
        return _format_signed(directive, _format_fraction(directive, value, precision - 1), negative=negative)
    number = Decimal(repr(value))
    rounded = _round_half_up(number, precision - 1 - number.adjusted())
    power = rounded.adjusted()
    if -4 <= power < precision:
        return _format_signed(directive, _format_fraction(directive, value, precision - 1 - power), negative=negative)
    return _format_exponent(directive, value, precision - 1, negative)


def _format_hexadecimal_float(directive: _Directive, value: float, negative: bool) -> str:
    mantissa, power = _split_hexadecimal(value, directive.precision)
    return _format_signed(directive, f"{mantissa}p{power}", negative=negative, prefix="0x")


def _split_hexadecimal(value: float, precision: int | None) -> tuple[str, int]:
    mantissa, _, power = value.hex().removeprefix("0x").partition("p")
    whole, _, fraction = mantissa.partition(".")
    digits = None if precision is None else precision or 1
    if digits is None or digits >= 13 or not value:
        return f"{whole}.{fraction.rstrip('0') or '0'}", int(power)
    if whole == "0":  # a subnormal number
        fraction_value, binary = math.frexp(value)
        return _split_hexadecimal(fraction_value * 2, precision)[0], binary - 1
    scaled = round(Decimal(int(whole + fraction, 16)) / 16 ** (13 - digits))  # half to even
    text = f"{scaled:x}"
    if len(text) > digits + 1 or text[0] == "2":
        return "1." + "0" * digits, int(power) + 1
    return f"{text[0]}.{text[1:]}", int(power)


_FLOATS: dict[str, Callable[[_Directive, float, bool], str]] = {
    "f": _format_fixed,
    "e": _format_scientific,
    "g": _format_general,
    "a": _format_hexadecimal_float,
}


# -- Dates ------------------------------------------------------------------------------------------------------------


def _format_date(directive: _Directive, value: object) -> str:
    if not isinstance(value, int) or isinstance(value, bool) or to_long(value) is None:
        raise directive.error(value)
    return _format_date_field(directive.date_letter, LocalDateTime(value, DEFAULT.offset(value)))


def _format_date_field(letter: str, moment: LocalDateTime) -> str:
    if letter in _DATE_FORMS:
        return "".join(
            _format_date_field(part[1:], moment) if part[:1] == "%" else part for part in _DATE_FORMS[letter]
        )
    return _DATE_FIELDS[letter](moment)


_DATE_FORMS = {
    "R": ("%H", ":", "%M"),
    "T": ("%H", ":", "%M", ":", "%S"),
    "r": ("%I", ":", "%M", ":", "%S", " ", "%P"),
    "D": ("%m", "/", "%d", "/", "%y"),
    "F": ("%Y", "-", "%m", "-", "%d"),
    "c": ("%a", " ", "%b", " ", "%d", " ", "%T", " ", "%Z", " ", "%Y"),
}
_DATE_FIELDS: dict[str, Callable[[LocalDateTime], str]] = {
    "H": lambda moment: f"{moment.hour:02}",
    "I": lambda moment: f"{moment.hour % 12 or 12:02}",
    "k": lambda moment: f"{moment.hour}",
    "l": lambda moment: f"{moment.hour % 12 or 12}",
    "M": lambda moment: f"{moment.minute:02}",
    "S": lambda moment: f"{moment.second:02}",
    "L": lambda moment: f"{moment.millisecond:03}",
    "N": lambda moment: f"{moment.millisecond * 1_000_000:09}",
    "p": lambda moment: HALVES[moment.hour >= 12].lower(),
    "P": lambda moment: HALVES[moment.hour >= 12],
    "z": lambda moment: "+0000",
    "Z": lambda moment: DEFAULT.name(moment.epoch, long=False),
    "s": lambda moment: str(int(moment.epoch / 1000) if moment.epoch < 0 else moment.epoch // 1000),
    "Q": lambda moment: str(moment.epoch),
    "B": lambda moment: MONTHS[moment.month - 1],
    "b": lambda moment: MONTHS[moment.month - 1][:3],
    "h": lambda moment: MONTHS[moment.month - 1][:3],
    "A": lambda moment: WEEKDAYS[moment.weekday - 1],
    "a": lambda moment: WEEKDAYS[moment.weekday - 1][:3],
    "C": lambda moment: f"{moment.year // 100:02}",
    "Y": lambda moment: f"{moment.year:04}",
    "y": lambda moment: f"{moment.year % 100:02}",
    "j": lambda moment: f"{moment.day_of_year:03}",
    "m": lambda moment: f"{moment.month:02}",
    "d": lambda moment: f"{moment.day:02}",
    "e": lambda moment: f"{moment.day}",
}

_WRITERS: dict[str, Callable[[_Directive, Any], str]] = {
    "s": _format_any,
    "b": _format_boolean,
    "h": _format_hash,
    "c": _format_character,
    "d": _format_decimal,
    "o": _format_octal,
    "x": _format_hexadecimal,
    **dict.fromkeys("efga", _format_float),
    "t": _format_date,
}
