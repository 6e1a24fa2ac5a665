"""Trains a decision tree on the features of labelled domains, and writes it as PMML.

python train.py training.jsonl ffsn/model.pmml
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
from domain_features import compute_features, read_domains, read_features
from sklearn.tree import DecisionTreeClassifier

from stellar.models.sklearn2pmml import DataFrameMapper, sklearn2pmml


def main() -> None:
    source, pmml = map(Path, sys.argv[1:])
    domains = read_domains(source)
    features = list(read_features())
    data = pd.DataFrame(compute_features(domains))
    data["label"] = [domain["label"] for domain in domains]
    clf = DecisionTreeClassifier(max_depth=8, min_samples_leaf=5, random_state=1)
    clf.fit(data[features], data["label"])
    default_mapper = DataFrameMapper([(i, None) for i in [*features, "label"]])
    pmml.parent.mkdir(parents=True, exist_ok=True)
    sklearn2pmml(estimator=clf, mapper=default_mapper, pmml=str(pmml))
    print(
        f"{len(domains)} domains with many addresses, {data['label'].sum()} of them fluxing; "
        f"the tree has {clf.get_n_leaves()} leaves"
    )


if __name__ == "__main__":
    main()
