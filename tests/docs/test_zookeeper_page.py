"""The program on the page about ZooKeeper runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from stellar.maas import ZooKeeper

PAGE = Path(__file__).parents[2] / "docs" / "zookeeper.md"


@pytest.mark.engine
def test_the_program_of_the_page_runs(quorum: str, capsys: pytest.CaptureFixture[str]) -> None:
    (program,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    with ZooKeeper(quorum) as zookeeper:
        zookeeper.write("/metron/topology/parsers/bro", b'{"parserClassName": "BasicBro"}')
    exec(program.replace("node1:2181", quorum), {})
    assert capsys.readouterr().out == "/ None\n"
