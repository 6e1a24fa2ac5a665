"""JSON as the Java library json-simple reads and writes it.

It accepts more than JSON: commas and colons are optional and may be repeated, numbers may have leading zeros, and
strings may contain line ends and control characters. An integer must fit 64 bits. Nothing may follow the value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from stellar.java.integers import LONG_MAX, LONG_MIN
from stellar.language.conversions import to_string
from stellar.util.abbreviate import quote

_TOKEN = re.compile(
    r"""[ \t\r\n]*+(?:
    (?P<string>"((?:[^"\\]|\\.)*+)")
    |(?P<float>-?[0-9]+(?:\.[0-9]+(?:[eE][-+]?[0-9]+)?|[eE][-+]?[0-9]+))
    |(?P<integer>-?[0-9]+)
    |(?P<word>true|false|null)
    |(?P<sign>[{}\[\]:,])
    |(?P<end>\Z)
    )""",
    re.VERBOSE | re.DOTALL,
)
_WORDS = {"true": True, "false": False, "null": None}
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_ESCAPED = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


def parse_json(text: str) -> Any:
    """Return the value of a JSON string. Raises ValueError with the offset of the error."""
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError):  # no strict JSON, or nested deeper than Python's decoder reads
        return _parse_leniently(text)


def _parse_leniently(text: str) -> Any:
    builder, at = _Builder(), 0
    while True:
        match = _TOKEN.match(text, at)
        if match is None:
            at += len(text[at:]) - len(text[at:].lstrip(" \t\r\n"))
            raise ValueError(f"invalid JSON at character {at + 1}: unexpected {quote(text[at : at + 20])}")
        kind, token = match.lastgroup, match[match.lastgroup or 0]
        if kind == "end":
            return builder.finish()
        try:
            if kind == "sign":
                builder.read_sign(token)
            else:
                builder.add(_scalar(kind, token))
        except ValueError as error:
            raise ValueError(f"invalid JSON at character {match.start(kind or 0) + 1}: {error}") from None
        at = match.end()


def _scalar(kind: str | None, token: str) -> Any:
    if kind == "string":
        return _unescape(token[1:-1]) if "\\" in token else token[1:-1]
    if kind == "integer":
        return _integer(token)
    return float(token) if kind == "float" else _WORDS[token]


def _integer(token: str) -> int:
    digits = token.lstrip("-").lstrip("0")
    value = int(digits or "0") * (-1 if token[0] == "-" else 1) if len(digits) < 20 else LONG_MAX + 1
    if not LONG_MIN <= value <= LONG_MAX:
        raise ValueError(f"integer {token[:30]} does not fit 64 bits")
    return value


def _reject_constant(name: str) -> Any:
    raise ValueError(f"unexpected {name}")


# Strict JSON has the same value for both libraries, except for NaN, Infinity and large integers
_DECODER = json.JSONDecoder(parse_int=_integer, parse_constant=_reject_constant)


def _unescape(body: str) -> str:
    text = _ESCAPE.sub(lambda match: chr(int(match[1], 16)) if match[1] else _ESCAPED.get(match[2], match[0]), body)
    if "\\u" not in body:
        return text
    # Two escapes of surrogates are one character
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


_NO_KEY = object()


class _Builder:
    """Builds a value from tokens.

    open: the arrays and objects that are not closed, each with the key whose value comes next
    values: the value, as soon as it is complete
    """

    def __init__(self) -> None:
        self.open: list[tuple[Any, list[Any]]] = []
        self.values: list[Any] = []

    def finish(self) -> Any:
        if self.open or not self.values:
            raise ValueError("invalid JSON: unexpected end" if self.open else "invalid JSON: no value")
        return self.values[0]

    def read_sign(self, sign: str) -> None:
        if sign in "{[":
            self._open([] if sign == "[" else {})
        elif not self.open:
            raise ValueError(f"unexpected {quote(sign)}")
        else:
            self._read_inner_sign(sign, *self.open[-1])

    def _read_inner_sign(self, sign: str, container: Any, key: list[Any]) -> None:
        has_key = key[0] is not _NO_KEY
        if (sign == "," and not has_key) or (sign == ":" and has_key):
            return
        if has_key or sign != ("]" if isinstance(container, list) else "}"):
            raise ValueError(f"expected a value, got {quote(sign)}" if has_key else f"unexpected {quote(sign)}")
        self.open.pop()
        if not self.open:
            self.values.append(container)

    def _open(self, container: Any) -> None:
        if self.open:
            self._put(container, may_be_key=False)
        elif self.values:
            raise ValueError("expected the end after the value")
        self.open.append((container, [_NO_KEY]))

    def add(self, value: Any) -> None:
        if self.open:
            self._put(value, may_be_key=isinstance(value, str))
        elif self.values:
            raise ValueError("expected the end after the value")
        else:
            self.values.append(value)

    def _put(self, value: Any, *, may_be_key: bool) -> None:
        container, key = self.open[-1]
        if isinstance(container, list):
            container.append(value)
        elif key[0] is not _NO_KEY:
            container[key[0]] = value
            key[0] = _NO_KEY
        elif may_be_key:
            key[0] = value
        else:
            raise ValueError("expected a key, which is a string")


_SPECIAL = re.compile('["\\\\/\x00-\x1f\x7f-\x9f\u2000-\u20ff]')
_SHORT = {character: f"\\{letter}" for letter, character in _ESCAPED.items()}


def _escape(text: str) -> str:
    return _SPECIAL.sub(lambda match: _SHORT.get(match[0], f"\\u{ord(match[0]):04X}"), text)


def format_json(value: Any) -> str:
    """Return a value as JSON without whitespace, in which a slash is `\\/`. Infinity and NaN are `null`."""
    if isinstance(value, str):
        return f'"{_escape(value)}"'
    if isinstance(value, Mapping):
        return "{" + ",".join(f'"{_escape(str(key))}":{format_json(item)}' for key, item in value.items()) + "}"
    if isinstance(value, list):
        return f"[{','.join(map(format_json, value))}]"
    if isinstance(value, float) and value - value != 0:
        return "null"
    return to_string(value)
