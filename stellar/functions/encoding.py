"""Texts written in the digits of another base, and read back. Texts are UTF-8."""

from __future__ import annotations

import base64
import re
from binascii import unhexlify
from collections.abc import Callable
from dataclasses import dataclass

from stellar.language.library import UNKNOWN, stellar


@stellar("GET_SUPPORTED_ENCODINGS")
def get_supported_encodings() -> list[str]:
    """The names of the encodings that ENCODE and DECODE know.

    returns: The list of the names

        GET_SUPPORTED_ENCODINGS()  // ['BASE32', 'BASE32HEX', 'BASE64', 'BINARY', 'HEX']
        'HEX' in GET_SUPPORTED_ENCODINGS()  // true
    """
    return list(_ENCODINGS)


def _prepared(str_: object, encoding: object, *_: object) -> Callable[..., str | None] | None:
    if str_ is not UNKNOWN or not isinstance(encoding, str) or encoding.upper() not in _ENCODINGS:
        return None
    write = _named(encoding).write
    return lambda text, *_: write(text.encode("utf-8", "replace")) if text else None


@stellar("ENCODE", surplus="refuse", prepare=_prepared)
def encode(str_: str | None, encoding: str | None, unused: object = None) -> str | None:
    """A text written in the digits of another base.

    str: The text
    encoding: The name of the encoding, in capital or small letters; see GET_SUPPORTED_ENCODINGS
    unused: Nothing; Metron takes it as well
    returns: The digits; null if the text or the name is null or empty

        ENCODE('hello', 'BASE64')  // 'aGVsbG8='
        ENCODE('hello', 'hex')  // '68656c6c6f'
        ENCODE('', 'HEX')  // null
        ENCODE('hello', 'ROT13')  // error
    """
    return _named(encoding).write(str_.encode("utf-8", "replace")) if str_ and encoding else None


@stellar("DECODE", surplus="refuse")
def decode(str_: str | None, encoding: str | None, verify: bool | None = False) -> str | None:
    """The text that digits of another base stand for. Characters that are no digits are left out.

    str: The digits
    encoding: The name of the encoding, in capital or small letters; see GET_SUPPORTED_ENCODINGS
    verify: Whether to look first if all characters are digits, and to give the text as it is if not
    returns: The text; null if the digits or the name are null or empty

        DECODE('aGVsbG8=', 'BASE64')  // 'hello'
        DECODE('68656c6c6f', 'HEX')  // 'hello'
        DECODE('no digits!', 'HEX')  // 'no digits!'
        DECODE('!!', 'BASE64', true)  // '!!'
        DECODE(null, 'HEX')  // null
        DECODE('00', 'ROT13')  // error
    """
    if not str_ or not encoding:
        return None
    if verify is None:
        raise ValueError("DECODE takes true or false as verify, not null")
    chosen = _named(encoding)
    if verify and not chosen.form.fullmatch(str_):
        return str_
    octets = chosen.read(str_)
    return str_ if octets is None else octets.decode("utf-8", "replace")


@stellar("IS_ENCODING")
def is_encoding(str_: str | None, encoding: str | None) -> bool:
    """Whether all characters of a text are digits of an encoding.

    str: The text
    encoding: The name of the encoding, in capital or small letters; see GET_SUPPORTED_ENCODINGS
    returns: True if they are; false if the text or the name is null or empty

        IS_ENCODING('68656c6c6f', 'HEX')  // true
        IS_ENCODING('hello', 'HEX')  // false
        IS_ENCODING(null, 'HEX')  // false
        IS_ENCODING('hello', 'ROT13')  // error
    """
    return _named(encoding).form.fullmatch(str_) is not None if str_ and encoding else False


@dataclass(frozen=True)
class _Encoding:
    """How octets become digits, which characters a text of such has, and how it is read; None is no text of such."""

    write: Callable[[bytes], str]
    form: re.Pattern[str]
    read: Callable[[str], bytes | None]


def _named(name: str) -> _Encoding:
    encoding = _ENCODINGS.get(name) or _ENCODINGS.get(name.upper())
    if encoding is None:
        raise ValueError(f"there is no encoding {name!r}, but {', '.join(_ENCODINGS)}")
    return encoding


def _reader(alphabet: str, bits: int) -> Callable[[str], bytes]:
    values = {digit: value % 2**bits for value, digit in enumerate(alphabet)}

    def read(text: str) -> bytes:
        # What follows the padding is not looked at; bits that make no whole octet are dropped
        digits = [values[digit] for digit in text.partition("=")[0] if digit in values]
        octets, rest = divmod(len(digits) * bits, 8)
        number = int("".join(f"{digit:0{bits}b}" for digit in digits) or "0", 2)
        return (number >> rest).to_bytes(octets)

    return read


def _read_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return _read_any_base64(text)


def _read_hexadecimal(text: str) -> bytes | None:
    try:
        return unhexlify(text)
    except ValueError:
        return None


def _write_binary(octets: bytes) -> str:
    return "".join(f"{octet:08b}" for octet in reversed(octets))


def _read_binary(text: str) -> bytes | None:
    # In eights from the end, and the last of them is the first octet
    eights = (text[end - 8 : end] for end in range(len(text), 7, -8))
    octets = bytes(sum((bit == "1") << place for place, bit in enumerate(reversed(eight))) for eight in eights)
    return octets if any(octet > 0x20 for octet in octets) else None


_BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_BASE32_HEX = "0123456789ABCDEFGHIJKLMNOPQRSTUV"
_LETTERS_AND_DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_BASE64 = f"{_LETTERS_AND_DIGITS}+/{_LETTERS_AND_DIGITS}-_"
_read_any_base64 = _reader(_BASE64, 6)
_HEXADECIMAL = re.compile(r"(?:[0-9a-fA-F]{2})+")
_ENCODINGS = {
    "BASE32": _Encoding(
        lambda octets: base64.b32encode(octets).decode(), re.compile(r"[A-Z2-7= \n\r\t]+"), _reader(_BASE32, 5)
    ),
    "BASE32HEX": _Encoding(
        lambda octets: base64.b32hexencode(octets).decode(), re.compile(r"[0-9A-V= \n\r\t]+"), _reader(_BASE32_HEX, 5)
    ),
    "BASE64": _Encoding(
        lambda octets: base64.b64encode(octets).decode(), re.compile(r"[A-Za-z0-9+/_= \n\r\t-]+"), _read_base64
    ),
    "BINARY": _Encoding(_write_binary, re.compile("[01]+"), _read_binary),
    "HEX": _Encoding(bytes.hex, _HEXADECIMAL, _read_hexadecimal),
}
