"""How Jupyter finds the kernel: a folder that says how it is started.

The package brings one for a kernel without options. `install` makes others, each with options of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

SPEC = Path(__file__).parent / "spec"
# The options of a session that name files or folders; a notebook stands anywhere
PATHS = ("registry", "variables", "properties", "log4j")
FILES = PATHS[1:]


def install(name: str, display_name: str, options: argparse.Namespace, prefix: str | None) -> Path:
    """Make a kernel known to Jupyter; returns the folder that says so.

    options: those of the shell, which its sessions are opened with
    prefix: of the Python that it is for; None for the user, whatever Python there is

    Raises ValueError, with a sentence, if a file is not there or the name is none; OSError if it can't be written.
    """
    from jupyter_client.kernelspec import KernelSpecManager

    for option in FILES:
        file = getattr(options, option)
        if file is not None and not Path(file).is_file():
            raise ValueError(f"--{option}: there is no file {file}")
    with TemporaryDirectory() as folder:
        staged = Path(folder, "spec")
        shutil.copytree(SPEC, staged)
        (staged / "kernel.json").write_text(json.dumps(_spec(display_name, options), indent=2) + "\n", encoding="utf-8")
        manager = KernelSpecManager()
        return Path(manager.install_kernel_spec(str(staged), name, user=prefix is None, prefix=prefix))


def _spec(display_name: str, options: argparse.Namespace) -> dict[str, object]:
    """What the package's own says, with this Python, which may be another than the notebook's, and options."""
    spec = json.loads((SPEC / "kernel.json").read_text(encoding="utf-8"))
    _, *rest = spec["argv"]
    return {**spec, "argv": [sys.executable, *rest, *_arguments(options)], "display_name": display_name}


def _arguments(options: argparse.Namespace) -> list[str]:
    given = {name: value for name in ("zookeeper", *PATHS) if (value := getattr(options, name)) is not None}
    return [
        f"--{name}={os.path.abspath(os.path.expanduser(value)) if name in PATHS else value}"
        for name, value in given.items()
    ]
