"""Reading of files: globs, compression by content, limits, and files that are damaged or cannot be read."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import sys
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellar.pipeline import Raw, read_lines
from stellar.pipeline.connectors.compression import open_content
from stellar.pipeline.connectors.lines import LineBatch, LinePosition, LineReader
from stellar.pipeline.connectors.sources import check_distinct, expand_names, read_batches, total_size

zstd = pytest.importorskip("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")

PACK: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstd.compress,
}
SKIPPABLE_FRAME = b"\x5a\x2a\x4d\x18\x03\x00\x00\x00abc"


def write(path: Path, content: bytes) -> str:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return str(path)


def contents(*names: str) -> list[bytes]:
    raws = list(read_lines(names))
    assert [raw.error for raw in raws] == [None] * len(raws)
    return [raw.content for raw in raws]


def failures(batches: Iterable[LineBatch]) -> list[str]:
    return [str(batch.failure) for batch in batches if batch.failure is not None]


def test_a_line_is_a_message_with_all_fields(tmp_path: Path) -> None:
    name = write(tmp_path / "a", b"x\ny\n")
    assert list(read_lines([name], "topic")) == [
        Raw(b"x", name, 1, topic="topic"),
        Raw(b"y", name, 2, topic="topic"),
    ]


@pytest.mark.parametrize("form", PACK)
@pytest.mark.parametrize("name", ["x.log", "x.log.{}"])
def test_compressed_content_is_read_whatever_the_name(form: str, name: str, tmp_path: Path) -> None:
    assert contents(write(tmp_path / name.format(form), PACK[form](b"one\ntwo\n"))) == [b"one", b"two"]


@pytest.mark.parametrize("form", PACK)
def test_several_members_in_one_file_are_read(form: str, tmp_path: Path) -> None:
    content = PACK[form](b"one\nt") + PACK[form](b"") + PACK[form](b"wo\n")
    assert contents(write(tmp_path / "x", content)) == [b"one", b"two"]


def test_padding_after_gzip_and_skippable_frames_of_zstandard_are_ignored(tmp_path: Path) -> None:
    padded = gzip.compress(b"one\n") + bytes(100_000) + gzip.compress(b"two\n") + bytes(9)
    assert contents(write(tmp_path / "x", padded)) == [b"one", b"two"]
    framed = SKIPPABLE_FRAME + zstd.compress(b"one\n") + SKIPPABLE_FRAME
    assert contents(write(tmp_path / "y", framed)) == [b"one"]


@pytest.mark.parametrize("form", PACK)
@pytest.mark.parametrize("cut", [1, 5, 9])
def test_a_truncated_file_is_an_error_after_its_lines(form: str, cut: int, tmp_path: Path) -> None:
    packed = write(tmp_path / "x", PACK[form](b"".join(b"%d\n" % number for number in range(100_000)))[:-cut])
    *before, last, after = read_lines([packed, write(tmp_path / "y", b"next\n")])
    assert [raw.content for raw in before] == [b"%d" % number for number in range(len(before))]
    assert last.line == len(before) + 1
    assert f"cannot read {packed} after line {len(before)}: damaged .{form} data: it ends before" in str(last.error)
    assert after.content == b"next"


@pytest.mark.parametrize("form", PACK)
def test_other_data_after_compressed_data_is_an_error(form: str, tmp_path: Path) -> None:
    line, error = read_lines([write(tmp_path / "x", PACK[form](b"one\n") + b"garbage" * 9)])
    assert line.content == b"one"
    assert "unexpected data after the end of its compressed data" in str(error.error)


def test_a_line_that_looks_like_the_start_of_a_compressed_file_is_a_line(tmp_path: Path) -> None:
    assert contents(write(tmp_path / "x", b"BZh9 is a start\n")) == [b"BZh9 is a start"]
    assert contents(write(tmp_path / "x", b"BZh9")) == [b"BZh9"]
    assert contents(write(tmp_path / "x", b"\x1f")) == [b"\x1f"]


@pytest.mark.parametrize("form", PACK)
def test_a_small_file_with_a_huge_line_is_bounded(form: str, tmp_path: Path) -> None:
    class Counting:
        """A stream that records the largest read."""

        def __init__(self, stream: Any) -> None:
            self.stream, self.largest = stream, 0

        def read(self, size: int) -> bytes:
            content: bytes = self.stream.read(size)
            self.largest = max(self.largest, len(content))
            return content

    path = write(tmp_path / "x", PACK[form](b"a\n" + bytes(30_000_000) + b"\nb\n"))
    with open(path, "rb") as file:
        content, _ = open_content(file)
        counting = Counting(content)
        batches = list(LineReader(counting, "x", most=1000).read())
    assert counting.largest <= 64 * 1024
    assert [line for batch in batches for line in batch.lines] == [b"a", b"b"]
    (failed,) = [batch for batch in batches if batch.failure is not None]
    assert failed.first == 2
    assert len(failed.failed) <= 1024
    assert str(failed.failure).startswith("line is longer than 1,000 bytes")
    assert batches[-1].position is not None
    assert (batches[-1].position.offset, batches[-1].position.line) == (30_000_005, 3)


def test_a_file_named_as_compressed_that_is_not_is_an_error(tmp_path: Path) -> None:
    (raw,) = read_lines([write(tmp_path / "x.bz2", b"not packed\n")])
    assert "expected compressed data by the name, got other data; rename it without .bz2" in str(raw.error)
    assert contents(write(tmp_path / "y.bz2", b"")) == []


def test_a_missing_package_is_reported_with_its_installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "x", zstd.compress(b"one\n"))
    monkeypatch.setitem(sys.modules, "backports.zstd", None)
    monkeypatch.setitem(sys.modules, "compression.zstd", None)
    (raw,) = read_lines([path])
    assert "run pip install 'stellar-maas[zstd]'" in str(raw.error)


def test_a_file_that_vanishes_is_an_error_and_the_next_one_is_read(tmp_path: Path) -> None:
    error, line = read_lines([str(tmp_path / "gone"), write(tmp_path / "x", b"one\n")])
    assert str(error.error).endswith("gone after line 0: No such file or directory; the rest of the file is skipped")
    assert line.content == b"one"


@pytest.mark.skipif(os.getuid() == 0, reason="root reads any file")
def test_a_file_without_rights_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path / "x", b"one\n")
    Path(path).chmod(0)
    (error,) = read_lines([path])
    assert "Permission denied" in str(error.error)


def test_line_ends_and_the_byte_order_mark_are_removed(tmp_path: Path) -> None:
    path = write(tmp_path / "x", b"\xef\xbb\xbfone\r\n\r\n\xef\xbb\xbftwo\n\nlast")
    assert contents(path) == [b"one", b"", b"\xef\xbb\xbftwo", b"", b"last"]


class Pieces:
    """A stream that returns given pieces, and is then at its end for now."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)

    def read(self, size: int) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""


@given(st.binary(max_size=60).map(lambda text: text.replace(b"a", b"\n")), st.lists(st.integers(0, 60)), st.booleans())
def test_pieces_of_a_file_give_the_lines_of_the_whole(text: bytes, cuts: list[int], follows: bool) -> None:
    bounds = [0, *sorted(cuts), len(text)]
    pieces = [text[start:end] for start, end in pairwise(bounds)]
    stream = Pieces()
    reader = LineReader(stream, "x")
    batches: list[LineBatch] = []
    for piece in filter(None, pieces):
        stream.pieces.append(piece)
        if follows:
            batches += reader.read()
    batches += [*reader.read(), *reader.finish()]
    lines = text.split(b"\n")
    if not lines[-1]:
        lines.pop()
    if lines:
        lines[0] = lines[0].removeprefix(b"\xef\xbb\xbf")
    assert [line for batch in batches for line in batch.lines] == [line.rstrip(b"\r") for line in lines]
    assert reader.position == LinePosition().advance(text, len(lines))
    assert sum(batch.size for batch in batches) == len(text)


@given(
    st.lists(st.integers(0, 40), max_size=8),
    st.integers(1, 30),
    st.lists(st.integers(0, 300), max_size=4),
    st.booleans(),
)
def test_lines_over_the_limit_are_errors_with_their_numbers(
    lengths: list[int], most: int, cuts: list[int], ends: bool
) -> None:
    text = b"\n".join(b"x" * length for length in lengths) + b"\n" * ends
    bounds = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[start:end] for start, end in pairwise(bounds) if start < end]
    reader = LineReader(Pieces(*pieces), "x", most=most)
    seen = {
        number: raw.error is None
        for batch in [*reader.read(), *reader.finish()]
        for number, raw in ((raw.line, raw) for raw in batch.messages())
    }
    lines = text.split(b"\n")
    if not lines[-1]:
        lines.pop()
    assert seen == {number: len(line) <= most for number, line in enumerate(lines, 1)}
    assert (reader.position.offset, reader.position.tail) == (len(text), text[-64:])


def test_the_rest_of_a_line_that_was_processed_is_an_error_unless_it_is_only_the_end() -> None:
    whole = LineReader(Pieces(b"one\ntw"), "x")
    assert [batch.lines for batch in [*whole.read(), *whole.finish()]] == [[b"one"], [b"tw"]]
    resumed = LineReader(Pieces(b"o\nthree\n"), "x", whole.position)
    failed, rest = resumed.read()
    assert (failed.first, failed.failed, rest.first, rest.lines) == (2, b"o", 3, [b"three"])
    assert "pass --follow to wait for line ends" in str(failed.failure)
    complete = LineReader(Pieces(b"\r\nthree\n"), "x", whole.position)
    (rest,) = complete.read()
    assert (rest.first, rest.lines) == (3, [b"three"])


def test_globs_are_sorted_and_each_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("b.log", "a.log", "c.txt", "d/e.log", "[x].log"):
        write(tmp_path / name, b"")
    (tmp_path / "dir.log").mkdir()
    monkeypatch.chdir(tmp_path)
    assert expand_names(["?.log", "*.log", "-", "no.log"]) == ["a.log", "b.log", "[x].log", "-", "no.log"]
    assert expand_names(["**/*.log"], tmp_path) == [
        str(tmp_path / name) for name in ("[x].log", "a.log", "b.log", "d/e.log")
    ]
    assert expand_names(["[x].log"]) == ["[x].log"]  # a file of this name exists
    with pytest.raises(FileNotFoundError, match=r"no file matches '\*\.csv'; check the path and the pattern"):
        expand_names(["*.csv"])
    with pytest.raises(FileNotFoundError, match=r"no file matches 'dir\.\*'"):
        expand_names(["dir.*"])


def test_the_size_of_compressed_files_is_unknown(tmp_path: Path) -> None:
    plain, packed = write(tmp_path / "x", b"123\n"), write(tmp_path / "y", gzip.compress(b"123\n"))
    assert total_size([plain, plain]) == 8
    assert total_size([plain, packed]) is None
    assert total_size(["-"]) is None


def test_sources_are_distinct_from_targets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = write(tmp_path / "x", b"")
    check_distinct([file, "-", "http://a/x", "/dev/null"], [None, "-", "y", "http://a/x", "/dev/null"])
    for target in ("x", str(tmp_path / "y" / ".." / "x"), str(tmp_path)):
        with pytest.raises(ValueError, match="x' is both input and output; choose another file for the output"):
            check_distinct(["-", file], [None, target])


def test_binary_rubbish_is_read_as_lines(tmp_path: Path) -> None:
    rubbish = bytes(range(256)) * 1000
    batches = list(read_batches([write(tmp_path / "x", rubbish)]))
    assert failures(batches) == []
    assert sum(len(batch.lines) for batch in batches) == 1001
