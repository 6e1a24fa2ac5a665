"""The benchmarks measure only equal results, and report differences."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("benchmarks", reason="the benchmarks are in the checkout, not in the wheel")

import stellar
from benchmarks import (
    alerts,
    columns,
    functions,
    java,
    language,
    mapped,
    parsers,
    peers,
    pipeline,
    prompt,
    report,
    results,
    rule_sets,
    scoring,
    spark,
    startup,
)
from benchmarks.measure import ROOT, geometric_mean, interleave, process
from benchmarks.model_documents import write_document
from benchmarks.rules import SHAPES, make_mixed_rules, make_short_rules
from benchmarks.tasks import RECORDS_WITH_NULLS, TASKS, Task, records, same
from stellar.models.loading import read_pmml
from stellar.web.alerts.sqlite_source import SqliteSource


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_stellar_and_the_hand_written_function_agree(task: Task) -> None:
    evaluate = stellar.compile(task.stellar)
    for record in [*records(200), *RECORDS_WITH_NULLS]:
        assert same(evaluate(record), task.by_hand(record)), record


@pytest.mark.parametrize("task", [task for task in TASKS if task.by_key], ids=lambda task: task.name)
def test_the_functions_for_records_with_all_fields_agree(task: Task) -> None:
    assert task.by_key is not None
    for record in records(200):
        assert same(task.by_key(record), task.by_hand(record)), record


def test_lists_of_results_are_measured_if_they_are_equal() -> None:
    given = records(20)
    slices = mapped.make_slices("T1", TASKS[0].stellar, TASKS[0].by_hand, given)
    assert set(slices) == {("T1", "list"), ("T1", "mapped")}
    with pytest.raises(AssertionError, match="x > 11"):
        mapped.make_slices("T1", "x > 11", TASKS[0].by_hand, given)


@pytest.mark.parametrize("case", json.loads(java.DATA.read_text()), ids=lambda case: case["id"])
def test_an_expression_measured_on_the_jvm_agrees_with_its_function(case: dict[str, Any]) -> None:
    assert same(stellar.compile(case["expr"])(case["vars"]), java.FUNCTIONS[case["id"]](case["vars"]))


@pytest.mark.parametrize("pair", functions.PAIRS, ids=lambda pair: f"{pair.stellar} and {pair.means}")
def test_a_function_agrees_with_its_python_equivalent(pair: functions.Pair) -> None:
    if "HLLP" in pair.stellar:
        pytest.importorskip("datasketches")
    assert not isinstance(functions.compile_pair(pair, stellar.compile), str)


def test_rules_match_as_often_in_columns_as_one_by_one(tmp_path: Path) -> None:
    pytest.importorskip("polars")
    counts = columns.make_counts(tmp_path, columns.make_records(500), stellar.compile)
    assert len({count() for count in counts.values()}) == 1


@pytest.mark.parametrize("case", parsers.cases(), ids=lambda case: case["name"])
def test_a_parser_agrees_with_its_python_equivalent(case: dict[str, Any]) -> None:
    parse = parsers.make_parser(case)
    for line in case["lines"]:
        assert parse(line) == parsers.FUNCTIONS[case["name"]](line)


def test_the_pipeline_makes_the_documents_of_the_program() -> None:
    lines = pipeline.make_lines()
    expected = pipeline.collect_documents(pipeline.make_run(), lines)
    for make in (pipeline.make_document, pipeline.make_null_aware_document):
        assert pipeline.collect_documents(partial(pipeline.run_by_hand, make), lines) == expected


@pytest.mark.parametrize(
    ("rules", "by_hand"),
    [
        (rule_sets.make_rules(100), rule_sets.write_by_hand),
        (rule_sets.make_equality_rules(1000), rule_sets.look_up_by_hand),
    ],
)
def test_a_rule_set_agrees_with_its_python_equivalent(rules: list[rule_sets.Rule], by_hand: Any) -> None:
    stage, peer = rule_sets.configure(rules), by_hand(rules)
    alerts = rule_sets.make_alerts() * rule_sets.WARM_UP  # enough for the rules to be fused
    for alert in alerts:
        assert stage(alert) == peer(alert)
    assert any("threat.triage.score" in stage(alert) for alert in alerts)


def test_a_look_up_table_agrees_with_its_python_equivalent() -> None:
    source, look_up = rule_sets.make_look_up(500)
    evaluate = stellar.compile(source)
    for alert in rule_sets.make_alerts():
        assert evaluate(alert) == look_up(alert)


def test_a_function_with_a_wrong_result_is_not_measured() -> None:
    pair = functions.PAIRS[0]
    assert functions.compile_pair(pair, lambda _text: lambda _record: "nonsense") == "wrong result"
    assert functions.compile_pair(pair, _reject) == "raises ValueError"


def test_short_rules_have_34_characters_and_differ() -> None:
    rules = make_short_rules("stellar")
    assert {len(rule) for rule in rules} == {34}
    assert len(set(rules)) == len(rules)


@pytest.mark.parametrize("peer", SHAPES)
def test_the_rules_of_a_rule_set_are_different(peer: str) -> None:
    assert len(set(make_mixed_rules(peer, 1000))) == 1000


def test_every_shape_of_rule_is_an_expression_that_evaluates() -> None:
    [record] = records(1)
    for rule in make_mixed_rules("stellar", 5):
        stellar.compile(rule)(record)


def test_records_have_the_requested_fields_and_differ() -> None:
    for fields in (2, 9, 69):
        assert {len(record) for record in records(20, fields)} == {fields}
    assert len({repr(record) for record in records(1000)}) == 1000


def test_measurements_alternate() -> None:
    order: list[str] = []

    def work(name: str) -> None:
        order.append(name)
        sum(range(400_000))  # longer than a turn, so it is not repeated

    interleave({"a": partial(work, "a"), "b": partial(work, "b")}, share=0, least=3)
    measured = order[2:]  # the first run of each determines its duration
    assert sorted(measured) == ["a"] * 3 + ["b"] * 3
    assert measured[0] != measured[1]


def test_fast_work_is_repeated_to_the_length_of_a_turn() -> None:
    runs: list[int] = []
    interleave({"quick": lambda: runs.append(1)}, share=0, least=1)
    assert len(runs) > 100


def test_each_slice_has_its_own_figure() -> None:
    taken = interleave({"much": lambda: sum(range(20_000)), "little": lambda: None}, share=0)
    assert taken["little"] < taken["much"]


@pytest.mark.parametrize("peer", peers.PEERS, ids=lambda peer: peer.name)
def test_the_rules_of_an_installed_peer_are_measured(peer: peers.Peer) -> None:
    try:
        compile_rule = peer.load()
    except ImportError:
        pytest.skip(f"{peer.name} is not installed")
    shown = language.tasks({peer.name: compile_rule}, share=0).text
    assert "raises" not in shown
    assert "wrong result" not in shown
    [record] = records(1)
    for rule in (*make_mixed_rules(peer.name, 5), *make_short_rules(peer.name, 2)):
        assert compile_rule(rule)(record) is not None


def test_a_wrong_result_is_shown_and_not_measured() -> None:
    shown = language.tasks({"stellar": stellar.compile, "jmespath": lambda _text: lambda _record: "nonsense"}, share=0)
    assert shown.text.count("wrong result") == sum("jmespath" in task.peers for task in TASKS)


def test_a_missing_or_failing_peer_is_shown() -> None:
    shown = language.tasks({"stellar": stellar.compile, "jmespath": None, "simpleeval": _reject}, share=0)
    assert "not installed" in shown.text
    assert "raises ValueError" in shown.text


def _reject(text: str) -> Any:
    raise ValueError(text)


@pytest.mark.parametrize(("figure", "verdict"), [(2.0, "aim met"), (2.1, "must met"), (3.1, "MISSED")])
def test_a_figure_is_compared_with_its_limits(figure: float, verdict: str) -> None:
    assert report.Finding(report.Limit("anything", must=3, aim=2), figure).verdict == verdict


@pytest.mark.parametrize(
    ("result", "expected", "equal"),
    [
        ((2, 4.0), [2, 4], True),
        ([2], [2, 4], False),
        (1.0, 1, True),
        ("1", 1, False),
        ("a", "b", False),
        (None, "d", False),
    ],
)
def test_results_are_compared_by_value(result: object, expected: object, equal: bool) -> None:
    assert same(result, expected) is equal


def test_documents_of_trained_models_have_the_probabilities_of_scikit_learn() -> None:
    ensemble, np = pytest.importorskip("sklearn.ensemble"), pytest.importorskip("numpy")
    linear, tree = pytest.importorskip("sklearn.linear_model"), pytest.importorskip("sklearn.tree")
    rows = np.random.default_rng(0).normal(size=(200, 10))
    for estimator in (
        linear.LogisticRegression(),
        tree.DecisionTreeClassifier(max_depth=3),
        ensemble.RandomForestClassifier(5, max_depth=3),
        ensemble.GradientBoostingClassifier(n_estimators=5),
    ):
        estimator.fit(rows, rows[:, 0] + rows[:, 1] > 0)
        model = read_pmml(write_document(estimator, scoring.FEATURES).encode())
        found = [model.score(dict(zip(scoring.FEATURES, row, strict=True)))["probability(1)"] for row in rows.tolist()]
        assert found == pytest.approx(estimator.predict_proba(rows)[:, 1].tolist(), rel=1e-12)


def test_the_geometric_mean_of_a_ratio_and_its_inverse_is_one() -> None:
    assert geometric_mean([4, 0.25]) == pytest.approx(1)


def test_results_have_exact_values_as_json(tmp_path: Path) -> None:
    limit = report.Limit("one call, to another", must=3, aim=2)
    table = report.Table(
        "A title", ["", "time", "ratio"], [["a", report.Quantity(1.23456, "ns"), report.ratio(1234.5, " (5 of 7)")]]
    )
    group = report.GroupResult([table, "b: not installed\n"], [report.Finding(limit, 2.34567)])
    file = tmp_path / "results.json"
    results.write_results(file, results.describe_run({"some": group}, {"simpleeval": "1.0", "celpy": None}, quick=True))
    written = json.loads(file.read_text(encoding="utf-8"))
    assert written["peers"] == {"simpleeval": "1.0", "celpy": None}
    assert written["quick"] is True
    assert written["groups"]["some"] == {
        "tables": [
            {
                "title": "A title",
                "headings": ["", "time", "ratio"],
                "rows": [
                    ["a", {"value": 1.23456, "unit": "ns"}, {"value": 1234.5, "unit": "×", "note": " (5 of 7)"}],
                ],
            }
        ],
        "notes": ["b: not installed"],
        "figures": [
            {
                "name": "one call, to another",
                "value": 2.34567,
                "unit": "×",
                "must": 3,
                "aim": 2,
                "verdict": "must met",
            }
        ],
    }
    assert str(report.Table.from_data(written["groups"]["some"]["tables"][0])) == str(table)
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_results_in_a_missing_directory_are_refused_before_the_measurement(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "--json", str(tmp_path / "missing" / "file"), "startup"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "its directory does not exist" in done.stderr
    assert done.stdout == ""


def test_each_command_is_measured(tmp_path: Path) -> None:
    helps = startup.list_helps()
    assert {"stellar --help", "maas --help", "zk_load_configs.sh --help"} <= set(helps)
    for name, command in helps.items():
        _, output = process(command, str(tmp_path))
        assert "usage" in output.lower(), name


def test_a_missing_prompt_is_an_error(tmp_path) -> None:
    taken = prompt.measure_first_prompt(
        ["-c", "import time; time.sleep(0.2); print('>>>'); time.sleep(600)"], str(tmp_path)
    )
    assert 200 <= taken.wall < 600_000
    with pytest.raises(RuntimeError, match=r"print\(5\) has shown no prompt; output: b'5"):
        prompt.measure_first_prompt(["-c", "print(5)"], str(tmp_path))


def test_the_queries_of_alerts_find_what_their_names_say(tmp_path: Path) -> None:
    path = tmp_path / "alerts.sqlite"
    alerts.write_alerts(path, 2000)
    with closing(SqliteSource(str(path))) as source:
        found = {name: source.find(query, "", 2000, 60).alerts for name, query in alerts.make_queries(2000).items()}
    counts = {name: len(each) for name, each in found.items()}
    assert counts["newest first"] == 2000
    assert counts["a sensor with 10 alerts"] == 10
    assert counts["a score that no alert has"] == 0
    assert counts["a string in one document"] == 1
    assert 0 < counts["five minutes, newest first"] == counts["five minutes, highest score first"] <= 1000
    assert {each.sensor for each in found["one of five sensors"]} == {"bro"}


def test_the_processor_time_of_processes_below_others_counts() -> None:
    work = "sum(range(10_000_000))"
    nested = f"import subprocess, sys; subprocess.run([sys.executable, '-c', '{work}'])"
    taken = spark.measure_below(lambda: subprocess.run([sys.executable, "-c", nested], check=True))
    assert taken.cpu > 50
