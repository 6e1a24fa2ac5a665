"""Rendering of values as strings, tables, HTML and expressions."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellar.language.expression import Expression, default_library
from stellar.language.runtime import Fields, same
from stellar.repl.rendering import CommandOutput, Table, as_expression, as_html, as_text, format_plain
from stellar.sketches.summaries import OnlineSummary

PLAIN = [
    (None, ""),
    ("a", "a"),
    (1e7, "1.0E7"),
    ({"a": None}, "{a=null}"),
    ([1, "b"], "[1, b]"),
    (lambda: 1, "a lambda"),
    (CommandOutput("b, a", Table(("NAME",), [("a",)])), "b, a"),
]


@pytest.mark.parametrize(("value", "text"), PLAIN)
def test_a_program_gets_the_string_of_metron(value, text):
    assert format_plain(value) == text


TEXTS = [
    (5, "5"),
    ("a\nb", "a\nb"),
    (True, "true"),
    ([], "[]"),
    ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
    (1571163621233, "1571163621233  (2019-10-15 18:20:21 UTC)"),
    (10**12 - 1, "999999999999"),
    (b"abc", "abc  (3 bytes)"),
    (list(range(11)), "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]  (11 items)"),
    ([{}], "[{}]"),
    (OnlineSummary(), "(statistics)"),
    ([{"a": 1}, 2], "[{a=1}, 2]"),
]


@pytest.mark.parametrize(("value", "text"), TEXTS)
def test_a_terminal_gets_notes_on_dates_and_sizes(value, text):
    assert as_text(value, 80) == text


def test_a_map_is_a_table():
    record = {"timestamp": 1571163621233, "bytes": 5831, "bytes_in": 2048, "size": 10, "ok": True, "none": None}
    assert (
        as_text(record, 80)
        == """\
╔═══════════╤══════════════════════════════════════════╗
║ KEY       │ VALUE                                    ║
╠═══════════╪══════════════════════════════════════════╣
║ timestamp │ 1571163621233  (2019-10-15 18:20:21 UTC) ║
║ bytes     │ 5831  (5.7 KiB)                          ║
║ bytes_in  │ 2048  (2.0 KiB)                          ║
║ size      │ 10                                       ║
║ ok        │ true                                     ║
║ none      │ null                                     ║
╚═══════════╧══════════════════════════════════════════╝"""
    )


def test_all_fields_are_a_table_without_nulls():
    assert as_text(Fields({"a": 1, "b": None}), 80) == as_text({"a": 1}, 80)


def test_a_list_of_maps_is_a_table_of_all_their_keys():
    expected = """\
╔═══╤══════╤═══════╤══════════════════════════╗
║ a │ b    │ c     │ size                     ║
╠═══╪══════╪═══════╪══════════════════════════╣
║ 1 │ x    │       │                          ║
║   │ null │ 1.0E7 │ 1099511627776  (1.0 TiB) ║
╚═══╧══════╧═══════╧══════════════════════════╝"""
    assert as_text([{"a": 1, "b": "x"}, {"b": None, "c": 1e7, "size": 2**40}], 80) == expected


def test_a_table_fits_the_width_with_rules_between_rows():
    table = as_text({"short": "a", "long": "word " * 30, "wide": "宽" * 40}, 50)
    assert max(sum(2 if letter == "宽" else 1 for letter in line) for line in table.split("\n")) <= 50
    assert table.count("word") == 30
    assert table.count("宽") == 40
    assert table.count("╟") == 2


def test_a_narrow_table_stays_readable():
    assert "word word" in as_text({"key": "word word"}, 5)


def test_large_values_are_cut_with_their_size():
    assert as_text({str(number): number for number in range(1100)}, 80).endswith("\n… and 1,000 more")
    assert as_text([{"a": 1}] * 101, 80).endswith("\n… and 1 more")
    assert f"{'y' * 10}… (2,000 characters)" in as_text({"x": "y" * 2000}, 2000)
    assert as_text("y" * 30_000, 80) == "y" * 20_000 + "… (30,000 characters)"


def test_a_notebook_gets_tables_in_html():
    assert as_html(5) is None
    found = as_html({"<b>": "a & b"})
    assert "<th>KEY</th><th>VALUE</th>" in found
    assert ">&lt;b&gt;</td>" in found
    assert ">a &amp; b</td>" in found
    assert as_html([{"a": 1}] * 102).endswith("</table><p>… and 2 more</p>")


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_a_value_of_json_can_be_written_as_an_expression(value):
    value = json.loads(json.dumps(value))
    assert same(Expression(as_expression(value), default_library())({}), value)
