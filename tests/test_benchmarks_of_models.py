"""The benchmark of models: all clients are measured, and wrong results are an error."""

from __future__ import annotations

import pytest

pytest.importorskip("benchmarks", reason="the benchmarks are in the checkout, not in the wheel")
pytest.importorskip("aiohttp", reason="a peer in the benchmarks; pip install '.[bench]'")

from benchmarks import local_calls, models, registry


def test_every_client_is_measured_and_no_repeated_record_is_requested_twice() -> None:
    _, found = result = models.models({}, 0.02)
    for client in (models.SEQUENTIAL, models.GATHERED, models.SLIDING, models.OURS, models.BATCHED, models.CACHING):
        assert client in result.text
    figures = {finding.limit: finding.figure for finding in found}
    assert figures[models.REPEATS] == 1
    assert "in the process of the client" in result.text
    limits = {
        local_calls.LOCAL,
        models.CALL,
        models.STREAM,
        models.GATHER,
        models.BATCH,
        models.CACHED,
        models.REPEATS,
        models.WINDOW,
    }
    assert figures.keys() == limits
    assert all(figure > 0 for figure in figures.values())


def test_scores_of_other_records_are_an_error() -> None:
    with pytest.raises(RuntimeError, match="the score of another record"):
        models._measure_rate(lambda records: [0 for _ in records], 0.01)


def test_hosts_follow_zipfs_law() -> None:
    hosts = [record["host"] for record in models._make_repeating(100_000)]
    assert hosts.count("1.example.com") / hosts.count("2.example.com") == pytest.approx(2**1.1, rel=0.1)
    assert len(set(hosts)) > 5000


@pytest.mark.engine
def test_changes_of_the_registry_are_measured(engines: None) -> None:
    _, (found,) = result = registry.registry({}, 3)
    assert "6 changes of the registry" in result.text
    assert found.figure > 0
