"""Start-up time: imports, and each command as a whole process."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.measure import ROOT, Process, process, script
from benchmarks.peers import PEERS, Compile
from benchmarks.report import Finding, GroupResult, Limit, Quantity, Table

IMPORT = Limit("import stellar", must=100, aim=60, unit="ms")
COMMAND = Limit("stellar eval -e 1, the whole process", must=250, aim=150, unit="ms")
RUN = Limit("stellar-pipeline run of one line, the whole process", must=200, aim=150, unit="ms")

BARE = "python -c pass"
FIRST = "import stellar; stellar.compile('1')({})"
EVAL = "stellar eval -e 1"
RUN_ONE = "stellar-pipeline run, one line"
# Processes with this mark in their name have no cache
COLD = " (no cache)"

LINE = (
    "1467011157.401 415 127.0.0.1 TCP_MISS/200 337891 GET http://www.aliexpress.com/ - DIRECT/207.109.73.154 text/html"
)
PARSER = {
    "parserClassName": "Grok",
    "parserConfig": {
        "grokPath": str(ROOT / "examples/squid/config/patterns/squid"),
        "patternLabel": "SQUID_STRICT",
        "timestampField": "timestamp",
    },
    "fieldTransformations": [
        {
            "transformation": "STELLAR",
            "output": ["full_hostname", "domain_without_subdomains", "is_alert"],
            "config": {
                "full_hostname": "URL_TO_HOST(if method == 'CONNECT' then JOIN(['https://', url], '') else url)",
                "domain_without_subdomains": "DOMAIN_REMOVE_SUBDOMAINS(full_hostname)",
                "is_alert": "if domain_without_subdomains in ['example.com', 'example.org'] then 'true' else null",
            },
        }
    ],
}
TRIAGE = {"riskLevelRules": [{"name": "large", "rule": "bytes > 100000000", "score": 10}]}
PROFILES = {
    "timestampField": "timestamp",
    "profiles": [{"profile": "bytes", "foreach": "ip_src_addr", "update": {"n": "n + 1"}, "result": "n"}],
}
EXTRACTOR = {"config": {"columns": {"domain": 0}, "indicator_column": "domain", "type": "hosts"}, "extractor": "CSV"}


def startup(peers: dict[str, Compile | None], rounds: int) -> GroupResult:
    """Measure processes that only import, commands with little to do, `--help` of each, and a bare Python."""
    commands = {BARE: ["-c", "pass"]}
    helps = list_helps() if peers["stellar"] else {}
    commands |= {f"import {peer.module}": ["-c", f"import {peer.module}"] for peer in PEERS if peers[peer.name]}
    with TemporaryDirectory() as directory:
        if peers["stellar"]:
            commands |= {FIRST: ["-c", FIRST], **_list_commands(Path(directory))}
        fewest = _fewest(commands | helps, rounds)
    table = _make_table("Start-up: whole processes", commands, fewest)
    if EVAL not in fewest:
        return GroupResult([table], [])
    imported = fewest["import stellar"].cpu - fewest[BARE].cpu
    figures = [Finding(IMPORT, imported), Finding(COMMAND, fewest[EVAL].cpu), Finding(RUN, fewest[RUN_ONE].cpu)]
    return GroupResult([table, _make_table("Start-up: --help of each command", helps, fewest)], figures)


def list_helps() -> dict[str, list[str]]:
    """Return the command lines of `--help` of all installed commands."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found = {}
    for name, target in project["project"]["scripts"].items():
        module, _, function = target.partition(":")
        found[f"{name} --help"] = script(module, "--help", function=function)
    return found


def _make_table(title: str, names: Iterable[str], fewest: dict[str, Process]) -> Table:
    rows = [
        [
            name,
            Quantity(fewest[name].cpu, "ms"),
            Quantity(fewest[name].wall, "ms"),
            _beyond(fewest[name].cpu, fewest[BARE].cpu),
        ]
        for name in names
    ]
    return Table(title, ["", "CPU", "wall clock", "CPU beyond a bare Python"], rows)


def _list_commands(directory: Path) -> dict[str, list[str]]:
    """Write what the commands read into a directory, and return their command lines, as the installed scripts run."""
    config = directory / "config"
    for name, content in (
        ("config/parsers/squid", PARSER),
        ("config/enrichments/squid", {"threatIntel": {"triageConfig": TRIAGE}}),
        ("profiles/profiler", PROFILES),
        ("extractor", EXTRACTOR),
    ):
        file = directory / f"{name}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content))
    for name, line in (("log", LINE), ("hosts", "example.com"), ("messages", '{"ip_src_addr": "a", "timestamp": 1}')):
        (directory / name).write_text(f"{line}\n")
    (directory / "registry").mkdir()
    log, of_config = str(directory / "log"), ["--config", str(config)]
    run = script("stellar.pipeline.cli", "run", "--sensor", "squid", log, *of_config, "--quiet")
    check = ("check", "--sensor", "squid", *of_config)
    to_store = ("--store", f"sqlite:{directory / 'store.db'}", "--quiet")
    profiles = ("run", str(directory / "messages"), "--config", str(directory / "profiles"), *to_store)
    extractor = str(directory / "extractor.json")
    load = ("load", "-t", "enrichment", "-e", extractor, str(directory / "hosts"), *to_store)
    return {
        EVAL: script("stellar.cli", "eval", "-e", "1"),
        "stellar check -e 1": script("stellar.cli", "check", "-e", "1"),
        "stellar fmt -e 1": script("stellar.cli", "fmt", "-e", "1"),
        "stellar -e 1, the shell": script("stellar.cli", "-e", "1"),
        RUN_ONE: run,
        RUN_ONE + COLD: run,
        "stellar-pipeline check, one sensor": script("stellar.pipeline.cli", *check),
        "stellar-profiler run, one message": script("stellar.pipeline.profiler.cli", *profiles),
        "stellar-enrichment load, one row": script("stellar.pipeline.loaders.cli", *load),
        "maas status": script("maas_runtime.cli.main", "status", "--registry", str(directory / "registry")),
    }


def _fewest(commands: dict[str, list[str]], rounds: int) -> dict[str, Process]:
    """Return the minimum time of each process, in interleaved runs."""
    fewest: dict[str, Process] = {}
    with TemporaryDirectory() as bytecode, TemporaryDirectory() as cache:
        for _ in range(rounds):
            for name, arguments in commands.items():
                taken, _ = process(arguments, bytecode, None if name.endswith(COLD) else cache)
                so_far = fewest.get(name, taken)
                fewest[name] = Process(min(taken.cpu, so_far.cpu), min(taken.wall, so_far.wall))
    return fewest


def _beyond(cpu: float, bare: float) -> str:
    return "" if cpu == bare else Quantity(cpu - bare, "ms")
