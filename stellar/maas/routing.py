"""Where calls go that name no version of a model: by weight, by instance, and to whom they are shown besides.

A plan stands beside the registrations, where Metron's programs do not look. Each part may be left out:

    /maas/ext/traffic/<model>   {"weights": {"1.0": 90, "2.0": 10}, "per": "instance",
                                 "shadow": {"version": "2.0", "share": 0.5}}
"""

from __future__ import annotations

import json
import logging
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from stellar.maas.schema import checked_name, read_json

if TYPE_CHECKING:
    pass

log = logging.getLogger(__name__)

TRAFFIC = "traffic"  # the folder of the plans, below that of all our notes


class Chosen(dict[str, Any]):
    """An endpoint as a map, of a version that nobody named: the plan has chosen it, or it is the newest.

    key: what was given so that the same version is chosen each time
    """

    def __init__(self, endpoint: Mapping[str, Any], key: str | None = None) -> None:
        super().__init__(endpoint)
        self.key = key


@dataclass(frozen=True)
class Shadow:
    """A version to which calls are sent too, so that its answers can be compared.

    share: of the calls, from 0 to 1
    """

    version: str
    share: float = 1.0


@dataclass(frozen=True)
class TrafficPlan:
    """Where calls go that name no version of a model.

    weights: of each version; a version that is left out gets nothing. None at all: to the newest version
    per_instance: whether a weight counts for each instance of the version
    shadow: who gets the calls besides
    """

    weights: Mapping[str, float] = field(default_factory=dict)
    per_instance: bool = False
    shadow: Shadow | None = None

    def choose(self, instances: Mapping[str, int], name: str, key: str | None = None) -> str | None:
        """The version for a call, of those that have instances; None if the plan says nothing of these.

        instances: how many there are of each version
        key: the same key is given the same version, as long as the weights stay; one that grows only draws keys to it
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

    @classmethod
    def from_note(cls, note: Any) -> TrafficPlan:
        """The plan that a JSON object holds; other keys than those of a plan are left alone.

        Raises ValueError, saying what is wrong.
        """
        if not isinstance(note, dict):
            raise ValueError("a JSON object is needed here")
        if note.get("per", "version") not in ("version", "instance"):
            raise ValueError(f'per: "version" or "instance", not {note["per"]!r}')
        shadow = note.get("shadow")
        return cls(
            _weights(note.get("weights") or {}),
            note.get("per") == "instance",
            None if shadow is None else _shadow(shadow),
        )

    @classmethod
    def from_json(cls, data: bytes) -> TrafficPlan:
        """Raises ValueError, saying what is wrong."""
        return cls.from_note(read_json(data))

    def to_note(self) -> dict[str, Any]:
        note: dict[str, Any] = {}
        if self.weights:
            note["weights"] = dict(self.weights)
        if self.per_instance:
            note["per"] = "instance"
        if self.shadow is not None:
            note["shadow"] = {"version": self.shadow.version, "share": self.shadow.share}
        return note

    def to_json(self) -> bytes:
        return json.dumps(self.to_note()).encode()


def checked_plan(where: str, data: bytes) -> TrafficPlan | None:
    """The plan that these bytes hold. What is none counts as absent, and a warning names it."""
    if not data:
        return None
    try:
        return TrafficPlan.from_json(data)
    except ValueError as error:
        log.warning("%s is no traffic plan and counts as none: %s", where, error)
        return None


def _draw(name: str, version: str, key: str, weight: float) -> float:
    """What a version draws for a key; the highest draw wins, and each wins as often as its weight says.

    Another version's weight, or absence, changes nothing here. So a key changes its version only if that one loses it,
    or another one gains it (weighted rendezvous hashing).
    """
    text = "\0".join((name, version, key)).encode("utf-8", "surrogatepass")
    number = int.from_bytes(blake2b(text, digest_size=6).digest(), "big")
    return weight / -math.log((number + 0.5) / 2**48)


def _weights(given: Any) -> dict[str, float]:
    if not isinstance(given, dict):
        raise ValueError(f'weights: a JSON object such as {{"1.0": 90, "2.0": 10}} is needed here, not {given!r}')
    weights = {checked_name(version, "version"): _number(weight, version) for version, weight in given.items()}
    if weights and not any(weights.values()):
        raise ValueError("weights: one of them must be more than 0")
    return weights


def _number(weight: Any, version: str) -> float:
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight <= 1e9:
        raise ValueError(f"weights: version {version!r} needs a number from 0 to 1000000000, not {weight!r}")
    return weight


def _shadow(given: Any) -> Shadow:
    if not isinstance(given, dict) or not isinstance(given.get("version"), str):
        raise ValueError(f'shadow: a JSON object such as {{"version": "2.0"}} is needed here, not {given!r}')
    share = given.get("share", 1.0)
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
        raise ValueError(f"shadow: the share is a number above 0, and at most 1, not {share!r}")
    return Shadow(checked_name(given["version"], "version"), share)
