"""Model files are checked by their digest, and stored where no other user can change them."""

from __future__ import annotations

import hashlib
import stat

import pytest

from stellar.local_models import files
from stellar.local_models.files import ModelFiles, find_store
from stellar.maas import FileRegistry, MemoryRegistry
from stellar.maas.client.local import PublishedModel

DATA = b"<PMML/>"
MODEL = PublishedModel("pmml", hashlib.sha256(DATA).hexdigest(), f"/.content/{'0' * 64}/model.pmml")


@pytest.fixture
def store(tmp_path):
    stored = tmp_path / "store" / MODEL.path.lstrip("/")
    stored.parent.mkdir(parents=True)
    stored.write_bytes(DATA)
    return stored


@pytest.fixture
def model_files(tmp_path):
    return ModelFiles(str(tmp_path / "store"), str(tmp_path / "cache"))


def test_a_file_is_read_once_for_all_processes_of_the_user(store, model_files, tmp_path):
    assert model_files.read(MODEL) == DATA
    store.unlink()
    assert model_files.read(MODEL) == DATA
    (copy,) = (tmp_path / "cache/models").iterdir()
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert stat.S_IMODE(copy.parent.stat().st_mode) == 0o700


def test_a_damaged_copy_is_read_again(store, model_files, tmp_path):
    model_files.read(MODEL)
    (copy,) = (tmp_path / "cache/models").iterdir()
    copy.write_bytes(b"damaged")
    assert model_files.read(MODEL) == DATA
    assert copy.read_bytes() == DATA


def test_a_file_with_another_digest_is_an_error(store, model_files, tmp_path):
    store.write_bytes(b"other")
    with pytest.raises(ValueError, match="has another digest"):
        model_files.read(MODEL)
    assert list((tmp_path / "cache/models").iterdir()) == []


def test_a_directory_that_others_can_change_is_refused(store, model_files, tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/models").mkdir()
    (tmp_path / "cache/models").chmod(0o777)
    with pytest.raises(OSError, match="is writable by other users"):
        model_files.read(MODEL)


def test_a_file_that_is_too_large_is_an_error(store, model_files, monkeypatch):
    monkeypatch.setattr(files, "LARGEST", 4)
    with pytest.raises(ValueError, match="larger than"):
        model_files.read(MODEL)


def test_the_oldest_copies_are_removed(store, model_files, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MOST_FILES", 2)
    for number in range(4):
        data = str(number).encode()
        store.write_bytes(data)
        model_files.read(MODEL._replace(sha256=hashlib.sha256(data).hexdigest()))
    assert len(list((tmp_path / "cache/models").iterdir())) == 2


def test_the_default_store_is_that_of_the_service(tmp_path, monkeypatch):
    monkeypatch.delenv("HADOOP_CONF_DIR", raising=False)
    monkeypatch.setenv("MAAS_HOME", str(tmp_path / "home"))
    with FileRegistry(tmp_path / "registry") as registry:
        assert find_store(registry) == str(tmp_path / "registry/store")
    assert find_store(MemoryRegistry()) == str(tmp_path / "home/store")
