"""maas serve-model, in a process of its own."""

from __future__ import annotations

import json
import sys

import pytest

from maas_runtime.cli.main import main
from tests.maas_runtime.serving.conftest import start_server
from tests.models.sample_model import DOCUMENT


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "model.pmml").write_bytes(DOCUMENT)
    return tmp_path


def test_a_model_file_is_served(folder):
    program = "import sys; from maas_runtime.cli.main import main; sys.exit(main())"
    command = (sys.executable, "-c", program, "serve-model")
    with start_server(
        folder, "model.pmml", "--endpoint-file", "endpoint.dat", "--output", "json", command=command
    ) as server:
        status, result = server.get("/apply?x=1")
        assert (status, result["y"]) == (200, 10.0)
    first, *_ = (folder / "log").read_text().splitlines()
    assert json.loads(first)["message"] == f"serving model.pmml at {server.url}"


def test_a_file_without_a_model_is_an_error_with_the_reason(tmp_path, capsys):
    (tmp_path / "model.pmml").write_text("<html/>")
    assert main(["serve-model", str(tmp_path / "model.pmml")]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith(f"maas: {tmp_path}/model.pmml is not a model")
