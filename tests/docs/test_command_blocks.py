"""The commands in the documentation print what the pages show.

A block marked `console` is executed: `$ ` begins a command, `> ` continues it, and the lines below it are its output. A
line `…` matches any number of lines. All blocks of a page run in one shell, in their order. A block marked `sh` needs a
cluster, root or the network: only the options of its commands are checked.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from maas_runtime.cli import main as maas_command
from maas_runtime.deployers.yarn.rest import YarnServices
from stellar.pipeline.cli import PROGRAM

if TYPE_CHECKING:
    from engines.hadoop.hdfs import Hdfs
    from engines.hadoop.yarn import Yarn

ROOT = Path(__file__).parents[2]
MODELS = sorted(f"docs/models/{file.name}" for file in (ROOT / "docs/models").glob("*.md"))
PAGES = [
    "README.md",
    "docs/getting-started.md",
    "docs/feed-to-alert.md",
    "docs/pipeline.md",
    "docs/testing.md",
    "docs/use-cases.md",
    "docs/pipeline-files.md",
    "docs/zookeeper.md",
    "docs/kafka.md",
    "docs/search.md",
    "docs/alerts.md",
    "docs/enrichments.md",
    "docs/profiles.md",
    "docs/columns.md",
    "docs/ffsn.md",
    "docs/lints.md",
    "docs/tagged-json.md",
    *MODELS,
]
READER = "/home/me"  # the home of the pages' reader
QUORUM = "node1:2181,node2:2181,node3:2181"
INSTALLERS = {"apt-get", "cd", "export", "make", "mkdir", "openssl", "pip", "python3"}

# What differs from run to run, and its replacement
VARYING = {
    r"(?<=127\.0\.0\.1:)\d+": "PORT",
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}": "GUID",
    r'(?<=\.ts": ")\d{13}': "NOW",
    r'(?<="timestamp":)\d{13}(?=,"guid")': "NOW",
    r"(?<=failed/)[0-9a-f]{12,}": "INSTANCE",
    r"(?<= in )\d+\.\d(?= s\b)": "SECONDS",
}


def await_status(where: str, pattern: str) -> str:
    """Return shell commands that wait, for a minute at most, until `maas status` shows a line.

    `grep -q` would end before `maas`, which would then report a broken pipe.
    """
    return f"for _ in {{1..600}}; do maas status {where} 2>&1 | grep '{pattern}' >/dev/null && break; sleep 0.1; done"


# In two seconds a killed instance has been replaced; on a busy machine it may take longer
UNTIL_SETTLED = await_status("--registry registry", "^dga @ 1.0 *2 *2 *1")

needs_scikit_learn = pytest.mark.skipif(
    importlib.util.find_spec("sklearn") is None, reason="scikit-learn is not installed; it is in the extra `demo`"
)


class Step(NamedTuple):
    """A command of a page, and the output that the page shows."""

    command: str
    output: str


def read_blocks(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def read_steps(page: str) -> list[Step]:
    found: list[list[str]] = []
    for block in read_blocks(page, "console"):
        for line in block.splitlines(keepends=True):
            if line.startswith("$ "):
                found.append([line[2:], ""])
            elif line.startswith("> "):
                found[-1][0] += line[2:]
            else:
                found[-1][1] += line
    return [Step(*step) for step in found]


def write_script(commands: list[str]) -> Iterator[str]:
    """Yield a shell script that prints a zero byte before the output of each command."""
    yield f"SQUID={ROOT}/examples/squid\ntrap 'kill $(jobs -p) 2>/dev/null; wait' EXIT\n"
    for command in commands:
        yield f"printf '\\0'\n{command.replace('sleep 2', UNTIL_SETTLED)}"
        if command.startswith("maas serve ") and command.endswith(
            "&\n"
        ):  # the next command comes sooner than a reader's
            where = " ".join(re.findall(r"(?:--registry|-zq) \S+", command))
            yield f"{await_status(where, 'service: running')}\n"


def run_commands(commands: list[str], home: Path, folder: Path, seconds: float = 300.0) -> list[str]:
    """Type the commands into one shell; return the output of each."""
    paths = (str(Path(sys.executable).parent), sysconfig.get_path("scripts"), os.environ["PATH"])
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAAS_")}
    own = {"HOME": str(home), "PATH": os.pathsep.join(paths), "LC_ALL": "C.UTF-8", "PYTHON": sys.executable}
    typed = subprocess.run(
        ["bash"],
        input="".join(write_script(commands)),
        cwd=folder,
        env={**environment, **own, "PYTHONPATH": os.environ.get("PYTHONPATH", "")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
        check=False,
    )
    return typed.stdout.split("\0")[1:]


def normalize(text: str, home: Path) -> str:
    text = text.replace(str(home), READER)
    for pattern, name in VARYING.items():
        text = re.sub(pattern, name, text, flags=re.MULTILINE)
    return text.rstrip()


def assert_shown(steps: list[Step], printed: list[str], home: Path) -> None:
    for step, output in zip(steps, printed, strict=True):
        shown, actual = normalize(step.output, home), normalize(output, home)
        if "…" in shown.splitlines():
            pattern = "".join("(.*\n)*?" if line == "…" else re.escape(line) + "\n" for line in shown.splitlines())
            assert re.fullmatch(pattern, f"{actual}\n"), f"$ {step.command}{actual}"
        else:
            assert actual == shown, f"$ {step.command}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The reader's working directory, with the examples of the checkout."""
    folder = tmp_path / "walkthrough"
    folder.mkdir()
    (folder / "examples").symlink_to(ROOT / "examples")
    return folder


def write_models(folder: Path) -> None:
    """Write the model of the page on models, as two versions."""
    (model,) = read_blocks("docs/models/index.md", "python")
    for name in ("dga", "dga2"):
        (folder / name).mkdir()
        (folder / name / "dga.py").write_text(model)
        (folder / name / "dga.sh").write_text(f"exec {sys.executable} dga.py\n")


def write_log(folder: Path) -> None:
    program = ROOT / "examples/squid/make_log.py"
    subprocess.run([sys.executable, program, "--output", "access.log"], cwd=folder, check=True)


ENGINE_PAGES = {
    "docs/models/operate.md", "docs/models/yarn.md", "docs/zookeeper.md", "docs/kafka.md", "docs/search.md",
}  # fmt: skip
EXECUTED = [page for page in PAGES if page not in ENGINE_PAGES and read_steps(page)]


def assert_page(page: str, folder: Path, replacements: Mapping[str, str]) -> None:
    """Run the commands of a page with its host names replaced by those of this machine."""
    steps = read_steps(page)
    commands = [replace_all(step.command, replacements) for step in steps]
    printed = run_commands(commands, folder.parent, folder)
    originals = {actual: name for name, actual in replacements.items()}
    assert_shown(steps, [replace_all(output, originals) for output in printed], folder.parent)


def replace_all(text: str, replacements: Mapping[str, str]) -> str:
    for old, new in replacements.items():
        text = text.replace(old, new)
    return text


@needs_scikit_learn
@pytest.mark.parametrize("page", EXECUTED)
def test_each_command_prints_what_the_page_shows(page: str, folder: Path) -> None:
    if page in MODELS:
        write_models(folder)
    assert_page(page, folder, {})


@pytest.mark.engine
def test_each_command_with_zookeeper_and_hdfs_prints_what_the_page_shows(folder: Path, quorum: str, hdfs: Hdfs) -> None:
    write_models(folder)
    write_log(folder)
    replacements = {
        QUORUM: quorum,
        "node1:2181": quorum,
        "hdfs://node1:8020": hdfs.url.replace("http", "webhdfs"),
        "node7": "127.0.0.1",
    }
    assert_page("docs/models/operate.md", folder, replacements)


@pytest.mark.engine
def test_each_command_with_zookeeper_prints_what_the_page_shows(folder: Path, quorum: str) -> None:
    assert_page("docs/zookeeper.md", folder, {"node1:2181": quorum})


@pytest.mark.engine
def test_each_command_with_kafka_prints_what_the_page_shows(folder: Path, engines: None) -> None:
    from engines.kafka.server import Kafka

    with Kafka() as kafka:  # whose topics are those of the page only
        assert_page("docs/kafka.md", folder, {"node1:9092": kafka.hosts})


@pytest.mark.engine
def test_each_command_with_opensearch_prints_what_the_page_shows(folder: Path, engines: None) -> None:
    from engines.opensearch.server import OpenSearch

    with OpenSearch() as opensearch:  # whose indices are those of the page only
        assert_page("docs/search.md", folder, {"http://node1:9200": opensearch.url})


@pytest.mark.engine
def test_each_command_with_yarn_prints_what_the_page_shows(folder: Path, quorum: str, yarn: Yarn) -> None:
    write_models(folder)
    replacements = {
        "node1:2181": quorum,
        "http://node1:8088": yarn.url,
        "/etc/hadoop/conf": str(yarn.conf),
        "-q models": f"-q default --yarn-python {sys.executable}",
    }
    with YarnServices([yarn.url]) as services:
        try:
            assert_page("docs/models/yarn.md", folder, replacements)
        finally:
            for name in yarn.services():
                services.delete(name)


def read_unexecuted_commands() -> list[str]:
    return [line for page in PAGES for block in read_blocks(page, "sh") for line in block.splitlines() if line]


@pytest.mark.parametrize("line", read_unexecuted_commands())
def test_a_command_that_needs_a_cluster_has_valid_options(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program, *arguments = shlex.split(line, comments=True)
    if program in INSTALLERS:
        return
    if program == "stellar-pipeline":
        monkeypatch.chdir(ROOT / "examples/bad_hosts")
        PROGRAM.make_parser(arguments).parse_args(arguments)  # an invalid option ends the program
        return
    assert program == "maas"
    monkeypatch.setattr(maas_command, "run_command", lambda name, given: 0)
    assert maas_command.main(arguments) == 0


@pytest.mark.parametrize("page", PAGES)
def test_every_block_of_commands_is_marked(page: str) -> None:
    text = re.sub(r"^```.*?^```$", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    assert not re.findall(r"^    (?:\$ |maas|stellar|pip|make|python).*", text, re.MULTILINE)
