"""Statistics and sketches: accuracy, merging and pickling."""

from __future__ import annotations

import math
import pickle
import random
import statistics
from bisect import bisect_left, bisect_right
from collections.abc import Callable

import pytest

import stellar
from stellar.language.tagged_json import deserialize, serialize
from stellar.sketches.bloom import BloomFilter
from stellar.sketches.cardinality import Cardinality
from stellar.sketches.sampling import Sampler
from stellar.sketches.summaries import OnlineSummary, WindowSummary
from stellar.sketches.tdigest import TDigest

DISTRIBUTIONS: dict[str, Callable[[random.Random], float]] = {
    "uniform": lambda source: source.random(),
    "normal": lambda source: source.gauss(0, 1),
    "heavy-tailed": lambda source: source.paretovariate(1.1),
    "few values": lambda source: float(source.randrange(5)),
    "in two clusters": lambda source: float(source.getrandbits(1)) + source.random() / 1000,
}


def draw_numbers(name: str, number: int) -> list[float]:
    source = random.Random(7)
    return [DISTRIBUTIONS[name](source) for _ in range(number)]


def make_digest(numbers: list[float]) -> TDigest:
    digest = TDigest()
    for number in numbers:
        digest.add(number)
    return digest


def rank_error(digest: TDigest, ordered: list[float], fraction: float) -> float:
    found = digest.quantile(fraction)
    low, high = bisect_left(ordered, found) / len(ordered), bisect_right(ordered, found) / len(ordered)
    return max(low - fraction, fraction - high, 0.0)


@pytest.mark.parametrize("number", [1, 2, 3, 300, 1000])
def test_percentiles_of_few_numbers_are_exact(number: int) -> None:
    numbers = draw_numbers("normal", number)
    digest, ordered = make_digest(numbers), sorted(numbers)
    for percent in range(101):
        rank = percent / 100 * (number - 1)
        below, above = ordered[math.floor(rank)], ordered[math.ceil(rank)]
        assert digest.quantile(percent / 100) == pytest.approx(below + (above - below) * (rank % 1))


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_percentiles_of_many_numbers_are_within_one_percent_of_the_rank(name: str) -> None:
    numbers = draw_numbers(name, 50_000)
    digest = make_digest(numbers)
    assert len(list(digest.centroids())) <= 1_000
    assert len(digest) == 50_000
    ordered = sorted(numbers)
    assert max(rank_error(digest, ordered, permille / 1000) for permille in range(1001)) < 0.01


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_merged_percentiles_are_as_accurate(name: str) -> None:
    numbers = draw_numbers(name, 20_000)
    merged = TDigest()
    for start in range(0, 20_000, 2_000):
        merged.merge(make_digest(numbers[start : start + 2_000]))
    ordered = sorted(numbers)
    assert max(rank_error(merged, ordered, percent / 100) for percent in range(101)) < 0.01


def test_a_quantile_of_an_empty_digest_is_nan_and_one_out_of_range_is_rejected() -> None:
    assert math.isnan(TDigest().quantile(0.5))
    with pytest.raises(ValueError, match="invalid quantile: expected 0 to 1"):
        TDigest().quantile(1.5)


@pytest.mark.parametrize("parts", [1, 3, 10])
def test_merged_moments_are_those_of_all_numbers(parts: int) -> None:
    numbers = draw_numbers("normal", 999)
    summaries = []
    for part in range(parts):
        summary = OnlineSummary()
        for number in numbers[part::parts]:
            summary.add(number)
        summaries.append(summary)
    whole = summaries[0]
    for summary in summaries[1:]:
        whole = whole.combine(summary)
    mean = statistics.fmean(numbers)
    deviation = statistics.pstdev(numbers)
    skewness = statistics.fmean([((number - mean) / deviation) ** 3 for number in numbers])
    assert whole.count == 999.0
    assert whole.mean == pytest.approx(mean)
    assert whole.variance == pytest.approx(statistics.variance(numbers))
    assert whole.skewness == pytest.approx(skewness * math.sqrt(999 * 998) / 997)
    assert (whole.minimum, whole.maximum) == (min(numbers), max(numbers))


def test_a_window_covers_the_last_numbers() -> None:
    window = WindowSummary(100)
    numbers = draw_numbers("normal", 250)
    for number in numbers:
        window.add(number)
    last = numbers[-100:]
    assert window.mean == pytest.approx(statistics.fmean(last))
    assert window.population_variance == pytest.approx(statistics.pvariance(last))
    assert window.count == 100.0


@pytest.mark.parametrize(("number", "step"), [(100, 1), (10_000, 7), (200_000, 3)])
def test_a_cardinality_is_within_two_percent(number: int, step: int) -> None:
    first, second = Cardinality(), Cardinality()
    for value in range(number):
        (first if value % 2 else second).add(str(value * step))
        first.add(str(value * step))
    first.merge(second)
    assert first.sketch.get_estimate() == pytest.approx(number, rel=0.02)


def test_a_bloom_filter_has_no_false_negatives_and_few_false_positives() -> None:
    bloom = BloomFilter(10_000, 0.01)
    for number in range(10_000):
        bloom.add(b"member %d" % number)
    assert all(b"member %d" % number in bloom for number in range(10_000))
    assert sum(b"other %d" % number in bloom for number in range(10_000)) < 250


def test_a_sample_is_uniform() -> None:
    counts = [0] * 10
    for start in range(300):
        sampler = Sampler(10)
        sampler.random.state ^= start * 7919
        sampler.add_all(range(100))
        for value in sampler.reservoir:
            counts[value // 10] += 1
    assert all(200 < count < 400 for count in counts)


def test_an_outlier_scores_higher_than_usual_values() -> None:
    expression = "OUTLIER_MAD_SCORE(OUTLIER_MAD_ADD(OUTLIER_MAD_STATE_MERGE(null), numbers), x)"
    record = {"numbers": [10 + (number % 7) for number in range(200)]}
    usual, outlier = (stellar.evaluate(expression, {**record, "x": x}) for x in (13, 60))
    assert usual < 1
    assert outlier > 10


ADDITIONS = {
    "STATS_PERCENTILE(s, 50)": "STATS_ADD(s, {})",
    "STATS_MEAN(s)": "STATS_ADD(s, {})",
    "HLLP_CARDINALITY(s)": "HLLP_ADD(s, {})",
    "BLOOM_EXISTS(s, 3)": "BLOOM_ADD(s, {})",
    "SAMPLE_GET(s)": "SAMPLE_ADD(s, {})",
    "OUTLIER_MAD_SCORE(s, 50)": "OUTLIER_MAD_ADD(s, {})",
}
SKETCHES = [
    ("STATS_INIT()", "STATS_PERCENTILE(s, 50)"),
    ("STATS_INIT(5)", "STATS_MEAN(s)"),
    ("HLLP_INIT()", "HLLP_CARDINALITY(s)"),
    ("HLLP_INIT(25)", "HLLP_CARDINALITY(s)"),
    ("BLOOM_INIT(100, 0.01)", "BLOOM_EXISTS(s, 3)"),
    ("SAMPLE_INIT(4)", "SAMPLE_GET(s)"),
    ("OUTLIER_MAD_STATE_MERGE([])", "OUTLIER_MAD_SCORE(s, 50)"),
]
COPIES: dict[str, Callable[[object], object]] = {
    "pickled": lambda sketch: pickle.loads(pickle.dumps(sketch)),
    "serialized": lambda sketch: deserialize(serialize(sketch)),
}


@pytest.mark.parametrize("copied", COPIES)
@pytest.mark.parametrize("number", [0, 1, 20, 3000])
@pytest.mark.parametrize(("init", "expression"), SKETCHES)
def test_a_copy_of_a_sketch_behaves_like_the_original(init: str, expression: str, number: int, copied: str) -> None:
    sketch = stellar.evaluate(init, {})
    for value in range(number):
        stellar.evaluate(ADDITIONS[expression].format(value), {"s": sketch})
    copy = COPIES[copied](sketch)
    for each in (sketch, copy):
        stellar.evaluate(ADDITIONS[expression].format(77), {"s": each})
    ours, theirs = (stellar.evaluate(expression, {"s": each}) for each in (copy, sketch))
    assert ours == theirs or ours != ours


def test_a_missing_package_is_reported_with_the_extra_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "datasketches", None)
    with pytest.raises(
        stellar.EvaluationError, match=r"the package datasketches is not installed; run pip install 'stellar-maas\["
    ):
        stellar.evaluate("HLLP_INIT()", {})


@pytest.mark.parametrize(
    ("values", "number"),
    [
        ([""], 1),
        (["", None, "null"], 3),
        (["\ud800", "?", "\udc00"], 1),
        (["a\ud800", "a?", "?"], 2),
        ([(1, 2), "[1, 2]"], 1),
        ([], 0),
        ((1, 2), 2),
    ],
)
def test_distinct_values_are_counted_as_in_metron(values: object, number: int) -> None:
    assert stellar.evaluate("HLLP_CARDINALITY(HLLP_ADD(null, values))", {"values": values}) == number


def test_the_empty_string_is_counted_after_serialization() -> None:
    estimator = stellar.evaluate("HLLP_ADD(HLLP_ADD(null, ''), [null])", {})
    restored = deserialize(serialize(estimator))
    assert stellar.evaluate("HLLP_CARDINALITY(HLLP_ADD(e, ['', null, 'a']))", {"e": restored}) == 3


def test_the_entropy_of_counts_beyond_the_range_of_floats_is_not_a_number():
    value = stellar.evaluate("IT_ENTROPY({'a' : n, 'b' : 1})", {"n": 10**400})
    assert math.isnan(value)


def test_a_number_beyond_the_range_of_floats_is_infinite_in_a_state_of_outliers():
    state = stellar.evaluate("OUTLIER_MAD_ADD(OUTLIER_MAD_STATE_MERGE([]), [n, 1])", {"n": 10**5000})
    assert stellar.evaluate("OUTLIER_MAD_SCORE(s, n)", {"s": state, "n": -(10**5000)}) is not None
