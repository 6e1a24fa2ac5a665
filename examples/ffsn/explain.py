"""Explains the score of a domain: python explain.py model.pmml domains.jsonl astro-travels.net"""

from __future__ import annotations

import sys
from pathlib import Path

from domain_features import compute_features, read_domains

from stellar.models.loading import load_model


def main() -> None:
    model, source, name = sys.argv[1:]
    (domain,) = [each for each in read_domains(Path(source)) if each["domain"] == name]
    (features,) = compute_features([domain])
    steps = load_model(Path(model)).explain(features)
    print(*(step.description for step in steps if step.description != "true"), sep="\n")
    print(f"label {steps[-1].value}")


if __name__ == "__main__":
    main()
