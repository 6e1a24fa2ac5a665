"""Metron's commands flatfile_loader.sh and flatfile_summarizer.sh, with their options."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from stellar.pipeline.loaders.cli.metron import flatfile_loader, flatfile_summarizer
from stellar.pipeline.loaders.sensors import (
    ChangedMeanwhile,
    ConfigChange,
    EnrichmentFiles,
    add_fields,
    read_sensor_fields,
)

from .conftest import Loader

EXTRACTOR = {
    "config": {"columns": {"ip": 0, "source": 1}, "indicator_column": "ip", "type": "malicious_ip", "separator": ","},
    "extractor": "CSV",
}
FIELDS = {
    "zkQuorum": "localhost:2181",
    "sensorToFieldList": {
        "bro": {
            "type": "THREAT_INTEL",
            "fieldToEnrichmentTypes": {"ip_src_addr": ["malicious_ip"], "ip_dst_addr": ["malicious_ip"]},
        }
    },
}


def run(loader: Loader, *arguments: str) -> int:
    extractor = loader.write("extractor.json", EXTRACTOR)
    store = f"sqlite:{loader.path}"
    return flatfile_loader(["-e", extractor, "-t", "enrichment", "-c", "t", "--store", store, *arguments])


@pytest.mark.parametrize("name", ["-h", "--help", "-help"])
def test_help_lists_the_options_of_metron(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for command, options in (
        (flatfile_loader, ("--quiet", "--extractor_config", "--import_mode", "--hbase_table", "--hbase_cf", "--input")),
        (flatfile_loader, ("--log4j", "--enrichment_config", "--threads", "--batchSize")),
        (flatfile_summarizer, ("--output_mode", "--output", "--threads", "--batchSize", "--input")),
    ):
        with pytest.raises(SystemExit) as exited:
            command([name])
        assert exited.value.code == 0
        printed = capsys.readouterr().out
        assert all(option in printed for option in options)


def test_files_are_loaded_with_the_options_of_metron(loader: Loader, capsys: pytest.CaptureFixture[str]) -> None:
    inputs = ",".join(loader.write(f"{each}.csv", f"{each},x") for each in "ab")
    log4j = loader.write("log4j.properties", "log4j.rootLogger=WARN")
    assert run(loader, "-i", inputs, "-m", "local", "-p", "5", "-b", "128", "-l", log4j) == 0
    assert set(loader.rows()) == {("malicious_ip", "a"), ("malicious_ip", "b")}
    assert capsys.readouterr().err.endswith(
        "flatfile_loader.sh: enrichment: 2 rows, 0 filtered, 0 ignored, 0 rejected\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-i", "x", "-m", "MR"], "expected LOCAL, got 'MR'; MapReduce is not supported"),
        ([], "the following arguments are required: -i/--input"),
        (["-i", "x", "-p", "0"], "expected an integer of 1 or more, got '0'"),
        (["-i", "x", "-p", "257"], "expected at most 256 processes, got 257"),
    ],
)
def test_invalid_options_are_usage_errors(
    loader: Loader, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exited:
        run(loader, *arguments)
    assert exited.value.code == 2
    assert message in capsys.readouterr().err


def test_fields_are_added_to_the_enrichments_of_sensors(loader: Loader, capsys: pytest.CaptureFixture[str]) -> None:
    directory = loader.directory / "config"
    directory.mkdir()
    fields = loader.write("fields.json", FIELDS)
    arguments = ["-i", loader.write("a.csv", "a,x"), "-n", fields, "--config", str(directory), "-q"]
    assert run(loader, *arguments) == 0
    path = directory / "enrichments" / "bro.json"
    expected = {
        "threatIntel": {
            "fieldMap": {"hbaseThreatIntel": ["ip_src_addr", "ip_dst_addr"]},
            "fieldToTypeMap": {"ip_src_addr": ["malicious_ip"], "ip_dst_addr": ["malicious_ip"]},
        }
    }
    assert json.loads(path.read_text()) == expected
    assert capsys.readouterr().err == f"flatfile_loader.sh: fields added to {path}\n"
    assert run(loader, *arguments) == 0
    assert capsys.readouterr().err == ""
    assert json.loads(path.read_text()) == expected


def test_older_spellings_of_a_sensor_stay_and_are_warned_of_once(
    loader: Loader, caplog: pytest.LogCaptureFixture
) -> None:
    rule = {"rule": "a == 1", "score": 5, "comments": "c"}
    path = loader.write("config/enrichments/bro.json", {"ThreatIntel": {"triageConfig": {"riskLevelRules": [rule]}}})
    Path(path).chmod(0o640)
    fields = read_sensor_fields(Path(loader.write("fields.json", FIELDS)))
    assert add_fields(EnrichmentFiles(loader.directory / "config"), fields) == [path]
    with open(path, encoding="utf-8") as file:
        config = json.load(file)["ThreatIntel"]
    assert config["triageConfig"] == {"riskLevelRules": [rule]}
    assert config["fieldMap"] == {"hbaseThreatIntel": ["ip_src_addr", "ip_dst_addr"]}
    assert [message.rpartition(": ")[2] for message in caplog.messages] == [
        "read as 'threatIntel'",
        "read as 'comment'",
    ]
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o640


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            {"enrichment": {"fieldMap": {"geo": ["ip"], "hbaseEnrichment": ["ip"]}, "fieldToTypeMap": {"ip": ["a"]}}},
            {
                "enrichment": {
                    "fieldMap": {"geo": ["ip"], "hbaseEnrichment": ["ip", "host"]},
                    "fieldToTypeMap": {"ip": ["a", "b"], "host": ["b"]},
                }
            },
        ),
        (
            {"enrichment": {"fieldMap": {"hbaseEnrichment": {"type": "LIST", "config": ["x"]}}}, "configuration": {}},
            {
                "enrichment": {
                    "fieldMap": {"hbaseEnrichment": {"type": "LIST", "config": ["x", "ip", "host"]}},
                    "fieldToTypeMap": {"ip": ["b"], "host": ["b"]},
                },
                "configuration": {},
            },
        ),
    ],
)
def test_what_a_sensor_has_stays(loader: Loader, before: Any, after: Any) -> None:
    path = loader.write("config/enrichments/squid.json", before)
    fields = {"squid": {"type": "ENRICHMENT", "fieldToEnrichmentTypes": {"ip": ["b"], "host": ["b"]}}}
    arguments = ["-n", loader.write("fields.json", {"sensorToFieldList": fields}), "--config"]
    assert run(loader, "-i", loader.write("a.csv", "a,x"), *arguments, str(loader.directory / "config")) == 0
    with open(path, encoding="utf-8") as file:
        assert json.load(file) == after


@pytest.mark.parametrize(
    ("fields", "config", "message"),
    [
        (FIELDS | {"zkQuorum": None}, None, "no configuration to add the fields to; pass -z HOST:PORT or --config DIR"),
        (FIELDS | {"zkQuorum": "no-such-host.invalid:2181"}, None, "unknown host no-such-host.invalid"),
        (
            {"sensorToFieldList": {"../x": {"type": "ENRICHMENT", "fieldToEnrichmentTypes": {}}}},
            "{}",
            "invalid name of a sensor",
        ),
        (FIELDS, "", "the file is empty"),
        ({"sensorToFieldList": {"bro": {"type": "X", "fieldToEnrichmentTypes": {}}}}, "{}", "fields.json:"),
        ({"sensors": {}}, "{}", "sensorToFieldList"),
        (FIELDS, "{", "bro.json:1:2: invalid JSON"),
        (FIELDS, '{"threatIntel": {"fieldMaps": {}}}', "unknown key 'fieldMaps'"),
        (
            FIELDS,
            '{"threatIntel": {}} // mine',
            "the file has comments, which would be lost; add the fields ip_src_addr",
        ),
    ],
)
def test_fields_that_cannot_be_added_are_an_error_before_anything_is_loaded(
    loader: Loader, fields: Any, config: str | None, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [] if config is None else ["--config", str(loader.directory / "config")]
    if config is not None:
        loader.write("config/enrichments/bro.json", config)
    assert run(loader, "-i", loader.write("a.csv", "a,x"), "-n", loader.write("fields.json", fields), *arguments) == 1
    assert message in capsys.readouterr().err
    assert not loader.path.exists()


def test_no_fields_are_added_if_nothing_was_loaded(loader: Loader) -> None:
    fields, config = loader.write("fields.json", FIELDS), loader.directory / "config"
    assert run(loader, "-i", loader.write("a.csv", "# no rows"), "-n", fields, "--config", str(config)) == 1
    assert not config.exists()


def test_a_configuration_that_others_change_all_the_time_is_an_error(loader: Loader) -> None:
    class Contended(EnrichmentFiles):
        def write(self, changes: Mapping[str, ConfigChange]) -> None:
            raise ChangedMeanwhile

    fields = read_sensor_fields(Path(loader.write("fields.json", FIELDS)))
    with pytest.raises(OSError, match="the configurations of bro are changed too often by others; try again"):
        add_fields(Contended(loader.directory), fields)


def test_a_summary_is_made_with_the_options_of_metron(loader: Loader, capsys: pytest.CaptureFixture[str]) -> None:
    config = EXTRACTOR["config"] | {"state_init": "0L", "state_update": {"state": "state + 1"}}  # type: ignore[operator]
    extractor = loader.write("count.json", {"config": config, "extractor": "CSV"})
    path = loader.write("a.csv", "a,1\nb,2")
    assert flatfile_summarizer(["-i", path, "-e", extractor, "-p", "5", "-b", "128", "-om", "console"]) == 0
    assert capsys.readouterr().out == "2\n"
    target = loader.directory / "filter.ser"
    assert flatfile_summarizer(["-i", path, "-e", extractor, "-o", str(target), "-q"]) == 0
    assert json.loads(target.read_text()) == 2
