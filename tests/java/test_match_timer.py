"""The time limit for matches by the standard library, and the Grok patterns that use it."""

from __future__ import annotations

import os
import random
import re
import signal
import threading
from collections.abc import Callable, Iterator

import pytest

from stellar.java.grok import Grok, NoMatch, load_common_definitions
from stellar.java.match_timer import TIMER, match_timer
from stellar.java.regex import compile_quick_grok

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs interval timers")

COMMON = load_common_definitions()
BOMB = re.compile(r"(?:a+)+b")
LONG = "a" * 40


@pytest.fixture
def timer() -> Iterator[None]:
    with match_timer():
        yield


def is_available() -> bool:
    return TIMER.thread == threading.get_ident()


def match_in_limit(match: Callable[[str], re.Match[str] | None], string: str) -> re.Match[str] | None:
    TIMER.number += 1
    TIMER.is_matching = True
    try:
        return match(string)
    finally:
        TIMER.is_matching = False


def find(grok: Grok, text: str) -> tuple[str | None, ...] | None:
    try:
        return grok.find(text)
    except NoMatch:
        return None


@pytest.mark.usefixtures("timer")
def test_a_match_that_takes_too_long_is_ended_and_the_next_one_works() -> None:
    for _ in range(2):
        with pytest.raises(TimeoutError, match="took longer than 200 ms"):
            match_in_limit(BOMB.search, LONG)
        assert match_in_limit(BOMB.search, "aab") is not None


@pytest.mark.usefixtures("timer")
def test_many_short_matches_are_not_ended() -> None:
    for _ in range(200_000):  # several intervals of the timer
        match_in_limit(BOMB.search, "aaaaab")


def test_matches_are_limited_only_within_the_block_and_in_the_main_thread() -> None:
    seen: list[bool] = []
    assert not is_available()
    with match_timer():
        assert is_available()
        with match_timer():  # one block within another changes nothing
            assert is_available()
        assert is_available()
        thread = threading.Thread(target=lambda: seen.append(is_available()))
        thread.start()
        thread.join()
    assert not is_available()
    assert seen == [False]
    assert signal.getsignal(signal.SIGVTALRM) == signal.SIG_DFL
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)


def test_a_thread_other_than_the_main_one_starts_no_timer() -> None:
    seen: list[bool] = []

    def enter() -> None:
        with match_timer():
            seen.append(is_available())

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [False]


def test_a_program_keeps_its_own_handler() -> None:
    def handle(number: int, frame: object) -> None:
        raise AssertionError

    before = signal.signal(signal.SIGVTALRM, handle)
    try:
        with match_timer():
            assert not is_available()
            assert signal.getsignal(signal.SIGVTALRM) is handle
    finally:
        signal.signal(signal.SIGVTALRM, before)


@pytest.mark.usefixtures("timer")
def test_the_child_of_a_fork_has_no_timer() -> None:
    if (child := os.fork()) == 0:  # pragma: no cover (measured in the parent only)
        os._exit(int(is_available()))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert is_available()


@pytest.mark.usefixtures("timer")
def test_a_pattern_that_backtracks_gives_the_result_of_the_limited_engine() -> None:
    grok = Grok("%{BOMB:a}", {"BOMB": "(?:a|a)+$"}, timeout_ms=300)
    text = "a" * 30 + "b"
    for _ in range(4):  # the last time without the quick pattern
        try:
            result = find(grok, text)
        except TimeoutError as error:
            assert str(error) == "the pattern %{BOMB:a} took longer than 300 ms"  # noqa: PT017
        else:
            assert result is None
    assert find(grok, "baa") == ("aa",)


@pytest.mark.usefixtures("timer")
def test_strings_for_which_the_engines_differ_are_left_to_the_limited_engine() -> None:
    grok = Grok("%{A:a}$", {"A": r"\w+"})
    assert find(grok, "b\r") == ("b",)
    assert find(Grok("%{A:a}", {"A": r"[^b]+"}), "bé") == ("é",)


@pytest.mark.parametrize(
    "expression",
    ["(?<a>x)(?!(?<b>y))", "(?<a>x)(?=(?<b>y))", "(?:(?<a>x)|y)++", "(?<a>é)", "(?<a>[a-c&&[b]])", r"(?<a>\p{L})\G"],
)
def test_expressions_for_which_the_engines_differ_have_no_quick_pattern(expression: str) -> None:
    assert compile_quick_grok(expression) is None


ATOMS = (
    "a", "b", "[ab]", "[^a]", ".", r"\d", "1", " ", r"\b", r"\w+", r"\S", "a*", "b+", "c?", "[ab]*?", "a{1,2}", "a*+",
    "(?<=a)", "(?<![ab])", "%{INT:x}", "%{WORD:y}", "%{NUMBER}", "%{NOTSPACE:z}", "%{DATA:d}", "(?i:B)", "^", "$",
)  # fmt: skip
OPENINGS = ("(", "(", "(?<n>", "(?:", "(?:", "(?>", "(?=", "(?!")
REPETITIONS = ("", "", "", "?", "*", "+", "??", "{1,2}", "*?", "*+")


def make_expression(rnd: random.Random, depth: int) -> str:
    items = []
    for _ in range(rnd.randint(1, 4)):
        if depth == 0 or rnd.random() < 0.5:
            items.append(rnd.choice(ATOMS))
            continue
        opening = rnd.choice(OPENINGS)
        inner = make_expression(rnd, depth - 1)
        repetition = "" if opening in ("(?=", "(?!") else rnd.choice(REPETITIONS)
        items.append(f"{opening}{inner}){repetition}")
    return "|".join(
        ("".join(items), *(make_expression(rnd, depth - 1) for _ in range(depth > 0 and rnd.random() < 0.3)))
    )


@pytest.mark.usefixtures("timer")
@pytest.mark.parametrize("seed", range(8))
def test_both_engines_find_the_same_captures(seed: int) -> None:
    rnd = random.Random(seed)
    compared = 0
    while compared < 400:
        expression = make_expression(rnd, rnd.randint(1, 3))
        try:
            grok = Grok(expression, COMMON)
        except ValueError:  # an invalid combination, such as a look-behind of varying length
            continue
        quick = grok.quick
        if quick is None:
            continue
        for _ in range(4):
            text = "".join(rnd.choice("abc1 -\n") for _ in range(rnd.randint(1, 9)))
            found, expected = quick.search(text), grok.pattern.search(text, timeout=5)
            assert (found and found.span()) == (expected and expected.span()), (expression, text)
            assert (found and found.groups()) == (expected and expected.groups()), (expression, text)
            compared += 1
