"""The subcommand check: all errors of extractor files, with line and column."""

from __future__ import annotations

import json

import pytest

from stellar.pipeline.loaders.cli import main

from .conftest import Loader

BROKEN: list[tuple[str, list[str]]] = [
    # The configuration as a whole
    ("{", ["1:2: invalid JSON"]),
    ("", ["1:1: the file is empty; expected a JSON object {…}"]),
    ("[]", ["expected a JSON object {…}, got a list"]),
    ('{"config": {"type": "t"}}', ["1:1: extractor: missing key 'extractor'; name the extractor, such as \"CSV\""]),
    (
        '{"extractor": "CSVX", "config": {"type": "t"}}',
        ["1:15: extractor: unknown extractor 'CSVX'; did you mean CSV?"],
    ),
    # The keys
    (
        '{"extractor": "CSV",\n "config": {"columns": ["a"], "type": "t", "valuefilter": "1"}, "outputFormat": 1}',
        [
            "2:44: config.valuefilter: unknown key 'valuefilter'; did you mean value_filter?",
            "2:65: outputFormat: unknown key 'outputFormat'; did you mean inputFormat?",
        ],
    ),
    (
        '{"extractor": "CSV", "config": {"columns": ["a"], "lookup_converter": "X"}, "inputFormat": "LINES"}',
        [
            "1:22: config: missing key 'type'",
            "1:71: config.lookup_converter: unsupported converter 'X'",
            "1:92: inputFormat: unknown input format 'LINES'; known are BY_LINE and WHOLE_FILE",
        ],
    ),
    (
        '{"extractor": "CSV", "config": {"columns": ["a"], "type": "t"}, "inputFormat": "WHOLE_FILE"}',
        ["1:80: inputFormat: the extractor CSV reads lines; expected BY_LINE"],
    ),
    (
        '{"extractor": "CSV", "config": {"columns": ["a"], "type": "t", "indicator_column": "b"}}',
        ["1:84: config.indicator_column: unknown column 'b'"],
    ),
    ('{"extractor": "JSON", "config": {"type": "t"}}', ["1:23: config: missing key 'indicator_column'"]),
    # The expressions, also if keys are invalid, too
    (
        '{"extractor": "CSV", "config": {"columns": ["a"], "type": 5,\n'
        '  "value_filter": "LENGHT(a) > 0",\n'
        '  "value_transform": {"x": "TO_UPPER(a"}, "indicator_transform": {"indicator": "a +"}}}',
        [
            "1:59: config.type: expected a string, got 5",
            "2:20: config.value_filter: unknown function LENGHT",
            "3:37: config.value_transform.x: this ( is not closed",
            "3:84: config.indicator_transform.indicator: ",
        ],
    ),
    (
        '{"extractor": "CSV", "config": {"columns": ["a"], "state_init": "BLOOM_INT()",\n'
        '  "state_update": {"state": "BLOOM_ADD(state"}, "state_merge": "("}}',
        [
            "1:66: config.state_init: unknown function BLOOM_INT",
            "2:39: config.state_update.state: this ( is not closed",
            "2:66: config.state_merge: ",
        ],
    ),
    # What expressions need
    (
        '{"extractor": "CSV", "config": {"columns": ["a"], "type": "t",\n'
        " \"value_filter\": \"ENRICHMENT_EXISTS('t', a, 'x', 't')\"}}",
        ["2:18: config.value_filter: ENRICHMENT_EXISTS: no enrichment store configured"],
    ),
]


@pytest.mark.parametrize(("text", "expected"), BROKEN)
def test_each_error_of_an_extractor_has_line_and_column(
    loader: Loader, text: str, expected: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = loader.write("extractor.json", text)
    assert main(["check", "-e", path]) == 1
    printed = capsys.readouterr()
    assert printed.err == ""
    found = [
        line.removeprefix(f"{path}:").replace(" error: ", " ", 1).strip()
        for line in printed.out.splitlines()
        if line.startswith(f"{path}:")
    ]
    assert [line[: len(message)] for line, message in zip(found, expected, strict=True)] == expected


def test_a_valid_extractor_is_reported_with_its_functions_and_lints(
    loader: Loader, capsys: pytest.CaptureFixture[str]
) -> None:
    config = (
        '{"extractor": "CSV", "config": {"columns": ["a"], "type": "t",\n "value_filter": "TO_UPPER(a) == a + 1 * 2"}}'
    )
    path = loader.write("extractor.json", config)
    assert main(["check", "-e", path]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"{path}:2:")
    assert ": warning: config.value_filter: " in shown
    assert shown.endswith(f"{path}: valid; functions called: TO_UPPER\n")
    assert main(["check", "-e", path, "--strict"]) == 1
    assert main(["check", "-e", path, "--format", "json"]) == 0
    printed = capsys.readouterr().out
    [finding] = json.loads(printed[printed.index("[\n") :])
    assert (finding["file"], finding["line"], finding["severity"]) == (path, 2, "warning")


def test_the_errors_of_several_files_are_printed_together(loader: Loader, capsys: pytest.CaptureFixture[str]) -> None:
    good = loader.write("a.json", {"extractor": "CSV", "config": {"columns": ["a"], "type": "t"}})
    bad = loader.write("b.json", {"extractor": "CSV", "config": {"columns": ["a"]}})
    assert main(["check", "-e", good, "-e", bad, "-e", str(loader.directory / "no.json")]) == 1
    printed = capsys.readouterr().out
    assert printed.endswith(f"{good}: valid; functions called: none\n")
    assert f"{bad}:1:22: error: config: missing key 'type'" in printed
    assert "no.json: error: cannot read the file: No such file or directory; check the path" in printed


def test_an_extractor_of_a_summary_needs_no_type(loader: Loader, capsys: pytest.CaptureFixture[str]) -> None:
    options = {"columns": ["a"], "state_init": "BLOOM_INIT()", "state_update": {"state": "BLOOM_ADD(state, a)"}}
    path = loader.write("extractor.json", {"extractor": "CSV", "config": options})
    assert main(["check", "-e", path]) == 0
    assert capsys.readouterr().out == f"{path}: valid; functions called: BLOOM_ADD, BLOOM_INIT\n"


def test_stores_are_not_checked_offline(loader: Loader) -> None:
    options = {"columns": ["a"], "type": "t", "value_filter": "ENRICHMENT_EXISTS('t', a, 'enrichment', 't')"}
    path = loader.write("extractor.json", {"extractor": "CSV", "config": options})
    loader.write("config/global.json", {"enrichment.store": "sqlite:/no/such/store.db"})
    arguments = ["check", "-e", path, "--config", str(loader.directory / "config")]
    assert main(arguments) == 1
    assert main([*arguments, "--offline"]) == 0
