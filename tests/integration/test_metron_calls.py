"""Calls of a model server by the HTTP client of Metron, of which one status other than 200 disables a thread."""

from __future__ import annotations

import json

import pytest

from engines.daemon import JVM, run
from tests.maas_runtime.serving.conftest import start_server
from tests.models.sample_model import DOCUMENT

pytestmark = pytest.mark.engine


def test_a_thread_of_metron_calls_on_after_records_without_a_result(classpath, tmp_path):
    (tmp_path / "model.pmml").write_bytes(DOCUMENT)
    queries = ["x=1&n=2&tld=ru", "x=abc", "x=-1", "unknown=1", "x=1&x=2", "x=%25ff", "x=2&n=2&tld=ru"]
    with start_server(tmp_path, ".") as server:
        urls = [f"{server.url}/apply?{query}" for query in queries]
        urls += [f"{server.url}/none", urls[0]]
        printed = run(["java", *JVM, "-cp", classpath, "Calls", *urls], 60).splitlines()
    results = [json.loads(line) for line in printed[:7]]
    assert (results[0]["y"], results[-1]["y"]) == (5.0, 7.0)
    assert all(set(result) == {"error"} for result in results[1:-1])
    assert printed[7] == "!404"  # the test can fail: an unknown path has its status, and disables the thread
    assert "still allocated" in printed[8]
