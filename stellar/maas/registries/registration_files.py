"""The registrations in a registry directory; those of dead owners are removed."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from stellar.maas.registries.extensions import parse_settings
from stellar.maas.registries.file_registrar import is_locked
from stellar.maas.registries.file_tree import CachedFile, FileTree, Names, Stamp
from stellar.maas.schema import ServiceInstance
from stellar.maas.snapshots import NO_SETTINGS, Registration, Settings

log = logging.getLogger(__name__)


class RegistrationFiles(FileTree[Registration]):
    """The files of all registrations; those of dead owners are removed.

    settings: the directory of the instances' settings
    """

    def __init__(self, root: Path, settings: Path) -> None:
        super().__init__(root, 2, self._parse_registration)
        self._settings = settings
        self._abandoned: set[Names] = set()  # removed registrations whose settings were still locked

    def read(self, *below: str) -> Mapping[Names, Registration | None]:
        self._remove_abandoned_settings()
        return super().read(*below)

    def update(self, paths: Iterable[Names]) -> set[Names]:
        self._remove_abandoned_settings()
        return super().update(paths)

    def _read(self, names: Names, file: str) -> CachedFile[Registration] | None:
        known = self._entries.get(names)
        try:
            if known and not _has_owner(known) and known.stamp == Stamp.of(os.stat(file)):
                return known
            with open(file, "rb", buffering=0) as handle:
                stamp = Stamp.of(os.fstat(handle.fileno()))
                if known is None or known.stamp != stamp:
                    known = CachedFile(stamp, self._parse(file, handle.read()))
                if not _has_owner(known) or is_locked(handle):
                    self._abandoned.discard(names)
                    return known
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if known is None:
                log.warning("can't read %s, which is ignored: %s", file, error)
            return known or CachedFile(Stamp(), None)
        return self._remove_abandoned(names, file, stamp)

    def _deny(self, path: str, error: PermissionError) -> None:
        raise error  # without its registrations a registry is unusable

    def _remove_abandoned(self, names: Names, file: str, stamp: Stamp) -> CachedFile[Registration] | None:
        """Remove a registration whose owner is dead, unless it was just registered again."""
        with suppress(OSError):  # without the permission to remove it, it is ignored
            if os.stat(file).st_ino != stamp.inode:
                return self._read(names, file)
            os.unlink(file)
            log.info("removed %s: its owner has exited", file)
            self._abandoned.add(names)
            self._remove_abandoned_settings()
        return None

    def _remove_abandoned_settings(self) -> None:
        """Remove the settings of removed registrations, unless they are locked.

        Then they belong to a new owner, or the system has not closed all files of the dead one yet.
        """
        for names in list(self._abandoned):
            file = self._settings.joinpath(*names)
            with suppress(OSError), file.open("rb", buffering=0) as handle:  # not there, or no permission
                if is_locked(handle):
                    continue
                file.unlink()
            self._abandoned.discard(names)

    def _parse_registration(self, file: str, data: bytes) -> Registration | None:
        try:
            instance = ServiceInstance.from_json(data)
        except ValueError as error:
            log.warning("invalid registration %s is ignored: %s", file, error)
            return None
        # Read after the registration, because its owner writes the settings first
        return Registration(instance, self._read_settings(self._settings / os.path.relpath(file, self.root)))

    def _read_settings(self, file: Path) -> Settings:
        try:
            return parse_settings(str(file), file.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return NO_SETTINGS
        except OSError as error:
            log.warning("can't read %s; the instance has no settings: %s", file, error)
            return NO_SETTINGS


def _has_owner(entry: CachedFile[Registration]) -> bool:
    return entry.value is not None and not entry.value.instance.lasting
