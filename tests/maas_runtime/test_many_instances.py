"""Tens of instances on one machine, as in the drill of hundreds; costs are reported, and asserted by the drill."""

from __future__ import annotations

import sys

import pytest

from drills import scale
from stellar.maas import FileRegistry

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

INSTANCES = 60


@pytest.fixture(scope="module")
def host():
    """A host with 60 ready instances of a one-line model."""
    with scale.run_host(INSTANCES) as (host, files):
        host.deploy(files, INSTANCES)
        yield host


def test_all_instances_are_ready_and_their_cost_is_measured(host, record_property):
    with FileRegistry(host.directory) as registry:
        assert len(registry.instances("one", "1.0")) == INSTANCES
    cost = host.measure_cost(3.0, INSTANCES)
    assert cost.processes == 2 + 2 * INSTANCES  # service, fork server; runners and guardians
    record_property("percent of a core", cost.core)
    record_property("megabytes", cost.megabytes)
    print(cost)


def test_killed_scripts_and_runners_are_noticed_and_replaced(host, eventually, record_property):
    with FileRegistry(host.directory) as registry:
        seconds = scale.time_deaths(host, registry, deaths=6)
        assert len(seconds) == 6
        eventually(lambda: len(registry.instances("one", "1.0")) == INSTANCES)
    record_property("seconds until a death was noticed", max(seconds))
    print(seconds)


def test_a_change_among_a_thousand_instances_takes_no_pass_over_all_files():
    reads = scale.count_reads()
    assert reads.instances == 1000
    assert (reads.passes, reads.files <= 10) == (0, True)
