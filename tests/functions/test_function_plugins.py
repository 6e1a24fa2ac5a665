"""Other distributions add functions by entry points of the group `stellar.functions`."""

from __future__ import annotations

import importlib
import pathlib
import pickle
import pkgutil
import subprocess
import sys

import pytest

import stellar
from stellar.functions import FAMILIES, LIBRARY, PIPELINE_FAMILIES, SHELL_FAMILIES, LazyLibrary, import_family
from stellar.language.library import Library

BUILT_IN = {name for names in FAMILIES.values() for name in names.split()}

MODULE = '''
from stellar import stellar

@stellar("GREET")
def greet(name: str | None) -> str:
    """A greeting."""
    return f"hello {name}"
'''


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Return a function that installs modules with an entry point each, as pip would, and returns a library that sees
    them.
    """

    def install_modules(**sources):
        metadata = tmp_path / "greetings-1.0.dist-info"
        metadata.mkdir()
        metadata.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: greetings\nVersion: 1.0\n")
        entries = "".join(f"{module} = {module}\n" for module in sources)
        metadata.joinpath("entry_points.txt").write_text(f"[stellar.functions]\n{entries}")
        for module, source in sources.items():
            tmp_path.joinpath(f"{module}.py").write_text(source)
            monkeypatch.delitem(sys.modules, module, raising=False)
        monkeypatch.syspath_prepend(tmp_path)
        importlib.invalidate_caches()
        return LazyLibrary("somewhere:LIBRARY", FAMILIES)

    return install_modules


def test_an_installed_function_can_be_called(install):
    library = install(greetings=MODULE)
    assert stellar.evaluate("GREET(TRIM(x))", {"x": " you "}, library=library) == "hello you"
    assert library.find_similar("GREAT") == "GREET"
    assert set(library) == BUILT_IN | {"GREET"}


def test_a_failing_module_is_reported_and_skipped(install):
    library = install(broken="1 / 0", empty="x = 1", greetings=MODULE)
    with pytest.warns(RuntimeWarning, match=r"cannot load the Stellar functions broken = broken: division by zero"):
        assert stellar.evaluate("GREET('me')", {}, library=library) == "hello me"
    assert len(library) == len(BUILT_IN) + 1


def test_a_built_in_function_is_not_replaced(install):
    library = install(greetings=MODULE.replace("GREET", "TRIM"))
    with pytest.warns(RuntimeWarning, match="ignored: TRIM is a built-in function"):
        assert len(library) == len(BUILT_IN)
    assert library["TRIM"] is LIBRARY["TRIM"]


@pytest.mark.parametrize(("family", "names"), [*FAMILIES.items(), *SHELL_FAMILIES.items(), *PIPELINE_FAMILIES.items()])
def test_the_list_of_a_family_is_complete(family, names):
    module = import_family(family)
    path = module.__name__
    declared = [name for name, each in Library.of(module).items() if each.implementation.__module__.startswith(path)]
    assert sorted(names.split()) == sorted(declared)


def test_every_family_is_listed():
    package = pathlib.Path(stellar.functions.__file__).parent
    modules = {module.name for module in pkgutil.iter_modules([str(package)])}
    assert modules == {*FAMILIES, *SHELL_FAMILIES}


def test_an_unknown_function_is_a_key_error():
    library = LazyLibrary("somewhere:LIBRARY", FAMILIES)
    assert "GREET" not in library
    with pytest.raises(KeyError):
        library["GREET"]


def test_a_pickled_expression_finds_its_library():
    assert pickle.loads(pickle.dumps(stellar.compile("TRIM(' a ')")))({}) == "a"


def test_a_family_is_imported_on_first_use():
    program = (
        "import stellar, sys; stellar.compile('TRIM(x)');"
        "print(*(f'stellar.functions.{family}' in sys.modules for family in ('strings', 'dates')))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout == "True False\n"


def test_entry_points_are_not_scanned_for_known_names():
    program = "import stellar, sys; stellar.compile('TRIM(x)')({}); print('importlib.metadata' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"
