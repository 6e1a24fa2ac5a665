"""The archive `serving.pyz`: a model server in one file, for machines that have only Python.

python3 -I serving.pyz FOLDER          serves the model file of a folder, and writes endpoint.dat

It has the modules of ours that the server imports, found in the sources, so that no other module has to be imported.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from maas_runtime.archive import write_archive
from maas_runtime.errors import DeployError

ENTRY = "maas_runtime.serving.__main__"

_OURS = ("maas_runtime", "stellar")
_ROOT = Path(__file__).parents[2]  # in an archive, if this process runs from one

# Valid in any version of Python, so that an old one reports the problem
_MAIN = f"""import sys

if sys.version_info < (3, 11):
    sys.exit("models need Python 3.11 or newer on every node; %s is %s" % (sys.executable, sys.version.split()[0]))

from {ENTRY} import main

sys.exit(main())
"""


@cache
def build_serving_archive() -> bytes:
    """Return the bytes of the archive, which depend on the modules alone. Raise DeployError if a module is missing."""
    found: dict[str, tuple[str, bytes]] = {}
    _collect_modules(ENTRY, found)
    return write_archive([("__main__.py", _MAIN.encode()), *found.values()])


def _collect_modules(name: str, found: dict[str, tuple[str, bytes]]) -> None:
    """Add a module, the packages around it, and all that they import, with their paths and contents."""
    pending = [name]
    while pending:
        name = pending.pop()
        if name in found or name.partition(".")[0] not in _OURS:
            continue
        if (source := _read_source(name)) is None:
            if _read_source(name.rpartition(".")[0]) is None:
                raise DeployError(f"the module {name} is missing; install stellar-maas again")
            continue  # a name in a module
        found[name] = source
        pending += [name.rpartition(".")[0], *_list_imports(source[1])]


def _read_source(name: str) -> tuple[str, bytes] | None:
    """Return the path and content of a module; None if there is no such module."""
    spec = find_spec(__name__)
    assert spec is not None
    folder = name.replace(".", "/")
    for path in (f"{folder}/__init__.py", f"{folder}.py"):
        try:
            return path, spec.loader.get_data(str(_ROOT / path))  # type: ignore[union-attr]
        except OSError:
            continue
    return None


def _list_imports(source: bytes) -> Iterator[str]:
    """Yield the names of modules that a module may import, and of what it imports from them."""
    pending: list[ast.AST] = [ast.parse(source)]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif not (isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
            pending += ast.iter_child_nodes(node)
