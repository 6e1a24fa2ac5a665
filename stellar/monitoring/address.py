"""Addresses to listen on."""

from __future__ import annotations

import re
from typing import NamedTuple

from stellar.util.abbreviate import quote


class ListenAddress(NamedTuple):
    """An address to listen on.

    host: empty for all addresses of the machine
    port: 0 for any free port
    """

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def read_address(text: str) -> ListenAddress:
    """Return the address in `HOST:PORT`, `:PORT` or `[IPV6]:PORT`. Raises ValueError for an invalid one."""
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]*)):([0-9]{1,5})", text)
    if match is None or int(match[3]) > 65535:
        raise ValueError(
            f"invalid address {quote(text)}: expected HOST:PORT, or :PORT for all addresses, with a port of 0–65535"
        )
    return ListenAddress(match[1] or match[2] or "", int(match[3]))
