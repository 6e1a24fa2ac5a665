"""The model file of a folder is found by content, and an ambiguous folder is an error."""

from __future__ import annotations

import os

import pytest

from maas_runtime.serving.detection import DetectedModel, find_model, find_model_file
from maas_runtime.serving.errors import ServingError

PMML = '<?xml version="1.0"?>\n<!-- <Other> -->\n<PMML version="4.4" xmlns="http://www.dmg.org/PMML-4_4">'
XGBOOST = '{"learner": {}, "version": [3, 1, 0]}'
LIGHTGBM = "tree\nversion=v4\n"


@pytest.fixture
def folder(tmp_path):
    """A folder whose other files look like models: each has content of one of the kinds."""
    (tmp_path / "README.md").write_text(LIGHTGBM)
    (tmp_path / "samples.jsonl").write_text('{"args": {"learner": 1}}')
    (tmp_path / "reference.json").write_text('{"learner": {"edges": []}}')
    (tmp_path / "model.toml").write_text('positive = "1"\n')
    (tmp_path / "settings.json").write_text('{"host": "a.com"}')
    (tmp_path / "logback.xml").write_text("<configuration><PMML/></configuration>")
    (tmp_path / ".hidden.pmml").write_text(PMML)
    (tmp_path / "older").mkdir()
    (tmp_path / "older" / "model.pmml").write_text(PMML)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("model.pmml", PMML.encode(), "pmml"),
        ("export.xml", PMML.encode("utf-16"), "pmml"),
        ("prefixed.xml", b'<p:PMML xmlns:p="http://www.dmg.org/PMML-4_4">', "pmml"),
        ("model.json", XGBOOST.encode(), "xgboost"),
        ("model.ubj", b"{L\0\0\0\0\0\0\0\x07learner{", "xgboost"),
        ("model.txt", LIGHTGBM.encode(), "lightgbm"),
        ("model", LIGHTGBM.encode(), "lightgbm"),
    ],
)
def test_the_only_model_is_found_by_content(folder, name, content, kind):
    (folder / name).write_bytes(content)
    assert find_model(folder) == DetectedModel(folder / name, kind)


def test_a_file_is_its_own_model(folder):
    (folder / "model.txt").write_text(LIGHTGBM)
    assert find_model_file(folder / "model.txt") == folder / "model.txt"


def test_two_models_are_an_error_that_names_both(folder):
    (folder / "a.pmml").write_text(PMML)
    (folder / "b.json").write_text(XGBOOST)
    expected = r"has several models: a.pmml \(pmml\), b.json \(xgboost\); choose one with --model FILE"
    with pytest.raises(ServingError, match=expected):
        find_model(folder)
    assert find_model_file(folder, "b.json") == folder / "b.json"


def test_an_unknown_name_gets_a_suggestion(folder):
    (folder / "model.pmml").write_text(PMML)
    with pytest.raises(ServingError, match=r"unknown model file 'modle.pmml' in .*: did you mean model.pmml\?"):
        find_model(folder, "modle.pmml")
    with pytest.raises(ServingError, match=r"unknown model file '\.\./model.pmml'"):
        find_model(folder / "older", "../model.pmml")


def test_a_named_file_that_is_no_model(folder):
    with pytest.raises(ServingError, match=r"settings.json is not a model: expected PMML, XGBoost .* LightGBM"):
        find_model(folder, "settings.json")


def test_no_model_names_the_kinds(folder):
    expected = (
        r"has no model file: expected one of PMML, XGBoost .*, LightGBM .*; a model of another kind needs a start"
    )
    with pytest.raises(ServingError, match=expected):
        find_model(folder)


def test_a_kind_that_needs_a_script_is_named(folder):
    (folder / "model.onnx").write_bytes(b"\x08\x09")
    with pytest.raises(ServingError, match=r"model.onnx needs a start script \(\.sh\)"):
        find_model(folder)


@pytest.mark.parametrize("content", ["", "host,port\n", "<html></html>"])
def test_a_suffix_of_models_with_another_content_is_an_error(folder, content):
    (folder / "model.pmml").write_text(content)
    with pytest.raises(ServingError, match=r"model.pmml is not a model, in spite of its suffix: expected PMML"):
        find_model(folder)


def test_a_link_to_the_outside_is_refused(folder, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "model.pmml"
    outside.write_text(PMML)
    (folder / "model.pmml").symlink_to(outside)
    with pytest.raises(ServingError, match=r"model.pmml links outside .*; replace the link by a copy"):
        find_model(folder)
    with pytest.raises(ServingError, match="links outside"):
        find_model(folder, "model.pmml")


def test_a_link_inside_the_folder_is_followed(folder):
    (folder / "model.pmml").symlink_to(folder / "older" / "model.pmml")
    assert find_model_file(folder) == folder / "model.pmml"


def test_special_files_are_ignored(folder):
    os.mkfifo(folder / "pipe")
    (folder / "model.txt").write_text(LIGHTGBM)
    assert find_model_file(folder) == folder / "model.txt"


def test_a_folder_that_does_not_exist(tmp_path):
    with pytest.raises(ServingError, match="absent does not exist; expected a folder with a model"):
        find_model(tmp_path / "absent")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_an_unreadable_file_is_an_error(folder):
    (folder / "model.pmml").touch(mode=0)
    with pytest.raises(ServingError, match=r"cannot read .*model.pmml: Permission denied"):
        find_model(folder)
