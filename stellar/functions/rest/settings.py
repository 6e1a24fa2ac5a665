"""The settings of REST calls: those of a call before those of its kind before the common ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from typing import Any, TypeVar

from stellar.language.conversions import to_boolean, to_integer
from stellar.language.runtime import described
from stellar.net.allowed_hosts import AllowedHosts
from stellar.util.suggestions import known_names

T = TypeVar("T")

_PREFIX = "stellar.rest."
COMMON_KEY, GET_KEY, POST_KEY = "stellar.rest.settings", "stellar.rest.get.settings", "stellar.rest.post.settings"
CALL = "config"
NO_HOSTS = AllowedHosts()
# The hosts that a record may name are not for a record to say
_GLOBAL_ALONE = "hosts.allowed"


@dataclass(frozen=True, slots=True)
class RestSettings:
    """How a service is called. The names are Metron's, with dots for underscores; times are in milliseconds.

    hosts_allowed: the hosts that the URL of a record may name, see `stellar.net.allowed_hosts`; none by default
    ca_path: a file with the authorities to trust; by default those of the system
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
    hosts_allowed: AllowedHosts = NO_HOSTS
    ca_path: str | None = None

    @classmethod
    def of(cls, settings: Mapping[str, Any], kind: str, call: Mapping[Any, Any] | None) -> RestSettings:
        """Return the settings of a call.

        settings: the global configuration
        kind: its key for calls of this kind

        Raises LookupError for a setting that is unknown or has an invalid value.
        """
        common = cls()._with(settings.get(COMMON_KEY), COMMON_KEY)
        return common._with(settings.get(kind), kind)._with(call, CALL)

    def _with(self, given: object, where: str) -> RestSettings:
        if given is None:
            return self
        if not isinstance(given, Mapping):
            raise LookupError(f"invalid {where}: expected a map of settings, got {described(given)}")
        return replace(self, **dict(_read(key, value, where) for key, value in given.items()))

    def seconds(self, milliseconds: int | None) -> float:
        """A time of its own, or that of the whole call; never more than that."""
        return min(milliseconds or self.timeout, self.timeout) / 1000  # 0 is no limit of its own


def check_global(settings: Mapping[str, Any]) -> None:
    """Raise LookupError if the global configuration has a setting of REST calls that is unknown or invalid."""
    for key in settings:
        if key not in GLOBAL_KEYS and key.startswith(_PREFIX) and (near := get_close_matches(key, GLOBAL_KEYS, n=1)):
            raise LookupError(f"unknown setting {key}; did you mean {near[0]}?")
    RestSettings.of(settings, GET_KEY, None)
    RestSettings.of(settings, POST_KEY, None)
    limits(settings)


def limits(settings: Mapping[str, Any]) -> tuple[int, int]:
    """Return how many calls may be under way, altogether and to one server.

    Raises LookupError if one of them is invalid.
    """
    total, each = (_integer(key, settings.get(key, default)) for key, default in _POOLING.items())
    return total, each


_POOLING = {"pooling.max.total": 100, "pooling.default.max.per.route": 20}
GLOBAL_KEYS = frozenset({COMMON_KEY, GET_KEY, POST_KEY, *_POOLING})

_DAY = 86_400_000
# The least and the greatest value of a number, and what it is
_RANGES = {
    "timeout": (1, _DAY, "milliseconds"),
    "connect.timeout": (0, _DAY, "milliseconds"),
    "connection.request.timeout": (0, _DAY, "milliseconds"),
    "socket.timeout": (0, _DAY, "milliseconds"),
    "proxy.port": (1, 65_535, "a port"),
    "response.codes.allowed": (100, 599, "a status"),
    **dict.fromkeys(_POOLING, (1, 1000000, "a number of calls")),
}


def _integer(key: str, value: object) -> int:
    least, greatest, meaning = _RANGES[key]
    number = None if isinstance(value, bool) else to_integer(value)
    if number is None or not least <= number <= greatest:
        raise LookupError(f"invalid {key}: expected {meaning} from {least} to {greatest}, got {described(value)}")
    return number


def _string(key: str, value: object) -> str:
    if not isinstance(value, str):
        raise LookupError(f"invalid {key}: expected a text, got {described(value)}")
    return value


def _boolean(key: str, value: object) -> bool:
    truth = to_boolean(value)
    if truth is None:
        raise LookupError(f"invalid {key}: expected true or false, got {described(value)}")
    return truth


def _allowed_hosts(key: str, value: object) -> AllowedHosts:
    entries = value if isinstance(value, list) else [value]
    try:
        return AllowedHosts.of([_string(key, entry) for entry in entries])
    except ValueError as error:
        raise LookupError(f"invalid {key}: {error}") from error


def _several(read: Callable[[str, object], T]) -> Callable[[str, object], tuple[T, ...]]:
    return lambda key, value: tuple(read(key, item) for item in (value if isinstance(value, list) else [value]))


# By the type of a setting
_READERS: dict[str, Callable[[str, object], Any]] = {
    "str | None": _string,
    "int": _integer,
    "int | None": _integer,
    "bool": _boolean,
    "tuple[int, ...]": _several(_integer),
    "AllowedHosts": _allowed_hosts,
    "Any": lambda _, value: value,
}
_SETTINGS = {field.name.replace("_", "."): field for field in fields(RestSettings)}


def _read(key: object, value: object, where: str) -> tuple[str, Any]:
    """Return the field that a setting is, and its value; null is the default."""
    if not isinstance(key, str) or key not in _SETTINGS:
        raise LookupError(f"unknown setting {key} in {where}; {known_names(str(key), _SETTINGS)}")
    if key == _GLOBAL_ALONE and where == CALL:
        raise LookupError(f"{key} stands in the global configuration, under {COMMON_KEY}, and not in a call's config")
    field = _SETTINGS[key]
    try:
        return field.name, field.default if value is None else _READERS[str(field.type)](key, value)
    except LookupError as error:
        raise LookupError(f"{where}: {error}") from error
