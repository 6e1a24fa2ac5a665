"""Traffic plans: which version of a model gets the calls that name no version, and which one shadows them.

A plan is a node next to the registrations, which Metron's programs do not read. Each key is optional:

    /maas/ext/traffic/<model>   {"weights": {"1.0": 90, "2.0": 10}, "per": "instance",
                                 "shadow": {"version": "2.0", "share": 0.5},
                                 "trial": {"rollout": "re-1", "version": "2.0"}}
"""

from __future__ import annotations

import json
import logging
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from stellar.maas.schema import read_json, validate_name
from stellar.util.abbreviate import quote

log = logging.getLogger(__name__)

TRAFFIC = "traffic"  # the directory of the plans, below `ext`


class Given(dict[str, Any]):
    """An endpoint as a map that the registry gave for a version that the caller named."""

    __slots__ = ()


class Chosen(dict[str, Any]):
    """An endpoint as a map, whose version the caller left open: chosen by the plan, or the newest.

    key: the caller's key, which always chooses the same version; None without a key
    """

    __slots__ = ("key",)

    def __init__(self, endpoint: Mapping[str, Any], key: str | None = None) -> None:
        super().__init__(endpoint)
        self.key = key


@dataclass(frozen=True)
class Shadow:
    """A version that gets copies of calls, so that its results can be compared.

    share: fraction of the calls, above 0 and at most 1
    """

    version: str
    share: float = 1.0


@dataclass(frozen=True)
class Trial:
    """A rollout that judges a version by its calls: clients report them, and repeat a failed one at another version.

    rollout: identifies the rollout in the reports
    """

    rollout: str
    version: str


@dataclass(frozen=True)
class TrafficPlan:
    """The distribution over versions of calls that name no version.

    weights: by version; a version without a weight gets no calls. Empty: all calls go to the newest version
    per_instance: True if a weight applies to each instance, False if to the version as a whole
    shadow: the version that gets copies of the calls; None for no shadow
    trial: the version that a rollout judges; None without a rollout
    """

    weights: Mapping[str, float] = field(default_factory=dict)
    per_instance: bool = False
    shadow: Shadow | None = None
    trial: Trial | None = None

    def choose(self, instances: Mapping[str, int], name: str, key: str | None = None) -> str | None:
        """Return the version for a call; None if no version with a weight has an instance.

        instances: number of instances by version
        key: always chooses the same version while the weights stay the same. A version whose weight grows gains keys,
            and the other keys stay where they are
        """
        weights = {
            version: weight * (instances[version] if self.per_instance else 1)
            for version, weight in self.weights.items()
            if weight and instances.get(version)
        }
        if len(weights) < 2:
            return next(iter(weights), None)
        if key is None:
            return random.choices(list(weights), list(weights.values()))[0]
        return max(weights, key=lambda version: (_draw(name, version, key, weights[version]), version))

    def without_trial(self, version: str) -> TrafficPlan | None:
        """Return the plan for a call that failed at a version on trial; None if it is not, or is the only version."""
        if self.trial is None or self.trial.version != version:
            return None
        weights = {other: weight for other, weight in self.weights.items() if other != version and weight}
        return TrafficPlan(weights, self.per_instance) if weights else None

    @classmethod
    def from_note(cls, note: Any) -> TrafficPlan:
        """Return the plan in a parsed JSON object; unknown keys are ignored.

        Raises ValueError for an invalid plan.
        """
        if not isinstance(note, dict):
            raise ValueError(f"expected a JSON object, got {quote(note)}")
        if note.get("per", "version") not in ("version", "instance"):
            raise ValueError(f'invalid per: expected "version" or "instance", got {quote(note["per"])}')
        shadow, trial = note.get("shadow"), note.get("trial")
        return cls(
            _weights(note.get("weights") or {}),
            note.get("per") == "instance",
            None if shadow is None else _shadow(shadow),
            None if trial is None else _trial(trial),
        )

    @classmethod
    def from_json(cls, data: bytes) -> TrafficPlan:
        """Return the plan in a JSON document. Raises ValueError for an invalid plan."""
        return cls.from_note(read_json(data))

    def to_note(self) -> dict[str, Any]:
        """Return the plan as a JSON object, without defaults."""
        note: dict[str, Any] = {}
        if self.weights:
            note["weights"] = dict(self.weights)
        if self.per_instance:
            note["per"] = "instance"
        if self.shadow is not None:
            note["shadow"] = {"version": self.shadow.version, "share": self.shadow.share}
        if self.trial is not None:
            note["trial"] = {"rollout": self.trial.rollout, "version": self.trial.version}
        return note

    def to_json(self) -> bytes:
        return json.dumps(self.to_note()).encode()


def parse_plan(where: str, data: bytes) -> TrafficPlan | None:
    """Return the plan in a node at `where`; None, with a warning, if it is invalid. None for empty data too."""
    if not data:
        return None
    try:
        return TrafficPlan.from_json(data)
    except ValueError as error:
        log.warning("invalid traffic plan %s is ignored: %s", where, error)
        return None


def _draw(name: str, version: str, key: str, weight: float) -> float:
    """Return the score of a version for a key, by weighted rendezvous hashing; the highest score wins.

    Each version wins a share of the keys in proportion to its weight. The score does not depend on the other versions,
    so a change of one weight only moves keys to or from that version.
    """
    data = "\0".join((name, version, key)).encode("utf-8", "surrogatepass")
    number = int.from_bytes(blake2b(data, digest_size=6).digest(), "big")
    return weight / -math.log((number + 0.5) / 2**48)


def _weights(given: Any) -> dict[str, float]:
    if not isinstance(given, dict):
        raise ValueError(
            f'invalid weights: expected a JSON object such as {{"1.0": 90, "2.0": 10}}, got {quote(given)}'
        )
    weights = {validate_name(version, "version"): _number(weight, version) for version, weight in given.items()}
    if weights and not any(weights.values()):
        raise ValueError("invalid weights: at least one must be more than 0")
    return weights


def _number(weight: Any, version: str) -> float:
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight <= 1e9:
        raise ValueError(
            f"invalid weight of version {quote(version)}: expected a number from 0 to 1000000000, got {quote(weight)}"
        )
    return weight


def _shadow(given: Any) -> Shadow:
    if not isinstance(given, dict) or not isinstance(given.get("version"), str):
        raise ValueError(f'invalid shadow: expected a JSON object such as {{"version": "2.0"}}, got {quote(given)}')
    share = given.get("share", 1.0)
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
        raise ValueError(f"invalid share of the shadow: expected a number above 0 and at most 1, got {quote(share)}")
    return Shadow(validate_name(given["version"], "version"), share)


def _trial(given: Any) -> Trial:
    if not isinstance(given, dict) or not all(isinstance(given.get(key), str) for key in ("rollout", "version")):
        example = '{"rollout": "re-1", "version": "2.0"}'
        raise ValueError(f"invalid trial: expected a JSON object such as {example}, got {quote(given)}")
    return Trial(validate_name(given["rollout"], "rollout"), validate_name(given["version"], "version"))
