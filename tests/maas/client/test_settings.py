"""The settings of a client: keys, checks, defaults and error messages."""

from __future__ import annotations

import logging
from dataclasses import fields

import pytest

from stellar.maas import ClientSettings
from stellar.maas.client.settings import SUPERSEDED
from stellar.util.abbreviate import quote

KEYS = {each.metadata["key"]: each for each in fields(ClientSettings)}

# invalid values of each key, and the expectation in the message
NUMBERS = [-1, "soon", True, None, [], float("nan"), float("inf"), "1e400", 10**400]
INTEGERS = [*NUMBERS, 1.5, "2.5"]
BAD: dict[str, tuple[list[object], str]] = {
    "maas.cache.maxSize": (INTEGERS, "an integer from 0 to 100,000,000"),
    "maas.cache.maxTimeRetain": ([*NUMBERS, 525_601], "a number from 0 to 525,600"),
    "maas.cache.maxBytes": (INTEGERS, "an integer from 0 to "),
    "maas.http.retries": ([*INTEGERS, 1001], "an integer from 0 to 1,000"),
    "maas.http.connect.timeout.ms": ([*NUMBERS, 0, 86_400_001], "a number from 1 to 86,400,000"),
    "maas.http.timeout.ms": ([*NUMBERS, 0], "a number from 1 to 86,400,000"),
    "maas.http.deadline.ms": (NUMBERS, "a number from 0 to 86,400,000"),
    "maas.http.hedge.ms": (NUMBERS, "a number from 0 to 86,400,000"),
    "maas.wait.ms": (NUMBERS, "a number from 0 to 86,400,000"),
    "maas.batch.wait.ms": ([*NUMBERS, 60_001], "a number from 0 to 60,000"),
    "maas.http.max.response.bytes": (INTEGERS, "an integer from 0 to "),
    "maas.http.max.in.flight": (INTEGERS, "an integer from 0 to 1,000,000"),
    "maas.breaker.failures": ([*INTEGERS, 0, 1001], "an integer from 1 to 1,000"),
    "maas.batch.size": ([*INTEGERS, 0], "an integer from 1 to 1,000,000"),
    "maas.shadow.in.flight": ([*INTEGERS, 0, 10_001], "an integer from 1 to 10,000"),
    "maas.version.comparison": (["newest", "", 1, None, [], {}], "natural or lexical"),
    "maas.choice": (["random", "", 1, None, []], "uniform or least-busy"),
    "maas.zk.config.path": (["maas/config", "", 1, None], "a path such as /metron/maas/config"),
    "maas.shadow.file": ([1, None, ["a"]], "a path"),
    "maas.shadow.keys": (["a", [1], None, {"a": 1}], "a list of strings"),
    "maas.hosts.allowed": ([[], "", [1], None, 7], "a list of hosts"),
    "maas.tls.ca": (["/no/such/file", "/", 1], "a readable file"),
    "maas.tls.certificate": (["/no/such/file", 1], "a readable file"),
    "maas.tls.key": (["/no/such/file", 1], "a readable file"),
    "maas.http.auth": (["/no/such/file", 1], "a readable file"),
    "maas.http.auth.plain": (["yes", 1, None], "true or false"),
    "maas.local": ([["onnx"], ["PMML"]], "kinds out of pmml, xgboost, lightgbm"),
    "maas.local.store": ([1, None, ["a"]], "a path"),
}


def test_every_key_has_invalid_values_to_test():
    assert BAD.keys() == KEYS.keys()


@pytest.mark.parametrize("key", KEYS)
def test_a_default_passes_its_own_check(key):
    each = KEYS[key]
    unset = each.default is None or each.default == ()
    assert unset or each.metadata["check"](each.default) == each.default


@pytest.mark.parametrize("key", KEYS)
def test_every_key_is_documented_in_a_sentence(key):
    help = KEYS[key].metadata["help"]
    assert help[0].isupper() or help[0] == "`"
    assert help.endswith(".")


@pytest.mark.parametrize(
    ("key", "index"), [(key, index) for key, (values, _) in BAD.items() for index in range(len(values))]
)
def test_an_invalid_value_is_rejected_with_key_value_and_expectation(key, index):
    value = BAD[key][0][index]
    with pytest.raises(ValueError, match=r"^invalid maas\.") as raised:
        ClientSettings.from_global({key: value})
    message = str(raised.value)
    assert message.startswith(f"invalid {key}: expected {BAD[key][1]}")
    assert message.endswith(f", got {quote(value)}")


@pytest.mark.parametrize("key", [key for key, each in KEYS.items() if each.default is not None])
def test_an_invalid_value_is_rejected_by_the_constructor_too(key):
    value = BAD[key][0][0]
    with pytest.raises(ValueError, match=f"^invalid {key}: expected"):
        ClientSettings(**{KEYS[key].name: value})


@pytest.mark.parametrize("key", KEYS)
def test_an_unknown_key_near_a_known_one_is_rejected_with_a_suggestion(key):
    misspelt = key[:-1] if key != "maas.tls.key" else "maas.tls.kye"
    with pytest.raises(ValueError, match=f"^unknown key {misspelt} .*'value'.*did you mean {key}"):
        ClientSettings.from_global({misspelt: "value"})


def test_any_other_unknown_key_is_ignored_with_a_warning(caplog):
    assert ClientSettings.from_global({"maas.xyzzy": 1, "es.ip": "node1", "maas": 2, 7: 8}) == ClientSettings()
    assert [record.getMessage().partition(";")[0] for record in caplog.records] == ["unknown key maas.xyzzy is ignored"]


def test_keys_of_the_pipeline_are_not_unknown(caplog):
    assert ClientSettings.from_global({"maas.error.field": "why"}) == ClientSettings()
    assert caplog.records == []


@pytest.mark.parametrize("old", SUPERSEDED)
def test_a_superseded_key_is_used_with_a_warning_that_names_its_successor(old, caplog):
    new = SUPERSEDED[old]
    with caplog.at_level(logging.WARNING):
        settings = ClientSettings.from_global({old: 7})
    assert getattr(settings, KEYS[new].name) == 7
    assert [record.getMessage().split()[0] for record in caplog.records] == [old]
    assert new in caplog.text


@pytest.mark.parametrize("order", [1, -1])
def test_the_successor_of_a_superseded_key_has_precedence(order):
    given = [("maas.quarantine.failures", 7), ("maas.breaker.failures", 2)][::order]
    assert ClientSettings.from_global(dict(given)).breaker_failures == 2


@pytest.mark.parametrize("value", [0, "many", True])
def test_a_superseded_key_is_checked_like_its_successor(value):
    with pytest.raises(ValueError, match=r"invalid maas\.quarantine\.failures: expected an integer from 1 to 1,000"):
        ClientSettings.from_global({"maas.quarantine.failures": value})


@pytest.mark.parametrize(
    ("key", "value", "used"), [("maas.http.retries", "2", 2), ("maas.http.timeout.ms", "1e3", 1000)]
)
def test_numbers_can_be_given_as_strings(key, value, used):
    assert getattr(ClientSettings.from_global({key: value}), KEYS[key].name) == used


def test_a_hedging_delay_of_null_is_the_default_and_of_zero_is_never():
    assert ClientSettings().hedge_ms is None
    assert ClientSettings.from_global({"maas.http.hedge.ms": 0}).hedge_ms == 0


@pytest.mark.parametrize("key", ["Maas.http.timeout.ms", "maas.HTTP.timeout.ms", "maas.cache.maxsize"])
def test_a_key_in_another_case_is_rejected(key):
    with pytest.raises(ValueError, match=f"unknown key {key} .*: did you mean maas"):
        ClientSettings.from_global({key: 5})
