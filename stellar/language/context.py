"""What functions may need from outside an expression, found by its type."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar, cast

from stellar.util.forks import reset_after_fork

T = TypeVar("T")


class GlobalSettings(dict[str, Any]):
    """Metron's global configuration, `global.json`, where functions find their settings."""


class _Made:
    """Services that were made of global settings, for all contexts with the same settings."""

    __slots__ = ("__weakref__", "lock", "services")

    def __init__(self) -> None:
        self.services: dict[type[Any], Any] = {}
        self.lock = threading.Lock()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Replace the lock. What was made is used on: each service does for itself what a fork needs."""
        self.lock = threading.Lock()


class Context:
    """Services that functions ask for by type, such as a model registry or an HTTP client.

        context = Context({Registry: MemoryRegistry()})
        context[Registry]

    A context is handed to each evaluation; nothing is global. `with_services` makes another with more.
    """

    __slots__ = ("_made", "_services")

    def __init__(self, services: dict[type[Any], Any] | None = None) -> None:
        self._services = dict(services or {})
        self._made = _Made()

    def __getitem__(self, kind: type[T]) -> T:
        """The service of that type.

        Raises LookupError, naming what is missing, when the caller gave none.
        """
        if kind in self._services:
            return cast(T, self._services[kind])
        if kind in self._made.services:
            return cast(T, self._made.services[kind])
        raise LookupError(f"this needs a {kind.__name__}, and the context has none")

    def get(self, kind: type[T], default: T | None = None) -> T | None:
        """The service of that type, or the default."""
        return cast("T | None", self._services.get(kind, self._made.services.get(kind, default)))

    def get_or_make(self, kind: type[T], make: Callable[[GlobalSettings], T]) -> T:
        """The service of that type; if there is none, one made of the global settings, which is kept."""
        if kind not in self:
            with self._made.lock:
                if kind not in self:
                    self._made.services[kind] = make(self._services.get(GlobalSettings, GlobalSettings()))
        return self[kind]

    def with_services(self, services: dict[type[Any], Any]) -> Context:
        """A context that has these services as well; they go before those of the same type.

        What was made of the global settings belongs to both, unless the new one has other settings.
        """
        context = Context({**self._services, **services})
        if GlobalSettings not in services:
            context._made = self._made
        return context

    def __contains__(self, kind: type[Any]) -> bool:
        return kind in self._services or kind in self._made.services


NOTHING = Context()
