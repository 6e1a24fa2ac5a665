"""The documentation site builds without warnings, and its search finds the terms of the field."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("scripts", reason="generators are in the checkout, not in the wheel")

from scripts import reference
from stellar.functions import SHELL_LIBRARY
from stellar.pipeline.parsers import PARSERS
from stellar.pipeline.stages.enrichment import ADAPTERS

ROOT = Path(__file__).parents[2]
COVERAGE = (ROOT / "docs/metron-coverage.md").read_text(encoding="utf-8")

# Searches, and the section that explains each term
SEARCHES = {
    "connection pool": "models/resilience/#connection-pool",
    "circuit breaker": "models/resilience/#circuit-breaker",
    "health check": "models/#health-check",
    "desired state": "models/deploy/#desired-state",
    "rate limit": "models/resilience/#rate-limit-and-concurrency-limit",
    "readiness": "models/#readiness",
    "canary": "models/deploy/#canary",
    "retry": "models/resilience/#retry",
    "grammar": "language/#grammar-and-precedence",
    "time-out": "models/resilience/#time-out-and-deadline",
}

needs_mkdocs = pytest.mark.skipif(
    importlib.util.find_spec("mkdocs") is None, reason="MkDocs is not installed; it is in the extra `docs`"
)


@pytest.fixture(scope="module")
def sections(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The search index of the site, by location."""
    site = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    index = json.loads((site / "search/search_index.json").read_text(encoding="utf-8"))
    return {section["location"]: section for section in index["docs"]}


@needs_mkdocs
@pytest.mark.parametrize(("term", "location"), SEARCHES.items())
def test_a_search_finds_the_section_that_explains_a_term(
    term: str, location: str, sections: dict[str, dict[str, Any]]
) -> None:
    section = sections[location]
    assert term in section["title"].lower()
    assert len(section["text"]) > 100


@needs_mkdocs
def test_every_function_has_a_section(sections: dict[str, dict[str, Any]]) -> None:
    titles = {section["title"] for location, section in sections.items() if location.startswith("functions/")}
    assert set(SHELL_LIBRARY) <= titles


@needs_mkdocs
@pytest.mark.parametrize("package", reference.PACKAGES)
def test_every_public_name_is_in_the_reference(package: str, sections: dict[str, dict[str, Any]]) -> None:
    titles = {at.partition("#")[2] for at in sections if at.startswith(f"reference/{package}/")}
    names = [name.rpartition(".")[2] for name in reference.public_names(package)]
    assert [name for name in names if not any(title.endswith(f".{name}") for title in titles)] == []


def test_the_reference_is_fresh() -> None:
    written = {file.name: file.read_text(encoding="utf-8") for file in reference.FOLDER.glob("*.md")}
    assert reference.build_pages() == written, "run python -m scripts.reference"


def test_every_page_is_in_the_navigation() -> None:
    navigation = set(re.findall(r"- (?:[\w ]+: )?([\w./-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE))
    assert {str(file.relative_to(ROOT / "docs")) for file in (ROOT / "docs").rglob("*.md")} == navigation


def test_the_coverage_page_lists_what_is_missing() -> None:
    available = {name for name in ADAPTERS["enrich"] + ADAPTERS["threatIntel"] if name != "stellar"}
    assert {name for name in available if f"`{name}`" not in COVERAGE} == set()
    metron = json.loads((ROOT / "tests/functions/metron_functions.json").read_text())
    assert f"| Stellar functions | {len(SHELL_LIBRARY)} of {len(metron)}" in COVERAGE
    assert f"[{len(PARSERS)} of {len(PARSERS)}](#parsers)" in COVERAGE
