"""Models that a client evaluates in its own process instead of calling an instance.

Only a model that is data can be: its instance is published with kind, digest and path of its file (see
`stellar.maas.registries.extensions`). And only for an endpoint that the registry gave, as long as that instance is
registered. What evaluates a model is not part of this package: it gets a `LocalModels`.
"""

from __future__ import annotations

import logging
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from stellar.maas.client.attempts import Counting, Result
from stellar.maas.client.call_counts import CallCounts, CountsByModel
from stellar.maas.client.encoding import Arguments
from stellar.maas.registry import Registry
from stellar.maas.routing import Chosen, Given, TrafficPlan
from stellar.maas.schema import Model
from stellar.maas.snapshots import Settings, VersionSnapshot
from stellar.maas.transport.base import Response
from stellar.util.abbreviate import quote
from stellar.util.forks import reset_after_fork

log = logging.getLogger(__name__)

SETTING = "model"  # our key of an instance whose model is data
HTTP_SHARE = 0.05  # of the calls while a rollout judges the instances by their responses

ToParameters = Callable[[Arguments], Arguments]
"""Converts values of the language to the parameters of a request."""

_SHA256 = re.compile("[0-9a-f]{64}")
_PATH = re.compile(r"/(?:[^\0/]+/)*\.content/[0-9a-f]{64}/[^\0/]+")


class PublishedModel(NamedTuple):
    """The model file of an instance.

    sha256: of its content
    path: in the model store
    """

    kind: str
    sha256: str
    path: str


class LocalScore(Protocol):
    """A model in this process."""

    def __call__(self, arguments: Arguments, to_parameters: ToParameters | None) -> Result | Response:
        """Return the result that an instance would return; its response, with another status, if there is none."""


class LocalModels(Protocol):
    """The models in this process, by their files. Thread-safe."""

    def find(self, published: PublishedModel) -> LocalScore | None:
        """Return a model; None while it is being loaded, and if it cannot be. Never blocks."""


@dataclass(slots=True, eq=False)
class EvaluatedInstance:
    """An instance whose model is in this process.

    counts: of the calls of its version
    calls, failures: of the instance, made here; the client has the lock
    """

    model: Model
    url: str
    score: LocalScore
    counts: CallCounts
    calls: int = 0
    failures: int = 0


@dataclass(slots=True)
class _VersionModels:
    """What is known of a version: the model files of its instances, by URL, and the instances that are loaded."""

    snapshot: VersionSnapshot
    published: Mapping[str, PublishedModel]
    loaded: dict[str, EvaluatedInstance] = field(default_factory=dict)


class LocalCalls:
    """Decides which calls are evaluated in this process.

    kinds: of the models that may be: pmml, xgboost, lightgbm
    is_allowed: returns whether a URL may be called
    counting: the counter `local_sent`, of calls of such models that are sent to an instance
    counts: of calls, by model version
    """

    def __init__(
        self,
        registry: Registry,
        models: LocalModels,
        kinds: tuple[str, ...],
        is_allowed: Callable[[str], bool],
        counting: Counting,
        counts: CountsByModel,
    ) -> None:
        self._registry, self._models, self._kinds, self._is_allowed = registry, models, kinds, is_allowed
        self._counting, self._counts = counting, counts
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        self._versions: dict[tuple[str, str], _VersionModels] = {}

    def find(self, endpoint: Mapping[str, Any], function: str | None) -> EvaluatedInstance | None:
        """Return the instance of an endpoint, with its model; None if it has to be called."""
        if endpoint.__class__ not in _GIVEN or (function is not None and function != "apply"):
            return None
        key = endpoint["name"], endpoint["version"]
        snapshot = self._registry.version(*key)
        if snapshot is None or not snapshot.settings:
            return None
        known = self._versions.get(key)
        if known is None or known.snapshot is not snapshot:
            known = self._observe(key, snapshot)
        url = endpoint["url"]
        return known.loaded.get(url) or self._load(known, url)

    def is_sampled(self, plan: TrafficPlan) -> bool:
        """Return True for a call that its instance gets, because a rollout judges it."""
        if plan.trial is None or random.random() >= HTTP_SHARE:
            return False
        self._counting.count("local_sent")
        return True

    def read_counts(self) -> dict[tuple[Model, str], tuple[int, int]]:
        """Return calls and failures of each instance."""
        versions = list(self._versions.values())
        return {(each.model, url): (each.calls, each.failures) for v in versions for url, each in v.loaded.items()}

    def _observe(self, key: tuple[str, str], snapshot: VersionSnapshot) -> _VersionModels:
        """Return what is known of a version whose instances have changed."""
        for other in [other for other in self._versions if self._registry.version(*other) is None]:
            self._versions.pop(other, None)  # so that models of removed versions use no memory
        read = ((url, read_published(settings)) for url, settings in snapshot.settings.items())
        published = {url: found for url, found in read if found is not None and found.kind in self._kinds}
        before = self._versions.get(key)
        same = [] if before is None else [url for url, file in published.items() if before.published.get(url) == file]
        loaded = {} if before is None else {url: before.loaded[url] for url in same if url in before.loaded}
        known = self._versions[key] = _VersionModels(snapshot, published, loaded)
        return known

    def _load(self, known: _VersionModels, url: str) -> EvaluatedInstance | None:
        published = known.published.get(url)
        if published is None or not self._is_allowed(url):
            return None
        if (score := self._models.find(published)) is None:
            self._counting.count("local_sent")
            return None
        model = known.snapshot.model
        return known.loaded.setdefault(url, EvaluatedInstance(model, url, score, self._counts.of(model)))


_GIVEN = (Chosen, Given)


def read_published(settings: Settings) -> PublishedModel | None:
    """Return the model file of an instance; None, with a warning if the setting is invalid, for any other model."""
    if (value := settings.get(SETTING)) is None:
        return None
    given = value if isinstance(value, dict) else {}
    published = PublishedModel(*(str(given.get(name)) for name in PublishedModel._fields))
    if _SHA256.fullmatch(published.sha256) and _PATH.fullmatch(published.path) and "/../" not in published.path:
        return published
    log.warning("invalid setting %s of an instance is ignored: %s", SETTING, quote(value))
    return None
