"""The archive `maas.pyz`: runner and service in one file, for machines that have only Python.

python3 maas.pyz maas status …          the command `maas`
python3 maas.pyz container              one instance, in a container of YARN
python3 maas.pyz service                the service, in a container of YARN
"""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from maas_runtime.errors import DeployError

NAME = "maas.pyz"

# Third-party packages: those that runners, the service and the commands import. Their Python code suffices.
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
    "yaml",
)
OPTIONAL = ("sniffio", "typing_extensions")  # not required by all versions of the others
# Those that read and score model files; others need numpy or scikit-learn
MODELS = (
    "boosters",
    "compiled",
    "errors",
    "evaluation",
    "forms",
    "loading",
    "pmml",
    "records",
    "results",
    "scoring",
    "signature",
    "singles",
    "values",
)
OURS = (
    "maas_runtime",
    "stellar.java",
    "stellar.maas",
    *(f"stellar.models.{name}" for name in MODELS),
    "stellar.monitoring",
    "stellar.net",
    "stellar.util",
)
_DATA = (".py", ".pem")
_OWN = Path(__file__).parents[1]  # a file if this process runs from an archive
_LEFT_OUT = ("tests", "testing", "__pycache__")

# Valid in any version of Python, so that an old one reports the problem
MAIN = """import sys

if sys.version_info < (3, 11):
    sys.exit("models need Python 3.11 or newer on every node; %s is %s" % (sys.executable, sys.version.split()[0]))

from maas_runtime.archive_main import main

sys.exit(main(sys.argv[1:]))
"""


@cache
def build_archive() -> bytes:
    """Return the bytes of the archive, which depend on the packages alone.

    Raises DeployError if a package is missing.
    """
    if _OWN.is_file():
        return _OWN.read_bytes()
    return write_archive(_contents())


def write_archive(contents: Iterable[tuple[str, bytes]]) -> bytes:
    """Return the bytes of a zip archive, which depend on the names and contents of its files alone."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as target:
        for name, content in sorted(contents, key=lambda pair: pair[0]):
            entry = zipfile.ZipInfo(name)  # dated 1980, so that equal contents give equal bytes
            entry.external_attr = 0o644 << 16
            target.writestr(entry, content, zipfile.ZIP_DEFLATED, 6)
    return data.getvalue()


def archive_name() -> str:
    """Return a file name that is unique to the archive's content."""
    return f"maas-{hashlib.sha256(build_archive()).hexdigest()[:16]}.pyz"


def _contents() -> Iterator[tuple[str, bytes]]:
    yield "__main__.py", MAIN.encode()
    for package in ("stellar", "stellar.models"):
        yield f"{package.replace('.', '/')}/__init__.py", (_locate(package) / "__init__.py").read_bytes()
    for package in (*OURS, *PACKAGES):
        if package in OPTIONAL and find_spec(package) is None:
            continue
        yield from _files(package)


def _files(package: str) -> Iterator[tuple[str, bytes]]:
    location = _locate(package)
    folder = package.replace(".", "/")
    if location.is_file():
        yield f"{folder}.py", location.read_bytes()
        return
    for file in location.rglob("*"):
        name = file.relative_to(location)
        if file.suffix in _DATA and not set(_LEFT_OUT) & set(name.parts):
            yield f"{folder}/{name.as_posix()}", file.read_bytes()


def _locate(package: str) -> Path:
    """Return the directory of a package, or the file of a module.

    Raises DeployError if it is not installed.
    """
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise DeployError(f"the package {package} is not installed, but nodes need it; run: pip install stellar-maas")
    return Path(spec.origin).parent if spec.submodule_search_locations else Path(spec.origin)


def pack(folder: Path, target: Path) -> Path:
    """Pack a directory as a tar.gz, whose bytes depend on names, contents and modes of the files alone."""

    def normalize(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = entry.mtime = 0
        entry.uname = entry.gname = ""
        return entry

    with (
        target.open("wb") as file,
        gzip.GzipFile("", "wb", 6, file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as tar,
    ):
        for path in sorted(folder.rglob("*")):
            tar.add(path, path.relative_to(folder), recursive=False, filter=normalize)
    return target
