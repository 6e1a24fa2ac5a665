"""The contract of model stores, tested with each."""

from __future__ import annotations

import uuid
from urllib.request import urlopen

import pytest

from maas_runtime.errors import DeployError
from maas_runtime.store.hdfs import HdfsStore
from stellar.net.hadoop.webhdfs import WebHdfs


@pytest.fixture(params=["local", pytest.param("hdfs", marks=pytest.mark.engine)])
def store(request, store):
    """Return a store of each kind; `at` makes paths that no other test uses."""
    if request.param == "local":
        yield store
        return
    engine = request.getfixturevalue("hdfs")
    with WebHdfs([engine.url], uri=engine.uri) as hdfs:
        yield HdfsStore(hdfs)


@pytest.fixture
def at():
    base = f"/test-{uuid.uuid4().hex[:8]}"
    return lambda path: f"{base}/{path}"


def test_uploaded_files_can_be_fetched_with_directories_and_modes(store, model, tmp_path, at):
    assert store.upload(model, at("models")) == ["data/deep/weights", "rest.sh"]
    store.fetch(at("models"), tmp_path / "work")
    assert (tmp_path / "work/data/deep/weights").read_bytes() == b"\0\1"
    assert (tmp_path / "work/rest.sh").stat().st_mode & 0o777 == 0o750
    assert not (tmp_path / "work/endpoint.dat").exists()
    assert store.script(at("models")) == "rest.sh"


def test_a_second_upload_replaces_files_and_removes_none(store, model, tmp_path, at):
    store.upload(model, at("m"))
    (model / "rest.sh").write_text("new")
    (model / "data/deep/weights").unlink()
    store.upload(model, at("m"))
    store.fetch(at("m"), tmp_path / "work")
    assert (tmp_path / "work/rest.sh").read_text() == "new"
    assert (tmp_path / "work/data/deep/weights").exists()


def test_a_model_without_a_script_is_rejected(store, model, at):
    (model / "rest.sh").unlink()
    with pytest.raises(DeployError, match=r"must contain one start script: no \.sh file at its top level"):
        store.upload(model, at("m"))


def test_one_of_several_scripts_must_be_chosen_and_is_stored(store, model, at):
    (model / "train.sh").write_text("")
    with pytest.raises(DeployError, match=r"found rest.sh, train.sh; choose one with --script"):
        store.upload(model, at("m"))
    store.upload(model, at("m"), script="train.sh")
    assert store.script(at("m")) == "train.sh"
    with pytest.raises(DeployError, match=r"unknown script 'other.sh' in .*: found rest.sh, train.sh"):
        store.upload(model, at("m"), script="other.sh")


@pytest.mark.parametrize("script", ["../rest.sh", "/bin/sh", "data/deep", ""])
def test_the_script_must_be_a_file_at_the_top_level(script, store, model, at):
    with pytest.raises(DeployError, match="unknown script"):
        store.upload(model, at("m"), script=script)


@pytest.mark.parametrize("path", ["nothing", "m/rest.sh"])
def test_fetching_an_unknown_path_fails(path, store, model, tmp_path, at):
    store.upload(model, at("m"))
    for ask in (store.script, lambda path: store.fetch(path, tmp_path / "work")):
        with pytest.raises(DeployError, match="unknown path"):
            ask(at(path))


def test_uploading_a_file_fails(store, tmp_path, at):
    with pytest.raises(DeployError, match="missing is not a directory"):
        store.upload(tmp_path / "missing", at("m"))


def test_file_names_with_special_characters_work(store, model, tmp_path, at):
    odd = "a b%20é+&?#;漢.txt"
    (model / odd).write_bytes(b"x" * 3_000_000)
    store.upload(model, at("m"))
    store.fetch(at("m"), tmp_path / "work")
    assert (tmp_path / "work" / odd).stat().st_size == 3_000_000


def test_a_published_file_has_a_uri_and_is_never_changed(store, tmp_path, at):
    name = f"{uuid.uuid4().hex}.tar.gz"
    (tmp_path / "packed").write_bytes(b"first")
    address = store.publish(tmp_path / "packed", name)
    (tmp_path / "packed").write_bytes(b"second")
    assert store.publish(tmp_path / "packed", name) == address
    assert address.endswith(name)
    assert address.startswith(("file:///", "hdfs://"))
    if address.startswith("file:"):
        with urlopen(address) as content:
            assert content.read() == b"first"


@pytest.mark.parametrize("path", ["/../x", "a/../../x", "..", "", "/", "a\0b"])
def test_a_path_outside_the_store_is_rejected(path, store, model):
    with pytest.raises(DeployError, match="expected a path such as"):
        store.upload(model, path)


@pytest.mark.parametrize("path", ["hdfs://elsewhere:8020/m", "http://h/m"])
def test_a_path_on_another_machine_is_rejected(path, store, model):
    with pytest.raises(DeployError, match="the model store is"):
        store.upload(model, path)


def test_an_immutable_copy_has_the_digest_of_its_files(store, model, tmp_path):
    first = store.add_content(model)
    assert store.add_content(model) == first
    store.fetch(first, tmp_path / "work")
    assert (tmp_path / "work/data/deep/weights").read_bytes() == b"\0\1"
    assert store.script(first) == "rest.sh"
    (model / "data/deep/weights").unlink()
    second = store.add_content(model)
    assert second != first
    store.fetch(second, tmp_path / "other")
    assert not (tmp_path / "other/data/deep/weights").exists()
    assert {first, second} <= {content.path for content in store.contents()}
    store.remove_content(second)
    assert second not in {content.path for content in store.contents()}


def test_the_files_at_a_path_can_be_copied_by_the_store(store, model, at):
    store.upload(model, at("m"))
    copy = store.snapshot(at("m"))
    assert copy == store.add_content(model)
    assert store.snapshot(copy) == copy


def test_a_changed_file_has_another_digest_by_content_mode_name_or_script(store, model):
    def copy(script="rest.sh"):
        return store.add_content(model, script)

    (model / "other.sh").write_text("")
    seen = {copy(), copy("other.sh")}
    (model / "rest.sh").chmod(0o640)
    seen.add(copy())
    (model / "rest.sh").write_text("new")
    seen.add(copy())
    (model / "data/deep/weights").rename(model / "data/deep/w")
    seen.add(copy())
    assert len(seen) == 5


def test_uploading_into_the_directory_of_copies_is_rejected(store, model, at):
    with pytest.raises(DeployError, match="choose another directory"):
        store.upload(model, at(".content/x"))
