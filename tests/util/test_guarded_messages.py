"""Messages render values by `stellar.util.abbreviate`, whose cost does not grow with the value, never by `repr`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import maas_runtime
import stellar

ROOTS = [Path(package.__file__).parent for package in (stellar, maas_runtime)]
# Modules in which `!r` is part of a hash or of Python's own message
EXCEPTED = {"content.py", "lazy_exports.py"}
# Variables that contain exceptions, whose messages are limited where they are raised
EXCEPTIONS = {"error", "failure", "exception"}


def find_reprs(tree: ast.AST) -> Iterator[ast.expr]:
    """Yield the values that f-strings and logging show by `repr`, outside of `__repr__` methods."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef) and node.name == "__repr__":
            continue
        if isinstance(node, ast.FormattedValue) and node.conversion == ord("r"):
            yield node.value
        elif isinstance(node, ast.Call) and node.args and isinstance(template := node.args[0], ast.Constant):
            letters = re.findall(r"%[-#0-9.]*([a-z])", str(template.value))
            yield from (value for letter, value in zip(letters, node.args[1:], strict=False) if letter == "r")
        yield from find_reprs(node)


def is_short(node: ast.expr) -> bool:
    """Return True for a slice and an exception."""
    if isinstance(node, ast.Subscript):
        return isinstance(node.slice, ast.Slice)
    return isinstance(node, ast.Name) and node.id in EXCEPTIONS


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("f'{x!r} {y[:40]!r} {z}'", ["x"]),
        ("log.warning('%s %.80r', y, x)", ["x"]),
        ("log.warning('%r', error)", []),
        ("class A:\n  def __repr__(self): return f'{x!r}'", []),
        ("def f(): return f'{error!r} {y[0]!r}'", ["y[0]"]),
    ],
)
def test_values_that_are_shown_by_repr_are_found(source, shown):
    assert [ast.unparse(value) for value in find_reprs(ast.parse(source)) if not is_short(value)] == shown


def test_no_message_shows_a_value_by_repr():
    files = [file for root in ROOTS for file in root.rglob("*.py") if file.name not in EXCEPTED]
    assert len(files) > 300
    found = [
        f"{file}:{value.lineno}: {ast.unparse(value)}"
        for file in files
        for value in find_reprs(ast.parse(file.read_text(encoding="utf-8")))
        if not is_short(value)
    ]
    assert found == []
