"""Traffic plans: distribution of calls and keys over versions."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from stellar.maas import Shadow, TrafficPlan, Trial

BOTH = {"1.0": 1, "2.0": 1}


def drawn(plan, keys, instances=BOTH):
    return {key: plan.choose(instances, "dga", key) for key in keys}


def chi_square(counts, expected):
    return sum((counts[each] - wanted) ** 2 / wanted for each, wanted in expected.items())


# A correct program fails once in a hundred million runs: chi-square of 1 degree of freedom above 33, of 2 above 37
@pytest.mark.parametrize("keyed", [True, False])
@pytest.mark.parametrize(
    ("plan", "instances", "shares"),
    [
        (TrafficPlan({"1.0": 90, "2.0": 10}), BOTH, {"1.0": 0.9, "2.0": 0.1}),
        (TrafficPlan({"1.0": 1, "2.0": 1}, per_instance=True), {"1.0": 3, "2.0": 1}, {"1.0": 0.75, "2.0": 0.25}),
        (TrafficPlan({"1.0": 5, "2.0": 3, "3.0": 2}), {**BOTH, "3.0": 9}, {"1.0": 0.5, "2.0": 0.3, "3.0": 0.2}),
        (TrafficPlan({"1.0": 0.5, "2.0": 0.25, "3.0": 99}), BOTH, {"1.0": 2 / 3, "2.0": 1 / 3}),
    ],
)
def test_each_version_is_chosen_in_proportion_to_its_weight(keyed, plan, instances, shares):
    calls = 20_000
    counts = Counter(plan.choose(instances, "dga", f"key {n}" if keyed else None) for n in range(calls))
    assert counts.keys() == shares.keys()
    assert chi_square(counts, {version: share * calls for version, share in shares.items()}) < 37


@pytest.mark.parametrize("instances", [{}, {"3.0": 1}, {"1.0": 0}])
def test_a_plan_without_instances_chooses_no_version(instances):
    assert TrafficPlan({"1.0": 90, "2.0": 10}).choose(instances, "dga") is None


def test_a_missing_weight_or_a_weight_of_0_is_never_chosen():
    assert TrafficPlan(shadow=Shadow("2.0")).choose(BOTH, "dga") is None
    assert {TrafficPlan({"1.0": 1, "2.0": 0}).choose(BOTH, "dga") for _ in range(100)} == {"1.0"}
    assert TrafficPlan({"1.0": 1, "2.0": 0}).choose({"2.0": 1}, "dga") is None


KEYS = [f"10.0.{n // 256}.{n % 256}" for n in range(4000)]


def test_the_same_key_always_gets_the_same_version():
    one, other = TrafficPlan({"1.0": 90, "2.0": 10}), TrafficPlan({"2.0": 1, "1.0": 9})
    assert drawn(one, KEYS) == drawn(one, KEYS) == drawn(other, KEYS)


def test_keys_are_distributed_independently_for_each_model():
    plan = TrafficPlan({"1.0": 1, "2.0": 1})
    assert [plan.choose(BOTH, "dga", key) for key in KEYS] != [plan.choose(BOTH, "spam", key) for key in KEYS]


def test_a_growing_canary_only_gains_keys():
    instances = {**BOTH, "3.0": 1}
    before = drawn(TrafficPlan({"1.0": 60, "2.0": 30, "3.0": 5}), KEYS, instances)
    for weight in (10, 40, 500):
        after = drawn(TrafficPlan({"1.0": 60, "2.0": 30, "3.0": weight}), KEYS, instances)
        moved = {key for key in KEYS if after[key] != before[key]}
        assert moved
        assert {after[key] for key in moved} == {"3.0"}
        before = after


def test_only_the_keys_of_a_missing_version_move_and_they_return():
    plan = TrafficPlan({"1.0": 60, "2.0": 30, "3.0": 10})
    all_there = drawn(plan, KEYS, {**BOTH, "3.0": 1})
    without = drawn(plan, KEYS)
    assert {key for key in KEYS if without[key] != all_there[key]} == {key for key in KEYS if all_there[key] == "3.0"}


@pytest.mark.parametrize("key", ["", "\0", "\ud800", "naïve", "x" * 100_000])
def test_any_string_is_a_key(key):
    assert TrafficPlan({"1.0": 1, "2.0": 1}).choose(BOTH, "dga", key) in BOTH


@pytest.mark.parametrize(
    "plan",
    [
        TrafficPlan(),
        TrafficPlan({"1.0": 90, "2.0": 10.5}, per_instance=True, shadow=Shadow("2.0", 0.25)),
        TrafficPlan(shadow=Shadow("2.0")),
        TrafficPlan({"1.0": 1, "2.0": 0.01}, per_instance=True, trial=Trial("re-1", "2.0")),
    ],
)
def test_a_plan_survives_a_round_trip(plan):
    assert TrafficPlan.from_json(plan.to_json()) == plan


def test_unknown_keys_are_ignored():
    assert TrafficPlan.from_json(b'{"weights": {"1.0": 1}, "note": "by me"}') == TrafficPlan({"1.0": 1})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[]", "expected a JSON object"),
        ('{"weights": [1]}', "invalid weights: expected a JSON object such as"),
        (
            '{"weights": {"1.0": "90"}}',
            "invalid weight of version '1.0': expected a number from 0 to 1000000000, got '90'",
        ),
        ('{"weights": {"1.0": true}}', "expected a number"),
        ('{"weights": {"1.0": -1}}', "expected a number"),
        ('{"weights": {"1.0": 1e10}}', "expected a number"),
        ('{"weights": {"../x": 1}}', "the version '../x' is invalid"),
        ('{"weights": {"1.0": 0, "2.0": 0}}', "at least one must be more than 0"),
        ('{"per": "request"}', 'invalid per: expected "version" or "instance", got \'request\''),
        ('{"shadow": "2.0"}', "invalid shadow: expected a JSON object such as"),
        ('{"shadow": {"version": 2}}', "invalid shadow: expected a JSON object such as"),
        ('{"shadow": {"version": ""}}', "the version is empty"),
        ('{"shadow": {"version": "2.0", "share": 0}}', "expected a number above 0 and at most 1, got 0"),
        ('{"shadow": {"version": "2.0", "share": 1.5}}', "expected a number above 0 and at most 1, got 1.5"),
        ('{"trial": "2.0"}', "invalid trial: expected a JSON object such as"),
        ('{"trial": {"version": "2.0"}}', "invalid trial: expected a JSON object such as"),
        ('{"trial": {"rollout": "a/b", "version": "2.0"}}', "the rollout 'a/b' is invalid"),
        ('{"trial": {"rollout": "re-1", "version": ".."}}', "the version '..' is invalid"),
    ],
)
def test_an_invalid_plan_is_rejected_with_the_reason(text, reason):
    with pytest.raises(ValueError, match=re.escape(reason)):
        TrafficPlan.from_json(text.encode())


def test_a_call_that_failed_on_trial_goes_to_the_other_versions():
    plan = TrafficPlan({"1.0": 1, "1.5": 0, "2.0": 9}, per_instance=True, trial=Trial("re-1", "2.0"))
    assert plan.without_trial("2.0") == TrafficPlan({"1.0": 1}, per_instance=True)
    assert plan.without_trial("1.0") is None
    assert TrafficPlan({"2.0": 1}, trial=Trial("re-1", "2.0")).without_trial("2.0") is None
    assert TrafficPlan({"1.0": 1, "2.0": 1}).without_trial("2.0") is None
