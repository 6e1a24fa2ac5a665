"""Jupyter folders with the kernel of the tested package, isolated from those of the user."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

import stellar

PACKAGE = Path(stellar.__file__).parent
# Folder of the kernel after `pip install --target`
INSTALLED = PACKAGE.parent / "share" / "jupyter"


@pytest.fixture(scope="module")
def kernels(tmp_path_factory):
    """Set up Jupyter's folders; tests install kernels there as well."""
    home = tmp_path_factory.mktemp("jupyter")
    if INSTALLED.is_dir():
        share = INSTALLED
    else:
        share = home / "share"
        shutil.copytree(PACKAGE / "jupyter" / "spec", share / "kernels" / "stellar")
    with pytest.MonkeyPatch.context() as environment:
        for name in [name for name in os.environ if name.startswith(("JUPYTER", "IPYTHON", "MAAS_"))]:
            environment.delenv(name)
        environment.setenv("HOME", str(home))
        environment.setenv("JUPYTER_PATH", str(share))
        environment.setenv("JUPYTER_DATA_DIR", str(home / "data"))
        environment.setenv("PYTHONPATH", os.pathsep.join((str(PACKAGE.parent), str(home / "modules"))))
        yield home
