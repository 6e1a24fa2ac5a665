"""The model store: what is uploaded, and what is refused."""

from __future__ import annotations

import os

import pytest

from maas_runtime.errors import DeployError
from maas_runtime.store.base import LocalStore, ModelSize


def test_a_file_path_is_taken_as_it_stands(store, model, tmp_path, place):
    assert store.script(model.as_uri()) == "rest.sh"
    elsewhere = tmp_path / "else where"
    store.upload(model, elsewhere.as_uri())
    assert (elsewhere / "rest.sh").exists()
    assert not place.exists()


@pytest.mark.parametrize("path", ["file:///", "file:///a/../b"])
def test_a_path_that_leads_out_is_refused(path, store, model):
    with pytest.raises(DeployError, match="is not a path such as"):
        store.upload(model, path)


@pytest.mark.parametrize("path", ["hdfs:///m", "//host/m", "file://host/m"])
def test_a_path_on_another_machine_is_refused(path, store, model):
    with pytest.raises(DeployError, match="is elsewhere"):
        store.upload(model, path)


def test_a_link_that_leads_out_is_refused_before_anything_is_copied(store, model, place):
    (model / "passwords").symlink_to("/etc/passwd")
    with pytest.raises(DeployError, match="passwords is a link that leads out"):
        store.upload(model, "/m")
    assert not place.exists()


def test_a_link_within_is_followed(store, model, tmp_path):
    (model / "link").symlink_to("rest.sh")
    store.upload(model, "/m")
    store.fetch("/m", tmp_path / "work")
    assert (tmp_path / "work/link").read_text() == "#!/bin/sh\n"


def test_a_pipe_is_refused(store, model):
    os.mkfifo(model / "pipe")
    with pytest.raises(DeployError, match="pipe is neither a file nor a directory"):
        store.upload(model, "/m")


def test_a_store_somewhere_else_is_another_store(model, tmp_path):
    LocalStore(tmp_path / "one").upload(model, "/m")
    with pytest.raises(DeployError):
        LocalStore(tmp_path / "two").script("/m")


def test_file_paths_are_taken_below_the_roots_alone(model, tmp_path, place):
    store = LocalStore(place, [tmp_path / "allowed", tmp_path / "model"])
    assert store.script(model.as_uri()) == "rest.sh"
    (tmp_path / "allowed").mkdir()
    (tmp_path / "secret").mkdir()
    (tmp_path / "allowed/link").symlink_to(tmp_path / "secret")
    for path in ("secret", "allowed/link", "modelling", "."):
        with pytest.raises(DeployError, match="where alone file:// paths may be"):
            store.script(f"file://{tmp_path}/{path}")


@pytest.mark.parametrize("path", ["file:///a/%2e%2e/b", "file:///a%2f..%2fb", "file:///a/..%2fb", "file:///a%00b"])
def test_an_encoded_path_that_leads_out_is_refused(path, store):
    with pytest.raises(DeployError, match="is not a path such as"):
        store.script(path)


def test_a_name_that_no_directory_can_have_is_refused(store, place):
    (place / "store").mkdir(parents=True)
    with pytest.raises(DeployError, match="can't be looked up"):
        store.script("/" + "x" * 300)


LARGE = {"files": (ModelSize(files=1), "has more than 1 files"), "bytes": (ModelSize(megabytes=1), "larger than 1 MB")}


@pytest.mark.parametrize("what", LARGE)
def test_a_model_beyond_its_size_is_refused_before_anything_is_copied(what, model, tmp_path, place):
    most, message = LARGE[what]
    (model / "data/deep/weights").write_bytes(bytes(1_000_001))
    with pytest.raises(DeployError, match=message):
        LocalStore(place, most=most).upload(model, "/m")
    assert not place.exists()
    LocalStore(place).upload(model, "/m")
    with pytest.raises(DeployError, match=message):  # and when it is started
        LocalStore(place, most=most).fetch("/m", tmp_path / "work")
    assert not (tmp_path / "work").exists()


def test_a_link_that_leads_out_and_a_pipe_are_refused_when_a_model_is_started(store, model, tmp_path):
    (model / "passwords").symlink_to("/etc/passwd")
    with pytest.raises(DeployError, match="passwords is a link that leads out"):
        store.fetch(model.as_uri(), tmp_path / "work")
    (model / "passwords").unlink()
    os.mkfifo(model / "pipe")
    with pytest.raises(DeployError, match="pipe is neither a file nor a directory"):
        store.fetch(model.as_uri(), tmp_path / "work")
