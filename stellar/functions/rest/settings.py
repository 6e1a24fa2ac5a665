"""Settings of REST calls: those of a call override those of its method, which override the common ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from stellar.language.conversions import to_boolean
from stellar.language.runtime import describe
from stellar.net.allowed_hosts import AllowedHosts
from stellar.util.settings import (
    DAY_MS,
    anything,
    check_value,
    declared,
    integer,
    list_of,
    reject,
    setting,
    string,
)
from stellar.util.suggestions import suggest_name

_PREFIX = "stellar.rest."
COMMON_KEY, GET_KEY, POST_KEY = "stellar.rest.settings", "stellar.rest.get.settings", "stellar.rest.post.settings"
CALL = "config"
GLOBAL_ONLY = "hosts.allowed"  # a record must not be able to allow hosts

NO_HOSTS = AllowedHosts()


def _parse_boolean(value: Any) -> bool:
    found = to_boolean(value)
    return reject("true or false") if found is None else found


def _parse_hosts(value: Any) -> AllowedHosts:
    return AllowedHosts.of(list_of(string)(value))


@dataclass(frozen=True, slots=True)
class RestSettings:
    """The settings of a call, with Metron's names. Times are in milliseconds."""

    timeout: int = setting("timeout", 1000, integer(1, DAY_MS), "Milliseconds for the whole call with all redirects.")
    connect_timeout: int | None = setting(
        "connect.timeout", None, integer(0, DAY_MS), "Milliseconds for a connection; by default, and for 0, `timeout`."
    )
    connection_request_timeout: int | None = setting(
        "connection.request.timeout",
        None,
        integer(0, DAY_MS),
        "Milliseconds to wait while too many calls are under way; by default, and for 0, `timeout`.",
    )
    socket_timeout: int | None = setting(
        "socket.timeout",
        None,
        integer(0, DAY_MS),
        "Milliseconds between two portions of a response; by default, and for 0, `timeout`.",
    )
    response_codes_allowed: tuple[int, ...] = setting(
        "response.codes.allowed", (200,), list_of(integer(100, 599)), "The statuses of usable responses."
    )
    empty_content_override: Any = setting("empty.content.override", None, anything, "The value of an empty response.")
    error_value_override: Any = setting(
        "error.value.override", None, anything, "The value of a call without a usable response."
    )
    verify_content_length: bool = setting(
        "verify.content.length", False, _parse_boolean, "Accept only responses with a Content-Length."
    )
    enforce_json: bool = setting("enforce.json", True, _parse_boolean, "Let REST_POST send JSON objects only.")
    hosts_allowed: AllowedHosts = setting(
        GLOBAL_ONLY,
        NO_HOSTS,
        _parse_hosts,
        "Hosts that the URL of a record may name: a list of `host`, `host:8080`, `*.suffix`, networks such as "
        "`10.0.0.0/8`, or `*`; none by default. Only in the global configuration.",
    )
    basic_auth_user: str | None = setting("basic.auth.user", None, string, "The user for Basic authentication.")
    basic_auth_password_path: str | None = setting(
        "basic.auth.password.path", None, string, "A file that contains that user's password and nothing else."
    )
    proxy_host: str | None = setting("proxy.host", None, string, "The host of an HTTP proxy.")
    proxy_port: int | None = setting("proxy.port", None, integer(1, 65_535), "The port of the proxy; 8080 by default.")
    proxy_basic_auth_user: str | None = setting("proxy.basic.auth.user", None, string, "The user for the proxy.")
    proxy_basic_auth_password_path: str | None = setting(
        "proxy.basic.auth.password.path", None, string, "A file that contains that user's password and nothing else."
    )
    ca_path: str | None = setting(
        "ca.path", None, string, "A file with the authorities to trust by https; by default those of the system."
    )
    certificate_path: str | None = setting(
        "certificate.path", None, string, "A PEM file with the client certificate, for servers that require one."
    )
    key_path: str | None = setting(
        "key.path", None, string, "A PEM file with its private key; by default that of `certificate.path`."
    )

    @classmethod
    def of(cls, settings: Mapping[str, Any], kind: str, call: Mapping[Any, Any] | None) -> RestSettings:
        """Return the settings of a call.

        settings: the global configuration
        kind: the key in it for calls of this method
        call: the argument `config` of the call

        Raises LookupError for an unknown or invalid setting.
        """
        common = cls()._override(settings.get(COMMON_KEY), COMMON_KEY)
        return common._override(settings.get(kind), kind)._override(call, CALL)

    def _override(self, given: object, where: str) -> RestSettings:
        if given is None:
            return self
        if not isinstance(given, Mapping):
            raise LookupError(f"invalid {where}: expected a map of settings, got {describe(given)}")
        return replace(self, **dict(_read(key, value, where) for key, value in given.items()))

    def seconds(self, milliseconds: int | None) -> float:
        """Return a time-out in seconds: at most that of the whole call, which is also the default for None and 0."""
        return min(milliseconds or self.timeout, self.timeout) / 1000


@dataclass(frozen=True, slots=True)
class RestLimits:
    """Limits on concurrent calls, from the global configuration."""

    total: int = setting("pooling.max.total", 100, integer(1, 1_000_000), "Concurrent calls of all servers together.")
    per_server: int = setting(
        "pooling.default.max.per.route", 20, integer(1, 1_000_000), "Concurrent calls of one server."
    )

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> RestLimits:
        """Return the limits of a global configuration. Raises LookupError for an invalid one."""
        try:
            given = {
                each.name: check_value(key, settings[key], each.metadata["check"])
                for key, each in declared(cls).items()
                if key in settings
            }
        except ValueError as error:
            raise LookupError(str(error)) from None
        return cls(**given)


GLOBAL_KEYS = frozenset({COMMON_KEY, GET_KEY, POST_KEY, *declared(RestLimits)})
_DECLARED = declared(RestSettings)


def check_global(settings: Mapping[str, Any]) -> None:
    """Raise LookupError if the global configuration has an unknown or invalid setting of REST calls."""
    for key in settings:
        if key not in GLOBAL_KEYS and key.startswith(_PREFIX) and (near := get_close_matches(key, GLOBAL_KEYS, n=1)):
            raise LookupError(f"unknown setting {key}; did you mean {near[0]}?")
    RestSettings.of(settings, GET_KEY, None)
    RestSettings.of(settings, POST_KEY, None)
    RestLimits.of(settings)


def _read(key: object, value: object, where: str) -> tuple[str, Any]:
    """Return the field name and value of a setting; null means the default."""
    if not isinstance(key, str) or key not in _DECLARED:
        raise LookupError(f"unknown setting {key} in {where}; {suggest_name(str(key), _DECLARED)}")
    if key == GLOBAL_ONLY and where == CALL:
        raise LookupError(f"{key} can't be set in a call; set it in the global configuration, under {COMMON_KEY}")
    declaration = _DECLARED[key]
    if value is None:
        return declaration.name, declaration.default
    try:
        return declaration.name, check_value(key, value, declaration.metadata["check"])
    except ValueError as error:
        raise LookupError(f"{where}: {error}") from None
