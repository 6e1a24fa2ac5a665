"""The examples of docs/spark.md run."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("pyspark")

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "spark.md"


@pytest.mark.engine
def test_the_examples_of_the_page_run(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "examples/squid/config", tmp_path / "config")
    make = [sys.executable, str(ROOT / "examples/squid/make_log.py"), "--lines", "1000", "--garbage", "5"]
    log = subprocess.run(make, check=True, capture_output=True).stdout
    (tmp_path / "access.log").write_bytes(log)
    (tmp_path / "incoming").mkdir()
    (tmp_path / "incoming" / "access.log").write_bytes(log)
    text = PAGE.read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    program = "\n".join(blocks)
    for name in ("access.log", "outcomes", "incoming", "checkpoint", "streamed"):  # the session has another directory
        program = program.replace(f'"{name}"', f'"{tmp_path / name}"')
    exec(compile(program, str(PAGE), "exec"), {})
    printed = capsys.readouterr().out
    (counts,) = re.findall(r"`(1,005 lines read.*?reports)`", text, re.DOTALL)
    assert counts.replace("\n", " ") in printed
    (table,) = re.findall(r"^```text\n(\+--.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert table in printed
    assert "division by zero" in printed
    assert list((tmp_path / "streamed").glob("kind=document/sensor=squid/*.txt"))
