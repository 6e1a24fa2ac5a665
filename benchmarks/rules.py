"""Many different rules of a few shapes, in the syntax of each language."""

from __future__ import annotations

import random
from itertools import cycle, islice
from typing import NamedTuple


class Shapes(NamedTuple):
    """Templates of rules in a language; {n}, {d} and {w} are an integer, a decimal number and a word."""

    short: str
    mixed: tuple[str, ...]


_CEL = Shapes(
    "x > {n} && y == '{w}' && f <= {d}",
    (
        "x > {n} && y == '{w}'",
        "y in ['{w}', 'b', 'c', 'd', '{n}']",
        "(f >= {d} && x < {n}) || y != '{w}'",
        "x > {n} ? 'high {w}' : 'low {w}'",
        "m.z == {n} && s == '{w}'",
    ),
)
_PYTHON = Shapes(
    "x > {n} and y == '{w}' and f <= {d}",
    (
        "x > {n} and y == '{w}'",
        "y in ['{w}', 'b', 'c', 'd', '{n}']",
        "(f >= {d} and x < {n}) or y != '{w}'",
        "'high {w}' if x > {n} else 'low {w}'",
        "m['z'] == {n} and s == '{w}'",
    ),
)
SHAPES = {
    "stellar": Shapes(
        "x > {n} and y == '{w}' and f <= {d}",
        (
            "x > {n} and y == '{w}'",
            "y in ['{w}', 'b', 'c', 'd', '{n}']",
            "(f >= {d} and x < {n}) or y != '{w}'",
            "if x > {n} then 'high {w}' else 'low {w}'",
            "MAP_GET('z', m) == {n} and s == '{w}'",
        ),
    ),
    "cel-python": _CEL,
    "cel-expr-python": _CEL,
    "common-expression-language": _CEL,
    "pyVRL": Shapes(
        'int!(.x) > {n} && .y == "{w}" && float!(.f) <= {d}',
        (
            'int!(.x) > {n} && .y == "{w}"',
            'includes(["{w}", "b", "c", "d", "{n}"], .y)',
            '(float!(.f) >= {d} && int!(.x) < {n}) || .y != "{w}"',
            'if int!(.x) > {n} {{ "high {w}" }} else {{ "low {w}" }}',
            '.m.z == {n} && .s == "{w}"',
        ),
    ),
    "zen-engine": Shapes(
        "x > {n} and y == '{w}' and f <= {d}",
        (
            "x > {n} and y == '{w}'",
            "y in ['{w}', 'b', 'c', 'd', '{n}']",
            "(f >= {d} and x < {n}) or y != '{w}'",
            "x > {n} ? 'high {w}' : 'low {w}'",
            "m.z == {n} and s == '{w}'",
        ),
    ),
    "rule-engine": Shapes(
        "x > {n} and y == '{w}' and f <= {d}",
        (
            "x > {n} and y == '{w}'",
            "y in ['{w}', 'b', 'c', 'd', '{n}']",
            "(f >= {d} and x < {n}) or y != '{w}'",
            "x > {n} ? 'high {w}' : 'low {w}'",
            "m['z'] == {n} and s == '{w}'",
        ),
    ),
    **dict.fromkeys(("simpleeval", "evalidate"), _PYTHON),
    "jmespath": Shapes(
        "x > `{n}` && y == '{w}' && f <= `{d}`",
        (
            "x > `{n}` && y == '{w}'",
            """contains(`["{w}", "b", "c", "d", "{n}"]`, y)""",
            "(f >= `{d}` && x < `{n}`) || y != '{w}'",
            "x > `{n}` && 'high {w}' || 'low {w}'",
            "m.z == `{n}` && s == '{w}'",
        ),
    ),
}


def make_short_rules(peer: str, count: int = 1024) -> list[str]:
    """Return different rules, each 34 characters long in Stellar."""
    return _fill_templates([SHAPES[peer].short], count)


def make_mixed_rules(peer: str, count: int) -> list[str]:
    """Return different rules of several shapes, like a rule set."""
    return _fill_templates(SHAPES[peer].mixed, count)


def _fill_templates(shapes: list[str] | tuple[str, ...], count: int) -> list[str]:
    rng = random.Random(11)
    return [
        shape.format(n=rng.randrange(10, 100), d=f"{number % 10}.{rng.randrange(1, 10)}", w=make_word(number))
        for number, shape in enumerate(islice(cycle(shapes), count))
    ]


def make_word(number: int) -> str:
    """Return three letters, which differ for all numbers below 17,576."""
    return "".join(chr(ord("a") + number // 26**position % 26) for position in range(3))
