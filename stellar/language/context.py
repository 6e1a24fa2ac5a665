"""Services that functions get from outside an expression, looked up by type."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from stellar.util.forks import reset_after_fork

if TYPE_CHECKING:
    import logging

T = TypeVar("T")


class GlobalSettings(dict[str, Any]):
    """Metron's global configuration, `global.json`, which holds the settings of functions."""


class FailureReporter(Protocol):
    """Receives failures for which a function returns an ordinary value, as Metron does.

    Without one in the context, a function logs such a failure.
    """

    def report(self, subject: str, error: Exception) -> None:
        """Report a failure; subject is what failed, such as the look-up in a store."""


class _SharedServices:
    """Services created from global settings, shared by all contexts with the same settings."""

    __slots__ = ("__weakref__", "lock", "services")

    def __init__(self) -> None:
        self.services: dict[type[Any], Any] = {}
        self.lock = threading.Lock()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Replace the lock. The services stay: each of them handles forks itself."""
        self.lock = threading.Lock()


class Context:
    """Services by type, such as a model registry or an HTTP client.

        context = Context({Registry: MemoryRegistry()})
        context[Registry]

    A context is passed to each evaluation; there is no global one. `with_services` returns an extended copy.
    """

    __slots__ = ("_services", "_shared")

    def __init__(self, services: dict[type[Any], Any] | None = None) -> None:
        self._services = dict(services or {})
        self._shared = _SharedServices()

    def __repr__(self) -> str:
        kinds = sorted(kind.__name__ for kind in {*self._services, *self._shared.services})
        return f"<Context with {', '.join(kinds) or 'no services'}>"

    def __getitem__(self, kind: type[T]) -> T:
        """Return the service of a type.

        Raises LookupError if the context has no service of this type.
        """
        if kind in self._services:
            return cast(T, self._services[kind])
        if kind in self._shared.services:
            return cast(T, self._shared.services[kind])
        raise LookupError(f"no {kind.__name__} configured; add one to the context")

    def get(self, kind: type[T], default: T | None = None) -> T | None:
        """Return the service of a type, or the default."""
        return cast("T | None", self._services.get(kind, self._shared.services.get(kind, default)))

    def get_or_make(self, kind: type[T], make: Callable[[GlobalSettings], T]) -> T:
        """Return the service of a type; create it from the global settings on first use."""
        if kind not in self:
            with self._shared.lock:
                if kind not in self:
                    self._shared.services[kind] = make(self._services.get(GlobalSettings, GlobalSettings()))
        return self[kind]

    def with_services(self, services: dict[type[Any], Any]) -> Context:
        """Return a context with additional services, which replace services of the same type.

        Both contexts share the services created from the global settings, unless the new one has other settings.
        """
        context = Context({**self._services, **services})
        if GlobalSettings not in services:
            context._shared = self._shared
        return context

    def __contains__(self, kind: type[Any]) -> bool:
        return kind in self._services or kind in self._shared.services


NOTHING = Context()


def report_or_log(context: Context, subject: str, error: Exception, log: logging.Logger) -> None:
    """Report a failure for which a function returns an ordinary value; log it without a reporter in the context.

    subject: what failed, see FailureReporter
    """
    reporter = context.get(FailureReporter)  # type: ignore[type-abstract]
    if reporter is None:
        log.warning("%s", error)
    else:
        reporter.report(subject, error)
