"""TextIndex: the weight of a term in a string."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable
from functools import partial
from typing import Any

from stellar.java.regex import compile_pattern, compile_replacer, match_in_time
from stellar.models.errors import InvalidField, InvalidModel, Origin
from stellar.models.evaluation.frames import Evaluation, Frame
from stellar.models.forms.expressions import NormalizationRows, TextIndex
from stellar.models.values import describe
from stellar.util.abbreviate import quote

MOST_ROUNDS = 100  # of a recursive normalization
LONGEST_TEXT = 100_000  # characters
LONGEST_TOKEN = 100  # of characters that are compared one by one


def _compile(pattern: str, origin: Origin) -> Any:
    try:
        return compile_pattern(pattern)
    except ValueError as error:
        raise InvalidModel(str(error), origin) from None


def compile_text_index(form: TextIndex, evaluate_term: Evaluation) -> Evaluation:
    """Return the evaluation of the weight of a term."""
    if form.weights == "augmentedNormalizedTermFrequency":
        raise InvalidModel("localTermWeights 'augmentedNormalizedTermFrequency' is not supported", form.origin)
    tokenize = _compile_tokenizer(form.tokenize, form.separator, form.origin)
    normalize = [_compile_normalization(rows, form) for rows in form.normalizations]
    weigh = WEIGHTS[form.weights]
    name = form.field
    count = partial(count_hits, most=form.max_distance, is_best=form.count_hits == "bestHits")

    def split(text: str) -> list[str]:
        return tokenize(text if form.is_case_sensitive else text.lower())

    def normalize_text(text: str) -> str:
        for apply in normalize:
            text = apply(text)
        return text

    def evaluate(frame: Frame) -> Any:
        text, term = frame.get(name), evaluate_term(frame)
        if text is None or term is None:
            return None
        if not isinstance(text, str) or not isinstance(term, str) or len(text) > LONGEST_TEXT:
            raise InvalidField(name, f"expected a string, got {describe(text)}")
        return weigh(count(split(normalize_text(text)), split(term)))

    return evaluate


WEIGHTS: dict[str, Callable[[int], float]] = {
    "termFrequency": lambda count: count,
    "binary": lambda count: 1 if count else 0,
    "logarithmic": lambda count: math.log10(1 + count),
}


def _compile_tokenizer(tokenize: bool, separator: str, origin: Origin) -> Callable[[str], list[str]]:
    if not tokenize:
        return lambda text: [text]
    split = _compile(separator, origin).split

    def tokens(text: str) -> list[str]:
        return [trimmed for part in match_in_time(split, text) if (trimmed := trim_punctuation(part or ""))]

    return tokens


def trim_punctuation(token: str) -> str:
    """Return a token without punctuation around it."""
    start, end = 0, len(token)
    while start < end and is_punctuation(token[start]):
        start += 1
    while end > start and is_punctuation(token[end - 1]):
        end -= 1
    return token[start:end]


def is_punctuation(character: str) -> bool:
    """Return True for punctuation, as Unicode defines it."""
    return unicodedata.category(character).startswith("P")


def _compile_normalization(form: NormalizationRows, index: TextIndex) -> Callable[[str], str]:
    is_case_sensitive = index.is_case_sensitive if form.is_case_sensitive is None else form.is_case_sensitive
    replacers = [_compile_row(row, form, is_case_sensitive) for row in form.rows]

    def apply(text: str) -> str:
        for _ in range(MOST_ROUNDS if form.is_recursive else 1):
            before = text
            for replace in replacers:
                text = replace(text)
            if text == before or len(text) > LONGEST_TEXT:
                break
        return text

    return apply


def _compile_row(row: dict[str, str], form: NormalizationRows, is_case_sensitive: bool) -> Callable[[str], str]:
    if form.input not in row or form.output not in row:
        raise InvalidModel(f"a row lacks column {quote(form.input)} or {quote(form.output)}", form.origin)
    pattern, replacement = row[form.input], row[form.output]
    if row.get(form.expression, "false").strip().lower() != "true":
        pattern = "".join(f"\\{letter}" if not letter.isalnum() and letter.isascii() else letter for letter in pattern)
    flags = "" if is_case_sensitive else "(?i)"
    try:
        replace = compile_replacer(flags + pattern)
    except ValueError as error:
        raise InvalidModel(str(error), form.origin) from None
    return lambda text: replace(lambda _: replacement, text)


def count_hits(text: list[str], term: list[str], most: int, is_best: bool) -> int:
    """Return how often a term is in a list of tokens, with at most so many differing characters.

    is_best: count only those with the fewest differing characters
    """
    hits: dict[int, int] = {}
    if not term:
        return 0
    for start in range(len(text) - len(term) + 1):
        distance = 0
        for index, other in enumerate(term, start):
            one = text[index]
            distance += 0 if one == other else find_distance(one, other, most - distance) if most else 1
            if distance > most:
                break
        else:
            hits[distance] = hits.get(distance, 0) + 1
    if not hits:
        return 0
    return hits[min(hits)] if is_best else sum(hits.values())


def find_distance(one: str, other: str, most: int) -> int:
    """Return the Levenshtein distance of two strings, or a number above the bound."""
    if abs(len(one) - len(other)) > most or len(one) > LONGEST_TOKEN:
        return 0 if one == other else most + 1
    row = list(range(len(other) + 1))
    for index, letter in enumerate(one, 1):
        above, row[0] = row[0], index
        for column, character in enumerate(other, 1):
            cost = min(row[column] + 1, row[column - 1] + 1, above + (letter != character))
            above, row[column] = row[column], cost
        if min(row) > most:
            return most + 1
    return row[-1]
