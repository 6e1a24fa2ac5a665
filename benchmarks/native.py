"""Peers that are not Python: `python -m benchmarks.native` builds them, as `make bench-peers` does.

VRL         the language of Vector, as a program in Rust
Bloblang    the language of Redpanda Connect, as a program in Go

Each is a program in `benchmarks/native`, which runs a mapping over the lines of a file, and measures its own CPU time.
It is built once, and found by the hash of its sources in `$XDG_CACHE_HOME/stellar-benchmarks`, also from other work
trees.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

FOLDER = Path(__file__).parent / "native"


class NotBuilt(Exception):
    """A peer is not built, or cannot be; the message has the reason."""


class PeerFailed(Exception):
    """The program of a peer has ended, as it rejects its mapping or a line; the message has what it wrote."""


@dataclass(frozen=True)
class NativePeer:
    """A peer that is built from sources.

    folder: the directory of the sources in `benchmarks/native`
    tool: the command that builds it
    mapping: the file with the mapping, which the program reads
    version: a pattern for the version of the language, in a file of the sources
    """

    name: str
    folder: str
    tool: str
    mapping: str
    version: tuple[str, str]

    @property
    def sources(self) -> Path:
        return FOLDER / self.folder

    @property
    def program(self) -> Path:
        """The built program; its name contains the hash of its sources."""
        digest = hashlib.sha256()
        for file in sorted(file for file in self.sources.rglob("*") if file.is_file() and file.name != self.mapping):
            content = file.read_bytes()
            digest.update(f"{file.relative_to(self.sources)} {len(content)}\n".encode() + content)
        return find_cache() / f"{self.folder}-{digest.hexdigest()[:16]}"

    def find_version(self) -> str:
        """Return the version of the language."""
        file, pattern = self.version
        match = re.search(pattern, (self.sources / file).read_text(encoding="utf-8"))
        if match is None:
            raise NotBuilt(f"{self.sources / file} has no version of {self.name}")
        return match[1]


NATIVE_PEERS = (
    NativePeer("VRL crate", "vrl", "cargo", "squid.vrl", ("Cargo.toml", r'vrl = \{ version = "=([\d.]+)"')),
    NativePeer("Bloblang", "bloblang", "go", "squid.blobl", ("go.mod", r"redpanda-data/benthos/v4 v([\d.]+)")),
)


def find_cache() -> Path:
    """Return the directory of the built programs, which may not exist."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stellar-benchmarks"


def build(peer: NativePeer) -> Path:
    """Build a peer, if there is no program of its present sources, and return the program.

    Raises NotBuilt if the tool is missing or fails.
    """
    program = peer.program
    if program.exists():
        return program
    if shutil.which(peer.tool) is None:
        raise NotBuilt(f"{peer.tool} is not found; install it, or add it to PATH")
    program.parent.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(_list_command(peer, program), cwd=peer.sources, check=False)
    if done.returncode != 0:
        raise NotBuilt(f"{peer.tool} failed with status {done.returncode}")
    if peer.tool == "cargo":
        shutil.copy2(_find_target(peer) / "release" / f"benchmark-{peer.folder}", program)
    for older in program.parent.glob(f"{peer.folder}-????????????????"):
        if older != program:
            older.unlink()
    return program


def _list_command(peer: NativePeer, program: Path) -> list[str]:
    if peer.tool == "cargo":
        return ["cargo", "build", "--release", "--locked", "--target-dir", str(_find_target(peer))]
    return ["go", "build", "-trimpath", "-mod=readonly", "-o", str(program), "."]


def _find_target(peer: NativePeer) -> Path:
    """Return the directory of compiled dependencies, which are used again when the sources change."""
    return find_cache() / f"{peer.folder}-target"


class Running:
    """A running program of a peer, with the mapping and the lines that it has read."""

    def __init__(self, peer: NativePeer, process: subprocess.Popen[str]) -> None:
        self._peer = peer
        self._process = process

    def documents(self) -> list[dict[str, Any]]:
        """Return the document of each line."""
        found = []
        line = self._request(0)
        while line != "\n":
            found.append(json.loads(line))
            line = self._read()
        return found

    def measure(self, passes: int) -> int:
        """Run the loop over all lines several times, and return its CPU time in nanoseconds."""
        return int(self._request(passes))

    def _request(self, passes: int) -> str:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # the reason is on its standard error, which _read reports
            self._process.stdin.write(f"{passes}\n")
            self._process.stdin.flush()
        return self._read()

    def _read(self) -> str:
        assert self._process.stdout is not None
        if not (line := self._process.stdout.readline()):
            _, message = self._process.communicate()
            raise PeerFailed(f"the program of {self._peer.name} has ended: {message.strip()}")
        return line


@contextmanager
def run(peer: NativePeer, lines: Sequence[bytes]) -> Iterator[Running]:
    """Start the program of a peer on lines.

    Raises NotBuilt if it is not built. What it then yields raises PeerFailed if the program has ended.
    """
    if not (program := peer.program).exists():
        raise NotBuilt(f"{peer.name} is not built; run `make bench-peers`")
    with TemporaryDirectory() as directory:
        file = Path(directory) / "lines"
        file.write_bytes(b"".join(line + b"\n" for line in lines))
        command = [str(program), str(peer.sources / peer.mapping), str(file)]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, encoding="utf-8") as process:
            try:
                yield Running(peer, process)
            finally:
                process.kill()


def main() -> int:
    """Build all peers, and return 1 if one of them cannot be built."""
    failed = False
    for peer in NATIVE_PEERS:
        try:
            print(f"{peer.name} {peer.find_version()}: {build(peer)}", flush=True)
        except NotBuilt as error:
            failed = True
            print(f"{peer.name} {peer.find_version()}: not built: {error}", file=sys.stderr)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
