"""The public names of stellar.tooling."""

from __future__ import annotations

from pkgutil import iter_modules

import stellar.tooling


def test_the_public_names_are_exported():
    assert stellar.tooling.__all__ == [
        "CompletionScope",
        "Explanation",
        "Finding",
        "LINTS",
        "StatementError",
        "complete_expression",
        "explain_expression",
        "find_problems",
        "format_expression",
        "format_file",
        "lint",
    ]
    assert dir(stellar.tooling) == stellar.tooling.__all__
    for name in stellar.tooling.__all__:
        assert getattr(stellar.tooling, name) is not None


def test_no_public_name_is_that_of_a_module():
    modules = {module.name for module in iter_modules(stellar.tooling.__path__)}
    assert not modules & set(stellar.tooling.__all__)
