"""`stellar-pipeline test`: runs the tests beside a configuration."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from stellar.pipeline.cli.common import add_config
from stellar.pipeline.command_line import FAILED, OK
from stellar.pipeline.testing.loading import FOLDER, load_suites
from stellar.pipeline.testing.reports import format_result, format_summary, make_junit
from stellar.pipeline.testing.running import CaseResult, run_suite
from stellar.util.abbreviate import quote

DESCRIPTION = (
    f"Run the tests in {FOLDER}/*.yaml of a configuration directory. Each test is a line or a record with the expected "
    "fields, score, rules and errors; its clock is fixed, and models and stores are those that the file lists."
)
EXIT_STATUS = "exit status: 0 if all tests pass; 1 if one fails, and for an invalid file or configuration"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add = parser.add_argument
    add("-k", "--filter", metavar="TEXT", default="", help="run only tests whose name contains this, in any case")
    add("--junit", metavar="FILE", type=Path, help="write the results as JUnit's XML, too")
    add("--quiet", action="store_true", help="print only tests that fail")
    add_config(parser)
    parser.set_defaults(max_warnings=0)


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    begin = time.perf_counter()
    results: list[CaseResult] = []
    for suite in load_suites(options.config):
        for result in run_suite(suite, options.filter):
            results.append(result)
            if not (options.quiet and result.has_passed):
                print("\n".join(format_result(result)), flush=True)
    if not results:
        raise ValueError(f"no test has a name that contains {quote(options.filter)}; check -k")
    if options.junit is not None:
        options.junit.write_bytes(make_junit(results))
    print(format_summary(results, time.perf_counter() - begin))
    return OK if all(result.has_passed for result in results) else FAILED
