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
from stellar.functions import FAMILIES, LIBRARY, SHELL_FAMILIES, LazyLibrary
from stellar.language.library import Library

OURS = {name for names in FAMILIES.values() for name in names.split()}

MODULE = '''
from stellar import stellar

@stellar("GREET")
def greet(name: str | None) -> str:
    """A greeting."""
    return f"hello {name}"
'''


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Install modules with an entry point each, as pip would; returns a library that sees them."""

    def install(**sources):
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

    return install


def test_an_installed_function_can_be_called(installed):
    library = installed(greetings=MODULE)
    assert stellar.evaluate("GREET(TRIM(x))", {"x": " you "}, library=library) == "hello you"
    assert library.resembling("GREAT") == "GREET"
    assert set(library) == OURS | {"GREET"}


def test_modules_that_fail_are_named_and_left_out(installed):
    library = installed(broken="1 / 0", empty="x = 1", greetings=MODULE)
    with pytest.warns(RuntimeWarning, match=r"functions broken = broken can't be loaded: division by zero"):
        assert stellar.evaluate("GREET('me')", {}, library=library) == "hello me"
    assert len(library) == len(OURS) + 1


def test_a_function_of_ours_is_not_replaced(installed):
    library = installed(greetings=MODULE.replace("GREET", "TRIM"))
    with pytest.warns(RuntimeWarning, match="is a TRIM, but that name is taken"):
        assert len(library) == len(OURS)
    assert library["TRIM"] is LIBRARY["TRIM"]


@pytest.mark.parametrize(("family", "names"), [*FAMILIES.items(), *SHELL_FAMILIES.items()])
def test_a_family_is_listed_as_it_is(family, names):
    module = importlib.import_module(f"stellar.functions.{family}")
    declared = [name for name, function in Library.of(module).items() if function.family == family]
    assert sorted(names.split()) == sorted(declared)


def test_each_family_is_in_the_list():
    package = pathlib.Path(stellar.functions.__file__).parent
    modules = {module.name for module in pkgutil.iter_modules([str(package)])}
    assert modules == {*FAMILIES, *SHELL_FAMILIES}


def test_an_unknown_function_stays_unknown():
    library = LazyLibrary("somewhere:LIBRARY", FAMILIES)
    assert "GREET" not in library
    with pytest.raises(KeyError):
        library["GREET"]


def test_the_library_is_found_again_by_a_pickled_expression():
    assert pickle.loads(pickle.dumps(stellar.compile("TRIM(' a ')")))({}) == "a"


def test_a_family_is_loaded_when_one_of_its_functions_is_wanted():
    program = (
        "import stellar, sys; stellar.compile('TRIM(x)');"
        "print(*(f'stellar.functions.{family}' in sys.modules for family in ('strings', 'dates')))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout == "True False\n"


def test_nothing_is_looked_for_while_the_names_are_known():
    program = "import stellar, sys; stellar.compile('TRIM(x)')({}); print('importlib.metadata' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"
