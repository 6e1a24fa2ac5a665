"""A model that detects generated domains: a random forest on a few features of the name."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

from features import Likeness, compute_features
from serving import serve

MODEL = Path(__file__).with_name("model.pickle")


class DGA:
    """The classifier that train.py has written.

    file: a pickle, which can run any code, and so is only loaded from the model's own directory
    """

    def __init__(self, file: Path = MODEL) -> None:
        model = pickle.loads(file.read_bytes())
        self._classifier, self._likeness = model["classifier"], Likeness(model["likeness"])
        self._certainty = model["certainty"]

    def evaluate_domain(self, host: str) -> str:
        """Return `legit` or `dga` for a domain without its public suffix; the last of several labels is classified."""
        name = host.lower().rpartition(".")[2]
        probability = self._classifier.predict_proba([compute_features(name, self._likeness)])[0][1]
        return "dga" if probability >= self._certainty else "legit"


def main() -> None:
    if not MODEL.exists():
        sys.exit(f"{MODEL} does not exist; create it with: python {MODEL.with_name('train.py')}")
    model = DGA()

    def apply(host: str | None = None) -> dict[str, str | None]:
        """Classify a name; null gives null."""
        return {"dga_status": model.evaluate_domain(host) if host else None}

    serve({"/apply": apply})


if __name__ == "__main__":
    main()
