"""The latencies of requests to the instances of each model version, measured only for a server of metrics."""

from __future__ import annotations

from stellar.maas.client.call_counts import MAX_MODELS, NO_MODEL, OTHERS
from stellar.maas.schema import Model
from stellar.monitoring.histograms import CALL_BOUNDS, Histogram
from stellar.monitoring.metrics import Distribution


class ModelLatencies:
    """The latencies by model version. Thread-safe."""

    def __init__(self) -> None:
        self._histograms: dict[Model, Histogram] = {}

    def observe(self, model: Model | None, seconds: float) -> None:
        """Count the latency of a response."""
        key = NO_MODEL if model is None else model
        known = self._histograms.get(key)
        if known is None:
            key = key if len(self._histograms) < MAX_MODELS else OTHERS
            known = self._histograms.setdefault(key, Histogram(CALL_BOUNDS))
        known.observe(seconds)

    def read(self) -> dict[Model, Distribution]:
        """Return the latencies so far."""
        return {model: histogram.read() for model, histogram in list(self._histograms.items())}
