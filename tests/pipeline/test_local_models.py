"""A run evaluates models that are data itself, as soon as they are loaded, and calls their instances before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from stellar.maas import FileRegistry, Model, ServiceInstance
from stellar.maas.schema import Endpoint
from stellar.pipeline.cli import main
from tests.maas_runtime.serving.models import FFSN

from .test_pipeline_cli import documents, model, registry

__all__ = ["model", "registry"]

CALL = "MAAS_MODEL_APPLY(MAAS_GET_ENDPOINT('ffsn'), {'n_systems': n})"
PARSER = {
    "parserClassName": "JSONMap",
    "fieldTransformations": [{"transformation": "STELLAR", "output": ["score"], "config": {"score": CALL}}],
}
PATH = f".content/{'0' * 64}/model.pmml"


@pytest.mark.parametrize("kinds", [["pmml"], []], ids=["local", "by HTTP"])
def test_the_setting_of_the_global_configuration_decides(
    kinds: list[str],
    write_config: Callable[..., Path],
    tmp_path: Path,
    model: str,
    registry: FileRegistry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    stored = registry.directory / "store" / PATH
    stored.parent.mkdir(parents=True)
    stored.write_text(FFSN)
    setting = {"kind": "pmml", "sha256": hashlib.sha256(FFSN.encode()).hexdigest(), "path": f"/{PATH}"}
    instance = ServiceInstance.of(Model("ffsn", "1.0"), "one", Endpoint(url=model))
    registry.register(instance, {"model": setting})
    lines = [json.dumps({"n": n, "timestamp": 1, "original_string": "o"}) for n in range(1500)]
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    config = write_config(parser=PARSER, globals={"maas.local": kinds})
    out, errors = tmp_path / "out.jsonl", tmp_path / "errors.jsonl"
    arguments = ["--config", config, "--sensor", "squid", "--output", out, "--errors", errors, "--in-flight", 1]
    words = ["run", *arguments, "--registry", registry.directory, tmp_path / "in.jsonl"]
    assert main([str(word) for word in words]) == 0
    assert documents(errors) == []
    by_http = {"is_malicious": "malicious"}
    scores = [record["score"] for record in documents(out)]
    assert scores[0] == by_http, "the model is not loaded yet"
    assert scores[-1] == ({"ffsn": "1", "probability(0)": 0.0, "probability(1)": 1.0} if kinds else by_http)
