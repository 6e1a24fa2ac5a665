"""Run a pipeline on files by Apache Spark, and write documents and errors below OUTPUT/kind=…/sensor=….

    spark-submit --master 'local[2]' examples/spark/transform.py --config examples/squid/config --sensor squid \\
        --registry none access.log outcomes
"""

from __future__ import annotations

import argparse

from pyspark.sql import DataFrame, SparkSession

from stellar.spark import read_pipeline, transform

COLUMNS = ("kind", "sensor", "value")


def main() -> None:
    options = parse_options()
    pipeline = read_pipeline(options.config, options.sensor, registry=options.registry, zookeeper=options.zookeeper)
    with SparkSession.builder.appName(f"stellar {options.sensor}").getOrCreate() as spark:
        if options.checkpoint is None:
            transformed = transform(spark.read.text(options.input), pipeline)
            transformed.outcomes.select(*COLUMNS).write.partitionBy("kind", "sensor").text(options.output)
            print(transformed.read_counts())
        else:
            stream(transform(spark.readStream.text(options.input), pipeline).outcomes, options)


def stream(outcomes: DataFrame, options: argparse.Namespace) -> None:
    """Process the files that appear in a folder, until interrupted; after a restart, continue from the checkpoint."""
    writer = outcomes.select(*COLUMNS).writeStream.partitionBy("kind", "sensor").format("text")
    writer = writer.option("checkpointLocation", options.checkpoint).option("path", options.output)
    writer.trigger(processingTime="10 seconds").start().awaitTermination()


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("input", help="file or folder of lines")
    parser.add_argument("output", help="folder that is created")
    parser.add_argument("--config", required=True, help="directory, or zookeeper:HOST:PORT,.../metron")
    parser.add_argument("--sensor", required=True)
    parser.add_argument("--checkpoint", help="folder of positions; process new files until interrupted")
    parser.add_argument("--registry", help="directory of the model registry, or none")
    parser.add_argument("--zookeeper", help="ZooKeeper servers with the model registry")
    return parser.parse_args()


if __name__ == "__main__":
    main()
