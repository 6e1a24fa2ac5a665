"""The records and the tasks, in the syntax of each language and as hand-written Python functions."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Number
from typing import Any
from urllib.parse import urlsplit

Record = dict[str, Any]

CEL = ("cel-python", "cel-expr-python", "common-expression-language")
PYTHON = ("simpleeval", "evalidate")


@dataclass(frozen=True)
class Task:
    """A rule in several languages.

    by_hand: a function as written by a person who knows the types of the fields, with Stellar's treatment of null
    by_key: the function of a person who knows that records have all fields, as `record["x"]`; None if not measured
    peers: the rule in each language that can express it
    variety: number of different records; exceeds the size of all caches for a function that has one
    """

    name: str
    stellar: str
    by_hand: Callable[[Record], Any]
    peers: dict[str, str]
    variety: int = 1000
    by_key: Callable[[Record], Any] | None = None

    def text(self, peer: str) -> str | None:
        """Return the rule in the language of a peer, or None if the peer cannot express it."""
        return self.stellar if peer == "stellar" else self.peers.get(peer)


def both(record: Record) -> bool:
    x = record.get("x")
    return x is not None and x > 10 and record.get("y") == "a"


def arithmetic(record: Record) -> float:
    return 1 + 2 * (record.get("f") or 0) - (record.get("g") or 0) / 3


def choice(record: Record) -> str:
    x = record.get("x")
    return "a" if x is not None and x > 10 else "b"


def tidy(record: Record) -> str | None:
    s = record.get("s")
    return None if s is None else s.strip().upper()


def member(record: Record) -> bool:
    return record.get("y") in {"a", "b", "c", "d", "e"}


def double_all(record: Record) -> list[float] | None:
    numbers = record.get("l")
    return None if numbers is None else [v * 2 for v in numbers if v is not None and v > 2]


def look_up(record: Record) -> Any:
    m = record.get("m")
    if m is None:
        return "d"
    value = m.get("k")
    return "d" if value is None else value


def host(url: str | None) -> str | None:
    """The host of a URL of a known protocol; also what the peers that have no such function are lent."""
    if url is None:
        return None
    parts = urlsplit(url.strip())
    if parts.scheme not in {"http", "https", "ftp", "file", "jar", "mailto"}:
        return None
    place = parts.netloc.rpartition("@")[2]
    return place[: place.index("]") + 1] if place.startswith("[") else place.partition(":")[0]


def url_host(record: Record) -> str | None:
    return host(record.get("url"))


def both_by_key(record: Record) -> bool:
    return record["x"] > 10 and record["y"] == "a"


def arithmetic_by_key(record: Record) -> float:
    return 1 + 2 * record["f"] - record["g"] / 3


def choice_by_key(record: Record) -> str:
    return "a" if record["x"] > 10 else "b"


def tidy_by_key(record: Record) -> str:
    return record["s"].strip().upper()


def member_by_key(record: Record) -> bool:
    return record["y"] in {"a", "b", "c", "d", "e"}


def double_all_by_key(record: Record) -> list[float]:
    return [v * 2 for v in record["l"] if v > 2]


def look_up_by_key(record: Record) -> Any:
    return record["m"].get("k", "d")


def _cel(text: str) -> dict[str, str]:
    return dict.fromkeys(CEL, text)


def _python(text: str) -> dict[str, str]:
    return dict.fromkeys(PYTHON, text)


TASKS = (
    Task(
        "T1",
        "x > 10 and y == 'a'",
        both,
        {
            **_cel("x > 10 && y == 'a'"),
            "pyVRL": 'int!(.x) > 10 && .y == "a"',
            "zen-engine": "x > 10 and y == 'a'",
            "rule-engine": "x > 10 and y == 'a'",
            **_python("x > 10 and y == 'a'"),
            "jmespath": "x > `10` && y == 'a'",
        },
        by_key=both_by_key,
    ),
    Task(
        "T2",
        "1 + 2 * f - g / 3",
        arithmetic,
        {
            **_cel("1.0 + 2.0 * f - g / 3.0"),
            "pyVRL": "1 + 2 * float!(.f) - float!(.g) / 3",
            "zen-engine": "1 + 2 * f - g / 3",
            "rule-engine": "1 + 2 * f - g / 3",
            **_python("1 + 2 * f - g / 3"),
        },
        by_key=arithmetic_by_key,
    ),
    Task(
        "T3",
        "if x > 10 then 'a' else 'b'",
        choice,
        {
            **_cel("x > 10 ? 'a' : 'b'"),
            "pyVRL": 'if int!(.x) > 10 { "a" } else { "b" }',
            "zen-engine": "x > 10 ? 'a' : 'b'",
            "rule-engine": "x > 10 ? 'a' : 'b'",
            **_python("'a' if x > 10 else 'b'"),
            "jmespath": "x > `10` && 'a' || 'b'",
        },
        by_key=choice_by_key,
    ),
    Task(
        "T4",
        "TO_UPPER(TRIM(s))",
        tidy,
        {
            "cel-python": "upper(trim(s))",
            **dict.fromkeys(CEL[1:], "s.trim().upperAscii()"),
            "pyVRL": "upcase(strip_whitespace(string!(.s)))",
            "zen-engine": "upper(trim(s))",
            "rule-engine": "$trim(s).as_upper",
            **_python("s.strip().upper()"),
            "jmespath": "upper(trim(s))",
        },
        by_key=tidy_by_key,
    ),
    Task(
        "T5",
        "y in ['a', 'b', 'c', 'd', 'e']",
        member,
        {
            **_cel("y in ['a', 'b', 'c', 'd', 'e']"),
            "pyVRL": 'includes(["a", "b", "c", "d", "e"], .y)',
            "zen-engine": "y in ['a', 'b', 'c', 'd', 'e']",
            "rule-engine": "y in ['a', 'b', 'c', 'd', 'e']",
            **_python("y in ['a', 'b', 'c', 'd', 'e']"),
            "jmespath": 'contains(`["a", "b", "c", "d", "e"]`, y)',
        },
        by_key=member_by_key,
    ),
    Task(
        "T6",
        "MAP(FILTER(l, v -> v > 2), v -> v * 2)",
        double_all,
        {
            **_cel("l.filter(v, v > 2).map(v, v * 2)"),
            "pyVRL": "map_values(filter(array!(.l)) -> |_, v| { int!(v) > 2 }) -> |v| { int!(v) * 2 }",
            "zen-engine": "map(filter(l, # > 2), # * 2)",
            "rule-engine": "[v * 2 for v in l if v > 2]",
            **_python("[v * 2 for v in l if v > 2]"),
        },
        by_key=double_all_by_key,
    ),
    Task(
        "T7",
        "MAP_GET('k', m, 'd')",
        look_up,
        {
            **_cel("'k' in m ? m['k'] : 'd'"),
            "pyVRL": '.m.k || "d"',
            "zen-engine": "m.k ?? 'd'",
            "rule-engine": "'k' in m ? m['k'] : 'd'",
            **_python("m.get('k', 'd')"),
            "jmespath": "m.k || 'd'",
        },
        by_key=look_up_by_key,
    ),
    Task(
        "T8",
        "URL_TO_HOST(url)",
        url_host,
        {
            **_cel("url_to_host(url)"),
            "pyVRL": "parse_regex!(string!(.url), r'^(?:https?|ftp|file|jar|mailto)://(?:[^/?#]*@)?(?P<host>\\[[^\\]]*\\]|[^:/?#]*)').host",
            "rule-engine": "$url_to_host(url)",
            **_python("url_to_host(url)"),
            "jmespath": "url_to_host(url)",
        },
        variety=10_000,
    ),
)


def records(count: int, fields: int = 9, seed: int = 7) -> list[Record]:
    """Records that differ, of nine fields, of fewer, or of more; the same ones for the same seed."""
    chance = random.Random(seed)
    return [_record(chance, number, fields) for number in range(count)]


def _record(chance: random.Random, number: int, fields: int) -> Record:
    record: Record = {
        "x": chance.randrange(21),
        "y": chance.choice("abcdefgh"),
        "f": chance.uniform(-100, 100),
        "g": chance.uniform(-100, 100),
        "s": chance.choice(
            ["  hello world ", "Apache Metron", "\tsquid", "a rather long text, as a log line would be  "]
        ),
        "l": [chance.randrange(6) for _ in range(5)],
        "m": {"k": chance.choice("uvw"), "z": number} if chance.random() < 0.8 else {"z": number},
        "url": f"http://user@www{number}.Example.com:8080/path/{number}?q={chance.random()}",
        "ip_src_addr": f"10.{chance.randrange(256)}.{chance.randrange(256)}.{chance.randrange(256)}",
    }
    filler = {f"field_{index}": index if index % 2 else f"value {index}" for index in range(fields)}
    return dict([*record.items(), *filler.items()][:fields])


# Records on which Stellar must also agree with the hand-written functions; the peers reject most of them
RECORDS_WITH_NULLS: list[Record] = [{}, dict.fromkeys("xyfgslm"), {"l": [None, 3, 2], "m": {"k": None}, "url": None}]


def same(result: Any, expected: Any) -> bool:
    """Return True if two results are equal: sequences by element, numbers by value, regardless of their classes."""
    if isinstance(expected, list):
        return isinstance(result, list | tuple) and len(result) == len(expected) and all(map(same, result, expected))
    if isinstance(expected, int | float):
        return isinstance(result, Number) and math.isclose(result, expected, rel_tol=1e-9, abs_tol=1e-9)  # type: ignore[arg-type]
    return bool(result == expected)
