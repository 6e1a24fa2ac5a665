"""The names that `maas_runtime` exports."""

from __future__ import annotations

import subprocess
import sys

import pytest

import maas_runtime

NAMES = [
    "Agent",
    "AssigningDeployer",
    "DeployError",
    "Deployer",
    "Deployment",
    "DirectoryStateStore",
    "HdfsStore",
    "Limits",
    "LocalInstances",
    "LocalStore",
    "MemoryDeployer",
    "ModelStore",
    "Service",
    "StateStore",
    "YarnDeployer",
    "YarnServices",
    "YarnSettings",
    "ZooKeeperStateStore",
    "build_archive",
]


def test_all_lists_the_public_names():
    assert sorted(maas_runtime.__all__) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_each_public_name_is_defined_in_the_package(name):
    assert getattr(maas_runtime, name).__module__.startswith("maas_runtime.")


def test_importing_the_package_loads_no_other_module_of_it():
    program = "import sys, maas_runtime; print([name for name in sys.modules if name.startswith('maas_runtime.')])"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"
