"""The differences match docs/compatibility.md, each one occurs in a case, and none hides a bug."""

from __future__ import annotations

import re

import pytest
from cases import Answer, Case, load
from compare import Outcome, agrees, attempt, equivalent, outcome
from differences import DOCUMENT, FILES, documented, explain, report, table
from metron_grammar import METRON, OURS, accepts, forms_needed
from metron_machine import metrons_outcome
from metron_traits import Form, Trait

from stellar.functions import LIBRARY
from stellar.language.parser import parse
from stellar.tooling.lints import lint


def test_the_counts_of_the_document_are_current(capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(f"\n{table()}")
    assert documented() == table(), "run python tests/conformance/differences.py --write"


@pytest.mark.parametrize("difference", [*Trait, *Form], ids=lambda difference: difference.name)
def test_every_difference_is_documented_and_occurs_in_a_case(difference: Trait | Form) -> None:
    assert any(report(name).reasons[difference] for name in FILES)
    assert f"\n## {difference.row.split()[0].rstrip(',')}. " in DOCUMENT.read_text("utf-8")


SURPRISES = re.findall(r"^\| (`.+?`) \| .* \| `([a-z-]+)` \|$", DOCUMENT.read_text("utf-8"), re.MULTILINE)


@pytest.mark.parametrize(("texts", "name"), SURPRISES)
def test_every_surprise_has_its_lint(texts: str, name: str) -> None:
    for text in re.findall("`(.+?)`", texts):
        assert name in {finding.name for finding in lint(parse(text), text, LIBRARY)}, text


def test_the_surprises_are_found_in_the_document() -> None:
    assert len(SURPRISES) > 10


@pytest.mark.parametrize("name", FILES)
def test_the_machine_without_traits_agrees_with_compiled_expressions(name: str) -> None:
    different = [
        (case.id, case.text, str(ours), str(theirs))
        for case in load(name)
        if not equivalent(ours := outcome(case), theirs := metrons_outcome(case, frozenset()))
    ]
    assert not different


@pytest.mark.parametrize("name", FILES)
def test_the_grammar_accepts_the_expressions_that_metron_accepted(name: str) -> None:
    texts = {case.text: case for case in load(name) if case.text.strip() and case.mode != "variables"}
    wrong = [text for text, case in texts.items() if accepts(text, METRON) and case.malformed]
    wrong += [text for text, case in texts.items() if not accepts(text, METRON) and not case.answer.failed]
    assert not wrong


@pytest.mark.parametrize("name", FILES)
def test_the_parser_accepts_metrons_grammar_and_the_listed_forms_only(name: str) -> None:
    texts = {case.text for case in load(name) if case.text.strip()}
    wrong = [text for text in texts if accepts(text, OURS) == attempt(lambda text=text: parse(text)).malformed]
    assert not wrong


@pytest.mark.parametrize(
    ("text", "forms"),
    [
        ("3 - 1", set()),
        ("3 -1", {Form.MINUS}),
        ("not x", {Form.PREFIX_NOT}),
        ("F(a and b)", {Form.BARE_ARGUMENT}),
        ("(1 < 2) in l", {Form.ANY_OPERAND}),
        ("'a' + 'b'", {Form.ANY_OPERAND}),
        ("e1 + 1", {Form.EXPONENT_NAME}),
        ("1 //", {Form.BARE_COMMENT_AT_THE_END}),
        ("2147483648", {Form.WIDE_NUMBER}),
        ("[not x, a and -1]", {Form.PREFIX_NOT, Form.MINUS, Form.BARE_ARGUMENT} - {Form.MINUS}),
    ],
)
def test_forms_needed_returns_the_additional_forms(text: str, forms: set[Form]) -> None:
    assert forms_needed(text) == forms


def test_forms_needed_returns_none_for_a_syntax_error() -> None:
    assert forms_needed("1 +") is None


def _case(text: str, answer: object, kind: str, root: str | None = None) -> Case:
    return Case("invented", "", text, {}, "parse", False, Answer(kind, answer, None, root))


@pytest.mark.parametrize(
    ("text", "answer", "kind"),
    [
        ("2147483647 + 1", 2147483647, "Integer"),
        ("1 + 1", 3, "Integer"),
        ("if true then 1 else 2", 2, "Integer"),
        ("0.1f + 0.2", 0.3, "Double"),
        ("1 in [1L]", None, "null"),
    ],
)
def test_a_wrong_result_is_not_explained(text: str, answer: object, kind: str) -> None:
    case = _case(text, answer, kind)
    ours = outcome(case)
    assert not agrees(ours, case)
    assert not explain(case, ours)


def test_an_expression_that_metron_accepts_must_not_be_a_parse_error() -> None:
    case = _case("1 +", 1, "Integer")
    assert not agrees(outcome(case), case)
    assert not explain(case, outcome(case))


def test_an_evaluation_error_does_not_count_as_a_syntax_error() -> None:
    case = _case("1 / 0", None, "null", root="NoViableAltException")
    assert outcome(case).error is not None
    assert not agrees(outcome(case), case)


def test_a_leaked_python_error_does_not_agree() -> None:
    error = outcome(_case("1 / 0", 0, "Integer")).error
    assert error is not None
    error.__cause__ = TypeError("unsupported operand")
    assert Outcome(error=error).leaked
