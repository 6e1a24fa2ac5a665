"""The local model store: uploads, and models that are rejected."""

from __future__ import annotations

import os

import pytest

from maas_runtime.errors import DeployError
from maas_runtime.store.base import LocalStore, ModelSize


def test_a_file_path_is_used_unchanged(store, model, tmp_path, registry_dir):
    assert store.script(model.as_uri()) == "rest.sh"
    elsewhere = tmp_path / "else where"
    store.upload(model, elsewhere.as_uri())
    assert (elsewhere / "rest.sh").exists()
    assert not registry_dir.exists()


@pytest.mark.parametrize("path", ["file:///", "file:///a/../b"])
def test_a_path_outside_the_store_is_rejected(path, store, model):
    with pytest.raises(DeployError, match="expected a path such as"):
        store.upload(model, path)


@pytest.mark.parametrize("path", ["hdfs:///m", "//host/m", "file://host/m"])
def test_a_path_on_another_machine_is_rejected(path, store, model):
    with pytest.raises(DeployError, match="the model store is"):
        store.upload(model, path)


def test_a_link_to_the_outside_is_rejected_before_any_copy(store, model, registry_dir):
    (model / "passwords").symlink_to("/etc/passwd")
    with pytest.raises(DeployError, match="passwords links outside"):
        store.upload(model, "/m")
    assert not registry_dir.exists()


def test_a_link_inside_the_model_is_followed(store, model, tmp_path):
    (model / "link").symlink_to("rest.sh")
    store.upload(model, "/m")
    store.fetch("/m", tmp_path / "work")
    assert (tmp_path / "work/link").read_text() == "#!/bin/sh\n"


def test_a_pipe_is_rejected(store, model):
    os.mkfifo(model / "pipe")
    with pytest.raises(DeployError, match="pipe is neither a file nor a directory"):
        store.upload(model, "/m")


def test_stores_in_different_directories_are_separate(model, tmp_path):
    LocalStore(tmp_path / "one").upload(model, "/m")
    with pytest.raises(DeployError):
        LocalStore(tmp_path / "two").script("/m")


def test_file_paths_must_be_in_a_file_root(model, tmp_path, registry_dir):
    store = LocalStore(registry_dir, [tmp_path / "allowed", tmp_path / "model"])
    assert store.script(model.as_uri()) == "rest.sh"
    (tmp_path / "allowed").mkdir()
    (tmp_path / "secret").mkdir()
    (tmp_path / "allowed/link").symlink_to(tmp_path / "secret")
    for path in ("secret", "allowed/link", "modelling", "."):
        with pytest.raises(DeployError, match="--file-root allows only"):
            store.script(f"file://{tmp_path}/{path}")


@pytest.mark.parametrize("path", ["file:///a/%2e%2e/b", "file:///a%2f..%2fb", "file:///a/..%2fb", "file:///a%00b"])
def test_an_encoded_path_to_the_outside_is_rejected(path, store):
    with pytest.raises(DeployError, match="expected a path such as"):
        store.script(path)


def test_a_name_that_is_too_long_is_rejected(store, registry_dir):
    (registry_dir / "store").mkdir(parents=True)
    with pytest.raises(DeployError, match="File name too long"):
        store.script("/" + "x" * 300)


LARGE = {"files": (ModelSize(files=1), "too many files"), "bytes": (ModelSize(megabytes=1), "larger than 1 MB")}


@pytest.mark.parametrize("what", LARGE)
def test_a_model_above_the_size_limit_is_rejected_before_any_copy(what, model, tmp_path, registry_dir):
    max_size, message = LARGE[what]
    (model / "data/deep/weights").write_bytes(bytes(1_000_001))
    with pytest.raises(DeployError, match=message):
        LocalStore(registry_dir, max_size=max_size).upload(model, "/m")
    assert not registry_dir.exists()
    LocalStore(registry_dir).upload(model, "/m")
    with pytest.raises(DeployError, match=message):  # and on start
        LocalStore(registry_dir, max_size=max_size).fetch("/m", tmp_path / "work")
    assert not (tmp_path / "work").exists()


def test_a_link_to_the_outside_and_a_pipe_are_rejected_on_start(store, model, tmp_path):
    (model / "passwords").symlink_to("/etc/passwd")
    with pytest.raises(DeployError, match="passwords links outside"):
        store.fetch(model.as_uri(), tmp_path / "work")
    (model / "passwords").unlink()
    os.mkfifo(model / "pipe")
    with pytest.raises(DeployError, match="pipe is neither a file nor a directory"):
        store.fetch(model.as_uri(), tmp_path / "work")
