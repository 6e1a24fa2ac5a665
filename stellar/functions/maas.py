"""Models as a service: finding an instance of a model, and calling it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextvars import ContextVar
from functools import cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from stellar.language.context import Context
from stellar.language.conversions import to_text
from stellar.language.library import stellar
from stellar.util.waiting import offload

if TYPE_CHECKING:
    from stellar.maas.client.client import ModelClient
    from stellar.maas.errors import MaasError
    from stellar.maas.registry import Registry
    from stellar.maas.routing import Chosen

T = TypeVar("T")

log = logging.getLogger(__name__)


class _Loaded(NamedTuple):
    """The classes of stellar.maas that are used here."""

    client: type[ModelClient]
    registry: type[Registry]
    chosen: type[Chosen]
    failure: type[MaasError]


@cache
def _loaded() -> _Loaded:
    """Load stellar.maas on first use: expressions that call no model do not load an HTTP client.

    Import statements within the functions would cost 3 µs a call.
    """
    from stellar.maas.client.client import ModelClient
    from stellar.maas.errors import MaasError
    from stellar.maas.registry import Registry
    from stellar.maas.routing import Chosen

    return _Loaded(ModelClient, Registry, Chosen, MaasError)  # type: ignore[type-abstract]


# Whether the last endpoint that was looked for was not found, which was reported then: a call with the null that
# MAAS_GET_ENDPOINT returned is no second failure
_REPORTED: ContextVar[bool] = ContextVar("missing endpoint was reported", default=False)


@stellar("MAAS_GET_ENDPOINT", blocks=False)
def get_endpoint(
    context: Context, model: object = None, version: object = None, key: object = None
) -> dict[str, Any] | None:
    """Return an endpoint of a deployed model, or null if there is none.

    model: The name of the model
    version: The version of the model; if it is left out or null, the one that the traffic plan chooses, or without a
        plan the newest
    key: The plan chooses the same version for the same key each time, such as an address or a user
    returns: A map of the name, the version and the url, with the path of each function as `endpoint:<function>`; null
        if no such model is registered

    Of several instances any one is chosen, but one that failed lately only if there is no other. A model that is being
    started is waited for (`maas.wait.ms`). Metron has no traffic plans: it takes the newest version and ignores a key.
    """
    maas = _loaded()
    registry = _service(context, maas.registry)
    client = context.get(maas.client)
    if model is None:
        _no_name(client)
        return None
    name, version, key = to_text(model), *(None if each is None else to_text(each) for each in (version, key))
    find = getattr(client, "endpoint", registry.endpoint)
    try:
        endpoint = find(name, version, key).as_map()
    except maas.failure as error:
        _missing(client, {"name": name, "version": version}, error)
        return None
    if _REPORTED.get():
        _REPORTED.set(False)
    return endpoint if version is not None else maas.chosen(endpoint, key)


def _no_name(client: ModelClient | None) -> None:
    from stellar.maas.errors import ModelNotFound

    message = "MAAS_GET_ENDPOINT got null for the model's name: is it in quotes?"
    _missing(client, {}, ModelNotFound(message, "no model name"))


def _missing(client: ModelClient | None, endpoint: Mapping[str, Any], error: MaasError) -> None:
    """Report that there is no endpoint; Metron returns null then."""
    _REPORTED.set(True)
    _report(client, endpoint, error)


def _report(client: ModelClient | None, endpoint: Mapping[str, Any], error: MaasError) -> None:
    if client is not None:
        client.record_failure(endpoint, error)
    else:
        log.warning("%s", error)


@stellar("MAAS_MODEL_APPLY", blocks=False)
def model_apply(context: Context, endpoint: object, function: object, args: object = None) -> dict[str, Any] | None:
    """Return the answer of a model, called over HTTP: MAAS_MODEL_APPLY(endpoint, function?, args).

    endpoint: A map as MAAS_GET_ENDPOINT returns it: name, version and url of the model
    function: The function of the endpoint, or a path; `apply` if it is left out
    args: A map of the request's parameters
    returns: The JSON object that the model answers, as a map; null if there is no endpoint or no answer

    The function may be left out: MAAS_MODEL_APPLY(endpoint, args) calls `apply`. Answers are cached for 10 minutes.
    When an instance fails, another one is called, and one that keeps failing is left alone for a while; a status of 4xx
    rejects the record and is no failure of the instance.
    """
    maas = _loaded()
    client = _service(context, maas.client)
    if not isinstance(endpoint, Mapping):
        _no_endpoint(client, endpoint)
        return None
    if isinstance(function, Mapping) and args is None:
        function, args = None, function
    call = client.apply if getattr(client, "cooperative", False) else partial(offload, client.apply)
    try:
        return call(endpoint, function if isinstance(function, str) else None, _parameters(args))
    except maas.failure:  # the client counted and logged it; Metron returns null here
        return None


def _no_endpoint(client: ModelClient, endpoint: object) -> None:
    from stellar.maas.errors import ModelUnavailable

    if endpoint is None and _REPORTED.get():
        _REPORTED.set(False)
        return
    got = "null" if endpoint is None else type(endpoint).__name__
    message = f"MAAS_MODEL_APPLY expected an endpoint as MAAS_GET_ENDPOINT returns it, got {got}"
    client.record_failure({}, ModelUnavailable(message, "no endpoint"))


def _service(context: Context, kind: type[T]) -> T:
    if kind in context:
        return context[kind]
    raise LookupError("no model registry configured; pass --registry DIR or add a Registry to the context")


def _parameters(args: object) -> dict[str, Any]:
    """The request's parameters, with numbers as Stellar writes them."""
    if not isinstance(args, Mapping):
        return {}
    return {to_text(name): to_text(value) if isinstance(value, float) else value for name, value in args.items()}
