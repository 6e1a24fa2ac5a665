"""Reports of clients in a directory: files that their clients hold locked, as registrations are."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from stellar.maas.registries.file_registrar import is_locked, write_atomically
from stellar.maas.reports import MAX_BYTES, ClientReport, ReportParser
from stellar.maas.schema import validate_name
from stellar.util.forks import reset_after_fork

log = logging.getLogger(__name__)


class FileReports:
    """The reports in a directory.

    directory: of the registry
    root: directory of the reports, which need not exist
    """

    def __init__(self, directory: Path, root: Path) -> None:
        self._directory, self._root = directory, root
        self._locked: set[BinaryIO] = set()
        self._own: dict[str, tuple[ClientReport, BinaryIO]] = {}
        self._parser = ReportParser()
        self._denied: set[str] = set()
        self._lock = threading.Lock()
        reset_after_fork(self)

    def after_fork(self) -> None:
        self._lock = threading.Lock()
        for handle in self._locked:
            handle.close()  # does not release the parent's lock; unlocking would
        self._locked, self._own = set(), {}

    def publish(self, client: str, report: ClientReport) -> None:
        file = self._root / validate_name(client, "client")
        with self._lock:
            published, before = self._own.get(client, (None, None))
            if published == report and file.exists():
                return
            self._own[client] = report, write_atomically(self._directory, file, report.to_json(), locked=self._locked)
            self._release(before)

    def withdraw(self, client: str) -> None:
        with self._lock:
            if client in self._own:
                (self._root / client).unlink(missing_ok=True)
                self._release(self._own.pop(client)[1])

    def read(self) -> Mapping[str, ClientReport]:
        try:
            with os.scandir(self._root) as entries:
                files = [entry.path for entry in entries if entry.is_file(follow_symlinks=False)]
        except FileNotFoundError:
            files = []
        found = {os.path.basename(file): (file, data) for file in files if (data := self._read(file)) is not None}
        return self._parser.parse(found)

    def close(self) -> None:
        """Remove the reports of this process."""
        for client in list(self._own):
            self.withdraw(client)

    def _read(self, file: str) -> bytes | None:
        """Return the data of a report; None if it cannot be read, or its client is dead: then it is removed."""
        try:
            with open(file, "rb", buffering=0) as handle:
                if is_locked(handle):
                    return handle.read(MAX_BYTES + 1)
                if os.stat(file).st_ino != os.fstat(handle.fileno()).st_ino:
                    return self._read(file)  # its client has just replaced it
            os.unlink(file)
        except FileNotFoundError:
            pass
        except OSError as error:
            if file not in self._denied:
                self._denied.add(file)
                log.warning("can't read %s, which is ignored: %s", file, error)
        return None

    def _release(self, handle: BinaryIO | None) -> None:
        if handle is not None:
            self._locked.discard(handle)
            handle.close()
