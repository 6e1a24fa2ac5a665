"""Checking names and sizes."""

from __future__ import annotations

import ast

import pytest

from scripts.names import (
    check_classes,
    check_functions,
    check_modules,
    check_participles,
    is_named_by_participle,
    is_participle,
    read_functions,
    run_checks,
)

MODULE = '''
class Cache:
    @property
    def closed(self): return False
    @functools.cached_property
    def opened(self): return True
    def __enter__(self): ...
    def is_started(self): ...
    def _told(self):
        """Two lines.

        In the docstring.
        """
        one = 1
        return one
    async def read(self):
        def held(): ...
class Pool:
    class Cache: ...
'''


def functions(source: str = MODULE):
    return list(read_functions(ast.parse(source), "a.py"))


@pytest.mark.parametrize("word", ["opened", "held", "told", "written", "took", "timed"])
def test_participles_and_past_tenses_are_recognised(word: str) -> None:
    assert is_participle(word)


@pytest.mark.parametrize("word", ["open", "hold", "feed", "exceed", "red", "put", "read", "split", "tables"])
def test_base_forms_are_not_participles(word: str) -> None:
    assert not is_participle(word)


def test_properties_and_predicates_may_be_participles() -> None:
    assert {each.name for each in functions() if is_named_by_participle(each)} == {"_told", "held"}


def test_the_share_of_participles_is_limited() -> None:
    check = check_participles(functions())
    assert not check.is_passed
    assert "2 of 7, 28.6 %" in check.summary
    assert check.findings[0].startswith("a.py:9: _told: ")
    assert check_participles(functions("def f(): ...")).is_passed


def test_a_class_name_occurs_once() -> None:
    check = check_classes([("a.py", ast.parse(MODULE)), ("b.py", ast.parse("class Pool: ..."))])
    assert not check.is_passed
    assert [finding.split(": ")[:2] for finding in check.findings] == [
        ["a.py:2", "Cache"],
        ["a.py:19", "Cache"],
        ["a.py:18", "Pool"],
        ["b.py:1", "Pool"],
    ]


def test_long_modules_are_found_unless_they_are_generated() -> None:
    check = check_modules({"a.py": 600, "b.py": 601, "stellar/language/tables.py": 1600})
    assert check.findings == ["b.py:1: 601 lines: split the module"]


def test_a_function_is_as_long_as_its_body_without_the_docstring() -> None:
    assert {each.name: each.length for each in functions()}["_told"] == 2


def test_one_function_in_ten_may_be_long() -> None:
    long, short = "def f():\n" + "    x\n" * 16, "def g(): ...\n"
    assert check_functions(functions(long + short * 9)).is_passed
    check = check_functions(functions(long * 2 + short * 9))
    assert not check.is_passed
    assert check.findings[0] == "a.py:1: f: 16 lines"


def test_the_checks_run_on_sources_below_a_directory(tmp_path) -> None:
    (tmp_path / "stellar").mkdir()
    (tmp_path / "stellar" / "a.py").write_text(MODULE)
    assert [check.is_passed for check in run_checks(tmp_path)] == [False, False, True, True]
