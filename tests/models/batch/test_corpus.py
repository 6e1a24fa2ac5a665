"""Batches of the documents of the corpus give the results of single records, bit by bit."""

from __future__ import annotations

import json
import random
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parent))  # the module beside this one is imported by its name

from batches import check_batch, is_compiled, make_columns

from scripts.fuzz.mutations import mutate_record
from stellar.models.batch.scores import LEAST_ROWS
from stellar.models.errors import InvalidModel
from stellar.models.loading import load_model
from stellar.models.scoring import ScoringModel

CORPUS = Path(__file__).parents[2] / "conformance" / "data" / "pmml"
COMPILED = [
    "et_family", "extratree_reg", "gamma", "gb_family", "gb_ffsn", "gb_reg", "hgb_reg", "huber_out", "lasso",
    "lgbm_ffsn", "linreg", "lr_ffsn", "lr_ffsn_cat", "lr_ovr", "power_quant", "rf_ffsn", "ridge_clf", "sgd_log",
    "svc_lin", "tree_family_flat", "tree_ffsn_noncompact", "tree_missing", "ttr_log", "x_glm_cloglog_4",
    "x_glm_identity_0", "x_glm_log_1", "x_glm_logit_2", "x_glm_loglog_5", "x_glm_negbin_10", "x_glm_power_8",
    "x_glm_probit_3", "x_old_32", "x_reg_exp", "x_reg_logit", "x_reg_none", "x_reg_probit", "x_regc_cloglog",
    "x_regc_ordinal", "x_regc_probit", "x_regc_softmax", "x_verify_bad",
]  # fmt: skip


def _load(path: Path) -> ScoringModel | None:
    try:
        model = load_model(path)
    except InvalidModel:
        return None
    return model if model.inputs() else None


@pytest.fixture(scope="module")
def records() -> dict[str, list[dict[str, Any]]]:
    by_document = defaultdict(list)
    for line in (CORPUS / "cases.jsonl").read_text("utf-8").splitlines():
        case = json.loads(line)
        by_document[Path(case["pmml"]).stem].append(case["record"])
    return by_document


MODELS = {path.stem: model for path in sorted((CORPUS / "models").iterdir()) if (model := _load(path))}


@pytest.mark.parametrize("name", MODELS)
def test_a_batch_gives_the_results_of_its_records(name, records):
    model, chance = MODELS[name], random.Random(name)
    drawn = [chance.choice(records[name] or [{}]) for _ in range(LEAST_ROWS)]
    check_batch(model, make_columns(model, drawn))
    spoilt = [mutate_record(record, chance) for record in drawn[:60]]
    check_batch(model, make_columns(model, drawn + spoilt))


def test_the_documents_that_have_a_program_for_batches():
    assert sorted(name for name, model in MODELS.items() if is_compiled(model)) == sorted(COMPILED)
