"""Routes: what all calls of one function of one endpoint have in common, prepared once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stellar.maas.client.call_counts import CallCounts, CountsByModel
from stellar.maas.client.encoding import function_path
from stellar.maas.schema import Model

MAX_ROUTES, MAX_LENGTH = 10_000, 1000  # URLs may come from records, and must not fill the memory


@dataclass(frozen=True, slots=True)
class CallRoute:
    """A function of an endpoint.

    model: None for an endpoint written by hand without a name or a version, which its URL identifies
    path: of the function, without a leading slash
    identity: what identifies the model in the keys of cached results
    is_apply: True for the function `apply`, which can be hedged and sent in batches
    batch_path: the path of the function `batch`; None if calls can't be sent in batches
    counts: of the calls of the model
    """

    model: Model | None
    url: str
    path: str
    identity: str
    is_apply: bool
    batch_path: str | None
    counts: CallCounts = field(compare=False, repr=False)


class Routes:
    """The routes that were used last, by the values of the endpoint. Safe to use from many threads."""

    def __init__(self, counts: CountsByModel) -> None:
        self._counts = counts
        self._known: dict[tuple[Any, ...], CallRoute] = {}

    def find(self, endpoint: Mapping[str, Any], function: str | None) -> CallRoute:
        """Return the route of a function of an endpoint. Raises RecordRefused for an invalid path."""
        name, version, url = endpoint.get("name"), endpoint.get("version"), endpoint.get("url")
        if function is None:
            path = endpoint.get("endpoint:apply", "apply")
        else:
            path = endpoint.get(f"endpoint:{function}", function)
        key = name, version, url, function, path, endpoint.get("endpoint:batch")
        try:
            if (known := self._known.get(key)) is not None:
                return known
        except TypeError:  # a value that can't be hashed
            return self._make_route(endpoint, function)
        route = self._make_route(endpoint, function)
        if all(each is None or (each.__class__ is str and len(each) <= MAX_LENGTH) for each in key):
            # Strings only: 1 and 1.0 are equal, and different versions
            if len(self._known) >= MAX_ROUTES:
                self._known.clear()
            self._known[key] = route
        return route

    def _make_route(self, endpoint: Mapping[str, Any], function: str | None) -> CallRoute:
        model, url = _model(endpoint), str(endpoint.get("url"))
        is_apply = function in (None, "apply")
        return CallRoute(
            model,
            url,
            function_path(endpoint, function),
            url if model is None else f"{model.name}\0{model.version}",
            is_apply,
            function_path(endpoint, "batch") if is_apply and endpoint.get("endpoint:batch") is not None else None,
            self._counts.of(model),
        )


def _model(endpoint: Mapping[str, Any]) -> Model | None:
    name, version = endpoint.get("name"), endpoint.get("version")
    return None if name is None or version is None else Model(str(name), str(version))
