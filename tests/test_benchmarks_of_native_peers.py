"""The peers that are not Python: found by their sources, and measured only if their documents are equal."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("benchmarks", reason="the benchmarks are in the checkout, not in the wheel")

from benchmarks import native, pipeline
from benchmarks.measure import ElsewhereSlice, interleave

# A program in place of a peer, for what a peer cannot be made to do: it writes the documents that its mapping lists
PROGRAM = """#!{python}
import json, sys
documents = json.load(open(sys.argv[1]))
for request in sys.stdin:
    if int(request):
        print(int(request) * 1_000_000, flush=True)
    elif documents is None:
        sys.exit("error: no such mapping")
    else:
        print("".join(json.dumps(document) + "\\n" for document in documents), flush=True)
"""


@pytest.fixture
def peer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> native.NativePeer:
    """A peer with sources of its own, which is not built."""
    monkeypatch.setattr(native, "FOLDER", tmp_path / "native")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("GOCACHE", str(Path.home() / ".cache" / "go-build"))  # not in the directory above
    sources = tmp_path / "native" / "some"
    sources.mkdir(parents=True)
    (sources / "main").write_text("a program of version 1.5", encoding="utf-8")
    (sources / "mapping").write_text("[]", encoding="utf-8")
    found = native.NativePeer("Some", "some", "cc", "mapping", ("main", r"version ([\d.]+)"))
    monkeypatch.setattr(pipeline, "NATIVE_PEERS", (found,))
    return found


def install(peer: native.NativePeer, documents: Any) -> None:
    peer.program.parent.mkdir(parents=True, exist_ok=True)
    peer.program.write_text(PROGRAM.format(python=sys.executable), encoding="utf-8")
    peer.program.chmod(0o755)
    (peer.sources / "mapping").write_text(json.dumps(documents), encoding="utf-8")


def test_a_program_is_found_by_its_sources_and_not_by_its_mapping(peer: native.NativePeer) -> None:
    before = peer.program
    (peer.sources / "mapping").write_text("[1]", encoding="utf-8")
    assert peer.program == before
    (peer.sources / "main").write_text("another program", encoding="utf-8")
    assert peer.program != before
    assert peer.program.parent == before.parent


def test_the_version_of_a_peer_is_that_in_its_sources(peer: native.NativePeer) -> None:
    assert peer.find_version() == "1.5"
    with pytest.raises(native.NotBuilt, match="has no version of Some"):
        replace(peer, version=("main", "release (.*)")).find_version()


def test_a_peer_that_is_not_built_is_shown(peer: native.NativePeer) -> None:
    with pipeline.start_native_peers(pipeline.make_lines()[:2]) as (slices, missing):
        assert (slices, missing) == ({}, {"Some": "not built"})
    taken = {"by hand": 10.0, "by hand, null-aware": 10.0, "stellar": 5.0, "fails": 6.0, "unreadable": 6.0}
    text = pipeline.describe(taken, missing).text
    assert "Some                 not built\n" in text
    assert "make bench-peers" in text


def test_a_peer_with_other_documents_is_not_measured(peer: native.NativePeer) -> None:
    install(peer, [{"url": "http://example.org/"}])
    with pipeline.start_native_peers(pipeline.make_lines()[:2]) as (slices, missing):
        assert (slices, missing) == ({}, {"Some": "wrong result"})


def test_a_peer_with_equal_documents_is_measured_by_its_own_clock(peer: native.NativePeer) -> None:
    lines = pipeline.make_lines()[:2]
    documents = pipeline.collect_documents(pipeline.make_run(), lines)
    install(peer, [{**document, "guid": "another", "enrich.begin.ts": "5"} for document in documents])
    with pipeline.start_native_peers(lines) as (slices, missing):
        assert missing == {}
        assert isinstance(slices["Some"], ElsewhereSlice)
        assert interleave(slices, share=0.01) == {"Some": 1_000_000}


def test_a_program_that_ends_is_an_error(peer: native.NativePeer) -> None:
    install(peer, None)
    with (
        pytest.raises(native.PeerFailed, match="the program of Some has ended: error: no such mapping"),
        pipeline.start_native_peers(pipeline.make_lines()[:2]),
    ):
        pass


def test_a_missing_tool_is_reported(
    peer: native.NativePeer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", os.devnull)
    monkeypatch.setattr(native, "NATIVE_PEERS", (peer,))
    assert native.main() == 1
    assert "Some 1.5: not built: cc is not found; install it, or add it to PATH" in capsys.readouterr().err


def test_all_peers_have_a_version() -> None:
    for each in native.NATIVE_PEERS:
        assert re.fullmatch(r"[\d.]+", each.find_version())


@pytest.mark.parametrize("peer", native.NATIVE_PEERS, ids=lambda peer: peer.name)
def test_a_built_peer_makes_the_documents_of_the_pipeline(peer: native.NativePeer) -> None:
    if not peer.program.exists():
        pytest.skip(f"{peer.name} is not built")
    lines = pipeline.make_lines()
    with native.run(peer, lines) as program:
        documents = [pipeline.remove_own_fields(document) for document in program.documents()]
        assert program.measure(1) > 0
    assert documents == pipeline.collect_documents(pipeline.make_run(), lines)


@pytest.mark.skipif(shutil.which("go") is None, reason="go is not installed")
def test_a_program_is_built_once(peer: native.NativePeer) -> None:
    peer = replace(peer, tool="go")
    (peer.sources / "go.mod").write_text("module some\n\ngo 1.20\n", encoding="utf-8")
    (peer.sources / "main.go").write_text('package main\n\nfunc main() { println("built") }\n', encoding="utf-8")
    program = native.build(peer)
    older = program.with_name("some-0123456789abcdef")
    written = program.stat().st_mtime_ns
    assert native.build(peer).stat().st_mtime_ns == written
    older.touch()
    (peer.sources / "main.go").write_text("package main\n\nfunc main() {}\n", encoding="utf-8")
    assert native.build(peer) != program
    assert [file.name for file in program.parent.iterdir()] == [peer.program.name]  # the older ones are removed
    (peer.sources / "main.go").write_text("package main\n\nfunc main() { fly() }\n", encoding="utf-8")
    with pytest.raises(native.NotBuilt, match="go failed with status 1"):
        native.build(peer)
