"""Grok patterns, which are expanded and captured as by Metron's library."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from stellar.java.grok import (
    SHIPPED,
    Grok,
    GrokError,
    NoMatch,
    find_ignored_lines,
    find_suspicious_syntax,
    load_common_definitions,
    parse_definitions,
)

COMMON = load_common_definitions()


def match(pattern: str, text: str, **more: str) -> dict[str, Any]:
    return Grok(pattern, {**COMMON, **more}).match(text)


@pytest.mark.parametrize(
    ("pattern", "text", "fields"),
    [
        ("%{INT:a} %{WORD:b}", "… 12 x", {"a": 12, "b": "x"}),  # found anywhere
        ("(?:%{INT:a}|%{WORD:b})", "x", {"a": None, "b": "x"}),  # a group that did not participate is null
        ("%{WORD} %{WORD:UNWANTED}", "x y", {"WORD": "x"}),  # the default name is that of the pattern
        ("(?<own>[0-9]+) %{WORD:b}", "7 x", {"own": 7, "b": "x"}),
        ("(?<own.name>[0-9]+)", "7", {"own.name": 7}),
        ("%{QS:a}", "say 'it is' now", {"a": "it is"}),  # quotes are removed
        ("%{DATA:a} end", "' end", {"a": "'"}),
        ("%{DATA:a} end", '"" end', {"a": ""}),
        ("%{DATA:a} end", "007 end", {"a": 7}),
        ("%{DATA:a} end", "+5 end", {"a": 5}),
        ("%{DATA:a} end", "٣ end", {"a": 3}),  # Java's digits are those of Unicode
        ("%{DATA:a} end", "𝟛 end", {"a": "𝟛"}),  # of the basic plane
        ("%{DATA:a} end", f"{'0' * 5000} end", {"a": 0}),
        ("%{DATA:a} end", "-2147483648 end", {"a": -2147483648}),
        ("%{DATA:a} end", "2147483648 end", {"a": "2147483648"}),  # more than 32 bits: a string
        ("%{DATA:a} end", f"{'9' * 5000} end", {"a": "9" * 5000}),
        ("%{DATA:a} end", "1.5 end", {"a": "1.5"}),
        ("%{NUMBER:n:int} %{WORD:w:string}", "5.5 a", {"n:int": "5.5", "w:string": "a"}),  # no type: part of the name
        ("%{WORD:[a][b]}", "x", {"[a][b]": "x"}),
        ("%{ZIP=[0-9]{5}}", "12345", None),  # braces end the reference
        ("%{ZIP=[0-9]+} %{ZIP:zip}", "12345 678", {"ZIP=[0-9]+": 12345, "zip": 678}),
        ("%{ZIP:code=[0-9]+}", "12345", {"code": 12345}),
        ("(?>a+)b%{INT:x}", "aab5", {"x": 5}),  # atomic
        ("(?<=k=)%{INT:a}", "k=3", {"a": 3}),  # look-behind
        (r"\w+ %{INT:a}", "é x 1", {"a": 1}),
        (r"(['\"])%{INT:a}\1", "'5'", {"a": 5}),  # back references count all groups
        (r"%{WORD:w}=(['\"])%{INT:a}\2", "x='5'", {"w": "x", "a": 5}),
        (r"(?<quote>['\"])%{INT:a}\k<quote>", "'5'", {"quote": "'", "a": 5}),
        ("%{A}", "x", {"A": "x", "B": "x"}),  # inner patterns are captured, too
    ],
)
def test_a_pattern_captures(pattern: str, text: str, fields: dict[str, Any] | None) -> None:
    if fields is None:
        with pytest.raises(GrokError):
            match(pattern, text)
        return
    found = match(pattern, text, A="%{B}", B="x")
    assert found == fields
    assert [type(value) for value in found.values()] == [type(value) for value in fields.values()]


@pytest.mark.parametrize(
    ("pattern", "text", "value"),
    [
        ("%{WORD:a}-%{WORD:a}", "x-y", "x"),  # equal references are one group: the first occurrence
        ("(?:%{WORD:a}-)?%{WORD:a}:", "y:", None),  # even if it did not participate
        ("%{WORD:a}-%{INT:a}", "x-5", 5),  # other references are groups of their own: the last one
        ("%{WORD:a}(?:-%{INT:a})?", "x", None),
        ("%{INT:a} %{INNER}", "1 2", 2),  # a reference that appears by a later expansion is another group
        ("%{INNER} %{INT:a}", "1 2", 1),  # at the time of its expansion both occurrences are there
        ("(?<a>x)|(?<a>y)", "y", None),
        ("%{INT:a} (?<a>x)", "1 x", "x"),
    ],
)
def test_of_captures_with_one_name_the_last_group_counts(pattern: str, text: str, value: object) -> None:
    assert match(pattern, text, INNER="%{INT:a}")["a"] == value


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("IPV4", ["0.0.0.0", "255.255.255.255", "1.2.3.4", "01.2.3.4"], ["256.1.1.1", "1.2.3", "1.2.3.4567"]),
        (
            "IPV6",
            ["::", "::1", "2001:db8::1", "1:2:3:4:5:6:7:8", "fe80::1%eth0", "::ffff:1.2.3.4", "1:2:3:4:5:6:1.2.3.4"],
            ["1:2", "12345::", "1::2::3", "1:2:3:4:5:6:7:8:9", ":::"],
        ),
        ("IP", ["1.2.3.4", "::1"], ["x", "1.2.3"]),
        ("INT", ["1", "-1", "+20"], ["1.5", "x"]),
        ("NUMBER", ["1", "1.5", "-.5", "1571163620.277"], ["x", "1.2.3"]),
        ("WORD", ["abc_1"], ["a b", "-"]),
        ("NOTSPACE", ["a-b/c"], ["a b"]),
        ("HOSTNAME", ["example.com", "a", "a-b.c.co.uk", "x."], ["-x", "a b", "a_b"]),
        ("IPORHOST", ["example.com", "10.0.0.1", "::1"], ["/"]),
        ("MAC", ["00:1a:2B:3c:4d:5e", "001a.2b3c.4d5e", "00-1a-2B-3c-4d-5e"], ["00:1a"]),
        ("UUID", ["785d4a61-1b87-457e-9cab-4d4f85659df9"], ["785d4a61"]),
        ("QUOTEDSTRING", ['"a \\" b"', "'x'", "``"], ['"open', '"a\\"']),
        ("UNIXPATH", ["/var/log/x.log", "/a\\ b"], ["var"]),
        ("WINPATH", [r"C:\Windows\x.exe"], ["C:"]),
        ("TTY", ["/dev/pts/0", "/dev/ttyp12"], ["/dev/null", "/dev/tty"]),
        ("EMAILADDRESS", ["a.b@example.com"], ["a.b"]),
        ("MONTH", ["Jan", "September"], ["jan", "Sept"]),
        ("DAY", ["Mon", "Wednesday"], ["mon"]),
        ("TZ", ["PST", "EDT", "UTC"], ["CET"]),
        ("BASE16NUM", ["0xff", "DEADbeef"], ["xyz"]),
        ("BASE16FLOAT", ["0x1.8", "A.B"], ["xyz"]),
    ],
)
def test_a_base_pattern_matches_its_kind_only(name: str, good: list[str], bad: list[str]) -> None:
    grok = Grok(f"^(?<value>%{{{name}}})$", COMMON)
    for text in good:
        assert dict(zip(grok.fields, grok.find(text), strict=True))["value"] == text
    for text in bad:
        with pytest.raises(NoMatch):
            grok.find(text)


@pytest.mark.parametrize(
    ("name", "text", "fields"),
    [
        # Of hour and minute, those of the zone come later
        (
            "TIMESTAMP_ISO8601",
            "2016-01-28 15:29:48",
            {
                "YEAR": 2016,
                "MONTHNUM": 1,
                "MONTHDAY": 28,
                "HOUR": None,
                "MINUTE": None,
                "SECOND": 48,
                "ISO8601_TIMEZONE": None,
            },
        ),
        ("HOSTPORT", "example.com:80", {"IPORHOST": "example.com", "PORT": 80}),
        (
            "URI",
            "http://u@h:80/a?b",
            {
                "URIPROTO": "http",
                "USER": "u",
                "URIHOST": "h:80",
                "IPORHOST": "h",
                "port": 80,
                "URIPATHPARAM": "/a?b",
                "URIPATH": "/a",
                "URIPARAM": "?b",
            },
        ),
        ("SYSLOGPROG", "sshd[12]", {"program": "sshd", "pid": 12}),
    ],
)
def test_a_base_pattern_captures_its_components(name: str, text: str, fields: dict[str, Any]) -> None:
    assert match(f"%{{{name}:whole}}", text) == {"whole": text, **fields}


def test_every_shipped_pattern_is_a_regular_expression() -> None:
    files = {file.name: parse_definitions(file.read_text(encoding="utf-8")) for file in SHIPPED.iterdir()}
    assert files.keys() == {"common", "squid", "yaf", "asa", "websphere", "fireeye", "sourcefire"}
    for definitions in files.values():
        for name in definitions:
            Grok(f"%{{{name}}}", {**COMMON, **definitions})


@pytest.mark.parametrize("text", ["", " \t", "\u2003\u2028"])
def test_a_blank_string_matches_nothing(text: str) -> None:
    with pytest.raises(NoMatch):
        match("%{SPACE:a}", text)


def test_a_non_breaking_space_is_not_blank() -> None:
    assert match("%{DATA:a}$", "\u00a0") == {"a": "\u00a0"}


@pytest.mark.parametrize(
    ("pattern", "more", "message"),
    [
        ("%{WRD:a}", {}, "the pattern WRD is not defined; did you mean WORD?"),
        ("%{A}", {"A": "%{WRD}"}, "the pattern WRD, which A uses, is not defined; did you mean WORD?"),
        ("%{A}", {"A": "%{B}", "B": "%{A}"}, "the pattern A is recursive: A → B → A"),
        ("%{A}", {"A": "(a"}, "invalid pattern %{A}: unclosed ( at character 3\nA (a\n    ^"),
        (
            "%{A}",
            {"A": "x%{WORD:a-b}"},
            "invalid pattern %{A}: invalid reference %{WORD:a-b} at character 2: expected %{PATTERN} or "
            "%{PATTERN:field}; a field has letters, digits, underscores and colons\nA x%{WORD:a-b}\n   ^",
        ),
        (
            "%{WORD:a b}",
            {},
            "invalid pattern %{WORD:a b}: invalid reference %{WORD:a b} at character 1: expected %{PATTERN} or "
            "%{PATTERN:field}; a field has letters, digits, underscores and colons\n%{WORD:a b}\n^",
        ),
        ("%{A}", {"A": "%{"}, "invalid pattern %{A}: invalid reference %{ at character 1: expected"),
        ("%{A0}", {f"A{n}": f"%{{A{n + 1}}}" * 2 for n in range(300)}, "patterns are nested too deeply: A0 → A1 →"),
        (
            "%{A0}",
            {**{f"A{n}": f"%{{A{n + 1}:a}}%{{A{n + 1}:b}}" for n in range(40)}, "A40": "x" * 1000},
            "the pattern is too long: it expands to more than a million characters",
        ),
    ],
)
def test_an_invalid_pattern_is_rejected(pattern: str, more: dict[str, str], message: str) -> None:
    with pytest.raises(GrokError) as refused:
        match(pattern, "x", **more)
    assert str(refused.value).startswith(message)


def test_matching_a_hostile_string_is_bounded(bounded: Callable[[], AbstractContextManager[None]]) -> None:
    grok = Grok("%{BOMB}", {"BOMB": "(?:(?:a|aa)+)+$"}, timeout_ms=50, name="BOMB")
    with bounded(), pytest.raises(TimeoutError, match=r"the pattern BOMB took longer than 50 ms"):
        grok.match("a" * 5000 + "!")


def test_definitions_are_lines_of_a_name_and_a_regular_expression() -> None:
    content = "A x\r\nB\t \ty \rA z\n# C c\n  D d\nE-F e\nG\n[H] h\u2028\nI i"
    assert parse_definitions(content) == {"A": "z", "B": "y ", "I": "i"}
    assert list(find_ignored_lines(content)) == [(5, "  D d"), (6, "E-F e"), (7, "G"), (8, "[H] h\u2028")]
    with pytest.raises(GrokError, match="the pattern A in line 2 has no regular expression"):
        parse_definitions("B b\nA  \n")


@pytest.mark.parametrize(
    ("definition", "warnings"),
    [
        (r"\\h(?<n>a)", []),
        (r"\h+", [r"\h matches horizontal whitespace; for a hexadecimal digit, as in Oniguruma, write [0-9a-fA-F]"]),
        ("(?<n>a)|(?<n>b)", ["repeated group n: only the value of the first one is used"]),
        (
            "%{INT:n:int}",
            [
                "%{INT:n:int} captures the field 'n:int' and converts nothing; "
                "use a function such as TO_INTEGER in a field transformation"
            ],
        ),
        ("%{INT:n} ", ["the definition ends with whitespace, which the pattern must match"]),
    ],
)
def test_suspicious_syntax_is_reported(definition: str, warnings: list[str]) -> None:
    assert list(find_suspicious_syntax(definition)) == warnings
