"""The settings of REST calls: those of a call before those of its kind before the common ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

from stellar.conversions import to_boolean, to_integer
from stellar.runtime import described

if TYPE_CHECKING:
    from stellar.functions._servers import Servers

T = TypeVar("T")

COMMON_KEY = "stellar.rest.settings"
CALL = "config"
# The hosts that a record may name are not for a record to say
_GLOBAL_ALONE = "hosts.allowed"


@dataclass(frozen=True, slots=True)
class RestSettings:
    """How a service is called. The names are Metron's, with dots for underscores; times are in milliseconds.

    hosts_allowed: what an address that a record brings may name: hosts, `*.example.com` for all within a domain, each
        with a port behind it if that is to be the only one, or `*` for any
    ca_path: a file of the certificates to trust, in place of the system's
    """

    basic_auth_user: str | None = None
    basic_auth_password_path: str | None = None
    proxy_host: str | None = None
    proxy_port: int | None = None
    proxy_basic_auth_user: str | None = None
    proxy_basic_auth_password_path: str | None = None
    timeout: int = 1000
    connect_timeout: int | None = None
    connection_request_timeout: int | None = None
    socket_timeout: int | None = None
    response_codes_allowed: tuple[int, ...] = (200,)
    empty_content_override: Any = None
    error_value_override: Any = None
    verify_content_length: bool = False
    enforce_json: bool = True
    hosts_allowed: tuple[Servers, ...] = ()
    ca_path: str | None = None

    @classmethod
    def of(cls, settings: Mapping[str, Any], kind: str, call: Mapping[Any, Any] | None) -> RestSettings:
        """The settings of a call.

        settings: the global configuration
        kind: its key for calls of this kind

        Raises LookupError for a setting that there is not, or that can't be what is given.
        """
        common = cls()._with(settings.get(COMMON_KEY), COMMON_KEY)
        return common._with(settings.get(kind), kind)._with(call, CALL)

    def _with(self, given: object, where: str) -> RestSettings:
        if given is None:
            return self
        if not isinstance(given, Mapping):
            raise LookupError(f"{where} is a map of settings, not {described(given)}")
        return replace(self, **dict(_read(key, value, where) for key, value in given.items()))

    def seconds(self, milliseconds: int | None) -> float:
        """A time of its own, or that of the whole call; never more than that."""
        return min(milliseconds or self.timeout, self.timeout) / 1000  # 0 is no limit of its own


def whole(key: str, value: object) -> int:
    """A setting that is a whole number, not negative. Raises LookupError if it is something else."""
    number = to_integer(value)
    if number is None or number < 0:
        raise LookupError(f"{key} is a whole number from 0 up, not {described(value)}")
    return number


def _text(key: str, value: object) -> str:
    if not isinstance(value, str):
        raise LookupError(f"{key} is a text, not {described(value)}")
    return value


def _boolean(key: str, value: object) -> bool:
    truth = to_boolean(value)
    if truth is None:
        raise LookupError(f"{key} is true or false, not {described(value)}")
    return truth


def _servers(key: str, value: object) -> Servers:
    from stellar.functions._servers import servers

    try:
        return servers(_text(key, value))
    except ValueError as error:
        raise LookupError(
            f"{key} names hosts, such as example.com, *.example.com or [::1]:8080, not {value}"
        ) from error


def _several(read: Callable[[str, object], T]) -> Callable[[str, object], tuple[T, ...]]:
    return lambda key, value: tuple(read(key, item) for item in (value if isinstance(value, list) else [value]))


# By the type of a setting
_READERS: dict[str, Callable[[str, object], Any]] = {
    "str | None": _text,
    "int": whole,
    "int | None": whole,
    "bool": _boolean,
    "tuple[int, ...]": _several(whole),
    "tuple[Servers, ...]": _several(_servers),
    "Any": lambda _, value: value,
}
_SETTINGS = {field.name.replace("_", "."): field for field in fields(RestSettings)}


def _read(key: object, value: object, where: str) -> tuple[str, Any]:
    """The field that a setting is, and its value; null is the default."""
    if not isinstance(key, str) or key not in _SETTINGS:
        raise LookupError(f"{where} has {key}, which is no setting of REST calls; there are {', '.join(_SETTINGS)}")
    if key == _GLOBAL_ALONE and where == CALL:
        raise LookupError(f"{key} stands in the global configuration, under {COMMON_KEY}, and not in a call's config")
    field = _SETTINGS[key]
    return field.name, field.default if value is None else _READERS[str(field.type)](key, value)
