"""Model as a Service: look up an endpoint of a model, and call it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextvars import ContextVar
from functools import cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from stellar.language.context import Context
from stellar.language.conversions import to_string
from stellar.language.library import stellar
from stellar.util.waiting import offload

if TYPE_CHECKING:
    from stellar.maas.client.client import ModelClient
    from stellar.maas.errors import MaasError
    from stellar.maas.registry import Registry
    from stellar.maas.routing import Chosen, Given

T = TypeVar("T")

log = logging.getLogger(__name__)

_MAPS = dict, Mapping  # the test for a dict takes a tenth of the time of that for any map


class _MaasClasses(NamedTuple):
    """The classes of stellar.maas that this module uses."""

    client: type[ModelClient]
    registry: type[Registry]
    chosen: type[Chosen]
    given: type[Given]
    failure: type[MaasError]


@cache
def _load_maas() -> _MaasClasses:
    """Import stellar.maas on first use, so that expressions without model calls do not load an HTTP client.

    Import statements inside the functions would cost 3 µs per call.
    """
    from stellar.maas.client.client import ModelClient
    from stellar.maas.errors import MaasError
    from stellar.maas.registry import Registry
    from stellar.maas.routing import Chosen, Given

    return _MaasClasses(ModelClient, Registry, Chosen, Given, MaasError)  # type: ignore[type-abstract]


# True after MAAS_GET_ENDPOINT reported that it found no endpoint: MAAS_MODEL_APPLY does not report that null again
_REPORTED: ContextVar[bool] = ContextVar("missing endpoint was reported", default=False)


@stellar("MAAS_GET_ENDPOINT", blocks=False)
def get_endpoint(
    context: Context, model: object = None, version: object = None, key: object = None
) -> dict[str, Any] | None:
    """Return an endpoint of a deployed model, or null if none is available.

    model: Name of the model
    version: Version of the model; by default the version that the traffic plan selects, or the latest if there is no
        plan
    key: The traffic plan selects the same version for the same key, such as an IP address or a user
    returns: Map of name, version and url, and the path of each function as `endpoint:<function>`; null if the model is
        not registered

    Instances are chosen at random; one that failed recently is chosen only if there is no other. The call waits for a
    model that is starting (`maas.wait.ms`). Metron has no traffic plans: it selects the latest version and ignores the
    key.
    """
    maas = _load_maas()
    registry = _service(context, maas.registry)
    client = context.get(maas.client)
    if model is None:
        _report_null_name(client)
        return None
    name = model if model.__class__ is str else to_string(model)
    version = version if version is None or version.__class__ is str else to_string(version)
    key = key if key is None or key.__class__ is str else to_string(key)
    find = getattr(client, "endpoint", None) or registry.endpoint
    try:
        endpoint = find(name, version, key).as_map()
    except maas.failure as error:
        _report_missing(client, {"name": name, "version": version}, error)
        return None
    if _REPORTED.get():
        _REPORTED.set(False)
    return maas.chosen(endpoint, key) if version is None else maas.given(endpoint)


def _report_null_name(client: ModelClient | None) -> None:
    from stellar.maas.errors import ModelNotFound

    message = "MAAS_GET_ENDPOINT expected the name of a model, got null; put the name in quotes"
    _report_missing(client, {}, ModelNotFound(message, "no model name"))


def _report_missing(client: ModelClient | None, endpoint: Mapping[str, Any], error: MaasError) -> None:
    """Report that no endpoint was found; Metron returns null then."""
    _REPORTED.set(True)
    _report(client, endpoint, error)


def _report(client: ModelClient | None, endpoint: Mapping[str, Any], error: MaasError) -> None:
    if client is not None:
        client.record_failure(endpoint, error)
    else:
        log.warning("%s", error)


@stellar("MAAS_MODEL_APPLY", blocks=False)
def model_apply(context: Context, endpoint: object, function: object, args: object = None) -> dict[str, Any] | None:
    """Call a model over HTTP and return its response: MAAS_MODEL_APPLY(endpoint, function?, args).

    endpoint: Map as MAAS_GET_ENDPOINT returns it: name, version and url of the model
    function: Function of the endpoint, or a path; `apply` by default
    args: Map of the request's parameters
    returns: The JSON object of the response as a map; null if the endpoint is null or the call fails

    The function may be omitted: MAAS_MODEL_APPLY(endpoint, args) calls `apply`. Responses are cached for 10 minutes. If
    an instance fails, another one is called; a circuit breaker excludes instances that fail repeatedly for a while. A
    status of 4xx rejects the record and does not count as a failure of the instance.
    """
    maas = _load_maas()
    client = _service(context, maas.client)
    if not isinstance(endpoint, _MAPS):
        _report_invalid_endpoint(client, endpoint)
        return None
    if isinstance(function, _MAPS) and args is None:
        function, args = None, function
    args = args if isinstance(args, _MAPS) else {}
    function = function if isinstance(function, str) else None
    try:
        if hasattr(client, "apply_values"):  # a client of another kind, as of tests, gets parameters
            return client.apply_values(endpoint, function, args, _to_parameters)
        call = client.apply if getattr(client, "cooperative", False) else partial(offload, client.apply)
        return call(endpoint, function, _to_parameters(args))
    except maas.failure:  # already counted and logged by the client; Metron returns null here
        return None


def _report_invalid_endpoint(client: ModelClient, endpoint: object) -> None:
    from stellar.maas.errors import ModelUnavailable

    if endpoint is None and _REPORTED.get():
        _REPORTED.set(False)
        return
    got = "null" if endpoint is None else type(endpoint).__name__
    message = f"MAAS_MODEL_APPLY expected an endpoint as MAAS_GET_ENDPOINT returns it, got {got}"
    client.record_failure({}, ModelUnavailable(message, "no endpoint"))


def _service(context: Context, kind: type[T]) -> T:
    if (service := context.get(kind)) is not None:
        return service
    raise LookupError("no model registry configured; pass --registry DIR or add a Registry to the context")


def _to_parameters(args: Mapping[Any, Any]) -> dict[str, Any]:
    """Return the parameters of a request, with floats formatted as in Stellar."""
    return {
        name if name.__class__ is str else to_string(name): to_string(value) if isinstance(value, float) else value
        for name, value in args.items()
    }
