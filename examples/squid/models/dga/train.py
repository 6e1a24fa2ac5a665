"""Trains the classifier, evaluates it on held-out names, and writes model.pickle to the directory of this file.

The words are split in three: for the trigram model, for the classifier, and for the evaluation. So the printed accuracy
is that on names made of other words, and by other seeds, than the training data.
"""

from __future__ import annotations

import json
import pickle
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from time import perf_counter
from typing import NamedTuple

from features import Likeness, compute_features
from names import GENERATED, LEGIT, Words, initials, words
from sklearn.ensemble import RandomForestClassifier

HERE = Path(__file__).parent
NAMES_PER_CLASS = {"likeness": 6000, "training": 2500, "held out": 1500}
SEED = 2017
CERTAINTY = 0.9  # almost all names are chosen by people, so a false alarm costs more than a miss


class Report(NamedTuple):
    """The accuracy on held-out names, in total and by kind."""

    trained_on: int
    held_out: int
    accuracy: float
    accuracy_by_kind: dict[str, float]


class Name(NamedTuple):
    """A synthetic name, with its kind."""

    text: str
    kind: str
    generated: bool


def make_names(random: Random, vocabulary: Words, count: int) -> list[Name]:
    """Return `count` names as people choose them and as many generated ones, evenly of all kinds, unique."""
    sides = ((LEGIT, False), (GENERATED, True))
    names = [
        Name(kind(random, vocabulary), kind.__name__, generated)
        for kinds, generated in sides
        for kind in kinds
        for _ in range(count // len(kinds))
    ]
    return list({name.text: name for name in names}.values())


def train(seed: int = SEED) -> tuple[dict[str, object], Report]:
    """Return the model and its accuracy. Equal seeds give equal models."""
    random = Random(seed)
    shuffled = words()
    random.shuffle(shuffled)
    half, three_quarters = len(shuffled) // 2, len(shuffled) * 3 // 4
    example = make_names(random, shuffled[:half], NAMES_PER_CLASS["likeness"])
    training = make_names(random, shuffled[half:three_quarters], NAMES_PER_CLASS["training"])
    held_out = make_names(random, shuffled[three_quarters:], NAMES_PER_CLASS["held out"])

    # Initials are arbitrary letters, which would make all trigrams frequent
    likeness = Likeness.of(name.text for name in example if not name.generated and name.kind != initials.__name__)
    classifier = RandomForestClassifier(30, min_samples_leaf=3, random_state=seed)
    classifier.fit([compute_features(name.text, likeness) for name in training], [name.generated for name in training])

    probability = classifier.predict_proba([compute_features(name.text, likeness) for name in held_out])[:, 1]
    model = {"classifier": classifier, "likeness": likeness.counts, "certainty": CERTAINTY}
    return model, summarize(len(training), held_out, list(probability >= CERTAINTY))


def summarize(trained_on: int, held_out: Sequence[Name], predicted: Sequence[bool]) -> Report:
    right = Counter(name.kind for name, result in zip(held_out, predicted, strict=True) if result == name.generated)
    kinds = Counter(name.kind for name in held_out)
    by_kind = {kind: right[kind] / count for kind, count in kinds.items()}
    return Report(trained_on, len(held_out), right.total() / len(held_out), by_kind)


def main() -> None:
    started = perf_counter()
    model, result = train()
    (HERE / "model.pickle").write_bytes(pickle.dumps(model))
    (HERE / "accuracy.json").write_text(json.dumps(result._asdict(), indent=2) + "\n")
    print(f"trained on {result.trained_on:,} names, evaluated on {result.held_out:,} made of other words and seeds")
    print(f"right: {result.accuracy:.1%}")
    for kind, accuracy in result.accuracy_by_kind.items():
        print(f"  {kind:<12} {accuracy:6.1%}")
    print(f"wrote {HERE / 'model.pickle'} in {perf_counter() - started:.1f} s")


if __name__ == "__main__":
    main()
