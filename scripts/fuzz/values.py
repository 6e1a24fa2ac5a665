"""Odd values of records: those at the limits of types, of other languages' libraries, huge, deep, shared and cyclic."""

from __future__ import annotations

import math
from collections import UserDict
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction
from ipaddress import ip_address, ip_network
from random import Random
from typing import Any
from uuid import UUID

import numpy as np

from stellar.language.ordered_set import OrderedSet


class Level(IntEnum):
    """An integer with a name."""

    LOW = 1


class Unhashable:
    """An object without a hash that equals itself only."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return self is other


STRINGS = (
    *(
        "",
        " ",
        "a",
        "abc",
        "é",
        "東京",
        "𝄞",
        "\x00",
        "\ud800",
        "\udfff\ud800",
        "ß",
        "İ",
        "\r\n",
        "a\nb",
        "'",
        '"',
        "\\",
    ),
    *("true", "no", "null", "NaN", "Infinity", "0", "-1", "+7", "1e400", "0x1p3", "１", "1.5d", "00", ".5"),
    *("10.0.0.1", "10.0.0.0/8", "::1", "2001:db8::/32", "1.2.3.4.5", "999.1.1.1", "fe80::1%eth0", "::ffff:1.2.3.4"),
    *("www.example.com", "xn--mnchen-3ya.de", "a..b", "-.-", ".", "example.com.", "a" * 64 + ".com", "x." * 200),
    *(
        "http://a:1/b?c#d",
        "http://[::1]:80/",
        "https://user@host/",
        "http:///",
        "//",
        "mailto:a@b.c",
        "http://a:99999/",
    ),
    *("a@b.c", "@", "x@[1.2.3.4]", "[1]", "{}", '{"a": [1, {"b": null}]}', '{"a":' * 300, "[1, 2", "NaN]"),
    *(
        "%s",
        "%d %5$s",
        "%-10.3f|%,d",
        "%tY-%<tm",
        "%h",
        "%",
        "%%%n",
        "%999999d",
        "%.9999f",
        "%a%e%g%x%o%c%b",
        "%S" * 40,
    ),
    *(
        "yyyy-MM-dd HH:mm:ss",
        "EEE, dd MMM yyyy",
        "YYYY-'W'ww-u",
        "''''",
        "y" * 300,
        "GGGG z Z X",
        "S" * 20,
        "qqq",
        "MMMMM",
    ),
    *(
        "2020-02-30 25:61:61",
        "Tue, 01 Jan 2019",
        "0000-00-00",
        "99999-01-01",
        "UTC",
        "PST",
        "Europe/Paris",
        "GMT+25",
        "Z",
    ),
    *(
        ".*",
        "(a+)+$",
        "(a|aa)+b",
        "(x+x+)+y",
        "[",
        "(",
        "(?<n>a)",
        "\\",
        "\\p{Alpha}+",
        "(a{1000}){1000}",
        "((a+)+)+" * 9,
    ),
    *(
        "a{2147483648}",
        "(?i)k",
        "(?=a)*",
        "[^]",
        "[a&&[b]]",
        "\\Q*",
        "(?<=a{1,9})b",
        "\\1(a)",
        "$1",
        "${n}",
        "\\$",
        "$",
        "$9",
    ),
    *(
        "MD5",
        "md2",
        "SHA3-512",
        "TLSH",
        "BASE64",
        "HEX",
        "BINARY",
        "BASE32",
        "UTF-16",
        "IBM037",
        "en",
        "HAVERSINE",
        "MINUTES",
    ),
    *(
        "T1" + "0" * 70,
        "u4pruydqqvj",
        "gbsuv",
        "1 hour window every 1 hour from 1 day ago to now",
        "%{IP:ip} %{WORD}",
        "%{NOPE}",
    ),
    *(
        "%{GREEDYDATA}" * 5,
        "x" * 40 + "!",
    ),
)
NUMBERS = (
    *(0, 1, -1, 2, 7, 10, 31, 32, 63, 64, 100, 1000, 65_536, 2**31 - 1, 2**31, -(2**31), 2**53 + 1, 2**63 - 1, 2**63),
    *(-(2**64), 2**200, 2**4096 - 1, 10**400, 2**15_000, 1_528_192_393_123, -62_135_596_800_001, 253_402_300_800_000),
    *(0.0, -0.0, 0.5, -0.5, 1.5, 2.5, 1e-3, 1e7, 5e-324, 1.7976931348623157e308, -1e300, 3.4028235e38, 0.1 + 0.2),
    *(math.nan, math.inf, -math.inf, 90.0, -180.0, 181.0),
)


def _share(levels: int, leaf: Any) -> list[Any]:
    shared = [leaf]
    for _ in range(levels):
        shared = [shared, shared]
    return shared


def _nest(levels: int) -> list[Any]:
    nested: list[Any] = []
    for _ in range(levels):
        nested = [nested]
    return nested


def _make_cycle() -> list[Any]:
    cycle: list[Any] = [1]
    cycle.append(cycle)
    return cycle


def _make_cyclic_map() -> dict[str, Any]:
    cycle: dict[str, Any] = {"a": 1}
    cycle["b"] = [cycle]
    return cycle


# A new object each time, because some functions change their arguments
OBJECTS: tuple[Callable[[], Any], ...] = (
    lambda: None,
    lambda: True,
    lambda: False,
    lambda: b"",
    lambda: b"\xff\x00abc",
    list,
    dict,
    set,
    lambda: [None],
    lambda: [[]],
    lambda: [1, 1.0, True, "1", None, [], {}],
    lambda: ["a", "b", "a"],
    lambda: [3, 1, 2],
    lambda: [[1, "a"], [2, "b"]],
    lambda: [math.nan, math.nan],
    lambda: {"a": 1, "b": None},
    lambda: {1: 2, None: 3, 1.5: [4]},
    lambda: {"a": {"b": {"c": [1]}}},
    lambda: {(1, 2): 3},
    lambda: {1, 2.5, "a", None},
    lambda: OrderedSet(["b", "a"]),
    lambda: frozenset({1}),
    lambda: (1, (2, 3)),
    lambda: UserDict({"a": 1}),
    lambda: _share(60, "x"),
    lambda: _nest(63),
    lambda: _nest(64),
    lambda: _nest(65),
    lambda: _nest(5_000),
    _make_cycle,
    _make_cyclic_map,
    lambda: Level.LOW,
    lambda: Decimal("1.5"),
    lambda: Decimal(10) ** 2000,
    lambda: Decimal("NaN"),
    lambda: Fraction(1, 3),
    lambda: 1j,
    lambda: datetime(2020, 1, 1, tzinfo=UTC),
    lambda: date(1, 1, 1),
    lambda: timedelta(1),
    lambda: UUID(int=7),
    lambda: ip_address("10.0.0.1"),
    lambda: ip_network("10.0.0.0/8"),
    lambda: np.int64(7),
    lambda: np.float32(0.1),
    lambda: np.bool_(True),
    lambda: np.array([1, 2]),
    lambda: np.array([[1.5], [2.5]]),
    lambda: np.datetime64("2020-01-01"),
    lambda: Unhashable(),
    object,
    lambda: len,
    lambda: int,
    lambda: range(3),
    lambda: iter([1]),
    lambda: lambda *_: True,
    lambda: lambda x, y=None: [x, y],
)


# Values with many items or characters, over which loops must not nest: running time is not limited
LONG: tuple[Callable[[], Any], ...] = (
    lambda: _share(12, 1),
    lambda: list(range(300)),
    lambda: ["x" * 200] * 300,
    lambda: [0] * 20_000,
    lambda: {str(number): number for number in range(2_000)},
    lambda: "a" * 5000,
    lambda: "ab" * 30_000,
    lambda: "a," * 20_000,
    lambda: "é" * 10_000,
    lambda: "0" * 3000,
    lambda: "1." * 2000,
    lambda: "[" * 2000,
    lambda: "9" * 5000,
)


_SHORT_STRINGS = tuple(string for string in STRINGS if len(string) <= 64)


def choose(chance: Random, *, short: bool = False) -> Any:
    """Return a random value.

    short: without those that have many items or characters
    """
    kind = chance.random()
    if kind < 0.02 and not short:
        return chance.choice(LONG)()
    if kind < 0.35:
        return chance.choice(_SHORT_STRINGS if short else STRINGS)
    if kind < 0.6:
        return chance.choice(NUMBERS)
    if kind < 0.95:
        return chance.choice(OBJECTS)()
    return [choose(chance, short=short) for _ in range(chance.randint(1, 4))]
