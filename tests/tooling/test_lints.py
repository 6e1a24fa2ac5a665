"""Each lint fires at the marked spans only; docs/lints.md has the same examples."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from stellar import compile as compile_expression
from stellar.functions import LIBRARY, SHELL_LIBRARY
from stellar.language.library import Library, stellar
from stellar.language.nodes import outline
from stellar.language.parser import parse
from stellar.language.resolver import resolve
from stellar.language.source import Span
from stellar.tooling import lints
from stellar.tooling.checks import find_problems
from stellar.tooling.findings import SourceEdit, apply_edits
from stellar.tooling.lints import LINTS, lint

# Spans of findings are marked by « and »
FIRES = {
    "product-in-divisor": [
        "«8 / 4 * 2»",
        "«100 / 5 * 2» / 4",
        "f(«a / (b) * c»)",
        "«6 * 3 / 2 * 2»",
        "«a / // (half\n b * c»",
        "«a / (b / c) * d»",
    ],
    "mixed-and-or": [
        "«a and b or c»",
        "«a or b and c»",
        "«a and b or c and d or e»",
        "f((«(a) and (b) or (c)»))",
        "«a and // (\n b or c»",
        "[«a && b || c»]",
        "«a and (b or c) or d»",
        "«a and (b and c or d)»",
        "not(«a and b or c»)",
        "«a or f(«b and c or d») and e»",
    ],
    "swallowed-comparison": ["«'a' in x == true»", "«'a' not in (x) == true»", "«'a' in x in y»", "y and «a in b < c»"],
    "chained-comparison": [
        "«a < b < c»",
        "«1 == 1 == 1»",
        "f(«a < b < c»)",
        "(«a < b < c < d»)",
        "«a == b == (true or x)»",
    ],
    "tight-not": ["«not a == b»", "«not a in b»", "«not // (\na == b»", "x and «not not a == b»"],
    "swallowed-name": ["1 «not index»", "a «NOT INx.y» or b", "f((1 «not in5»))"],
    "condition-not-boolean": [
        "«1» ? 2 : 3",
        "if «'x'» then 1 else 2",
        "«[1]» ? 2 : 3",
        "«{'a' : 1}» ? 2 : 3",
        "«a + 1» ? 2 : 3",
        "«-a» ? 2 : 3",
        "«TO_UPPER(a)» ? 1 : 2",
        "if «LENGTH(a)» then 1 else 2",
        "(«x -> x») ? 1 : 2",
        "match { a => 1, «2» => 2, default => 3 }",
    ],
    "literal-match-check": ["match { «true» => 1, default => 2 }", "match { a => 1, «true» => 1, default => 2 }"],
    "value-as-truth": [
        "a == 1 or «2»",
        "not(«'x'»)",
        "«LENGTH(a)» and b",
        "a and «SPLIT(b, ',')»",
        "«{'a' : 1}» or a",
        "not «TO_INTEGER(x)»",
    ],
    "different-kinds": [
        "«'1' == 1»",
        "«LENGTH(a) > '5'»",
        "«TO_UPPER(a) != 5»",
        "«a + 1 == '2'»",
        "«[1] == 'a'»",
        "«SET_INIT([1]) == [1]»",
        "«(a > 1) == 'true'»",
    ],
    "fruitless-in": ["«5 in '123'»", "«LENGTH(a) not in TRIM(b)»", "«a in 5»", "«a in (b + c)»"],
    "calculation-without-numbers": ["«'a'» + x", "1 + («true»)", "x * «TRIM(y)»", "-«'1'»", "«[1]» + «[2]»"],
    "truncated-division": ["«1 / 2»", "x + «-5 / 3»", "«(1) / (2)» + 1"],
    "order-with-null": ["«a > null»", "«null <= a»", "«null < null»"],
    "compared-with-nan": ["«a == NaN»", "«NaN != a»", "«a < NaN»"],
    "keyword-as-name": ["a == «True»", "«Null» == a", "a == «None»", "a == «nan»", "x -> «FAlse»"],
    "name-as-key": ["{«ip» : 1}", "{'a' : (b), «ip» : 1}", "{// (\n«ip» : 1}", "x -> {«ip» : x}"],
    "repeated-key": ["{'a' : 1, «'a'» : 2}", "{1 : 1, «1.0» : 2, «true» : 3}", "{a == 1 : 1, 1 : 2, «1» : 3}"],
    "repeated-parameter": ["(x, «x») -> x", "MAP(l, (x, y, // x\n «x», «y») -> (x))"],
    "surplus-argument": ["TO_UPPER(a, «b»)", "TRIM('a', «b, c(1)»)", "NOTHING(«1»)"],
    "doubled-backslash": [r"REGEXP_MATCH(x, «'\\\\d+'»)", r"REGEXP_REPLACE(x, «'a\\\\s'», '')"],
    "invalid-literal": [
        "REGEXP_MATCH(x, «'('»)",
        "REGEXP_MATCH(x, «['a', '[']»)",
        "REGEXP_GROUP_VAL(x, '(a)', «2»)",
        "REGEXP_REPLACE(x, 'a', «'$1'»)",
        "TO_EPOCH_TIMESTAMP(x, «'jjjj'»)",
        "IS_DATE(x, «\"yyyy 'at'' HH\"»)",
        "DATE_FORMAT('yyyy', «'2018'», 'UTC')",
        "DATE_FORMAT('yyyy', «'SystemV/EST5EDT'»)",
        "TO_EPOCH_TIMESTAMP(x, 'yyyy', «'SystemV/EST5EDT'»)",
        "IN_SUBNET(x, «'10.0.0.0/33'», '10.0.0.0/8', «'10.0.0/8'»)",
        "FORMAT(«'%s %s'», x)",
        "FORMAT(«'%d'», 'a')",
        "FORMAT(«'%y'», x)",
        "HASH(x, «'CRC'»)",
        "ENCODE(x, «'ROT13'»)",
        "BYTEARRAY_MATCHER(«'zz'», x)",
    ],
    "misleading-literal": [
        "DATE_FORMAT(«'YYYY-MM-dd'», x)",
        "TO_EPOCH_TIMESTAMP(x, «'yyyy-mm-dd'»)",
        "TO_EPOCH_TIMESTAMP(x, «'dd.mm.yy HH:mm'»)",
        "DATE_FORMAT(«'HH:MM:ss'», x)",
        "IS_DATE(x, «'yyyy-MM-dd hh:mm'»)",
        "IS_DATE(x, «'yyyy-MM-DD'»)",
        "IS_DATE(x, «'uuuu-MM-dd'»)",
        "TO_EPOCH_TIMESTAMP(x, «'HH:mm:ss.SSSSSS'»)",
        "TO_EPOCH_TIMESTAMP(x, 'yyyy', «'America/Newyork'»)",
        "DATE_FORMAT('yyyy', «'CEST'»)",
        "DATE_FORMAT('yyyy', x, «'+02:00'»)",
        "IN_SUBNET(x, «'10.0.0.1/32'», «'10.0.0.0/31'»)",
        "IN_SUBNET(x, «'2001:db8::/32'»)",
        "IN_SUBNET('::1', «'10.0.0.0/8'»)",
        "DOMAIN_TO_TLD(«'example.com.'»)",
        "DOMAIN_REMOVE_TLD(«'example.com。'»)",
        "DOMAIN_REMOVE_SUBDOMAINS(«'example.com.'»)",
    ],
    "always-exists": ["«exists(_)»"],
    "function-as-name": ["«LENGTH» > 5", "MAP(l, «TO_UPPER»)", "x -> «TRIM»", "{'a' : «NOTHING»}"],
    "name-as-model": [
        "MAAS_GET_ENDPOINT(«dga»)",
        "MAAS_MODEL_APPLY(MAAS_GET_ENDPOINT( // (\n«dga», '1.0'), {'a' : b})",
        "x -> MAAS_GET_ENDPOINT(«dga»)",
    ],
    "unused-noqa": [
        "a // noqa: «mixed-and-or»",
        "a and b or c // noqa: mixed-and-or, «always-exists»",
        "a and b or c // noqa: «no-such-lint»,mixed-and-or",
        "a «// noqa»",
        "a // why «// NoQA»: 5",
        "a // noqa: «error»",
        "a and b or c\n// noqa: «mixed-and-or»",
    ],
}
QUIET = {
    "product-in-divisor": [
        "8 / (4 * 2)",
        "8 * 4 / 2",
        "8 / 4 / 2",
        "(8 / 4) * 2",
        "8 / // two\n(// of\n4 * 2)",
        "a / f(b * c)",
    ],
    "mixed-and-or": [
        "a and (b or c)",
        "(a and b) or c",
        "a and b and c",
        "a or f((b and c))",
        "a and // no\n (b or c)",
        "a and (b and (c or d))",
        "x ? a and b : c or d",
    ],
    "swallowed-comparison": [
        "('a' in x) == true",
        "'a' in (x == true)",
        "'a' in x and b == c",
        "'a' in // \n ((x) == y)",
    ],
    "chained-comparison": [
        "a < b and b < c",
        "(a < b) == c",
        "a < b == true",
        "a == (b < c)",
        "f(a < b) == c",
        "((a) < b) != c",
    ],
    "tight-not": ["not(a == b)", "not(a) == b", "(not a) == b", "not (a) in b", "a == (not b)", "not a and b == c"],
    "swallowed-name": ["1 not in dex", "1 not in(x)", "1 not in'x'", "not index", "1 in dex", "1 not in [2]"],
    "condition-not-boolean": [
        "a ? 1 : 2",
        "[] ? 1 : 2",
        "{} ? 1 : 2",
        "null ? 1 : 2",
        "IS_EMPTY(a) ? 1 : 2",
        "SPLIT(a, ',') ? 1 : 2",
        "GET(a, 0) ? 1 : 2",
        "match { a == 1 => 1, default => 2 }",
    ],
    "literal-match-check": [
        "match { false => 1, default => 2 }",
        "true ? 1 : 2",
        "match { true or a => 1, default => true }",
    ],
    "value-as-truth": [
        "a or IS_EMPTY(b)",
        "not(exists(a))",
        "GET(a, 0) or b",
        "null or a",
        "a in ['x'] and b",
        "f(1) and NOPE('x')",
    ],
    "different-kinds": [
        "a == 1",
        "1 == 1.5",
        "'a' == TRIM(b)",
        "null == 1",
        "GET(a, 0) == 1",
        "a < b < 3",
        "MULTISET_INIT(a) == {}",
        "EITHER() == 1",
    ],
    "fruitless-in": [
        "'a' in 'abc'",
        "1 in [1]",
        "a in 'abc'",
        "'a' in b",
        "TRIM(a) in 'abc'",
        "1 in {}",
        "null in 'abc'",
    ],
    "calculation-without-numbers": ["a + 1", "-a", "(null) + 1", "LENGTH(a) * 2", "GET(a, 0) / 2", "NUMBER() + 1"],
    "truncated-division": ["4 / 2", "1.0 / 2", "1 / 2.0", "a / 2", "1 / 0", "3 * 2"],
    "order-with-null": ["a == null", "null != a", "a > 1"],
    "compared-with-nan": ["IS_NAN(a)", "'a' == NaN", "a == 1", "NaN + 1"],
    "keyword-as-name": [
        "true",
        "null",
        "NaN",
        "a",
        "none",
        "exists(True)",
        "None -> None",
        "y -> MAP(a, (b, None) -> MAP(y, c -> None))",
    ],
    "name-as-key": [
        "{'ip' : a}",
        "{(ip) : 1}",
        "{'a' : 1, (ip) : 1}",
        "MAP(l, ip -> {ip : 1})",
        "{TRIM(a) : 1}",
        "{1 : a}",
    ],
    "repeated-key": ["{'a' : 1, 'b' : 2}", "{'1' : 1, 1 : 2}", "{a : 1, a : 2}", "{}"],
    "repeated-parameter": ["(x, y) -> x", "x -> (x -> x)", "() -> 1"],
    "surplus-argument": ["TO_UPPER(a)", "IN_SUBNET(a, b, c, d)", "NOPE(a)", "IS_NAN(a)"],
    "doubled-backslash": [
        r"REGEXP_MATCH(x, '\\d+')",
        r"REGEXP_MATCH(x, 'C:\\\\Windows\\\\system32')",
        r"REGEXP_MATCH('\\\\d', x)",
        r"TRIM('\\\\d')",
        "REGEXP_MATCH(x, 5)",
        r"NOPE('\\\\d')",
    ],
    "invalid-literal": [
        "REGEXP_MATCH(x, '(a|b)')",
        "REGEXP_MATCH(x, y)",
        "REGEXP_MATCH(x, ['a', y])",
        "REGEXP_MATCH(x, 5)",
        "REGEXP_MATCH(x)",
        "REGEXP_GROUP_VAL(x, '(a)', 1)",
        "REGEXP_GROUP_VAL(x, y, 5)",
        "REGEXP_REPLACE(x, '(a)', '$1')",
        "TO_EPOCH_TIMESTAMP('jjjj', 'yyyy')",
        "DATE_FORMAT('yyyy', 'UTC')",
        "IN_SUBNET(x, null, '10.0.0.0/8')",
        "FORMAT('%s %<s %%', x)",
        "FORMAT('%d', x, y)",
        "HASH(x, 'sha-256')",
        "HASH(x, 'TLSH')",
        "DECODE(x, '')",
        "BYTEARRAY_MATCHER('0d 0A', x)",
        "IN_SUBNET('10.0.0.0/33', y)",
    ],
    "misleading-literal": [
        "DATE_FORMAT('YYYY-ww', x)",
        "TO_EPOCH_TIMESTAMP(x, 'yyyy-MM-dd HH:mm:ss.SSS')",
        "DATE_FORMAT('hh:mm a', x)",
        "IS_DATE(x, \"yyyy 'hh'\")",
        "TO_EPOCH_TIMESTAMP(x, 'yyyy-DDD')",
        "TO_EPOCH_TIMESTAMP(x, 'HHmm yyyy-MM-dd', 'PST')",
        "DATE_FORMAT('yyyy', x, 'GMT+5:30')",
        "DATE_FORMAT('yyyy', x, 'SystemV/EST5EDT')",
        "IN_SUBNET('10.0.0.1/32', '10.0.0.0/8')",
        "IN_SUBNET(x, '10.0.0.0/30', y)",
        "IN_SUBNET('::ffff:10.0.0.1', '10.0.0.0/8')",
        "DOMAIN_TO_TLD('example.com')",
        "DOMAIN_TO_TLD('a b.com.')",
    ],
    "always-exists": ["exists(a)", "_"],
    "function-as-name": [
        "LENGTH(a) > 5",
        "MAP(l, x -> TO_UPPER(x))",
        "TRIM -> TRIM",
        "length",
        "LENGTHY",
        "exists(TRIM)",
    ],
    "name-as-model": [
        "MAAS_GET_ENDPOINT('dga')",
        "MAAS_GET_ENDPOINT((dga))",
        "MAAS_GET_ENDPOINT('dga', version)",
        "MAP(l, dga -> MAAS_GET_ENDPOINT(dga))",
        "MAAS_GET_ENDPOINT(TRIM(dga))",
        "TRIM(dga)",
    ],
    "unused-noqa": [
        "a and b or c // noqa: mixed-and-or",
        "a and b or c // noqa : mixed-and-or - from Metron",
        "a and\n b // noqa: mixed-and-or\n or c",
        "a // noqable",
        "'// noqa'",
        "a or 'x' and b // noqa: mixed-and-or,value-as-truth",
    ],
}
MANUAL = (Path(__file__).parents[2] / "docs" / "lints.md").read_text(encoding="utf-8")
ROWS = [[cell.strip() for cell in row.split(" | ")] for row in re.findall(r"^\| (`[a-z].*) \|$", MANUAL, re.MULTILINE)]


@stellar("NOTHING")
def nothing() -> None:
    """Return null."""


@stellar("EITHER")
def either() -> int | str:
    """Return a number or a string."""
    return 1


@stellar("NUMBER")
def number() -> int | float | None:
    """Return an integer, a float or null."""
    return 1


FUNCTIONS = Library.of(LIBRARY, nothing, either, number)


def spans(name: str, text: str) -> list[tuple[int, int]]:
    return [(f.span.start, f.span.end) for f in lint(parse(text), text, FUNCTIONS) if f.name == name]


def parse_marks(text: str) -> tuple[str, list[tuple[int, int]]]:
    """Return a source without marks, and the marked ranges."""
    starts: list[int] = []
    ranges: list[tuple[int, int]] = []
    plain = ""
    for part in re.split("([«»])", text):
        if part == "«":
            starts.append(len(plain))
        elif part == "»":
            ranges.append((starts.pop(), len(plain)))
        else:
            plain += part
    return plain, sorted(ranges)


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, sources in FIRES.items() for text in sources])
def test_a_lint_fires_at_the_marked_spans(name, text):
    source, expected = parse_marks(text)
    assert spans(name, source) == expected


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, sources in QUIET.items() for text in sources])
def test_a_lint_does_not_fire_on_unambiguous_expressions(name, text):
    assert spans(name, text) == []


@pytest.mark.parametrize("name", LINTS)
def test_each_lint_is_tested(name):
    assert FIRES[name]
    assert QUIET[name]


def test_a_grok_pattern_of_the_shell_is_checked():
    text = "GROK_EVAL('%{NO_SUCH:x}', y)"
    (finding,) = lint(parse(text), text, SHELL_LIBRARY)
    assert finding.name == "invalid-literal"
    assert finding.message.startswith("the pattern NO_SUCH is not defined")
    text = "GROK_EVAL('%{IP:x}', y)"
    assert lint(parse(text), text, SHELL_LIBRARY) == []


def test_an_invalid_literal_compiles_and_is_an_error_only_when_reached():
    assert compile_expression("a == 1 ? REGEXP_MATCH('x', '(') : 2")({"a": 0}) == 2


def test_findings_are_in_source_order():
    text = "a or b > null or 2 / 4 * 3 == '5' or c == NaN"
    assert [finding.name for finding in lint(parse(text), text, LIBRARY)] == [
        "order-with-null",
        "different-kinds",
        "product-in-divisor",
        "compared-with-nan",
    ]


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("a or 'x'", ["a string becomes a boolean by its string form here; only true, yes, y, on and 1 are true"]),
        ("a or [1]", ["a list becomes a boolean by its first item here; only true, yes, y, on and 1 are true"]),
        ("a or {1 : 2}", ["a map is always false here"]),
        ("LENGTH(a) == 'x'", ["a number is compared with a string: this is always false"]),
        ("LENGTH(a) != 'x'", ["a number is compared with a string: this is always true"]),
        ("LENGTH(a) < 'x'", ["a number is compared with a string: this is an error"]),
        ("1 in 'x'", ["a number is never in a string"]),
        ("a in 1", ["`in` searches a string, list, set or map; with a number it is =="]),
        ("NaN != a", ["NaN equals nothing, not even itself: this is always true"]),
        ("None", ["None is the name of a field here"]),
    ],
)
def test_the_message_describes_the_types(text, messages):
    assert [finding.message for finding in lint(parse(text), text, LIBRARY)] == messages


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("a and b or c", "add parentheses: it is read as a and (b or c)"),
        ("x + 8 / 4 * 2 - 1", "add parentheses: it is read as 8 / (4 * 2)"),
        ("a and (b and c or d)", "add parentheses: it is read as a and (b and (c or d))"),
        ("a and\nb or c", "add parentheses"),
        (f"{'a' * 80} and b or c", "add parentheses"),
    ],
)
def test_the_hint_shows_the_meaning_of_a_short_expression(text, hint):
    assert [finding.hint for finding in lint(parse(text), text, LIBRARY)] == [hint]


def test_the_manual_has_a_row_for_each_lint():
    assert [row[0].strip("`") for row in ROWS] == list(LINTS)


def test_the_manual_shows_the_severities():
    assert {row[0].strip("`"): row[1] for row in ROWS} == LINTS


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].strip("`"))
def test_the_manual_shows_examples_that_fire_and_their_fixes(row):
    name, _, fires, _, better = row
    for text in code(fires):
        assert spans(name.strip("`"), text), text
    for text in code(better):
        assert not lint(parse(text), text, LIBRARY), text
        assert not resolve(parse(text), LIBRARY, text).problems, text
    assert code(fires)
    assert code(better)


def code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a and b or c // noqa: mixed-and-or", []),
        ("a and\n b // noqa: mixed-and-or\n or c", []),
        ("a and b or c // NOQA:mixed-and-or", []),
        ("a and b or 'c' // noqa: mixed-and-or", ["value-as-truth"]),
        ("f(8 / 4 * 2, // noqa: product-in-divisor\n 8 / 4 * 2)", ["product-in-divisor"]),
        ("a and b or c // noqa", ["mixed-and-or", "unused-noqa"]),
        ("a and b or c // noqa: mixed-and", ["mixed-and-or", "unused-noqa"]),
        ("'// noqa: mixed-and-or' and b or c", ["mixed-and-or", "value-as-truth"]),
    ],
)
def test_a_comment_suppresses_the_named_lints_of_its_line(text, names):
    assert sorted(finding.name for finding in lint(parse(text), text, LIBRARY)) == names


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("a // noqa: mixed-and-org", "unknown lint mixed-and-org", "did you mean mixed-and-or?"),
        ("a // noqa: x", "unknown lint x", "docs/lints.md lists all lints"),
        ("a // noqa: always-exists", "always-exists is not reported here", "remove it"),
        (
            "a // noqa",
            "noqa without the name of a lint suppresses nothing",
            "write // noqa: NAME, as in // noqa: mixed-and-or",
        ),
    ],
)
def test_a_comment_that_suppresses_nothing_is_reported(text, message, hint):
    (finding,) = lint(parse(text), text, LIBRARY)
    assert (finding.name, finding.message, finding.hint) == ("unused-noqa", message, hint)


def test_errors_are_not_suppressed():
    problems = find_problems("NOPE(a) // noqa: error, mixed-and-or", LIBRARY)
    assert [problem.name for problem in problems] == ["error", "unused-noqa", "unused-noqa"]


# An expression, and the same after all its fixes
FIXED = [
    ("a and b or c", "a and (b or c)"),
    ("8 / 4 * 2", "8 / (4 * 2)"),
    ("a and ( b ) or c", "a and (( b ) or c)"),
    ("a and // (\n b or c // end", "a and // (\n (b or c) // end"),
    ("'a' in x == true", "'a' in (x == true)"),
    ("1 not index", "1 not in dex"),
    ("a // noqa: always-exists", "a"),
    ("a \t// noqa: always-exists, mixed-and-or\n and b", "a\n and b"),
    ("a // noqa: always-exists - from Metron", "a // noqa: always-exists - from Metron"),
    ("a and b or c // noqa: always-exists, mixed-and-or", "a and b or c // noqa: always-exists, mixed-and-or"),
    ("a // noqa: always-exists, alway-exists", "a // noqa: always-exists, alway-exists"),
    ("a // noqa", "a // noqa"),
    ("a < b < c", "a < b < c"),
    ("{ip : 1}", "{ip : 1}"),
]


@pytest.mark.parametrize(("text", "after"), FIXED)
def test_edits_fix_what_has_one_fix(text, after):
    edits = tuple(edit for finding in lint(parse(text), text, LIBRARY) for edit in finding.edits)
    assert apply_edits(text, edits) == after
    assert not [finding for finding in lint(parse(after), after, LIBRARY) if finding.edits]


@pytest.mark.parametrize(
    "text", [parse_marks(text)[0] for texts in (*FIRES.values(), *QUIET.values()) for text in texts]
)
def test_edits_keep_the_tree(text):
    tree = parse(text)
    for finding in lint(tree, text, FUNCTIONS):
        assert outline(parse(apply_edits(text, finding.edits))) == outline(tree)


@pytest.mark.parametrize("replacement", ["(", "not("])
def test_edits_that_would_change_the_meaning_are_dropped(replacement, monkeypatch):
    edits = (SourceEdit(Span(0, 0), replacement), SourceEdit(Span(1, 1), ")" if replacement != "(" else ""))

    def check(node, context):
        yield node.span, "wrong", "none", edits

    monkeypatch.setitem(lints._NAMES, check, "always-exists")
    (finding,) = lint(parse("a"), "a", LIBRARY)
    assert (finding.message, finding.edits) == ("wrong", ())


@pytest.fixture
def parsed(monkeypatch):
    """The sources that lints parse."""
    sources = []
    monkeypatch.setattr(lints, "parse", lambda source: sources.append(source) or parse(source))
    return sources


@pytest.mark.parametrize(
    "text",
    [
        " + ".join(f"x{number} / a * b" for number in range(60)),
        f"a and b or f({', '.join(['8 / 4 * 2'] * 60)}) in c == d",  # around each other, some with one end
        "a / f(" * 60 + "x" + ") * b" * 60,
    ],
)
def test_edits_of_many_findings_are_parsed_once(text, parsed):
    tree = parse(text)
    findings = [finding for finding in lint(tree, text, FUNCTIONS) if finding.edits]
    assert len(findings) >= 60
    assert len(parsed) == 1
    for finding in findings:
        assert outline(parse(apply_edits(text, finding.edits))) == outline(tree)


def test_edits_of_a_wrong_fix_among_many_are_dropped(parsed, monkeypatch):
    def check(node, context):
        if node == parse("wrong"):
            yield node.span, "wrong", "none", (SourceEdit(node.span, "right"),)

    monkeypatch.setitem(lints._NAMES, check, "always-exists")
    text = " + ".join(["8 / 4 * 2"] * 30 + ["wrong"] + ["8 / 4 * 2"] * 33)
    findings = lint(parse(text), text, FUNCTIONS)
    assert [finding.name for finding in findings if not finding.edits] == ["always-exists"]
    assert len(findings) == 64
    assert len(parsed) == 1 + 2 * 6  # the halves of halves


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("a * b + c", [(0, 5), (4, 9)]),  # crossing: together (a * (b) + c)
        ("a - b - c", [(0, 5), (4, 9)]),
        ("a -b", [(0, 2), (2, 4)]),  # adjacent
    ],
)
def test_edits_that_keep_the_tree_only_together_are_dropped(text, spans, monkeypatch):
    def check(node, context):
        if context.parent(node) is None:
            for start, end in spans:
                yield node.span, "wrong", "none", lints._insert_parentheses(Span(start, end))

    monkeypatch.setitem(lints._NAMES, check, "always-exists")
    tree = parse(text)
    for finding in lint(tree, text, FUNCTIONS):
        assert outline(parse(apply_edits(text, finding.edits))) == outline(tree)
