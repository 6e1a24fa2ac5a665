"""Traffic plans: how often which version is chosen, and for which key."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from stellar.maas import Shadow, TrafficPlan

BOTH = {"1.0": 1, "2.0": 1}


def drawn(plan, keys, instances=BOTH):
    return {key: plan.choose(instances, "dga", key) for key in keys}


def chi_square(counts, expected):
    return sum((counts[each] - wanted) ** 2 / wanted for each, wanted in expected.items())


# A right program fails these once in a hundred million times: chi-square of 1 degree of freedom above 33, of 2 above 37
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
def test_each_version_is_chosen_as_often_as_its_weight_says(keyed, plan, instances, shares):
    calls = 20_000
    counts = Counter(plan.choose(instances, "dga", f"key {n}" if keyed else None) for n in range(calls))
    assert counts.keys() == shares.keys()
    assert chi_square(counts, {version: share * calls for version, share in shares.items()}) < 37


@pytest.mark.parametrize("instances", [{}, {"3.0": 1}, {"1.0": 0}])
def test_a_plan_without_instances_says_nothing(instances):
    assert TrafficPlan({"1.0": 90, "2.0": 10}).choose(instances, "dga") is None


def test_no_weight_says_nothing_and_a_weight_of_0_is_never_chosen():
    assert TrafficPlan(shadow=Shadow("2.0")).choose(BOTH, "dga") is None
    assert {TrafficPlan({"1.0": 1, "2.0": 0}).choose(BOTH, "dga") for _ in range(100)} == {"1.0"}
    assert TrafficPlan({"1.0": 1, "2.0": 0}).choose({"2.0": 1}, "dga") is None


KEYS = [f"10.0.{n // 256}.{n % 256}" for n in range(4000)]


def test_the_same_key_is_given_the_same_version_whatever_the_order_of_the_weights():
    one, other = TrafficPlan({"1.0": 90, "2.0": 10}), TrafficPlan({"2.0": 1, "1.0": 9})
    assert drawn(one, KEYS) == drawn(one, KEYS) == drawn(other, KEYS)


def test_another_model_draws_otherwise():
    plan = TrafficPlan({"1.0": 1, "2.0": 1})
    assert [plan.choose(BOTH, "dga", key) for key in KEYS] != [plan.choose(BOTH, "spam", key) for key in KEYS]


def test_a_canary_that_grows_only_draws_keys_to_it():
    instances = {**BOTH, "3.0": 1}
    before = drawn(TrafficPlan({"1.0": 60, "2.0": 30, "3.0": 5}), KEYS, instances)
    for weight in (10, 40, 500):
        after = drawn(TrafficPlan({"1.0": 60, "2.0": 30, "3.0": weight}), KEYS, instances)
        moved = {key for key in KEYS if after[key] != before[key]}
        assert moved
        assert {after[key] for key in moved} == {"3.0"}
        before = after


def test_only_the_keys_of_a_version_that_is_gone_move_and_they_come_back():
    plan = TrafficPlan({"1.0": 60, "2.0": 30, "3.0": 10})
    all_there = drawn(plan, KEYS, {**BOTH, "3.0": 1})
    without = drawn(plan, KEYS)
    assert {key for key in KEYS if without[key] != all_there[key]} == {key for key in KEYS if all_there[key] == "3.0"}


@pytest.mark.parametrize("key", ["", "\0", "\ud800", "naïve", "x" * 100_000])
def test_any_text_is_a_key(key):
    assert TrafficPlan({"1.0": 1, "2.0": 1}).choose(BOTH, "dga", key) in BOTH


@pytest.mark.parametrize(
    "plan",
    [
        TrafficPlan(),
        TrafficPlan({"1.0": 90, "2.0": 10.5}, per_instance=True, shadow=Shadow("2.0", 0.25)),
        TrafficPlan(shadow=Shadow("2.0")),
    ],
)
def test_a_plan_is_read_as_it_was_written(plan):
    assert TrafficPlan.from_json(plan.to_json()) == plan


def test_other_keys_are_left_alone():
    assert TrafficPlan.from_json(b'{"weights": {"1.0": 1}, "note": "by me"}') == TrafficPlan({"1.0": 1})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[]", "a JSON object is needed here"),
        ('{"weights": [1]}', "weights: a JSON object such as"),
        ('{"weights": {"1.0": "90"}}', "weights: version '1.0' needs a number from 0 to 1000000000, not '90'"),
        ('{"weights": {"1.0": true}}', "needs a number"),
        ('{"weights": {"1.0": -1}}', "needs a number"),
        ('{"weights": {"1.0": 1e10}}', "needs a number"),
        ('{"weights": {"../x": 1}}', "the version '../x' can't be"),
        ('{"weights": {"1.0": 0, "2.0": 0}}', "one of them must be more than 0"),
        ('{"per": "request"}', 'per: "version" or "instance", not \'request\''),
        ('{"shadow": "2.0"}', "shadow: a JSON object such as"),
        ('{"shadow": {"version": 2}}', "shadow: a JSON object such as"),
        ('{"shadow": {"version": ""}}', "the version is empty"),
        ('{"shadow": {"version": "2.0", "share": 0}}', "the share is a number above 0, and at most 1, not 0"),
        ('{"shadow": {"version": "2.0", "share": 1.5}}', "the share is a number above 0, and at most 1, not 1.5"),
    ],
)
def test_what_is_no_plan_is_refused_with_the_reason(text, reason):
    with pytest.raises(ValueError, match=re.escape(reason)):
        TrafficPlan.from_json(text.encode())
