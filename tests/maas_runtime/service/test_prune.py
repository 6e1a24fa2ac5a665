"""Copies of models' files are removed only if nothing names them."""

from __future__ import annotations

import os
from dataclasses import asdict

import pytest

from maas_runtime.deployers import Deployment
from maas_runtime.errors import DeployError
from maas_runtime.service.desired_state import DeploymentSpec
from maas_runtime.service.prune import RECENT_SECONDS, find_unused
from maas_runtime.service.rollouts import ReplaceRequest, Rollout
from stellar.maas import MemoryQueue, Model, ModelRequest
from stellar.maas.requests import make_note

DGA = Model("dga", "1.0")


@pytest.fixture
def copies(store, collateral, registry_dir):
    """Make copies of six models, an hour old, and a recent one."""
    paths = [store.add_content(collateral(folder=f"model{number}", number=str(number))) for number in range(7)]
    for path in paths[:-1]:
        folder = registry_dir / "store" / path.strip("/")
        os.utime(folder, (0, folder.stat().st_mtime - RECENT_SECONDS - 1))
    return paths


def test_only_old_copies_that_nothing_names_are_unused(copies, store, state_store):
    queue = MemoryQueue()
    wanted, assigned, replacing, before, noted, unused, _ = copies
    state_store.write("wanted/dga/1.0", DeploymentSpec(Deployment(DGA, "/dga", content=wanted), 1).to_object())
    state_store.write("assigned/dga/1", {"content": assigned})
    request = ReplaceRequest("dga", "2.0", 1, "/dga", content=replacing)
    rollout = Rollout("re-1", request, {"1.0": {"content": before}}, None, ())
    state_store.write("rollouts/dga", rollout.to_object())
    queue.enqueue(ModelRequest(name="x"), make_note(content=noted))
    assert [each.path for each in find_unused(state_store, queue, store)] == [unused]
    state_store.write("rollouts/dga", None)
    state_store.write("replace/re-2", asdict(request))
    assert {each.path for each in find_unused(state_store, queue, store)} == {unused, before}


def test_nothing_is_unused_while_an_entry_is_damaged(copies, store, state_store, registry_dir):
    (registry_dir / "maas/ext/wanted/dga").mkdir(parents=True)
    (registry_dir / "maas/ext/wanted/dga/1.0").write_text("{")
    with pytest.raises(DeployError, match=r"invalid wanted/dga/1\.0 .*: it may name any copy"):
        find_unused(state_store, MemoryQueue(), store)
