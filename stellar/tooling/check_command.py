"""What the commands that check have in common: options, selection of findings, fixes, and the exit status."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection, Mapping
from functools import partial
from types import MappingProxyType

from stellar.tooling.diagnostics import CONFIGURATION, FORMATS, Diagnostic, DiagnosticReport
from stellar.tooling.findings import ERROR, suggest_lint
from stellar.tooling.lints import LINTS
from stellar.util.abbreviate import quote

OK, FAILED = 0, 1


def add_report_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of checks: the form, the selection, and the severities that count."""
    add = parser.add_argument
    add(
        *("--output", "--format"),
        dest="format",
        choices=FORMATS,
        default="text",
        metavar="FORMAT",
        help=f"form of the findings: {', '.join(FORMATS)}; default %(default)s",
    )
    for option, description in (
        ("--select", "report only these lints; errors are always reported"),
        ("--ignore", "do not report these lints"),
    ):
        add(option, type=_parse_names, action="extend", default=[], metavar="LINT,...", help=description)
    add("--strict", action="store_true", help="the exit status is 1 for warnings, too")
    add("--fix", action="store_true", help="change files where a fix keeps the meaning, such as parentheses")


# Lints, and the warnings about a configuration outside of its expressions
SELECTABLE = (*LINTS, CONFIGURATION)


def _parse_names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in SELECTABLE:
            raise argparse.ArgumentTypeError(f"unknown lint {quote(name)}; {suggest_lint(name, SELECTABLE)}")
    return names


CHECK_EXIT_STATUS = """\
exit status: 0 if there are no errors, 1 if there are, with --strict also for
warnings; 2 for invalid options"""


def run_check(
    find: Callable[[], DiagnosticReport],
    options: argparse.Namespace,
    valid: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> int:
    """Run a check and print the selected findings; return 1 for errors, with --strict also for warnings, otherwise 0.

    find: runs the check; with --fix it is repeated after files have changed
    valid: the functions that expressions call by what `find` found valid, printed after the findings as text
    """
    report = find()
    if options.fix:
        from stellar.tooling.fixes import fix_files

        report = fix_files(report, find, partial(_is_selected, options))
    shown = [each for each in report.diagnostics if _is_selected(options, each)]
    print(FORMATS[options.format](shown), end="")
    for name, functions in valid.items() if options.format == "text" else ():
        print(f"{name}: valid; functions called: {', '.join(sorted(functions)) or 'none'}")
    return FAILED if any(options.strict or each.is_error for each in shown) else OK


def _is_selected(options: argparse.Namespace, diagnostic: Diagnostic) -> bool:
    """Return True if options select a diagnostic; errors other than lints are always selected."""
    name = diagnostic.name
    if name == ERROR or (name == CONFIGURATION and diagnostic.is_error):
        return True
    return name not in options.ignore and (not options.select or name in options.select)
