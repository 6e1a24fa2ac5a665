"""Mutated model files and records: each gives scores, or an error of ours.

Some inputs are also scored by the compiled function, in columns and with an explanation, whose results must be equal.
"""

from __future__ import annotations

import json
import random
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from scripts.fuzz.mutations import mutate, mutate_file, mutate_record
from scripts.fuzz.worker import Fault, Outcome, describe_leak, measure_memory
from stellar.models.batch.scores import LEAST_ROWS
from stellar.models.errors import InvalidModel, NotScored
from stellar.models.loading import read_lightgbm, read_pmml, read_xgboost
from stellar.models.scoring import ScoringModel
from stellar.util.abbreviate import abbreviate_value

SECONDS = 1.0
MEBIBYTES = 512
RECORDS = 2  # of an input
COMPARED = 8  # one input in so many is scored in all ways
_ROOT = Path(__file__).parents[2]
_CORPUS = _ROOT / "tests" / "conformance" / "data" / "pmml"
_BOOSTERS = _ROOT / "tests" / "models" / "boosters" / "data"
_LARGEST = 12_000  # bytes: small documents have as many kinds of elements as large ones, and are read faster

Record = dict[str, Any]


@dataclass(frozen=True)
class ModelFile:
    """A model file, and records for its model."""

    name: str
    content: bytes
    records: Sequence[Record]


@lru_cache(1)
def load_documents() -> list[ModelFile]:
    """Return the small PMML documents of the corpus."""
    records: dict[str, list[Record]] = defaultdict(list)
    for line in (_CORPUS / "cases.jsonl").read_text("utf-8").splitlines():
        case = json.loads(line)
        records[Path(case["pmml"]).name].append(case["record"])
    paths = [path for path in sorted((_CORPUS / "models").iterdir()) if path.stat().st_size < _LARGEST]
    return [ModelFile(path.name, path.read_bytes(), records[path.name] or [{}]) for path in paths]


@lru_cache(1)
def load_boosters() -> list[ModelFile]:
    """Return the files of XGBoost and LightGBM."""
    rows = json.loads((_BOOSTERS / "scores.json").read_text("utf-8"))["records"]
    names = ("n_systems", "ttl_mean", "entropy", "length")
    records = [dict(zip(names, row, strict=True)) for row in rows]
    paths = [path for path in sorted(_BOOSTERS.iterdir()) if path.name != "scores.json"]
    return [ModelFile(path.name, path.read_bytes(), records) for path in paths]


def _make_input(
    files: Sequence[ModelFile], mutate_content: Callable[[bytes, random.Random], bytes], seed: int, number: int
) -> ModelFile:
    chance = random.Random(f"{seed} {number}")
    file = chance.choice(files)
    records = [mutate_record(chance.choice(file.records), chance) for _ in range(RECORDS)]
    return ModelFile(file.name, mutate_content(file.content, chance), records)


def make_document(seed: int, number: int) -> ModelFile:
    """Return the mutated PMML document with a number."""
    return _make_input(load_documents(), mutate, seed, number)


def make_booster(seed: int, number: int) -> ModelFile:
    """Return the mutated file of a booster with a number."""
    return _make_input(load_boosters(), mutate_file, seed, number)


def _read(source: ModelFile) -> ScoringModel:
    if source.name.endswith(".pmml"):
        return read_pmml(source.content)
    return read_lightgbm(source.content) if source.name.endswith(".txt") else read_xgboost(source.content)


# -- Scores -----------------------------------------------------------------------------------------------------------


def score_document(seed: int, number: int) -> tuple[str, Fault | None]:
    """Score the records of a mutated PMML document; return the result and the fault, if any."""
    return _run("pmml", make_document(seed, number), seed, number)


def score_booster(seed: int, number: int) -> tuple[str, Fault | None]:
    """Score the records of a mutated file of a booster; return the result and the fault, if any."""
    return _run("boosters", make_booster(seed, number), seed, number)


def _run(kind: str, source: ModelFile, seed: int, number: int) -> tuple[str, Fault | None]:
    memory, begin = measure_memory(), time.process_time()
    outcome = _score(source, is_compared=number % COMPARED == 0)
    seconds, growth = time.process_time() - begin, measure_memory() - memory
    problem = outcome.problem
    if problem is None and seconds > SECONDS:
        problem = f"took {seconds:.1f} s of processor time"
    if problem is None and growth > MEBIBYTES:
        problem = f"memory grew by {growth} MiB"
    if problem is None:
        return outcome.result, None
    records = "\n".join(abbreviate_value(record, 2000) for record in source.records)
    return outcome.result, Fault(seed, number, kind, problem, show_input(source), records, outcome.details)


def _score(source: ModelFile, *, is_compared: bool) -> Outcome:
    try:
        model = _read(source)
    except InvalidModel:
        return Outcome("invalid")
    except BaseException as error:  # noqa: BLE001 - any other exception is what the fuzzer looks for
        return describe_leak("invalid", error)
    try:
        results = [_score_record(model.score_completely, record) for record in source.records]
        problem = _compare(model, source.records, results) if is_compared else None
    except BaseException as error:  # noqa: BLE001
        return describe_leak("refused", error)
    outcome = "refused" if all(isinstance(result, str) for result in results) else "scored"
    return Outcome(outcome, problem, "" if problem is None else repr(results)[:2000])


def _score_record(score: Callable[[Record], Any], record: Record) -> Any:
    """Return the results of a record, or the error as a string."""
    try:
        return score(record)
    except NotScored as error:
        return str(error)


def _compare(model: ScoringModel, records: Sequence[Record], expected: Sequence[Any]) -> str | None:
    """Return the difference between the ways to score records, if any."""
    model.compile()
    found = [_score_record(model.score, record) for record in records]
    if repr(found) != repr(list(expected)):
        return f"the compiled function gives {repr(found)[:500]}"
    for record in records:
        _score_record(model.explain, record)
    with suppress(InvalidModel):  # a record of the document has another result
        model.verify()
    return _compare_columns(model, records, expected)


def _compare_columns(model: ScoringModel, records: Sequence[Record], expected: Sequence[Any]) -> str | None:
    names = [field.name for field in model.inputs()]
    if not names:
        return None
    columns = {name: np.empty(LEAST_ROWS, object) for name in names}
    for row in range(LEAST_ROWS):
        for name in names:
            columns[name][row] = records[row % len(records)].get(name)
    scores = model.score_columns(columns)
    lists = {name: column.tolist() for name, column in scores.columns.items()}
    for row, result in enumerate(expected):
        values = {name: column[row] for name, column in lists.items() if column[row] is not None}
        if repr(scores.errors[row] or _sort(values)) != repr(result if isinstance(result, str) else _sort(result)):
            return f"columns give {repr(scores.errors[row] or values)[:500]}"
    return None


def _sort(result: Record) -> Record:
    """Return the values of a result that are not null, by name."""
    return {name: result[name] for name in sorted(result) if result[name] is not None}


def show_input(source: ModelFile) -> str:
    """Return a mutated file as a string."""
    return f"{source.name}\n{source.content.decode('latin-1')}"
