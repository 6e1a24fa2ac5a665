"""Batches of small documents: forms of trees, ensembles and fields that the corpus lacks."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parent))  # the module beside this one is imported by its name

from batches import check_batch, is_compiled, make_column

from stellar.models.batch.scores import LEAST_ROWS
from stellar.models.errors import InvalidColumns
from stellar.models.loading import read_pmml
from stellar.models.scoring import ScoringModel

FIELDS = """<DataField name="a" optype="continuous" dataType="double"/>
<DataField name="b" optype="continuous" dataType="double"/>
<DataField name="n" optype="continuous" dataType="integer"/>
<DataField name="s" optype="categorical" dataType="string"/>"""
CATEGORIES = '<DataField name="y" optype="categorical" dataType="string"/>'
NUMBER = '<DataField name="y" optype="continuous" dataType="double"/>'
INPUTS = "".join(f'<MiningField name="{name}"/>' for name in "abns")
SCHEMA = f'<MiningSchema>{INPUTS}<MiningField name="y" usageType="target"/></MiningSchema>'


def read(body: str, *, target: str = NUMBER, fields: str = FIELDS, transformations: str = "") -> ScoringModel:
    return read_pmml(
        f'<PMML version="4.4"><DataDictionary>{fields}{target}</DataDictionary>{transformations}{body}</PMML>'.encode()
    )


def make_tree(nodes: str, function: str = "regression", attributes: str = "") -> str:
    return f'<TreeModel functionName="{function}" {attributes}>{SCHEMA}{nodes}</TreeModel>'


def make_ensemble(method: str, trees: list[str], function: str, weights: tuple[float, ...] = ()) -> str:
    segments = "".join(
        f'<Segment weight="{weight}"><True/>{tree}</Segment>'
        for tree, weight in zip(trees, weights or (1,) * len(trees), strict=True)
    )
    segmentation = f'<Segmentation multipleModelMethod="{method}">{segments}</Segmentation>'
    return f'<MiningModel functionName="{function}">{SCHEMA}{segmentation}</MiningModel>'


def compare(field: str, operator: str, value: Any) -> str:
    return f'<SimplePredicate field="{field}" operator="{operator}" value="{value}"/>'


def split(one: str, other: str, scores: tuple[Any, Any]) -> str:
    first, second = (f'<Node score="{score}">{test}</Node>' for score, test in zip(scores, (one, other), strict=True))
    return f'<Node score="0"><True/>{first}{second}</Node>'


def make_columns(size: int = LEAST_ROWS * 2) -> dict[str, Any]:
    """Return columns with values at and about the thresholds of the documents."""
    chance = random.Random(3)
    numbers = [-1.0, 0.0, -0.0, 0.5, 1.0, 1.5, 2.0, float("inf"), float("-inf"), float("nan"), None, 3, True]
    return {
        "a": make_column([chance.choice(numbers) for _ in range(size)]),
        "b": np.array([chance.choice([0.0, 0.25, 0.5, 1.0, 7.5]) for _ in range(size)]),
        "n": np.ma.masked_array([chance.randrange(-2, 6) for _ in range(size)], np.arange(size) % 11 == 0),
        "s": make_column([chance.choice(["x", "y", "z", "", None, 5]) for _ in range(size)]),
    }


def check(model: ScoringModel) -> None:
    assert is_compiled(model)
    check_batch(model, {field.name: make_columns()[field.name] for field in model.inputs()})


# -- Trees ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operator", ["lessThan", "lessOrEqual", "greaterThan", "greaterOrEqual", "equal", "notEqual"])
@pytest.mark.parametrize("field", ["a", "b", "n"])
def test_comparisons(field, operator):
    check(read(make_tree(split(compare(field, operator, 1), "<True/>", (1, 2)))))


def test_sets_and_combinations():
    member = (
        '<SimpleSetPredicate field="s" booleanOperator="isIn"><Array type="string">x z</Array></SimpleSetPredicate>'
    )
    other = (
        '<SimpleSetPredicate field="s" booleanOperator="isNotIn"><Array type="string">y q</Array></SimpleSetPredicate>'
    )
    numbers = '<SimpleSetPredicate field="n" booleanOperator="isIn"><Array type="int">1 4</Array></SimpleSetPredicate>'
    tests = [member, other, numbers, compare("s", "equal", "w"), compare("a", "isMissing", ""), "<False/>"]
    tests += [
        f'<CompoundPredicate booleanOperator="{operator}">{member}{numbers}{compare("a", "lessThan", 1)}'
        "</CompoundPredicate>"
        for operator in ("and", "or", "xor", "surrogate")
    ]
    for test in tests:
        check(read(make_tree(split(test, "<True/>", (1, 2)))))


@pytest.mark.parametrize("strategy", ["returnNullPrediction", "returnLastPrediction"])
def test_a_record_without_a_true_child(strategy):
    nodes = split(compare("a", "lessThan", 0.5), compare("a", "greaterThan", 1), (1, 2))
    check(read(make_tree(nodes, attributes=f'noTrueChildStrategy="{strategy}"')))


def test_a_tree_of_one_node():
    check(read(make_tree('<Node score="7"><True/></Node>')))


def test_a_deep_tree():
    nodes = '<Node score="-1"><True/></Node>'
    for level in range(40):
        test = compare("b", "greaterThan", level / 40)
        nodes = f'<Node score="{level}"><True/><Node score="{level}.5">{test}{nodes}</Node></Node>'
    check(read(make_tree(nodes, attributes='noTrueChildStrategy="returnLastPrediction"')))


# -- Ensembles --------------------------------------------------------------------------------------------------------

NUMERIC_TREES = [
    make_tree(split(compare("a", "lessThan", 1), "<True/>", (0.1, 0.7))),
    make_tree(split(compare("b", "greaterThan", 0.25), "<True/>", (1e16, 0.3))),
    make_tree(split(compare("n", "lessOrEqual", 2), "<True/>", (-1e16, 0.2))),
]


@pytest.mark.parametrize("method", ["sum", "average", "weightedSum", "weightedAverage"])
def test_numbers_are_added_in_the_order_of_the_trees(method):
    check(read(make_ensemble(method, NUMERIC_TREES, "regression", (0.1, 0.2, 0.3))))


def make_share_tree(test: str, shares: tuple[float, float], categories: tuple[str, str] = ("u", "v")) -> str:
    def node(test: str, pair: tuple[float, float]) -> str:
        distributions = "".join(
            f'<ScoreDistribution value="{category}" recordCount="{share}" probability="{share}"/>'
            for category, share in zip(categories, pair, strict=True)
        )
        score = categories[0] if pair[0] >= pair[1] else categories[1]
        return f'<Node score="{score}">{test}{distributions}</Node>'

    return make_tree(
        f"<Node><True/>{node(test, shares)}{node('<True/>', (shares[1], shares[0]))}</Node>", "classification"
    )


SHARE_TREES = [
    make_share_tree(compare("a", "lessThan", 1), (0.3, 0.7)),
    make_share_tree(compare("b", "greaterThan", 0.25), (0.1, 0.9)),
    make_share_tree(compare("n", "lessOrEqual", 2), (0.9, 0.1)),
]


@pytest.mark.parametrize("method", ["average", "weightedAverage", "majorityVote"])
def test_shares_and_votes(method):
    check(read(make_ensemble(method, SHARE_TREES, "classification", (0.5, 0.2, 0.3)), target=CATEGORIES))


def test_of_categories_with_as_many_votes_the_first_one_wins():
    trees = [
        make_share_tree(compare("a", "lessThan", 1), (0.3, 0.7), ("u", "v")),
        make_share_tree(compare("b", "greaterThan", 0.25), (0.1, 0.9), ("v", "w")),
        make_share_tree(compare("n", "lessOrEqual", 2), (0.9, 0.1), ("u", "w")),
        make_share_tree(compare("s", "equal", "x"), (0.9, 0.1), ("w", "v")),
    ]
    check(read(make_ensemble("majorityVote", trees, "classification"), target=CATEGORIES))


# -- Fields that both compilers must not mix up -----------------------------------------------------------------------


def check_both(model: ScoringModel) -> None:
    """Compare batches, and single records by the compiled function, with the complete evaluation."""
    columns = {field.name: make_columns()[field.name] for field in model.inputs()}
    check_batch(model, columns)
    model.compile()
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    for record in [dict(zip(columns, row, strict=True)) for row in rows]:
        outcomes = []
        for score in (model.score, model.score_completely):
            try:
                outcomes.append(repr(score(record)))
            except ValueError as error:
                outcomes.append(str(error))
        assert outcomes[0] == outcomes[1], record


def make_chain(first: str, second: str) -> str:
    schema = f"<MiningSchema>{INPUTS}</MiningSchema>"
    one = f'<RegressionModel functionName="regression">{schema}<Output><OutputField name="o" dataType="double" '
    one += f'optype="continuous" feature="predictedValue" isFinalResult="false"/></Output>{first}</RegressionModel>'
    other = '<RegressionModel functionName="regression"><MiningSchema><MiningField name="o"/><MiningField name="a"/>'
    other += (
        f'<MiningField name="b"/><MiningField name="y" usageType="target"/></MiningSchema>{second}</RegressionModel>'
    )
    return make_ensemble("modelChain", [one, other], "regression")


def make_derived(constant: float) -> str:
    plus = f'<Apply function="+"><FieldRef field="b"/><Constant dataType="double">{constant}</Constant></Apply>'
    field = f'<DerivedField name="d" optype="continuous" dataType="double">{plus}</DerivedField>'
    return f"<LocalTransformations>{field}</LocalTransformations>"


def make_terms(*names: str) -> str:
    terms = "".join(f'<NumericPredictor name="{name}" coefficient="2"/>' for name in names)
    return f'<RegressionTable intercept="1">{terms}</RegressionTable>'


def test_local_fields_of_segments_with_one_name_are_two_fields():
    check_both(read(make_chain(make_derived(1.0) + make_terms("d"), make_derived(100.0) + make_terms("d", "o"))))


def test_a_local_field_hides_a_field_of_the_document():
    outer = f"<TransformationDictionary>{make_derived(5.0)[22:-23]}</TransformationDictionary>"
    body = make_chain(make_derived(1.0) + make_terms("d"), make_terms("o"))
    check_both(read(body, transformations=outer))


def test_a_segment_limits_extreme_values():
    limited = '<MiningField name="b" outliers="asExtremeValues" lowValue="0" highValue="1"/>'
    trees = [tree.replace('<MiningField name="b"/>', limited) for tree in NUMERIC_TREES]
    check_both(read(make_ensemble("sum", trees, "regression")))
    chain = make_chain(make_terms("a"), make_terms("b", "o"))
    check_both(read(chain.replace('<MiningField name="b"/><MiningField name="y"', limited + '<MiningField name="y"')))


def test_ordered_integers_are_compared_by_their_order():
    values = "".join(f'<Value value="{value}"/>' for value in (3, 1, 2))
    fields = FIELDS.replace(
        '<DataField name="n" optype="continuous" dataType="integer"/>',
        f'<DataField name="n" optype="ordinal" dataType="integer">{values}</DataField>',
    )
    check_both(read(make_tree(split(compare("n", "lessThan", 2), "<True/>", (1, 2))), fields=fields))


def test_an_output_of_the_last_segment_is_a_result_of_the_chain():
    output = '<Output><OutputField name="p" dataType="double" optype="continuous" feature="predictedValue" '
    output += 'isFinalResult="false"/></Output>'
    model = read(make_chain(make_terms("a"), output + make_terms("b", "o")))
    check_both(model)
    assert is_compiled(model)
    assert "p" in model.score({"a": 1.0, "b": 1.0})


def test_a_negative_total_of_counts():
    def node(test: str, counts: tuple[int, int]) -> str:
        shares = "".join(
            f'<ScoreDistribution value="{name}" recordCount="{n}"/>' for name, n in zip("uv", counts, strict=True)
        )
        return f'<Node score="u">{test}{shares}</Node>'

    nodes = f"<Node><True/>{node(compare('b', 'lessThan', 1), (-1, 0))}{node('<True/>', (1, 2))}</Node>"
    check_both(read(make_tree(nodes, "classification"), target=CATEGORIES))


# -- Columns ----------------------------------------------------------------------------------------------------------


def read_terms(*names: str) -> ScoringModel:
    return read(f'<RegressionModel functionName="regression">{SCHEMA}{make_terms(*names)}</RegressionModel>')


@pytest.mark.parametrize(
    "dtype", ["float64", "float32", "float16", "int64", "int8", "uint64", "bool", "U4", "longdouble"]
)
def test_types_of_columns(dtype):
    numbers = np.arange(LEAST_ROWS) % 3
    columns = {name: numbers.astype(dtype) for name in ("a", "b", "n")} | {"s": numbers.astype("U1")}
    check_batch(read_terms("a", "b", "n"), columns)


def test_times_in_nanoseconds_are_read_as_times():
    fields = FIELDS.replace(
        'name="a" optype="continuous" dataType="double"', 'name="a" optype="ordinal" dataType="dateTime"'
    )
    tests = [compare("a", operator, "2026-01-02T00:00:00") for operator in ("lessThan", "greaterThan")]
    model = read(make_tree(split(*tests, (1, 2))), fields=fields)
    times = np.array(["2026-01-01T05:00", "2026-01-03", "NaT"] * 80, "datetime64[ns]")
    columns = make_columns(len(times)) | {"a": times}
    scores = model.score_columns(columns)
    assert scores.columns["y"].tolist()[:3] == [1.0, 2.0, None]


def test_a_large_batch_is_scored_in_blocks():
    columns = make_columns(40_000)
    model = read(make_ensemble("sum", NUMERIC_TREES, "regression"))
    expected = [model.score({"a": a, "b": b, "n": n})["y"] for a, b, n in [(1.0, 7.5, 3), (0.5, 0.0, 1)]]
    columns["a"], columns["n"] = np.where(columns["b"] == 7.5, 1.0, 0.5), np.where(columns["b"] == 7.5, 3, 1)
    found = model.score_columns(columns)
    assert found.errors.tolist() == [None] * 40_000
    assert not np.ma.getmaskarray(found.columns["y"]).any()
    for b, value in zip((7.5, 0.0), expected, strict=True):
        assert set(found.columns["y"][columns["b"] == b].tolist()) == {value}


def test_an_error_of_a_record_leaves_its_neighbors_alone():
    columns = {name: [1.0] * LEAST_ROWS for name in ("a", "b", "n")} | {"s": ["x"] * LEAST_ROWS}
    columns["b"][7] = "abc"
    scores = read_terms("a", "b").score_columns(columns)
    assert scores.errors[7] == "invalid value of field 'b': the model does not accept 'abc'"
    assert np.flatnonzero(scores.errors != None).tolist() == [7]  # noqa: E711 - of each item
    assert scores.columns["y"].mask.tolist() == [row == 7 for row in range(LEAST_ROWS)]
    assert set(scores.columns["y"].compressed().tolist()) == {5.0}


def test_an_empty_batch():
    scores = read_terms("a").score_columns({"a": [], "b": [], "n": [], "s": []})
    assert (scores.columns, scores.errors.tolist()) == ({}, [])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"b": None}, "missing column 'b'; add it, masked if no record has a value; known are a, n, s"),
        ({"b": [1.0]}, "column 'b' has 1 values, and 'a' has 2; expected columns of one length"),
        ({"b": [[1.0], [2.0]]}, "column 'b' has 2 dimensions, expected 1"),
        ({"b": 1.0}, "column 'b' has 0 dimensions, expected 1"),
    ],
)
def test_columns_that_are_not_those_of_records_are_refused(change, message):
    columns: dict[str, Any] = {"a": [1.0, 2.0], "b": [1.0, 2.0], "n": [1, 2], "s": ["x", "y"], **change}
    with pytest.raises(InvalidColumns) as caught:
        read_terms("a").score_columns({name: column for name, column in columns.items() if column is not None})
    assert str(caught.value) == message


def test_without_numpy_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(LookupError, match=r"package numpy is not installed; run pip install 'stellar-maas\[batch\]'"):
        read_terms("a").score_columns({"a": [1.0]})
