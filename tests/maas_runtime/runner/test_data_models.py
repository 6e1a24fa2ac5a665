"""An instance is published as data-only if its script is the generated one, and as nothing else."""

from __future__ import annotations

import pytest

from maas_runtime.runner.data_models import describe_data_model
from maas_runtime.serving.lock import LOCK_FILE, SCRIPT, ModelLock
from maas_runtime.store.base import SERVE_SCRIPT

CONTENT = f"/.content/{'0' * 64}"


@pytest.fixture
def work(tmp_path):
    (tmp_path / SERVE_SCRIPT).write_text(SCRIPT)
    (tmp_path / LOCK_FILE).write_bytes(ModelLock("pmml", "model.pmml", "9f", [], []).to_json())
    return tmp_path


def test_kind_digest_and_path_in_the_store_are_published(work):
    expected = {"model": {"kind": "pmml", "sha256": "9f", "path": f"{CONTENT}/model.pmml"}}
    assert describe_data_model(work, SERVE_SCRIPT, CONTENT) == expected


def test_a_script_of_the_user_is_code(work):
    (work / SERVE_SCRIPT).write_text(f"{SCRIPT}echo\n")
    assert describe_data_model(work, SERVE_SCRIPT, CONTENT) == {}
    (work / SERVE_SCRIPT).write_text("#!/bin/sh\n")
    assert describe_data_model(work, SERVE_SCRIPT, CONTENT) == {}


def test_without_a_copy_in_the_store_there_is_nothing_to_publish(work):
    assert describe_data_model(work, SERVE_SCRIPT, "") == {}


def test_an_invalid_lock_is_an_error(work):
    (work / LOCK_FILE).write_text("{}")
    with pytest.raises(ValueError, match=r"invalid model.lock.json"):
        describe_data_model(work, SERVE_SCRIPT, CONTENT)
