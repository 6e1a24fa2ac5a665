"""The request queue in a directory, laid out as in ZooKeeper.

    <directory>/maas/queue/qn-0000000001      a request
    <directory>/maas/ext/notes/n-0000000001   our own data about it; see stellar.maas.requests

The id of an item contains the time at which it was written, as numbers start again when the directory is deleted and
created again.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep, time

from stellar.maas.registries.file_registrar import ASIDE, read_config, resolve_path, write_atomically
from stellar.maas.requests import ITEM_PREFIX, NOTE_PREFIX, Item, Note, encode_note, item_name
from stellar.maas.schema import CONFIG_PATH, ModelRequest

TAKE_SECONDS = 0.1  # between reads of the directory


class FileQueue:
    """A request queue in a directory of this machine. It holds no open files, so it is usable in the child of a fork.

    Raises ValueError for an invalid configuration.
    """

    def __init__(self, directory: str | os.PathLike[str], config_path: str = CONFIG_PATH) -> None:
        self.directory = Path(directory)
        config = read_config(self.directory, config_path)
        self._queue = resolve_path(self.directory, config.queue_path)
        self._notes = resolve_path(self.directory, f"{config.ext_root}/notes")

    def enqueue(self, request: ModelRequest, note: Note | None = None) -> str:
        return self.put(request.to_json(), None if note is None else encode_note(note))

    def put(self, data: bytes, note: bytes | None = None) -> str:
        """Add arbitrary bytes at the end of the queue, as another program might."""
        with self._counter() as number:
            name = item_name(number)
            self._note_of(name).unlink(missing_ok=True)  # of an item with this number in an earlier queue
            if note is not None:  # before the item, which may be taken at once
                write_atomically(self.directory, self._note_of(name), note).close()
            write_atomically(self.directory, self._queue / name, data).close()
            return name

    def items(self) -> list[Item]:
        return [item for file in self._files() if (item := self._read(file))]

    def wait(self, seconds: float) -> None:
        deadline = monotonic() + seconds
        while not self._files() and (left := deadline - monotonic()) > 0:
            sleep(min(TAKE_SECONDS, left))

    def remove_old_notes(self, seconds: float) -> None:
        waiting = {self._note_of(file.name) for file in self._files()}
        for note in self._notes.glob(f"{NOTE_PREFIX}*"):
            with suppress(FileNotFoundError):
                if note not in waiting and time() - note.stat().st_mtime > seconds:
                    note.unlink()

    def take(self, seconds: float) -> Item | None:
        deadline = monotonic() + seconds
        while (item := self._take_first()) is None and monotonic() < deadline:
            sleep(min(TAKE_SECONDS, max(0.0, deadline - monotonic())))
        return item

    def _take_first(self) -> Item | None:
        for item in self.items():
            with suppress(FileNotFoundError):  # another consumer was faster
                (self._queue / item.name).unlink()  # the claim; numbers are never reused, so it can't hit a later item
                item.discard()
                return item
        return None

    def _read(self, file: Path) -> Item | None:
        """Return the item in a file; None if it was taken."""
        try:
            with file.open("rb") as handle:
                data, written = handle.read(), os.fstat(handle.fileno()).st_mtime_ns
        except FileNotFoundError:
            return None
        note_file, note = self._note_of(file.name), None
        with suppress(FileNotFoundError):
            note = note_file.read_bytes()
        return Item(file.name, data, f"{written}-{file.name}", note, discard=lambda: _remove(file, note_file))

    def _note_of(self, name: str) -> Path:
        return self._notes / f"{NOTE_PREFIX}{name.removeprefix(ITEM_PREFIX)}"

    def _files(self) -> list[Path]:
        try:
            return sorted(file for file in self._queue.iterdir() if file.name.startswith(ITEM_PREFIX))
        except FileNotFoundError:
            return []

    @contextmanager
    def _counter(self) -> Iterator[int]:
        """Lock the counter and yield the next number, which is used up afterwards."""
        aside = self.directory / ASIDE
        for folder in (self.directory, aside):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(aside / "next-request", os.O_RDWR | os.O_CREAT, 0o600), "r+b", buffering=0) as counter:
            fcntl.flock(counter, fcntl.LOCK_EX)
            existing = (file.name.removeprefix(ITEM_PREFIX) for file in self._files())
            number = max([int(counter.read() or b"0"), *(int(digits) + 1 for digits in existing if digits.isdecimal())])
            try:
                yield number
                os.pwrite(counter.fileno(), b"%010d" % (number + 1), 0)  # in one write: a crash can't lose the count
            finally:
                fcntl.flock(
                    counter, fcntl.LOCK_UN
                )  # closing alone would not unlock it while the child of a fork has inherited it


def _remove(*files: Path) -> None:
    for file in files:
        file.unlink(missing_ok=True)
