"""The example of fluxing domains: pandas and Spark give the same labels and probabilities."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("pyspark")
pytest.importorskip("sklearn")

from stellar.models.loading import load_model

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.engine
EXAMPLE = Path(__file__).parents[2] / "examples/ffsn"
Result = tuple[int, float]  # the label, and the probability of a fluxing domain
Run = Callable[..., str]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ffsn")


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    """A function that runs a Python program in the folder, and returns what it prints."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "HOME": str(folder)}

    def run(*arguments: str) -> str:
        command = [sys.executable, *arguments]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="module")
def domains(folder: Path, run: Run) -> Path:
    """The domains that are scored; `ffsn` beside it has the model."""
    training = run(str(EXAMPLE / "make_domains.py"), "--domains", "40000", "--labels")
    (folder / "training.jsonl").write_text(training)
    assert "domains with many addresses" in run(str(EXAMPLE / "train.py"), "training.jsonl", "ffsn/model.pmml")
    path = folder / "domains.jsonl"
    path.write_text(run(str(EXAMPLE / "make_domains.py"), "--domains", "3000", "--seed", "2"))
    return path


@pytest.fixture(scope="module")
def modules() -> Iterator[Callable[[str], ModuleType]]:
    """A function that imports a module of the example."""
    sys.path.insert(0, str(EXAMPLE))
    yield importlib.import_module
    sys.path.remove(str(EXAMPLE))


@pytest.fixture(scope="module")
def in_pandas(domains: Path, modules: Callable[[str], ModuleType]) -> dict[str, Result]:
    scored = modules("score_pandas").score_domains(domains.parent / "ffsn/model.pmml", domains)
    return {domain: (int(row.ffsn), float(row.ffsn_prob[1])) for domain, row in scored.iterrows()}


def test_spark_gives_the_results_of_pandas(
    spark: SparkSession, domains: Path, in_pandas: dict[str, Result], modules: Callable[[str], ModuleType]
) -> None:
    frame = modules("score_spark").score_domains(spark, domains.parent / "ffsn/model.pmml", domains)
    scored = {row.domain: (row.ffsn, float(row.ffsn_prob[1])) for row in frame.collect()}
    assert scored == in_pandas


def test_the_model_has_the_inputs_that_the_pipeline_sends(domains: Path, modules: Callable[[str], ModuleType]) -> None:
    model = load_model(domains.parent / "ffsn/model.pmml")
    assert [field.name for field in model.inputs()] == list(modules("domain_features").read_features())


def test_most_domains_of_botnets_are_found(domains: Path, in_pandas: dict[str, Result], run: Run) -> None:
    labelled = run(str(EXAMPLE / "make_domains.py"), "--domains", "3000", "--seed", "2", "--labels")
    labels = {domain["domain"]: domain["label"] for domain in map(json.loads, labelled.splitlines())}
    fluxing = [domain for domain, label in labels.items() if label]
    found = [domain for domain, (label, _) in in_pandas.items() if label]
    correct = len(set(fluxing).intersection(found))
    assert (correct / len(fluxing) > 0.8, correct / len(found) > 0.8) == (True, True)
