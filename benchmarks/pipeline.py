"""A whole pipeline, from lines of a proxy log to JSON documents, compared with programs written by hand.

The pipeline is that of `data/pipeline`: Grok, three transformations, validation, an enrichment, and triage. The
programs make the same documents, without error documents, counts, time limits, and the choice of any other format. One
of them expects a value in each field, the other one accepts null, as expressions do. Mappings in VRL and Bloblang make
the same documents in programs of their own, which are in Rust and Go and measure their own CPU time.

Failing records are compared with those that do not fail, as a source of errors must not stop a pipeline.
"""

from __future__ import annotations

import ipaddress
import json
import random
import re
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks import native
from benchmarks.language import BY_HAND
from benchmarks.measure import ElsewhereSlice, Slice, interleave
from benchmarks.native import NATIVE_PEERS
from benchmarks.peers import Compile
from benchmarks.report import Finding, GroupResult, Limit, Quantity, Table, ratio

CONFIG = Path(__file__).parent / "data" / "pipeline"
LINES = 500
NULL_AWARE = f"{BY_HAND}, null-aware"
LIMIT = Limit("a line of a proxy log to a document, to Python written by hand", must=1.5, aim=1)
ORJSON_LIMIT = Limit("the same with orjson, to Python written by hand with json", must=1, aim=0.7)
NATIVE_LIMITS = {
    peer.name: Limit(f"a line of a proxy log to a document, to {peer.name}", must=1, aim=0.9) for peer in NATIVE_PEERS
}
FAILING_LIMIT = Limit("a record whose transformation fails, to one that does not", must=3, aim=2)
UNREADABLE_LIMIT = Limit("a line that the parser cannot read, to one that it can", must=3, aim=2)

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
    _add_times(record)
    if is_alert:
        _triage(record)
    return record


def _add_times(record: dict[str, Any]) -> None:
    now = str(time.time_ns() // 1_000_000)
    for name in ("adapter.stellaradapter.begin.ts", "adapter.stellaradapter.end.ts"):
        record[name] = now
    for name in ("splitter.begin", "splitter.end", "enrich.begin", "enrich.end"):
        record[f"parallelenricher.{name}.ts"] = now


def make_null_aware_document(line: str) -> dict[str, Any]:
    """Return the document of a line, in which any field may be missing."""
    match = _LINE.fullmatch(line)
    if match is None:
        raise ValueError(line)
    record: dict[str, Any] = dict(zip(_FIELDS, match.groups(), strict=True))
    for name in ("elapsed", "code", "bytes"):
        if (value := record.get(name)) is not None:
            record[name] = int(value)
    if (value := record.get("timestamp")) is not None:
        record["timestamp"] = int(value.replace(".", ""))
    record["original_string"] = line
    record["source.type"] = "squid"
    method, url, code, size = (record.get(name) for name in ("method", "url", "code", "bytes"))
    if url is not None:
        host = urlsplit(f"https://{url}" if method == "CONNECT" else url).hostname
        if host is not None:
            record["full_hostname"] = host
            if (domain := _remove_subdomains(host)) is not None:
                record["domain_without_subdomains"] = domain
    is_alert = code is not None and code >= 400
    if is_alert:
        record["is_alert"] = "true"
    if record.get("guid") in (None, ""):
        record["guid"] = str(uuid.uuid4())
    if (address := record.get("ip_src_addr")) is not None:
        ipaddress.ip_address(address)
    record["size_class"] = "large" if size is not None and size > 10000 else "small"
    record = {name: value for name, value in record.items() if value is not None and value != ""}
    _add_times(record)
    if is_alert:
        _triage(record)
    return record


def run_by_hand(make: Callable[[str], dict[str, Any]], lines: Lines, write: Write) -> None:
    """Write the document of each line."""
    for line in lines:
        document = json.dumps(make(line.decode()), ensure_ascii=False, separators=(",", ":"))
        write(document.encode() + b"\n")


# -- Configured -------------------------------------------------------------------------------------------------------

Encode = Callable[[dict[str, Any]], bytes]
_FAILING = {"transformation": "STELLAR", "output": ["rate"], "config": {"rate": "bytes / (elapsed - elapsed)"}}


def make_run(encode: Encode | None = None, *, fails: bool = False) -> Callable[[Lines, Write], None]:
    """Return a function that runs the configured pipeline over lines, as `stellar-pipeline run` does.

    encode: returns the JSON of a document; by default the standard encoder
    fails: True for a pipeline with one more transformation, which fails
    """
    from stellar.java.match_timer import match_timer
    from stellar.pipeline.build import build_pipeline
    from stellar.pipeline.config.loading import load_config, parse_parser
    from stellar.pipeline.connectors.lines import LineBatch
    from stellar.pipeline.records import to_json_bytes
    from stellar.pipeline.run import Counts, run_batches

    config = load_config(CONFIG, "squid")
    if fails:
        parser = json.loads((CONFIG / "parsers" / "squid.json").read_text(encoding="utf-8"))
        parser["fieldTransformations"].append(_FAILING)
        config = replace(config, parser=parse_parser(json.dumps(parser), config.parser_location))
    pipeline, to_bytes = build_pipeline(config), encode or to_json_bytes

    def run(lines: Lines, write: Write) -> None:
        def add(record: Any) -> None:
            write(to_bytes(record) + b"\n")

        with match_timer():
            run_batches(pipeline, [LineBatch("access.log", lines=lines)], add, add, Counts())

    return run


# -- Measurement ------------------------------------------------------------------------------------------------------


def pipeline(peers: dict[str, Compile | None], share: float) -> GroupResult:
    """Measure the pipeline and the programs."""
    if peers["stellar"] is None:
        return GroupResult(["stellar is not installed\n"], [])
    lines = make_lines()
    unreadable = [b"-" + line.replace(b"/", b" ", 1) for line in lines]
    written: list[bytes] = []

    def measure(work: Callable[[Lines, Write], None], lines: Lines = lines) -> Callable[[], None]:
        def run_once() -> None:
            work(lines, written.append)
            written.clear()

        return run_once

    run = make_run()
    works: dict[str, Slice] = {
        BY_HAND: measure(partial(run_by_hand, make_document)),
        NULL_AWARE: measure(partial(run_by_hand, make_null_aware_document)),
        "stellar": measure(run),
        "fails": measure(make_run(fails=True)),
        "unreadable": measure(run, unreadable),
    }
    if (encode := _find_orjson()) is not None:
        works["stellar, orjson"] = measure(make_run(encode))
    with start_native_peers(lines) as (slices, missing):
        works |= slices
        taken = {name: fewest / len(lines) / 1000 for name, fewest in interleave(works, share).items()}
    return describe(taken, missing)


@contextmanager
def start_native_peers(lines: Lines) -> Iterator[tuple[dict[str, Slice], dict[str, str]]]:
    """Start the programs of the native peers; yield their slices, and for the others what is shown instead.

    Raises PeerFailed if a program has ended.
    """
    slices: dict[str, Slice] = {}
    missing: dict[str, str] = {}
    expected = collect_documents(make_run(), lines)
    with ExitStack() as stack:
        for peer in NATIVE_PEERS:
            try:
                program = stack.enter_context(native.run(peer, lines))
                documents = [remove_own_fields(document) for document in program.documents()]
            except native.NotBuilt:
                missing[peer.name] = "not built"
                continue
            if documents == expected:
                slices[peer.name] = ElsewhereSlice(program.measure)
            else:
                missing[peer.name] = "wrong result"
        yield slices, missing


def collect_documents(work: Callable[[Lines, Write], None], lines: Lines) -> list[dict[str, Any]]:
    """Return the documents of lines, without what differs in each run."""
    written: list[bytes] = []
    work(lines, written.append)
    return [remove_own_fields(json.loads(document)) for document in written]


def remove_own_fields(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document without its identifier and times."""
    return {name: value for name, value in document.items() if name != "guid" and not name.endswith(".ts")}


def _find_orjson() -> Encode | None:
    from stellar.pipeline.encoding import encode_document
    from stellar.pipeline.records import to_json_bytes

    return None if encode_document is to_json_bytes else encode_document


def describe(taken: dict[str, float], missing: dict[str, str]) -> GroupResult:
    """Return the tables and figures of the times of a line, in microseconds."""

    def compare(name: str, other: str) -> list[str]:
        return [Quantity(taken[name], "µs"), ratio(taken[name] / taken[other])]

    natives = [peer.name for peer in NATIVE_PEERS]
    programs = [name for name in (BY_HAND, NULL_AWARE, "stellar", "stellar, orjson", *natives) if name in taken]
    rows = [[name, *compare(name, BY_HAND), compare(name, NULL_AWARE)[1]] for name in programs]
    table = Table("Pipeline: CPU time of a Squid line", ["program", "line", f"/ {BY_HAND}", f"/ {NULL_AWARE}"], rows)
    rows += [[name, reason, "", ""] for name, reason in missing.items()]
    failing = [
        ["transformation fails", *compare("fails", "stellar")],
        ["line cannot be read", *compare("unreadable", "stellar")],
    ]
    failures = Table("Pipeline: CPU time of a failure", ["record", "line", "/ usual one"], failing)
    figures = [
        Finding(LIMIT, taken["stellar"] / taken[BY_HAND]),
        Finding(FAILING_LIMIT, taken["fails"] / taken["stellar"]),
        Finding(UNREADABLE_LIMIT, taken["unreadable"] / taken["stellar"]),
    ]
    if "stellar, orjson" in taken:
        figures.append(Finding(ORJSON_LIMIT, taken["stellar, orjson"] / taken[BY_HAND]))
    figures += [Finding(NATIVE_LIMITS[name], taken["stellar"] / taken[name]) for name in natives if name in taken]
    notes = ["Run `make bench-peers` to build the others.\n"] if "not built" in missing.values() else []
    return GroupResult([table, *notes, failures], figures)
