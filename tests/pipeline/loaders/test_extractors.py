"""Extractors: the rows of each format, and the lines that they reject."""

from __future__ import annotations

from typing import Any

import pytest

from stellar.language.errors import ConfigError
from stellar.pipeline.loaders.rows import ExtractedRow
from stellar.pipeline.loaders.sources import MAX_LINE_BYTES

from .conftest import Extract, describe

# -- CSV


def test_a_line_of_csv_is_a_row_with_the_named_columns(extract: Extract) -> None:
    rows = extract(
        "CSV",
        "123.45.123.12,something,the grapevine\n",
        columns={"ip": 0, "source": 2},
        indicator_column="ip",
        type="malicious_ip",
        separator=",",
    )
    assert describe(rows) == [
        ("malicious_ip", "123.45.123.12", {"ip": "123.45.123.12", "source": "the grapevine"}),
    ]


@pytest.mark.parametrize("columns", [["host", "meta:2"], "host:0,meta:2", {"host": 0, "meta": "2"}])
def test_columns_may_be_a_list_a_string_or_a_map(extract: Extract, columns: Any) -> None:
    rows = extract("CSV", "google.com,1.0,foo", columns=columns, indicator_column="host", type="threat")
    assert describe(rows) == [("threat", "google.com", {"host": "google.com", "meta": "foo"})]


def test_comments_and_blank_lines_of_csv_are_ignored(extract: Extract) -> None:
    rows = extract("CSV", "#google.com,1\n\n \t\n  # x\na,b\n", columns=["host"], type="t")
    assert describe(rows) == [None, None, None, None, ("t", "a", {"host": "a"})]


def test_values_of_csv_are_not_trimmed_and_may_be_quoted(extract: Extract) -> None:
    rows = extract("CSV", 'a; b ;"d;e"\r\n', columns=["x", "y", "z"], type="t", separator=";")
    assert describe(rows) == [("t", "a", {"x": "a", "y": " b ", "z": "d;e"})]


def test_the_type_may_be_a_column(extract: Extract) -> None:
    rows = extract("CSV", "a,ip\nb,host", columns=["v", "kind"], indicator_column="v", type_column="kind")
    assert [(row.kind, row.indicator) for row in rows if isinstance(row, ExtractedRow)] == [("ip", "a"), ("host", "b")]


def test_lines_of_the_wrong_width_are_rejected_and_the_others_extracted(extract: Extract) -> None:
    rows = extract("CSV", 'a,1\nb\n"c\nd,2,3', columns={"h": 0, "n": 1}, type="t")
    assert describe(rows) == [
        ("t", "a", {"h": "a", "n": "1"}),
        "2: expected at least 2 values, got 1",
        "3: Un-terminated quoted field at end of CSV line",
        ("t", "d", {"h": "d", "n": "2"}),
    ]


def test_a_header_names_the_columns(extract: Extract) -> None:
    content = "\ufeff# ip , country,extra\n1.2.3.4,DE,x\n5.6.7.8,FR\n"
    options = {"header": True, "type": "t", "indicator_column": "ip"}
    assert describe(extract("CSV", content, **options)) == [
        None,
        ("t", "1.2.3.4", {"ip": "1.2.3.4", "country": "DE", "extra": "x"}),
        "3: expected 3 values as in the header, got 2",
    ]
    selected = extract("CSV", content, **options, columns=["country"])
    assert describe(selected)[1] == ("t", "1.2.3.4", {"country": "DE"})


def test_a_header_without_a_column_is_an_error_of_the_configuration(extract: Extract) -> None:
    with pytest.raises(ConfigError, match=r"config\.indicator_column: unknown column 'addr'; known are ip, n"):
        extract("CSV", "ip,n\n1,2", header=True, type="t", indicator_column="addr")
    with pytest.raises(ConfigError, match=r"config\.columns: the header has no column 'np'; did you mean n"):
        extract("CSV", "ip,n\n1,2", header=True, type="t", indicator_column="ip", columns=["np"])


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a\xff,1\nb,2", ["1: invalid UTF-8 at byte 1; convert the file to UTF-8", ("t", "b", {"h": "b"})]),
        (b"a" * (MAX_LINE_BYTES + 1), [f"1: the line has more than {MAX_LINE_BYTES:,} bytes"]),
        (
            b"a" * (MAX_LINE_BYTES + 1) + b"\nb,2",
            [f"1: the line has more than {MAX_LINE_BYTES:,} bytes", ("t", "b", {"h": "b"})],
        ),
        (b"", []),
    ],
)
def test_unreadable_lines_are_rejected_with_the_reason(extract: Extract, content: bytes, expected: list[Any]) -> None:
    assert describe(extract("CSV", content, columns=["h"], type="t")) == expected


def test_an_unreadable_header_rejects_its_file(extract: Extract) -> None:
    rows = extract("CSV", b"\n\xff\na,b", header=True, type="t")
    assert describe(rows) == [None, "2: the header is not readable: invalid UTF-8 at byte 0; convert the file to UTF-8"]


# -- JSON


def test_a_line_of_json_is_a_row_whose_values_have_their_types(extract: Extract) -> None:
    rows = extract("JSON", '{"ip": "1.2.3.4", "n": 5, "tags": ["a"]}\n\n{"ip": 7}', indicator_column="ip", type="t")
    assert describe(rows) == [("t", "1.2.3.4", {"ip": "1.2.3.4", "n": 5, "tags": ["a"]}), None, ("t", "7", {"ip": 7})]


@pytest.mark.parametrize("columns", [["n"], "n", {"n": "n"}])
def test_columns_select_members_of_json(extract: Extract, columns: Any) -> None:
    rows = extract(
        "JSON", '{"ip": "a", "n": 5, "kind": "k"}', indicator_column="ip", type_column="kind", columns=columns
    )
    assert describe(rows) == [("k", "a", {"n": 5})]


def test_a_whole_file_of_json_is_a_list_of_rows(extract: Extract) -> None:
    rows = extract("JSON", '[{"ip": "a"},\n {"n": 1}, 5]', form="WHOLE_FILE", indicator_column="ip", type="t")
    assert describe(rows) == [
        ("t", "a", {"ip": "a"}),
        "2: the object has no member 'ip'",
        "3: expected a JSON object",
    ]
    with pytest.raises(ValueError, match="input: invalid JSON: "):
        extract("JSON", "[", form="WHOLE_FILE", indicator_column="ip", type="t")
    with pytest.raises(ValueError, match="input: invalid UTF-8 at byte 1"):
        extract("JSON", b"[\xff", form="WHOLE_FILE", indicator_column="ip", type="t")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "invalid JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ("[" * 100_000, "invalid JSON: nested too deeply"),
        ("5", "expected a JSON object"),
        ('{"ip": null}', "expected a string or an integer in 'ip'"),
        ('{"ip": true}', "expected a string or an integer in 'ip'"),
        ("{}", "the object has no member 'ip'"),
    ],
)
def test_lines_that_are_no_usable_json_are_rejected(extract: Extract, line: str, reason: str) -> None:
    assert describe(extract("JSON", line, indicator_column="ip", type="t")) == [f"1: {reason}"]


# -- WHOIS

WHOIS = """\
domainName,registrarName,Audit_auditUpdatedDate,registrant_rawText,contactEmail
Google.COM.,MarkMonitor,2014-01-01,"raw, text
of two lines",a@example.com
"""


def test_a_whois_export_is_loaded_by_domain_without_raw_texts(extract: Extract) -> None:
    expected = {"domainName": "Google.COM.", "registrarName": "MarkMonitor", "contactEmail": "a@example.com"}
    assert describe(extract("WHOIS", WHOIS)) == [None, ("whois", "google.com", expected)]


def test_options_select_the_columns_and_the_type_of_a_whois_export(extract: Extract) -> None:
    rows = extract("WHOIS", WHOIS, columns=["registrarName"], type="registrar", indicator_column="contactEmail")
    assert describe(rows)[1] == ("registrar", "a@example.com", {"registrarName": "MarkMonitor"})


def test_broken_records_of_a_whois_export_are_rejected(extract: Extract) -> None:
    content = WHOIS.encode() + b'\nb.com,x\n\xff.com,a,b,c,d\nc.com,"' + b"\n" * 200_000
    rows = describe(extract("WHOIS", content))
    assert rows[2:5] == [
        None,
        "5: expected 5 values as in the header, got 2",
        "6: invalid UTF-8 at byte 0; convert the file to UTF-8",
    ]
    assert "7: invalid CSV: field larger than field limit (131072); a quote may be missing" in rows


def test_an_export_without_domains_names_its_columns(extract: Extract) -> None:
    with pytest.raises(ConfigError, match="unknown column 'domainName'; did you mean domain_name"):
        extract("WHOIS", "domain_name,x\na,b")


# -- Configuration


@pytest.mark.parametrize(
    ("extractor", "options", "form", "message"),
    [
        ("CVS", {}, None, r"extractor: unknown extractor 'CVS'; did you mean CSV"),
        ("CSV", {"columns": ["a"]}, None, "config: missing key 'type'"),
        ("CSV", {"type": "t"}, None, "config.columns: missing key 'columns'"),
        ("CSV", {"columns": [], "type": "t"}, None, "config.columns: expected at least one column"),
        ("CSV", {"columns": {"a": -1}, "type": "t"}, None, "config.columns: invalid index '-1'"),
        ("CSV", {"columns": ["a"], "type": "t", "separator": ""}, None, "config.separator: invalid separator ''"),
        (
            "CSV",
            {"columns": ["ab"], "type": "t", "indicator_column": "ac"},
            None,
            "config.indicator_column: unknown column 'ac'; known are ab",
        ),
        ("CSV", {"columns": ["a"], "type_column": "b"}, None, "config.type_column: unknown column 'b'; known are a"),
        ("CSV", {"columns": ["a"], "type": "t", "colums": 1}, None, "config.colums: unknown key 'colums'"),
        ("CSV", {"columns": ["a"], "type": "t", "value_filter": 5}, None, "config.value_filter: expected a string"),
        ("CSV", {"columns": ["a"], "type": "t", "value_transform": 5}, None, "config.value_transform: expected a map"),
        ("CSV", {"columns": ["a"], "type": "t"}, "WHOLE_FILE", "inputFormat: the extractor CSV reads lines"),
        ("CSV", {"columns": ["a"], "type": "t"}, "BY_LINES", "inputFormat: unknown input format 'BY_LINES'"),
        ("CSV", {"columns": ["a"], "type": "t", "lookup_converter": "X"}, None, "lookup_converter: unsupported"),
        ("JSON", {"type": "t"}, None, "config: missing key 'indicator_column'"),
        ("JSON", {"type": "t", "indicator_column": "a", "columns": [1]}, None, "config.columns: expected a list"),
        (
            "STIX",
            {"stix_address_categories": "IPV4"},
            None,
            "unknown category 'IPV4'; known are E_MAIL, IPV_4_ADDR, IPV_6_ADDR, MAC",
        ),
        ("WHOIS", {"columns": "a"}, None, "config.columns: expected a list of columns"),
        ("WHOIS", {"separator": ",,"}, None, "config.separator: invalid separator ',,'"),
    ],
)
def test_an_invalid_extractor_is_an_error_at_its_key(
    extract: Extract, extractor: str, options: dict[str, Any], form: str | None, message: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        extract(extractor, "", form=form, **options)
    assert message in str(raised.value)
