"""The lock of a deployed folder decides which file is the model, and proves that it is unchanged."""

from __future__ import annotations

import hashlib
import json

import pytest

from maas_runtime.serving.detection import find_model_file
from maas_runtime.serving.errors import ServingError
from maas_runtime.serving.lock import LOCK_FILE, ModelLock, read_lock

PMML = '<PMML version="4.4">'
SHA256 = hashlib.sha256(PMML.encode()).hexdigest()
LOCK = ModelLock("pmml", "b.pmml", SHA256, [{"name": "ttl", "type": "double"}], [{"name": "ffsn", "type": None}])


@pytest.fixture
def folder(tmp_path):
    """A deployed folder with two models, of which the second was chosen."""
    for name in ("a.pmml", "b.pmml"):
        (tmp_path / name).write_text(PMML)
    (tmp_path / LOCK_FILE).write_bytes(LOCK.to_json())
    return tmp_path


def test_the_file_of_the_lock_is_the_model(folder):
    assert read_lock(folder) == LOCK
    assert find_model_file(folder) == folder / "b.pmml"


def test_a_folder_that_was_not_deployed_has_no_lock(tmp_path):
    assert read_lock(tmp_path) is None


def test_a_changed_model_is_refused(folder):
    (folder / "b.pmml").write_text(PMML + "\n")
    with pytest.raises(ServingError, match=r"b.pmml is not the model of model.lock.json: its sha256 is .*; deploy"):
        find_model_file(folder)


def test_a_missing_model_is_refused(folder):
    (folder / "b.pmml").unlink()
    with pytest.raises(ServingError, match=r"cannot read .*b.pmml, the model of model.lock.json: No such file"):
        find_model_file(folder)


def test_files_may_be_links_as_in_containers_of_metron(folder, tmp_path_factory):
    cache = tmp_path_factory.mktemp("filecache")
    for file in list(folder.iterdir()):
        file.rename(cache / file.name)
        (folder / file.name).symlink_to(cache / file.name)
    assert find_model_file(folder) == folder / "b.pmml"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"file": "../b.pmml"}, "file: expected the name of a file, got '../b.pmml'"),
        ({"file": ""}, "file: expected the name of a file, got ''"),
        ({"sha256": 1}, "sha256"),
        ({"inputs": "ttl"}, "inputs"),
    ],
)
def test_an_invalid_lock_is_an_error(folder, change, reason):
    (folder / LOCK_FILE).write_text(json.dumps({**json.loads(LOCK.to_json()), **change}))
    with pytest.raises(ServingError, match=f"invalid model.lock.json: .*{reason}"):
        find_model_file(folder)


@pytest.mark.parametrize("content", ["", "[]", "{", '{"kind": "pmml"}'])
def test_a_damaged_lock_is_an_error(folder, content):
    (folder / LOCK_FILE).write_text(content)
    with pytest.raises(ServingError, match=r"invalid model.lock.json: .*; deploy the model again"):
        find_model_file(folder)
