"""Functions that Spark sends to executors.

They are sent by value, and refer to nothing of this package: so they can explain that it is missing, and all that is
unpickled is a few lines. The modules that they import read JSON, which is sent with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

Task = Callable[[Iterable[Any]], Iterator[Any]]


def make_task(module: str, function: str, shipped: str) -> Task:
    """Return a function of batches of Arrow.

    module: the module that an executor imports
    function: its function of the shipped JSON and of the batches
    """
    load = _make_loader(module, function)

    def run(batches: Iterable[Any]) -> Iterator[Any]:
        yield from load()(shipped, batches)

    return run


def make_function(module: str, function: str, shipped: str) -> Callable[..., Any]:
    """Return a function of the values of a row.

    module: the module that an executor imports
    function: its function of the shipped JSON and of a tuple of values
    """
    load = _make_loader(module, function)

    def call(*values: Any) -> Any:
        return load()(shipped, values)

    return call


def _make_loader(module: str, function: str) -> Callable[[], Any]:
    def load() -> Any:
        from importlib import import_module

        try:
            return getattr(import_module(module), function)
        except ImportError as error:
            import sys

            raise RuntimeError(
                f"cannot import stellar.spark in the Python of an executor, {sys.executable}: {error}; run "
                "`pip install 'stellar-maas[spark]'` there, ship an environment by spark.archives, or set "
                "PYSPARK_PYTHON to the interpreter of an environment that has it"
            ) from error

    return load
