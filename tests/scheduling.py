"""Distribution of tests to the workers of pytest-xdist: whole files, and all files of an engine to one worker.

A worker starts an engine when a test first requests it, and stops it at the end, so each engine is started once. YARN
has a worker of its own, with a ZooKeeper of its own; its tests take as long as those of ZooKeeper, HDFS and Kerberos.
All these come first, since the longest work must not begin last. Tests of Kafka, OpenSearch, Elasticsearch, Spark and a
browser are a run of their own, because they take as long as all others. Tests of signals, forks and races run alone,
in another run.
"""

from __future__ import annotations

import pytest
from xdist.scheduler import LoadScopeScheduling

# Scopes, and how the ids of their tests start
SCOPES = {
    "yarn": [
        "docs/test_command_blocks.py::test_each_command_with_yarn",
        "integration/test_yarn.py",
        "maas_runtime/deployers/test_deployer_contract.py",
    ],
    "engines": [
        "docs/test_command_blocks.py::test_each_command_with_zookeeper",
        "docs/test_zookeeper_page.py",
        "integration/",
        "maas/registries/test_registry_contract.py",
        "maas/registries/test_reports.py",
        "maas/registries/test_request_queue.py",
        "maas_runtime/state/test_state_store_contract.py",
        "maas_runtime/store/test_store_contract.py",
        "pipeline/test_cluster_tools.py",
        "pipeline/test_live_configuration.py",
        "pipeline/test_run_from_zookeeper.py",
        "test_benchmarks_of_models.py",
    ],
    "kafka": [
        "docs/test_command_blocks.py::test_each_command_with_kafka",
        "docs/test_command_blocks.py::test_each_command_with_opensearch",
        "pipeline/connectors/test_remote.py",
        "pipeline/kafka/",
        "pipeline/test_run_contract.py",
    ],
    "search": ["pipeline/search/"],
    "spark": ["spark/"],
    "browser": ["web/alerts/test_chromium.py"],
    "cluster": ["test_cluster_demo.py", "test_stream_drill.py"],
}
# The scopes of the run of its own
CLUSTER = ("kafka", "search", "spark", "browser", "cluster")

SERIAL = (
    "functions/test_forks.py",
    "maas/client/test_calls_under_load.py",
    "maas/client/test_deadline.py",
    "maas/client/test_fork.py",
    "maas/client/test_hedging.py",
    "maas/client/test_outages.py",
    "maas/registries/test_registry_forks.py",
    "net/test_breaker.py",
    "test_drills.py",
    "util/test_scheduler.py",
)


def path_of(nodeid: str) -> str:
    """Return the path of a test's file below tests/."""
    return nodeid.partition("::")[0].removeprefix("tests/")


def scope_of(nodeid: str) -> str:
    """Return the unit of distribution that a test belongs to: its engine, or else its file."""
    inner = nodeid.removeprefix("tests/")
    return next((scope for scope, starts in SCOPES.items() if inner.startswith(tuple(starts))), path_of(nodeid))


def mark_and_sort(items: list[pytest.Item]) -> None:
    """Mark the tests of other runs, and move the tests of engines to the front; other tests keep their order."""
    for item in items:
        if path_of(item.nodeid) in SERIAL:
            item.add_marker(pytest.mark.serial)
        if scope_of(item.nodeid) in CLUSTER:
            item.add_marker(pytest.mark.cluster)
    ranks = {scope: rank for rank, scope in enumerate(SCOPES)}
    items.sort(key=lambda item: ranks.get(scope_of(item.nodeid), len(ranks)))


class EngineScheduling(LoadScopeScheduling):
    """Distribute tests by `scope_of`, in the order of collection."""

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)
