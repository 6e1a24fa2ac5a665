"""The benchmark of models: its model answers as it should, and what answers otherwise is not timed."""

from __future__ import annotations

import pytest

pytest.importorskip("benchmarks", reason="the benchmarks are in the checkout, not in the wheel")

from benchmarks import models


def test_every_way_to_ask_is_timed_and_no_answer_is_asked_for_twice() -> None:
    text, found = models.models({}, 0.02)
    assert "evaluate_many, with a function batch" in text
    figures = {finding.limit: finding.figure for finding in found}
    assert figures[models.REPEATS] == 1
    assert figures[models.CALL] > 0
    assert 0 < figures[models.STREAM] < 1


def test_scores_that_belong_to_other_records_are_not_timed() -> None:
    with pytest.raises(RuntimeError, match="a score that is not its own"):
        models._rate(lambda records: [0 for _ in records], 0.01)


def test_the_most_frequent_host_comes_twice_as_often_as_the_second() -> None:
    hosts = [record["host"] for record in models._repeating(20_000, 1)]
    assert hosts.count("1.example.com") / hosts.count("2.example.com") == pytest.approx(2, rel=0.15)
