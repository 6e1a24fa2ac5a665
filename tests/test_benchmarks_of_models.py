"""The benchmark of models: its model answers as it should, and what answers otherwise is not timed."""

from __future__ import annotations

import pytest

pytest.importorskip("benchmarks", reason="the benchmarks are in the checkout, not in the wheel")
pytest.importorskip("aiohttp", reason="a peer in the benchmarks; pip install '.[bench]'")

from benchmarks import models, registry


def test_every_way_to_ask_is_timed_and_no_answer_is_asked_for_twice() -> None:
    text, found = models.models({}, 0.02)
    for way in (models.SEQUENTIAL, models.GATHERED, models.SLIDING, models.OURS, models.BATCHED, models.CACHING):
        assert way in text
    figures = {finding.limit: finding.figure for finding in found}
    assert figures[models.REPEATS] == 1
    limits = {models.CALL, models.STREAM, models.GATHER, models.BATCH, models.CACHED, models.REPEATS}
    assert figures.keys() == limits
    assert all(figure > 0 for figure in figures.values())


def test_scores_that_belong_to_other_records_are_not_timed() -> None:
    with pytest.raises(RuntimeError, match="a score that is not its own"):
        models._rate(lambda records: [0 for _ in records], 0.01)


def test_frequent_hosts_come_as_often_as_the_law_says() -> None:
    hosts = [record["host"] for record in models._repeating(100_000)]
    assert hosts.count("1.example.com") / hosts.count("2.example.com") == pytest.approx(2**1.1, rel=0.1)
    assert len(set(hosts)) > 5000


@pytest.mark.engine
def test_changes_of_the_registry_are_timed(engines: None) -> None:
    text, (found,) = registry.registry({}, 3)
    assert "6 changes of the registry" in text
    assert found.figure > 0
