"""Mutated documents and records: each gives a score or an error of ours."""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from scripts.fuzz.mutations import mutate, mutate_record
from stellar.models.errors import InvalidModel, NotScored
from stellar.models.loading import read_pmml

CORPUS = Path(__file__).parents[1] / "conformance" / "data" / "pmml"
# Small documents have as many kinds of elements as large ones, and are read faster
DOCUMENTS = [(path.name, path.read_bytes()) for path in sorted((CORPUS / "models").iterdir())]
SMALL = [(name, document) for name, document in DOCUMENTS if len(document) < 12_000]


def find_outcome(document: bytes, records: list[dict[str, Any]]) -> str:
    """Return invalid, scored or refused. Other exceptions than ours are raised."""
    try:
        model = read_pmml(document)
    except InvalidModel:
        return "invalid"
    outcomes = set()
    for record in records:
        try:
            model.score(record)
        except NotScored:
            outcomes.add("refused")
        else:
            outcomes.add("scored")
    return "scored" if "scored" in outcomes else "refused"


@pytest.fixture(scope="module")
def records() -> dict[str, list[dict[str, Any]]]:
    by_document = defaultdict(list)
    for line in (CORPUS / "cases.jsonl").read_text("utf-8").splitlines():
        case = json.loads(line)
        by_document[Path(case["pmml"]).name].append(case["record"])
    return by_document


@pytest.mark.parametrize("seed", range(20))
def test_a_thousand_mutated_documents_give_scores_or_errors_of_ours(seed, records):
    chance = random.Random(seed)
    outcomes: Counter[str] = Counter()
    for _ in range(1000):
        name, document = chance.choice(SMALL)
        known = records[name]
        chosen = [mutate_record(record, chance) for record in chance.sample(known, min(2, len(known)))]
        outcomes[find_outcome(mutate(document, chance), chosen or [{}])] += 1
    assert outcomes.total() == 1000
    assert outcomes["invalid"]
    assert outcomes["scored"]


def test_functions_that_call_each_other_twice_are_refused():
    functions = "".join(
        f'<DefineFunction name="f{index}" optype="continuous"><ParameterField name="x"/><Apply function="+">'
        f'<Apply function="{name}"><FieldRef field="x"/></Apply><Apply function="{name}"><FieldRef field="x"/></Apply>'
        "</Apply></DefineFunction>"
        for index in range(60)
        for name in [f"f{index - 1}" if index else "exp"]
    )
    assert (
        find_outcome(_wrap(functions, '<Apply function="f59"><FieldRef field="a"/></Apply>'), [{"a": 1}]) == "invalid"
    )


def test_strings_that_double_are_refused():
    fields = "".join(
        f'<DerivedField name="d{index}" optype="categorical" dataType="string"><Apply function="concat">'
        f'<FieldRef field="{name}"/><FieldRef field="{name}"/></Apply></DerivedField>'
        for index in range(60)
        for name in [f"d{index - 1}" if index else "a"]
    )
    length = '<Apply function="stringLength"><FieldRef field="d59"/></Apply>'
    assert find_outcome(_wrap(fields, length), [{"a": 1}]) == "refused"


def _wrap(transformations: str, expression: str) -> bytes:
    return f"""<PMML version="4.4"><DataDictionary><DataField name="a" optype="continuous" dataType="double"/>
<DataField name="y" optype="continuous" dataType="double"/></DataDictionary>
<TransformationDictionary>{transformations}</TransformationDictionary>
<RegressionModel functionName="regression"><MiningSchema><MiningField name="a"/>
<MiningField name="y" usageType="target"/></MiningSchema><Output><OutputField name="o" feature="transformedValue">
{expression}</OutputField></Output><RegressionTable intercept="1"/></RegressionModel></PMML>""".encode()
