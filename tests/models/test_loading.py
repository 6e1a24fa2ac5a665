"""The kind of a model file follows from its content, not from its name."""

from __future__ import annotations

import pytest

from stellar.models.errors import InvalidModel
from stellar.models.loading import detect_kind, load_model
from tests.models.boosters.test_stored_scores import DATA

UTF_16 = '<?xml version="1.0" encoding="UTF-16"?><PMML version="4.4">'.encode("utf-16")


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b'<?xml version="1.0"?><PMML version="4.4">', "pmml"),
        (b'\xef\xbb\xbf\n<PMML version="4.4">', "pmml"),
        (UTF_16, "pmml"),
        (b'{"learner": {}}', "xgboost"),
        (b'\n{\n  "version": [3, 1, 0], "learner": {}}', "xgboost"),
        (b"{L\0\0\0\0\0\0\0\x07learner{", "xgboost"),
        (b"tree\nversion=v4\n", "lightgbm"),
        (b"tree\r\nversion=v4\r\n", "lightgbm"),
        (b'{"host": "a.com"}', None),
        (b"#!/bin/sh\n", None),
        (b"treehouse", None),
        (b"", None),
    ],
)
def test_kinds_by_content(data, kind):
    assert detect_kind(data) == kind


def test_the_name_of_a_file_does_not_matter(tmp_path):
    source = next(DATA.glob("*.txt"))
    renamed = tmp_path / "model.json"
    renamed.write_bytes(source.read_bytes())
    assert load_model(renamed).document.model.origin == load_model(source).document.model.origin


def test_an_unknown_format_names_the_ones_that_are_supported(tmp_path):
    path = tmp_path / "model.pmml"
    path.write_text("host,port\n")
    with pytest.raises(InvalidModel, match=r"unknown format; expected PMML, XGBoost \(JSON or UBJSON\) or LightGBM"):
        load_model(path)
