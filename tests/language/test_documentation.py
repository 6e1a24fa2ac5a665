"""Tests of the Python examples in pages about the language."""

from __future__ import annotations

import doctest
import re
import sys
from pathlib import Path

import stellar

EMBEDDING = Path(__file__).parent.parent.parent / "docs" / "embedding.md"
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def test_the_examples_of_embedding_run(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    blocks = PYTHON.findall(EMBEDDING.read_text())
    files = [block for block in blocks if block.startswith("# ")]
    for block in files:
        (tmp_path / re.match(r"# (\w+\.py)\n", block)[1]).write_text(block)
    # The blocks of one page share their names, as they would in one session of Python
    session = "\n".join(block for block in blocks if block not in files)
    test = doctest.DocTestParser().get_doctest(session, {}, EMBEDDING.name, str(EMBEDDING), 0)
    shown: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS, verbose=False)
    try:
        runner.run(test, out=shown.append)
    finally:
        for block in files:
            sys.modules.pop(re.match(r"# (\w+)\.py\n", block)[1], None)
    assert len(test.examples) > 20
    assert not shown, "".join(shown)


def test_the_names_that_the_documentation_uses_are_public():
    used = set(re.findall(r"(?<![\w.\"])stellar\.(\w+)\(", EMBEDDING.read_text()))
    assert used <= set(stellar.__all__)


def test_the_example_of_the_first_page_holds():
    (block,) = PYTHON.findall((EMBEDDING.parent / "index.md").read_text())
    example = doctest.DocTestParser().get_doctest(block, {}, "index.md", "index.md", 0)
    assert doctest.DocTestRunner(verbose=False).run(example) == (0, 3)


def test_the_example_of_values_as_json_holds() -> None:
    (block,) = PYTHON.findall((EMBEDDING.parent / "tagged-json.md").read_text())
    example = doctest.DocTestParser().get_doctest(block, {}, "tagged-json.md", "tagged-json.md", 0)
    assert doctest.DocTestRunner(verbose=False).run(example) == (0, 5)
