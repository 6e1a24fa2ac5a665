"""The client of REST functions: allowed hosts, deadlines, redirects, circuit breakers and concurrency limits."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from math import inf
from typing import Any, NamedTuple, Self

import httpx

from stellar.functions.jsons import DECODER
from stellar.functions.rest.settings import RestLimits, RestSettings, check_global
from stellar.functions.rest.urls import address_of, host_of, parse_url, port_of, server_of, without_secrets
from stellar.language.runtime import describe
from stellar.net.breaker import CircuitBreakers
from stellar.net.connection_pool import Address
from stellar.net.credentials import basic_authorization, tls_context
from stellar.net.http import ConnectTimeout, Exchange, HttpClient, Proxy, TunnelRefused, encode_request
from stellar.net.http11 import ProtocolError, ResponseParser, ResponseTooLarge
from stellar.net.limits import ConcurrencyLimiter
from stellar.net.name_resolution import NameResolver
from stellar.util.filesystems import read
from stellar.util.forks import reset_after_fork

log = logging.getLogger(__name__)

MAX_REDIRECTS = 10
REDIRECTS = (301, 302, 303, 307, 308)
MAX_BODY_BYTES = 16 * 1024 * 1024

FAILURES, OPEN_SECONDS = 5, 30.0

# Compression is not accepted, because a small response could grow to any size
HEADERS = {"Accept-Encoding": "identity", "User-Agent": "stellar-maas", "Accept": "application/json"}


class CallFailure(Exception):
    """A call without a usable response.

    is_server_fault: True if the server failed or is unreachable, which counts for its circuit breaker
    status: the status of the response; None if there was no response
    """

    def __init__(self, message: str, *, is_server_fault: bool = False, status: int | None = None) -> None:
        super().__init__(message)
        self.is_server_fault = is_server_fault
        self.status = status


@dataclass(frozen=True, slots=True)
class RestResponse:
    """A response: its status, headers by lowercase name, and body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @classmethod
    def of(cls, parser: ResponseParser) -> RestResponse:
        """Return the response of a parser that has completed."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in parser.headers.items()}
        return cls(parser.status, headers, parser.body)


class Route(NamedTuple):
    """The properties on which connections depend.

    proxy: the HTTP proxy; None for direct connections
    proxy_authorization: value of the header Proxy-Authorization; None to omit it
    ca_path: file with trusted certificate authorities; None for those of the system
    certificate_path, key_path: files of the client certificate and its key; None for none
    """

    proxy: Address | None
    proxy_authorization: str | None
    ca_path: str | None
    certificate_path: str | None = None
    key_path: str | None = None

    @property
    def proxy_headers(self) -> dict[str, str]:
        return {} if self.proxy_authorization is None else {"Proxy-Authorization": self.proxy_authorization}

    def make_client(self, resolver: NameResolver) -> HttpClient[RestResponse]:
        """Return a new HTTP client. Raises LookupError if a file of TLS is unreadable or invalid."""
        try:
            context = tls_context(self.ca_path, self.certificate_path, self.key_path)
        except ValueError as error:
            is_for_server = self.certificate_path is None and self.key_path is None
            names = "ca.path" if is_for_server else "ca.path, certificate.path or key.path"
            raise LookupError(f"invalid {names}: {error}") from error
        proxy = None if self.proxy is None else Proxy(self.proxy, self.proxy_headers)
        return HttpClient(RestResponse.of, lambda: context, resolver, proxy)


@dataclass(frozen=True, slots=True)
class RestCall:
    """A call, including its redirects.

    url: the first URL
    trusted: True if that URL is a literal of the expression, so that its host is always allowed
    body: of a POST; None for a request without a body
    end: the monotonic deadline of the call
    more_headers: sent to the first server only, as they may have credentials
    """

    method: str
    url: httpx.URL
    settings: RestSettings
    trusted: bool
    body: bytes | None
    end: float
    more_headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def left(self) -> float:
        """The seconds until the deadline."""
        return self.end - time.monotonic()

    def headers(self, url: httpx.URL) -> dict[str, str]:
        """Return the headers of a request to a URL of the call; credentials are sent only to the first server."""
        headers = {"Host": url.netloc.decode("ascii"), **HEADERS}
        if self.body is not None:
            headers["Content-Type"] = "application/json"
        if (self.url.scheme, server_of(self.url)) == (url.scheme, server_of(url)):
            headers |= self._authorization()
            headers = _override(headers, self.more_headers)
        return headers

    def _authorization(self) -> dict[str, str]:
        if self.settings.basic_auth_user is not None:
            user, password = self.settings.basic_auth_user, _read_password(self.settings.basic_auth_password_path)
        elif self.url.username or self.url.password:
            user, password = self.url.username, self.url.password
        else:
            return {}
        return {"Authorization": basic_authorization(user, password)}

    def check_allowed(self, url: httpx.URL) -> None:
        """Raise CallFailure if the host of a URL is not allowed."""
        if self.trusted and host_of(url) == host_of(self.url):
            return
        allowed = self.settings.hosts_allowed
        if not allowed or not allowed.allow(host_of(url), port_of(url)):
            source = "comes from a record" if url is self.url else f"is a redirect of {server_of(self.url)}"
            raise CallFailure(f"{server_of(url)} {source}, and hosts.allowed does not contain it")


class RestClient:
    """A client of web services with a connection pool, circuit breakers and concurrency limits.

    The child of a fork starts with an empty pool, closed circuits and no calls in flight.

    settings: the global configuration, which is read in each call; only the limits `pooling.max.total` (100) and
        `pooling.default.max.per.route` (20) are read at construction
    clock: returns monotonic seconds for the circuit breakers

    Raises LookupError for an unknown or invalid setting.
    """

    def __init__(self, settings: Mapping[str, Any], clock: Callable[[], float] = time.monotonic) -> None:
        check_global(settings)
        self.settings = settings
        self._clock = clock
        self._resolver = NameResolver()
        self._clients: dict[Route, HttpClient[RestResponse]] = {}
        self._reset()
        reset_after_fork(self)

    def _reset(self) -> None:
        self.breakers = CircuitBreakers(
            FAILURES, self._clock, row_seconds=inf, first_seconds=OPEN_SECONDS, max_seconds=OPEN_SECONDS
        )
        limits = RestLimits.of(self.settings)
        self._total, self._per_server = ConcurrencyLimiter(limits.total), ConcurrencyLimiter(limits.per_server)
        self._all = self._total.of("")
        self._clients = {}
        self._lock = threading.Lock()

    def after_fork(self) -> None:
        for client in self._clients.values():
            client.abandon()
        self._reset()

    def call(
        self, method: str, url: httpx.URL, settings: RestSettings, *, trusted: bool, content: bytes | None = None
    ) -> Any:
        """Return the JSON object of a response, or an override from the settings.

        The override is `empty.content.override` for an empty response, and `error.value.override` without a usable one.

        trusted: True if the URL is a literal of the expression, so that its host is always allowed
        content: the body of a POST

        Raises LookupError if a password or certificates can't be read.
        """
        end = time.monotonic() + settings.timeout / 1000
        try:
            response = self.fetch(RestCall(method, url, settings, trusted, content, end))
            return _decode(response, settings)
        except CallFailure as failure:
            log.warning("%s %s: %s", method, without_secrets(url), failure)  # Metron logs it and returns the override
            return settings.error_value_override

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            for client in self._clients.values():
                client.close()
            self._clients.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fetch(self, call: RestCall) -> RestResponse:
        """Return the response of a call, of any status below 500, after its redirects.

        Raises CallFailure without one, and LookupError if a password or certificates can't be read.
        """
        url = call.url
        for _ in range(MAX_REDIRECTS + 1):
            call.check_allowed(url)
            response = self._request(call, url)
            if call.method != "GET" or response.status not in REDIRECTS or "location" not in response.headers:
                return response
            url = _redirect(url, response.headers["location"])
        raise CallFailure(f"more than {MAX_REDIRECTS} redirects")

    def _request(self, call: RestCall, url: httpx.URL) -> RestResponse:
        server = f"{url.scheme}://{server_of(url)}"
        seconds = min(call.settings.seconds(call.settings.connection_request_timeout), call.left)
        with self._slot(server, seconds), self._circuit(server):
            response = self._exchange(call, url)
            if response.status >= 500 and response.status not in call.settings.response_codes_allowed:
                message = f"the response has the status {response.status}"
                raise CallFailure(message, is_server_fault=True, status=response.status)
            return response

    def _exchange(self, call: RestCall, url: httpx.URL) -> RestResponse:
        route, headers, target = _route(call.settings), call.headers(url), url.raw_path.decode("ascii")
        if route.proxy is not None and url.scheme == "http":
            headers |= route.proxy_headers
            target = f"http://{url.netloc.decode('ascii')}{target}"
        try:
            request = encode_request(call.method, target, headers, call.body)
        except ValueError as error:
            raise CallFailure(str(error)) from error
        settings = call.settings
        exchange = self._client(route).begin(
            Exchange(str(url)),
            address_of(url),
            request,
            connect_seconds=min(settings.seconds(settings.connect_timeout), call.left),
            max_bytes=MAX_BODY_BYTES,
            repeatable=call.method == "GET",
        )
        return _run(exchange, call.end, settings.seconds(settings.socket_timeout))

    def _client(self, route: Route) -> HttpClient[RestResponse]:
        with self._lock:
            if route not in self._clients:
                self._clients[route] = route.make_client(self._resolver)
            return self._clients[route]

    @contextmanager
    def _slot(self, server: str, seconds: float) -> Iterator[None]:
        """Hold a slot of a server and one of all servers. Raises CallFailure if none becomes free within `seconds`."""
        end = time.monotonic() + seconds
        with ExitStack() as slots:
            for limiter, load in ((self._per_server, self._per_server.of(server)), (self._total, self._all)):
                if not limiter.enter(load, max(0.0, end - time.monotonic())):
                    raise CallFailure("too many concurrent calls: no slot became free in time")
                slots.callback(limiter.leave, load)
            yield

    @contextmanager
    def _circuit(self, server: str) -> Iterator[None]:
        """Record the outcome of a request in the circuit breaker. Raises CallFailure if the circuit is open."""
        breakers = self.breakers
        trial = breakers.begin_trial(server)
        if not trial and server in breakers:
            raise CallFailure(f"the circuit of {server} is open: it failed {FAILURES} times in a row")
        try:
            yield
        except CallFailure as failure:
            if failure.is_server_fault:
                breakers.record_failure(server)
            else:
                breakers.record_success(server)
            raise
        except BaseException:
            if trial:
                breakers.end_trial(server)
            raise
        breakers.record_success(server)


def _override(headers: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """Return headers with given ones, which replace those of the same name in any case."""
    names = {name.lower() for name in given}
    return {name: value for name, value in headers.items() if name.lower() not in names} | dict(given)


def _run(exchange: Exchange[RestResponse], end: float, idle_seconds: float) -> RestResponse:
    try:
        response = exchange.run(end, idle_seconds)
    except (ConnectTimeout, TimeoutError) as error:
        raise CallFailure("no response in time", is_server_fault=True) from error
    except ResponseTooLarge as error:
        raise CallFailure(str(error)) from error
    except (OSError, ProtocolError, TunnelRefused, UnicodeError) as error:
        raise CallFailure(str(error) or type(error).__name__, is_server_fault=True) from error
    finally:
        exchange.close()
    if (encoding := response.headers.get("content-encoding", "identity")).lower() != "identity":
        raise CallFailure(f"the response is compressed with {encoding}")
    return response


def _redirect(url: httpx.URL, location: str) -> httpx.URL:
    try:
        return parse_url(location, url)
    except ValueError as error:
        raise CallFailure(f"invalid redirect: {error}") from error


def _route(settings: RestSettings) -> Route:
    """Return the route of a call. Raises LookupError for an invalid proxy or an unreadable password."""
    if settings.proxy_host is None:
        return Route(None, None, settings.ca_path, settings.certificate_path, settings.key_path)
    user = settings.proxy_basic_auth_user
    password = None if user is None else _read_password(settings.proxy_basic_auth_password_path)
    authorization = None if user is None or password is None else basic_authorization(user, password)
    files = settings.ca_path, settings.certificate_path, settings.key_path
    return Route(_proxy_address(settings), authorization, *files)


def _proxy_address(settings: RestSettings) -> Address:
    name = f"{settings.proxy_host}:{settings.proxy_port or 8080}"
    try:
        url = parse_url(f"http://{name}/")
        if url.path != "/":
            raise ValueError("expected a host and a port only")
    except ValueError as error:
        raise LookupError(f"invalid proxy.host or proxy.port, {name}: {error}") from error
    return address_of(url)


def _read_password(path: str | None) -> str:
    if path is None:
        return ""
    try:
        return read(path).decode()
    except (OSError, ValueError) as error:
        raise LookupError(f"can't read the password in {path}: {error}") from error


def _decode(response: RestResponse, settings: RestSettings) -> Any:
    if response.status not in settings.response_codes_allowed:
        raise CallFailure(f"the response has the status {response.status}")
    if settings.verify_content_length and "content-length" not in response.headers:
        raise CallFailure("the response has no Content-Length")
    if not response.body.strip():
        return settings.empty_content_override
    try:
        value = DECODER.decode(response.body.decode())
    except (ValueError, RecursionError) as error:
        raise CallFailure(f"the response is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise CallFailure(f"expected a JSON object, got {describe(value)}")
    return value
