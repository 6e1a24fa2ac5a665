"""Fixes of findings in files.

A fix consists of edits after which an expression has the same tree. Fixes of one file whose ranges overlap are applied
one after another: after each round the files are checked again.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path

from stellar.tooling.diagnostics import Diagnostic, DiagnosticReport, FileEdit
from stellar.util.atomic_files import replace_content

# Each round fixes the outermost of nested expressions, of which there are at most as many as levels of a tree
MAX_ROUNDS = 200


def fix_files(
    report: DiagnosticReport, find: Callable[[], DiagnosticReport], is_selected: Callable[[Diagnostic], bool]
) -> DiagnosticReport:
    """Apply the fixes of selected diagnostics to their files, and return the report of the files after that.

    find: checks the files again

    Raise OSError if a file cannot be written. The number of fixes is printed to standard error.
    """
    counts: dict[str, int] = defaultdict(int)
    for _ in range(MAX_ROUNDS):
        fixable = [each for each in report.diagnostics if each.edits and is_selected(each)]
        if not fixable:
            break
        for file in dict.fromkeys(each.file for each in fixable):
            counts[file] += _fix_file(file, [each.edits for each in fixable if each.file == file])
        report = find()
    for file, count in counts.items():
        print(f"{file}: {count} fixed", file=sys.stderr)
    return report


def _fix_file(file: str, fixes: list[tuple[FileEdit, ...]]) -> int:
    """Apply those of several fixes that do not overlap, and return their number."""
    source = Path(file).read_bytes().decode("utf-8-sig")
    after, count = apply_fixes(source, fixes, _encode_json if file.endswith(".json") else str)
    mark = b"\xef\xbb\xbf" if Path(file).read_bytes().startswith(b"\xef\xbb\xbf") else b""
    replace_content(file, mark + after.encode())
    return count


def _encode_json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def apply_fixes(source: str, fixes: list[tuple[FileEdit, ...]], encode: Callable[[str], str] = str) -> tuple[str, int]:
    """Apply those of several fixes that do not overlap; return the source after them, and their number."""
    starts = [0, *accumulate(len(line) + 1 for line in source.split("\n"))]
    chunks, done, applied = list[str](), 0, 0
    for edits in sorted(([_locate(edit, starts) for edit in fix] for fix in fixes), key=lambda fix: fix[0]):
        if edits[0][0] < done:
            continue
        applied += 1
        for start, end, replacement in edits:
            chunks += [source[done:start], encode(replacement)]
            done = end
    return "".join([*chunks, source[done:]]), applied


def _locate(edit: FileEdit, starts: list[int]) -> tuple[int, int, str]:
    """Return the offsets of an edit, and its replacement."""
    start, end = starts[edit.line - 1] + edit.column - 1, starts[edit.end_line - 1] + edit.end_column - 1
    return start, end, edit.replacement
