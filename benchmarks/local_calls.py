"""Calls of a model that is evaluated in the process of the client: their CPU time besides that of the score."""

from __future__ import annotations

import hashlib
import tempfile
import time
from pathlib import Path

from benchmarks.measure import interleave
from benchmarks.report import Finding, Limit, Quantity, Table
from benchmarks.serving import VALUES, write_model
from stellar.language.context import Context
from stellar.language.expression import compile
from stellar.local_models.files import ModelFiles
from stellar.local_models.loading import BackgroundModels
from stellar.maas import ClientSettings, MemoryRegistry, Model, ModelClient, Registry, ServiceInstance
from stellar.maas.schema import Endpoint
from stellar.models.loading import read_pmml

LOCAL = Limit("CPU of a call in the process besides the score", must=4, aim=2, unit="µs")
SCORE, CLIENT, EXPRESSION = "score alone", "ModelClient", "MAAS_MODEL_APPLY"

_APPLY = compile("MAAS_MODEL_APPLY(endpoint, values)")
_FIND = compile("MAAS_GET_ENDPOINT('lr')")


def measure_local_calls(seconds: float) -> tuple[Table, Finding]:
    """Measure calls of a logistic regression of ten numbers."""
    with tempfile.TemporaryDirectory() as folder:
        registry = _register(Path(folder))
        settings = ClientSettings(local=("pmml",), cache_size=0)
        models = BackgroundModels(ModelFiles(folder, f"{folder}/cache"))
        with ModelClient(registry, settings, local=models) as client:
            taken = _measure(client, Context({Registry: registry, ModelClient: client}), seconds)
    rows = [[name, Quantity(each / 1000, "µs")] for name, each in taken.items()]
    besides = (taken[CLIENT] - taken[SCORE]) / 1000
    return Table("One call to a model in the process of the client", ["", "CPU"], rows), Finding(LOCAL, besides)


def _register(folder: Path) -> MemoryRegistry:
    """Return a registry with an instance that does not exist, whose model is in a store in the folder."""
    data = write_model().encode()
    path = f"/.content/{'0' * 64}/model.pmml"
    (folder / path.lstrip("/")).parent.mkdir(parents=True)
    (folder / path.lstrip("/")).write_bytes(data)
    registry = MemoryRegistry()
    instance = ServiceInstance.of(Model("lr", "1.0"), "1", Endpoint(url="http://127.0.0.1:9"))
    setting = {"kind": "pmml", "sha256": hashlib.sha256(data).hexdigest(), "path": path}
    registry.register(instance, {"model": setting})
    return registry


def _measure(client: ModelClient, context: Context, seconds: float) -> dict[str, float]:
    """Return the CPU time of a call in nanoseconds."""
    endpoint, values = _FIND({}, context), {name: float(value) for name, value in VALUES.items()}
    record = {"endpoint": endpoint, "values": values}
    model = read_pmml(write_model().encode())
    model.compile()
    expected, until = model.score(values), time.monotonic() + 60
    while (found := _APPLY(record, context)) != expected:  # null until the model is loaded, as no instance exists
        if found is not None or time.monotonic() > until:
            raise RuntimeError(f"expected {expected}, got {found}")
    return interleave(
        {
            SCORE: lambda: model.score(values),
            CLIENT: lambda: client.apply_values(endpoint, None, values, dict),
            EXPRESSION: lambda: _APPLY(record, context),
        },
        seconds,
    )
