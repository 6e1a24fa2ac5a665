"""Calls of web services that answer JSON."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from stellar.context import Context
from stellar.conversions import to_boolean, to_integer, to_text
from stellar.functions._files import read
from stellar.library import Written, stellar
from stellar.runtime import described

if TYPE_CHECKING:
    import httpx

log = logging.getLogger(__name__)

SETTINGS_KEY, GET_KEY, POST_KEY = "stellar.rest.settings", "stellar.rest.get.settings", "stellar.rest.post.settings"
MOST_REDIRECTS = 10
LARGEST_ANSWER = 16 * 1024 * 1024
# So many failures in a row, and a host is not asked for so many seconds
BREAKS_AFTER, REST = 5, 30.0


@dataclass(frozen=True, slots=True)
class RestSettings:
    """How a service is called. The names are Metron's, with dots for underscores; times are in milliseconds.

    hosts_allowed: the hosts, as patterns such as `*.example.com`, that an address from a record may name
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
    hosts_allowed: tuple[str, ...] = ()
    ca_path: str | None = None

    def overlaid(self, given: object, where: str) -> RestSettings:
        """These settings, with those of a map in place of their own.

        Raises LookupError for a setting that there is not, or that can't be what is given.
        """
        if given is None:
            return self
        if not isinstance(given, Mapping):
            raise LookupError(f"{where} is a map of settings, not {described(given)}")
        return replace(self, **{_NAMES[key]: _READ[_NAMES[key]](key, given[key]) for key in map(_known, given)})


_NAMES = {field.name.replace("_", "."): field.name for field in fields(RestSettings)}


def _known(key: object) -> str:
    if isinstance(key, str) and key in _NAMES:
        return key
    raise LookupError(f"there is no setting {key} of REST calls; there are {', '.join(sorted(_NAMES))}")


def _text(key: str, value: object) -> str:
    if not isinstance(value, str):
        raise LookupError(f"{key} is a text, not {described(value)}")
    return value


def _whole(key: str, value: object) -> int:
    number = to_integer(value)
    if number is None or number < 0:
        raise LookupError(f"{key} is a whole number, not {described(value)}")
    return number


def _boolean(key: str, value: object) -> bool:
    truth = to_boolean(value)
    if truth is None:
        raise LookupError(f"{key} is true or false, not {described(value)}")
    return truth


def _wholes(key: str, value: object) -> tuple[int, ...]:
    return tuple(_whole(key, item) for item in value) if isinstance(value, list) else (_whole(key, value),)


def _texts(key: str, value: object) -> tuple[str, ...]:
    return tuple(_text(key, item) for item in value) if isinstance(value, list) else (_text(key, value),)


def _anything(_key: str, value: object) -> object:
    return value


_READ: dict[str, Any] = {
    "basic_auth_user": _text,
    "basic_auth_password_path": _text,
    "proxy_host": _text,
    "proxy_port": _whole,
    "proxy_basic_auth_user": _text,
    "proxy_basic_auth_password_path": _text,
    "timeout": _whole,
    "connect_timeout": _whole,
    "connection_request_timeout": _whole,
    "socket_timeout": _whole,
    "response_codes_allowed": _wholes,
    "empty_content_override": _anything,
    "error_value_override": _anything,
    "verify_content_length": _boolean,
    "enforce_json": _boolean,
    "hosts_allowed": _texts,
    "ca_path": _text,
}


class RestFailure(Exception):
    """A call that brought no answer that can be used."""


class RestClient:
    """Calls services. It keeps connections, and stops asking a host for a while that has failed again and again."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """settings: the global configuration"""
        self.settings = settings
        self._clients: dict[tuple[Any, ...], httpx.Client] = {}
        self._making = threading.Lock()
        self._failures: defaultdict[str, int] = defaultdict(int)
        self._resting: dict[str, float] = {}

    def settings_for(self, key: str, own: object) -> RestSettings:
        """The settings of a call: its own before those under a key of the global configuration, before the common."""
        common = RestSettings().overlaid(self.settings.get(SETTINGS_KEY), SETTINGS_KEY)
        return common.overlaid(self.settings.get(key), key).overlaid(own, "config")

    def call(
        self, method: str, url: httpx.URL, settings: RestSettings, trusted: bool, content: bytes | None = None
    ) -> Any:
        """The JSON object that a service answers; what stands for an empty answer, or for none, where it does not.

        trusted: whether the address was written in the expression, and so may name any host
        """
        try:
            return self._guarded(method, url, settings, trusted, content)
        except RestFailure as failure:
            log.warning("%s %s: %s", method, _without_secrets(url), failure)  # Metron logs it, and gives the override
            return settings.error_value_override

    def _guarded(
        self, method: str, url: httpx.URL, settings: RestSettings, trusted: bool, content: bytes | None
    ) -> Any:
        host = url.host
        if not (trusted or _allowed(host, settings)):
            raise RestFailure(f"the host {host} comes from a record, and hosts.allowed does not name it")
        if self._resting.get(host, 0.0) > time.monotonic():
            raise RestFailure(f"{host} has failed {BREAKS_AFTER} times in a row, and is not asked for {REST:.0f} s")
        try:
            answer = self._asked(method, url, settings, content)
        except RestFailure:
            self._failures[host] += 1
            if self._failures[host] >= BREAKS_AFTER:
                self._resting[host] = time.monotonic() + REST
                self._failures[host] = 0
            raise
        self._failures.pop(host, None)
        return answer

    def _asked(self, method: str, url: httpx.URL, settings: RestSettings, content: bytes | None) -> Any:
        import httpx

        deadline = time.monotonic() + settings.timeout / 1000
        origin = url.host
        try:
            for _ in range(MOST_REDIRECTS):
                status, following, body = self._exchange(method, url, settings, content, deadline)
                if following is None:
                    return _read_answer(status, body, settings)
                if following.host != origin and not _allowed(following.host, settings):
                    raise RestFailure(f"it leads on to {following.host}, which hosts.allowed does not name")
                url = following
        except httpx.TimeoutException as error:
            raise RestFailure("no answer in time") from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise RestFailure(str(error) or type(error).__name__) from error
        raise RestFailure(f"it leads on more than {MOST_REDIRECTS} times")

    def _exchange(
        self, method: str, url: httpx.URL, settings: RestSettings, content: bytes | None, deadline: float
    ) -> tuple[int, httpx.URL | None, bytes]:
        headers = {"Accept": "application/json"}
        if content is not None:
            headers["Content-Type"] = "application/json"
        client = self._client(settings)
        with client.stream(
            method, url, content=content, headers=headers, auth=_auth(settings), timeout=_timeouts(settings)
        ) as response:
            if response.has_redirect_location and method == "GET":
                return response.status_code, url.join(response.headers["location"]), b""
            body = bytearray()
            for part in response.iter_bytes():
                body += part
                if len(body) > LARGEST_ANSWER:
                    raise RestFailure(f"the answer has more than {LARGEST_ANSWER} bytes")
                if time.monotonic() > deadline:
                    raise RestFailure("no answer in time")
            if settings.verify_content_length and "content-length" not in response.headers:
                raise RestFailure("the answer does not tell its length")
            return response.status_code, None, bytes(body)

    def _client(self, settings: RestSettings) -> httpx.Client:
        import httpx

        key = (
            settings.proxy_host,
            settings.proxy_port,
            settings.proxy_basic_auth_user,
            settings.proxy_basic_auth_password_path,
            settings.ca_path,
        )
        with self._making:
            if key not in self._clients:
                self._clients[key] = httpx.Client(
                    proxy=_proxy(settings),
                    verify=_certificates(settings),
                    trust_env=False,
                    limits=httpx.Limits(
                        max_connections=_whole("pooling.max.total", self.settings.get("pooling.max.total", 100))
                    ),
                )
            return self._clients[key]

    def close(self) -> None:
        """Close the connections."""
        with self._making:
            for client in self._clients.values():
                client.close()
            self._clients.clear()


def _allowed(host: str, settings: RestSettings) -> bool:
    return any(fnmatchcase(host.lower(), pattern.lower()) for pattern in settings.hosts_allowed)


def _auth(settings: RestSettings) -> tuple[str, str] | None:
    if settings.basic_auth_user is None:
        return None
    return settings.basic_auth_user, _password(settings.basic_auth_password_path)


def _password(path: str | None) -> str:
    if path is None:
        return ""
    try:
        return read(path).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise LookupError(f"the password in {path} can't be read: {error}") from error


def _proxy(settings: RestSettings) -> httpx.Proxy | None:
    import httpx

    if settings.proxy_host is None:
        return None
    auth = None
    if settings.proxy_basic_auth_user is not None:
        auth = settings.proxy_basic_auth_user, _password(settings.proxy_basic_auth_password_path)
    return httpx.Proxy(f"http://{settings.proxy_host}:{settings.proxy_port or 8080}", auth=auth)


def _certificates(settings: RestSettings) -> Any:
    import ssl

    if settings.ca_path is None:
        return ssl.create_default_context()
    try:
        return ssl.create_default_context(cafile=settings.ca_path)
    except OSError as error:
        raise LookupError(f"the certificates in {settings.ca_path} can't be read: {error}") from error


def _timeouts(settings: RestSettings) -> httpx.Timeout:
    import httpx

    def seconds(own: int | None) -> float:
        return (settings.timeout if own is None else min(own, settings.timeout)) / 1000

    socket = seconds(settings.socket_timeout)
    return httpx.Timeout(
        connect=seconds(settings.connect_timeout),
        read=socket,
        write=socket,
        pool=seconds(settings.connection_request_timeout),
    )


def _read_answer(status: int, body: bytes, settings: RestSettings) -> Any:
    if status not in settings.response_codes_allowed:
        raise RestFailure(f"the answer's status is {status}")
    if not body.strip():
        return settings.empty_content_override
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RestFailure(f"the answer is not JSON: {error}") from error
    if not isinstance(answer, dict):
        raise RestFailure(f"the answer is no JSON object, but {described(answer)}")
    return answer


def _without_secrets(url: httpx.URL) -> str:
    return str(url.copy_with(username=None, password=None, query=None))


def _client(context: Context) -> RestClient:
    return context.get_or_make(RestClient, RestClient)


def _address(function: str, url: str | None, parameters: Mapping[Any, Any] | None) -> httpx.URL:
    import httpx

    if url is None:
        raise ValueError(f"{function} takes an address as url, not null")
    try:
        address = httpx.URL(url)
    except (httpx.InvalidURL, ValueError) as error:
        raise ValueError(f"{function} takes an address as url, and {url!r} is none: {error}") from error
    if address.scheme not in ("http", "https") or not address.host:
        raise ValueError(f"{function} takes an http:// or https:// address as url, not {described(url)}")
    for name, value in (parameters or {}).items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise ValueError(f"{function} takes texts as queryParameters, not {described(value)} for {name}")
        address = address.copy_set_param(name, value)
    return address


@stellar("REST_GET")
def get(
    context: Context,
    url: Written | str | None,
    config: Mapping[Any, Any] | None = None,
    query_parameters: Mapping[Any, Any] | None = None,
) -> Any:
    """The JSON object that a web service answers to a GET request.

    url: The address. One that is not written in the expression itself must name a host that `hosts.allowed` names
    config: Settings that go before those of the global configuration
    queryParameters: A map of texts, each put into the address in place of one of its name
    returns: The object; what `empty.content.override` says if the answer is empty, and what `error.value.override`
        says if there is none that can be used, both null by default

    Settings are found under `stellar.rest.settings` and `stellar.rest.get.settings` of the global configuration. A call
    takes a second at most, unless `timeout` says otherwise. A host that fails five times in a row is left alone for 30
    seconds.
    """
    client = _client(context)
    settings = client.settings_for(GET_KEY, config)
    return client.call("GET", _address("REST_GET", url, query_parameters), settings, isinstance(url, Written))


@stellar("REST_POST")
def post(
    context: Context,
    url: Written | str | None,
    data: object,
    config: Mapping[Any, Any] | None = None,
    query_parameters: Mapping[Any, Any] | None = None,
) -> Any:
    """The JSON object that a web service answers to a POST request.

    url: The address. One that is not written in the expression itself must name a host that `hosts.allowed` names
    data: A map, sent as JSON without its nulls, or the text of a JSON object; null sends nothing
    config: Settings that go before those of the global configuration
    queryParameters: A map of texts, each put into the address in place of one of its name
    returns: As REST_GET

    Settings are found under `stellar.rest.settings` and `stellar.rest.post.settings` of the global configuration.
    """
    client = _client(context)
    settings = client.settings_for(POST_KEY, config)
    content = _body(data, settings)
    address = _address("REST_POST", url, query_parameters)
    return client.call("POST", address, settings, isinstance(url, Written), content)


def _body(data: object, settings: RestSettings) -> bytes:
    if data is None:
        return b""
    if isinstance(data, Mapping):
        try:
            return json.dumps({key: value for key, value in data.items() if value is not None}).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"REST_POST can't send this as JSON: {error}") from error
    text = to_text(data)
    if settings.enforce_json:
        try:
            is_object = isinstance(json.loads(text), dict)
        except (ValueError, RecursionError):
            is_object = False
        if not is_object:
            raise ValueError(f"REST_POST takes the text of a JSON object as data, not {described(data)}")
    return text.encode()
