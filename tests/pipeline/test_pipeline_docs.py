"""The documentation of the pipeline: its examples run, and it covers all names and options."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from stellar.pipeline import build_pipeline, load_config
from stellar.pipeline.cli import main
from stellar.pipeline.parsers import PARSERS
from stellar.pipeline.records import ERROR_TYPES, Raw, Rejected, make_error_document
from stellar.pipeline.stages.fields import TRANSFORMATIONS
from stellar.pipeline.stages.triage import AGGREGATORS
from stellar.pipeline.stages.validation import VALIDATIONS

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "pipeline.md").read_text(encoding="utf-8")
PRODUCTS = (ROOT / "docs" / "product-parsers.md").read_text(encoding="utf-8")
PARSER, ENRICHMENT, LOOK_UPS, ERROR = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)
PROGRAM, WORDS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize("enrichment", [ENRICHMENT, LOOK_UPS])
def test_documented_configurations_can_be_built(enrichment: str, tmp_path: Path) -> None:
    for folder, content in (("parsers", PARSER), ("enrichments", enrichment)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "squid.json").write_text(content, encoding="utf-8")
    pipeline = build_pipeline(load_config(tmp_path, "squid"))
    raw = Raw(b"garbage", "access.log", 17)
    (outcome,) = pipeline(raw)
    assert isinstance(outcome, Rejected)
    assert json.loads(ERROR).items() <= make_error_document(outcome, "squid", raw).items()


def test_the_documented_program_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(ROOT / "examples" / "squid" / "config", tmp_path / "config")
    (tmp_path / "registry").mkdir()
    monkeypatch.chdir(tmp_path)
    exec(compile(PROGRAM, "docs/pipeline.md", "exec"), {})
    assert "'full_hostname': 'cnn.com'" in capsys.readouterr().out


def test_the_documented_parser_works() -> None:
    from stellar.pipeline.config.locations import SourceLocation
    from stellar.pipeline.parsers import Settings

    names: dict[str, type] = {}
    exec(compile(WORDS, "docs/pipeline.md", "exec"), names)
    assert names["Words"](Settings({}, SourceLocation("x")))("a b") == [{"word": "a"}, {"word": "b"}]


@pytest.mark.parametrize("name", [*TRANSFORMATIONS, *VALIDATIONS, *AGGREGATORS, *PARSERS, *ERROR_TYPES])
def test_every_name_is_documented(name: str) -> None:
    text = TEXT + PRODUCTS
    assert f"`{name}`" in text or f"**{name}**" in text


@pytest.mark.parametrize("command", ["run", "check"])
def test_every_option_is_documented(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    options = set(re.findall(r"--\w+", capsys.readouterr().out)) - {"--help"}
    assert options <= set(re.findall(r"--\w+", TEXT))
