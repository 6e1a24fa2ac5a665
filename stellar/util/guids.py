"""Random identifiers of records (UUID version 4, RFC 9562), made from blocks of randomness.

A read from the operating system costs more than the rest of an identifier, so one read serves many. The child of a fork
drops the block that it shares with its parent.
"""

from __future__ import annotations

import os
import re

_PER_BLOCK = 256
_BYTES = 16
# The bits of version 4 and of the variant of RFC 9562, in all identifiers of a block
_RANDOM = int.from_bytes(bytes.fromhex("ffffffffffff0fff3fffffffffffffff") * _PER_BLOCK, "big")
_FIXED = int.from_bytes(bytes.fromhex("00000000000040008000000000000000") * _PER_BLOCK, "big")
_split = re.compile("(.{8})(.{4})(.{4})(.{4})(.{12})").findall

_pending: list[str] = []  # `pop` is atomic, so that threads may share it


def make_guid() -> str:
    """Return a new identifier, such as `3d767a79-e850-4266-ab68-e7ad3fd21985`."""
    try:
        return _pending.pop()
    except IndexError:
        return _read_block()


def _read_block() -> str:
    """Read a block; return one of its identifiers and keep the others.

    All identifiers are made at once, in a few calls of C.
    """
    block = int.from_bytes(os.urandom(_PER_BLOCK * _BYTES), "big") & _RANDOM | _FIXED
    first, *others = map("-".join, _split(block.to_bytes(_PER_BLOCK * _BYTES, "big").hex()))
    _pending.extend(others)
    return first


os.register_at_fork(after_in_child=_pending.clear)
