"""Spark in a virtual machine of this process, with Spark's source and sink for Kafka."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from engines.daemon import jars

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_JAVA = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Djava.awt.headless=true"


class LocalSpark:
    """A session whose executors are threads, as a context manager.

    master: the number of threads, as in `local[2]`
    more: further settings
    """

    def __init__(self, master: str = "local[2]", more: Mapping[str, str] | None = None) -> None:
        self._master = master
        self._more = dict(more or {})
        self._folder = Path(tempfile.mkdtemp(prefix="spark-"))

    def __enter__(self) -> SparkSession:
        os.environ["PYSPARK_PYTHON"] = sys.executable
        from pyspark.sql import SparkSession

        builder = SparkSession.builder.master(self._master).appName("tests")
        for name, value in (self._make_settings() | self._more).items():
            builder = builder.config(name, value)
        self._session = builder.getOrCreate()
        self._session.sparkContext.setLogLevel("OFF")
        return self._session

    def _make_settings(self) -> dict[str, str]:
        return {
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.memory": "512m",
            "spark.driver.extraJavaOptions": f"{_JAVA} -Djava.io.tmpdir={self._folder}",
            "spark.driver.extraClassPath": f"{jars(Path(__file__).parent)}/*",
            "spark.local.dir": str(self._folder),
            "spark.sql.shuffle.partitions": "2",
            "spark.sql.warehouse.dir": str(self._folder / "warehouse"),
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
        }

    def __exit__(self, *_: object) -> None:
        self._session.stop()
        shutil.rmtree(self._folder, ignore_errors=True)
