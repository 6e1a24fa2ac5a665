"""Hadoop's configuration files."""

from __future__ import annotations

from pathlib import Path

import pytest

from stellar.net.hadoop.site import read_configuration, read_site

PROPERTY = "<property><name>%s</name><value>%s</value></property>"


def write_site(folder: Path, *properties: tuple[str, str]) -> Path:
    file = folder / "core-site.xml"
    file.write_text("<configuration>" + "".join(PROPERTY % each for each in properties) + "</configuration>")
    return file


def test_references_are_replaced_by_the_values_of_their_properties(tmp_path: Path) -> None:
    file = write_site(tmp_path, ("host", " node1 "), ("fs.defaultFS", "hdfs://${host}:8020"), ("other", "${unknown}/x"))
    assert read_site(file) == {"host": "node1", "fs.defaultFS": "hdfs://node1:8020", "other": "${unknown}/x"}


def test_a_property_without_a_value_is_an_empty_string(tmp_path: Path) -> None:
    file = tmp_path / "core-site.xml"
    file.write_text("<configuration><property><name>a</name></property></configuration>")
    assert read_site(file) == {"a": ""}


def test_the_error_for_invalid_xml_names_the_file(tmp_path: Path) -> None:
    file = tmp_path / "core-site.xml"
    file.write_text("<configuration>")
    with pytest.raises(ValueError, match=r"invalid XML in .*core-site\.xml"):
        read_site(file)


def test_the_configuration_is_empty_without_a_folder_or_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HADOOP_CONF_DIR", raising=False)
    assert read_configuration("core") == {}
    monkeypatch.setenv("HADOOP_CONF_DIR", str(tmp_path))
    assert read_configuration("core") == {}
    write_site(tmp_path, ("a", "b"))
    assert read_configuration("core") == {"a": "b"}
