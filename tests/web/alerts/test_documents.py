"""The page of a document: its fields, its rules, and what it does with hostile values."""

from __future__ import annotations

import argparse
import json
import re
import sqlite3
from contextlib import ExitStack

import pytest

from stellar.web.alerts.explanations import ConfiguredExplainer

from .conftest import list_links, make_alert

HOSTILE = {
    "script": "<script>alert(1)</script>",
    "attribute": "\" autofocus onfocus='alert(1)' x=\"",
    "template": "{{ 7 * 7 }}{% raw %}",
    "ansi": "\x1b[31mred\x1b[0m\x07",
    "reversed": "invoice\u202egpj.exe",
    "invisible": "a\u200bb\u00adc\u3164d",
    "surrogate": "\ud800 lone",
    "<b>name</b>": "x",
    "lines": "one\r\ntwo\u2028three",
    "zero": "a\0b",
    "list": ["<i>", {"k": None}],
    "huge": 10**400,
}


@pytest.fixture
def open_document(write_documents, open_page):
    """A function that returns the first page of a document, and the client."""

    def open_first(document, **options):
        client = open_page(write_documents(document), **options)
        (link, *_) = list_links(client.get("/?show=all").text)
        return client.get(link), client, link

    return open_first


def test_a_document_shows_every_field_with_its_value(open_document):
    page, *_ = open_document(make_alert(7, code=301, ok=True, nothing=None, deep={"a": [1]}))
    fields = dict(re.findall(r'<th scope="row">([^<]+)</th>\s*<td><div class="value">([^<]*)</div>', page.text))
    assert fields["url"] == "http://host7.example/"
    assert (fields["code"], fields["ok"], fields["nothing"]) == ("301", "true", "null")
    assert fields["deep"] == "{&#34;a&#34;: [1]}"
    assert len(fields) == len(make_alert()) + 4


def test_hostile_values_are_escaped_everywhere(open_document):
    document = make_alert(7, **HOSTILE, **{"source.type": "<script>1</script>", "guid": "\u202e<script>"})
    document["threat.triage.rules.0.reason"] = HOSTILE["script"]
    document["threat.triage.rules.0.name"] = HOSTILE["attribute"]
    page, client, _ = open_document(document)
    for text in (page.text, client.get("/").text):
        assert "<script" not in text
        assert "<b>name" not in text
        assert "onfocus='alert(1)" not in text
        assert not re.search("[\x00-\x09\x0b-\x1f\u202e\u200b\u3164\u2028\ud800]", text)
    assert "{{ 7 * 7 }}{% raw %}" in page.text
    assert '<span class="escape">\\u202e</span>gpj.exe' in page.text
    assert '<span class="escape">\\u001b</span>[31mred' in page.text
    assert '<span class="escape">\\ud800</span> lone' in page.text
    assert '<span class="escape">\\u0000</span>b' in page.text


def test_genuine_scripts_of_either_direction_are_shown_as_they_are(open_document):
    page, *_ = open_document(make_alert(7, greeting="שלום مرحبا Grüße 你好 🙂"))
    assert "שלום مرحبا Grüße 你好 🙂" in page.text


def test_a_long_value_is_shortened_and_can_be_read_as_a_whole(open_document):
    page, client, _ = open_document(make_alert(7, big="x" * 1_000_000 + "\u202eend"))
    assert len(page.text) < 50_000
    (path,) = re.findall(r'href="(/documents/[^"]+/values/\d+)">all 1000004 characters', page.text)
    response = client.get(path)
    assert response.text == "x" * 1_000_000 + "\\u202eend"
    assert response.headers["content-type"] == "text/plain; charset=utf-8"


def test_many_fields_are_paged_and_can_be_searched(open_document):
    page, client, link = open_document(make_alert(7, **{f"field{number}": number for number in range(10_000)}))
    assert f"{len(make_alert()) + 10_000} fields, 1 to 500 shown" in page.text
    assert page.text.count('<th scope="row">') == 500
    following = re.search(r'rel="next" href="([^"]+)"', page.text)[1].replace("&amp;", "&")
    assert "501 to 1000 shown" in client.get(link + following).text
    assert client.get(f"{link}?field=FIELD9999").text.count('<th scope="row">') == 1


def test_the_json_is_that_which_was_stored(open_document):
    document = make_alert(7, name="<script>é")
    _, client, link = open_document(document)
    response = client.get(f"{link}/json")
    assert json.loads(response.content) == document
    assert response.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"a": 1', "the document is invalid JSON: Expecting"),
        ("[" * 100_000, "the document is nested too deeply"),
        ("[1]", "expected a JSON object"),
        ('{"a": ' + "9" * 5000 + "}", "the document is invalid JSON: Exceeds the limit"),
        (b"\xff\xfe{}", "the document is invalid JSON"),
        (b"{}\xff", "the document is invalid JSON"),
    ],
)
def test_a_broken_document_is_listed_with_the_reason_and_shown_as_it_is(write_documents, open_page, content, message):
    path = write_documents(make_alert(1))
    with sqlite3.connect(path) as connection:
        connection.execute(
            "INSERT INTO records VALUES ('g', 1, 'squid', 'true', 5, CAST(? AS TEXT))",
            (content if isinstance(content, bytes) else content.encode(),),
        )
    connection.close()
    client = open_page(path)
    page = client.get("/")
    assert page.text.count(message) == 1
    assert len(list_links(page.text)) == 2
    document = client.get(list_links(page.text)[1])
    assert (document.status_code, message in document.text) == (200, True)
    assert client.get(f"{list_links(page.text)[1]}/json").status_code == 200
    assert client.get(f"{list_links(page.text)[1]}/values/0").status_code == 400


def test_a_blob_is_a_broken_document(write_documents, open_page):
    path = write_documents(make_alert(1))
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO records VALUES (x'00ff', 1, x'41', 'true', 5, x'00ff01')")
    connection.close()
    client = open_page(path)
    page = client.get("/")
    assert "the document is invalid JSON" in page.text
    assert client.get(list_links(page.text)[1]).status_code == 200


@pytest.mark.parametrize("id", ["x", "1", "-1-abc", "1-", "99999999999999999999-abc", "1-%00", "1-..%2f", "²-abc"])
def test_an_invalid_identifier_is_an_error(write_documents, open_page, id):
    assert open_page(write_documents(make_alert())).get(f"/documents/{id}").status_code in (400, 404)


def test_a_document_that_was_removed_is_not_replaced_by_another(write_documents, open_page):
    client = open_page(path := write_documents(make_alert(1), make_alert(2)))
    link = list_links(client.get("/").text)[0]
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM records WHERE guid = 'guid-2'")
        connection.execute("UPDATE records SET rowid = 2")
    connection.close()
    page = client.get(link)
    assert (page.status_code, "does not exist any more" in page.text) == (404, True)


def test_a_page_that_does_not_exist_leads_back(write_documents, open_page):
    client = open_page(write_documents(make_alert()))
    page = client.get("/nowhere/<script>")
    assert (page.status_code, "the page does not exist" in page.text) == (404, True)
    assert client.delete("/").status_code == 405
    link = list_links(client.get("/").text)[0]
    assert client.get(f"{link}/values/999").status_code == 404


def test_a_rule_of_which_fields_are_missing_is_shown_with_the_others(open_document):
    document = make_alert(7, **{"threat.triage.rules.3.score": 5, "threat.triage.rules.x.score": 1})
    page, client, _ = open_document(document)
    stored = page.text.partition("Stored with the document")[2].partition("</table>")[0]
    assert (page.status_code, stored.count('data-label="Rule"')) == (200, 2)
    assert "<li>score 5</li>" in client.get("/").text


# -- Rules ------------------------------------------------------------------------------------------------------------

RULES = [
    {"name": "Big", "rule": "bytes > 1000", "score": 10, "reason": "FORMAT('%s bytes', bytes)"},
    {"name": "Small", "rule": "bytes < 10", "score": 99},
    {"rule": "user == '<b>mary</b>'", "score": "bytes / 50"},
]


@pytest.fixture
def explainer(tmp_path):
    folder = tmp_path / "config"
    (folder / "enrichments").mkdir(parents=True)
    rules = {"threatIntel": {"triageConfig": {"riskLevelRules": RULES, "aggregator": "MAX"}}}
    (folder / "enrichments/squid.json").write_text(json.dumps(rules))
    (folder / "enrichments/broken.json").write_text(
        json.dumps({"threatIntel": {"triageConfig": {"riskLevelRules": [{"rule": "x ==", "score": 1}]}}})
    )
    options = argparse.Namespace(registry="none", zookeeper=None, quiet=True)
    with ExitStack() as stack:
        yield ConfiguredExplainer(folder, options, stack)


def test_each_rule_of_the_configuration_is_shown_with_its_values(open_document, explainer):
    document = make_alert(7, bytes=5000, user="<b>mary</b>")
    page, *_ = open_document(document, explainer=explainer)
    assert re.findall(r'class="result">([^<]+)<', page.text) == ["matches", "does not match", "matches"]
    assert "bytes = 5000" in page.text
    assert "5000 bytes" in page.text
    assert "user = &#39;&lt;b&gt;mary&lt;/b&gt;&#39;" in page.text
    assert "MAX of the scores is <b>100</b>" in page.text
    assert "The stored score is 7:" in page.text


def test_an_explanation_that_agrees_with_the_stored_score_has_no_warning(open_document, explainer):
    page, *_ = open_document(make_alert(10, bytes=5000), explainer=explainer)
    assert "MAX of the scores is <b>10</b>" in page.text
    assert "The stored score" not in page.text


@pytest.mark.parametrize(
    ("sensor", "message"),
    [
        ("bro", "has no file for the sensor &#39;bro&#39;"),
        ("../squid", "has no file for the sensor"),
        ("", "the document has no source.type"),
        ("broken", "the rules of &#39;broken&#39; can&#39;t be used"),
    ],
)
def test_rules_that_cannot_be_evaluated_are_a_message_beside_the_fields(open_document, explainer, sensor, message):
    page, *_ = open_document(make_alert(7, **{"source.type": sensor}), explainer=explainer)
    assert (page.status_code, message in page.text) == (200, True)
    assert "http://host7.example/" in page.text
    assert "ben requested host7.example" in page.text
