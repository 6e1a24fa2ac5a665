"""Base encodings of strings: base32, base64, binary and hexadecimal. Strings are encoded as UTF-8 first."""

from __future__ import annotations

import base64
import re
from binascii import unhexlify
from collections.abc import Callable
from dataclasses import dataclass

from stellar.language.library import UNKNOWN, stellar
from stellar.language.limits import FEW_CHARACTERS, check_characters, check_string
from stellar.language.literals import LiteralKind, check_strings
from stellar.util.abbreviate import quote

ENCODING = LiteralKind(check_strings(lambda name: name and _find_encoding(name)), "see GET_SUPPORTED_ENCODINGS()")


@stellar("GET_SUPPORTED_ENCODINGS", pure=True)
def get_supported_encodings() -> list[str]:
    """Return the encodings that ENCODE and DECODE support.

    returns: List of their names

        GET_SUPPORTED_ENCODINGS()  // ['BASE32', 'BASE32HEX', 'BASE64', 'BINARY', 'HEX']
        'HEX' in GET_SUPPORTED_ENCODINGS()  // true
    """
    return list(_ENCODINGS)


def _prepare_encode(str_: object, encoding: object, *_: object) -> Callable[..., str | None] | None:
    if str_ is not UNKNOWN or not isinstance(encoding, str) or encoding.upper() not in _ENCODINGS:
        return None
    encode_bytes = _find_encoding(encoding).encode

    def encode_string(string: str | None, *_: object) -> str | None:
        if not string:
            return None
        encoded = encode_bytes(string.encode("utf-8", "replace"))
        return encoded if len(encoded) <= FEW_CHARACTERS else check_string(encoded)

    return encode_string


@stellar("ENCODE", pure=True, surplus="refuse", prepare=_prepare_encode, literals={"encoding": ENCODING})
def encode(str_: str | None, encoding: str | None, unused: object = None) -> str | None:
    """Encode a string.

    str: The string
    encoding: Name of the encoding, in any case; see GET_SUPPORTED_ENCODINGS
    unused: Ignored, as in Metron
    returns: The encoded string; null if the string or the name is null or empty

        ENCODE('hello', 'BASE64')  // 'aGVsbG8='
        ENCODE('hello', 'hex')  // '68656c6c6f'
        ENCODE('', 'HEX')  // null
        ENCODE('hello', 'ROT13')  // error
    """
    if not str_ or not encoding:
        return None
    return check_string(_find_encoding(encoding).encode(str_.encode("utf-8", "replace")))


@stellar("DECODE", pure=True, surplus="refuse", literals={"encoding": ENCODING})
def decode(str_: str | None, encoding: str | None, verify: bool | None = False) -> str | None:
    """Decode a string. Characters outside the encoding's alphabet are skipped.

    str: The encoded string
    encoding: Name of the encoding, in any case; see GET_SUPPORTED_ENCODINGS
    verify: True to return the string unchanged if it contains characters outside the alphabet; false by default
    returns: The decoded string; null if the string or the name is null or empty

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
        raise ValueError("DECODE expected a boolean as verify, got null")
    chosen = _find_encoding(encoding)
    if verify and not chosen.form.fullmatch(str_):
        return str_
    octets = chosen.decode(str_)
    return str_ if octets is None else octets.decode("utf-8", "replace")


@stellar("IS_ENCODING", pure=True, literals={"encoding": ENCODING})
def is_encoding(str_: str | None, encoding: str | None) -> bool:
    """Test whether a string consists of characters of an encoding only.

    str: The string
    encoding: Name of the encoding, in any case; see GET_SUPPORTED_ENCODINGS
    returns: True if it does; false if the string or the name is null or empty

        IS_ENCODING('68656c6c6f', 'HEX')  // true
        IS_ENCODING('hello', 'HEX')  // false
        IS_ENCODING(null, 'HEX')  // false
        IS_ENCODING('hello', 'ROT13')  // error
    """
    return _find_encoding(encoding).form.fullmatch(str_) is not None if str_ and encoding else False


@dataclass(frozen=True)
class _Encoding:
    """An encoding.

    encode: bytes to a string
    form: matches strings that consist of the alphabet only
    decode: a string to bytes; None if the string cannot be decoded
    """

    encode: Callable[[bytes], str]
    form: re.Pattern[str]
    decode: Callable[[str], bytes | None]


def _find_encoding(name: str) -> _Encoding:
    encoding = _ENCODINGS.get(name) or _ENCODINGS.get(name.upper())
    if encoding is None:
        raise ValueError(f"unknown encoding {quote(name)}: expected one of {', '.join(_ENCODINGS)}")
    return encoding


def _make_decoder(alphabet: str, bits: int, decode_groups: Callable[[str], bytes]) -> Callable[[str], bytes]:
    """Return a decoder that ignores characters after the padding, and others, and drops bits of an incomplete octet.

    bits: the number of bits of a digit
    decode_groups: decodes complete groups of digits
    """
    others = re.compile(f"[^{re.escape(alphabet)}]+")
    size = 4 if bits == 6 else 8

    def decode(string: str) -> bytes:
        digits = others.sub("", string.partition("=")[0])
        octets = len(digits) * bits // 8
        return decode_groups(digits + alphabet[0] * (-len(digits) % size))[:octets]

    return decode


def _decode_base64(string: str) -> bytes:
    try:
        return base64.b64decode(string, validate=True)
    except ValueError:
        return _decode_any_base64(string)


def _decode_hexadecimal(string: str) -> bytes | None:
    try:
        return unhexlify(string)
    except ValueError:
        return None


def _encode_binary(octets: bytes) -> str:
    check_characters(8 * len(octets))
    return "".join(map(_BITS.__getitem__, reversed(octets)))


def _decode_binary(string: str) -> bytes | None:
    # As in commons-codec, groups of eight digits are read from the end, and the last group is the first octet
    groups = (string[end - 8 : end] for end in range(len(string), 7, -8))
    octets = bytes(sum((bit == "1") << index for index, bit in enumerate(reversed(group))) for group in groups)
    return octets if any(octet > 0x20 for octet in octets) else None


_BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_BASE32_HEX = "0123456789ABCDEFGHIJKLMNOPQRSTUV"
_LETTERS_AND_DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_BASE64 = f"{_LETTERS_AND_DIGITS}+/-_"
_STANDARD = str.maketrans("-_", "+/")
_BITS = [f"{octet:08b}" for octet in range(256)]
_decode_any_base64 = _make_decoder(_BASE64, 6, lambda digits: base64.b64decode(digits.translate(_STANDARD)))
_HEXADECIMAL = re.compile(r"(?:[0-9a-fA-F]{2})+")
_ENCODINGS = {
    "BASE32": _Encoding(
        lambda octets: base64.b32encode(octets).decode(),
        re.compile(r"[A-Z2-7= \n\r\t]+"),
        _make_decoder(_BASE32, 5, base64.b32decode),
    ),
    "BASE32HEX": _Encoding(
        lambda octets: base64.b32hexencode(octets).decode(),
        re.compile(r"[0-9A-V= \n\r\t]+"),
        _make_decoder(_BASE32_HEX, 5, base64.b32hexdecode),
    ),
    "BASE64": _Encoding(
        lambda octets: base64.b64encode(octets).decode(), re.compile(r"[A-Za-z0-9+/_= \n\r\t-]+"), _decode_base64
    ),
    "BINARY": _Encoding(_encode_binary, re.compile("[01]+"), _decode_binary),
    "HEX": _Encoding(bytes.hex, _HEXADECIMAL, _decode_hexadecimal),
}
