"""The modules that `import stellar` and each command load, which determine their start-up time.

A limit has two numbers: modules of the project, and modules of the standard library and other distributions that are
loaded in addition to those of a bare Python. If a change loads fewer modules, lower the limit; before you raise one,
consider an import inside of a function.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

COUNT = """
import contextlib, importlib, io, json, sys
bare = set(sys.modules)
module, *arguments = {command!r}
sys.argv = ["command", *arguments]
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
    loaded = importlib.import_module(module)
    if arguments:
        status = loaded.main()
        assert not status, status
print(json.dumps(sorted(set(sys.modules) - bare)))
"""
OURS = ("stellar", "maas_runtime")


def list_modules(command: list[str], directory: Path) -> list[str]:
    """Run a command in a fresh process; return the modules that it loads."""
    environment = {**os.environ, "HOME": str(directory), "MAAS_HOME": str(directory / "registry")}
    environment.pop("COVERAGE_PROCESS_START", None)
    done = subprocess.run(
        [sys.executable, "-c", COUNT.format(command=command)],
        cwd=directory,
        env={**environment, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    modules: list[str] = json.loads(done.stdout.splitlines()[-1])
    return modules


@pytest.mark.parametrize(
    ("command", "limit"),
    [
        (["stellar"], (3, 6)),
        (["stellar.cli", "eval", "-e", "1"], (48, 56)),
        (["stellar.cli", "check", "-e", "1"], (54, 52)),
        (["stellar.cli", "--help"], (15, 44)),
        (["maas_runtime.cli.main", "--help"], (42, 68)),
        (["maas_runtime.cli.main", "status", "--registry", "registry"], (83, 89)),
        (["stellar.pipeline.cli", "--help"], (13, 46)),
        (["stellar.pipeline.cli", "check", "--help"], (135, 199)),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_command_loads_no_more_modules_than_before(
    command: list[str], limit: tuple[int, int], tmp_path: Path
) -> None:
    (tmp_path / "registry").mkdir()
    modules = list_modules(command, tmp_path)
    ours = sum(module.partition(".")[0] in OURS for module in modules)
    others = len(modules) - ours
    assert (ours <= limit[0], others <= limit[1]) == (True, True), f"{ours} modules of the project, {others} others"


def test_a_check_loads_the_parsers_of_its_configuration_only(tmp_path: Path) -> None:
    package = "stellar.pipeline.parsers."
    modules = list_modules(["stellar.pipeline.cli", "check", "--help"], tmp_path)
    assert {name for name in modules if name.startswith(package)} == {
        f"{package}{module}" for module in ("parser", "json_map", "lines")
    }
