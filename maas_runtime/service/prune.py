"""Find the immutable copies of models' files that nothing needs any more."""

from __future__ import annotations

import time
from collections.abc import Iterator

from maas_runtime.errors import DeployError
from maas_runtime.service.rollouts import REPLACE_REQUESTS, ROLLOUTS
from maas_runtime.state.assignments import ASSIGNED
from maas_runtime.state.store import JsonObject, StateStore
from maas_runtime.store.base import ModelStore
from maas_runtime.store.content import StoredContent, read_digest
from stellar.maas.requests import RequestQueue
from stellar.maas.schema import read_json

RECENT_SECONDS = 3600.0  # during which a copy may belong to a request that is about to be sent


def find_unused(state_store: StateStore, queue: RequestQueue, store: ModelStore) -> list[StoredContent]:
    """Return the copies that no desired state, instance, rollout or waiting request names.

    Raises DeployError if one of these cannot be read, as it may name any copy.
    """
    stored = store.contents()  # first, so that whatever names them is read later
    used = {read_digest(str(content)) for content in _find_named(state_store, queue)}
    old = time.time() - RECENT_SECONDS
    return [each for each in stored if each.made < old and each.path.rpartition("/")[2] not in used]


def _find_named(state_store: StateStore, queue: RequestQueue) -> Iterator[object]:
    for kind in ("wanted", ASSIGNED):
        for model in state_store.names(kind):
            for name in state_store.names(f"{kind}/{model}"):
                yield _read(state_store, f"{kind}/{model}/{name}").get("content")
    for id in state_store.names(REPLACE_REQUESTS):
        yield _read(state_store, f"{REPLACE_REQUESTS}/{id}").get("content")
    for model in state_store.names(ROLLOUTS):
        rollout = _read(state_store, f"{ROLLOUTS}/{model}")
        yield from _find_in_rollout(rollout)
    for item in queue.items():
        yield _read_note(item.note, item.name).get("content")


def _find_in_rollout(rollout: JsonObject) -> Iterator[object]:
    for entry in (rollout.get("wish"), *(rollout.get("before") or {}).values()):
        if isinstance(entry, dict):
            yield entry.get("content")


def _read(state_store: StateStore, path: str) -> JsonObject:
    if (entry := state_store.read(path)) is None and path.rpartition("/")[2] in state_store.names(
        path.rpartition("/")[0]
    ):
        raise DeployError(f"invalid {path} in the state store: it may name any copy; correct or delete it first")
    return entry or {}


def _read_note(note: bytes | None, item: str) -> JsonObject:
    try:
        found = read_json(note) if note is not None else {}
    except ValueError as error:
        raise DeployError(f"invalid note of the request {item}: {error}") from None
    return found if isinstance(found, dict) else {}
