"""The life cycle of an instance that an agent started on this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping


class AssignedLifecycle:
    """The life cycle of an instance that an agent started: it ends when the desired state does not include it.

    read: returns the stored assignment, or None if it is missing, which ends nothing
    epoch: of the desired state for which the instance was started

    The agent ends the instances of its host itself, so while it runs there is no need to hurry.
    """

    interval = 30.0

    def __init__(self, read: Callable[[], Mapping[str, object] | None], epoch: int) -> None:
        self._read, self._epoch = read, epoch

    def is_desired(self) -> bool:
        ending = (self._read() or {}).get("ending")
        return not (type(ending) is int and ending > self._epoch)

    def may_stop(self) -> bool:
        return True
