"""`python -m stellar.jupyter install` makes kernels that have options of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from stellar.jupyter.__main__ import main

SECONDS = 60
GREETINGS = '''
from stellar import stellar


@stellar("GREETING")
def greeting(name: str) -> str:
    """A greeting.

    name: Whom to greet
    returns: The greeting
    """
    return f"Hello {name}"
'''


@pytest.fixture
def record(tmp_path: Path) -> Path:
    path = tmp_path / "record.json"
    path.write_text('{"user": "eve", "bytes": 2048}', encoding="utf-8")
    return path


def specification(folder: str) -> dict:
    return json.loads(Path(folder, "kernel.json").read_text(encoding="utf-8"))


def test_a_kernel_has_the_options_it_was_made_with(kernels, record, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["install", "--name", "mine", "--registry", "models", "-v", "record.json"]) == 0
    folder = capsys.readouterr().out.strip()
    assert folder == str(kernels / "data" / "kernels" / "mine")
    assert specification(folder) == {
        "argv": [
            *(sys.executable, "-P", "-m", "stellar.jupyter", "-f", "{connection_file}"),
            *(f"--registry={tmp_path / 'models'}", f"--variables={record}"),
        ],
        "display_name": "mine",
        "language": "stellar",
    }
    assert Path(folder, "logo-svg.svg").is_file()


def test_a_kernel_is_for_the_environment_where_that_is_asked(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert main(["install", "--sys-prefix", "--display-name", "Live", "-z", "127.0.0.1:2181/metron"]) == 0
    folder = capsys.readouterr().out.strip()
    assert folder == str(tmp_path / "share/jupyter/kernels/stellar")
    found = specification(folder)
    assert (found["display_name"], found["argv"][-1]) == ("Live", "--zookeeper=127.0.0.1:2181/metron")


def run(name: str, *cells: str) -> list[list[nbformat.NotebookNode]]:
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(made, timeout=SECONDS, kernel_name=name, allow_errors=True).execute()
    return [cell.outputs for cell in made.cells]


def test_a_notebook_of_that_kernel_has_its_options(kernels, record, tmp_path):
    modules = kernels / "modules"
    modules.mkdir(exist_ok=True)
    (modules / "greetings.py").write_text(GREETINGS, encoding="utf-8")
    properties = tmp_path / "stellar.properties"
    properties.write_text("stellar.function.paths=greetings\nstellar.function.resolver.excludes=TRIM", encoding="utf-8")
    assert main(["install", "--name", "full", "-v", str(record), "-p", str(properties)]) == 0
    greeted, trimmed = run("full", "GREETING(user)", "TRIM(user)")
    assert greeted[0].data == {"text/plain": "Hello eve"}
    assert trimmed[0].evalue == "unknown function TRIM"


@pytest.mark.usefixtures("kernels")
def test_an_option_that_cannot_be_followed_is_told_in_the_notebook_until_it_can(record):
    assert main(["install", "--name", "late", "-v", str(record)]) == 0
    record.write_text("[]", encoding="utf-8")
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("bytes"), nbformat.v4.new_code_cell("user")])
    client = NotebookClient(made, timeout=SECONDS, kernel_name="late", allow_errors=True)
    client.on_cell_executed = lambda **_: record.write_text('{"user": "eve"}', encoding="utf-8")
    client.execute()
    first, second = (cell.outputs for cell in made.cells)
    assert first[0].output_type == "error"
    assert str(record) in first[0].evalue
    assert second[0].data == {"text/plain": "eve"}


def test_a_file_that_is_not_there_is_told(tmp_path, capsys):
    assert main(["install", "-v", str(tmp_path / "missing.json")]) == 1
    assert capsys.readouterr().err == f"stellar.jupyter: --variables: there is no file {tmp_path}/missing.json\n"


@pytest.mark.usefixtures("kernels")
def test_a_name_that_can_be_none_is_told(capsys):
    assert main(["install", "--name", "my kernel"]) == 1
    assert "Invalid kernel name 'my kernel'" in capsys.readouterr().err


def test_a_file_beside_the_notebook_does_not_stand_in_for_a_module(kernels, tmp_path):
    (tmp_path / "argparse.py").write_text("raise SystemExit('not mine')", encoding="utf-8")
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1")])
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(made, timeout=SECONDS, kernel_name="stellar", resources=resources).execute()
    assert made.cells[0].outputs[0].data == {"text/plain": "1"}


@pytest.mark.parametrize("arguments", [[], ["install", "--user", "--sys-prefix"], ["install", "x"], ["-f"]])
def test_what_makes_no_sense_is_refused(arguments, capsys):
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    assert "usage: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("package", "arguments"), [("ipykernel", ("-f", "nowhere.json")), ("jupyter_client", ("install",))]
)
def test_without_its_packages_it_says_what_to_install(package, arguments):
    program = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from stellar.jupyter.__main__ import main\n"
        f"sys.exit(main({list(arguments)!r}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 1
    assert done.stderr.endswith(f"the notebook needs the package {package}: pip install 'stellar-maas[jupyter]'\n")
    assert done.stderr.count("\n") == 1
