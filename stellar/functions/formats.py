"""FORMAT: texts made from a pattern and values, as by Java's String.format."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import lru_cache
from typing import Any

from stellar.java.calendar import Moment
from stellar.java.date_patterns import HALVES, MONTHS, WEEKDAYS
from stellar.java.timezones import DEFAULT
from stellar.language.conversions import to_long, to_optional_text, to_text
from stellar.language.library import UNKNOWN, stellar
from stellar.language.runtime import described

# No record needs more, and a wrong width must not eat the memory
_WIDEST = 1_000_000


def _prepared(format_: object, *args: object) -> Callable[..., str] | None:
    if not isinstance(format_, str) or any(value is not UNKNOWN for value in args):
        return None
    try:
        parts, template = _parts(format_), _template(format_)
    except ValueError:
        return None
    if template is None:
        return lambda *values: _written(parts, values)
    fits, text = template.fits, template.text
    if len(args) == len(template.classes) == 2 and not template.decimals:
        first, second = template.classes
        return lambda one, other: (
            text % (one, other)
            if one.__class__ is first and other.__class__ is second
            else _written(parts, (one, other))
        )
    return lambda *values: text % values if fits(values) else _written(parts, values)


@stellar("FORMAT", prepare=_prepared)
def format_(format_: object, *args: object) -> str:
    """A text made from a pattern and values, as by Java's String.format.

    format: The text, in which each of these is replaced by a value: `%s` by any, `%d` and `%x` by a whole number, `%f`
        and `%e` by one with a fraction, `%b` by true or false, `%tY` and the like by a part of a date; `%%` is a
        percent sign, `%n` a line end. `%2$s` takes the second value, `%<s` the last one again; between the sign and the
        letter may stand flags, a width and a precision, as in `%-10s`, `%05d`, `%,.2f`
    args: The values; those that are too many are not looked at
    returns: The text

        FORMAT('%s has %d of %.1f%%', 'squid', 3, 12.25)  // 'squid has 3 of 12.3%'
        FORMAT('%05d|%-5s|%,d', 42, 'ab', 1234567)  // '00042|ab   |1,234,567'
        FORMAT('%2$s %1$s %<s', 'a', null)  // 'null a a'
        FORMAT('%tF', 1508769960000L)  // '2017-10-23'
        FORMAT('%d', 1.5)  // error
        FORMAT('%s')  // error
    """
    pattern = to_optional_text(format_)
    if pattern is None:
        raise ValueError("there must be a pattern")
    return _filled(pattern, *args)


def _filled(pattern: str, *args: object) -> str:
    template = _template(pattern)
    return template.filled(args) if template and template.fits(args) else _written(_parts(pattern), args)


def _written(parts: list[str | _Place], args: tuple[object, ...]) -> str:
    made: list[str] = []
    ordinary = last = -1
    for part in parts:
        if isinstance(part, str):
            made.append(part)
            continue
        if part.index is None:
            ordinary = last = ordinary + 1
        elif part.index > 0:
            last = part.index - 1
        if not 0 <= last < len(args):
            raise LookupError(f"there is no value for {part.text!r}")
        made.append(part.written(args[last]))
    return "".join(made)


@dataclass(frozen=True)
class _Place:
    """A place in a pattern that a value goes to.

    text: how it is written
    index: which value, from 1; 0 the last one again, None the next
    """

    text: str
    index: int | None
    flags: str
    width: int
    precision: int | None
    letter: str
    date_letter: str

    def written(self, value: object) -> str:
        if value is None and self.letter not in "bB":
            text = "null" if self.precision is None else "null"[: self.precision]
        else:
            text = _WRITERS[self.letter.lower()](self, value)
        if self.letter.isupper():
            text = text.upper()
        return self.filled(text)

    def filled(self, text: str) -> str:
        return text.ljust(self.width) if "-" in self.flags else text.rjust(self.width)

    def refuse(self, value: object) -> ValueError:
        return ValueError(f"{self.text!r} takes {_NOUNS[self.letter.lower()]}, not {described(value)}")


_NOUNS = {
    **dict.fromkeys("dox", "a whole number"),
    **dict.fromkeys("efga", "a number with a fraction"),
    "c": "the number of a character",
    "t": "a moment in milliseconds",
}
_PLACE = re.compile(r"%(?:(\d+)\$)?([-#+ 0,(<]*)(\d+)?(?:\.(\d+))?([tT])?([a-zA-Z%])", re.ASCII)
_LETTERS = "bBhHsScCdoxXeEfgGaAn%"
_DATE_LETTERS = "HIklMSLNpzZsQBbhAaCYyjmdeRTrDFc"
# The flags that each letter has a meaning for
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
class _Template:
    """A pattern as Python has it, and the values for which it means the same there.

    classes: what the values must be
    decimals: of those with a fraction, the index and ten to the power of how many decimals are shown
    """

    text: str
    classes: list[type]
    decimals: list[tuple[int, float]]

    def fits(self, values: tuple[Any, ...]) -> bool:
        if list(map(type, values)) != self.classes:
            return False
        for index, scale in self.decimals:
            scaled = abs(values[index]) * scale
            if not (scaled < 1e12 and not 0.499 < scaled % 1 < 0.501):
                return False
        return True

    def filled(self, values: tuple[object, ...]) -> str:
        return self.text % values


_SAME_FLAGS = frozenset("-+ 0")
_SAME_LETTERS: dict[str, type] = {"s": str, "d": int, "f": float}


@lru_cache(512)
def _template(pattern: str) -> _Template | None:
    """The template for a pattern that Python can have as it is.

    What lies in the middle between two decimals goes up by its digits in Java, in Python whither its bits are nearer.
    """
    text, decimals = "", []
    classes: list[type] = []
    for part in _parts(pattern):
        if isinstance(part, str):
            text += part.replace("%", "%%")
            continue
        if part.index is not None or part.letter not in _SAME_LETTERS or not _SAME_FLAGS.issuperset(part.flags):
            return None
        if part.letter == "f":
            decimals.append((len(classes), 10.0 ** (6 if part.precision is None else min(part.precision, 300))))
        text += part.text
        classes.append(_SAME_LETTERS[part.letter])
    return _Template(text, classes, decimals)


@lru_cache(512)
def _parts(pattern: str) -> list[str | _Place]:
    """A pattern taken apart.

    Raises ValueError for what is no pattern.
    """
    parts: list[str | _Place] = []
    at = 0
    while at < len(pattern):
        found = pattern.find("%", at)
        if found != at:
            parts.append(pattern[at : None if found < 0 else found])
            at = len(pattern) if found < 0 else found
            continue
        match = _PLACE.match(pattern, at)
        if match is None:
            raise ValueError(f"{pattern[at : at + 10]!r} has no meaning in a pattern; a percent sign is written %%")
        place = _place(match)
        constant = {"n": "\n", "%": "%"}.get(place.letter)
        parts.append(place if constant is None else place.filled(constant))
        at = match.end()
    return parts


def _place(match: re.Match[str]) -> _Place:
    index, flags, width, precision, date, letter = match.groups()
    problem = _problem(flags, width, precision, date or letter, letter if date else None)
    if index == "0" * len(index or "x"):
        problem = "values count from 1"
    if problem:
        raise ValueError(f"{match[0]!r} has no meaning in a pattern: {problem}")
    return _Place(
        text=match[0],
        index=0 if "<" in flags else int(index) if index else None,
        flags=flags,
        width=int(width or 0),
        precision=int(precision) if precision else None,
        letter=date or letter,
        date_letter=letter if date else "",
    )


def _problem(flags: str, width: str | None, precision: str | None, letter: str, date_letter: str | None) -> str | None:
    if date_letter is None and letter not in _LETTERS:
        return f"there is no %{letter}"
    if date_letter is not None and date_letter not in _DATE_LETTERS:
        return f"there is no %t{date_letter}"
    if wrong := set(flags) - set(_FLAGS[letter]) - {"<"}:
        return f"%{letter} has no flag {''.join(sorted(wrong))!r}"
    if len(set(flags)) < len(flags) or {"+", " "} <= set(flags) or {"-", "0"} <= set(flags):
        return "two of its flags do not go together"
    if width is None and ("-" in flags or "0" in flags):
        return "it needs a width"
    if precision is not None and letter not in _PRECISE:
        return f"%{letter} has no precision"
    if letter == "n" and (width is not None or flags):
        return "%n stands alone"
    if max(len(width or ""), len(precision or "")) > 9 or max(int(width or 0), int(precision or 0)) > _WIDEST:
        return f"{_WIDEST} is the most"
    return None


# -- Any value --------------------------------------------------------------------------------------------------------


def _any(place: _Place, value: object) -> str:
    return to_text(value)[: place.precision]


def _boolean(place: _Place, value: object) -> str:
    return to_text(value if isinstance(value, bool) else value is not None)[: place.precision]


def _hash(place: _Place, value: object) -> str:
    return f"{hash_code(value) & 0xFFFFFFFF:x}"[: place.precision]


def hash_code(value: Any) -> int:
    """Java's hash code of a value, as a whole number of 32 bits."""
    if value is None:
        return 0
    if isinstance(value, bool):
        return 1231 if value else 1237
    if isinstance(value, int):
        return _folded(value) if not -(2**31) <= value < 2**31 else value
    if isinstance(value, float):
        return _folded(struct.unpack(">q", struct.pack(">d", value))[0])
    if isinstance(value, str):
        units = value.encode("utf-16-be", "surrogatepass")
        return _polynomial(0, [int.from_bytes(units[at : at + 2]) for at in range(0, len(units), 2)])
    if isinstance(value, list | tuple):
        return _polynomial(1, map(hash_code, value))
    if isinstance(value, set | frozenset):
        return _signed(sum(map(hash_code, value)))
    if isinstance(value, Mapping):
        return _signed(sum(hash_code(key) ^ hash_code(item) for key, item in value.items()))
    return _signed(hash(value))


def _polynomial(start: int, numbers: Any) -> int:
    total = start
    for number in numbers:
        total = (31 * total + number) & 0xFFFFFFFF
    return _signed(total)


def _folded(number: int) -> int:
    return _signed((number ^ (number >> 32)) & 0xFFFFFFFF)


def _signed(number: int) -> int:
    return (number + 2**31) % 2**32 - 2**31


def _character(place: _Place, value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 0x10FFFF:
        return chr(value)
    raise place.refuse(value)


# -- Whole numbers ----------------------------------------------------------------------------------------------------


def _decimal(place: _Place, value: object) -> str:
    number = _whole(place, value)
    digits = f"{abs(number):,}" if "," in place.flags else str(abs(number))
    return _signed_text(place, digits, negative=number < 0)


def _octal(place: _Place, value: object) -> str:
    return _unsigned_text(place, value, "o", "0")


def _hexadecimal(place: _Place, value: object) -> str:
    return _unsigned_text(place, value, "x", "0x")


def _unsigned_text(place: _Place, value: object, base: str, prefix: str) -> str:
    number = _whole(place, value)
    prefix = prefix if "#" in place.flags else ""
    if not -(2**63) <= number < 2**63:  # too large for Java's long: it has a sign
        return _signed_text(place, f"{abs(number):{base}}", negative=number < 0, prefix=prefix)
    if set(place.flags) & set("+ ("):
        raise ValueError(f"{place.text!r} has no sign to show")
    bits = 32 if -(2**31) <= number < 2**31 else 64
    digits = f"{number % 2**bits:{base}}"
    return prefix + (digits.rjust(place.width - len(prefix), "0") if "0" in place.flags else digits)


def _whole(place: _Place, value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise place.refuse(value)


def _signed_text(place: _Place, digits: str, *, negative: bool, prefix: str = "") -> str:
    """Digits with their sign, filled up with zeros to the width if the place says so."""
    in_brackets = negative and "(" in place.flags
    positive = "+" if "+" in place.flags else " " if " " in place.flags else ""
    before = ("(" if in_brackets else "-" if negative else positive) + prefix
    if "0" in place.flags:
        digits = digits.rjust(place.width - len(before) - in_brackets, "0")
    return before + digits + ")" * in_brackets


# -- Numbers with a fraction ------------------------------------------------------------------------------------------


def _float(place: _Place, value: object) -> str:
    if not isinstance(value, float):
        raise place.refuse(value)
    if math.isnan(value):
        return "NaN"
    negative = math.copysign(1, value) < 0
    if math.isinf(value):
        return _signed_text(_without_zeros(place), "Infinity", negative=negative)
    return _FLOATS[place.letter.lower()](place, abs(value), negative)


def _without_zeros(place: _Place) -> _Place:
    return _Place(place.text, None, place.flags.replace("0", ""), 0, None, place.letter, "")


def _fixed(place: _Place, value: float, negative: bool) -> str:
    return _signed_text(
        place, _fraction(place, value, 6 if place.precision is None else place.precision), negative=negative
    )


def _fraction(place: _Place, value: float, decimals: int) -> str:
    digits = f"{_rounded(Decimal(repr(value)), decimals):f}"
    whole, _, fraction = digits.partition(".")
    if "," in place.flags:
        whole = f"{int(whole):,}"
    point = "." if decimals or "#" in place.flags else ""
    return whole + point + fraction.ljust(decimals, "0")


def _rounded(number: Decimal, decimals: int) -> Decimal:
    """A number with no more than so many decimals, rounded half up by the digits that it is written with."""
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int) or -exponent <= decimals:
        return number
    context = Context(prec=max(1, number.adjusted() + decimals + 3), rounding=ROUND_HALF_UP)
    return number.quantize(Decimal(1).scaleb(-decimals), context=context)


def _scientific(place: _Place, value: float, negative: bool) -> str:
    return _with_exponent(place, value, 6 if place.precision is None else place.precision, negative)


def _with_exponent(place: _Place, value: float, decimals: int, negative: bool) -> str:
    number = Decimal(repr(value))
    power = number.adjusted() if value else 0
    mantissa = _rounded(number.scaleb(-power), decimals)
    if mantissa >= 10:
        power += 1
        mantissa = _rounded(number.scaleb(-power), decimals)
    whole, _, fraction = f"{mantissa:f}".partition(".")
    point = "." if decimals or "#" in place.flags else ""
    digits = whole + point + fraction.ljust(decimals, "0") + f"e{power:+03d}"
    return _signed_text(place, digits, negative=negative)


def _general(place: _Place, value: float, negative: bool) -> str:
    precision = 6 if place.precision is None else place.precision or 1
    if not value:
        return _signed_text(place, _fraction(place, value, precision - 1), negative=negative)
    number = Decimal(repr(value))
    rounded = _rounded(number, precision - 1 - number.adjusted())
    power = rounded.adjusted()
    if -4 <= power < precision:
        return _signed_text(place, _fraction(place, value, precision - 1 - power), negative=negative)
    return _with_exponent(place, value, precision - 1, negative)


def _hexadecimal_float(place: _Place, value: float, negative: bool) -> str:
    mantissa, power = _hexadecimal_parts(value, place.precision)
    return _signed_text(place, f"{mantissa}p{power}", negative=negative, prefix="0x")


def _hexadecimal_parts(value: float, precision: int | None) -> tuple[str, int]:
    mantissa, _, power = value.hex().removeprefix("0x").partition("p")
    whole, _, fraction = mantissa.partition(".")
    digits = None if precision is None else precision or 1
    if digits is None or digits >= 13 or not value:
        return f"{whole}.{fraction.rstrip('0') or '0'}", int(power)
    if whole == "0":  # a number too small for the usual form
        fraction_value, binary = math.frexp(value)
        return _hexadecimal_parts(fraction_value * 2, precision)[0], binary - 1
    scaled = round(Decimal(int(whole + fraction, 16)) / 16 ** (13 - digits))  # half to even
    text = f"{scaled:x}"
    if len(text) > digits + 1 or text[0] == "2":
        return "1." + "0" * digits, int(power) + 1
    return f"{text[0]}.{text[1:]}", int(power)


_FLOATS: dict[str, Callable[[_Place, float, bool], str]] = {
    "f": _fixed,
    "e": _scientific,
    "g": _general,
    "a": _hexadecimal_float,
}


# -- Dates ------------------------------------------------------------------------------------------------------------


def _date(place: _Place, value: object) -> str:
    if not isinstance(value, int) or isinstance(value, bool) or to_long(value) is None:
        raise place.refuse(value)
    return _date_part(place.date_letter, Moment(value, DEFAULT.offset(value)))


def _date_part(letter: str, moment: Moment) -> str:
    if letter in _DATE_FORMS:
        return "".join(_date_part(part[1:], moment) if part[:1] == "%" else part for part in _DATE_FORMS[letter])
    return _DATE_PARTS[letter](moment)


_DATE_FORMS = {
    "R": ("%H", ":", "%M"),
    "T": ("%H", ":", "%M", ":", "%S"),
    "r": ("%I", ":", "%M", ":", "%S", " ", "%P"),
    "D": ("%m", "/", "%d", "/", "%y"),
    "F": ("%Y", "-", "%m", "-", "%d"),
    "c": ("%a", " ", "%b", " ", "%d", " ", "%T", " ", "%Z", " ", "%Y"),
}
_DATE_PARTS: dict[str, Callable[[Moment], str]] = {
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

_WRITERS: dict[str, Callable[[_Place, Any], str]] = {
    "s": _any,
    "b": _boolean,
    "h": _hash,
    "c": _character,
    "d": _decimal,
    "o": _octal,
    "x": _hexadecimal,
    **dict.fromkeys("efga", _float),
    "t": _date,
}
