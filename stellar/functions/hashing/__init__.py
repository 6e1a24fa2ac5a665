"""Digests, and hashes that are alike for texts that are alike."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from stellar.functions.hashing.md2 import md2
from stellar.functions.hashing.tlsh import Tlsh, tlsh
from stellar.functions.hashing.tlsh import read as read_tlsh
from stellar.language.conversions import to_boolean, to_integer, to_text
from stellar.language.library import UNKNOWN, stellar
from stellar.language.runtime import described

_MOST_BITS = 65_536


@stellar("GET_HASHES_AVAILABLE", surplus="refuse")
def get_hashes_available() -> list[str]:
    """The names of the hashes that HASH knows.

    returns: The list of the names

        'SHA-256' in GET_HASHES_AVAILABLE()  // true
        'TLSH' in GET_HASHES_AVAILABLE()  // true
    """
    return [*_DIGESTS, "TLSH"]


def _prepared(to_hash: object, hash_type: object, *config: object) -> Callable[[Any], Any] | None:
    algorithm = _ALGORITHMS.get(hash_type.upper()) if isinstance(hash_type, str) else None
    if to_hash is not UNKNOWN or algorithm is None or config:
        return None

    def digest(value: Any) -> Any:
        if value.__class__ is str:
            return algorithm(value.encode("utf-8", "replace"), usedforsecurity=False).hexdigest()
        return hash_(value, hash_type)

    return digest


@stellar("HASH", prepare=_prepared)
def hash_(to_hash: Any, hash_type: object, config: object = None) -> Any:
    """The hash of a value: of a text its digest in UTF-8, of bytes their digest, of any other value that of its JSON.

    Of texts that are alike, TLSH hashes are alike; see TLSH_DIST.

    toHash: The value
    hashType: The name of the hash, in capital or small letters; see GET_HASHES_AVAILABLE
    config: A map of options. For digests: `charset`, such as 'ISO-8859-1', in place of UTF-8. For TLSH: `bucketSize`,
        128 or 256; `checksumBytes`, 1 or 3; `force`, false to want 256 bytes rather than 50; `hashes`, a number of bits
        or a list of such, for short hashes beside the long one
    returns: The hash in hexadecimal digits, for null zeros; null if the name is null, and where TLSH has none, because
        the text is too short or too monotonous; with `hashes` a map of `tlsh` and `tlsh_bin`, or `tlsh_bin_8` and so on

        HASH('squid', 'MD5')  // '9fb967ff8d2ab5b93a3e6154fcafe2ed'
        HASH('é', 'SHA-1', {'charset' : 'ISO-8859-1'})  // '1599e9fa41ec68c80230491902786bee889f5bcb'
        HASH(null, 'MD5')  // '00000000000000000000000000000000'
        HASH('squid', null)  // null
        HASH('squid', 'TLSH')  // null
        HASH('squid', 'CRC')  // error
    """
    if config is None and to_hash.__class__ is str and hash_type.__class__ is str and hash_type in _ALGORITHMS:
        octets = to_hash.encode("utf-8", "replace")
        return _ALGORITHMS[hash_type](octets, usedforsecurity=False).hexdigest()
    if hash_type is None:
        return None
    name = to_text(hash_type).upper()
    options = config if isinstance(config, Mapping) else {}
    if name == "TLSH":
        return _tlsh(to_hash, options)
    if name not in _DIGESTS:
        raise ValueError(f"there is no hash {to_text(hash_type)!r}, but {', '.join(get_hashes_available())}")
    digest = _DIGESTS[name]
    if to_hash is None:
        return bytes(len(digest(b""))).hex()
    return digest(_octets(to_hash, options.get("charset"))).hex()


@stellar("TLSH_DIST")
def tlsh_dist(hash1: str | None, hash2: str | None, include_length: object = False) -> int:
    """How different two TLSH hashes are.

    hash1: A hash made by HASH
    hash2: Another one
    includeLength: Whether different lengths of the hashed texts count as well
    returns: 0 if they are the same, more the more they differ; -1 if one is null

        TLSH_DIST(null, null)  // -1
        TLSH_DIST('a', 'a')  // 0
        TLSH_DIST('a', 'b')  // error
    """
    if hash1 is None or hash2 is None:
        return -1
    if hash1 == hash2:
        return 0
    return read_tlsh(hash1).distance(read_tlsh(hash2), with_length=to_boolean(include_length) is True)


# -- What is hashed ---------------------------------------------------------------------------------------------------


def _octets(value: Any, charset: object = None) -> bytes:
    encode = _charset("UTF-8" if charset is None else to_text(charset))
    if isinstance(value, bytes):
        return value
    return encode(value) if isinstance(value, str) else _json(value).encode("utf-8", "replace")


def _json(value: Any) -> str:
    """A value as JSON: without blanks, keys and members of sets in order, so that equal values have the same."""
    if value is None or isinstance(value, bool | int | float | str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, bytes):
        return json.dumps(to_text(value), ensure_ascii=False)
    try:
        if isinstance(value, list | tuple):
            return f"[{','.join(map(_json, value))}]"
        if isinstance(value, set | frozenset):
            return f"[{','.join(sorted(map(_json, value)))}]"
        if isinstance(value, Mapping):
            entries = sorted((to_text(key), _json(item)) for key, item in value.items())
            return "{" + ",".join(f"{_json(key)}:{item}" for key, item in entries) + "}"
    except RecursionError:
        raise ValueError("a value nested this deep, or one that holds itself, has no hash") from None
    raise ValueError(f"{described(value)} has no hash")


def _charset(name: str) -> Callable[[str], bytes]:
    known = name.upper().replace("_", "-")
    if known == "UTF-16":
        return lambda text: b"\xfe\xff" + text.encode("utf-16-be", "replace")
    if known in _CHARSETS:
        return partial(str.encode, encoding=_CHARSETS[known], errors="replace")
    raise ValueError(f"there is no charset {name!r}")


_CHARSETS = {
    **dict.fromkeys(("UTF-8", "UTF8"), "utf-8"),
    **{name: name for name in ("UTF-16BE", "UTF-16LE", "UTF-32BE", "UTF-32LE")},
    "UTF-32": "utf-32-be",
    **dict.fromkeys(("US-ASCII", "ASCII"), "ascii"),
    "LATIN1": "iso8859-1",
    **{f"ISO-8859-{part}": f"iso8859-{part}" for part in (*range(1, 10), 11, 13, 15)},
    **{f"WINDOWS-{page}": f"cp{page}" for page in range(1250, 1259)},
    **{f"CP{page}": f"cp{page}" for page in range(1250, 1259)},
    **{name: name for name in ("KOI8-R", "KOI8-U", "BIG5", "GBK", "GB2312", "GB18030", "EUC-JP", "EUC-KR")},
    **dict.fromkeys(("SHIFT-JIS", "SJIS"), "shift-jis"),
    "IBM437": "cp437",
    "IBM850": "cp850",
}


def _digest(name: str) -> Callable[[bytes], bytes]:
    return lambda data: hashlib.new(name, data, usedforsecurity=False).digest()


_DIGESTS: dict[str, Callable[[bytes], bytes]] = {
    "MD2": md2,
    "MD5": _digest("md5"),
    **dict.fromkeys(("SHA", "SHA-1"), _digest("sha1")),
    **{f"SHA-{bits}": _digest(f"sha{bits}") for bits in (224, 256, 384, 512)},
    **{f"SHA-512/{bits}": _digest(f"sha512_{bits}") for bits in (224, 256)},
    **{f"SHA3-{bits}": _digest(f"sha3_{bits}") for bits in (224, 256, 384, 512)},
}


# What hashes a text as it is by default, without a detour
_ALGORITHMS: dict[str, Callable[..., Any]] = {
    "MD5": hashlib.md5,
    **dict.fromkeys(("SHA", "SHA-1"), hashlib.sha1),
    "SHA-224": hashlib.sha224,
    "SHA-256": hashlib.sha256,
    "SHA-384": hashlib.sha384,
    "SHA-512": hashlib.sha512,
}


# -- TLSH -------------------------------------------------------------------------------------------------------------


def _tlsh(value: Any, options: Mapping[Any, Any]) -> str | dict[str, str] | None:
    if value is None:
        return None
    made = tlsh(
        _octets(value),
        buckets=256 if to_integer(options.get("bucketSize")) == 256 else 128,
        checksums=3 if to_integer(options.get("checksumBytes")) == 3 else 1,
        force=to_boolean(options.get("force")) is not False,
    )
    if made is None:
        return None
    wanted = options.get("hashes")
    sizes = [size for one in (wanted if isinstance(wanted, list) else [wanted]) if (size := to_integer(one))]
    if not sizes:
        return str(made)
    if max(sizes) > _MOST_BITS:
        raise ValueError(f"{_MOST_BITS} bits of a short hash are the most")
    names = [f"tlsh_bin_{size}" for size in sizes] if len(sizes) > 1 else ["tlsh_bin"]
    return {"tlsh": str(made), **dict(zip(names, _projections(made, sizes), strict=True))}


def _projections(made: Tlsh, sizes: list[int]) -> Iterator[str]:
    """Short hashes of as many bits of a long one, picked as if at random, but the same ones always."""
    bits = int.from_bytes(bytes.fromhex(str(made))[len(made.checksum) :], "little")
    picks = _numbers(bits.bit_length())
    for size in sizes:
        picked = sum((bits >> next(picks) & 1) << place for place in range(size))
        yield f"{size}{picked.to_bytes((picked.bit_length() + 7) // 8, 'little').hex()}"


def _numbers(bound: int) -> Iterator[int]:
    """The numbers below a bound that Java's Random gives with the seed 0."""
    state = 0x5DEECE66D
    while True:
        state = (state * 0x5DEECE66D + 0xB) % 2**48
        number = state >> 17
        if bound & (bound - 1) == 0:
            yield bound * number >> 31
        elif number - number % bound + bound - 1 < 2**31:
            yield number % bound
