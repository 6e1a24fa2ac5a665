"""Digests, and TLSH similarity hashes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from stellar.functions.hashing.md2 import md2
from stellar.functions.hashing.tlsh import Tlsh, hash_bytes, is_native
from stellar.functions.hashing.tlsh import parse as parse_tlsh
from stellar.java.charsets import UTF_8, find_charset
from stellar.language.conversions import to_boolean, to_integer, to_string
from stellar.language.inline import Inline, Prepared
from stellar.language.library import UNKNOWN, stellar
from stellar.language.limits import check_string, measure
from stellar.language.literals import LiteralKind, check_strings
from stellar.language.python_values import from_python
from stellar.language.runtime import describe
from stellar.util.abbreviate import quote
from stellar.util.java_random import JavaRandom

_MOST_BITS = 65_536
# A second's work of an algorithm in Python
_MOST_OCTETS = 1_000_000


@stellar("GET_HASHES_AVAILABLE", pure=True, surplus="refuse")
def get_hashes_available() -> list[str]:
    """Return the hashes that HASH supports.

    returns: List of their names

        'SHA-256' in GET_HASHES_AVAILABLE()  // true
        'TLSH' in GET_HASHES_AVAILABLE()  // true
    """
    return [*_DIGESTS, "TLSH"]


def _prepare_hash(to_hash: object, hash_type: object, *config: object) -> Prepared | None:
    algorithm = _ALGORITHMS.get(hash_type.upper()) if isinstance(hash_type, str) else None
    if to_hash is not UNKNOWN or algorithm is None or config:
        return None

    def digest(value: Any) -> Any:
        if value.__class__ is str:
            return algorithm(value.encode("utf-8", "replace"), usedforsecurity=False).hexdigest()
        return hash_(value, hash_type)

    inline = Inline(
        "algorithm(to_hash.encode()).hexdigest()",
        {"to_hash": str},
        "to_hash.isascii()",
        values={"algorithm": algorithm},
        result=str,
    )
    return Prepared(digest, (inline,) if _is_allowed(algorithm) else ())


@cache
def _is_allowed(algorithm: Callable[..., Any]) -> bool:
    """Return True unless the system forbids an algorithm for security, so that each call must name another use."""
    try:
        algorithm(b"")
    except ValueError:
        return False
    return True


def _require_hash(name: str) -> None:
    if name.upper() not in (*_DIGESTS, "TLSH"):
        raise ValueError(f"unknown hash {quote(name)}: expected one of {', '.join(get_hashes_available())}")


HASH_NAME = LiteralKind(check_strings(_require_hash), "see GET_HASHES_AVAILABLE()")


@stellar("HASH", pure=True, prepare=_prepare_hash, literals={"hashType": HASH_NAME})
def hash_(to_hash: Any, hash_type: object, config: object = None) -> Any:
    """Return the hash of a value: strings are encoded as UTF-8 first, and values other than strings and bytes as JSON.

    Similar values have similar TLSH hashes; see TLSH_DIST. With the extra `tlsh`, these are computed about 100 times
    faster.

    toHash: The value
    hashType: Name of the hash, in any case; see GET_HASHES_AVAILABLE
    config: Map of options. For digests: `charset`, a name of Java such as 'ISO-8859-1', instead of UTF-8. For TLSH:
        `bucketSize`, 128 (the default) or 256; `checksumBytes`, 1 (the default) or 3; `force`, false to require 256
        bytes instead of 50; `hashes`, a number of bits or a list of such, for additional short hashes
    returns: The hash in hexadecimal, zeros for null; null if the name is null, or if the value is too short or too
        uniform for TLSH; with `hashes`, a map of `tlsh` and `tlsh_bin`, or `tlsh_bin_8` and so on

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
    name = to_string(hash_type).upper()
    options = config if isinstance(config, Mapping) else {}
    if name == "TLSH":
        return _hash_tlsh(to_hash, options)
    _require_hash(to_string(hash_type))
    digest = _DIGESTS[name]
    if to_hash is None:
        return bytes(len(digest(b""))).hex()
    data = _to_bytes(to_hash, options.get("charset"))
    if name == "MD2":
        _check_size("MD2", data, "use SHA-256")
    return digest(data).hex()


@stellar("TLSH_DIST", pure=True)
def tlsh_dist(hash1: str | None, hash2: str | None, include_length: object = False) -> int:
    """Measure how much two TLSH hashes differ.

    hash1: The first hash, as HASH returns it
    hash2: The second hash
    includeLength: True to include the difference of the lengths of the hashed values; false by default
    returns: The distance, 0 for equal hashes; -1 if a hash is null

        TLSH_DIST(null, null)  // -1
        TLSH_DIST('a', 'a')  // 0
        TLSH_DIST('a', 'b')  // error
    """
    if hash1 is None or hash2 is None:
        return -1
    if hash1 == hash2:
        return 0
    return parse_tlsh(hash1).distance(parse_tlsh(hash2), with_length=to_boolean(include_length) is True)


# -- Bytes of a value -------------------------------------------------------------------------------------------------


def _to_bytes(value: Any, charset: object = None) -> bytes:
    encoding = UTF_8 if charset is None else find_charset(to_string(charset))
    value = from_python(value)
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return encoding.encode(value)
    measure(value)
    return UTF_8.encode(check_string(_to_json(value)))


def _to_json(value: Any) -> str:
    """Return a value as compact JSON, with keys and members of sets sorted, so that equal values have the same JSON."""
    value = from_python(value)
    if value is None or isinstance(value, bool | int | float | str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, bytes):
        return json.dumps(to_string(value), ensure_ascii=False)
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_to_json, value))}]"
    if isinstance(value, set | frozenset):
        return f"[{','.join(sorted(map(_to_json, value)))}]"
    if isinstance(value, Mapping):
        entries = sorted((to_string(key), _to_json(item)) for key, item in value.items())
        return "{" + ",".join(f"{_to_json(key)}:{item}" for key, item in entries) + "}"
    raise ValueError(f"cannot hash {describe(value)}")


def _make_digest(name: str) -> Callable[[bytes], bytes]:
    return lambda data: hashlib.new(name, data, usedforsecurity=False).digest()


_DIGESTS: dict[str, Callable[[bytes], bytes]] = {
    "MD2": md2,
    "MD5": _make_digest("md5"),
    **dict.fromkeys(("SHA", "SHA-1"), _make_digest("sha1")),
    **{f"SHA-{bits}": _make_digest(f"sha{bits}") for bits in (224, 256, 384, 512)},
    **{f"SHA-512/{bits}": _make_digest(f"sha512_{bits}") for bits in (224, 256)},
    **{f"SHA3-{bits}": _make_digest(f"sha3_{bits}") for bits in (224, 256, 384, 512)},
}


# Fast path of string values with default options
_ALGORITHMS: dict[str, Callable[..., Any]] = {
    "MD5": hashlib.md5,
    **dict.fromkeys(("SHA", "SHA-1"), hashlib.sha1),
    "SHA-224": hashlib.sha224,
    "SHA-256": hashlib.sha256,
    "SHA-384": hashlib.sha384,
    "SHA-512": hashlib.sha512,
}


# -- TLSH -------------------------------------------------------------------------------------------------------------


def _hash_tlsh(value: Any, options: Mapping[Any, Any]) -> str | dict[str, str] | None:
    if value is None:
        return None
    data = _to_bytes(value)
    buckets = 256 if to_integer(options.get("bucketSize")) == 256 else 128
    checksums = 3 if to_integer(options.get("checksumBytes")) == 3 else 1
    if not is_native(buckets, checksums):
        _check_size("TLSH", data, "install the extra tlsh, and use the default bucketSize and checksumBytes")
    digest = hash_bytes(
        data,
        buckets=buckets,
        checksums=checksums,
        force=to_boolean(options.get("force")) is not False,
    )
    if digest is None:
        return None
    hashes = options.get("hashes")
    sizes = [size for one in (hashes if isinstance(hashes, list) else [hashes]) if (size := to_integer(one))]
    if not sizes:
        return str(digest)
    if max(sizes) > _MOST_BITS:
        raise ValueError(f"invalid option hashes: expected at most {_MOST_BITS} bits, got {max(sizes)}")
    names = [f"tlsh_bin_{size}" for size in sizes] if len(sizes) > 1 else ["tlsh_bin"]
    return {"tlsh": str(digest), **dict(zip(names, _project(digest, sizes), strict=True))}


def _check_size(name: str, data: bytes, fix: str) -> None:
    if len(data) > _MOST_OCTETS:
        raise ValueError(f"{name} expected at most {_MOST_OCTETS:,} octets, got {len(data):,}; {fix}")


def _project(digest: Tlsh, sizes: list[int]) -> Iterator[str]:
    """Yield short hashes: bits of a long hash, selected by a generator with a fixed seed."""
    bits = int.from_bytes(bytes.fromhex(str(digest))[len(digest.checksum) :], "little")
    random = JavaRandom(0)
    for size in sizes:
        selection = sum((bits >> random.below(bits.bit_length()) & 1) << index for index in range(size))
        yield f"{size}{selection.to_bytes((selection.bit_length() + 7) // 8, 'little').hex()}"
