"""Scores of a model as columns of data frames of Spark."""

from __future__ import annotations

import datetime
import json
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("pyspark")

from flowers import SPECIES, make_document, make_model

from stellar.models.loading import read_pmml
from stellar.models.scoring import ScoringModel
from stellar.spark import TransformerBuilder
from stellar.spark.model_tasks import score_batches
from stellar.spark.shipped_models import ShippedModel

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.engine
ROWS = [(1.4, 0.2, "a"), (4.7, 1.4, "b"), (6.0, 2.5, "c")]


@pytest.fixture
def frame(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame(ROWS, "length double, width double, note string").coalesce(1)


def test_columns_have_the_names_and_types_of_jpmml_spark(frame: DataFrame) -> None:
    builder = TransformerBuilder(make_model()).withTargetCols().withOutputCols().withProbabilityCol("shares")
    scored = builder.exploded(True).build().transform(frame)
    names = ["species", *(f"p.{name}" for name in SPECIES), "node", "shares"]
    assert scored.columns == ["length", "width", "note", *names]
    assert [kind for _, kind in scored.dtypes[3:]] == ["string", "double", "double", "double", "string", "vector"]
    assert scored.schema["shares"].dataType.module() == "pyspark.mllib.linalg"
    assert [row.species for row in scored.collect()] == list(SPECIES)
    assert [row["p.versicolor"] for row in scored.collect()] == [0.0, 49 / 54, 1 / 46]
    assert [row.node for row in scored.collect()] == ["2", "3", "4"]


def test_results_are_a_struct_unless_they_are_exploded(frame: DataFrame) -> None:
    labels = ["virginica", "setosa", "versicolor"]
    builder = TransformerBuilder(make_model()).withLabelCol("label").withProbabilityCol("shares", labels)
    scored = builder.build().transform(frame)
    assert scored.dtypes[3:] == [("pmml", "struct<label:string,shares:vector>")]
    first, second, _ = scored.collect()
    assert (first.pmml.label, first.pmml.shares.toArray().tolist()) == ("setosa", [0.0, 1.0, 0.0])
    assert second.pmml.shares.toArray().tolist() == [5 / 54, 0.0, 49 / 54]
    assert scored.select("pmml.label").collect()[2].label == "virginica"


def test_a_vector_is_an_input_of_functions_of_spark(frame: DataFrame) -> None:
    from pyspark.ml.functions import vector_to_array

    scored = TransformerBuilder(make_model()).withProbabilityCol("p").exploded(True).build().transform(frame)
    shares = scored.select(vector_to_array("p").getItem(1).alias("share")).collect()
    assert [row.share for row in shares] == [0.0, 49 / 54, 1 / 46]


def test_a_null_is_a_missing_value_and_nan_is_not(spark: SparkSession) -> None:
    frame = spark.createDataFrame([(None, 1.0), (float("nan"), 1.0)], "length double, width double").coalesce(1)
    builder = TransformerBuilder(make_model()).withLabelCol().withErrorCol("error").exploded(True)
    missing, nan = builder.build().transform(frame).collect()
    assert (missing.species, missing.error) == ("versicolor", None)
    assert (nan.species, nan.error) == (None, "invalid value of field 'length': the model does not accept nan")


def test_columns_of_other_types_are_values_of_fields(spark: SparkSession) -> None:
    fields = "".join(
        f'<DataField name="{name}" optype="{"continuous" if kind == "double" else "categorical"}" dataType="{kind}"/>'
        for name, kind in (("n", "double"), ("x", "double"), ("d", "date"), ("t", "dateTime"))
    )
    outputs = "".join(
        f'<OutputField name="o{name}" optype="categorical" dataType="string" feature="transformedValue">'
        f'<FieldRef field="{name}"/></OutputField>'
        for name in "nxdt"
    )
    schema = "".join(f'<MiningField name="{name}"/>' for name in "nxdt")
    document = f"""<PMML version="4.4"><DataDictionary>{fields}</DataDictionary><RegressionModel
functionName="regression"><MiningSchema>{schema}</MiningSchema><Output>{outputs}</Output>
<RegressionTable intercept="1"/></RegressionModel></PMML>"""
    time = datetime.datetime(2026, 1, 2, 3, 4, 5)
    row = (7, Decimal("1.50"), datetime.date(2026, 1, 2), time)
    frame = spark.createDataFrame([row], "n smallint, x decimal(5,2), d date, t timestamp")
    builder = TransformerBuilder(read_pmml(document.encode())).withOutputCols().exploded(True)
    (found,) = builder.build().transform(frame).collect()
    assert (found.on, found.ox, found.od, found.ot) == ("7.0", "1.5", "2026-01-02", "2026-01-02T03:04:05")


def test_names_of_columns_are_found_and_replaced_as_spark_does(spark: SparkSession, frame: DataFrame) -> None:
    transformer = TransformerBuilder(make_model()).withLabelCol("NOTE").exploded(True).build()
    renamed = frame.withColumnRenamed("length", "Length")
    scored = transformer.transform(renamed)
    assert scored.columns == ["Length", "width", "NOTE"]
    assert [row.NOTE for row in scored.collect()] == list(SPECIES)
    spark.conf.set("spark.sql.caseSensitive", "true")
    try:
        with pytest.raises(ValueError, match="no column 'length', an input of the model; did you mean Length"):
            transformer.transform(renamed)
        assert transformer.transform(frame).columns == ["length", "width", "note", "NOTE"]
    finally:
        spark.conf.unset("spark.sql.caseSensitive")


def test_other_columns_and_their_types_stay(spark: SparkSession) -> None:
    from pyspark.ml.linalg import Vectors

    row = (1.4, Vectors.dense(1.0, 2.0), b"b", 0.2, {"k": [Decimal(3)]})
    frame = spark.createDataFrame([row], ["length", "a.b", "bytes", "width", "map"])
    scored = TransformerBuilder(make_model()).withLabelCol().exploded(True).build().transform(frame)
    assert scored.drop("species").schema == frame.schema
    assert scored.drop("species").collect() == frame.collect()


def test_a_row_that_the_model_does_not_accept_fails_the_job(spark: SparkSession) -> None:
    from pyspark.errors import PythonException

    frame = spark.createDataFrame([("1", "1"), ("long", "1")], "length string, width string").coalesce(1)
    builder = TransformerBuilder(make_model()).withLabelCol().withProbabilityCol()
    reason = "invalid value of field 'length': the model does not accept 'long'"
    with pytest.raises(PythonException, match=f"NotScored: row 1 of partition 0: {reason}; call withErrorCol"):
        builder.build().transform(frame).collect()
    first, second = builder.withErrorCol("error").build().transform(frame).collect()
    assert (first.pmml.species, first.error) == ("setosa", None)
    assert (second.pmml, second.error) == (None, reason)


def test_a_stream_is_scored(spark: SparkSession, frame: DataFrame, tmp_path: Path) -> None:
    frame.write.json(str(tmp_path / "rows"))
    stream = spark.readStream.schema(frame.schema).json(str(tmp_path / "rows"))
    scored = TransformerBuilder(make_model()).withLabelCol().exploded(True).build().transform(stream)
    writer = scored.writeStream.format("memory").queryName("scored_stream").trigger(availableNow=True)
    writer.option("checkpointLocation", str(tmp_path / "checkpoint")).start().awaitTermination()
    assert {row.note: row.species for row in spark.table("scored_stream").collect()} == dict(
        zip("abc", SPECIES, strict=True)
    )


def test_other_columns_may_have_the_same_name(frame: DataFrame) -> None:
    twice = frame.select("note", "*")
    scored = TransformerBuilder(make_model()).withLabelCol().exploded(True).build().transform(twice)
    assert scored.columns == ["note", "length", "width", "note", "species"]
    assert tuple(scored.collect()[0]) == ("a", 1.4, 0.2, "a", "setosa")


def test_a_missing_column_is_an_error_of_the_driver(frame: DataFrame) -> None:
    transformer = TransformerBuilder(make_model()).withLabelCol().build()
    with pytest.raises(ValueError, match="the data frame has no column 'width', an input of the model"):
        transformer.transform(frame.drop("width"))


def test_a_model_without_a_file_cannot_be_sent(frame: DataFrame) -> None:
    model = ScoringModel(make_model().document)
    with pytest.raises(ValueError, match="the model has no file, whose content executors get; write it"):
        TransformerBuilder(model).withLabelCol().build().transform(frame)


def test_executors_get_the_content_of_the_file_as_json() -> None:
    shipped = ShippedModel.of(make_model(), {"length": 0, "width": 1}, (), fails=True)
    assert ShippedModel.decode(shipped.encode()) == shipped
    assert shipped.content == make_document()


def test_another_version_on_the_driver_is_refused() -> None:
    shipped = json.loads(ShippedModel.of(make_model(), {}, (), fails=True).encode())
    other: Any = json.dumps({**shipped, "version": "0.0"})
    with pytest.raises(RuntimeError, match=r"stellar-maas is \S+ on the executor .*, and 0\.0 on the driver"):
        list(score_batches(other, []))
