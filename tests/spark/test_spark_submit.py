"""The example by spark-submit: on this machine, and on YARN."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pyspark = pytest.importorskip("pyspark")

if TYPE_CHECKING:
    from engines.hadoop.yarn import Yarn

ROOT = Path(__file__).parents[2]
SPARK = Path(pyspark.__file__).parent
COUNTS = "1,005 lines read, 1,005 parsed = 1,000 out + 0 dropped + 5 rejected; 0 reports"
SETTINGS = {
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.memory": "512m",
    "spark.ui.enabled": "false",
}


def submit(folder: Path, master: str, settings: dict[str, str], **variables: str) -> str:
    """Run the example on a log of Squid, and return what it prints."""
    make = [sys.executable, str(ROOT / "examples/squid/make_log.py"), "--lines", "1000", "--garbage", "5"]
    (folder / "access.log").write_bytes(subprocess.run(make, check=True, capture_output=True).stdout)
    options = [word for name, value in (SETTINGS | settings).items() for word in ("--conf", f"{name}={value}")]
    program = [str(ROOT / "examples/spark/transform.py"), "--config", str(ROOT / "examples/squid/config")]
    arguments = ["--sensor", "squid", "--registry", "none", str(folder / "access.log"), str(folder / "outcomes")]
    command = [str(SPARK / "bin/spark-submit"), "--master", master, *options, *program, *arguments]
    environment = {
        **os.environ,
        "SPARK_HOME": str(SPARK),
        "PYSPARK_PYTHON": sys.executable,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "SPARK_LOCAL_IP": "127.0.0.1",
        **variables,
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def check_outcomes(folder: Path, printed: str) -> None:
    counts, _, reports = printed.splitlines()[-1].rpartition(";")
    assert (counts, reports) == (COUNTS.rpartition(";")[0], " 1,000 reports")  # there are no models
    documents, errors = (
        [json.loads(line) for file in (folder / "outcomes").glob(f"kind={kind}/sensor=squid/*.txt")
         for line in file.read_bytes().splitlines()]
        for kind in ("document", "error")
    )  # fmt: skip
    assert len({document["guid"] for document in documents}) == 1000
    assert sorted(error["stage"] for error in errors) == ["model"] * 1000 + ["parse"] * 5


@pytest.mark.engine
def test_the_example_runs_on_this_machine(tmp_path: Path, engines: None) -> None:
    check_outcomes(tmp_path, submit(tmp_path, "local[2]", {}))


@pytest.mark.engine
def test_the_example_runs_on_yarn(tmp_path: Path, yarn: Yarn) -> None:
    settings = {
        "spark.yarn.jars": f"local:{SPARK}/jars/*",
        "spark.yarn.stagingDir": f"file://{tmp_path}/staging",
        "spark.yarn.am.memory": "256m",
        "spark.executor.instances": "2",
        "spark.executor.memory": "512m",
        "spark.executorEnv.PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "spark.pyspark.python": sys.executable,
    }
    check_outcomes(tmp_path, submit(tmp_path, "yarn", settings, HADOOP_CONF_DIR=str(yarn.conf)))
