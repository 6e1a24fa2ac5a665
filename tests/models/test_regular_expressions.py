"""Functions of regular expressions, with the `regex` package and, in a process of its own, without it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from stellar.models.errors import InvalidModel
from stellar.models.loading import read_pmml

TEXT_INDEX = """<TextIndex textField="s"><Constant dataType="string">ab</Constant></TextIndex>"""


def make_document(expression: str) -> str:
    return f"""<PMML version="4.4"><DataDictionary><DataField name="s" optype="categorical" dataType="string"/>
<DataField name="p" optype="categorical" dataType="string"/></DataDictionary>
<RegressionModel functionName="regression"><MiningSchema><MiningField name="s"/><MiningField name="p"/></MiningSchema>
<Output><OutputField name="o" feature="transformedValue">
{expression}
</OutputField></Output><RegressionTable intercept="1"/></RegressionModel></PMML>"""


def call(function: str, pattern: str, *others: str) -> str:
    constants = "".join(f'<Constant dataType="string">{value}</Constant>' for value in (pattern, *others))
    return make_document(f'<Apply function="{function}"><FieldRef field="s"/>{constants}</Apply>')


DYNAMIC = make_document('<Apply function="matches"><FieldRef field="s"/><FieldRef field="p"/></Apply>')

SCRIPT = """
import json, sys
sys.modules["regex"] = None
from stellar.models.loading import read_pmml
found = []
for document, record in json.load(sys.stdin):
    try:
        found.append(read_pmml(document.encode()).score(record)["o"])
    except ValueError as error:
        found.append(f"{type(error).__name__}: {error}")
print(json.dumps(found))
"""


def score_without_package(*cases: tuple[str, dict[str, str]]) -> list[object]:
    done = subprocess.run([sys.executable, "-c", SCRIPT], input=json.dumps(cases), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: list[object] = json.loads(done.stdout)
    return found


def test_bounded_expressions_are_matched_without_the_package():
    cases = [
        (call("matches", "^[a-z]+[0-9]$"), {"s": "abc7"}),
        (call("matches", "^[a-z]+[0-9]$"), {"s": "abc"}),
        (call("replace", "([a-z])b", "$1-"), {"s": "abcb"}),
        (make_document(TEXT_INDEX), {"s": "ab, c ab"}),
        (DYNAMIC, {"s": "abc", "p": "b"}),
    ]
    found = score_without_package(*cases)
    assert found == [True, False, "a-c-", 2, True]
    assert found == [read_pmml(document.encode()).score(record)["o"] for document, record in cases]


def test_other_expressions_and_strings_are_refused_without_the_package():
    package = "it needs the package regex, which is not installed; run pip install regex"
    found = score_without_package(
        (call("matches", "(a+)+$"), {"s": "aaa"}),
        (DYNAMIC, {"s": "aaa", "p": "(a+)+$"}),
        (call("matches", "a"), {"s": "\u00e9"}),
    )
    assert found == [
        f"InvalidModel: line 5: <Constant>: invalid regular expression '(a+)+$': {package}",
        f"NotScored: function 'matches' failed: invalid regular expression '(a+)+$': {package}",
        "NotScored: function 'matches' failed: the string has a carriage return or characters outside ASCII; install "
        "the package regex to match it: pip install regex",
    ]


@pytest.mark.parametrize("function", [("matches",), ("replace", "x")])
def test_an_invalid_expression_is_refused_when_the_document_is_read(function):
    name, *others = function
    with pytest.raises(InvalidModel, match=r"line 5: <Constant>: invalid regular expression '\(a'"):
        read_pmml(call(name, "(a", *others).encode())
