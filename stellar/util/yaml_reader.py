"""A reader of YAML files that people write: plain data with the location of each value, and all errors at once.

YAML has many forms, of which configuration needs few. Anchors, aliases, tags and several documents are rejected: an
alias may expand to any size, and a tag names a class. A scalar is the string in the file, so version 1.10 does not
become 1.1. Nodes are built from the parser's events, which are checked one by one, so neither depth nor size can
exhaust anything.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import yaml

from stellar.util.abbreviate import quote
from stellar.util.suggestions import find_nearest

MAX_BYTES = 1 << 18  # some seconds of parsing, and thousands of entries
MAX_DEPTH = 16
MAX_ERRORS = 20
_NUMBER = re.compile(r"[0-9]{1,15}(\.[0-9]{1,20})?(e[+-]?[0-9]{1,3})?")
_LOCATED = re.compile(r"(?:([0-9]+):(?:([0-9]+):)?)?(.*)")
_NULL = ("", "~", "null", "Null", "NULL")
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?[0-9]{1,300}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,4})?")


class _Mark(Protocol):
    """A location as the parser reports it, counted from 0."""

    line: int
    column: int


@dataclass(frozen=True)
class Location:
    """A line and a column of a file, counted from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True)
class YamlScalar:
    """A scalar: the string in the file, and whether it was quoted."""

    at: Location
    text: str
    quoted: bool

    def describe(self) -> str:
        return "null" if self.is_null() else repr(self.text)[:80]

    def is_null(self) -> bool:
        return not self.quoted and self.text in _NULL

    def to_value(self) -> Any:
        """Return the value: null, a boolean, a number or a string, as in YAML 1.2; `no` and dates are strings."""
        if self.quoted:
            return self.text
        if self.text in _NULL:
            return None
        if _INTEGER.fullmatch(self.text):
            return int(self.text)
        return float(self.text) if _FLOAT.fullmatch(self.text) else _BOOLEANS.get(self.text, self.text)


@dataclass
class Mapped:
    """A mapping of keys to values, in their order."""

    at: Location
    entries: dict[str, tuple[Location, Node]] = field(default_factory=dict)

    def describe(self) -> str:
        return "a mapping"

    def to_value(self) -> dict[str, Any]:
        """Return the keys and values; each key is the string in the file."""
        return {key: node.to_value() for key, (_, node) in self.entries.items()}


@dataclass
class Listed:
    """A sequence of values."""

    at: Location
    items: list[Node] = field(default_factory=list)

    def describe(self) -> str:
        return "a sequence"

    def to_value(self) -> list[Any]:
        """Return the values."""
        return [node.to_value() for node in self.items]


Node = YamlScalar | Mapped | Listed


class YamlErrors(ValueError):
    """The errors of a file, a line for each: its location and the message."""

    def locate(self, file: Path) -> Iterator[tuple[int, int, str]]:
        """Yield the line, the column and the message of each error of a file; 0 for an error about the whole file."""
        for text in str(self).splitlines():
            rest = text.removeprefix(f"{file}:")
            line, column, message = _LOCATED.fullmatch(rest).groups()  # type: ignore[union-attr]  # matches any string
            yield int(line or 0), int(column or 0), message.strip()


class YamlReader:
    """The content of a file, and the errors found in it.

    Raises YamlErrors for a file that is not such YAML, and OSError if it cannot be read.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.errors: list[str] = []
        self.root = self._parse(_read_text(file))

    # --- values

    def read_mapping(self, node: Node, subject: str, keys: Collection[str] = ()) -> Mapping[str, tuple[Location, Node]]:
        """Return the entries of a mapping; empty, with an error, for anything else.

        keys: the known keys; others are errors; empty for any key
        """
        if not isinstance(node, Mapped):
            hint = "; write {} for an empty one" if isinstance(node, YamlScalar) and node.is_null() else ""
            self.add_error(node.at, f"invalid {subject}: expected a mapping, got {node.describe()}{hint}")
            return {}
        for key, (at, _) in node.entries.items():
            if keys and key not in keys:
                near = find_nearest(key, keys)
                hint = f"did you mean {near}?" if near else f"known are {', '.join(sorted(keys))}"
                self.add_error(at, f"unknown key {quote(key)} in {subject}: {hint}")
        return node.entries

    def read_string(self, node: Node, subject: str) -> str:
        """Return a string; empty, with an error, for anything else."""
        if isinstance(node, YamlScalar) and not node.is_null():
            return node.text
        self.add_error(node.at, f"invalid {subject}: expected a string, got {node.describe()}")
        return ""

    def read_integer(self, node: Node, subject: str, most: int) -> int:
        """Return an integer from 0 to `most`; 0, with an error, for anything else."""
        is_number = isinstance(node, YamlScalar) and not node.quoted and re.fullmatch("0|[1-9][0-9]{0,15}", node.text)
        if isinstance(node, YamlScalar) and is_number and (number := int(node.text)) <= most:
            return number
        self.add_error(node.at, f"invalid {subject}: expected an integer from 0 to {most:,}, got {node.describe()}")
        return 0

    def read_number(self, node: Node, subject: str) -> float:
        """Return a non-negative decimal number; 0, with an error, for anything else."""
        if isinstance(node, YamlScalar) and not node.quoted and _NUMBER.fullmatch(node.text):
            return int(node.text) if node.text.isdecimal() else float(node.text)
        self.add_error(node.at, f"invalid {subject}: expected a number such as 10 or 0.5, got {node.describe()}")
        return 0

    def add_error(self, at: Location, message: str) -> None:
        self.errors.append(f"{at}: {message}")

    def raise_errors(self) -> None:
        """Raise YamlErrors if there are errors."""
        if self.errors:
            more = len(self.errors) - MAX_ERRORS
            shown = self.errors[:MAX_ERRORS] + ([f"and {more} more errors"] if more > 0 else [])
            raise YamlErrors("\n".join(shown))

    # --- parsing

    def _parse(self, text: str) -> Node:
        try:
            events = yaml.parse(text, Loader=yaml.SafeLoader)
            return self._build(iter(events))
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            raise YamlErrors(f"{self._locate(mark)}: invalid YAML: {error.problem or error.context}") from None
        except yaml.YAMLError as error:
            raise YamlErrors(f"{self.file}: invalid YAML: {' '.join(str(error).split())[:200]}") from None

    def _build(self, events: Iterator[yaml.Event]) -> Node:
        """Return the node of the only document."""
        root: list[Node] = []
        open_nodes: list[Mapped | Listed] = []
        keys: list[YamlScalar | None] = []  # the key of each open mapping that waits for its value
        for event in events:
            self._check_event(event, bool(root), len(open_nodes))
            if isinstance(event, yaml.CollectionEndEvent):
                open_nodes.pop()
                keys.pop()
                continue
            if (node := self._make_node(event)) is None:
                continue
            if not open_nodes:
                root.append(node)
            else:
                keys[-1] = self._add(open_nodes[-1], keys[-1], node)
            if not isinstance(node, YamlScalar):
                open_nodes.append(node)
                keys.append(None)
        if not root:
            raise YamlErrors(f"{self.file}: the file is empty")
        return root[0]

    def _make_node(self, event: yaml.Event) -> Node | None:
        """Return the node that an event begins; None for the events of documents."""
        at = self._locate(event.start_mark)
        if isinstance(event, yaml.MappingStartEvent):
            return Mapped(at)
        if isinstance(event, yaml.SequenceStartEvent):
            return Listed(at)
        return YamlScalar(at, event.value, bool(event.style)) if isinstance(event, yaml.ScalarEvent) else None

    def _add(self, parent: Mapped | Listed, key: YamlScalar | None, node: Node) -> YamlScalar | None:
        """Add a node to its parent. Return the key that waits for its value then."""
        if isinstance(parent, Listed):
            parent.items.append(node)
            return None
        if key is not None:
            parent.entries[key.text] = key.at, node
            return None
        if not isinstance(node, YamlScalar):
            raise YamlErrors(f"{node.at}: invalid key: expected a string, got {node.describe()}")
        if node.text in parent.entries:
            raise YamlErrors(f"{node.at}: duplicate key {quote(node.text)}, first at {parent.entries[node.text][0]}")
        return node

    def _check_event(self, event: yaml.Event, has_root: bool, depth: int) -> None:
        problem = None
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            problem = "anchors and aliases are not allowed; repeat the value"
        elif getattr(event, "tag", None):
            problem = f"tags such as {quote(event.tag)} are not allowed"  # type: ignore[attr-defined]
        elif isinstance(event, yaml.DocumentStartEvent) and has_root:
            problem = "several documents; expected one"
        elif depth > MAX_DEPTH:
            problem = f"nested more than {MAX_DEPTH} levels deep"
        if problem:
            raise YamlErrors(f"{self._locate(event.start_mark)}: {problem}")

    def _locate(self, mark: _Mark | None) -> Location:
        line, column = (mark.line, mark.column) if mark else (0, 0)
        return Location(str(self.file), line + 1, column + 1)


def _read_text(file: Path) -> str:
    with file.open("rb") as handle:
        data = handle.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise YamlErrors(f"{file}: too large: expected at most {MAX_BYTES:,} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise YamlErrors(f"{file}:{line}: invalid UTF-8: byte {data[error.start]:#x}") from None
