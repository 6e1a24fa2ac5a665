"""Scores of a random forest on data frames of Spark, compared with scikit-learn in `mapInPandas`.

Both get the same rows of random numbers, and return a label and the probabilities of two classes. The time is that of
Spark's virtual machine and of its Python processes, less that of a job that only makes the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from benchmarks.measure import Process
from benchmarks.report import Finding, Limit, Quantity, Table, ratio

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

ROW = Limit("a row that Spark scores by a forest of 100 trees", must=10, aim=6, unit="µs")
ROWS, COMPARED = 300_000, 1_000
FEATURES = [f"x{index}" for index in range(10)]
OURS, PEER = "TransformerBuilder", "scikit-learn in mapInPandas"
ONLY_ROWS = "rows"

Measure = Callable[[Callable[[], None]], Process]


def measure_scores(session: SparkSession, rounds: int, measure: Measure) -> tuple[Table, Finding]:
    """Return the times of a row, and the figure with its limit.

    measure: returns the time of work in the processes of Spark
    """
    forest = _train()
    _compare(session, forest)
    rows = _make_rows(session, ROWS)
    frames = {ONLY_ROWS: rows, OURS: _score(rows, forest), PEER: _score_by_peer(rows, forest)}
    least = {name: _measure_frame(frame, rounds, measure) for name, frame in frames.items()}
    times = {name: least[name] - least[ONLY_ROWS] for name in (OURS, PEER)}
    table = Table(
        f"{ROWS:,} rows of {len(FEATURES)} numbers, scored by a forest of 100 trees: time of a row",
        ("", "processor time", "to scikit-learn"),
        [(name, Quantity(time, "µs"), ratio(time / times[PEER])) for name, time in times.items()],
    )
    return table, Finding(ROW, times[OURS])


def _measure_frame(frame: DataFrame, rounds: int, measure: Measure) -> float:
    """Return the least processor time of a row, in microseconds. The first job is not measured."""

    def write() -> None:
        frame.write.format("noop").mode("overwrite").save()

    write()
    return min(measure(write).cpu for _ in range(rounds)) / ROWS * 1e3


def _train() -> Any:
    import numpy as np
    from sklearn.ensemble import RandomForestClassifier

    rows = np.random.default_rng(0).normal(size=(4000, len(FEATURES)))
    forest = RandomForestClassifier(100, max_depth=8, random_state=0)
    return forest.fit(rows, (rows[:, 0] + rows[:, 1] * rows[:, 2] > 0).astype(int))


def _make_rows(session: SparkSession, count: int) -> DataFrame:
    from pyspark.sql import functions as sql

    return session.range(count).select(*[sql.randn(seed).alias(name) for seed, name in enumerate(FEATURES)])


def _score(rows: DataFrame, forest: Any) -> DataFrame:
    from stellar.models.loading import load_model
    from stellar.models.sklearn2pmml import write_pmml
    from stellar.spark import TransformerBuilder

    with TemporaryDirectory() as directory:
        path = Path(directory, "forest.pmml")
        write_pmml(forest, path, FEATURES)
        model = load_model(path)
    builder = TransformerBuilder(model).withLabelCol("label").withProbabilityCol("shares").exploded(True)
    return builder.build().transform(rows)


def _score_by_peer(rows: DataFrame, forest: Any) -> DataFrame:
    classes = forest.classes_

    def score(frames: Iterable[Any]) -> Iterator[Any]:
        for frame in frames:
            shares = forest.predict_proba(frame.to_numpy())
            yield frame.assign(label=classes[shares.argmax(1)], shares=list(shares))

    fields = ", ".join(f"{name} double" for name in FEATURES)
    return rows.mapInPandas(score, f"{fields}, label int, shares array<double>")


def _compare(session: SparkSession, forest: Any) -> None:
    """Raise RuntimeError if the results differ."""
    rows = _make_rows(session, COMPARED)
    ours, theirs = _score(rows, forest).collect(), _score_by_peer(rows, forest).collect()
    for row, other in zip(ours, theirs, strict=True):
        if row.label != other.label or max(map(abs, row.shares.toArray() - other.shares)) > 1e-12:
            raise RuntimeError(f"expected {other}, got {row}")
