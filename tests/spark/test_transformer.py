"""The builder of transformers, and their results on data frames of pandas."""

from __future__ import annotations

import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pandas")

import pandas as pd
from flowers import NODE, SHARES, SPECIES, make_model

from stellar.models.errors import NotScored
from stellar.models.loading import load_model, read_pmml
from stellar.spark import TransformerBuilder

BOOSTER = Path(__file__).parents[1] / "models/boosters/data/binary.json"
FIELDS = """<PMML version="4.4"><DataDictionary><DataField name="a" optype="continuous" dataType="double"/>
<DataField name="y" optype="continuous" dataType="{type}"/><DataField name="z" optype="continuous" dataType="double"/>
</DataDictionary>"""


def make_frame() -> Any:
    return pd.DataFrame({"length": [1.4, 4.7, 6.0], "width": [0.2, 1.4, 2.5], "note": ["a", "b", "c"]}, index=[3, 4, 5])


def test_columns_of_targets_and_outputs_are_added() -> None:
    builder = TransformerBuilder(make_model()).withTargetCols().withOutputCols().exploded(True)
    scored = builder.build().transform(make_frame())
    assert list(scored.columns) == ["length", "width", "note", "species", *(f"p.{name}" for name in SPECIES), "node"]
    assert list(scored.index) == [3, 4, 5]
    assert list(scored.species) == list(SPECIES)
    assert list(scored["p.versicolor"]) == [0.0, 49 / 54, 1 / 46]
    assert list(scored.node) == ["2", "3", "4"]
    assert list(map(str, scored.dtypes[3:])) == ["object", *["float64"] * 3, "object"]


def test_results_are_one_column_of_maps_unless_they_are_exploded() -> None:
    builder = TransformerBuilder(make_model()).withLabelCol("label").withProbabilityCol("shares")
    scored = builder.build().transform(make_frame())
    assert list(scored.columns) == ["length", "width", "note", "pmml"]
    first = scored.pmml[3]
    assert first["label"] == "setosa"
    assert list(first["shares"]) == [1.0, 0.0, 0.0]


def test_a_vector_has_the_order_of_the_outputs_or_of_the_labels() -> None:
    builder = TransformerBuilder(make_model(outputs=SHARES))
    ordered = builder.withProbabilityCol().withProbabilityCol("other", ["virginica", "setosa", "versicolor"])
    scored = ordered.exploded(True).build().transform(make_frame())
    assert list(scored.probability[4]) == [0.0, 49 / 54, 5 / 54]
    assert list(scored.other[4]) == [5 / 54, 0.0, 49 / 54]


def test_columns_have_the_names_of_targets_by_default() -> None:
    scored = TransformerBuilder(make_model()).withLabelCol().exploded(True).build().transform(make_frame())
    assert list(scored.species) == list(SPECIES)
    nameless = make_model(target="")
    for builder in (TransformerBuilder(nameless).withLabelCol(), TransformerBuilder(nameless).withTargetCols()):
        assert list(builder.exploded(True).build().transform(make_frame())._target) == list(SPECIES)


def test_a_column_of_the_same_name_is_replaced() -> None:
    frame = make_frame()
    scored = TransformerBuilder(make_model()).withLabelCol("note").exploded(True).build().transform(frame)
    assert list(scored.columns) == ["length", "width", "note"]
    assert list(scored.note) == list(SPECIES)
    assert list(frame.note) == ["a", "b", "c"]


def test_outputs_of_the_last_segments_of_a_chain_come_first() -> None:
    def regress(fields: str, name: str, output: str) -> str:
        schema = "".join(f'<MiningField name="{each}"/>' for each in fields)
        return f"""<RegressionModel functionName="regression"><MiningSchema>{schema}</MiningSchema><Output>
<OutputField name="{output}" optype="continuous" dataType="double"/></Output><RegressionTable intercept="1">
<NumericPredictor name="{name}" coefficient="2"/></RegressionTable></RegressionModel>"""

    document = f"""{FIELDS.format(type="double")}<MiningModel functionName="regression"><MiningSchema>
<MiningField name="a"/><MiningField name="y" usageType="target"/></MiningSchema><Output>
<OutputField name="own" optype="continuous" dataType="double"/></Output><Segmentation multipleModelMethod="modelChain">
<Segment><True/>{regress("a", "a", "first")}</Segment><Segment><True/>{regress(["first"], "first", "last")}</Segment>
</Segmentation></MiningModel></PMML>"""
    model = read_pmml(document.encode())
    scored = TransformerBuilder(model).withOutputCols().exploded(True).build().transform(pd.DataFrame({"a": [3]}))
    assert list(scored.columns) == ["a", "last", "own"]
    assert scored.iloc[0].tolist() == [3, 15.0, 15.0]


@pytest.mark.parametrize(
    ("kind", "value", "dtype"),
    [("integer", 7, "Int32"), ("double", 7.0, "float64"), ("float", 7.0, "float32"), ("boolean", True, "boolean")],
)
def test_columns_have_the_types_of_their_fields(kind: str, value: object, dtype: str) -> None:
    coefficient = 0 if kind == "boolean" else 2
    document = f"""{FIELDS.format(type=kind)}<RegressionModel functionName="regression"><MiningSchema>
<MiningField name="a"/><MiningField name="y" usageType="target"/></MiningSchema><RegressionTable intercept="1">
<NumericPredictor name="a" coefficient="{coefficient}"/></RegressionTable></RegressionModel></PMML>"""
    transformer = TransformerBuilder(read_pmml(document.encode())).withLabelCol("y").exploded(True).build()
    scored = transformer.transform(pd.DataFrame({"a": [3, None]}))
    assert (scored.y[0], str(scored.y.dtype)) == (value, dtype)
    assert pd.isna(scored.y[1])


@pytest.mark.parametrize("missing", [None, math.nan, pd.NA])
def test_missing_values_of_pandas_are_those_of_the_model(missing: object) -> None:
    frame = pd.DataFrame({"length": pd.Series([missing, 1.0], dtype="object"), "width": [1.0, 1.0]})
    scored = TransformerBuilder(make_model()).withLabelCol().exploded(True).build().transform(frame)
    assert list(scored.species) == ["versicolor", "setosa"]


def test_values_of_other_libraries_are_numbers() -> None:
    values = pd.Series([pd.Series([1], dtype="int64")[0], 1.5, 2], dtype="object")
    frame = pd.DataFrame({"length": values, "width": [1, 1, 1]})
    scored = TransformerBuilder(make_model()).withLabelCol().exploded(True).build().transform(frame)
    assert list(scored.species) == ["setosa"] * 3


@pytest.mark.parametrize("dtype", ["int64", "Int8", "float32", "Float64", "int64[pyarrow]", "double[pyarrow]"])
def test_columns_have_numbers_of_any_type(dtype: str) -> None:
    missing = [] if dtype == "int64" else [None]
    frame = pd.DataFrame({"length": pd.Series([1, 4, *missing], dtype=dtype), "width": 2.0})
    scored = TransformerBuilder(make_model()).withLabelCol().exploded(True).build().transform(frame)
    assert list(scored.species) == ["setosa", "virginica", "virginica"][: len(frame)]


def test_a_row_that_the_model_does_not_accept_is_named() -> None:
    frame = make_frame().astype({"length": "object"})
    frame.loc[4, "length"] = "long"
    builder = TransformerBuilder(make_model()).withLabelCol().withProbabilityCol()
    reason = "invalid value of field 'length': the model does not accept 'long'"
    with pytest.raises(NotScored, match=f"^row 4: {reason}; call withErrorCol to continue without such rows$"):
        builder.build().transform(frame)
    scored = builder.withErrorCol("error").build().transform(frame)
    assert [value is None for value in scored.pmml] == [False, True, False]
    assert list(scored.error) == [None, reason, None]
    exploded = builder.exploded(True).build().transform(frame)
    assert list(exploded.species) == ["setosa", None, "virginica"]
    assert exploded.probability[4] is None


def test_a_frame_without_rows_has_all_columns() -> None:
    scored = TransformerBuilder(make_model()).withLabelCol().withOutputCols().exploded(True).build()
    assert list(scored.transform(make_frame()[:0]).columns)[3:] == [
        "species",
        *(f"p.{name}" for name in SPECIES),
        "node",
    ]


def test_batches_have_the_results_of_single_records() -> None:
    model = make_model()
    rows = [(index % 71 / 10, index % 29 / 10) for index in range(1000)]
    builder = TransformerBuilder(model).withLabelCol("label").withOutputCols().withProbabilityCol("shares")
    scored = builder.exploded(True).build().transform(pd.DataFrame(rows, columns=["length", "width"]))
    for (length, width), (_, row) in zip(rows, scored.iterrows(), strict=True):
        expected = model.score_completely({"length": length, "width": width})
        assert (row.label, row.node) == (expected["species"], expected["node"])
        assert list(row.shares) == [row[f"p.{name}"] for name in SPECIES]
        assert list(row.shares) == [expected[f"probability({name})"] for name in SPECIES]


def test_a_booster_has_its_classes_as_labels() -> None:
    model = load_model(BOOSTER)
    builder = TransformerBuilder(model).withTargetCols().withProbabilityCol("shares", ["1", "0"]).exploded(True)
    frame = pd.DataFrame({field.name: [0.5, 1.5] for field in model.inputs()})
    for (_, row), (_, record) in zip(builder.build().transform(frame).iterrows(), frame.iterrows(), strict=True):
        expected = model.score_completely(record.to_dict())
        assert row["_target"] == expected["prediction"]
        assert list(row["shares"]) == [expected["probability(1)"], expected["probability(0)"]]


def test_a_model_without_inputs_has_one_result() -> None:
    document = f"""{FIELDS.format(type="double")}<RegressionModel functionName="regression"><MiningSchema>
<MiningField name="y" usageType="target"/></MiningSchema><RegressionTable intercept="1.5"/></RegressionModel></PMML>"""
    transformer = TransformerBuilder(read_pmml(document.encode())).withLabelCol("y").exploded(True).build()
    assert list(transformer.transform(make_frame()).y) == [1.5] * 3


def test_a_list_is_refused_as_a_value() -> None:
    document = """<PMML version="4.4"><DataDictionary><DataField name="items" optype="categorical" dataType="string"/>
</DataDictionary><AssociationModel functionName="associationRules" numberOfTransactions="4" minimumSupport="0.1"
minimumConfidence="0.1" numberOfItems="2" numberOfItemsets="2" numberOfRules="1"><MiningSchema>
<MiningField name="items"/></MiningSchema><Output><OutputField name="rules" optype="categorical" dataType="string"
feature="ruleValue" ruleFeature="consequent" algorithm="recommendation" isMultiValued="1"/></Output>
<Item id="1" value="a"/><Item id="2" value="b"/><Itemset id="s1" numberOfItems="1"><ItemRef itemRef="1"/></Itemset>
<Itemset id="s2" numberOfItems="1"><ItemRef itemRef="2"/></Itemset>
<AssociationRule antecedent="s1" consequent="s2" support="0.5" confidence="0.5" id="r1"/></AssociationModel></PMML>"""
    builder = TransformerBuilder(read_pmml(document.encode())).withOutputCols().withErrorCol("error").exploded(True)
    scored = builder.build().transform(pd.DataFrame({"items": pd.Series([["a"]], dtype="object")}))
    assert scored.rules[0] is None
    assert scored.error[0] == "column rules: expected a single value, got [['b']]"


def make_chain_without_target() -> Any:
    tree = make_model().content.decode()  # type: ignore[union-attr]
    begin, end = tree.index("<TreeModel"), tree.index("</PMML>")
    schema = '<MiningSchema><MiningField name="length"/><MiningField name="width"/></MiningSchema>'
    chain = f"""<MiningModel functionName="classification">{schema}<Segmentation multipleModelMethod="modelChain">
<Segment><True/>{tree[begin:end].replace('<MiningField name="species" usageType="target"/>', "")}</Segment>
</Segmentation></MiningModel>"""
    return read_pmml(f"{tree[:begin]}{chain}</PMML>".encode())


def test_a_model_without_a_target_has_no_label() -> None:
    builder = TransformerBuilder(make_chain_without_target())
    for add in (builder.withLabelCol, builder.withProbabilityCol):
        with pytest.raises(ValueError, match="the model does not have a target field; use withOutputCols"):
            add()


def test_a_model_with_several_targets_has_no_label() -> None:
    document = f"""{FIELDS.format(type="double")}<NearestNeighborModel functionName="regression" numberOfNeighbors="1">
<MiningSchema><MiningField name="a"/><MiningField name="y" usageType="target"/>
<MiningField name="z" usageType="target"/></MiningSchema><TrainingInstances><InstanceFields>
<InstanceField field="a" column="a"/><InstanceField field="y" column="y"/><InstanceField field="z" column="z"/>
</InstanceFields><InlineTable><row><a>1</a><y>2</y><z>3</z></row></InlineTable></TrainingInstances>
<ComparisonMeasure kind="distance"><euclidean/></ComparisonMeasure><KNNInputs><KNNInput field="a"/></KNNInputs>
</NearestNeighborModel></PMML>"""
    builder = TransformerBuilder(read_pmml(document.encode()))
    with pytest.raises(ValueError, match=r"the model has multiple target fields \('y', 'z'\); use withTargetCols"):
        builder.withLabelCol("label")
    scored = builder.withTargetCols().exploded(True).build().transform(pd.DataFrame({"a": [1.0]}))
    assert scored.iloc[0].tolist() == [1.0, 2.0, 3.0]


def test_a_model_without_shares_has_no_vector() -> None:
    with pytest.raises(ValueError, match="the model does not have probability-type output fields; in PMML, add an"):
        TransformerBuilder(make_model(outputs=NODE)).withProbabilityCol("p")
    nameless = '<OutputField name="p" optype="continuous" dataType="double" feature="probability"/>'
    with pytest.raises(ValueError, match="the output 'p' names no category; add the attribute 'value'"):
        TransformerBuilder(make_model(outputs=nameless)).withProbabilityCol("p")


@pytest.mark.parametrize("labels", [["setosa"], ["setosa", "versicolor", "rose"], [*SPECIES, "setosa"]])
def test_labels_must_be_those_of_the_model(labels: list[str]) -> None:
    with pytest.raises(ValueError, match=r"incompatible set of probability-type output fields: expected .*, got "):
        TransformerBuilder(make_model()).withProbabilityCol("p", labels)


def test_a_type_without_a_column_is_refused() -> None:
    output = '<OutputField name="day" optype="ordinal" dataType="date" feature="predictedValue"/>'
    with pytest.raises(ValueError, match="'day' of the model has the type date; a column has string, integer,"):
        TransformerBuilder(make_model(outputs=output)).withOutputCols()


def test_names_of_columns_are_unique() -> None:
    builder = TransformerBuilder(make_model()).withLabelCol("x").withErrorCol("x")
    with pytest.raises(ValueError, match="two columns are named 'x'; pass another name"):
        builder.build()
    with pytest.raises(ValueError, match="no columns; call withTargetCols, withOutputCols"):
        TransformerBuilder(make_model()).build()


def test_a_frame_needs_the_inputs_of_the_model() -> None:
    transformer = TransformerBuilder(make_model()).withLabelCol().build()
    with pytest.raises(
        ValueError, match="the data frame has no column 'width', an input of the model; did you mean widht"
    ):
        transformer.transform(pd.DataFrame({"length": [1.0], "widht": [1.0]}))
    twice = pd.DataFrame([[1.0, 2.0, 3.0]], columns=["length", "length", "width"])
    with pytest.raises(ValueError, match="the data frame has several columns 'length'; rename or drop the others"):
        transformer.transform(twice)
    with pytest.raises(TypeError, match="expected a DataFrame of PySpark or pandas, got an object of type Decimal"):
        transformer.transform(Decimal(1))
