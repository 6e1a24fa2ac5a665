"""The extractor of STIX 1.x documents."""

from __future__ import annotations

from typing import Any

import pytest

from stellar.pipeline.loaders.rows import ExtractedRow, RejectedRow
from stellar.pipeline.loaders.stix import _MAX_PROPERTIES

from .conftest import Extract, describe

START = """\
<stix:STIX_Package xmlns:stix="http://stix.mitre.org/stix-1" xmlns:cybox="http://cybox.mitre.org/cybox-2"
    xmlns:indicator="http://stix.mitre.org/Indicator-2" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
    xmlns:A="http://cybox.mitre.org/objects#AddressObject-2" xmlns:D="http://cybox.mitre.org/objects#DomainNameObject-1"
    xmlns:H="http://cybox.mitre.org/objects#HostnameObject-1" xmlns:U="http://cybox.mitre.org/objects#URIObject-2">
"""
END = "</stix:STIX_Package>"


def indicator(properties: str) -> str:
    return (
        f"<stix:Indicator><indicator:Observable><cybox:Object>{properties}</cybox:Object></indicator:Observable>"
        "</stix:Indicator>"
    )


def observable(properties: str) -> str:
    return f"<cybox:Observable><cybox:Object>{properties}</cybox:Object></cybox:Observable>"


def address(value: str, attributes: str = 'category="ipv4-addr"', of_value: str = 'condition="Equals"') -> str:
    return (
        f'<cybox:Properties xsi:type="A:AddressObjectType" {attributes}>'
        f"<A:Address_Value {of_value}>{value}</A:Address_Value></cybox:Properties>"
    )


def properties(kind: str, content: str) -> str:
    return f'<cybox:Properties xsi:type="{kind}">{content}</cybox:Properties>'


def document(*properties: str) -> str:
    """A document with the first object in an indicator, and the others as observables."""
    first, *others = properties
    observables = f"<stix:Observables>{''.join(map(observable, others))}</stix:Observables>"
    return f"{START}{observables}<stix:Indicators>{indicator(first)}</stix:Indicators>{END}"


def keys(rows: list[Any]) -> list[tuple[str, str] | None]:
    return [(row.kind, row.indicator) if isinstance(row, ExtractedRow) else None for row in rows]


def test_each_value_of_an_address_is_a_row(extract: Extract) -> None:
    list_of_addresses = address(
        "10.0.0.0##comma## 10.0.0.1\n##comma####comma##10.0.0.2", of_value='apply_condition="ANY"'
    )
    rows = extract("STIX", document(list_of_addresses))
    expected = [("address:IPV_4_ADDR", f"10.0.0.{last}") for last in range(3)]
    assert keys(rows) == expected
    [row, *_] = rows
    assert isinstance(row, ExtractedRow)
    assert row.value["source-type"] == "STIX"
    assert row.value["indicator-type"] == "address:IPV_4_ADDR"
    assert "10.0.0.0##comma##" in row.value["source"]


def test_the_types_are_those_of_metron(extract: Extract) -> None:
    rows = extract(
        "STIX",
        document(
            address("::1", 'category="ipv6-addr"'),
            address("a@example.com", 'category="e-mail"'),
            address("00:11:22:33:44:55", 'category="mac"'),
            address("10.0.0.1", ""),
            properties('D:DomainNameObjectType" type="FQDN', "<D:Value>b.com</D:Value>"),
            properties("D:DomainNameObjectType", "<D:Value>c.com</D:Value>"),
            properties("H:HostnameObjectType", "<H:Hostname_Value>h</H:Hostname_Value>"),
            properties("U:URIObjectType", "<U:Value>http://x/##comma##</U:Value>"),
        ),
    )
    assert sorted(keys(rows)) == [
        ("address:E_MAIL", "a@example.com"),
        ("address:IPV_4_ADDR", "10.0.0.1"),
        ("address:IPV_6_ADDR", "::1"),
        ("address:MAC", "00:11:22:33:44:55"),
        ("domainname:FQDN", "b.com"),
        ("domainname:FQDN", "c.com"),
        ("hostname", "h"),
        ("uriobjecttype", "http://x/##comma##"),
    ]
    [uri] = [row for row in rows if isinstance(row, ExtractedRow) and row.kind == "uriobjecttype"]
    assert uri.value["uri"] == "http://x/##comma##"


@pytest.mark.parametrize(
    "properties",
    [
        address("AS1", 'category="asn"'),
        address("10.0.0.1", of_value='condition="InclusiveBetween"'),
        address("10.0.0.1", of_value='apply_condition="ALL"'),
        address(" "),
        '<cybox:Properties xsi:type="D:DomainNameObjectType" type="TLD"><D:Value>com</D:Value></cybox:Properties>',
        '<cybox:Properties xsi:type="F:FileObjectType"/>',
        "<cybox:Properties/>",
    ],
)
def test_other_objects_and_conditions_are_ignored(extract: Extract, properties: str) -> None:
    assert describe(extract("STIX", document(properties))) == [None]


def test_nested_objects_are_ignored(extract: Extract) -> None:
    composition = observable(
        f"<cybox:Related_Objects><cybox:Related_Object>{address('10.0.0.1')}</cybox:Related_Object>"
        "</cybox:Related_Objects>"
    )
    assert describe(extract("STIX", f"{START}<stix:Observables>{composition}</stix:Observables>{END}")) == [None]


def test_options_select_categories_and_name_types(extract: Extract) -> None:
    text = document(address("10.0.0.1"), address("::1", 'category="ipv6-addr"'))
    assert keys(extract("STIX", text, stix_address_categories="IPV_6_ADDR, MAC", stix_address_type="ip")) == [
        ("ip:IPV_6_ADDR", "::1"),
        None,
    ]


def test_the_misspelt_condition_equal_is_accepted(extract: Extract) -> None:
    assert keys(extract("STIX", document(address("10.0.0.1", of_value='condition="Equal"')))) == [
        ("address:IPV_4_ADDR", "10.0.0.1")
    ]


def test_each_line_may_be_a_document(extract: Extract) -> None:
    first, second = (document(address(each)).replace("\n", " ") for each in ("10.0.0.1", "10.0.0.2"))
    rows = extract("STIX", f"{first}\n\n{second}\n<x/>\n".encode() + b"\xff\n", form="BY_LINE")
    assert describe(rows)[1] is None
    assert [row.indicator for row in rows if isinstance(row, ExtractedRow)] == ["10.0.0.1", "10.0.0.2"]
    assert [(row.line, row.reason) for row in rows if isinstance(row, RejectedRow)] == [
        (4, "expected the element STIX_Package of STIX 1.x, got x"),
        (5, "invalid UTF-8 at byte 0; convert the file to UTF-8"),
    ]
    [rejected] = [row for row in extract("STIX", f"{first}\n{second}") if isinstance(row, RejectedRow)]
    assert "set inputFormat to BY_LINE if each line is a document" in rejected.reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "1: invalid XML at column 1: no element found"),
        ('{"type": "bundle"}', "1: invalid XML at column 1: not well-formed (invalid token)"),
        (f"{START}\n<a></b>{END}", "6: invalid XML at column 6: mismatched tag"),
        ("<bundle/>", "1: expected the element STIX_Package of STIX 1.x, got bundle"),
        (
            '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>' + document(address("&a;")),
            "1: the document has a document type, which is not accepted; remove <!DOCTYPE …>",
        ),
        (START + "<a>" * 300, "1: the document has more than 200 levels"),
        (
            document(address("x" * (_MAX_PROPERTIES + 1))),
            f"1: the properties of an object have more than {_MAX_PROPERTIES:,} characters",
        ),
    ],
)
def test_a_broken_or_hostile_document_is_rejected(extract: Extract, text: str, reason: str) -> None:
    assert describe(extract("STIX", text)) == [reason]


def test_rows_before_an_error_are_extracted(extract: Extract) -> None:
    rows = extract("STIX", document(address("10.0.0.1")).removesuffix(END))
    assert keys(rows) == [("address:IPV_4_ADDR", "10.0.0.1"), None]
