"""Scores domains with pandas: python score_pandas.py model.pmml domains.jsonl"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
from domain_features import compute_features, read_domains

from stellar.models.loading import load_model
from stellar.spark import TransformerBuilder


def score_domains(model: Path, source: Path) -> pd.DataFrame:
    """Return the domains with many addresses: their features, label and probabilities."""
    domains = read_domains(source)
    frame = pd.DataFrame(compute_features(domains), index=[domain["domain"] for domain in domains])
    builder = TransformerBuilder(load_model(model)).withLabelCol("ffsn").withProbabilityCol("ffsn_prob").exploded(True)
    return builder.build().transform(frame)


if __name__ == "__main__":
    scored = score_domains(*map(Path, sys.argv[1:]))
    print(scored[scored.ffsn == 1][["n_systems", "n_countries", "ffsn", "ffsn_prob"]].tail(3).to_string())
