"""The benchmark of model servers: each is measured, and a wrong response is an error."""

from __future__ import annotations

import importlib.util

import pytest

pytest.importorskip("benchmarks", reason="the benchmarks are in the checkout, not in the wheel")
pytest.importorskip("aiohttp", reason="a peer in the benchmarks; pip install '.[bench]'")

from benchmarks import serving
from stellar.models.loading import read_pmml


def test_every_server_is_measured() -> None:
    _, found = result = serving.serving({}, 0.2)
    for server in (serving.OURS, serving.AIOHTTP, serving.SKLEARN):
        assert server in result.text
    assert ("not installed" in result.text) == (importlib.util.find_spec("sklearn") is None)
    limits = {serving.REQUEST, serving.RELATIVE, serving.START, serving.MEMORY}
    assert {finding.limit for finding in found} == limits


def test_the_model_has_the_expected_probability() -> None:
    model = read_pmml(serving.write_model().encode())
    assert model.score(serving.VALUES)["probability(1)"] == pytest.approx(serving.EXPECTED)


@pytest.mark.parametrize(
    "response",
    [b"HTTP/1.1 500 Internal Server Error\r\n\r\n{}", b'HTTP/1.1 200 OK\r\n\r\n{"probability(1)": 0.5}'],
    ids=["status", "probability"],
)
def test_a_wrong_response_is_an_error(response: bytes) -> None:
    with pytest.raises(RuntimeError, match="a wrong response of a server"):
        serving.check_response(response)
