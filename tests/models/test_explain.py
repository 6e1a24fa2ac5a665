"""The explanation of a score names the nodes and terms from which it follows."""

from __future__ import annotations

from pathlib import Path

from stellar.models.loading import load_model, read_pmml

MODELS = Path(__file__).parents[1] / "conformance" / "data" / "pmml" / "models"
LINEAR = b"""<PMML version="4.4"><DataDictionary><DataField name="a" optype="continuous" dataType="double"/>
<DataField name="c" optype="categorical" dataType="string"/>
<DataField name="y" optype="continuous" dataType="double"/></DataDictionary>
<RegressionModel functionName="regression"><MiningSchema><MiningField name="a"/><MiningField name="c"/>
<MiningField name="y" usageType="target"/></MiningSchema><RegressionTable intercept="1">
<NumericPredictor name="a" coefficient="2" exponent="3"/>
<CategoricalPredictor name="c" value="x" coefficient="5"/>
</RegressionTable></RegressionModel></PMML>"""


def test_the_terms_of_a_sum_add_up_to_the_score():
    model, record = read_pmml(LINEAR), {"a": 2, "c": "x"}
    steps = model.explain(record)
    assert [str(step) for step in steps] == [
        "line 5: <RegressionTable>: intercept → 1.0",
        "line 6: <NumericPredictor>: 2.0 · a^3 → 16.0",
        "line 7: <CategoricalPredictor>: 5.0 if c = x → 5.0",
    ]
    assert sum(step.value for step in steps) == model.score(record)["y"]


def test_the_path_of_a_tree_ends_at_the_node_of_the_score():
    model = load_model(MODELS / "x_tree_defaultChild_null.pmml")
    record = {"systems": 7, "countries": 2, "ttl": 600, "tld": "info"}
    steps = model.explain(record)
    assert [(step.origin.element, step.description, step.value) for step in steps] == [
        ("Node", "true", "legit"),
        ("Node", "systems > 6", "ffsn"),
        ("Node", "tld in {ru, info, biz}", "ffsn"),
    ]
    assert model.evaluate(record).first().entities == ("5",)


def test_each_tree_of_a_forest_is_explained():
    model = load_model(MODELS / "gb_reg.pmml")
    record = {field.name: (field.ranges[0].low or 0.0) + 1 for field in model.inputs()}
    roots = [step for step in model.explain(record) if step.description == "true"]
    assert len(roots) >= len(model.document.model.body.segments)  # type: ignore[union-attr]


def test_a_score_is_the_same_with_an_explanation_before_it():
    model, record = read_pmml(LINEAR), {"a": 2, "c": "y"}
    before = model.score(record)
    model.explain(record)
    assert model.score(record) == before == {"y": 17.0}
