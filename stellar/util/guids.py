"""Random identifiers of records (UUID version 4, RFC 9562), made from blocks of randomness.

A read from the operating system costs more than the rest of an identifier, so one read serves many. The child of a fork
drops the block that it shares with its parent.
"""

from __future__ import annotations

import os

_PER_BLOCK = 256
_DIGITS = 32
_VARIANTS = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))

_pending: list[str] = []  # `pop` is atomic, so that threads may share it


def make_guid() -> str:
    """Return a new identifier, such as `3d767a79-e850-4266-ab68-e7ad3fd21985`."""
    try:
        digits = _pending.pop()
    except IndexError:
        digits = _read_block()
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{_VARIANTS[digits[16]]}{digits[17:20]}-{digits[20:]}"


def _read_block() -> str:
    """Read a block; return the digits of one identifier and keep the others."""
    block = os.urandom(_PER_BLOCK * _DIGITS // 2).hex()
    first, *others = (block[at : at + _DIGITS] for at in range(0, len(block), _DIGITS))
    _pending.extend(others)
    return first


os.register_at_fork(after_in_child=_pending.clear)
