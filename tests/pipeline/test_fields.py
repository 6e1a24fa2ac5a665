"""Field transformations, filters and validations, by their results for a record."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from stellar.language.errors import ConfigError
from stellar.pipeline.pipeline import Pipeline
from stellar.pipeline.records import Drop, Invalid, Raw, Record, Rejected

from .conftest import own_fields, transforming

Send = Callable[..., Record]
Make = Callable[..., Pipeline]


def stellar(config: dict[str, Any], **more: Any) -> Record:
    return {"transformation": "STELLAR", "config": config, **more}


@pytest.mark.parametrize(
    ("transformation", "record", "result"),
    [
        # In the order of the configuration, each with the results before it; others than outputs are temporary
        (stellar({"t": "x + 1", "y": "t * 2"}, output=["y"]), {"x": 1}, {"x": 1, "y": 4}),
        # Without output, all of it is output
        (stellar({"t": "x + 1", "y": "t * 2"}), {"x": 1}, {"x": 1, "t": 2, "y": 4}),
        # The order of output has no effect
        (stellar({"t": "1", "y": "t"}, output=["y", "t"]), {}, {"t": 1, "y": 1}),
        # Null removes a field
        (stellar({"x": "null", "y": "5"}), {"x": 1}, {"y": 5}),
        # Until then the field has its value
        (stellar({"x": "null", "y": "x"}), {"x": 1}, {"y": 1}),
        # A name in output without an expression is not changed
        (stellar({"y": "1"}, output=["x", "y"]), {"x": 7}, {"x": 7, "y": 1}),
        # With input only those fields are variables
        (
            stellar({"y": "exists(a)", "z": "exists(b)"}, input=["a"], output=["y", "z"]),
            {"a": 1, "b": 1},
            {"a": 1, "b": 1, "y": True, "z": False},
        ),
        # All fields
        (
            stellar({"y": "LENGTH(JOIN(MAP(['a', 'b'], k -> MAP_GET(k, _)), ''))"}),
            {"a": "xx", "b": "y"},
            {"a": "xx", "b": "y", "y": 3},
        ),
        # Members of parserConfig are variables; fields take precedence
        (
            stellar({"y": "option", "z": "shadowed", "n": "nulled"}),
            {"shadowed": 1, "nulled": None},
            {"shadowed": 1, "nulled": None, "y": "of the parser", "z": 1, "n": 8},
        ),
        # A number is an expression, null is ignored
        (stellar({"y": 5, "z": None}), {}, {"y": 5}),
        # A map is unchanged
        (stellar({"y": "{'a': 1}"}), {}, {"y": {"a": 1}}),
        ({"transformation": "REMOVE", "input": "a"}, {"a": 1, "b": 2}, {"b": 2}),
        (
            {"transformation": "REMOVE", "input": ["a", "b"], "config": {"condition": "c > 1"}},
            {"a": 1, "b": 2, "c": 2},
            {"c": 2},
        ),
        (
            {"transformation": "REMOVE", "input": "a", "config": {"condition": "c > 1"}},
            {"a": 1, "c": 1},
            {"a": 1, "c": 1},
        ),
        ({"transformation": "REMOVE", "input": "a", "config": {"condition": "c > 1"}}, {"a": 1}, {"a": 1}),
        ({"transformation": "SELECT", "output": ["a"]}, {"a": 1, "b": 2}, {"a": 1}),
        ({"transformation": "RENAME", "config": {"a": "b", "no": "c"}}, {"a": 1, "b": 2}, {"b": 1}),
        (
            {"transformation": "RENAME", "input": ["a"], "config": {"a": "x", "b": "y"}},
            {"a": 1, "b": 2},
            {"x": 1, "b": 2},
        ),
        ({"transformation": "RENAME", "config": {"a": "b", "b": "a"}}, {"a": 1, "b": 2}, {"a": 2, "b": 1}),
        ({"transformation": "RENAME", "config": {"a": "b"}}, {"a": None, "b": 2}, {}),
        ({"transformation": "IP_PROTOCOL", "input": "p"}, {"p": 6}, {"p": "TCP"}),
        ({"transformation": "IP_PROTOCOL", "input": "p", "output": "q"}, {"p": 17}, {"p": 17, "q": "UDP"}),
        ({"transformation": "IP_PROTOCOL", "input": "p"}, {"p": 88}, {"p": ""}),
        ({"transformation": "IP_PROTOCOL", "input": "p"}, {"p": 63}, {}),  # a number without a name
        ({"transformation": "IP_PROTOCOL", "input": "p"}, {"p": 999}, {}),
        ({"transformation": "IP_PROTOCOL", "input": "p"}, {"p": "6"}, {"p": "6"}),  # a string is unchanged
        ({"transformation": "IP_PROTOCOL", "input": "p"}, {}, {}),
        (
            {
                "transformation": "REGEX_SELECT",
                "input": "s",
                "output": "k",
                "config": {"asa": "%ASA-", "x": ["^x", "y$"]},
            },
            {"s": "a %ASA-1"},
            {"s": "a %ASA-1", "k": "asa"},
        ),
        (
            {
                "transformation": "REGEX_ROUTING",
                "input": "s",
                "output": "k",
                "config": {"asa": "%ASA-", "x": ["^x", "y$"]},
            },
            {"s": "oy"},
            {"s": "oy", "k": "x"},
        ),
        (
            {"transformation": "REGEX_SELECT", "input": "s", "output": "k", "config": {"x": "^x"}},
            {"s": "o", "k": 1},
            {"s": "o", "k": 1},
        ),
        ({"transformation": "REGEX_SELECT", "input": "s", "output": "k", "config": {"x": "("}}, {"s": "("}, {"s": "("}),
        ({"transformation": "REGEX_SELECT", "input": "s", "output": "k", "config": {"x": ""}}, {}, {}),
    ],
)
def test_a_transformation_changes_a_record(transformation: Record, record: Record, result: Record, send: Send) -> None:
    parser = transforming(transformation, option="of the parser", shadowed="no", nulled=8)
    assert own_fields(send(record, parser=parser)) == result


def test_transformations_run_in_their_order(send: Send) -> None:
    parser = transforming(
        stellar({"y": "x + 1"}), {"transformation": "RENAME", "config": {"y": "z"}}, stellar({"w": "z + 1"})
    )
    assert own_fields(send({"x": 1}, parser=parser)) == {"x": 1, "z": 2, "w": 3}


def test_a_field_can_be_a_temporary_variable_of_several_transformations(send: Send) -> None:
    first, second = stellar({"t": "x + 1"}, output=["t"]), stellar({"y": "t * 2", "t": "null"}, output=["y", "t"])
    assert own_fields(send({"x": 1}, parser=transforming(first, second))) == {"x": 1, "y": 4}


def test_required_fields_are_added_after_the_transformations(send: Send) -> None:
    parser = transforming({"transformation": "REMOVE", "input": ["guid", "original_string"]})
    record = send({"guid": "mine"}, parser=parser)
    assert record["guid"] not in (None, "mine")
    assert record["original_string"] == '{"timestamp": 1, "original_string": "o", "guid": "mine"}'
    assert record["source.type"] == "squid"


@pytest.mark.parametrize("guid", [None, ""])
def test_an_empty_guid_is_replaced(guid: str | None, send: Send) -> None:
    assert len(send({"guid": guid})["guid"]) == 36


def test_an_existing_guid_is_not_replaced(send: Send) -> None:
    assert send({"guid": "mine"})["guid"] == "mine"


def test_a_transformation_that_fails_rejects_the_record(make_pipeline: Make) -> None:
    pipeline = make_pipeline(parser=transforming(stellar({"y": "1 / x"}), jsonpQuery="$"))
    raw = Raw(b'[{"x": 0}, {"x": 1}]')
    bad, good = pipeline(raw)
    assert isinstance(bad, Rejected)
    assert bad.stage == "transform"
    assert bad.raw == raw.content
    assert bad.reason.startswith("Unable to process transformation: 1 / x for y because ")
    assert "1 | 1 / x" in bad.reason
    assert isinstance(good, dict)
    assert good["y"] == 1


@pytest.mark.parametrize(
    ("transformation", "message"),
    [
        ({"transformation": "SELECT"}, "output: SELECT needs the names of fields as 'output' or 'input'"),
        (
            {"transformation": "IP_PROTOCOL", "input": ["a", "b"]},
            "input: IP_PROTOCOL needs the name of one field as 'input'",
        ),
        ({"transformation": "REGEX_SELECT"}, "input: REGEX_SELECT needs the name of one field as 'input'"),
        ({"transformation": "RENAME", "config": {"a": 5}}, "config.a: expected the new name as a string, got 5"),
        (
            {"transformation": "REMOVE", "input": "a", "config": {"condition": 5}},
            "config.condition: expected an expression as a string, got 5",
        ),
        (
            {"transformation": "STELLAR", "config": {}},
            "config: missing expressions; specify a map from field to expression",
        ),
    ],
)
def test_an_invalid_transformation_is_rejected(transformation: Record, message: str, make_pipeline: Make) -> None:
    with pytest.raises(ConfigError) as refused:
        make_pipeline(parser=transforming(transformation))
    assert refused.value.path + ": " + refused.value.message == f"fieldTransformations[0].{message}"


def test_an_invalid_regular_expression_gives_a_warning(make_pipeline: Make, caplog: pytest.LogCaptureFixture) -> None:
    select = {"transformation": "REGEX_SELECT", "input": "s", "output": "k", "config": {"x": "("}}
    make_pipeline(parser=transforming(select))
    assert "fieldTransformations[0].config.x: invalid regular expression '(' never matches" in caplog.text


STELLAR_FILTER = "org.apache.metron.parsers.filters.StellarFilter"


@pytest.mark.parametrize(
    ("name", "options", "record", "passes"),
    [
        ("STELLAR", {"filter.query": "x > 1"}, {"x": 2}, True),
        ("STELLAR", {"filter.query": "x > 1"}, {"x": 1}, False),
        ("STELLAR", {"filter.query": "x > 1"}, {}, False),
        ("STELLAR", {"filter.query": "  "}, {}, True),
        (STELLAR_FILTER, {"filter.query": "exists(x)"}, {}, False),
        ("STELLAR", {"filter.query": "flag"}, {}, False),  # null is not true
        ("BRO", {"bro.filter.source.key": "p", "bro.filter.source.known.protocols": ["http"]}, {"p": "http"}, True),
        ("BRO", {"bro.filter.source.key": "p", "bro.filter.source.known.protocols": "http"}, {"p": "dns"}, False),
        ("BRO", {"bro.filter.source.key": "p", "bro.filter.source.known.protocols": "http"}, {}, False),
        ("DEFAULT", {}, {}, True),
        ("", {}, {}, True),
    ],
)
def test_a_filter_passes_or_drops_a_record(
    name: str, options: Record, record: Record, passes: bool, make_pipeline: Make
) -> None:
    pipeline = make_pipeline(parser={"parserClassName": "JSONMap", "filterClassName": name, "parserConfig": options})
    (outcome,) = pipeline(Raw(json.dumps(record).encode()))
    assert isinstance(outcome, dict if passes else Drop)


def validating(*validations: Record, **more: Any) -> Record:
    return {"fieldValidations": list(validations), **more}


def check(validation: str, *fields: str, **config: Any) -> Record:
    return {"validation": validation, "input": list(fields), "config": config}


@pytest.mark.parametrize(
    ("validation", "good", "bad"),
    [
        (check("IP", "a"), [{"a": "1.2.3.4"}, {"a": "::1"}, {}, {"a": None}], [{"a": "x"}, {"a": ""}]),
        (check("IP", "a", type="IPV4"), [{"a": "1.2.3.4"}], [{"a": "::1"}]),
        (check("IP", "a", type=["IPV6"]), [{"a": "::1"}], [{"a": "1.2.3.4"}]),
        (check("IP", "a", "b"), [{"a": "x", "b": "5.6.7.8"}, {"a": "x"}], [{"a": "x", "b": "y"}]),
        (check("IP", "a", "b", all=True), [{"a": "1.2.3.4", "b": "5.6.7.8"}, {}], [{"a": "x", "b": "5.6.7.8"}]),
        (check("DOMAIN", "a"), [{"a": "yahoo.com"}, {}], [{"a": "-"}, {"a": "no such"}]),
        (check("EMAIL", "a"), [{"a": "me@yahoo.com"}, {}], [{"a": "me"}]),
        (check("URL", "a", "b"), [{"a": "http://yahoo.com/x"}, {}], [{"a": "http://yahoo.com/x", "b": "nope"}]),
        (
            check("INTEGER", "a"),
            [{"a": "-5"}, {"a": 5}, {}, {"a": str(2**63)}, {"a": " 1,000 "}, {"a": "٣"}],
            [{"a": "5.0"}, {"a": 5.0}, {"a": ""}, {"a": "+5"}, {"a": "1_000"}, {"a": "5,"}, {"a": True}],
        ),
        (check("REGEX_MATCH", "a", pattern="[a-z]+"), [{"a": "abc"}, {}], [{"a": "abc1"}, {"a": ""}]),
        (check("NOT_EMPTY", "a"), [{"a": "x"}, {"a": 0}], [{}, {"a": None}, {"a": "  "}]),
        (check("STELLAR", condition="a > 1"), [{"a": 2}], [{"a": 1}, {}]),
        (check("STELLAR", condition="a > least", least=3), [{"a": 4}], [{"a": 3}]),
        (check("STELLAR", condition="a == everywhere"), [{"a": "g"}], [{"a": "h"}]),
        (check("STELLAR", "b", condition="exists(a)"), [], [{"a": 1, "b": 1}]),  # only the input fields are variables
    ],
)
def test_a_validation_distinguishes_valid_and_invalid_records(
    validation: Record, good: list[Record], bad: list[Record], make_pipeline: Make
) -> None:
    pipeline = make_pipeline(globals=validating(validation, everywhere="g"))
    for record in good:
        (outcome,) = pipeline(Raw(json.dumps(record).encode()))
        assert isinstance(outcome, dict), record
    for record in bad:
        (outcome,) = pipeline(Raw(json.dumps(record).encode()))
        assert isinstance(outcome, Rejected), record
        assert isinstance(outcome.error, Invalid)
        assert outcome.error.fields == tuple(validation["input"])


@pytest.mark.parametrize(
    ("record", "passes"), [({"a": "2017-10-23"}, True), ({"a": "2017-02-29"}, False), ({}, True), ({"b": "x"}, True)]
)
def test_a_date_is_checked_by_its_format(record: Record, passes: bool, make_pipeline: Make) -> None:
    pipeline = make_pipeline(globals=validating(check("DATE", "a", "b", format="yyyy-MM-dd")))
    (outcome,) = pipeline(Raw(json.dumps({"b": "2017-10-23", **record}).encode()))
    assert isinstance(outcome, dict) == passes


def test_all_validations_run_and_every_field_is_named(make_pipeline: Make) -> None:
    pipeline = make_pipeline(globals=validating(check("IP", "a"), check("NOT_EMPTY", "b", "a"), check("IP", "c")))
    (outcome,) = pipeline(Raw(b'{"a": "x", "c": "1.2.3.4"}'))
    assert isinstance(outcome, Rejected)
    assert isinstance(outcome.error, Invalid)
    assert outcome.error.fields == ("a", "b")
    assert outcome.reason == "invalid record: failed IP(a), NOT_EMPTY(b, a)"
    assert isinstance(outcome.raw, dict)
    assert outcome.raw["a"] == "x"


@pytest.mark.parametrize(
    ("validation", "message"),
    [
        (check("IP", "a", type="IPV5"), "config.type: unknown type 'IPV5'; known are IPV4, IPV6"),
        (
            check("STELLAR"),
            'config.condition: missing condition of the validation STELLAR; specify one, such as "exists(ip_src_addr)"',
        ),
        (
            check("DATE", "a"),
            'config.format: missing pattern of the validation DATE; specify one, such as "yyyy-MM-dd"',
        ),
        (check("REGEX_MATCH", "a"), "config.pattern: missing regular expression of the validation REGEX_MATCH"),
        (
            check("REGEX_MATCH", "a", pattern="("),
            "config.pattern: invalid regular expression: unclosed ( at character 2",
        ),
    ],
)
def test_an_invalid_validation_is_rejected(validation: Record, message: str, make_pipeline: Make) -> None:
    with pytest.raises(ConfigError) as refused:
        make_pipeline(globals=validating(validation))
    assert refused.value.path + ": " + refused.value.message == f"fieldValidations[0].{message}"
