"""A model that tells generated domains from chosen ones: a random forest over a few features of the name."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

from features import Likeness, measured
from serving import serve

MODEL = Path(__file__).with_name("model.pickle")


class DGA:
    """The classifier that train.py wrote.

    file: a pickle, which is a program: it is only ever read from the model's own folder
    """

    def __init__(self, file: Path = MODEL) -> None:
        model = pickle.loads(file.read_bytes())
        self._classifier, self._likeness = model["classifier"], Likeness(model["likeness"])
        self._certainty = model["certainty"]

    def evaluate_domain(self, host: str) -> str:
        """`legit` or `dga`, for a domain without its public suffix. Of several labels the last one is judged."""
        name = host.lower().rpartition(".")[2]
        probability = self._classifier.predict_proba([measured(name, self._likeness)])[0][1]
        return "dga" if probability >= self._certainty else "legit"


def main() -> None:
    if not MODEL.exists():
        sys.exit(f"{MODEL} is not there; make it with: python {MODEL.with_name('train.py')}")
    model = DGA()

    def apply(host: str | None = None) -> dict[str, str | None]:
        """What the model says of a name; of none it says nothing."""
        return {"dga_status": model.evaluate_domain(host) if host else None}

    serve({"/apply": apply})


if __name__ == "__main__":
    main()
