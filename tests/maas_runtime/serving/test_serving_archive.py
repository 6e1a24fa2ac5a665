"""The archive `serving.pyz` serves a model with a Python without packages."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from io import BytesIO

import pytest

from maas_runtime.archive import NAME, build_archive
from maas_runtime.errors import DeployError
from maas_runtime.serving import archive
from maas_runtime.serving.archive import build_serving_archive
from tests.maas_runtime.serving.conftest import start_server
from tests.models.sample_model import DOCUMENT

BARE = (sys.executable, "-I", "-S")
ARCHIVE = "serving.pyz"


@pytest.fixture
def folder(model_folder):
    (model_folder / ARCHIVE).write_bytes(build_serving_archive())
    return model_folder


def test_the_archive_is_reproducible():
    first = build_serving_archive()
    build_serving_archive.cache_clear()
    assert build_serving_archive() == first


def test_a_python_without_packages_serves_the_model_of_its_working_directory(folder):
    with start_server(folder, ".", command=(*BARE, ARCHIVE)) as server:
        status, result = server.get("/apply?x=1&n=2&tld=ru")
        assert (status, result["y"]) == (200, 5.0)
        assert server.get("/health") == (200, {"status": "ok"})
        server.process.terminate()
        assert server.process.wait(10) == 0


def test_the_archive_reports_a_model_that_it_cannot_serve(folder):
    (folder / "model.pmml").write_bytes(DOCUMENT.replace(b"RegressionModel", b"TimeSeriesModel"))
    command = [*BARE, ARCHIVE, "."]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr == "serving: model.pmml: line 10: <TimeSeriesModel>: this kind of model is not supported\n"


def test_the_archive_has_all_modules_that_its_own_import(folder):
    with zipfile.ZipFile(BytesIO(build_serving_archive())) as contents:
        names = [name.removesuffix(".py").removesuffix("/__init__") for name in contents.namelist()]
    modules = [name.replace("/", ".") for name in names if not name.endswith("__main__")]
    assert {"maas_runtime.serving.server", "stellar.models.pmml.reader", "stellar.models.boosters.ubjson"} <= {*modules}
    assert {"maas_runtime.cli", "maas_runtime.runner", "stellar.language", "stellar.maas.client"}.isdisjoint(modules)
    program = f"import sys, importlib; sys.path[:0] = [{ARCHIVE!r}]; [importlib.import_module(n) for n in {modules}]"
    done = subprocess.run([*BARE, "-c", program], cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_missing_module_is_an_error(monkeypatch):
    monkeypatch.setattr(archive, "ENTRY", "maas_runtime.no_serving.__main__")
    build_serving_archive.cache_clear()
    with pytest.raises(DeployError, match=r"the module maas_runtime\.no_serving\.__main__ is missing"):
        build_serving_archive()


def test_the_archive_of_the_runtime_builds_the_same_archive(folder):
    (folder / NAME).write_bytes(build_archive())
    program = (
        f"import sys; sys.path[:0] = [{NAME!r}]; from maas_runtime.serving.archive import build_serving_archive as b; "
        "sys.stdout.buffer.write(b())"
    )
    done = subprocess.run([*BARE, "-c", program], cwd=folder, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == build_serving_archive()
