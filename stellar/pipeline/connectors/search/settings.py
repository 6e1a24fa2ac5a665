"""The connections of search clients, by Metron's keys of the global configuration.

`es.ip` has the hosts, `es.port` the port of those without one, and `es.client.settings` the credentials and TLS.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stellar.pipeline.connectors.search.target import SearchTarget, check_url
from stellar.util.abbreviate import quote
from stellar.util.suggestions import suggest_name

log = logging.getLogger(__name__)

HOSTS, PORT, CLIENT = "es.ip", "es.port", "es.client.settings"
USER, PASSWORD_FILE, API_KEY_FILE = "xpack.username", "xpack.password.file", "api.key.file"
TLS, CA, CERTIFICATE, KEY = "ssl.enabled", "ssl.ca.path", "ssl.certificate.path", "ssl.key.path"
TIME_OUT = "socket.timeout.millis"
_OLDER_PREFIX = "es."  # of keys before Metron 0.6
_WITHOUT_EFFECT = frozenset({
    "connection.timeout.millis", "max.retry.timeout.millis", "num.client.connection.threads", "client.class",
})  # fmt: skip
_KEYSTORE = frozenset({"keystore.type", "keystore.path", "keystore.password.file"})
_KNOWN = frozenset({
    USER, PASSWORD_FILE, API_KEY_FILE, TLS, CA, CERTIFICATE, KEY, TIME_OUT, *_WITHOUT_EFFECT, *_KEYSTORE
})  # fmt: skip
_DEFAULT_PORT = 9200
_SECONDS = 30.0


@dataclass(frozen=True)
class SearchSettings:
    """The nodes of a search server, and the credentials and certificates for them.

    kind: `opensearch` or `elasticsearch`
    urls: the URLs of some nodes
    authorization: the header of that name; None without credentials
    ca: the path of a PEM file with certificate authorities; None for those of the system
    certificate, key: the paths of the PEM files of a client's certificate
    seconds: the time-out of a request
    """

    kind: str
    urls: tuple[str, ...]
    authorization: str | None = None
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    seconds: float = _SECONDS


class SearchSettingError(ValueError):
    """A global setting is invalid.

    keys: the key of the setting, and that in its map
    """

    def __init__(self, message: str, *keys: str) -> None:
        super().__init__(message)
        self.keys = keys


def make_search_settings(target: SearchTarget, settings: Mapping[str, Any]) -> SearchSettings:
    """Return how to connect to a target.

    settings: the global configuration

    Raises SearchSettingError, and OSError for a file that cannot be read.
    """
    options = _read_options(settings)
    scheme = "https" if _read(options, TLS, bool, False) else "http"
    urls = target.urls or _read_hosts(settings, scheme)
    if not urls:
        raise SearchSettingError(
            f"no hosts of {target.kind} configured; pass {target.kind}:http://HOST:PORT, or set {HOSTS} in the global "
            "configuration"
        )
    return SearchSettings(
        target.kind,
        urls,
        _read_authorization(options),
        **{name: _read(options, option, str, None) for name, option in _PATHS.items()},
        seconds=_read(options, TIME_OUT, int, int(_SECONDS * 1000)) / 1000,
    )


_PATHS = {"ca": CA, "certificate": CERTIFICATE, "key": KEY}


def _read_options(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return es.client.settings, without the prefix of older names. Raises SearchSettingError for an unknown one."""
    value = settings.get(CLIENT) or {}
    if not isinstance(value, Mapping):
        raise SearchSettingError(f"expected a map, got {quote(value, 60)}", CLIENT)
    options = {name.removeprefix(_OLDER_PREFIX): each for name, each in value.items()}
    for name, written in zip(options, value, strict=True):
        if name not in _KNOWN:
            raise SearchSettingError(f"unknown option {quote(written)}; {suggest_name(name, _KNOWN)}", CLIENT, written)
        if name in _KEYSTORE:
            raise SearchSettingError(
                f"Java's key stores cannot be read; set {CA} to a PEM file instead", CLIENT, written
            )
        if name in _WITHOUT_EFFECT:
            log.debug("%s of %s has no effect", name, CLIENT)
    return options


def _read(options: Mapping[str, Any], name: str, kind: type, default: Any) -> Any:
    """Return an option. Raises SearchSettingError if its value is of another type."""
    value = options.get(name)
    if value is None:
        return default
    if kind is bool and value in ("true", "false"):
        return value == "true"
    if kind is int and isinstance(value, str) and value.isdecimal():
        return int(value)
    if type(value) is not kind:
        raise SearchSettingError(f"expected {_TYPES[kind]}, got {quote(value, 60)}", CLIENT, name)
    return value


_TYPES = {bool: "true or false", int: "an integer", str: "a string"}


def _read_hosts(settings: Mapping[str, Any], scheme: str) -> tuple[str, ...]:
    """Return the URLs of `es.ip`: a list or a string of hosts, with ports or with that of `es.port`."""
    value, port = settings.get(HOSTS), settings.get(PORT, _DEFAULT_PORT)
    if value is None:
        return ()
    hosts = value.split(",") if isinstance(value, str) else value
    if not isinstance(hosts, Sequence) or not all(isinstance(host, str) for host in hosts):
        raise SearchSettingError(f"expected hosts as a list or a string, got {quote(value, 60)}", HOSTS)
    urls = []
    for host in filter(None, map(str.strip, hosts)):
        named = host if ":" in host.rpartition("]")[2] else f"{host}:{port}"
        try:
            urls.append(check_url(named if "://" in host else f"{scheme}://{named}"))
        except ValueError as error:
            raise SearchSettingError(str(error), HOSTS) from error
    return tuple(urls)


def _read_authorization(options: Mapping[str, Any]) -> str | None:
    key_file, user = _read(options, API_KEY_FILE, str, None), _read(options, USER, str, None)
    if key_file is not None:
        return f"ApiKey {_read_secret(key_file, API_KEY_FILE)}"
    password_file = _read(options, PASSWORD_FILE, str, None)
    if user is None and password_file is None:
        return None
    if user is None or password_file is None:
        raise SearchSettingError(f"{USER} and {PASSWORD_FILE} are needed together", CLIENT)
    credentials = f"{user}:{_read_secret(password_file, PASSWORD_FILE)}"
    return f"Basic {base64.b64encode(credentials.encode()).decode()}"


def _read_secret(path: str, option: str) -> str:
    """Return the first line of a file. Raises SearchSettingError for an empty file."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SearchSettingError(
            f"cannot read {path}: {getattr(error, 'strerror', None) or error}", CLIENT, option
        ) from error
    if not lines or not lines[0]:
        raise SearchSettingError(f"{path} is empty; expected one line", CLIENT, option)
    return lines[0]
