"""Kernel specifications: folders that describe to Jupyter how to start a kernel.

The package contains one for a kernel without options; `install` creates others with options.
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
# Options with paths, which are made absolute: notebooks have different working directories
PATHS = ("registry", "variables", "properties", "log4j")
FILES = PATHS[1:]


def install(name: str, display_name: str, options: argparse.Namespace, prefix: str | None) -> Path:
    """Install a kernel and return the folder of its specification.

    options: options of the shell with which its sessions are opened
    prefix: prefix of the Python environment; None to install for the user

    Raise ValueError for a missing file or an invalid name, OSError if the folder can't be written.
    """
    from jupyter_client.kernelspec import KernelSpecManager

    for option in FILES:
        file = getattr(options, option)
        if file is not None and not Path(file).is_file():
            raise ValueError(f"--{option}: missing file {file}")
    with TemporaryDirectory() as folder:
        staged = Path(folder, "spec")
        shutil.copytree(SPEC, staged)
        (staged / "kernel.json").write_text(json.dumps(_spec(display_name, options), indent=2) + "\n", encoding="utf-8")
        manager = KernelSpecManager()
        return Path(manager.install_kernel_spec(str(staged), name, user=prefix is None, prefix=prefix))


def _spec(display_name: str, options: argparse.Namespace) -> dict[str, object]:
    """Return the package's own specification with this Python, which can differ from the notebook's, and options."""
    spec = json.loads((SPEC / "kernel.json").read_text(encoding="utf-8"))
    _, *rest = spec["argv"]
    return {**spec, "argv": [sys.executable, *rest, *_arguments(options)], "display_name": display_name}


def _arguments(options: argparse.Namespace) -> list[str]:
    given = {name: value for name in ("zookeeper", *PATHS) if (value := getattr(options, name)) is not None}
    return [
        f"--{name}={os.path.abspath(os.path.expanduser(value)) if name in PATHS else value}"
        for name, value in given.items()
    ]
