"""Tools for authors of expressions: checks, lints, formatting, explanation, completion, and examples as tests."""

from __future__ import annotations

from stellar.util.lazy_exports import export_lazily

TYPE_CHECKING = False

if TYPE_CHECKING:
    from stellar.tooling.checks import find_problems as find_problems
    from stellar.tooling.completion import CompletionScope as CompletionScope
    from stellar.tooling.completion import complete_expression as complete_expression
    from stellar.tooling.explanation import Explanation as Explanation
    from stellar.tooling.explanation import explain_expression as explain_expression
    from stellar.tooling.findings import Finding as Finding
    from stellar.tooling.formatter import StatementError as StatementError
    from stellar.tooling.formatter import format_expression as format_expression
    from stellar.tooling.formatter import format_file as format_file
    from stellar.tooling.lints import LINTS as LINTS
    from stellar.tooling.lints import lint as lint

__getattr__, __dir__, __all__ = export_lazily(
    __name__,
    {
        ".checks": ("find_problems",),
        ".completion": ("CompletionScope", "complete_expression"),
        ".explanation": ("Explanation", "explain_expression"),
        ".findings": ("Finding",),
        ".formatter": ("StatementError", "format_expression", "format_file"),
        ".lints": ("LINTS", "lint"),
    },
)
