"""Counts left-out words in docstrings, comments, messages and docs: `python -m scripts.words [--list] [PATH…]`.

A unit is a docstring, a comment (adjacent comment lines together), a message (a string that is raised, logged, printed
or given to argparse), or a sentence of a Markdown page. A unit with several left-out words counts once. Code is not
prose: spans in backquotes, examples, fences and labels of parameters are masked first. The other strings of the two
packages, of which some become messages, and the names of tests are counted without a limit.

The words are in `left_out_words.py`, and phrases that must stay as they are in `words_allowed.txt`, each with a reason.
The exit status is 1 if a kind exceeds its limit, or if an entry of that list is invalid or matches nothing.
"""

from __future__ import annotations

import argparse
import ast
import fnmatch
import io
import re
import sys
import tokenize
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scripts.left_out_words import (
    COMMENTS,
    DOCS,
    DOCSTRINGS,
    KINDS,
    LEFT_OUT,
    MESSAGES,
    STRINGS,
    TEST_NAMES,
    LeftOutWord,
)

ROOT = Path(__file__).parent.parent
PACKAGES = ("stellar", "maas_runtime")
SOURCES = (*PACKAGES, "scripts", "benchmarks", "drills", "engines", "examples", "tests")
# Their strings are the words themselves.
UNCOUNTED = {"scripts/left_out_words.py", "tests/scripts/test_words.py"}
ALLOWED = ROOT / "scripts" / "words_allowed.txt"
MOST_ALLOWED = 40
# Percent of the units; the other kinds have no limit
LIMITS = {DOCSTRINGS: 3.0, COMMENTS: 1.0, MESSAGES: 1.0, DOCS: 1.0}

_LOGGING = {"debug", "info", "warning", "error", "exception", "critical", "log", "warn"}
_PRINTING = {"print", "exit", "fail", "echo"}
_OUTPUTS = {"stdout", "stderr", "out", "err", "output"}
_OPTIONS = {"add_argument", "add_parser", "add_subparsers", "add_argument_group", "ArgumentParser", "setting"}
_REPORTING = {"report", "complain", "refuse", "problem", "hint"}
_EXCEPTION = re.compile(r"(?:Error|Exception|Warning)$")
_MESSAGE_KEYWORDS = {"help", "description", "epilog", "hint", "message", "usage"}

_BACKQUOTED = re.compile(r"(`+)(?:(?!\1).)+?\1", re.DOTALL)
_LABEL = re.compile(r"^[*\w]+(?:, [*\w]+)*:(?=\s|$)", re.MULTILINE)
_PRAGMA = re.compile(r"^(?:!|noqa|type:|pragma|ruff:|mypy:|fmt:|-\*-)")
# Two words at least, with whitespace between them
_PROSE = re.compile(r"[A-Za-z]\S*\s+(?:\S+\s+)*?\S*[A-Za-z]{2,}")
_MANY_WORDS = re.compile(r"(?:[A-Za-z]{2,}\S*\s+){3}\S*[A-Za-z]{2,}")
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')*_]*\s+(?=[A-Z`\"(*\[_])")
_FENCE = re.compile(r"^\s*(?:```|~~~)")
_ITEM = re.compile(r"^\s*(?:[-*+]|\d+\.)\s+|^#+\s+")
_TABLE_ROW = re.compile(r"^\s*\|")
_LINK_TARGET = re.compile(r"\]\([^)]*\)")
_HTML_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)


@dataclass(frozen=True)
class Unit:
    """A piece of prose that counts once.

    line: the line of its first character
    text: the prose, with code masked; its line breaks are those of the file
    """

    kind: str
    path: str
    line: int
    text: str


@dataclass(frozen=True)
class Hit:
    """A left-out word in a unit."""

    unit: Unit
    word: LeftOutWord
    start: int
    end: int

    @property
    def line(self) -> int:
        """The line of the file on which the word is."""
        return self.unit.line + self.unit.text.count("\n", 0, self.start)

    def format(self) -> str:
        """Return `path:line: word: excerpt -> what to write`."""
        text = self.unit.text
        excerpt = " ".join(text[max(0, self.start - 40) : self.end + 40].split())
        return f"{self.unit.path}:{self.line}: {self.word.name}: {excerpt}  -> {self.word.instead}"


@dataclass
class AllowedPhrase:
    """An entry of the allow-list: in files that match `path`, words within the phrase do not count."""

    path: str
    phrase: str
    reason: str
    uses: int = 0
    _regex: re.Pattern[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Compile the phrase, in which a space matches any whitespace."""
        self._regex = re.compile(r"\s+".join(re.escape(word) for word in self.phrase.split()))

    def covers(self, hit: Hit) -> bool:
        """Return True if the hit is within the allowed phrase."""
        if not fnmatch.fnmatch(hit.unit.path, self.path):
            return False
        found = self._regex.finditer(hit.unit.text)
        return any(match.start() <= hit.start and hit.end <= match.end() for match in found)


# Python sources


def read_python(source: str, path: str) -> Iterator[Unit]:
    """Yield the docstrings, comments, messages, other strings and names of tests of a module."""
    tree = ast.parse(source)
    yield from _read_comments(source, path)
    yield from _read_strings(tree, path, is_message=False)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield Unit(TEST_NAMES, path, node.lineno, node.name.removeprefix("test_").replace("_", " "))


def _read_comments(source: str, path: str) -> Iterator[Unit]:
    lines: list[str] = []
    first = last = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        text = token.string.lstrip("#:").strip()
        if _PRAGMA.match(text):
            continue
        row, is_alone = token.start[0], not token.line[: token.start[1]].strip()
        if lines and is_alone and row == last + 1:
            lines.append(text)
        else:
            yield from _make_comment(path, first, lines)
            lines, first = [text], row
        # A comment after code ends with its line.
        last = row if is_alone else 0
    yield from _make_comment(path, first, lines)


def _make_comment(path: str, line: int, lines: list[str]) -> Iterator[Unit]:
    text = "\n".join(lines)
    if _PROSE.search(text):
        yield Unit(COMMENTS, path, line, _mask_code(text))


def _read_strings(node: ast.AST, path: str, is_message: bool) -> Iterator[Unit]:
    match node:
        case ast.Expr(value=ast.Constant(value=str(text))):
            yield Unit(DOCSTRINGS, path, node.lineno, _LABEL.sub("_:", _mask_code(_strip_examples(text))))
            return
        case ast.Constant(value=str()) | ast.JoinedStr():
            yield from _make_string(path, node, is_message)
        case ast.Raise():
            is_message = True
        case ast.Call():
            is_message = is_message or _is_message_call(node)
        case ast.keyword(arg=name):
            is_message = is_message or name in _MESSAGE_KEYWORDS
        case ast.Lambda() | ast.stmt():
            is_message = False
    for child in ast.iter_child_nodes(node):
        if not (isinstance(node, ast.JoinedStr) and isinstance(child, ast.Constant)):
            yield from _read_strings(child, path, is_message)


def _make_string(path: str, string: ast.Constant | ast.JoinedStr, is_message: bool) -> Iterator[Unit]:
    text = " ".join(_join_literals(string).split())
    if is_message and _PROSE.search(text):
        yield Unit(MESSAGES, path, string.lineno, _mask_code(text))
    elif not is_message and path.startswith(PACKAGES) and _MANY_WORDS.search(text):
        yield Unit(STRINGS, path, string.lineno, _mask_code(text))


def _is_message_call(call: ast.Call) -> bool:
    match call.func:
        case ast.Attribute(attr="write", value=ast.Name(id=name) | ast.Attribute(attr=name)):
            return name.lstrip("_") in _OUTPUTS
        case ast.Name(id=name) | ast.Attribute(attr=name):
            name = name.lstrip("_")
            return name in _LOGGING | _PRINTING | _OPTIONS | _REPORTING or bool(_EXCEPTION.search(name))
    return False


def _join_literals(string: ast.Constant | ast.JoinedStr) -> str:
    """Return the value of a string literal, with `{}` for each expression of an f-string."""
    if isinstance(string, ast.Constant):
        return str(string.value)
    return "".join(str(each.value) if isinstance(each, ast.Constant) else "{}" for each in string.values)


def _strip_examples(docstring: str) -> str:
    """Empty the lines of blocks that are indented deeper than the docstring, and strip indentation."""
    first, *others = docstring.expandtabs().split("\n")
    margin = min((_indentation(line) for line in others if line.strip()), default=0)
    lines, can_be_code = [first.strip()], False
    for line in others:
        is_code = can_be_code and _indentation(line) >= margin + 4
        lines.append("" if is_code else line.strip())
        can_be_code = is_code or not line.strip()
    return "\n".join(lines)


def _indentation(line: str) -> int:
    return len(line) - len(line.lstrip())


def _mask_code(text: str) -> str:
    """Replace code in backquotes without moving a line break."""
    return _BACKQUOTED.sub(lambda match: "`_`" + "\n" * match[0].count("\n"), text)


# Pages


def read_markdown(page: str, path: str) -> Iterator[Unit]:
    """Yield the sentences of a page: of paragraphs, headings, list items and cells of tables, not of code."""
    page = _HTML_COMMENT.sub(lambda match: "\n" * match[0].count("\n"), page)
    for line, paragraph in _split_paragraphs(page):
        text = _LINK_TARGET.sub("]", _mask_code(paragraph))
        start = 0
        for end in [*(match.end() for match in _SENTENCE_END.finditer(text)), len(text)]:
            sentence = text[start:end]
            if _PROSE.search(sentence):
                yield Unit(DOCS, path, line + text.count("\n", 0, start), sentence)
            start = end


def _split_paragraphs(page: str) -> Iterator[tuple[int, str]]:
    lines: list[str] = []
    first, is_fenced, is_list, was_code = 1, False, False, True
    for number, line in enumerate(page.split("\n"), 1):
        is_fence = bool(_FENCE.match(line))
        is_item, is_row = bool(_ITEM.match(line)), bool(_TABLE_ROW.match(line))
        is_code = is_fenced or is_fence or (not lines and not is_list and was_code and _indentation(line) >= 4)
        was_code = is_code or not line.strip()
        is_fenced ^= is_fence
        if lines and (is_code or is_item or is_row or not line.strip()):
            yield first, "\n".join(lines)
            lines = []
        if is_code or not line.strip():
            continue
        if is_row:
            yield from ((number, cell.strip()) for cell in line.strip().strip("|").split("|"))
            continue
        is_list = is_item or (is_list and line[0].isspace()) or (is_list and bool(lines))
        if not lines:
            first = number
        lines.append(_ITEM.sub("", line).strip())
    if lines:
        yield first, "\n".join(lines)


# Counting


def find_hits(unit: Unit, words: Iterable[LeftOutWord] = LEFT_OUT) -> Iterator[Hit]:
    """Yield the left-out words of a unit."""
    for word in words:
        if unit.kind in word.kinds:
            for match in word.regex.finditer(unit.text):
                yield Hit(unit, word, match.start(), match.end())


def read_allowed(text: str) -> list[AllowedPhrase]:
    """Return the entries of an allow-list: `path | phrase | reason` on each line; `#` starts a comment line.

    Raises ValueError for a line that is not like that, or for too many entries.
    """
    allowed = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        columns = [column.strip() for column in line.split(" | ")]
        if len(columns) != 3 or not all(columns):
            raise ValueError(f"invalid allow-list line {number}: expected 'path | phrase | reason'")
        allowed.append(AllowedPhrase(columns[0], columns[1], columns[2]))
    if len(allowed) > MOST_ALLOWED:
        raise ValueError(f"too many allow-list entries: expected at most {MOST_ALLOWED}, got {len(allowed)}")
    return allowed


def remove_allowed(hits: Iterable[Hit], allowed: Sequence[AllowedPhrase]) -> Iterator[Hit]:
    """Yield the hits that no entry covers, and count the uses of each entry."""
    for hit in hits:
        covering = [entry for entry in allowed if entry.covers(hit)]
        for entry in covering:
            entry.uses += 1
        if not covering:
            yield hit


@dataclass
class Tally:
    """The units of each kind, and those with a left-out word."""

    units: Counter[str] = field(default_factory=Counter)
    marked: Counter[str] = field(default_factory=Counter)

    def add(self, kind: str, is_marked: bool) -> None:
        """Count a unit."""
        self.units[kind] += 1
        self.marked[kind] += is_marked

    def percent(self, kind: str) -> float:
        """Return the share of units with a left-out word; 0 if there are no units."""
        return 100 * self.marked[kind] / self.units[kind] if self.units[kind] else 0.0

    def exceeded(self) -> list[str]:
        """Return the kinds above their limit."""
        return [kind for kind, limit in LIMITS.items() if self.percent(kind) > limit]


def list_files(root: Path) -> Iterator[Path]:
    """Yield the Python sources and Markdown pages of the project, in order."""
    folders = [root / name for name in (*SOURCES, "docs")]
    found = set(root.glob("*.md"))
    for folder in folders:
        found.update(folder.rglob("*.py"), folder.rglob("*.md"))
    yield from sorted(path for path in found if path.relative_to(root).as_posix() not in UNCOUNTED)


def read_units(path: Path, root: Path) -> Iterator[Unit]:
    """Yield the units of a file."""
    read = read_markdown if path.suffix == ".md" else read_python
    yield from read(path.read_text(encoding="utf-8"), path.relative_to(root).as_posix())


def package(path: str) -> str:
    """Return the first two folders of a path, by which `--by-package` groups."""
    return "/".join(Path(path).parts[:-1][:2]) or "."


@dataclass
class Report:
    """The figures of a run.

    packages: by folder
    hits: those that the allow-list does not cover
    """

    total: Tally = field(default_factory=Tally)
    packages: defaultdict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))
    hits: list[Hit] = field(default_factory=list)

    def add(self, unit: Unit, hits: Sequence[Hit]) -> None:
        """Count a unit and its hits."""
        self.total.add(unit.kind, bool(hits))
        self.packages[package(unit.path)].add(unit.kind, bool(hits))
        self.hits.extend(hits)


def count(files: Iterable[Path], root: Path, allowed: Sequence[AllowedPhrase]) -> Report:
    """Count the left-out words of files."""
    report = Report()
    for path in files:
        for unit in read_units(path, root):
            report.add(unit, list(remove_allowed(find_hits(unit), allowed)))
    return report


# Command line


def _format_table(tallies: dict[str, Tally]) -> Iterator[str]:
    yield f"{'':28}" + "".join(f"{kind:>22}" for kind in KINDS)
    for name, tally in tallies.items():
        cells = (f"{tally.marked[kind]} of {tally.units[kind]} {tally.percent(kind):5.1f} %" for kind in KINDS)
        yield f"{name:28}" + "".join(f"{cell:>22}" for cell in cells)


def _parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m scripts.words", description="Count left-out words.")
    parser.add_argument("paths", nargs="*", type=Path, metavar="PATH", help="count in these files and folders only")
    parser.add_argument("--list", action="store_true", help="print each word with its line and what to write instead")
    parser.add_argument("--by-package", action="store_true", help="print the figures of each package")
    parser.add_argument("--by-word", action="store_true", help="print how often each word occurs")
    return parser.parse_args(arguments)


def _select(paths: Sequence[Path]) -> Iterator[Path]:
    roots = [path.resolve() for path in paths]
    for path in list_files(ROOT):
        if not roots or any(path.is_relative_to(root) for root in roots):
            yield path


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures, and return 1 if a limit is exceeded or the allow-list is invalid."""
    options = _parse_arguments(arguments)
    try:
        allowed = read_allowed(ALLOWED.read_text(encoding="utf-8"))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    report = count(_select(options.paths), ROOT, allowed)
    _print_report(report, options)
    return _report_failures(report.total, [] if options.paths else allowed)


def _print_report(report: Report, options: argparse.Namespace) -> None:
    lines = [hit.format() for hit in report.hits] if options.list else []
    if options.by_word:
        words = Counter(hit.word.name for hit in report.hits)
        lines += (f"{number:6} {word}" for word, number in words.most_common())
    lines += _format_table(({**report.packages} if options.by_package else {}) | {"all": report.total})
    print(*lines, sep="\n")


def _report_failures(total: Tally, allowed: Sequence[AllowedPhrase]) -> int:
    unused = [entry for entry in allowed if not entry.uses]
    for entry in unused:
        print(f"unused allow-list entry: {entry.path} | {entry.phrase}; remove it", file=sys.stderr)
    for kind in total.exceeded():
        print(
            f"too many left-out words in {kind}: {total.percent(kind):.1f} %, expected at most {LIMITS[kind]:g} %",
            file=sys.stderr,
        )
    return int(bool(unused or total.exceeded()))


if __name__ == "__main__":
    sys.exit(main())
