"""The binary form of sketches.

    byte     version of the form, 1
    byte     kind of the sketch: an index of KINDS
    uint32   length of the content
    …        the content, as the functions below write it; numbers are little-endian
    uint32   CRC-32 of all bytes before

Reading validates everything, as the bytes may come from anywhere: no sketch that is read can make a later operation
hang or fail. It takes memory in proportion to the number of bytes. A damaged Bloom filter would return false for its
members, so the checksum is not optional.

A change of a content, or of the hash of a Bloom filter or a cardinality, is a new version.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from itertools import pairwise
from struct import Struct, pack, unpack_from
from typing import Any

from stellar.sketches.bloom import LARGEST_BITS, BloomFilter
from stellar.sketches.cardinality import LEAST_REGISTERS, MOST_PRECISION, MOST_REGISTERS, Cardinality
from stellar.sketches.outliers import OutlierState
from stellar.sketches.sampling import Sampler
from stellar.sketches.summaries import OnlineSummary, WindowSummary
from stellar.sketches.tdigest import TDigest

Sketch = BloomFilter | Cardinality | OnlineSummary | WindowSummary | OutlierState | Sampler

VERSION = 1
KINDS = ("$bloom", "$hllp", "$stats", "$stats", "$mad", "$sample")
_CLASSES = (BloomFilter, Cardinality, OnlineSummary, WindowSummary, OutlierState, Sampler)
_HEADER = Struct("<BBI")
_CHECKSUM = Struct("<I")
_MOST_HASHES = 1100  # the rate of 5e-324, the least number above 0, requires 1,074
_MOST_SEEN = 2**62 - 1
_MOST_WINDOW = 2**63 - 1


class Reader:
    """Reads numbers from bytes, and never beyond their end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._offset = 0

    def read(self, form: str) -> tuple[Any, ...]:
        """Return the numbers of a form of `struct`."""
        values = unpack_from("<" + form, self.take(Struct("<" + form).size))
        return values

    def count(self, size: int) -> int:
        """Return a number of items, each of which takes so many bytes."""
        (count,) = self.read("Q")
        if count * size > len(self._data) - self._offset:
            raise ValueError(f"content too short for {count} items")
        return int(count)

    def take(self, length: int) -> bytes:
        """Return the next bytes."""
        if length > len(self._data) - self._offset:
            raise ValueError(f"content too short: expected {length} more bytes at byte {self._offset}")
        start, self._offset = self._offset, self._offset + length
        return self._data[start : self._offset]

    def rest(self) -> bytes:
        """Return the remaining bytes."""
        return self.take(len(self._data) - self._offset)


def serialize(sketch: Sketch, encode_values: Callable[[list[Any]], bytes]) -> tuple[str, bytes]:
    """Return the tag and the binary form of a sketch.

    encode_values: encodes the values of a sample. Its ValueError for a value that cannot be encoded is passed on
    """
    kind = _CLASSES.index(type(sketch))
    write = _WRITERS[kind]
    content = write(sketch, encode_values) if kind == _SAMPLE else write(sketch)
    data = _HEADER.pack(VERSION, kind, len(content)) + content
    return KINDS[kind], data + _CHECKSUM.pack(zlib.crc32(data))


def is_sketch(value: object) -> bool:
    """Return True if a value has a binary form."""
    return type(value) in _CLASSES


def deserialize(tag: str, data: bytes, decode_values: Callable[[bytes], list[Any]]) -> Sketch:
    """Return the sketch of a binary form.

    tag: the kind of sketch that is expected
    decode_values: decodes the values of a sample

    Raises ValueError for bytes that `serialize` does not return, and LookupError if a package is missing.
    """
    kind, content = _open(data)
    if kind >= len(KINDS) or KINDS[kind] != tag:
        found = f"that of {KINDS[kind]}" if kind < len(KINDS) else f"the unknown kind {kind}"
        raise ValueError(f"expected the binary form of {tag}, got {found}")
    reader = Reader(content)
    read = _READERS[kind]
    sketch: Sketch = read(reader, decode_values) if kind == _SAMPLE else read(reader)
    if rest := len(reader.rest()):
        raise ValueError(f"{rest} unexpected bytes after the content")
    return sketch


def _open(data: bytes) -> tuple[int, bytes]:
    """Return kind and content, after a check of length and checksum."""
    if data and data[0] != VERSION:
        raise ValueError(f"unknown version {data[0]}: this release reads version {VERSION}")
    least = _HEADER.size + _CHECKSUM.size
    if len(data) < least:
        raise ValueError(f"truncated: expected at least {least} bytes, got {len(data)}")
    _, kind, length = _HEADER.unpack_from(data)
    if len(data) != least + length:
        problem = "truncated" if len(data) < least + length else "too long"
        raise ValueError(f"{problem}: expected {least + length} bytes, got {len(data)}")
    end = _HEADER.size + length
    if zlib.crc32(data[:end]) != _CHECKSUM.unpack_from(data, end)[0]:
        raise ValueError("damaged: the checksum does not match")
    return kind, data[_HEADER.size : end]


def _require(condition: bool, problem: str) -> None:
    if not condition:
        raise ValueError(problem)


# -- Bloom filter: size, number of hashes, bits -----------------------------------------------------------------------


def _write_bloom(bloom: BloomFilter) -> bytes:
    return pack("<QI", bloom.size, bloom.hashes) + bloom.bits


def _read_bloom(reader: Reader) -> BloomFilter:
    size, hashes = reader.read("QI")
    _require(1 <= size <= LARGEST_BITS, f"invalid number of bits {size}: expected 1 to {LARGEST_BITS}")
    _require(1 <= hashes <= _MOST_HASHES, f"invalid number of hashes {hashes}: expected 1 to {_MOST_HASHES}")
    bits = bytearray(reader.take((size + 7) // 8))
    _require(not bits[-1] >> (size - 1) % 8 + 1, "a bit after the last one is set")
    return BloomFilter.of(size, hashes, bits)


# -- Cardinality: precision, sparse precision, the sketch in the format of Apache DataSketches ------------------------


def _write_cardinality(cardinality: Cardinality) -> bytes:
    precision, sparse_precision, sketch = cardinality.__getstate__()
    if sketch[7] & 3 == _SET[0]:  # the library's order is that of insertion; equal sketches have equal bytes
        sketch = sketch[:12] + b"".join(sorted(sketch[at : at + 4] for at in range(12, len(sketch), 4)))
    return bytes((precision, sparse_precision)) + sketch


def _read_cardinality(reader: Reader) -> Cardinality:
    precision, sparse_precision = reader.read("BB")
    _require(LEAST_REGISTERS <= precision <= MOST_PRECISION, f"invalid precision {precision}")
    _require(
        not sparse_precision or precision <= sparse_precision <= MOST_PRECISION,
        f"invalid sparse precision {sparse_precision}",
    )
    sketch = reader.rest()
    _check_hyperloglog(sketch, min(precision, MOST_REGISTERS))
    cardinality = Cardinality.__new__(Cardinality)
    try:
        cardinality.__setstate__((precision, sparse_precision, sketch))
    except (ValueError, IndexError, RuntimeError) as error:
        raise ValueError(f"invalid sketch: {error}") from error
    return cardinality


# Modes of a HyperLogLog sketch, with the number of 4-byte words before its items
_LIST, _SET, _REGISTERS = (0, 2), (1, 3), (2, 10)
_TYPE_HLL_8, _EMPTY, _COMPACT, _OUT_OF_ORDER = 2 << 2, 4, 8, 16


def _check_hyperloglog(sketch: bytes, registers: int) -> None:
    """Raise ValueError for bytes that are not a sketch, as the library allocates the size in its header.

    https://github.com/apache/datasketches-cpp, the preamble of the HLL sketch.
    """
    _require(len(sketch) >= 8, "sketch truncated")
    words, version, family, own_registers, table, flags, count, mode = sketch[:8]
    _require((version, family, own_registers) == (1, 7, registers), "invalid header of the sketch")
    _require(mode & ~3 == _TYPE_HLL_8 and flags & ~(_EMPTY | _OUT_OF_ORDER) == _COMPACT, "invalid mode of the sketch")
    form = (mode & 3, words)
    if form == _LIST:
        _require(count <= 8 and table == 3 and len(sketch) == 8 + 4 * count, "invalid list of the sketch")
        _require(bool(flags & _EMPTY) == (not count), "invalid flags of the sketch")
    elif form == _SET:
        _require(len(sketch) >= 12, "sketch truncated")
        (count,) = unpack_from("<I", sketch, 8)
        _require(len(sketch) == 12 + 4 * count, "invalid set of the sketch")
        _require(5 <= table <= max(5, registers - 3) and 4 * count <= 3 << table, "invalid table of the sketch")
        _require(table == 5 or 4 * count > 3 << table - 2, "invalid table of the sketch")
    else:
        _require(form == _REGISTERS and len(sketch) == 40 + (1 << registers), "invalid length of the sketch")
        _check_registers(sketch, count)
    _require(
        mode & 3 == 2 or all(sketch[end - 1] >> 2 for end in range(len(sketch), len(sketch) - 4 * count, -4)),
        "invalid item of the sketch",
    )


def _check_registers(sketch: bytes, least: int) -> None:
    """Check the sums in a sketch against its registers, because estimates are computed from them."""
    estimate, low, high, zeros, exceptions = unpack_from("<dddII", sketch, 8)
    counts = [sketch.count(value, 40) for value in range(64)]
    _require(sum(counts) == len(sketch) - 40, "a register of the sketch is too large")
    _require((least, zeros, exceptions) == (0, counts[0], 0), "invalid counts of the sketch")
    sums = [sum(counts[value] * 2.0**-value for value in part) for part in (range(32), range(32, 64))]
    _require(math.isclose(low, sums[0], rel_tol=1e-9, abs_tol=1e-9), "invalid sum of the sketch")
    _require(math.isclose(high, sums[1], rel_tol=1e-9, abs_tol=1e-9), "invalid sum of the sketch")
    _require(0 <= estimate <= 2.0**70, "invalid estimate of the sketch")


# -- Digest: number of centroids, means, weights ----------------------------------------------------------------------


def _write_digest(digest: TDigest) -> bytes:
    centroids = list(digest.centroids())
    means, weights = [mean for mean, _ in centroids], [weight for _, weight in centroids]
    return pack(f"<Q{len(means)}d{len(weights)}Q", len(means), *means, *weights)


def _read_digest(reader: Reader) -> TDigest:
    count = reader.count(16)
    means, weights = reader.read(f"{count}d"), reader.read(f"{count}Q")
    _require(not any(map(math.isnan, means)), "a mean is NaN")
    _require(all(low <= high for low, high in pairwise(means)), "the means are not ascending")
    _require(all(1 <= weight <= _MOST_SEEN for weight in weights), "invalid weight")
    return TDigest.of(zip(means, weights, strict=True))


# -- Statistics: the sums, the digest; or window, the numbers ---------------------------------------------------------

_FIELDS = ("total", "sum_of_squares", "sum_of_logs", "minimum", "maximum", "m1", "m2", "m3", "m4")
_FINITE = ("total", "sum_of_squares", "m1", "m2", "m3", "m4")


def _write_online(summary: OnlineSummary) -> bytes:
    return pack("<Q9d", summary.number, *(getattr(summary, name) for name in _FIELDS)) + _write_digest(summary.digest)


def _read_online(reader: Reader) -> OnlineSummary:
    number, *sums = reader.read("Q9d")
    fields = dict(zip(_FIELDS, sums, strict=True))
    summary = OnlineSummary(number=number, **fields, digest=_read_digest(reader))
    _require(len(summary.digest) == number, "the count is not that of the digest")
    _require(all(math.isfinite(fields[name]) for name in _FINITE), "a sum is not finite")
    low, high = summary.minimum, summary.maximum
    _require(low <= high if number else low != low and high != high, "invalid minimum or maximum")
    return summary


def _write_window(summary: WindowSummary) -> bytes:
    values = summary.values
    return pack(f"<QQ{len(values)}d", summary.window, len(values), *values)


def _read_window(reader: Reader) -> WindowSummary:
    (window,) = reader.read("Q")
    _require(1 <= window <= _MOST_WINDOW, f"invalid window {window}")
    count = reader.count(8)
    _require(count <= window, f"{count} numbers in a window of {window}")
    summary = WindowSummary(window)
    summary.values.extend(reader.read(f"{count}d"))
    return summary


# -- Outliers: four digests -------------------------------------------------------------------------------------------


def _write_outliers(state: OutlierState) -> bytes:
    digests = (state.tick_median, state.tick_deviation, state.window_median, state.window_deviation)
    return b"".join(map(_write_digest, digests))


def _read_outliers(reader: Reader) -> OutlierState:
    return OutlierState(*(_read_digest(reader) for _ in range(4)))


# -- Sample: size, number of values seen, state of the random numbers, the sampled values -----------------------------


def _write_sampler(sampler: Sampler, encode_values: Callable[[list[Any]], bytes]) -> bytes:
    return pack("<QQQ", sampler.size, sampler.seen, sampler.random.state) + encode_values(sampler.reservoir)


def _read_sampler(reader: Reader, decode_values: Callable[[bytes], list[Any]]) -> Sampler:
    size, seen, state = reader.read("QQQ")
    sampler = Sampler(size)
    _require(1 <= size <= _MOST_SEEN and seen <= _MOST_SEEN, "invalid size or count")
    _require(state <= sampler.random.MASK, "invalid state of the random numbers")
    values = decode_values(reader.rest())
    _require(isinstance(values, list) and len(values) == min(size, seen), "invalid number of sampled values")
    sampler.seen, sampler.random.state, sampler.reservoir = seen, state, values
    return sampler


_SAMPLE = 5
_WRITERS: tuple[Callable[..., bytes], ...] = (
    _write_bloom,
    _write_cardinality,
    _write_online,
    _write_window,
    _write_outliers,
    _write_sampler,
)
_READERS: tuple[Callable[..., Any], ...] = (
    _read_bloom,
    _read_cardinality,
    _read_online,
    _read_window,
    _read_outliers,
    _read_sampler,
)
