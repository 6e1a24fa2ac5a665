"""Models as a service: finding an instance of a model, and asking it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from typing import Any, TypeVar

from stellar.context import Context
from stellar.conversions import to_text
from stellar.fibers import offload
from stellar.library import stellar

T = TypeVar("T")

log = logging.getLogger(__name__)

# stellar.maas is imported where it is used: expressions that ask no model do not load an HTTP client.


@stellar("MAAS_GET_ENDPOINT", blocks=False)
def get_endpoint(
    context: Context, model: object = None, version: object = None, key: object = None
) -> dict[str, Any] | None:
    """An instance of a model, to be asked with MAAS_MODEL_APPLY.

    model: The name of the model
    version: The version of the model; if it is left out or null, the one that the traffic plan chooses, or without a
        plan the newest
    key: The plan chooses the same version for the same key each time, such as an address or a user
    returns: A map of the name, the version and the url, with the path of each function as `endpoint:<function>`; null
        if no such model is registered

    Of several instances any one is taken, but one that failed in the last 10 minutes only if there is no other. Metron
    knows no traffic plans: it takes the newest version, and ignores a key.
    """
    from stellar.maas.client import ModelClient
    from stellar.maas.errors import ModelNotFound
    from stellar.maas.registry import Registry
    from stellar.maas.traffic import Chosen

    if model is None:
        return None
    registry = _service(context, Registry)  # type: ignore[type-abstract]
    name, version, key = to_text(model), *(None if each is None else to_text(each) for each in (version, key))
    try:
        endpoint = registry.endpoint(name, version, key).as_map()
        return endpoint if version is not None else Chosen(endpoint, key)
    except ModelNotFound as error:
        log.warning("%s", error)  # Metron answers null here
        if client := context.get(ModelClient):
            client.failed({"name": name, "version": version}, error)
        return None


@stellar("MAAS_MODEL_APPLY", blocks=False)
def model_apply(context: Context, endpoint: object, function: object, args: object = None) -> dict[str, Any] | None:
    """What a model answers, asked over HTTP: MAAS_MODEL_APPLY(endpoint, function?, args).

    endpoint: A map as MAAS_GET_ENDPOINT gives it: name, version and url of the model
    function: The function of the endpoint, or a path; `apply` if it is left out
    args: A map of the request's parameters
    returns: The JSON object that the model answers, as a map; null if there is no endpoint or no answer

    The function may be left out: MAAS_MODEL_APPLY(endpoint, args) asks `apply`. Answers are cached for 10 minutes. An
    instance that fails is avoided for 10 minutes, and another one is tried; a status of 4xx finds fault with the record
    and not with the instance.
    """
    from stellar.maas.client import ModelClient
    from stellar.maas.errors import MaasError

    if not isinstance(endpoint, Mapping):  # no such model: MAAS_GET_ENDPOINT gave null
        return None
    if isinstance(function, Mapping) and args is None:
        function, args = None, function
    client = _service(context, ModelClient)
    ask = client.apply if getattr(client, "gives_way", False) else partial(offload, client.apply)
    try:
        return ask(endpoint, function if isinstance(function, str) else None, _parameters(args))
    except MaasError as error:
        log.warning("%s", error)  # Metron answers null here
        return None


def _service(context: Context, kind: type[T]) -> T:
    if kind in context:
        return context[kind]
    raise LookupError("it is not said where models are: name a registry (--registry DIR), or give the context one")


def _parameters(args: object) -> dict[str, Any]:
    """The request's parameters, with numbers as Stellar writes them."""
    if not isinstance(args, Mapping):
        return {}
    return {to_text(name): to_text(value) if isinstance(value, float) else value for name, value in args.items()}
