"""Results of tests as lines for people, and as JUnit's XML for programs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from xml.etree import ElementTree

from stellar.pipeline.testing.running import CaseResult
from stellar.util.abbreviate import escape

# XML 1.0 has no characters for these, not even as references
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def format_result(result: CaseResult) -> Iterator[str]:
    """Yield the lines of a result: its name, and its differences."""
    verdict = "ok   " if result.has_passed else "FAIL "
    yield escape(f"{verdict}{result.suite.name}: {result.name}")
    if result.error is not None:
        yield from (f"     {escape(line)}" for line in result.error.splitlines())
    for difference in result.differences:
        yield from (f"     {escape(line)}" for line in difference.splitlines())


def format_summary(results: Sequence[CaseResult], seconds: float) -> str:
    """Return the numbers of tests that passed and failed."""
    passed = sum(result.has_passed for result in results)
    failed = len(results) - passed
    numbers = ", ".join([f"{passed} passed", *([f"{failed} failed"] if failed else [])])
    return f"{numbers} in {seconds:.1f} s"


def make_junit(results: Iterable[CaseResult]) -> bytes:
    """Return the results as JUnit's XML: a test suite for each file."""
    root = ElementTree.Element("testsuites")
    suites: dict[str, list[CaseResult]] = {}
    for result in results:
        suites.setdefault(str(result.suite.file), []).append(result)
    for file, of_file in suites.items():
        root.append(_make_suite(file, of_file))
    return bytes(ElementTree.tostring(root, "utf-8", xml_declaration=True)) + b"\n"


def _make_suite(file: str, results: Sequence[CaseResult]) -> ElementTree.Element:
    suite = ElementTree.Element(
        "testsuite",
        {
            "name": _clean(results[0].suite.name),
            "file": _clean(file),
            "tests": str(len(results)),
            "failures": str(sum(bool(result.differences) for result in results)),
            "errors": str(sum(result.error is not None for result in results)),
            "time": f"{sum(result.seconds for result in results):.3f}",
        },
    )
    suite.extend(map(_make_case, results))
    return suite


def _make_case(result: CaseResult) -> ElementTree.Element:
    case = ElementTree.Element(
        "testcase",
        {
            "classname": _clean(result.suite.name),
            "name": _clean(result.name),
            "file": _clean(str(result.suite.file)),
            "line": str(result.line),
            "time": f"{result.seconds:.3f}",
        },
    )
    if result.error is not None:
        _add(case, "error", result.error)
    elif result.differences:
        _add(case, "failure", "\n".join(result.differences))
    return case


def _add(case: ElementTree.Element, kind: str, text: str) -> None:
    first, *_ = text.splitlines() or [""]
    ElementTree.SubElement(case, kind, {"message": _clean(first)}).text = _clean(text)


def _clean(text: str) -> str:
    """Escape the characters that XML cannot contain."""
    return _NOT_XML.sub(lambda match: ascii(match[0])[1:-1], text)
