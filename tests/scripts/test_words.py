"""Counting left-out words."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.left_out_words import COMMENTS, DOCS, DOCSTRINGS, LEFT_OUT, MESSAGES, STRINGS, TEST_NAMES
from scripts.words import (
    LIMITS,
    MOST_ALLOWED,
    AllowedPhrase,
    Tally,
    Unit,
    count,
    find_hits,
    read_allowed,
    read_markdown,
    read_python,
    remove_allowed,
)

MODULE = '''
"""Whether a place is one."""
# What is told here
# goes on there
x = 1  # noqa: E501
y = 2  # a comment of its own
def f(text):
    """Convert a string.

    text: the `text` to convert

        PLACE('text')  // 'TEXT'
    """
    raise ValueError(f"{text} is no number, " f"{'not at all' if text else 'text'}")
log.warning("the answer of %s is late", name)
parser.add_argument("--place", help="where things are")
table = {"key": "an expression that is always true looks odd"}
stream.write("a text that is data")
sys.stderr.write("a text that is shown")
def test_an_answer_is_kept(): ...
'''


def words(text: str, kind: str = DOCSTRINGS) -> set[str]:
    return {hit.word.name for hit in find_hits(Unit(kind, "a.py", 1, text))}


def units(kind: str) -> list[tuple[int, str]]:
    return [(unit.line, unit.text) for unit in read_python(MODULE, "stellar/a.py") if unit.kind == kind]


def test_docstrings_have_neither_labels_nor_code() -> None:
    first, second = units(DOCSTRINGS)
    assert first == (2, "Whether a place is one.")
    assert second[1].split("\n") == ["Convert a string.", "", "_: the `_` to convert", "", "", ""]


def test_adjacent_comment_lines_are_one_comment() -> None:
    assert units(COMMENTS) == [(3, "What is told here\ngoes on there"), (6, "a comment of its own")]


def test_messages_are_raised_logged_printed_or_help() -> None:
    assert units(MESSAGES) == [
        (14, "{} is no number, {}"),
        (14, "not at all"),
        (15, "the answer of %s is late"),
        (16, "where things are"),
        (19, "a text that is shown"),
    ]


def test_other_strings_and_names_of_tests_are_kinds_of_their_own() -> None:
    assert units(STRINGS) == [
        (17, "an expression that is always true looks odd"),
        (18, "a text that is data"),
    ]
    assert units(TEST_NAMES) == [(20, "an answer is kept")]
    assert not {STRINGS, TEST_NAMES} & LIMITS.keys()


def test_a_page_is_read_by_sentences_without_code() -> None:
    page = (
        "# A heading\n\nThe first sentence\nof two. `Code` begins\nthe second.\n\n```\nfenced code here\n```\n\n"
        "    indented code\n\n- an item\n  over lines\n\n    of two paragraphs\n\n"
        "| key | a cell here |\n| --- | --- |\n<!-- a comment here -->\n"
    )
    assert [(unit.line, unit.text) for unit in read_markdown(page, "a.md")] == [
        (1, "A heading"),
        (3, "The first sentence\nof two. "),
        (4, "`_` begins\nthe second."),
        (13, "an item\nover lines"),
        (16, "of two paragraphs"),
        (18, "a cell here"),
    ]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("Whether it is", "first line"),
        ("Return a text", "text"),
        ("Return a whole\nnumber", "whole number"),
        ("'x' is no address", "is no X"),
        ("counts as none", "is none"),
        ("there is no\nsuch file", "no such"),
        ("the place in the source", "place"),
        ("its parts", "part"),
        ("the server answers", "answer"),
        ("asks the model", "ask"),
        ("keeps the last results", "keep"),
        ("the colon behind it", "behind"),
        ("after three tries", "tries"),
        ("the address of the model", "address"),
        ("sees to it that", "see to"),
        ("whoever calls it", "whoever"),
        ("what stands there", "stand"),
        ("says the mend", "mend"),
    ],
)
def test_a_word_is_found_in_the_sense_of_the_table(text: str, word: str) -> None:
    assert word in words(text)


@pytest.mark.parametrize(
    "text",
    [
        "Replace a string in place",
        "Return the part of the path",
        "Keep the connection open by keep-alive",
        "Return None if it is None",
        "Return None if there is no registry, or it is no longer used",
        "a server behind a proxy; a consumer that falls behind",
        "a try block that tries to connect",
        "Read a plain text file",
        "x stands for the value",
        "the IP address of a host, with three decimal places",
        "Look up the host; it looks like an address",
        "Ask for the password",
        "A blank line",
    ],
)
def test_a_word_is_not_found_in_its_ordinary_sense(text: str) -> None:
    assert not words(text)


def test_text_counts_as_a_value_and_not_as_prose() -> None:
    assert words("Return the text", DOCS) == {"text"}
    assert not words("the text of this page, in a text editor", DOCS)


def test_each_word_has_something_to_write_instead() -> None:
    assert all(word.instead and word.regex.pattern for word in LEFT_OUT)


def test_a_hit_names_its_own_line() -> None:
    (hit,) = find_hits(Unit(COMMENTS, "a.py", 7, "Return it,\nor mend it"))
    assert hit.format() == "a.py:8: mend: Return it, or mend it  -> fix; suggestion"


def test_an_allowed_phrase_covers_the_words_in_it() -> None:
    allowed = [
        AllowedPhrase("stellar/*.py", "no such\n thing", "Metron's"),
        AllowedPhrase("tests/*", "no such thing", "unused"),
    ]
    hits = find_hits(Unit(DOCSTRINGS, "stellar/a.py", 1, "there is no such thing as a thing"))
    remaining = [(hit.word.name, hit.start) for hit in remove_allowed(hits, allowed)]
    assert remaining == [("thing", 28), ("no such", 0)]
    assert [entry.uses for entry in allowed] == [1, 0]


@pytest.mark.parametrize("line", ["a.py | a text", "a.py | a text | ", "one | two | three | four"])
def test_an_allowed_phrase_needs_a_reason(line: str) -> None:
    with pytest.raises(ValueError, match="invalid allow-list line 2: expected"):
        read_allowed(f"# comment\n{line}\n")


def test_the_allow_list_is_short() -> None:
    assert len(read_allowed("a | b | c\n" * MOST_ALLOWED)) == MOST_ALLOWED
    with pytest.raises(ValueError, match="at most 40, got 41"):
        read_allowed("a | b | c\n" * (MOST_ALLOWED + 1))


def test_a_kind_above_its_limit_is_reported() -> None:
    tally = Tally()
    for number in range(100):
        tally.add(COMMENTS, number < 2)
        tally.add(DOCSTRINGS, number < 3)
    assert tally.percent(COMMENTS) == 2
    assert tally.percent(MESSAGES) == 0
    assert tally.exceeded() == [COMMENTS]


def test_files_are_counted_by_package(tmp_path: Path) -> None:
    module = tmp_path / "stellar" / "maas" / "a.py"
    module.parent.mkdir(parents=True)
    module.write_text('"""Of a place."""\n\n\ndef f():\n    """Return it."""\n')
    report = count([module], tmp_path, [])
    assert report.packages.keys() == {"stellar/maas"}
    assert report.total.percent(DOCSTRINGS) == 50
    assert [hit.word.name for hit in report.hits] == ["first line", "place"]
