"""Trains the classifier, tries it on names that it never saw, and writes model.pickle beside this file.

The words are dealt to three hands: one teaches what names look like, one trains the classifier, one is held out. So the
accuracy that is printed is of names made of other words, and by other seeds, than those that were learnt from.
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

from features import Likeness, measured
from names import GENERATED, LEGIT, Words, initials, words
from sklearn.ensemble import RandomForestClassifier

HERE = Path(__file__).parent
NAMES_OF_A_SIDE = {"likeness": 6000, "training": 2500, "held out": 1500}
SEED = 2017
CERTAINTY = 0.9  # almost all names are chosen by people, so a false alarm costs more than a miss


class Report(NamedTuple):
    """How the classifier does on names that it never saw: the share that it gets right, of all and of each kind."""

    learnt_from: int
    held_out: int
    accuracy: float
    accuracy_by_kind: dict[str, float]


class Name(NamedTuple):
    """A name that was made, and how."""

    text: str
    kind: str
    generated: bool


def made(random: Random, some_words: Words, count: int) -> list[Name]:
    """So many names that people might choose, and as many generated ones, of all kinds alike; none twice."""
    sides = ((LEGIT, False), (GENERATED, True))
    names = [
        Name(kind(random, some_words), kind.__name__, generated)
        for kinds, generated in sides
        for kind in kinds
        for _ in range(count // len(kinds))
    ]
    return list({name.text: name for name in names}.values())


def train(seed: int = SEED) -> tuple[dict[str, object], Report]:
    """The model, and how it does. Equal seeds give equal models."""
    random = Random(seed)
    dealt = words()
    random.shuffle(dealt)
    half, three_quarters = len(dealt) // 2, len(dealt) * 3 // 4
    example = made(random, dealt[:half], NAMES_OF_A_SIDE["likeness"])
    training = made(random, dealt[half:three_quarters], NAMES_OF_A_SIDE["training"])
    held_out = made(random, dealt[three_quarters:], NAMES_OF_A_SIDE["held out"])

    # Initials are any letters; they would teach that any letters are usual
    likeness = Likeness.of(name.text for name in example if not name.generated and name.kind != initials.__name__)
    classifier = RandomForestClassifier(30, min_samples_leaf=3, random_state=seed)
    classifier.fit([measured(name.text, likeness) for name in training], [name.generated for name in training])

    probability = classifier.predict_proba([measured(name.text, likeness) for name in held_out])[:, 1]
    model = {"classifier": classifier, "likeness": likeness.counts, "certainty": CERTAINTY}
    return model, report(len(training), held_out, list(probability >= CERTAINTY))


def report(learnt_from: int, held_out: Sequence[Name], judged: Sequence[bool]) -> Report:
    right = Counter(name.kind for name, verdict in zip(held_out, judged, strict=True) if verdict == name.generated)
    kinds = Counter(name.kind for name in held_out)
    by_kind = {kind: right[kind] / count for kind, count in kinds.items()}
    return Report(learnt_from, len(held_out), right.total() / len(held_out), by_kind)


def main() -> None:
    started = perf_counter()
    model, said = train()
    (HERE / "model.pickle").write_bytes(pickle.dumps(model))
    (HERE / "accuracy.json").write_text(json.dumps(said._asdict(), indent=2) + "\n")
    print(f"learnt from {said.learnt_from:,} names, tried on {said.held_out:,} made of other words and seeds")
    print(f"right: {said.accuracy:.1%}")
    for kind, accuracy in said.accuracy_by_kind.items():
        print(f"  {kind:<12} {accuracy:6.1%}")
    print(f"wrote {HERE / 'model.pickle'} in {perf_counter() - started:.1f} s")


if __name__ == "__main__":
    main()
