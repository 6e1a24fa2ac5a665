"""Requests to web services that return JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stellar.functions.jsons import DECODER
from stellar.functions.rest.settings import GET_KEY, POST_KEY, RestSettings
from stellar.language.context import Context
from stellar.language.conversions import to_string
from stellar.language.library import Written, stellar
from stellar.language.runtime import describe

if TYPE_CHECKING:
    import httpx

    from stellar.functions.rest.client import RestClient


@stellar("REST_GET")
def get(
    context: Context,
    url: Written | str | None,
    config: Mapping[Any, Any] | None = None,
    query_parameters: Mapping[Any, Any] | None = None,
) -> Any:
    """Send a GET request and return the JSON object of the response.

    url: The URL. Unless it is a literal, `hosts.allowed` must include its host
    config: Map of settings that take precedence over the global configuration
    queryParameters: Map of strings to strings; each replaces the query parameter of its name
    returns: The object; `empty.content.override` if the response is empty; `error.value.override` if the request fails
        or the response is not usable. Both are null by default

    Settings are in `stellar.rest.settings` and `stellar.rest.get.settings` of the global configuration: `timeout` for
    the whole call (1000 milliseconds), `connect.timeout`, `connection.request.timeout`, `socket.timeout`;
    `response.codes.allowed` ([200]), `empty.content.override`, `error.value.override`, `verify.content.length`;
    `basic.auth.user`, `basic.auth.password.path`, a file that contains only the password; `proxy.host`, `proxy.port`,
    `proxy.basic.auth.user`, `proxy.basic.auth.password.path`; `ca.path`, a file of certificates;
    `certificate.path` and `key.path`, files of a client certificate.

    `hosts.allowed`, only in the global configuration, lists the hosts that a record may choose: `example.com` or
    `example.com:8080`, `*.example.com` for all hosts within a domain, a network such as `10.0.0.0/8`, or `*` for any
    host. Redirects are followed to the same host, or to one of these.

    After five consecutive failures of a server, a circuit breaker rejects calls to it for 30 seconds.
    """
    client = _client(context)
    settings = RestSettings.of(client.settings, GET_KEY, config)
    address = _address("REST_GET", url, query_parameters)
    return client.call("GET", address, settings, trusted=isinstance(url, Written))


@stellar("REST_POST")
def post(
    context: Context,
    url: Written | str | None,
    data: object,
    config: Mapping[Any, Any] | None = None,
    query_parameters: Mapping[Any, Any] | None = None,
) -> Any:
    """Send a POST request and return the JSON object of the response.

    url: The URL. Unless it is a literal, `hosts.allowed` must include its host
    data: The body: a map, sent as JSON without its null values, or the string of a JSON object; null sends an empty
        body
    config: Map of settings that take precedence over the global configuration
    queryParameters: Map of strings to strings; each replaces the query parameter of its name
    returns: As REST_GET

    The settings are those of REST_GET, in `stellar.rest.settings` and `stellar.rest.post.settings` of the global
    configuration, and `enforce.json`: if it is false, any string is sent. Redirects are not followed.
    """
    client = _client(context)
    settings = RestSettings.of(client.settings, POST_KEY, config)
    content = _body(data, settings.enforce_json)
    address = _address("REST_POST", url, query_parameters)
    return client.call("POST", address, settings, trusted=isinstance(url, Written), content=content)


def _client(context: Context) -> RestClient:
    from stellar.functions.rest.client import RestClient  # it loads an HTTP client

    return context.get_or_make(RestClient, RestClient)


def _address(function: str, url: str | None, parameters: Mapping[Any, Any] | None) -> httpx.URL:
    from stellar.functions.rest.urls import parse_url

    if url is None:
        raise ValueError(f"{function} expected a URL as url, got null")
    try:
        address = parse_url(url)
    except ValueError as error:
        raise ValueError(f"{function} expected a URL as url, got {describe(url)}: {error}") from error
    for name, value in (parameters or {}).items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise ValueError(
                f"{function} expected strings as queryParameters, got {describe(value)} for {to_string(name)}"
            )
        address = address.copy_set_param(name, value)
    return address


def _body(data: object, enforce_json: bool) -> bytes:
    if data is None:
        return b""
    if isinstance(data, Mapping):
        try:
            return json.dumps(_without_nulls(data), ensure_ascii=False, allow_nan=False).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"REST_POST can't encode data as JSON: {error}") from error
    content = to_string(data)
    if enforce_json and not _is_object(content):
        raise ValueError(f"REST_POST expected a map or a JSON object as data, got {describe(data)}")
    try:
        return content.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"REST_POST can't encode data as UTF-8: {error}") from error


def _without_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple | set | frozenset):
        return [_without_nulls(item) for item in value]
    return value


def _is_object(text: str) -> bool:
    try:
        return isinstance(DECODER.decode(text), dict)
    except (ValueError, RecursionError):
        return False
