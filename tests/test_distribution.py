"""The files that are published: what the wheel and the sdist contain, and what the package index shows of them."""

from __future__ import annotations

import email.parser
import email.policy
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from stellar.util.version import VERSION

ROOT = Path(__file__).parents[1]
PACKAGES = ("stellar", "maas_runtime")

pytest.importorskip("hatch_fancy_pypi_readme", reason="builds the long description; pip install '.[dev]'")


def build(source, target, kind):
    command = [sys.executable, "-m", "hatchling", "build", "--target", kind, "--directory", str(target)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (built,) = target.iterdir()
    return built


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """The directory of an sdist."""
    sdist = build(ROOT, tmp_path_factory.mktemp("sdist"), "sdist")
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (top,) = folder.iterdir()
    assert top.name == f"stellar_maas-{VERSION}"
    return top


@pytest.fixture(scope="module")
def wheel(unpacked, tmp_path_factory):
    """A wheel that is built from the sdist, so that the sdist has all that a build needs."""
    with zipfile.ZipFile(build(unpacked, tmp_path_factory.mktemp("wheel"), "wheel")) as archive:
        yield archive


@pytest.fixture(scope="module")
def metadata(wheel):
    text = wheel.read(f"stellar_maas-{VERSION}.dist-info/METADATA").decode()
    return email.parser.Parser(policy=email.policy.compat32).parsestr(text)


def files_of(folder, *names):
    return {
        str(path.relative_to(folder))
        for name in names
        for path in (folder / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_has_every_file_of_the_packages_and_no_other(wheel):
    dist_info, data = f"stellar_maas-{VERSION}.dist-info/", f"stellar_maas-{VERSION}.data/"
    ours = {name for name in wheel.namelist() if not name.startswith((dist_info, data))}
    assert ours == files_of(ROOT, *PACKAGES)
    assert f"{dist_info}licenses/LICENSE" in wheel.namelist()
    assert f"{data}data/share/jupyter/kernels/stellar/kernel.json" in wheel.namelist()


def test_the_sdist_has_what_building_testing_and_reading_need(unpacked):
    folders = (*PACKAGES, "tests", "docs", "examples", "engines", "scripts", "benchmarks", "drills", "changelog.d")
    assert files_of(unpacked, *folders) == files_of(ROOT, *folders)
    for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "RELEASING.md", "SECURITY.md", "LICENSE", "Makefile"):
        assert (unpacked / name).read_bytes() == (ROOT / name).read_bytes()
    assert {path.name for path in unpacked.iterdir()} & {"build", "dist", ".venv"} == set()


def test_the_metadata_is_complete(metadata):
    assert metadata["Name"] == "stellar-maas"
    assert metadata["Version"] == VERSION
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    classifiers = metadata.get_all("Classifier")
    for minor in range(11, 15):
        assert f"Programming Language :: Python :: 3.{minor}" in classifiers
    assert [one for one in classifiers if one.startswith("License ::")] == []  # PEP 639 excludes both together
    urls = dict(line.split(", ", 1) for line in metadata.get_all("Project-URL"))
    assert urls.keys() == {"Documentation", "Changelog", "Source", "Issues"}


def test_each_link_of_the_long_description_is_absolute_and_leads_to_a_file(metadata):
    markdown = pytest.importorskip("readme_renderer.markdown", reason="renders as the package index does")
    assert metadata["Description-Content-Type"] == "text/markdown"
    html = markdown.render(metadata.get_payload())
    assert html is not None
    assert "<table>" in html
    links = re.findall(r'(?:href|src)="([^#"][^"]*)"', html)
    source = dict(line.split(", ", 1) for line in metadata.get_all("Project-URL"))["Source"]
    of_files = [link.removeprefix(f"{source}/blob/main/") for link in links if link.startswith(source)]
    assert len(of_files) > 10
    assert [link for link in links if not link.startswith("https://")] == []
    assert [name for name in of_files if not (ROOT / name.partition("#")[0]).exists()] == []
