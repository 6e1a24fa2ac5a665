"""The compiled function of a document gives the results of the complete evaluation, bit by bit."""

from __future__ import annotations

import json
import math
import random
import struct
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from scripts.fuzz.mutations import mutate_record
from stellar.models.compiled.thresholds import find_lower_bound, find_upper_bound
from stellar.models.errors import InvalidModel, NotScored
from stellar.models.loading import load_model
from stellar.models.scoring import ScoringModel
from stellar.models.values import round_single

CORPUS = Path(__file__).parents[1] / "conformance" / "data" / "pmml"
COMPILED = [
    "et_family", "extratree_reg", "gamma", "gb_family", "gb_ffsn", "gb_reg", "hgb_reg", "huber_out", "lasso",
    "lgbm_ffsn", "linreg", "lr_ffsn", "lr_ffsn_cat", "lr_ovr", "power_quant", "rf_ffsn", "ridge_clf", "sgd_log",
    "svc_lin", "tree_family_flat", "tree_ffsn_noncompact", "tree_missing", "ttr_log", "x_old_32", "x_verify_bad",
]  # fmt: skip


@pytest.fixture(scope="module")
def records() -> dict[str, list[dict[str, Any]]]:
    by_document = defaultdict(list)
    for line in (CORPUS / "cases.jsonl").read_text("utf-8").splitlines():
        case = json.loads(line)
        by_document[Path(case["pmml"]).stem].append(case["record"])
    return by_document


def run(score: Any, record: dict[str, Any]) -> Any:
    try:
        return [(name, type(value), _bits(value)) for name, value in score(record).items()]
    except NotScored as error:
        return str(error)


def _bits(value: Any) -> Any:
    return struct.pack("d", value) if isinstance(value, float) else value


@pytest.mark.parametrize("name", COMPILED)
def test_both_forms_of_a_document_give_equal_results(name, records):
    model, chance = load_model(CORPUS / "models" / f"{name}.pmml"), random.Random(name)
    assert model.compile()
    for record in records[name]:
        for variant in (record, mutate_record(record, chance)):
            assert run(model.score, variant) == run(model.score_completely, variant)


def test_no_other_document_of_the_corpus_has_a_compiled_function():
    names = sorted(path.stem for path in (CORPUS / "models").iterdir() if _is_compiled(path))
    assert names == sorted(COMPILED)


def _is_compiled(path: Path) -> bool:
    try:
        return load_model(path).compile()
    except InvalidModel:
        return False


def test_a_model_is_compiled_after_some_records(records):
    model = load_model(CORPUS / "models" / "lr_ffsn.pmml")
    record = records["lr_ffsn"][0]
    first = model.score(record)
    for _ in range(200):
        assert model.score(record) == first
    assert model._score.__name__ == "score_record"  # type: ignore[attr-defined]


def _random_numbers() -> list[float]:
    chance = random.Random(5)
    numbers = [struct.unpack("f", struct.pack("I", chance.getrandbits(32)))[0] for _ in range(2000)]
    special = [0.0, -0.0, 1.0, -1.0, 2.0**-149, -(2.0**-149), 2.0**127, -(2.0**127), 0.1, 1e-300, 3.4e38, 1e39, -1e39]
    return [number for number in numbers if math.isfinite(number)] + special


@pytest.mark.parametrize("is_open", [True, False])
def test_bounds_of_binary32_decide_as_rounding_does(is_open):
    for bound in _random_numbers():
        upper, lower = find_upper_bound(bound, is_open=is_open), find_lower_bound(bound, is_open=is_open)
        for limit in (upper, lower, bound):
            for value in (limit, math.nextafter(limit, math.inf), math.nextafter(limit, -math.inf)):
                if math.isinf(value):
                    continue
                single = round_single(value)
                assert (value <= upper) is (single < bound if is_open else single <= bound), (bound, value)
                assert (value > lower) is (single > bound if is_open else single >= bound), (bound, value)


def test_a_model_with_its_results_is_verified():
    assert isinstance(load_model(CORPUS / "models" / "x_verify_bad.pmml"), ScoringModel)
    with pytest.raises(InvalidModel, match=r"verification record 1: 'y' is 3\.6, expected '3\.7'"):
        load_model(CORPUS / "models" / "x_verify_bad.pmml").verify()
