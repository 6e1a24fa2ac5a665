"""The benchmarks compare like with like, and say so where they don't."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest

pytest.importorskip("benchmarks", reason="the benchmarks are in the checkout, not in the wheel")

import stellar
from benchmarks import functions, java, language, prompt, report
from benchmarks.measure import geometric_mean, interleaved
from benchmarks.rules import SHAPES, mixed_rules, short_rules
from benchmarks.tasks import RECORDS_WITH_NULLS, TASKS, Task, records, same


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_stellar_answers_as_the_function_written_by_hand(task: Task) -> None:
    evaluate = stellar.compile(task.stellar)
    for record in [*records(200), *RECORDS_WITH_NULLS]:
        assert same(evaluate(record), task.by_hand(record)), record


@pytest.mark.parametrize("case", json.loads(java.DATA.read_text()), ids=lambda case: case["id"])
def test_an_expression_timed_on_the_jvm_answers_as_its_function(case: dict[str, Any]) -> None:
    assert same(stellar.compile(case["expr"])(case["vars"]), java.FUNCTIONS[case["id"]](case["vars"]))


@pytest.mark.parametrize("pair", functions.PAIRS, ids=lambda pair: f"{pair.stellar} beside {pair.means}")
def test_a_function_answers_as_the_python_beside_it(pair: functions.Pair) -> None:
    if "HLLP" in pair.stellar:
        pytest.importorskip("datasketches")
    assert not isinstance(functions.checked(pair, stellar.compile), str)


def test_a_function_with_a_wrong_answer_or_none_is_not_timed() -> None:
    pair = functions.PAIRS[0]
    assert functions.checked(pair, lambda _text: lambda _record: "nonsense") == "wrong answer"
    assert functions.checked(pair, _refuse) == "raises ValueError"


def test_short_rules_have_34_characters_and_differ() -> None:
    rules = short_rules("stellar")
    assert {len(rule) for rule in rules} == {34}
    assert len(set(rules)) == len(rules)


@pytest.mark.parametrize("peer", SHAPES)
def test_no_rule_of_a_rule_set_comes_twice(peer: str) -> None:
    assert len(set(mixed_rules(peer, 1000))) == 1000


def test_every_shape_of_rule_is_an_expression_that_evaluates() -> None:
    [record] = records(1)
    for rule in mixed_rules("stellar", 5):
        stellar.compile(rule)(record)


def test_records_have_the_fields_asked_for_and_differ() -> None:
    for fields in (2, 9, 69):
        assert {len(record) for record in records(20, fields)} == {fields}
    assert len({repr(record) for record in records(1000)}) == 1000


def test_what_is_measured_takes_turns() -> None:
    order: list[str] = []

    def work(name: str) -> None:
        order.append(name)
        sum(range(400_000))  # longer than a turn, so that it is not repeated within one

    interleaved({"a": partial(work, "a"), "b": partial(work, "b")}, share=0, least=3)
    measured = order[2:]  # each has run once before, to see how long it takes
    assert sorted(measured) == ["a"] * 3 + ["b"] * 3
    assert measured[0] != measured[1]


def test_quick_work_is_repeated_until_a_turn_is_as_long_as_that_of_slow_work() -> None:
    runs: list[int] = []
    interleaved({"quick": lambda: runs.append(1)}, share=0, least=1)
    assert len(runs) > 100


def test_the_figure_of_each_slice_is_its_own() -> None:
    taken = interleaved({"much": lambda: sum(range(20_000)), "little": lambda: None}, share=0)
    assert taken["little"] < taken["much"]


def test_a_wrong_answer_is_shown_and_not_timed() -> None:
    shown = language.tasks({"stellar": stellar.compile, "jmespath": lambda _text: lambda _record: "nonsense"}, share=0)
    assert shown.text.count("wrong answer") == sum("jmespath" in task.peers for task in TASKS)


def test_a_peer_that_is_missing_or_fails_is_shown_so() -> None:
    shown = language.tasks({"stellar": stellar.compile, "jmespath": None, "simpleeval": _refuse}, share=0)
    assert "not installed" in shown.text
    assert "raises ValueError" in shown.text


def _refuse(text: str) -> Any:
    raise ValueError(text)


@pytest.mark.parametrize(("figure", "verdict"), [(2.0, "aim met"), (2.1, "must met"), (3.1, "MISSED")])
def test_a_figure_is_judged_by_its_limits(figure: float, verdict: str) -> None:
    assert report.Finding(report.Limit("anything", must=3, aim=2), figure).verdict == verdict


@pytest.mark.parametrize(
    ("answer", "expected", "alike"),
    [
        ((2, 4.0), [2, 4], True),
        ([2], [2, 4], False),
        (1.0, 1, True),
        ("1", 1, False),
        ("a", "b", False),
        (None, "d", False),
    ],
)
def test_answers_are_compared_by_meaning(answer: object, expected: object, alike: bool) -> None:
    assert same(answer, expected) is alike


def test_the_geometric_mean_of_a_ratio_and_its_inverse_is_one() -> None:
    assert geometric_mean([4, 0.25]) == pytest.approx(1)


def test_a_prompt_is_waited_for_and_its_absence_told(tmp_path) -> None:
    taken = prompt.first_prompt(["-c", "import time; time.sleep(0.2); print('>>>'); time.sleep(600)"], str(tmp_path))
    assert 200 <= taken.wall < 600_000
    with pytest.raises(RuntimeError, match=r"print\(5\) shows no prompt, but b'5"):
        prompt.first_prompt(["-c", "print(5)"], str(tmp_path))
