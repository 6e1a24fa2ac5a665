"""ENRICHMENT_* on SQLite, OBJECT_GET and ENRICHMENT_OBJECT_GET on files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import stellar
from stellar.functions.enrichments import EnrichmentStore, ObjectCache, SqliteEnrichments, StoreError
from stellar.language.context import Context, GlobalSettings


def context_of(**settings: Any) -> Context:
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
    context = context_of(enrichment__store=f"sqlite:{enrichments.path}")
    assert stellar.evaluate("ENRICHMENT_EXISTS('whois', 'example.com', 'enrichment', 't')", {}, context) is True
    context[EnrichmentStore].close()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "this needs a store: set enrichment.store in the global configuration, as in sqlite:enrichments.db"),
        (
            {"enrichment__store": "hbase:node1"},
            "enrichment.store is hbase:node1, but there is no store hbase; sqlite is built in",
        ),
    ],
)
def test_without_a_store_there_is_an_error_that_tells_what_to_set(settings: dict[str, str], message: str) -> None:
    with pytest.raises(stellar.EvaluationError) as refused:
        stellar.evaluate("ENRICHMENT_GET('a', 'b', 'c', 'd')", {}, context_of(**settings))
    assert refused.value.message == message


def test_a_store_that_fails_answers_as_if_there_were_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "rubbish.db").write_bytes(b"this is no database, and long enough to be seen as none" * 20)
    store = SqliteEnrichments(str(tmp_path / "rubbish.db"))
    with pytest.raises(StoreError):
        store.get("a", "b", "c", "d")
    context = Context({EnrichmentStore: store})
    assert stellar.evaluate("ENRICHMENT_GET('a', 'b', 'c', 'd')", {}, context) == {}
    assert stellar.evaluate("ENRICHMENT_EXISTS('a', 'b', 'c', 'd')", {}, context) is False
    assert "file is not a database" in caplog.text
    store.close()


@pytest.mark.parametrize("expression", ["ENRICHMENT_GET('a', 'b', 'c')", "ENRICHMENT_EXISTS('a', 'b', 'c', 'd', 'e')"])
def test_there_are_exactly_four_arguments(expression: str) -> None:
    with pytest.raises(stellar.ResolutionError):
        stellar.compile(expression)


@pytest.fixture
def owners(tmp_path: Path) -> str:
    path = tmp_path / "owners.json"
    path.write_text(json.dumps({"example.com": "Example Inc.", "1": "one"}))
    return str(path)


def test_an_object_is_read_from_a_file_and_kept(owners: str) -> None:
    expression, context = stellar.compile("OBJECT_GET(path)"), context_of()
    first = expression({"path": owners}, context)
    Path(owners).write_text("{}")
    assert expression({"path": owners}, context) == first == {"example.com": "Example Inc.", "1": "one"}


def test_an_object_is_read_again_when_it_has_been_kept_long_enough(owners: str) -> None:
    context = context_of(object__cache__expiration=0)
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
def test_objects_and_what_they_say_of_an_indicator(owners: str, expression: str, value: object) -> None:
    assert stellar.evaluate(expression, {"path": owners}, context_of()) == value


@pytest.mark.parametrize(
    ("expression", "content", "message"),
    [
        ("OBJECT_GET('')", "", "the path of an object is not empty"),
        ("OBJECT_GET(1)", "", "OBJECT_GET takes a text as path, not the whole number 1"),
        (
            "OBJECT_GET('no/such.json')",
            "",
            "the object no/such.json can't be read: [Errno 2] No such file or directory",
        ),
        ("OBJECT_GET(path)", "{", "is not JSON"),
        ("OBJECT_GET(path)", '"' + "x" * 1_048_576 + '"', "has more than 1048576 bytes"),
        ("ENRICHMENT_OBJECT_GET(path, 'a')", "[1, 2]", "holds the list [1, 2]"),
    ],
)
def test_an_object_that_can_t_be_had_is_an_error(tmp_path: Path, expression: str, content: str, message: str) -> None:
    path = tmp_path / "object.json"
    path.write_text(content)
    with pytest.raises(stellar.EvaluationError) as refused:
        stellar.evaluate(expression, {"path": str(path)}, context_of())
    assert message in refused.value.message


@pytest.mark.parametrize("allowed", [[], ["/srv/objects/"], "/"])
@pytest.mark.parametrize("path", ["/etc/passwd", "/srv/objects/../../etc/passwd", "http://127.0.0.1/", "secret.json"])
def test_a_record_does_not_choose_what_is_read(path: str, allowed: object) -> None:
    context = context_of(object__get__paths__allowed=allowed)
    for expression in ("OBJECT_GET(path)", "ENRICHMENT_OBJECT_GET(path, 'a')"):
        with pytest.raises(stellar.EvaluationError, match=r"object\.get\.paths\.allowed does not allow it"):
            stellar.evaluate(expression, {"path": path}, context)


def test_a_path_that_the_expression_writes_is_read(owners: str) -> None:
    assert stellar.evaluate(f"MAP_GET('1', OBJECT_GET('{owners}'))", {}, Context()) == "one"


def test_an_empty_file_is_null(tmp_path: Path) -> None:
    (tmp_path / "empty.json").touch()
    assert ObjectCache().get(str(tmp_path / "empty.json")) is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"object.cache.size": "many"}, "object.cache.size is a whole number, not the text 'many'"),
        ({"object.cache.time.unit": "WEEKS"}, "object.cache.time.unit is one of NANOSECONDS, "),
    ],
)
def test_settings_that_make_no_sense_are_named(settings: dict[str, str], message: str) -> None:
    with pytest.raises(LookupError, match=message):
        ObjectCache.of(settings)


def test_the_older_key_for_minutes_goes_before_the_newer_one(owners: str) -> None:
    cache = ObjectCache.of({"object.cache.expiration": 1440, "object.cache.expiration.minutes": 0})
    cache.get(owners)
    Path(owners).write_text("2")
    assert cache.get(owners) == 2
