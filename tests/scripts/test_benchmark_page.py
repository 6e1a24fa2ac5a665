"""The page with the results of the benchmarks, and its charts."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

pytest.importorskip("scripts", reason="generators are in the checkout, not in the wheel")

from benchmarks.__main__ import GROUPS
from scripts import benchmark_page
from scripts.bar_charts import OURS, THEIRS, Bar, Group, draw_bars

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    return benchmark_page.read_results()


def test_the_page_and_its_charts_are_fresh(results: dict[str, Any]) -> None:
    text = benchmark_page.PAGE.read_text(encoding="utf-8")
    assert benchmark_page.render(text, results) == text, "run: python -m scripts.benchmark_page"
    written = {file.name: file.read_text(encoding="utf-8") for file in benchmark_page.FOLDER.iterdir()}
    assert benchmark_page.draw_charts(results) == written, "run: python -m scripts.benchmark_page"


def test_the_page_has_every_group_and_chart(results: dict[str, Any]) -> None:
    assert set(benchmark_page.TITLES) == set(GROUPS)
    text = benchmark_page.render("<!-- results -->\n<!-- end of results -->", results)
    assert re.findall(r"benchmarks/([\w-]+\.svg)", text) == [
        chart.file for name in benchmark_page.TITLES for chart in benchmark_page.CHARTS if chart.group == name
    ]
    for group in results["groups"].values():
        for figure in group["figures"]:
            assert figure["name"] in text


def test_results_without_a_group_are_an_error(results: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    groups = {name: group for name, group in results["groups"].items() if name != "models"}
    file.write_text(json.dumps({**results, "groups": groups}), encoding="utf-8")
    with pytest.raises(ValueError, match="has no results of models; run `python -m benchmarks --json"):
        benchmark_page.read_results(file)


def test_bars_are_as_long_as_their_values() -> None:
    groups = [Group("a", [Bar(2.0, "2 µs", THEIRS)]), Group("<b>", [Bar(4.0, "4 µs", OURS), Bar(None, "–", THEIRS)])]
    drawn = ElementTree.fromstring(draw_bars("A & B", groups, [("theirs", THEIRS), ("ours", OURS)]))
    first, second = (float(bar.attrib["width"]) for bar in drawn.iter(f"{SVG}rect") if bar.get("height") == "16")
    assert second == pytest.approx(2 * first, abs=0.2)
    texts = [text.text for text in drawn.iter(f"{SVG}text")]
    assert {"A & B", "a", "<b>", "2 µs", "4 µs", "–", "theirs", "ours"} <= set(texts)


def test_bars_on_a_logarithmic_scale_begin_at_a_power_of_ten() -> None:
    groups = [Group(str(value), [Bar(value, "", THEIRS)]) for value in (2.0, 20.0, 200.0)]
    drawn = ElementTree.fromstring(draw_bars("title", groups, logarithmic=True))
    widths = [float(bar.attrib["width"]) for bar in drawn.iter(f"{SVG}rect") if bar.get("height") == "16"]
    assert widths[1] - widths[0] == pytest.approx(widths[2] - widths[1], abs=0.2)
    assert {"1", "10", "100", "1,000"} <= {text.text for text in drawn.iter(f"{SVG}text")}


def test_a_chart_without_values_is_an_error() -> None:
    with pytest.raises(ValueError, match="no bar of 'title' has a value"):
        draw_bars("title", [Group("a", [Bar(None, "not installed", THEIRS)])])
