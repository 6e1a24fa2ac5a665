"""The archive `serving.pyz`: a model server in one file, for machines that have only Python.

python3 -I serving.pyz FOLDER          serves the model file of a folder, and writes endpoint.dat
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from maas_runtime.archive import read_package, write_archive

# Packages and modules of which all are added, and packages of which these are some
_WHOLE = (
    "maas_runtime.errors",
    "maas_runtime.serving",
    "maas_runtime.store.base",
    "maas_runtime.store.content",
    "stellar.java",
    "stellar.maas.schema",
    "stellar.models",
    "stellar.monitoring",
    "stellar.util",
)
_THIS = "maas_runtime/serving/archive.py"  # not needed by a server
_AROUND = ("maas_runtime", "maas_runtime.store", "stellar", "stellar.maas")

# Valid in any version of Python, so that an old one reports the problem
_MAIN = """import sys

if sys.version_info < (3, 11):
    sys.exit("models need Python 3.11 or newer on every node; %s is %s" % (sys.executable, sys.version.split()[0]))

from maas_runtime.serving.__main__ import main

sys.exit(main())
"""


@cache
def build_serving_archive() -> bytes:
    """Return the bytes of the archive, which depend on the packages alone."""
    return write_archive(_contents())


def _contents() -> Iterator[tuple[str, bytes]]:
    yield "__main__.py", _MAIN.encode()
    for package in _AROUND:
        yield from read_package(package, only_init=True)
    for package in _WHOLE:
        yield from (file for file in read_package(package) if file[0] != _THIS)
