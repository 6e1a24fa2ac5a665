"""The program that travels: one file with all of a runner and a service in it, for machines that have Python alone.

python3 maas.pyz maas status …          as the command `maas`
python3 maas.pyz container              in a container of YARN
"""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from maas_runtime.errors import DeployError

NAME = "maas.pyz"

# Beside our own: what runners import, and what the service imports to speak HTTP. All of it is Python alone.
PACKAGES = (
    "kazoo",
    "httpx",
    "httpcore",
    "h11",
    "anyio",
    "sniffio",
    "idna",
    "certifi",
    "typing_extensions",
)
OPTIONAL = ("sniffio", "typing_extensions")  # some versions of the others do without
OURS = (
    "maas_runtime",
    "stellar.maas",
    "stellar.net",
    "stellar.util",
)
_DATA = (".py", ".pem")
_LEFT_OUT = ("tests", "testing", "__pycache__")

# In words that any Python understands, so that an old one can say what is wrong
MAIN = """import sys

if sys.version_info < (3, 11):
    sys.exit("models need Python 3.11 or newer on every node; %s is %s" % (sys.executable, sys.version.split()[0]))

from maas_runtime.archive_main import main

sys.exit(main(sys.argv[1:]))
"""


@cache
def archive() -> bytes:
    """The bytes of the archive; the same as long as the packages are.

    Raises DeployError if a package is missing.
    """
    running = Path(__file__).parents[1]
    if running.is_file():  # we are in an archive, and pass ourselves on
        return running.read_bytes()
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as target:
        for name, content in sorted(_contents(), key=lambda pair: pair[0]):
            entry = zipfile.ZipInfo(name)  # of 1980, whenever it is made
            entry.external_attr = 0o644 << 16
            target.writestr(entry, content, zipfile.ZIP_DEFLATED, 6)
    return data.getvalue()


def archive_name() -> str:
    """A name that no other archive has, for keeping it beside others."""
    return f"maas-{hashlib.sha256(archive()).hexdigest()[:16]}.pyz"


def _contents() -> Iterator[tuple[str, bytes]]:
    yield "__main__.py", MAIN.encode()
    yield "stellar/__init__.py", Path(_place("stellar"), "__init__.py").read_bytes()
    for package in (*OURS, *PACKAGES):
        if package in OPTIONAL and find_spec(package) is None:
            continue
        yield from _files(package)


def _files(package: str) -> Iterator[tuple[str, bytes]]:
    place = _place(package)
    folder = package.replace(".", "/")
    if place.is_file():
        yield f"{folder}.py", place.read_bytes()
        return
    for file in place.rglob("*"):
        name = file.relative_to(place)
        if file.suffix in _DATA and not set(_LEFT_OUT) & set(name.parts):
            yield f"{folder}/{name.as_posix()}", file.read_bytes()


def _place(package: str) -> Path:
    """The directory of a package, or the file of a module.

    Raises DeployError if it is not installed.
    """
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise DeployError(f"the package {package} is not installed, and nodes need it: pip install stellar-maas")
    return Path(spec.origin).parent if spec.submodule_search_locations else Path(spec.origin)


def pack(folder: Path, target: Path) -> Path:
    """Pack a directory's files as a tar.gz; its bytes depend on their names, contents and modes alone."""

    def neutral(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = entry.mtime = 0
        entry.uname = entry.gname = ""
        return entry

    with (
        target.open("wb") as file,
        gzip.GzipFile("", "wb", 6, file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as tar,
    ):
        for path in sorted(folder.rglob("*")):
            tar.add(path, path.relative_to(folder), recursive=False, filter=neutral)
    return target
