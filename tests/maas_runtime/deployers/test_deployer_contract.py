"""The contract of deployers, tested with each."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from maas_runtime.deployers import Deployment
from maas_runtime.deployers.memory import MemoryDeployer
from maas_runtime.errors import DeployError
from stellar.maas import Model

DGA = Model("dga", "1.0")


@pytest.fixture(params=["local", "memory", pytest.param("yarn", marks=pytest.mark.engine)])
def make_deployer(request, make_local_deployer, store, registry):
    if request.param == "local":
        return make_local_deployer
    if request.param == "yarn":
        return request.getfixturevalue("make_yarn_deployer")
    return lambda: MemoryDeployer(store, registry)


@pytest.fixture
def deployer(make_deployer):
    deployer = make_deployer()
    yield deployer
    for version in ("1.0", "2.0"):
        deployer.scale(Deployment(Model("dga", version), "/dga"), 0)


@pytest.mark.parametrize("wanted", [(2,), (2, 2), (2, 1), (1, 3), (2, 0), (0,)])
def test_scale_reaches_the_desired_state(wanted, deployer, deployment):
    for instances in wanted:
        deployer.scale(deployment, instances)
    assert deployer.running(DGA) == wanted[-1]


def test_started_instances_are_registered_and_stopped_ones_are_unregistered(deployer, deployment, registry, eventually):
    deployer.scale(deployment, 2)
    eventually(lambda: len(registry.instances(*DGA)) == 2)
    deployer.scale(deployment, 0)
    assert registry.instances() == ()


def test_the_oldest_are_stopped_first(deployer, deployment, registry, eventually):
    deployer.scale(deployment, 1)
    first = eventually(lambda: registry.instances())[0].id
    deployer.scale(deployment, 2)
    eventually(lambda: len(registry.instances()) == 2)
    deployer.scale(deployment, 1)
    assert [instance.id == first for instance in registry.instances()] == [False]


def test_models_and_versions_are_independent(deployer, deployment):
    other = replace(deployment, model=Model("dga", "2.0"))
    deployer.scale(deployment, 1)
    deployer.scale(other, 2)
    assert (deployer.running(DGA), deployer.running(other.model)) == (1, 2)
    deployer.scale(other, 0)
    assert (deployer.running(DGA), deployer.running(other.model)) == (1, 0)
    assert deployer.running(Model("other", "1.0")) == 0


def test_a_new_deployer_finds_the_running_instances(make_deployer, deployment, registry, eventually):
    make_deployer().scale(deployment, 1)
    before = eventually(lambda: registry.instances())
    after = make_deployer()
    after.scale(deployment, 1)
    assert after.running(DGA) == 1
    assert registry.instances() == before
    after.scale(deployment, 0)
    assert registry.instances() == ()


def test_a_deployment_without_files_fails_and_starts_nothing(deployer):
    with pytest.raises(DeployError, match="unknown path /nowhere in the model store"):
        deployer.scale(Deployment(DGA, "/nowhere"), 1)
    assert deployer.running(DGA) == 0


def test_scale_is_thread_safe(deployer, deployment):
    threads = [threading.Thread(target=deployer.scale, args=(deployment, 2)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert deployer.running(DGA) == 2
