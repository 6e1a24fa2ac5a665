"""Scores of models beside scikit-learn and ONNX Runtime: records, batches, loading and start-up.

The models are trained by scikit-learn on the same data, and written as PMML and as ONNX. ONNX Runtime has one thread,
and calculates with binary32 numbers. Before a measurement, the probabilities are compared.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from xml.etree import ElementTree

from benchmarks.measure import interleave, over, process
from benchmarks.model_documents import write_document
from benchmarks.peers import Compile
from benchmarks.report import Finding, GroupResult, Limit, Quantity, Table, ratio
from stellar.models.loading import read_pmml

FEATURES = [f"x{index}" for index in range(10)]
TRAINED, BATCH, RECORDS = 4000, 10_000, 500
FOREST_BYTES = 4_000_000
TOLERANCE = 1e-5  # of binary32

ONE = {
    "logistic regression": Limit("one record by a logistic regression, to ONNX Runtime", must=0.3, aim=0.2),
    "tree": Limit("one record by a tree, to ONNX Runtime", must=0.3, aim=0.2),
    "forest of 100 trees": Limit("one record by a forest of 100 trees, to ONNX Runtime", must=4, aim=2),
    "boosting, 100 trees": Limit("one record by boosting, 100 trees, to ONNX Runtime", must=2, aim=1.2),
}
BATCHES = {
    "forest of 100 trees": Limit("10,000 records by a forest of 100 trees, to ONNX Runtime", must=1.2, aim=1),
    "boosting, 100 trees": Limit("10,000 records by boosting, 100 trees, to ONNX Runtime", must=1.2, aim=1),
}
LOADING = Limit("loading a forest of 4 MB, to ElementTree", must=10, aim=6)
START = Limit("start to the first score, to scikit-learn", must=0.3, aim=0.2)

OURS, SKLEARN, ONNX = "stellar.models", "scikit-learn", "ONNX Runtime"
Scorers = dict[str, Callable[[Any], Any]]


@dataclass(frozen=True)
class TrainedModel:
    """A trained model in each form.

    document: PMML
    onnx: None unless ONNX Runtime is installed
    """

    name: str
    estimator: Any
    document: bytes
    onnx: bytes | None


@dataclass(frozen=True)
class ScoringData:
    """Records in the forms that the libraries take."""

    rows: Any
    columns: Mapping[str, Any]
    records: list[dict[str, float]]


def scoring(peers: dict[str, Compile | None], seconds: float) -> GroupResult:
    """Measure the scores of models.

    seconds: for each function
    """
    try:
        import numpy as np  # noqa: F401
        import sklearn  # noqa: F401
    except ImportError as error:
        return GroupResult([f"scoring: {error}\n"], [])
    models, data = _train_models(), _make_data()
    tables: list[Table | str] = []
    found: list[Finding] = []
    for title, make, count, limits in (
        ("One record, from a dict to probabilities", _make_record_scorers, RECORDS, ONE),
        (f"A batch of {BATCH:,} records, for each", _make_batch_scorers, BATCH, BATCHES),
    ):
        times = {model.name: _measure(make(model, data), data, seconds, count) for model in models}
        tables.append(_make_table(title, times))
        found += [
            Finding(limit, times[name][OURS] / times[name][ONNX])
            for name, limit in limits.items()
            if ONNX in times[name]
        ]
    for measure in (_measure_loading, _measure_start):
        table, finding = measure(models, seconds)
        tables.append(table)
        found.append(finding)
    return GroupResult(tables, found)


def _make_table(title: str, times: Mapping[str, Mapping[str, float]]) -> Table:
    names = [OURS, ONNX, SKLEARN]
    rows = [
        [model, *(Quantity(taken[name] / 1000, "µs") if name in taken else "not installed" for name in names)]
        for model, taken in times.items()
    ]
    return Table(title, ["", *names], rows)


# -- Models -----------------------------------------------------------------------------------------------------------


def _make_rows(count: int, seed: int) -> Any:
    import numpy as np

    return np.random.default_rng(seed).normal(size=(count, len(FEATURES)))


def _make_data() -> ScoringData:
    rows = _make_rows(BATCH, 1)
    columns = {name: rows[:, index].copy() for index, name in enumerate(FEATURES)}
    records = [dict(zip(FEATURES, row, strict=True)) for row in rows[:RECORDS].tolist()]
    return ScoringData(rows, columns, records)


def _train_models() -> list[TrainedModel]:
    from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.tree import DecisionTreeClassifier

    estimators = {
        "logistic regression": LogisticRegression(),
        "tree": DecisionTreeClassifier(max_depth=8, random_state=0),
        "forest of 100 trees": RandomForestClassifier(100, max_depth=8, random_state=0),
        "boosting, 100 trees": GradientBoostingClassifier(n_estimators=100, max_depth=3, random_state=0),
    }
    return [_train(name, estimator) for name, estimator in estimators.items()]


def _train(name: str, estimator: Any) -> TrainedModel:
    rows, noise = _make_rows(TRAINED, 0), _make_rows(TRAINED, 2)[:, 0] / 2
    estimator.fit(rows, (rows[:, 0] + rows[:, 1] * rows[:, 2] + noise > 0).astype(int))
    return TrainedModel(name, estimator, write_document(estimator, FEATURES).encode(), _write_onnx(estimator))


def _write_onnx(estimator: Any) -> bytes | None:
    try:
        import onnxruntime  # noqa: F401
        from skl2onnx import to_onnx
    except ImportError:
        return None
    example = _make_rows(1, 3).astype("float32")
    written: bytes = to_onnx(estimator, example, options={"zipmap": False}).SerializeToString()
    return written


def _open_session(content: bytes) -> Callable[[Any], Any]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    (name,) = (field.name for field in session.get_inputs())
    return lambda rows: session.run(None, {name: rows})[1]


# -- Scores -----------------------------------------------------------------------------------------------------------


def _make_record_scorers(model: TrainedModel, data: ScoringData) -> Scorers:
    import numpy as np

    ours = read_pmml(model.document)
    ours.compile()
    scorers: Scorers = {
        OURS: ours.score,
        SKLEARN: lambda record: model.estimator.predict_proba([[record[name] for name in FEATURES]]),
    }
    if model.onnx is not None:
        run = _open_session(model.onnx)
        scorers[ONNX] = lambda record: run(np.array([[record[name] for name in FEATURES]], np.float32))
    for record in data.records[:50]:
        _check(
            model,
            [ours.score(record)["probability(1)"], *(float(scorers[key](record)[0][1]) for key in [*scorers][1:])],
        )
    return {name: over(scorer, data.records) for name, scorer in scorers.items()}  # type: ignore[dict-item]


def _make_batch_scorers(model: TrainedModel, data: ScoringData) -> Scorers:
    import numpy as np

    ours, singles = read_pmml(model.document), data.rows.astype(np.float32)
    scorers: dict[str, Callable[[], Any]] = {
        OURS: lambda: ours.score_columns(data.columns).columns["probability(1)"],
        SKLEARN: lambda: model.estimator.predict_proba(data.rows)[:, 1],
    }
    if model.onnx is not None:
        run = _open_session(model.onnx)
        scorers[ONNX] = lambda: run(singles)[:, 1]
    results = [scorer() for scorer in scorers.values()]
    # binary32 may decide otherwise at a threshold
    _check(model, [float(np.median(np.abs(np.asarray(result) - np.asarray(results[0])))) for result in results])
    return scorers  # type: ignore[return-value]


def _check(model: TrainedModel, values: list[float]) -> None:
    if max(values) - min(values) > TOLERANCE:
        raise ValueError(f"{model.name}: the libraries give {values}")


def _measure(scorers: Scorers, data: ScoringData, seconds: float, count: int) -> dict[str, float]:
    return {name: taken / count for name, taken in interleave(scorers, seconds).items()}  # type: ignore[arg-type]


# -- Loading ----------------------------------------------------------------------------------------------------------


def _measure_loading(models: list[TrainedModel], seconds: float) -> tuple[Table, Finding]:
    """Measure a forest with as many trees as are in 4 MB."""
    from sklearn.ensemble import RandomForestClassifier

    forest = next(model for model in models if "forest" in model.name)
    trees = 100 * FOREST_BYTES // len(forest.document)
    document = _train("", RandomForestClassifier(trees, max_depth=8, random_state=0)).document
    ours, tree = f"{OURS}: ready for scores", "xml.etree.ElementTree: a tree of elements"
    times = interleave({ours: lambda: read_pmml(document), tree: lambda: ElementTree.fromstring(document)}, seconds)
    rows = [[name, Quantity(taken / 1e6, "ms"), ratio(taken / times[tree])] for name, taken in times.items()]
    title = f"Loading a forest of {trees} trees, {len(document) / 1e6:.1f} MB of PMML"
    return Table(title, ["", "CPU", "to ElementTree"], rows), Finding(LOADING, times[ours] / times[tree])


def _measure_start(models: list[TrainedModel], seconds: float) -> tuple[Table, Finding]:
    """Measure processes from their start to the first score of the boosted trees."""
    model, record = models[-1], dict.fromkeys(FEATURES, 0.5)
    with TemporaryDirectory() as folder:
        file, onnx, pickled = (Path(folder) / name for name in ("model.pmml", "model.onnx", "model.joblib"))
        file.write_bytes(model.document)
        commands = {OURS: _LOAD_OURS.format(file=json.dumps(str(file)), record=record)}
        if model.onnx is not None:
            onnx.write_bytes(model.onnx)
            commands[ONNX] = _LOAD_ONNX.format(file=json.dumps(str(onnx)))
        commands[SKLEARN] = _LOAD_SKLEARN.format(file=json.dumps(str(pickled)))
        _pickle(model.estimator, pickled)
        rounds = range(max(3, round(seconds * 10)))
        times = {name: min(process(["-c", code], folder)[0].cpu for _ in rounds) for name, code in commands.items()}
    rows = [[name, Quantity(taken, "ms"), ratio(taken / times[SKLEARN])] for name, taken in times.items()]
    table = Table(
        "A process from its start to the first score of the boosted trees", ["", "CPU", "to scikit-learn"], rows
    )
    return table, Finding(START, times[OURS] / times[SKLEARN])


def _pickle(estimator: Any, file: Path) -> None:
    import joblib

    joblib.dump(estimator, file)


_LOAD_OURS = (
    "from pathlib import Path; from stellar.models.loading import load_model; load_model(Path({file})).score({record})"
)
_LOAD_ONNX = (
    "import numpy, onnxruntime; session = onnxruntime.InferenceSession({file}); "
    "session.run(None, {{session.get_inputs()[0].name: numpy.ones((1, 10), 'float32')}})"
)
_LOAD_SKLEARN = "import joblib; joblib.load({file}).predict_proba([[0.5] * 10])"
