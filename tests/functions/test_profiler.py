"""PROFILER_*: a profiler in memory."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

import stellar
from stellar.functions import SHELL_LIBRARY
from stellar.language.context import NOTHING, Context, GlobalSettings

HELLO = {"profile": "hello", "foreach": "ip", "init": {"count": 0}, "update": {"count": "count + 1"}, "result": "count"}


def value(expression: str, context: Context = NOTHING, **record: Any) -> Any:
    return stellar.evaluate(expression, record, context, library=SHELL_LIBRARY)


def define(*profiles: dict[str, Any], **more: Any) -> str:
    return json.dumps({"profiles": list(profiles), **more})


def flush(profiles: str, *messages: dict[str, Any], context: Context = NOTHING) -> Any:
    record = {"profiles": profiles, "messages": list(messages)}
    return value("PROFILER_FLUSH(PROFILER_APPLY(messages, PROFILER_INIT(profiles)))", context, **record)


def test_an_entity_has_a_value_per_period() -> None:
    config = define(HELLO, timestampField="timestamp")
    messages = [{"ip": "a", "timestamp": 1530978697769 + n} for n in (1, 2, -1)] + [
        {"ip": "b", "timestamp": "1530978697769"}
    ]
    period = {"period": 1701087, "start": 1530978300000, "duration": 900000, "end": 1530979200000}
    assert flush(config, *messages) == [
        {"profile": "hello", "entity": "a", "value": 3, "groups": [], "period": period},
        {"profile": "hello", "entity": "b", "value": 1, "groups": [], "period": period},
    ]


@pytest.mark.parametrize(
    "messages",
    [
        '{"ip": "a"}',
        '[{"ip": "a"}]',
        ['{"ip": "a"}'],
        [{"ip": "a"}],
        {"ip": "a"},
        ['[{"ip": "a"}]'],
        '["{\\"ip\\": \\"a\\"}"]',
    ],
)
def test_messages_are_json_or_maps_or_lists_of_them(messages: Any) -> None:
    profiler = value("PROFILER_APPLY(messages, PROFILER_INIT(config))", messages=messages, config=define(HELLO))
    assert str(profiler) == "Profiler{1 profile(s), 1 messages(s), 1 route(s)}"


@pytest.mark.parametrize("messages", ["{", "{} {}", "1", 1, None, [1], "[[[null]]]", "[" * 200 + "]" * 200])
def test_invalid_messages_are_an_error(messages: Any) -> None:
    with pytest.raises(stellar.EvaluationError, match=r"PROFILER_APPLY expected messages|invalid message: "):
        value("PROFILER_APPLY(messages, PROFILER_INIT(config))", messages=messages, config=define(HELLO))


def test_variables_are_preserved_and_init_is_run_again_after_a_flush() -> None:
    kept = {**HELLO, "profile": "kept", "init": {"again": "if again == null then 1 else again + 1"}}
    kept["update"] = {"count": "if count == null then 1 else count + 1"}
    kept["result"] = "[count, again]"
    profiler = value("PROFILER_APPLY({'ip': 'a'}, PROFILER_INIT(config))", config=define(HELLO, kept))
    assert [each["value"] for each in value("PROFILER_FLUSH(p)", p=profiler)] == [1, [1, 1]]
    assert value("PROFILER_FLUSH(p)", p=profiler) == []  # nothing since then
    value("PROFILER_APPLY({'ip': 'a'}, p)", p=profiler)
    assert [each["value"] for each in value("PROFILER_FLUSH(p)", p=profiler)] == [1, [2, 2]]


def test_variables_take_precedence_over_fields_and_null_leaves_them_unchanged() -> None:
    profile = {
        "profile": "p",
        "foreach": "'all'",
        "init": {"x": "field", "y": "2"},
        "update": {"y": "null"},
        "result": "[x, y]",
    }
    (measured,) = flush(define(profile), {"field": 1, "x": 5, "y": 6}, {"field": 3, "x": 5})
    assert measured["value"] == [1, 2]


def test_groups_see_the_period_and_the_result() -> None:
    profile = {**HELLO, "groupBy": ["result > 1", "DAY_OF_WEEK(start)", "profile", "entity", "end - start == duration"]}
    (measured,) = flush(define(profile, timestampField="t"), {"ip": "a", "t": 1530978697769})
    assert measured["groups"] == [False, 7, "hello", "a", True]


def test_the_period_is_configured() -> None:
    settings = GlobalSettings({"profiler.period.duration": "1", "profiler.period.duration.units": "HOURS"})
    (measured,) = flush(
        define(HELLO, timestampField="t"), {"ip": "a", "t": 7_200_001}, context=Context({GlobalSettings: settings})
    )
    assert measured["period"] == {"period": 2, "start": 7_200_000, "duration": 3_600_000, "end": 10_800_000}


def test_a_message_without_the_timestamp_is_ignored() -> None:
    assert flush(define(HELLO, timestampField="t"), {"ip": "a"}, {"ip": "a", "t": "x"}, {"ip": "a", "t": None}) == []


@pytest.mark.parametrize("condition", ["protocol == 'HTTP'", "'no'", "0", "false"])
def test_a_message_that_does_not_satisfy_the_condition_is_ignored(condition: str) -> None:
    assert flush(define({**HELLO, "onlyif": condition}), {"ip": "a"}) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"onlyif": "null"}, "profile 'hello': onlyif must be true or false, got null: null"),
        ({"onlyif": "'maybe'"}, "profile 'hello': onlyif must be true or false, got the string 'maybe'"),
        ({"onlyif": "1/0 > 1"}, "profile 'hello': onlyif failed: "),
        ({"foreach": "missing"}, "profile 'hello': foreach is null, not the name of an entity; restrict the messages"),
        ({"foreach": "''"}, "profile 'hello': foreach is an empty string, not the name of an entity"),
        ({"foreach": "1/0"}, "profile 'hello': foreach failed: "),
        ({"foreach": "JOIN(SPLIT(long, ','), '')"}, "the entity has 5,000 characters, more than 4,096"),
        ({"init": {"n": "1/0"}}, "profile 'hello' of 'a': init of 'n' failed: "),
        ({"update": {"n": "1/0"}}, "profile 'hello' of 'a': update of 'n' failed: "),
        ({"result": "null"}, "profile 'hello' of 'a': result is null, so there is no value in this period: null"),
        ({"result": "1/0"}, "profile 'hello' of 'a': result failed: "),
        ({"groupBy": ["null"]}, "profile 'hello' of 'a': groupBy is null"),
        ({"result": {"profile": "count", "triage": {"x": "null"}}}, "profile 'hello' of 'a': triage of 'x' is null"),
        ({"update": {"n": "SPLIT(many, ',')"}}, "profile 'hello' of 'a': 'n' has more than 100,000 elements"),
    ],
)
def test_a_failing_profile_is_reported_and_the_others_continue(
    changes: dict[str, Any], message: str, caplog: pytest.LogCaptureFixture
) -> None:
    record = {"ip": "a", "long": "x" * 5000, "many": "," * 100_001}
    with caplog.at_level(logging.WARNING):
        measured = flush(define({**HELLO, **changes}, {**HELLO, "profile": "other"}), record)
    assert [each["profile"] for each in measured if each["profile"] == "other"] == ["other"]
    if "update" not in changes or "many" in str(changes):  # a failing update leaves the value of init
        assert len(measured) == 1
    assert message in caplog.records[0].getMessage()


def test_a_variable_that_is_too_large_ends_the_period(caplog: pytest.LogCaptureFixture) -> None:
    profile = {
        **HELLO,
        "init": {"s": "[]"},
        "update": {"s": "if big != null then SPLIT(big, ',') else s"},
        "result": "LENGTH(s)",
    }
    messages = [{"ip": "a"}, {"ip": "a", "big": "," * 100_001}, {"ip": "a"}]
    assert flush(define(profile), *messages) == []
    assert [record.getMessage().partition(";")[0] for record in caplog.records] == [
        "profile 'hello' of 'a': 's' has more than 100,000 elements",
        "profile 'hello' of 'a': a variable has more than 100,000 elements",
    ]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{", "invalid definitions of profiles: expected a JSON object"),
        ("[]", "expected a map with profiles, got the list []"),
        ('{"profile": []}', "unknown key 'profile'; did you mean profiles?"),
        (define({"profile": "p", "foreach": "ip"}), "profiles[0]: missing key 'result': the value of the profile"),
        (define({**HELLO, "groupby": []}), "profiles[0]: unknown key 'groupby'; did you mean groupBy?"),
        (
            define({**HELLO, "init": ["count"]}),
            "profiles[0].init: expected a map from names to expressions, got the list",
        ),
        (define({**HELLO, "result": {"triage": {}}}), "profiles[0].result: missing key 'profile'"),
        (
            define({**HELLO, "expires": 0}),
            "profiles[0].expires: expected a number of days, 1 or more, got the integer 0",
        ),
        (define({**HELLO, "update": {"n": "TO_UPER(a)"}}), "profiles[0].update.n: unknown function TO_UPER"),
        (define(HELLO, HELLO), "profiles[1].profile: profiles[0] has the name 'hello', too; use another name"),
    ],
)
def test_an_invalid_definition_is_an_error(config: str, message: str) -> None:
    with pytest.raises(stellar.EvaluationError) as refused:
        value("PROFILER_INIT(config)", config=config)
    assert message in str(refused.value)


def test_entities_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stellar.profiles.local.MAX_ENTITIES", 2)
    with pytest.raises(
        stellar.EvaluationError, match="the profiles have more than 2 entities; restrict them by onlyif"
    ):
        flush(define(HELLO), *({"ip": str(n)} for n in range(3)))
