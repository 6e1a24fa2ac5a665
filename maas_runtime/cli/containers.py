"""The directories of this machine's instances, as the local deployer lays them out.

<registry>/containers/<id>/             an instance; see maas_runtime.deployers.local
<registry>/containers/failed/<id>/      one that failed, without the model's files
"""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from maas_runtime.deployers.local import DESCRIPTION, FAILED
from maas_runtime.runner.runner import LOCK
from stellar.maas.registries.directory import is_locked
from stellar.maas.schema import Model

log = logging.getLogger(__name__)

CONTAINERS = "containers"


@dataclass(frozen=True)
class InstanceDirectory:
    """The directory of an instance.

    started: seconds since the epoch
    failed: True for one that has failed
    """

    folder: Path
    model: Model
    started: float
    failed: bool

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def runner_pid(self) -> int | None:
        """The process id of its runner; None if that does not run, or has not started yet."""
        with suppress(FileNotFoundError), (self.folder / LOCK).open("rb", buffering=0) as lock:
            if is_locked(lock) and (text := lock.read(32).strip()).isdigit():
                return int(text)
        return None


def find_instances(registry: Path, name: str | None = None, version: str | None = None) -> list[InstanceDirectory]:
    """Return the instances of this machine, oldest first; those that failed come before the others.

    name, version: only those of a model, or of one of its versions
    """
    containers = registry / CONTAINERS
    found = [*_read_folders(containers / FAILED, failed=True), *_read_folders(containers, failed=False)]
    return [each for each in found if name in (None, each.model.name) and version in (None, each.model.version)]


def _read_folders(folder: Path, *, failed: bool) -> list[InstanceDirectory]:
    found = (_read_folder(file, failed) for file in folder.glob("[!.]*/" + DESCRIPTION))
    return sorted((each for each in found if each is not None), key=lambda each: each.started)


def _read_folder(file: Path, failed: bool) -> InstanceDirectory | None:
    """Return an instance; None if it was removed meanwhile, or, with a warning, if its description is invalid."""
    try:
        fields = json.loads(file.read_bytes())
        return InstanceDirectory(
            file.parent, Model(fields["name"], fields["version"]), float(fields["started"]), failed
        )
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        log.warning("invalid %s, ignored: %r", file, error)
        return None
