"""The log of failed calls: one warning for each model and reason, then counts."""

from __future__ import annotations

import logging

import pytest

from stellar.maas import ClientSettings, ModelClient
from stellar.maas.client.failure_log import FailureLog
from stellar.maas.errors import ModelRefused, ModelTimeOut, ModelUnavailable, RecordRefused
from stellar.maas.transport.base import Response


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def failures(clock, caplog):
    caplog.set_level(logging.WARNING, "stellar.maas")
    return FailureLog(clock)


def warnings(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_model_and_reason_are_warned_about_once(failures, caplog):
    for _ in range(1000):
        failures.record("dga 1.0", ModelTimeOut("http://one did not respond in time"))
    assert warnings(caplog) == [
        "dga 1.0: http://one did not respond in time (time-out); further ones are counted, details are logged at DEBUG"
    ]


def test_each_model_and_reason_has_its_own_warning(failures, caplog):
    for model in ("dga 1.0", "dga 2.0"):
        for error in (ModelTimeOut("late"), ModelRefused("wrong")):
            failures.record(model, error)
    assert len(warnings(caplog)) == 4


def test_further_failures_are_logged_as_one_count_a_minute(failures, caplog, clock):
    for _ in range(180):
        failures.record("dga 1.0", ModelTimeOut("late"))
        clock.now += 1
    first, *counts = warnings(caplog)
    assert "late" in first
    assert counts == ["dga 1.0: 60 more failed calls (time-out)"] * 2


def test_remaining_failures_are_logged_once_at_the_end(failures, caplog):
    for _ in range(1235):
        failures.record("dga 1.0", ModelTimeOut("late"))
    failures.record("dga 2.0", ModelTimeOut("late"))
    failures.close()
    failures.close()
    assert warnings(caplog)[2:] == ["dga 1.0: 1,234 more failed calls (time-out)"]


def test_values_of_records_are_logged_at_debug_only(failures, caplog):
    error = RecordRefused("http://one/apply responded with status 422, not 200", details="no host secret.example")
    failures.record("dga 1.0", error)
    assert "secret" not in "".join(warnings(caplog))
    caplog.set_level(logging.DEBUG, "stellar.maas")
    failures.record("dga 1.0", error)
    debug = [record.getMessage() for record in caplog.records if record.levelno == logging.DEBUG]
    assert debug == ["dga 1.0: http://one/apply responded with status 422, not 200: no host secret.example"]


def test_any_number_of_names_takes_bounded_memory_and_log(failures, caplog, monkeypatch):
    monkeypatch.setattr("stellar.maas.client.failure_log.MAX_KEYS", 10)
    for number in range(100):
        failures.record(f"made up {number}", ModelUnavailable("away"))
    for _ in range(5):
        failures.record("made up 3", ModelUnavailable("away"))  # a known name is still counted by itself
    assert len(failures._counts) == 11
    assert len(warnings(caplog)) == 11
    failures.close()
    assert warnings(caplog)[11:] == [
        "made up 3: 5 more failed calls (refused)",
        "other models: 89 more failed calls (refused)",
    ]


def test_the_child_of_a_fork_counts_from_zero(failures, caplog):
    for _ in range(2):
        failures.record("dga 1.0", ModelTimeOut("late"))
    failures.after_fork()
    failures.close()
    assert len(warnings(caplog)) == 1


class Doubled:
    def __init__(self, response):
        self.response = response

    def get(self, url):
        return self.response

    def close(self):
        """Do nothing: no connection is open."""


@pytest.mark.parametrize("status", [400, 404, 422, 500, 503])
def test_the_beginning_of_an_error_body_is_in_the_error_but_not_in_the_log(status, registry, caplog):
    caplog.set_level(logging.WARNING, "stellar.maas")
    body = b"  no host\n\x1b[31m secret \xff" + b"x" * 1000
    client = ModelClient(registry, ClientSettings(retries=0), Doubled(Response(status, body)))
    with client, pytest.raises(ModelRefused) as raised:
        client.apply({"name": "dga", "version": "1.0", "url": "http://one"}, None, {"host": "record.example"})
    assert str(raised.value).startswith(
        f"http://one/apply responded with status {status}, not 200: no host\\n\\x1b[31m"
    )
    assert len(raised.value.details) < 300
    assert raised.value.details.isprintable()
    assert "record.example" not in str(raised.value)
    assert "secret" not in caplog.text
    reason = "declined" if status == 422 else "bad re"
    assert warnings(caplog)[0].startswith(
        f"dga 1.0: http://one/apply responded with status {status}, not 200 ({reason}"
    )


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"error": "unknown input \'hots\'\\n"}', "unknown input 'hots'"),
        (b'{"error": "' + b"x" * 1000 + b'"}', "x" * 200),
        (b"busy \x1b[31m", "busy \\x1b[31m"),
        (b'["busy"]', '["busy"]'),
    ],
)
def test_the_reason_of_a_server_that_distinguishes_statuses_is_in_the_log(body, reason, registry, caplog):
    caplog.set_level(logging.WARNING, "stellar.maas")
    client = ModelClient(registry, ClientSettings(retries=0), Doubled(Response(400, body, is_strict=True)))
    with client, pytest.raises(ModelRefused):
        client.apply({"name": "dga", "version": "1.0", "url": "http://one"}, None, {"host": "record.example"})
    expected = f"dga 1.0: http://one/apply responded with status 400, not 200: {reason} (bad request)"
    assert warnings(caplog)[0].startswith(expected)
