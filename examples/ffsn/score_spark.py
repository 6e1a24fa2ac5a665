"""Scores domains with Spark: spark-submit --master 'local[2]' score_spark.py model.pmml domains.jsonl"""

from __future__ import annotations

import sys
from pathlib import Path

from domain_features import MANY, read_features
from pyspark.sql import DataFrame, SparkSession

from stellar.models.loading import load_model
from stellar.spark import TransformerBuilder, evaluate


def score_domains(spark: SparkSession, model: Path, source: Path) -> DataFrame:
    """Return the domains with many addresses: their features, label and probabilities."""
    many = spark.read.json(str(source)).filter(f"size(array_distinct(addresses)) >= {MANY}")
    features = evaluate(many, {name: (expression, "double") for name, expression in read_features().items()})
    builder = TransformerBuilder(load_model(model)).withLabelCol("ffsn").withProbabilityCol("ffsn_prob").exploded(True)
    return builder.build().transform(features)


if __name__ == "__main__":
    with SparkSession.builder.appName("ffsn").getOrCreate() as session:
        scored = score_domains(session, *map(Path, sys.argv[1:]))
        scored.filter("ffsn = 1").select("domain", "n_systems", "n_countries", "ffsn", "ffsn_prob").show(truncate=False)
