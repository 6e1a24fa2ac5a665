"""The interface of stores, their rows, and the error of a store that cannot be used."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from stellar.util.abbreviate import quote
from stellar.util.json_encoding import make_encoder

MAX_BATCH_CHARACTERS = 32 * 1024 * 1024  # of the values in a batch of rows
STORE_KEY = "enrichment.store"  # the setting in the global configuration that names the store


class StoreError(Exception):
    """The store is not available, or a value in it is not readable."""


class MissingStore(StoreError):
    """The store does not exist; reading does not create it.

    address: of the store, such as its path
    """

    def __init__(self, address: str) -> None:
        super().__init__(f"{address}: the file does not exist; check {STORE_KEY}")
        self.address = address


class EncodedMap(Mapping[str, Any]):
    """A map that is given as JSON, which stores keep as it is. It is decoded by each access."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __getitem__(self, key: str) -> Any:
        return decode_value(self.text)[key]

    def __iter__(self) -> Iterator[str]:
        return iter(decode_value(self.text))

    def __len__(self) -> int:
        return len(decode_value(self.text))


class Row(NamedTuple):
    """A map in a table of a store.

    family: the column family; Metron's default is `t`
    kind: the type, such as `whois`
    indicator: the key
    value: the map; its values must have a JSON form
    is_interval: True if the indicator is a network (`10.0.0.0/8`, `2001:db8::/32`) or a range of addresses or integers
        (`10.0.0.5-10.0.0.9`, `6000-6063`) that `find` searches; see `stellar.stores.intervals`
    """

    family: str
    kind: str
    indicator: str
    value: Mapping[str, Any]
    is_interval: bool = False


class Store(Protocol):
    """Maps by table, column family, type and indicator. Safe to use from many threads and in the child of a fork.

    A missing table, family or type is like an empty one. A row whose time to live is over does not exist. Every method
    raises StoreError if the store is not available, and never returns an empty result instead.
    """

    @property
    def waits(self) -> bool:
        """True if look-ups may wait for a network, so that it is worth to make several at once."""

    def get(self, table: str, family: str, kind: str, indicator: str) -> dict[str, Any] | None:
        """Return the map of an indicator, or None."""

    def get_many(self, table: str, family: str, kind: str, indicators: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Return the maps of indicators, by indicator; missing ones are left out."""

    def find(self, table: str, family: str, kind: str, indicator: str) -> dict[str, Any] | None:
        """Return the map of an indicator, or else of the smallest interval that contains it, or None.

        Of networks, the smallest is the one with the longest prefix. Costs the same as `get` for a type without
        intervals.
        """

    def put_many(self, table: str, rows: Iterable[Row], ttl: float | None = None) -> int:
        """Add rows in one transaction, replacing rows with the same indicator. Return the number of rows.

        ttl: seconds until the rows expire; None for never

        Raises ValueError for a value without a JSON form, and for an interval that is invalid; then nothing is stored.
        """

    def replace(self, table: str, rows: Iterable[Row], ttl: float | None = None, *, others_stay: bool = False) -> int:
        """Replace a table by rows, in one step for readers. Return the number of rows.

        others_stay: True to replace only the types in families that occur among the rows

        Readers see the previous rows until all new ones are stored, however many. If an error occurs, also in the
        iteration of `rows`, the table is unchanged. Raises ValueError as `put_many` does.
        """

    def delete(self, table: str, family: str, kind: str, indicators: Iterable[str]) -> int:
        """Delete rows in one transaction. Return the number of those that existed."""

    def scan(self, table: str, family: str | None = None, kind: str | None = None) -> Iterator[Row]:
        """Yield the rows of a table, or of one family or type, in any order.

        Rows that are stored or deleted in the meantime may or may not be among them.
        """

    def generation(self, table: str | None = None) -> int:
        """Return a number that grows with each change of a table, by which readers notice that it was reloaded.

        None is any table.
        """

    def types(self, table: str) -> set[tuple[str, str]]:
        """Return the families and types that were ever stored in a table, each as a pair.

        Rows of a type may all have been deleted since.
        """

    def close(self) -> None:
        """Close all connections. None of them may be in use. A later call of another method opens new ones."""


_encode_json = make_encoder(ensure_ascii=True)


def encode_value(row: Row) -> str:
    """Return the value of a row as JSON in ASCII. Raises ValueError if it has none, or if the key cannot be stored."""
    if row.value.__class__ is EncodedMap:
        return row.value.text
    return encode_map(row.kind, row.indicator, row.value)


def encode_map(kind: str, indicator: str, value: Mapping[str, Any]) -> str:
    """Return the value of a type and an indicator as JSON; see `encode_value`."""
    if not is_storable(indicator):
        raise ValueError(f"cannot store the indicator {quote(indicator)}: it contains half of a surrogate pair")
    try:
        return _encode_json(value if isinstance(value, dict) else dict(value))
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"cannot store the value of {quote(indicator)} of the type {quote(kind)}: {error}") from error


def batch_rows(rows: Iterable[Row], most: int) -> Iterator[list[Row]]:
    """Yield rows in batches, with their values encoded; large values make smaller batches, to bound the memory.

    most: the number of rows in a batch

    Raises ValueError for a value without a JSON form.
    """
    batch: list[Row] = []
    size = 0
    for row in rows:
        text = encode_value(row)
        batch.append(row if row.value.__class__ is EncodedMap else row._replace(value=EncodedMap(text)))
        size += len(text)
        if len(batch) == most or size >= MAX_BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def is_storable(key: str) -> bool:
    """Return False for a key that UTF-8 cannot encode, so that no row has it."""
    if key.isascii():
        return True
    try:
        key.encode()
    except UnicodeEncodeError:
        return False
    return True


def decode_value(text: str | bytes) -> dict[str, Any]:
    """Return the map of a row. Raises ValueError if it is not a JSON object."""
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError(f"expected a JSON object, got {type(value).__name__}")
    return value
