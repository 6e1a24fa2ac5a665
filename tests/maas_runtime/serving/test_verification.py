"""A model is verified before it is uploaded or served."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from maas_runtime.serving import verification
from maas_runtime.serving.archive import build_serving_archive
from maas_runtime.serving.detection import find_model
from maas_runtime.serving.errors import ServingError
from maas_runtime.serving.verification import load_verified, read_content
from tests.maas_runtime.serving.models import FFSN, write_model

DERIVED = """<LocalTransformations><DerivedField name="is_ru" optype="categorical" dataType="boolean">
<Apply function="matches"><FieldRef field="tld"/><Constant>^ru</Constant></Apply></DerivedField></LocalTransformations>
<ModelVerification"""
MATCHING = FFSN.replace("<ModelVerification", DERIVED, 1)


def test_the_content_and_its_model_are_returned(tmp_path):
    found = find_model(write_model(tmp_path))
    data = read_content(found)
    assert data == FFSN.encode()
    assert load_verified(found, data).score({"n_systems": 9})["ffsn"] == "1"


def test_a_file_that_is_too_large_is_an_error(tmp_path, monkeypatch):
    found = find_model(write_model(tmp_path))
    monkeypatch.setattr(verification, "LARGEST", 100)
    with pytest.raises(ServingError, match=r"model.pmml is too large: expected at most 0 MB"):
        read_content(found)


def test_a_file_that_vanished_is_an_error(tmp_path):
    found = find_model(write_model(tmp_path))
    found.file.unlink()
    with pytest.raises(ServingError, match=r"cannot read .*model.pmml: No such file"):
        read_content(found)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(a*)*b", r"line \d+: <Constant>: .*needs the package regex"),
        ("(", r"line \d+: <Constant>: "),
    ],
)
def test_a_python_without_packages_refuses_a_pattern_without_a_bound(tmp_path, pattern, message):
    write_model(tmp_path, MATCHING.replace("^ru", pattern))
    (tmp_path / "serving.pyz").write_bytes(build_serving_archive())
    command = [sys.executable, "-I", "-S", "serving.pyz", "."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert re.match(f"serving: model.pmml: {message}", done.stderr), done.stderr


def test_with_the_package_it_is_served(tmp_path):
    found = find_model(write_model(tmp_path, MATCHING.replace("^ru", "(a*)*b")))
    assert load_verified(found, read_content(found)).score({"n_systems": 9, "tld": "ru"})["ffsn"] == "1"
