"""The example of fluxing domains: a pipeline, HTTP, pandas and Spark give the same labels and probabilities."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("pyspark")
pytest.importorskip("sklearn")

from stellar.maas import FileRegistry
from stellar.models.loading import load_model

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.engine
EXAMPLE = Path(__file__).parents[2] / "examples/ffsn"
MAAS = "from maas_runtime.cli.main import main; raise SystemExit(main())"
PIPELINE = "from stellar.pipeline.cli import main; raise SystemExit(main())"
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
def registry(folder: Path, domains: Path, run: Run) -> Iterator[Path]:
    """The registry of a service that runs two instances of the model."""
    where = folder / "registry"
    service = subprocess.Popen(
        [sys.executable, "-c", MAAS, "serve", "--registry", str(where)], stderr=subprocess.DEVNULL
    )
    try:
        options = ["-hmp", "ffsn/1.0", "-mo", "ADD", "-m", "512", "-n", "ffsn", "-v", "1.0", "-ni", "2", "--wait"]
        deploy = ["-c", MAAS, "deploy", "-lmp", "./ffsn", "--registry", str(where)]
        assert "ffsn @ 1.0: 2 ready" in run(*deploy, *options)
        yield where
    finally:
        service.terminate()
        service.wait()


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


def read_records(domains: Path, modules: Callable[[str], ModuleType]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the domains with many addresses, and their features."""
    module = modules("domain_features")
    many = module.read_domains(domains)
    yield from zip([domain["domain"] for domain in many], module.compute_features(many), strict=True)


def test_http_gives_the_results_of_pandas(
    registry: Path, domains: Path, in_pandas: dict[str, Result], modules: Callable[[str], ModuleType]
) -> None:
    with FileRegistry(registry) as found:
        url = found.endpoint("ffsn").url
    scored = {}
    for domain, features in read_records(domains, modules):
        with urllib.request.urlopen(f"{url}/apply?{urllib.parse.urlencode(features)}") as response:
            result = json.load(response)
        scored[domain] = (result["label"], result["probability(1)"])
    assert scored == in_pandas


def test_a_pipeline_gives_the_results_of_pandas(
    registry: Path, domains: Path, folder: Path, in_pandas: dict[str, Result], run: Run
) -> None:
    arguments = ["run", "--config", str(EXAMPLE / "config"), "--sensor", "dns", "--registry", str(registry)]
    run("-c", PIPELINE, *arguments, "--output", "scored.json", "domains.jsonl")
    documents = list(map(json.loads, (folder / "scored.json").read_text().splitlines()))
    assert len(documents) == 3000
    scored = [document for document in documents if "ffsn" in document]
    assert {document["domain"]: (document["ffsn"], document["ffsn_prob"]) for document in scored} == in_pandas
    assert 0.02 < len(scored) / len(documents) < 0.06  # the others do not reach the model
    alerts = {document["domain"] for document in documents if document.get("is_alert") == "true"}
    assert alerts == {domain for domain, (_, share) in in_pandas.items() if share >= 0.5}
    (found,) = [document for document in documents if document["domain"] == "astro-travels.net"]
    assert (found["n_systems"], found["n_countries"], found["ffsn"]) == (157, 11, 1)
    assert found["threat.triage.score"] == 100 * found["ffsn_prob"]


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
