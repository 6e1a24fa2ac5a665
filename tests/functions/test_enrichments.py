"""ENRICHMENT_* on SQLite, and OBJECT_GET and ENRICHMENT_OBJECT_GET on files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import stellar
from stellar.functions.enrichments import EnrichmentStore, ObjectCache, SqliteEnrichments, StoreError
from stellar.language.context import Context, FailureReporter, GlobalSettings


def make_context(**settings: Any) -> Context:
    settings.setdefault("object__get__paths__allowed", ["/"])
    return Context({GlobalSettings: GlobalSettings({key.replace("__", "."): value for key, value in settings.items()})})


@pytest.fixture
def enrichments(tmp_path: Path) -> Iterator[SqliteEnrichments]:
    store = SqliteEnrichments(str(tmp_path / "enrichments.db"))
    store.put("enrichment", "t", "whois", "example.com", {"owner": "Example Inc.", "age": 12})
    yield store
    store.close()


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("ENRICHMENT_GET('whois', 'example.com', 'enrichment', 't')", {"owner": "Example Inc.", "age": 12}),
        ("ENRICHMENT_GET('whois', 'example.org', 'enrichment', 't')", {}),
        ("ENRICHMENT_GET('whois', 'example.com', 'other', 't')", {}),
        ("ENRICHMENT_GET('whois', null, 'enrichment', 't')", {}),
        ("ENRICHMENT_EXISTS('whois', 'example.com', 'enrichment', 't')", True),
        ("ENRICHMENT_EXISTS('whois', 'example.com', 'enrichment', 'u')", False),
        ("ENRICHMENT_EXISTS(null, 'example.com', 'enrichment', 't')", False),
        ("MAP_GET('owner', ENRICHMENT_GET('whois', 'example.com', 'enrichment', 't'))", "Example Inc."),
    ],
)
def test_an_enrichment_is_found_by_type_indicator_table_and_family(
    enrichments: SqliteEnrichments, expression: str, value: object
) -> None:
    assert stellar.evaluate(expression, {}, Context({EnrichmentStore: enrichments})) == value


def test_the_global_configuration_names_the_store(enrichments: SqliteEnrichments) -> None:
    context = make_context(enrichment__store=f"sqlite:{enrichments.path}")
    assert stellar.evaluate("ENRICHMENT_EXISTS('whois', 'example.com', 'enrichment', 't')", {}, context) is True
    context[EnrichmentStore].close()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {},
            "no enrichment store configured; set enrichment.store in the global configuration, "
            "as in sqlite:enrichments.db",
        ),
        (
            {"enrichment__store": "hbase:node1"},
            "unknown store 'hbase' in enrichment.store; sqlite, redis and rediss are built in, "
            "others need their package installed",
        ),
        (
            {"enrichment__store": "enrichments.db"},
            "invalid store 'enrichments.db' in enrichment.store: expected a kind and a colon before the location, "
            "as in sqlite:enrichments.db",
        ),
    ],
)
def test_a_missing_or_invalid_store_is_an_error_with_the_fix(settings: dict[str, str], message: str) -> None:
    with pytest.raises(stellar.EvaluationError) as refused:
        stellar.evaluate("ENRICHMENT_GET('a', 'b', 'c', 'd')", {}, make_context(**settings))
    assert refused.value.message == message


def test_a_failing_store_returns_no_enrichment(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "invalid.db").write_bytes(b"not a database, and long enough to be recognized as such" * 20)
    store = SqliteEnrichments(str(tmp_path / "invalid.db"))
    with pytest.raises(StoreError):
        store.get("a", "b", "c", "d")
    context = Context({EnrichmentStore: store})
    assert stellar.evaluate("ENRICHMENT_GET('a', 'b', 'c', 'd')", {}, context) == {}
    assert stellar.evaluate("ENRICHMENT_EXISTS('a', 'b', 'c', 'd')", {}, context) is False
    assert "file is not a database" in caplog.text
    store.close()


def test_reading_does_not_create_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mistyped.db"
    store = SqliteEnrichments(str(path))
    with pytest.raises(StoreError, match=r"the file does not exist; check enrichment\.store"):
        store.get("a", "b", "c", "d")
    assert not path.exists()


def test_a_database_without_enrichments_is_not_available(tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    store = SqliteEnrichments(str(tmp_path / "empty.db"))
    with pytest.raises(StoreError, match="the file is not an enrichment store"):
        store.get("a", "b", "c", "d")
    store.close()


def test_a_failing_store_is_reported_to_the_context(tmp_path: Path) -> None:
    reports: list[str] = []

    class Reporter:
        def report(self, subject: str, error: Exception) -> None:
            reports.append(f"{subject}: {error}")

    context = Context({EnrichmentStore: SqliteEnrichments(f"{tmp_path}/no.db"), FailureReporter: Reporter()})
    assert stellar.evaluate("ENRICHMENT_EXISTS('a', 'b', 'c', 'd')", {}, context) is False
    assert reports == [
        "look-up in the enrichment store failed, result is no enrichment: "
        f"{tmp_path}/no.db: the file does not exist; check enrichment.store"
    ]


@pytest.mark.parametrize("expression", ["ENRICHMENT_GET('a', 'b', 'c')", "ENRICHMENT_EXISTS('a', 'b', 'c', 'd', 'e')"])
def test_exactly_four_arguments_are_required(expression: str) -> None:
    with pytest.raises(stellar.ResolutionError):
        stellar.compile(expression)


@pytest.fixture
def owners(tmp_path: Path) -> str:
    path = tmp_path / "owners.json"
    path.write_text(json.dumps({"example.com": "Example Inc.", "1": "one"}))
    return str(path)


def test_an_object_is_read_from_a_file_and_cached(owners: str) -> None:
    expression, context = stellar.compile("OBJECT_GET(path)"), make_context()
    first = expression({"path": owners}, context)
    Path(owners).write_text("{}")
    assert expression({"path": owners}, context) == first == {"example.com": "Example Inc.", "1": "one"}


def test_an_expired_object_is_read_again(owners: str) -> None:
    context = make_context(object__cache__expiration=0)
    stellar.evaluate("OBJECT_GET(path)", {"path": owners}, context)
    Path(owners).write_text("[1]")
    assert stellar.evaluate("OBJECT_GET(path)", {"path": owners}, context) == [1]


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("OBJECT_GET(null)", None),
        ("OBJECT_GET()", None),
        ("ENRICHMENT_OBJECT_GET(path, 'example.com')", "Example Inc."),
        ("ENRICHMENT_OBJECT_GET(path, 'example.org')", None),
        ("ENRICHMENT_OBJECT_GET(path, null)", None),
        ("ENRICHMENT_OBJECT_GET(null, 'example.com')", None),
    ],
)
def test_an_indicator_is_looked_up_in_an_object(owners: str, expression: str, value: object) -> None:
    assert stellar.evaluate(expression, {"path": owners}, make_context()) == value


@pytest.mark.parametrize(
    ("expression", "content", "message"),
    [
        ("OBJECT_GET('')", "", "the path of the object is empty"),
        ("OBJECT_GET(1)", "", "OBJECT_GET expected a string as path, got the integer 1"),
        (
            "OBJECT_GET('no/such.json')",
            "",
            "cannot read the object no/such.json: [Errno 2] No such file or directory",
        ),
        ("OBJECT_GET(path)", "{", "invalid JSON in the object"),
        ("OBJECT_GET(path)", '"' + "x" * 1_048_576 + '"', "has more than 1048576 bytes"),
        ("ENRICHMENT_OBJECT_GET(path, 'a')", "[1, 2]", "got the list [1, 2]"),
    ],
)
def test_an_unreadable_object_is_an_error(tmp_path: Path, expression: str, content: str, message: str) -> None:
    path = tmp_path / "object.json"
    path.write_text(content)
    with pytest.raises(stellar.EvaluationError) as refused:
        stellar.evaluate(expression, {"path": str(path)}, make_context())
    assert message in refused.value.message


@pytest.mark.parametrize("allowed", [[], ["/srv/objects/"], "/"])
@pytest.mark.parametrize("path", ["/etc/passwd", "/srv/objects/../../etc/passwd", "http://127.0.0.1/", "secret.json"])
def test_a_record_cannot_choose_the_path(path: str, allowed: object) -> None:
    context = make_context(object__get__paths__allowed=allowed)
    for expression in ("OBJECT_GET(path)", "ENRICHMENT_OBJECT_GET(path, 'a')"):
        with pytest.raises(stellar.EvaluationError, match=r"object\.get\.paths\.allowed does not include it"):
            stellar.evaluate(expression, {"path": path}, context)


def test_a_literal_path_is_allowed(owners: str) -> None:
    assert stellar.evaluate(f"MAP_GET('1', OBJECT_GET('{owners}'))", {}, Context()) == "one"


def test_an_empty_file_is_null(tmp_path: Path) -> None:
    (tmp_path / "empty.json").touch()
    assert ObjectCache().get(str(tmp_path / "empty.json")) is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"object.cache.size": "many"},
            "invalid object.cache.size: expected a non-negative integer, got the string 'many'",
        ),
        ({"object.cache.time.unit": "WEEKS"}, "invalid object.cache.time.unit: expected one of NANOSECONDS, "),
    ],
)
def test_an_invalid_setting_is_named_in_the_error(settings: dict[str, str], message: str) -> None:
    with pytest.raises(LookupError, match=message):
        ObjectCache.of(settings)


def test_the_older_key_for_minutes_takes_precedence(owners: str) -> None:
    cache = ObjectCache.of({"object.cache.expiration": 1440, "object.cache.expiration.minutes": 0})
    cache.get(owners)
    Path(owners).write_text("2")
    assert cache.get(owners) == 2
