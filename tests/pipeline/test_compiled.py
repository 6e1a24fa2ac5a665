"""The compiled form of a pipeline has the outcomes and reports of its stages, called one by one."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from scripts.fuzz.pipelines import fix_identity, make_message, make_pair, run, run_loop
from stellar.java.match_timer import match_timer
from stellar.pipeline.build import build_pipeline
from stellar.pipeline.config.loading import SensorConfig, parse_parser
from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.pipeline import Pipeline
from stellar.pipeline.records import Invalid, Raw, Record, Stage

HERE = SourceLocation("test.json")
SEEDS, CONFIGS, MESSAGES = 5, 100, 400


@pytest.mark.parametrize("seed", range(SEEDS))
def test_both_forms_of_a_random_configuration_agree(seed: int) -> None:
    rnd = random.Random(seed)
    outcomes: set[str] = set()
    for _ in range(CONFIGS):
        compiled, slow, config = make_pair(rnd)
        raws = [make_message(rnd, config["parser"]["parserClassName"]) for _ in range(MESSAGES)]
        with fix_identity(), match_timer():
            assert run_loop(compiled, raws) == run_loop(slow, raws), config
            for raw in raws[::4]:
                assert run(compiled, raw) == run(slow, raw), (config, raw)
            outcomes.update(type(outcome).__name__ for raw in raws[::4] for outcome, _ in compiled.processed(raw))
    assert outcomes == {"dict", "Rejected", "Drop", "Forward"}


@pytest.mark.parametrize("name", ["a", "url"])
def test_long_lines_have_the_same_outcomes(name: str) -> None:
    compiled, slow, _ = make_pair(random.Random(0))
    for value in ("x" * 10_000_000, "http://" + "a." * 5_000_000, '"' * 1_000_000):
        raw = Raw(json.dumps({name: value, "timestamp": 1}).encode())
        with fix_identity():
            assert run_loop(compiled, [raw] * 2) == run_loop(slow, [raw] * 2)


# -- Stages of others -------------------------------------------------------------------------------------------------


def build_with(*stages: tuple[str, Stage]) -> Pipeline:
    parser = {"parserClassName": "JSONMap", "parserConfig": {}}
    config = SensorConfig("s", parse_parser(json.dumps(parser), HERE))
    return replace(build_pipeline(config), stages=stages)


def _raise(error: Exception) -> Callable[[Record], Record]:
    def stage(record: Record) -> Record:
        record["changed"] = True
        raise error

    return stage


@pytest.mark.parametrize("error", [Invalid("no", ["a"]), ValueError("no"), RecursionError("no")])
def test_errors_of_stages_of_others_are_rejections_in_both_forms(error: Exception) -> None:
    pipeline = build_with(("enrich", _raise(error)))
    raw = Raw(b'{"a": 1, "guid": "g", "timestamp": 1}')
    expected = run(replace(pipeline, is_compiled=False), raw)
    assert run(pipeline, raw) == expected
    ((outcome, reports),) = expected  # type: ignore[misc]
    assert (json.loads(outcome)["stage"], reports) == ("enrich", [])


def test_a_stage_of_others_may_return_a_new_record() -> None:
    pipeline = build_with(("enrich", lambda record: {"only": record["a"]}))
    [(outcome, reports)] = pipeline.processed(Raw(b'{"a": 1}'))
    assert (outcome, reports) == ({"only": 1}, [])


def test_records_that_were_parsed_before_are_transformed_in_neither_form() -> None:
    pipeline = build_with(("enrich", lambda record: {**record, "enriched": True}))
    pipeline = replace(pipeline, transformations=(lambda record: {**record, "transformed": True},), is_parsing=False)
    for is_compiled in (True, False):
        [(outcome, _)] = replace(pipeline, is_compiled=is_compiled).processed(Raw(b'{"a": 1, "timestamp": 1}'))
        assert outcome == {"a": 1, "timestamp": 1, "enriched": True}
