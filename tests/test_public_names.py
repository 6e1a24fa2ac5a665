"""The public names of each package: a name that is removed or added here changes the interface."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

PUBLIC_NAMES = {
    "stellar": """
        ConfigError Context EvaluationError EvaluationLimits Expression Function LIBRARY Library ParseError
        ResolutionError StellarError cache compile evaluate evaluate_many evaluate_many_async function grammar stellar
    """,
    "stellar.maas": """
        Chosen CircuitBreakers ClientSettings Disagreement FileQueue FileRegistry MaaSConfig MaasError MemoryQueue
        MemoryRegistry Model ModelClient ModelEndpoint ModelNotFound ModelRefused ModelRequest ModelTimeOut
        ModelUnavailable RecordRefused Registry RequestQueue ServiceInstance Shadow TrafficPlan Transport Trial
        ZooKeeper ZooKeeperQueue ZooKeeperRegistry ZooKeeperSettings find_default_registry home
    """,
    "stellar.pipeline": """
        BuildContext Counts Drop Forward Invalid Outcome Parser Pipeline PipelineGroup Raw Record Rejected Report
        SensorConfig Settings Sink Sinks SourceLocation Stage Unreadable build_group build_pipeline check_sensor
        load_config make_error_document read_lines run_pipeline
    """,
}


@pytest.mark.parametrize("package", PUBLIC_NAMES)
def test_a_package_exports_its_public_names(package: str) -> None:
    module = importlib.import_module(package)
    assert sorted(module.__all__) == sorted(PUBLIC_NAMES[package].split())
    assert dir(module) == sorted(module.__all__)
    for name in module.__all__:
        assert getattr(module, name) is not None


@pytest.mark.parametrize("package", PUBLIC_NAMES)
def test_public_names_can_be_imported_in_any_order(package: str) -> None:
    """Import all names in a fresh process, one by one and by `*`."""
    names = PUBLIC_NAMES[package].split()
    program = f"from {package} import {', '.join(reversed(names))}\nfrom {package} import *\nprint(len({names!r}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_names_of_the_modules_remain() -> None:
    """Programs import these names from the modules that define them."""
    from stellar.pipeline import build_pipeline, load_config, run_pipeline
    from stellar.pipeline.build import build
    from stellar.pipeline.config import load
    from stellar.pipeline.run import run

    assert (build, load, run) == (build_pipeline, load_config, run_pipeline)
