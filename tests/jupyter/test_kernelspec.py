"""`python -m stellar.jupyter install` installs kernels with options."""

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
    """Return a greeting.

    name: The person
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


def test_a_kernel_has_the_options_of_its_installation(kernels, record, tmp_path, monkeypatch, capsys):
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


def test_a_kernel_can_be_installed_for_the_environment(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert main(["install", "--sys-prefix", "--display-name", "Live", "-z", "127.0.0.1:2181/metron"]) == 0
    folder = capsys.readouterr().out.strip()
    assert folder == str(tmp_path / "share/jupyter/kernels/stellar")
    found = specification(folder)
    assert (found["display_name"], found["argv"][-1]) == ("Live", "--zookeeper=127.0.0.1:2181/metron")


def run(name: str, *cells: str) -> list[list[nbformat.NotebookNode]]:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, timeout=SECONDS, kernel_name=name, allow_errors=True).execute()
    return [cell.outputs for cell in notebook.cells]


def test_a_notebook_has_the_options_of_its_kernel(kernels, record, tmp_path):
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
def test_an_invalid_option_is_reported_in_the_notebook_until_it_is_fixed(record):
    assert main(["install", "--name", "late", "-v", str(record)]) == 0
    record.write_text("[]", encoding="utf-8")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("bytes"), nbformat.v4.new_code_cell("user")])
    client = NotebookClient(notebook, timeout=SECONDS, kernel_name="late", allow_errors=True)
    client.on_cell_executed = lambda **_: record.write_text('{"user": "eve"}', encoding="utf-8")
    client.execute()
    first, second = (cell.outputs for cell in notebook.cells)
    assert first[0].output_type == "error"
    assert str(record) in first[0].evalue
    assert second[0].data == {"text/plain": "eve"}


def test_a_missing_file_is_reported(tmp_path, capsys):
    assert main(["install", "-v", str(tmp_path / "missing.json")]) == 1
    assert capsys.readouterr().err == f"stellar.jupyter: --variables: missing file {tmp_path}/missing.json\n"


@pytest.mark.usefixtures("kernels")
def test_an_invalid_name_is_reported(capsys):
    assert main(["install", "--name", "my kernel"]) == 1
    assert "Invalid kernel name 'my kernel'" in capsys.readouterr().err


def test_a_file_next_to_the_notebook_does_not_replace_a_module(kernels, tmp_path):
    (tmp_path / "argparse.py").write_text("raise SystemExit('not mine')", encoding="utf-8")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1")])
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=SECONDS, kernel_name="stellar", resources=resources).execute()
    assert notebook.cells[0].outputs[0].data == {"text/plain": "1"}


@pytest.mark.parametrize("arguments", [[], ["install", "--user", "--sys-prefix"], ["install", "x"], ["-f"]])
def test_invalid_options_are_rejected(arguments, capsys):
    with pytest.raises(SystemExit) as exited:
        main(arguments)
    assert exited.value.code == 2
    assert "usage: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("package", "arguments"), [("ipykernel", ("-f", "nowhere.json")), ("jupyter_client", ("install",))]
)
def test_a_missing_package_is_reported_with_the_command_to_install(package, arguments):
    program = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from stellar.jupyter.__main__ import main\n"
        f"sys.exit(main({list(arguments)!r}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 1
    assert done.stderr.endswith(f"the kernel requires {package}: pip install 'stellar-maas[jupyter]'\n")
    assert done.stderr.count("\n") == 1
