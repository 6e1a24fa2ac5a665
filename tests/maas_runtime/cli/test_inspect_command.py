"""The command maas inspect: what a model file has, and why it cannot be served."""

from __future__ import annotations

import json

import pytest

from maas_runtime.cli.main import main
from tests.maas_runtime.serving.models import FFSN, XGBOOST_FILE, write_model

UNKNOWN_FIELD = "line 20: <SimplePredicate>: unknown field 'systems'; did you mean n_systems?"


@pytest.fixture
def run(capsys):
    def run(*arguments):
        try:
            status = main(["inspect", *map(str, arguments)])
        except SystemExit as ended:
            status = ended.code
        return (status, *capsys.readouterr())

    return run


def test_the_fields_of_a_model_are_shown(run, tmp_path):
    file = write_model(tmp_path)
    status, output, errors = run(tmp_path)
    assert (status, errors) == (0, "")
    assert output.splitlines() == [
        f"model: {file}: PMML, {len(FFSN):,} bytes",
        "inputs:",
        "  n_systems  integer",
        "  tld        string   com, ru",
        "outputs:",
        "  ffsn            string  0, 1",
        "  probability(0)  double",
        "  probability(1)  double",
        "verification: 2 records of the file have the expected results",
    ]


def test_json_has_the_same_content(run, tmp_path):
    file = write_model(tmp_path)
    status, output, errors = run(file, "--output", "json")
    assert (status, errors) == (0, "")
    assert json.loads(output) == {
        "kind": "pmml",
        "file": str(file),
        "size": len(FFSN),
        "inputs": [
            {"name": "n_systems", "type": "integer"},
            {"name": "tld", "type": "string", "values": ["com", "ru"]},
        ],
        "outputs": [
            {"name": "ffsn", "type": "string", "values": ["0", "1"]},
            {"name": "probability(0)", "type": "double"},
            {"name": "probability(1)", "type": "double"},
        ],
        "verified": 2,
    }


def test_a_booster_has_no_records_to_verify(run):
    status, output, _ = run(XGBOOST_FILE)
    assert status == 0
    assert "XGBoost (JSON or UBJSON)" in output
    assert "verification: the file has no records for it" in output


def test_long_lists_of_values_are_shortened(run, tmp_path):
    values = "".join(f'<Value value="v{index}"/>' for index in range(20))
    write_model(tmp_path, FFSN.replace('<Value value="com"/>', f'<Value value="com"/>{values}'))
    _, output, _ = run(tmp_path)
    assert "tld        string   com, v0, v1, v2, v3, v4, v5, v6, … (22 values)" in output


def test_a_start_script_is_all_that_a_folder_with_one_shows(run, tmp_path):
    (tmp_path / "rest.sh").write_text("#!/bin/sh\n")
    write_model(tmp_path)
    assert run(tmp_path) == (0, "start script: rest.sh\n", "")
    _, output, _ = run(tmp_path, "--output", "json")
    assert json.loads(output) == {"kind": "script", "script": "rest.sh"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("TreeModel", "TimeSeriesModel"),
            "model.pmml: line 8: <TimeSeriesModel>: this kind of model is not supported",
        ),
        (
            ('field="n_systems" operator', 'field="systems" operator'),
            UNKNOWN_FIELD,
        ),
        ((FFSN[600:], ""), ": invalid XML: unclosed token; export the model again"),
        ((">1</ffsn>", ">0</ffsn>"), "verification record 2: 'ffsn' is '1', expected '0'"),
    ],
    ids=["unsupported", "unknown field", "truncated", "not verified"],
)
def test_a_model_that_cannot_be_served_is_an_error_with_its_location(run, tmp_path, change, message):
    write_model(tmp_path, FFSN.replace(*change))
    status, _, errors = run(tmp_path)
    assert status == 1
    assert errors.startswith("maas: model.pmml: line ")
    assert message in errors
    _, output, _ = run(tmp_path, "--output", "json")
    document = json.loads(output)
    assert (document["kind"], document["error"]) == ("pmml", errors.removeprefix("maas: ").strip())


def test_several_models_need_a_choice(run, tmp_path):
    write_model(tmp_path)
    second = write_model(tmp_path, name="second.pmml")
    status, _, errors = run(tmp_path)
    assert (status, "model.pmml (pmml), second.pmml (pmml); choose one with --model FILE" in errors) == (1, True)
    assert run(tmp_path, "--model", "second.pmml")[1].startswith(f"model: {second}:")


def test_a_choice_has_no_effect_for_a_file(run, tmp_path):
    assert run(write_model(tmp_path), "--model", "model.pmml")[0] == 2


def test_a_path_that_does_not_exist_is_an_error(run, tmp_path):
    assert "absent does not exist" in run(tmp_path / "absent")[2]
