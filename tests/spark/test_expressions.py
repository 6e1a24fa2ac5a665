"""Expressions on data frames of Spark: typed columns, functions, and errors by row."""

from __future__ import annotations

import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from stellar import ParseError, ResolutionError

pytest.importorskip("pyspark")

from stellar.spark import evaluate, make_udf

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.engine


@pytest.fixture
def frame(spark: SparkSession) -> DataFrame:
    rows = [(1, "a", True, [1, 2], {"k": 1.5}), (0, None, None, None, None), (None, "c", False, [], {})]
    schema = "n bigint, `h.x` string, b boolean, l array<bigint>, m map<string,double>"
    return spark.createDataFrame(rows, schema).coalesce(1)


def test_columns_have_their_types_and_other_columns_stay(frame: DataFrame) -> None:
    columns = {
        "upper": "TO_UPPER(h.x)",
        "inverse": ("4 / n", "double"),
        "length": ("LENGTH(h.x)", "bigint"),
        "known": ("exists(n)", "boolean"),
        "twice": ("MAP(l, x -> x * 2)", "array<bigint>"),
        "k": ("MAP_GET('k', m)", "double"),
        "constant": ("1 + 1", "bigint"),
    }
    result = evaluate(frame, columns)
    types = dict(result.dtypes)
    assert [types[name] for name in columns] == [
        "string", "double", "bigint", "boolean", "array<bigint>", "double", "bigint",
    ]  # fmt: skip
    assert dict(frame.dtypes).items() <= types.items()
    first, second, third = result.collect()
    assert (first.upper, first.inverse, first.length, first.known, first.twice) == ("A", 4.0, 1, True, [2, 4])
    assert (first.k, first.constant, first.errors) == (1.5, 2, None)
    assert second.inverse is None
    assert second.errors["inverse"] == "division by zero"
    assert (second.length, second.known) == (0, True)
    assert (third.known, third.upper, third.m) == (False, "C", {})


def test_a_value_of_another_type_is_an_error_of_its_row(spark: SparkSession) -> None:
    frame = spark.createDataFrame([("x",), ("7",)], "v string").coalesce(1)
    found = evaluate(frame, {"a": ("v", "bigint"), "b": ("TO_INTEGER(v)", "bigint")}).collect()
    assert [row.errors["a"] for row in found] == [
        f"expected an integer of 64 bits, got the string '{value}'" for value in ("x", "7")
    ]
    assert [row.b for row in found] == [None, 7]


def test_times_and_nested_rows_are_values_of_expressions(spark: SparkSession) -> None:
    time = datetime.datetime(2026, 1, 2, 3, 4, 5, 6000, tzinfo=datetime.UTC)
    row = (time, datetime.date(2026, 1, 2), (5, "x"))
    frame = spark.createDataFrame([row], "t timestamp, d date, s struct<n:int,v:string>")
    columns: dict[str, Any] = {"ms": ("t", "bigint"), "day": "d", "n": ("MAP_GET('n', s)", "bigint")}
    (found,) = evaluate(frame, columns).collect()
    assert (found.ms, found.day, found.n) == (1767323045006, "2026-01-02", 5)
    (again,) = frame.select(make_udf("MAP_GET('n', s)", "bigint", ["s"])("s").alias("r")).collect()
    assert (again.r.value, again.r.error) == (5, None)


def test_a_function_returns_value_and_error(frame: DataFrame, spark: SparkSession) -> None:
    inverse = make_udf("factor / n", "double", ["n", "factor"])
    rows = frame.selectExpr("n", "8L AS f").select(inverse("n", "f").alias("r")).collect()
    assert [row.r.value for row in rows][:1] == [8.0]
    assert rows[1].r.error == "division by zero"
    spark.udf.register("inverse", inverse)
    frame.createOrReplaceTempView("numbers")
    assert spark.sql("SELECT inverse(n, 6L).value AS v FROM numbers WHERE n = 1").collect()[0].v == 6.0


@pytest.mark.parametrize(
    ("columns", "error", "message"),
    [
        ({"a": ("n", "integer")}, ValueError, r"unknown type 'integer'; known are array<bigint>"),
        ({"n": "n"}, ValueError, "the data frame has a column 'n'; rename it"),
        ({"errors": "n"}, ValueError, "the column 'errors' has the errors of expressions; use another name"),
        ({"a": "1 +"}, ParseError, "unexpected end"),
        ({"a": "NO_SUCH(n)"}, ResolutionError, "unknown function NO_SUCH"),
    ],
)
def test_invalid_columns_are_rejected_on_the_driver(
    frame: DataFrame, columns: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        evaluate(frame, columns)


def test_a_function_needs_an_argument_for_each_variable() -> None:
    with pytest.raises(ValueError, match="no argument for the variable 'b' of"):
        make_udf("a + b", "bigint", ["a"])


CALL = "MAP_GET('is_malicious', MAAS_MODEL_APPLY(MAAS_GET_ENDPOINT('dga'), {'host': host}))"


def test_expressions_call_models_and_failed_calls_are_errors(spark: SparkSession, models: Path) -> None:
    hosts = [("yahoo.com", "evil.com", "fails.com", None)[n % 4] for n in range(200)]
    frame = spark.createDataFrame([(host,) for host in hosts], "host string").coalesce(1)
    rows = evaluate(frame, {"m": CALL, "upper": "TO_UPPER(host)"}, registry=models).collect()
    expected = {"yahoo.com": "legit", "evil.com": "malicious", "fails.com": None, None: "malicious"}
    assert [row.m for row in rows] == [expected[host] for host in hosts]
    assert [row.upper for row in rows] == [host and host.upper() for host in hosts]
    failed = [row.errors for row in rows if row.errors is not None]
    assert len(failed) == 50
    assert all(errors["m"].startswith("call to model dga 1.0 failed, result is null: ") for errors in failed)
    called = frame.limit(4).select(make_udf(CALL, "string", ["host"], registry=models)("host").alias("r")).collect()
    assert [row.r.value for row in called] == [expected[host] for host in hosts[:4]]
    assert [row.r.error is not None for row in called] == [False, False, True, False]


def test_models_need_one_registry(spark: SparkSession, tmp_path: Path) -> None:
    frame = spark.createDataFrame([("a",)], "host string").coalesce(1)
    for function in (
        lambda **given: evaluate(frame, {"m": CALL}, **given),
        partial(make_udf, CALL, "string", ["host"]),
    ):
        with pytest.raises(ValueError, match=r"calls models; pass registry=DIR or zookeeper='HOST:PORT,...', or"):
            function()
        with pytest.raises(ValueError, match="registry and zookeeper exclude each other"):
            function(registry="a", zookeeper="b")
    with pytest.raises(ValueError, match="invalid in_flight: expected an integer of at least 1"):
        evaluate(frame, {"m": CALL}, registry="none", in_flight=0)
    (row,) = evaluate(frame, {"m": CALL}, registry="none").collect()
    assert (row.m, "no model 'dga' is registered" in row.errors["m"]) == (None, True)
    with pytest.raises(Exception, match="cannot open the models on the executor"):
        evaluate(frame, {"m": CALL}, registry=tmp_path / "absent").collect()
