"""Linking of generated code with the helpers that it calls."""

from __future__ import annotations

import ast
from collections.abc import Callable, Generator
from types import CodeType
from typing import Any

from stellar.language import nodes as n
from stellar.language.compiler.codegen import Compiler
from stellar.language.compiler.functions import Fail, define_function, make_function
from stellar.language.compiler.source_map import SourceMap, filename
from stellar.language.library import Library


def compile_tree(compiler: Compiler, tree: n.Expr, source: str, *, predicate: bool = False) -> CodeType:
    """Return the code of a Python function `(record, context)` that evaluates a tree.

    predicate: the result must be a boolean or null
    """
    module = compile(compiler.compile_module(tree, predicate), filename(source), "exec")
    [code] = [constant for constant in module.co_consts if isinstance(constant, CodeType)]
    return code


def link_function(
    compiler: Compiler, tree: n.Expr, source: str, fail: Fail, *, predicate: bool = False
) -> Callable[..., Any]:
    """Compile a tree and link the code with the helpers that it calls.

    fail: returns the error to raise for an exception and the record
    """
    code = compile_tree(compiler, tree, source, predicate=predicate)
    return make_function(code, compiler.names, fail)


def compile_loop(
    tree: n.Expr, library: Library, source: str, *, predicate: bool = False
) -> Callable[..., Generator[Any, None, None]] | None:
    """Return a generator function `(records, context, fail)` that yields the value of a tree for each record.

    `fail` is called with an exception and the record, and returns the value, or raises an error. Returns None for a
    tree for which only a function can be compiled.
    """
    compiler = Compiler(library, SourceMap(source), strict=False, fast=True)
    module = compiler.compile_loop(tree, predicate)
    if module is None:
        return None
    function: Callable[..., Generator[Any, None, None]] = define_function(
        module, "values", compiler.names, filename(source)
    )
    return function


def python_source(tree: n.Expr, library: Library, source: str) -> str:
    """Return the generated Python as source, for display only."""
    compiler = Compiler(library, SourceMap(source), strict=False, fast=True)
    return ast.unparse(compiler.compile_module(tree, predicate=False))
