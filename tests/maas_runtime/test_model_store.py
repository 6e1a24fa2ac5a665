"""The model store: what is uploaded, and what is refused."""

from __future__ import annotations

import os

import pytest

from maas_runtime.errors import DeployError
from maas_runtime.store import LocalStore


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    (folder / "data/deep").mkdir(parents=True)
    (folder / "rest.sh").write_text("#!/bin/sh\n")
    (folder / "rest.sh").chmod(0o750)
    (folder / "data/deep/weights").write_bytes(b"\0\1")
    (folder / "endpoint.dat").write_text("of another run")
    return folder


def test_what_is_uploaded_can_be_fetched_with_its_directories_and_modes(store, model, tmp_path):
    assert store.upload(model, "/user/root/models") == ["data/deep/weights", "rest.sh"]
    store.fetch("/user/root/models", tmp_path / "work")
    assert (tmp_path / "work/data/deep/weights").read_bytes() == b"\0\1"
    assert (tmp_path / "work/rest.sh").stat().st_mode & 0o777 == 0o750
    assert not (tmp_path / "work/endpoint.dat").exists()
    assert store.script("/user/root/models") == "rest.sh"


def test_uploading_again_replaces_and_keeps_what_is_there(store, model, tmp_path):
    store.upload(model, "/m")
    (model / "rest.sh").write_text("new")
    (model / "data/deep/weights").unlink()
    store.upload(model, "/m")
    store.fetch("/m", tmp_path / "work")
    assert (tmp_path / "work/rest.sh").read_text() == "new"
    assert (tmp_path / "work/data/deep/weights").exists()


def test_a_file_path_is_taken_as_it_stands(store, model, tmp_path, place):
    assert store.script(model.as_uri()) == "rest.sh"
    elsewhere = tmp_path / "else where"
    store.upload(model, elsewhere.as_uri())
    assert (elsewhere / "rest.sh").exists()
    assert not place.exists()


def test_one_script_is_needed(store, model):
    (model / "rest.sh").unlink()
    with pytest.raises(
        DeployError, match=r"must have one script that starts the model; there is no \.sh file at its top"
    ):
        store.upload(model, "/m")


def test_of_several_scripts_one_must_be_chosen_and_stays_chosen(store, model):
    (model / "train.sh").write_text("")
    with pytest.raises(DeployError, match=r"at its top: rest.sh, train.sh; choose one with --script"):
        store.upload(model, "/m")
    store.upload(model, "/m", script="train.sh")
    assert store.script("/m") == "train.sh"
    with pytest.raises(DeployError, match=r"has no script other.sh; at its top: rest.sh, train.sh"):
        store.upload(model, "/m", script="other.sh")


@pytest.mark.parametrize("script", ["../rest.sh", "/bin/sh", "data/deep", ""])
def test_a_script_is_a_file_at_the_top(script, store, model):
    with pytest.raises(DeployError, match="has no script"):
        store.upload(model, "/m", script=script)


@pytest.mark.parametrize("path", ["/../x", "a/../../x", "..", "", "/", "file:///", "file:///a/../b", "a\0b"])
def test_a_path_that_leads_out_is_refused(path, store, model):
    with pytest.raises(DeployError, match="is not a path such as"):
        store.upload(model, path)


@pytest.mark.parametrize("path", ["hdfs:///m", "hdfs://node1:8020/m", "http://h/m", "//host/m", "file://host/m"])
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


@pytest.mark.parametrize("path", ["/nothing", "/m/rest.sh"])
def test_what_is_not_there_can_not_be_fetched(path, store, model, tmp_path):
    store.upload(model, "/m")
    for ask in (store.script, lambda path: store.fetch(path, tmp_path / "work")):
        with pytest.raises(DeployError, match="has no directory"):
            ask(path)


def test_what_is_no_directory_can_not_be_uploaded(store, tmp_path):
    with pytest.raises(DeployError, match="missing is not a directory"):
        store.upload(tmp_path / "missing", "/m")


def test_a_store_somewhere_else_is_another_store(model, tmp_path):
    LocalStore(tmp_path / "one").upload(model, "/m")
    with pytest.raises(DeployError):
        LocalStore(tmp_path / "two").script("/m")
