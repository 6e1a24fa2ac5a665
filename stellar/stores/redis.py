"""A store in a server with the protocol of Redis, such as Redis or Valkey, for several workers. Requires the extra
`redis`.

Keys begin with `stellar:{TABLE}:`, so that all of a table belong to one server. TABLE is the name in JSON.

    …live               the epoch of the table that readers see
    …epochs             the last epoch that was given out
    …generation         grows with each change
    …EPOCH:row:KEY      a row: the flag of an interval, when it expires, and the map in JSON. KEY is the family, type
                        and indicator, as a list in JSON
    …EPOCH:sizes:TYPE   the lengths of blocks that occur, as a set; see stellar.stores.intervals
    …EPOCH:block:TYPE:B the intervals in a block, as a hash from indicator to width

Readers and writers address an epoch inside a script or a transaction, so that they see one version of a table.
`replace` writes the new rows under an epoch of their own, and makes it the live one in one step.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

from stellar.stores.base import Row, StoreError, batch_rows, decode_value, encode_value, is_storable
from stellar.stores.intervals import find_blocks, read_interval
from stellar.util.optional_imports import import_optional

BATCH = 2_000  # commands per request of `replace`
TIMEOUT_SECONDS = 2.0
_ALL = "stellar:generation"
_COPIES = 20  # attempts to copy the rows that stay, while other processes change the table

# KEYS: live. ARGV: prefix, sizes, then rows. Returns the sizes of blocks if there is one row and it does not exist
_GET = """
local at = ARGV[1] .. (redis.call('GET', KEYS[1]) or '0')
local values = {}
for i = 3, #ARGV do values[i - 2] = redis.call('GET', at .. ARGV[i]) end
if #ARGV == 3 and ARGV[2] ~= '' then return {values[1], redis.call('SMEMBERS', at .. ARGV[2])} end
return values
"""
# KEYS: live. ARGV: prefix, now, blocks, row prefixes by block. Returns the row of the smallest interval
_FIND = """
local at = ARGV[1] .. (redis.call('GET', KEYS[1]) or '0')
local now, best, least = tonumber(ARGV[2]), false, nil
for i = 3, #ARGV, 1 do
  local block = redis.call('HGETALL', at .. ARGV[i])
  for j = 1, #block, 2 do
    local order = block[j + 1]
    local row = redis.call('GET', at .. ':row:' .. block[j])
    if not row then redis.call('HDEL', at .. ARGV[i], block[j])
    else
      local flag, expires = string.match(row, '^(%d):(%d*):')
      if flag == '1' and (expires == '' or tonumber(expires) > now) and (least == nil or order < least) then
        best, least = row, order
      end
    end
  end
end
return best
"""
# KEYS: live, generation, all, types. ARGV: epoch, the expected generation or '', then the types of the new rows.
# Returns 1 if the epoch is the live one now, 0 if a later one is, and 2 if the generation is another one
_FLIP = """
if tonumber(ARGV[1]) <= tonumber(redis.call('GET', KEYS[1]) or '0') then return 0 end
if ARGV[2] ~= '' and ARGV[2] ~= (redis.call('GET', KEYS[2]) or '0') then return 2 end
redis.call('SET', KEYS[1], ARGV[1])
redis.call('INCR', KEYS[2])
redis.call('INCR', KEYS[3])
for i = 3, #ARGV do redis.call('SADD', KEYS[4], ARGV[i]) end
return 1
"""


class RedisStore:
    """A store in a server with the protocol of Redis, see Store.

    url: `redis://[user:password@]host[:port][/database]`, or `rediss://…` for TLS
    clock: returns the time in seconds since 1970
    """

    waits = True

    def __init__(self, url: str, clock: Callable[[], float] = time.time) -> None:
        self._redis: Any = import_optional("redis", "redis")
        parts = urlsplit(url)
        self.address = f"{parts.scheme}://{parts.hostname}:{parts.port or 6379}{parts.path}"  # without the password
        self._clock = clock
        try:
            self._client = self._redis.Redis.from_url(
                url,
                decode_responses=True,
                socket_timeout=TIMEOUT_SECONDS,
                socket_connect_timeout=TIMEOUT_SECONDS,
                health_check_interval=30,
            )
        except ValueError as error:
            raise LookupError(f"invalid address of an enrichment store {self.address}: {error}") from error
        self._get_script, self._find_script, self._flip_script = map(self._client.register_script, (_GET, _FIND, _FLIP))

    def get(self, table: str, family: str, kind: str, indicator: str) -> dict[str, Any] | None:
        """See Store."""
        if not all(map(is_storable, (table, family, kind, indicator))):
            return None
        with self._errors():
            key = _name_row(family, kind, indicator)
            return self._decode(self._get_script([_name(table, "live")], [_name(table, ""), "", key])[0])

    def get_many(self, table: str, family: str, kind: str, indicators: Iterable[str]) -> dict[str, dict[str, Any]]:
        """See Store."""
        known = [each for each in indicators if all(map(is_storable, (table, family, kind, each)))]
        if not known:
            return {}
        rows = [_name_row(family, kind, each) for each in known]
        with self._errors():
            values = self._get_script([_name(table, "live")], [_name(table, ""), "", *rows])
            found = zip(known, map(self._decode, values), strict=False)  # Lua cuts missing rows off at the end
            return {indicator: value for indicator, value in found if value is not None}

    def find(self, table: str, family: str, kind: str, indicator: str) -> dict[str, Any] | None:
        """See Store."""
        if not all(map(is_storable, (table, family, kind, indicator))):
            return None
        at, live, of_type = _name(table, ""), [_name(table, "live")], _encode_type(family, kind)
        with self._errors():
            row, sizes = self._get_script(live, [at, f":sizes:{of_type}", _name_row(family, kind, indicator)])
            if (value := self._decode(row)) is not None or not sizes:
                return value
            lengths = [
                (int(family_of), int(length)) for family_of, _, length in (size.partition("/") for size in sizes)
            ]
            blocks = [f":block:{of_type}:{block.hex()}" for block in find_blocks(indicator, lengths)]
            return self._decode(self._find_script(live, [at, self._now(), *blocks])) if blocks else None

    def _decode(self, row: str | None) -> dict[str, Any] | None:
        if row is None:
            return None
        _, expires, value = row.split(":", 2)
        return decode_value(value) if not expires or int(expires) > self._now() else None

    def scan(self, table: str, family: str | None = None, kind: str | None = None) -> Iterator[Row]:
        """See Store."""
        with self._errors():
            start = f"{_name(table, '')}{self._read_epoch(table)}:row:"
            found = self._client.scan_iter(match=f"{_escape(start)}*", count=BATCH)
            seen: set[str] = set()  # SCAN may return a key more than once
            keys = (key for key in found if key not in seen and not seen.add(key))  # type: ignore[func-returns-value]
            while batch := list(islice(keys, BATCH)):
                for key, row in zip(batch, self._client.mget(batch), strict=True):
                    family_of, kind_of, indicator = json.loads(key.removeprefix(start))
                    if (
                        family in (None, family_of)
                        and kind in (None, kind_of)
                        and (value := self._decode(row)) is not None
                    ):
                        yield Row(family_of, kind_of, indicator, value, row[0] == "1")

    def generation(self, table: str | None = None) -> int:
        """See Store."""
        with self._errors():
            return int(self._client.get(_ALL if table is None else _name(table, "generation")) or 0)

    def types(self, table: str) -> set[tuple[str, str]]:
        """See Store."""
        with self._errors():
            found = self._client.smembers(_name(table, "types"))
            return {(family, kind) for family, kind in map(json.loads, found)}

    # -- Writing ------------------------------------------------------------------------------------------------------

    def put_many(self, table: str, rows: Iterable[Row], ttl: float | None = None) -> int:
        """See Store."""
        rows = list(rows)
        commands = [self._encode(row, ttl) for row in rows]

        def write(pipe: Any) -> None:
            epoch = pipe.get(_name(table, "live")) or 0
            pipe.multi()
            for command in commands:
                command(pipe, f"{_name(table, '')}{epoch}")
            _add_types(pipe, table, rows)
            _count_change(pipe, table)

        with self._errors():
            self._client.transaction(write, _name(table, "live"))
        return len(commands)

    def _encode(self, row: Row, ttl: float | None) -> Callable[[Any, str], None]:
        """Return a function that adds the commands to store a row to a pipeline."""
        expires = None if ttl is None else self._now() + int(ttl * 1000)
        value = f"{int(row.is_interval)}:{'' if expires is None else expires}:{encode_value(row)}"
        interval = read_interval(row.indicator) if row.is_interval else None
        key, of_type = _encode(row.family, row.kind, row.indicator), _encode_type(row.family, row.kind)

        def add(pipe: Any, at: str) -> None:
            pipe.set(f"{at}:row:{key}", value, pxat=expires)
            for length, block in interval.blocks() if interval is not None else ():
                pipe.sadd(f"{at}:sizes:{of_type}", f"{interval.family}/{length}")  # type: ignore[union-attr]
                pipe.hset(f"{at}:block:{of_type}:{block.hex()}", key, f"{interval.width:032x}")  # type: ignore[union-attr]

        return add

    def replace(self, table: str, rows: Iterable[Row], ttl: float | None = None, *, others_stay: bool = False) -> int:
        """See Store.

        Raises StoreError if another replacement of the table, which began later, was completed first.
        """
        with self._errors():
            epoch = self._client.incr(_name(table, "epochs"))
        types: set[str] = set()
        try:
            count = self._stage(table, epoch, _note_types(rows, types), ttl)
            with self._errors():
                self._make_live(table, epoch, types, others_stay)
        except BaseException:
            self._delete_epochs(table, lambda each: each == epoch)
            raise
        self._delete_epochs(table, lambda each: each < epoch)
        return count

    def _make_live(self, table: str, epoch: int, types: set[str], others_stay: bool) -> None:
        """Make an epoch with rows of these types the live one. If others stay, rows of other types are copied to it."""
        keys = [_name(table, "live"), _name(table, "generation"), _ALL, _name(table, "types")]
        names = [f"{each}]" for each in sorted(types)]
        for _ in range(_COPIES):
            before = self.generation(table)
            if others_stay:
                self._copy_others(table, epoch, types)
            flipped = self._flip_script(keys, [epoch, before if others_stay else "", *names])
            if flipped == 1:
                return
            if flipped == 0:
                raise StoreError(f"{self.address}: another process has replaced {table} in the meantime")
        raise StoreError(f"{self.address}: {table} is changed too often by other processes; stop them, and try again")

    def _copy_others(self, table: str, epoch: int, replaced: set[str]) -> None:
        """Copy the rows and blocks of all types but these from the live epoch, with their times to live."""
        live, staged = (f"{_name(table, '')}{each}" for each in (self._read_epoch(table), epoch))
        copied = self._find_others(staged, replaced)  # by an earlier attempt
        while batch := list(islice(copied, BATCH)):
            self._client.unlink(*(f"{staged}{rest}" for rest in batch))
        others = self._find_others(live, replaced)
        while batch := list(islice(others, BATCH)):
            pipe = self._client.pipeline(transaction=False)
            for rest in batch:
                pipe.copy(f"{live}{rest}", f"{staged}{rest}", replace=True)
            pipe.execute()

    def _find_others(self, start: str, replaced: set[str]) -> Iterator[str]:
        """Yield the rests of the keys of an epoch that do not belong to these types."""
        for key in self._client.scan_iter(match=f"{_escape(start)}:*", count=BATCH):
            rest = key.removeprefix(start)
            if not any(_is_of_type(rest, each) for each in replaced):
                yield rest

    def _stage(self, table: str, epoch: int, rows: Iterable[Row], ttl: float | None) -> int:
        count, at = 0, f"{_name(table, '')}{epoch}"
        for batch in batch_rows(rows, BATCH):
            commands = [self._encode(row, ttl) for row in batch]
            with self._errors():
                pipe = self._client.pipeline(transaction=False)
                for command in commands:
                    command(pipe, at)
                pipe.execute()
            count += len(batch)
        return count

    def _delete_epochs(self, table: str, is_dead: Callable[[int], bool]) -> None:
        start = _name(table, "")
        with self._errors():
            keys = self._client.scan_iter(match=f"{_escape(start)}*", count=BATCH)
            epochs = ((key, key.removeprefix(start).partition(":")[0]) for key in keys)
            dead = (key for key, epoch in epochs if epoch.isdigit() and is_dead(int(epoch)))
            while batch := list(islice(dead, BATCH)):
                self._client.unlink(*batch)

    def delete(self, table: str, family: str, kind: str, indicators: Iterable[str]) -> int:
        """See Store."""
        keys = [_encode(family, kind, each) for each in indicators if is_storable(each)]

        def remove(pipe: Any) -> None:
            at = f"{_name(table, '')}{pipe.get(_name(table, 'live')) or 0}"
            pipe.multi()
            pipe.delete(*(f"{at}:row:{key}" for key in keys or [""]))  # their blocks are removed by the next look-up
            _count_change(pipe, table)

        with self._errors():
            return int(self._client.transaction(remove, _name(table, "live"))[0])

    def _read_epoch(self, table: str) -> int:
        return int(self._client.get(_name(table, "live")) or 0)

    def close(self) -> None:
        """See Store."""
        self._client.close()

    def _now(self) -> int:
        return int(self._clock() * 1000)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Raise StoreError for errors of the server and of the connection, and for values that are not readable."""
        try:
            yield
        except (self._redis.RedisError, OSError) as error:
            raise StoreError(f"{self.address}: {error}") from error
        except ValueError as error:
            raise StoreError(f"{self.address}: unreadable value: {error}") from error


@lru_cache(1024)
def _name(table: str, name: str) -> str:
    return f"stellar:{{{json.dumps(table)}}}:{name}"


@lru_cache(1024)
def _encode_type(family: str, kind: str) -> str:
    return f"[{json.dumps(family)},{json.dumps(kind)}"  # of a list that ends with the indicator, if there is one


def _encode(family: str, kind: str, indicator: str) -> str:
    return f"{_encode_type(family, kind)},{json.dumps(indicator)}]"


def _is_of_type(rest: str, of_type: str) -> bool:
    """Return True if a key, given without the name of its table and its epoch, belongs to a type."""
    name = rest.partition(":")[2].partition(":")[2]
    return name == of_type or name.startswith((f"{of_type},", f"{of_type}:"))


def _note_types(rows: Iterable[Row], types: set[str]) -> Iterator[Row]:
    """Yield rows, and add their types to a set."""
    for row in rows:
        types.add(_encode_type(row.family, row.kind))
        yield row


def _name_row(family: str, kind: str, indicator: str) -> str:
    return f":row:{_encode(family, kind, indicator)}"


def _escape(text: str) -> str:
    """Return a pattern of the command SCAN that matches the string only."""
    return "".join(f"\\{each}" if each in "*?[]\\^-" else each for each in text)


def _add_types(pipe: Any, table: str, rows: Iterable[Row]) -> None:
    if types := {f"{_encode_type(row.family, row.kind)}]" for row in rows}:
        pipe.sadd(_name(table, "types"), *types)


def _count_change(pipe: Any, table: str) -> None:
    pipe.incr(_name(table, "generation"))
    pipe.incr(_ALL)
