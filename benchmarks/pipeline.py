"""A whole pipeline, from lines of a proxy log to JSON documents, compared with a program written by hand.

The pipeline is that of `data/pipeline`: Grok, three transformations, validation, an enrichment, and triage. The program
makes the same documents, without error documents, counts, time limits, and the choice of any other format.
"""

from __future__ import annotations

import ipaddress
import json
import random
import re
import time
import uuid
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.language import BY_HAND, GroupResult
from benchmarks.measure import interleave
from benchmarks.peers import Compile
from benchmarks.report import Finding, Limit, number, ratio, table

CONFIG = Path(__file__).parent / "data" / "pipeline"
LINES = 500
LIMIT = Limit("a line of a proxy log to a document, to Python written by hand", must=1.5, aim=1)

Lines = list[bytes]
Write = Callable[[bytes], object]


@cache
def make_lines() -> Lines:
    """Return lines of a log; each run of this function makes the same."""
    rnd = random.Random(7)
    sites = ("www.example.com", "cdn.example.co.uk", "example.org", "a.b.example.net")
    paths = ("/", "/index.html", "/search?q=weather", "/img/logo.png", "/api/v1/items?page=2&size=50")
    lines = []
    for number_of_line in range(LINES):
        host, path = rnd.choice(sites), rnd.choice(paths)
        method, url = ("CONNECT", f"{host}:443") if rnd.random() < 0.05 else ("GET", f"http://{host}{path}")
        code = rnd.choice((200, 200, 200, 200, 301, 404, 503))
        seconds = f"{1_571_163_620 + number_of_line}.{rnd.randint(0, 999):03}"
        client, peer = (f"10.{rnd.randint(0, 9)}.0.{rnd.randint(1, 250)}" for _ in range(2))
        lines.append(
            f"{seconds} {rnd.randint(1, 900):6} {client} TCP_MISS/{code} {rnd.randint(100, 90_000)} {method} {url} - "
            f"HIER_DIRECT/{peer} text/html".encode()
        )
    return lines


# -- By hand ----------------------------------------------------------------------------------------------------------

_LINE = re.compile(
    r"(\d+\.\d{3}) +(-?\d+) (\S+) ([A-Z_]+)/(\d{3}) (\d+) ([A-Z-]+) (\S+) \S+ [A-Z_]+/(\S+) \S+", re.ASCII
)
_FIELDS = ("timestamp", "elapsed", "ip_src_addr", "action", "code", "bytes", "method", "url", "ip_dst_addr")


@cache
def _remove_subdomains(host: str) -> str:
    import stellar

    return str(stellar.compile("DOMAIN_REMOVE_SUBDOMAINS(host)")({"host": host}))


def _triage(record: dict[str, Any]) -> None:
    matches = []
    if record["code"] >= 500:
        matches.append(("server error", 80, f"status {record['code']}"))
    if record["code"] == 404:
        matches.append(("not found", 10, None))
    if matches:
        score = float(max(score for _, score, _ in matches))
        record["threat.triage.score"] = score
        record["threat.triage.level"] = int(score)
    for index, (name, score, reason) in enumerate(matches):
        record[f"threat.triage.rules.{index}.name"] = name
        record[f"threat.triage.rules.{index}.comment"] = None
        record[f"threat.triage.rules.{index}.score"] = str(score)
        record[f"threat.triage.rules.{index}.reason"] = reason


def make_document(line: str) -> dict[str, Any]:
    """Return the document of a line."""
    match = _LINE.fullmatch(line)
    if match is None:
        raise ValueError(line)
    record: dict[str, Any] = dict(zip(_FIELDS, match.groups(), strict=True))
    for name in ("elapsed", "code", "bytes"):
        record[name] = int(record[name])
    record["timestamp"] = int(record["timestamp"].replace(".", ""))
    record["original_string"] = line
    record["source.type"] = "squid"
    url = f"https://{record['url']}" if record["method"] == "CONNECT" else record["url"]
    record["full_hostname"] = host = urlsplit(url).hostname or ""
    record["domain_without_subdomains"] = _remove_subdomains(host)
    is_alert = record["code"] >= 400
    if is_alert:
        record["is_alert"] = "true"
    record["guid"] = str(uuid.uuid4())
    ipaddress.ip_address(record["ip_src_addr"])
    record["size_class"] = "large" if record["bytes"] > 10000 else "small"
    now = str(time.time_ns() // 1_000_000)
    for name in ("adapter.stellaradapter.begin.ts", "adapter.stellaradapter.end.ts"):
        record[name] = now
    for name in ("splitter.begin", "splitter.end", "enrich.begin", "enrich.end"):
        record[f"parallelenricher.{name}.ts"] = now
    if is_alert:
        _triage(record)
    return record


def run_by_hand(lines: Lines, write: Write) -> None:
    """Write the document of each line."""
    for line in lines:
        document = json.dumps(make_document(line.decode()), ensure_ascii=False, separators=(",", ":"))
        write(document.encode() + b"\n")


# -- Configured -------------------------------------------------------------------------------------------------------


def make_run() -> Callable[[Lines, Write], None]:
    """Return a function that runs the configured pipeline over lines, as `stellar-pipeline run` does."""
    from stellar.java.match_timer import match_timer
    from stellar.pipeline.build import build_pipeline
    from stellar.pipeline.config.loading import load_config
    from stellar.pipeline.records import Raw, to_json_bytes
    from stellar.pipeline.run import run_pipeline

    pipeline = build_pipeline(load_config(CONFIG, "squid"))

    def run(lines: Lines, write: Write) -> None:
        def add(record: Any) -> None:
            write(to_json_bytes(record) + b"\n")

        def fail(document: object) -> None:
            raise ValueError(document)

        with match_timer():
            source = (Raw(line, "access.log", number) for number, line in enumerate(lines, 1))
            run_pipeline(pipeline, source, add, fail)

    return run


# -- Measurement ------------------------------------------------------------------------------------------------------


def pipeline(peers: dict[str, Compile | None], share: float) -> GroupResult:
    """Measure the pipeline and the program."""
    if peers["stellar"] is None:
        return GroupResult("stellar is not installed\n", [])
    lines, run = make_lines(), make_run()
    written: list[bytes] = []

    def measure(work: Callable[[Lines, Write], None]) -> Callable[[], None]:
        def run_once() -> None:
            work(lines, written.append)
            written.clear()

        return run_once

    fewest = interleave({BY_HAND: measure(run_by_hand), "stellar": measure(run)}, share)
    taken = {name: time_taken / len(lines) / 1000 for name, time_taken in fewest.items()}
    relation = taken["stellar"] / taken[BY_HAND]
    rows = [["Squid", f"{number(taken[BY_HAND])} µs", f"{number(taken['stellar'])} µs", ratio(relation)]]
    text = table("Pipeline: CPU time of a line", ["sensor", BY_HAND, "stellar", "stellar / by hand"], rows)
    return GroupResult(text, [Finding(LIMIT, relation)])
