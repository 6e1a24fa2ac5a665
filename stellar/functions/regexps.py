"""Regular expressions, as Java has them. A match that takes more than a second is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from stellar.java.regex import Replacement, everywhere, whole, with_groups
from stellar.language.conversions import to_integer, to_text
from stellar.language.library import UNKNOWN, stellar

_REMEMBERED = 512


def _prepared_match(str_: object, pattern: object, *_: object) -> Callable[[str | None], bool] | None:
    if str_ is not UNKNOWN or not isinstance(pattern, str):
        return None
    try:
        fullmatch = whole(pattern)
    except ValueError:
        return None
    return lambda text: text is not None and fullmatch(text) is not None


@stellar("REGEXP_MATCH", prepare=_prepared_match)
def regexp_match(str_: str | None, pattern: object) -> bool:
    """Whether a text as a whole matches a regular expression.

    str: The text
    pattern: The regular expression, or a list or set of several, of which one must match
    returns: True if it does; false if either is null

        REGEXP_MATCH('evil.exe', '.*\\\\.(exe|dll)')  // true
        REGEXP_MATCH('evil.exe.txt', '.*\\\\.(exe|dll)')  // false
        REGEXP_MATCH('GET', ['POST', '(?i)get'])  // true
        REGEXP_MATCH(null, '.*')  // false
        REGEXP_MATCH('a', '(')  // error
    """
    if str_ is None or pattern is None:
        return False
    if isinstance(pattern, str):
        return whole(pattern)(str_) is not None
    if not isinstance(pattern, list | tuple | set | frozenset):
        return False
    several: Iterable[object] = pattern
    return any(whole(to_text(one))(str_) is not None for one in several if one is not None)


def _prepared_group_val(str_: object, pattern: object, group: object) -> Callable[[str | None], str | None] | None:
    number = to_integer(group)
    if str_ is not UNKNOWN or not isinstance(pattern, str) or number is None or number < 1:
        return None
    try:
        fullmatch, groups = whole(pattern), with_groups(pattern).groups
    except ValueError:
        return None

    def group_val(text: str | None) -> str | None:
        match = None if text is None else fullmatch(text)
        return None if match is None or number > groups else match[number]

    return group_val


@stellar("REGEXP_GROUP_VAL", surplus="refuse", prepare=_prepared_group_val)
def regexp_group_val(str_: str | None, pattern: str | None, group: object) -> str | None:
    """What a group of a regular expression matched, where the text as a whole matches it.

    str: The text
    pattern: The regular expression
    group: The number of the group, from 1; 0 is the text, whether it matches or not
    returns: What the group matched; null if the text does not match, or there is no such group

        REGEXP_GROUP_VAL('user=mary', 'user=(\\\\w+)', 1)  // 'mary'
        REGEXP_GROUP_VAL('user=mary', 'user=(\\\\w+)', 2)  // null
        REGEXP_GROUP_VAL('mary', 'user=(\\\\w+)', 1)  // null
        REGEXP_GROUP_VAL(null, 'user=(\\\\w+)', 1)  // null
        REGEXP_GROUP_VAL('user=mary', 'user=(\\\\w+)', -1)  // error
    """
    number = to_integer(group)
    if number == 0:
        return str_
    if number is None or str_ is None or pattern is None:
        return None
    match = whole(pattern)(str_)
    groups = match.re.groups if match else 0
    if groups == 0 or number > groups:
        return None
    if number < 0:
        raise LookupError(f"groups count from 0, so there is no group {number}")
    matched: str | None = match[number]
    return matched


def _prepared_replace(str_: object, pattern: object, value: object) -> Callable[[str | None], str | None] | None:
    if str_ is not UNKNOWN or not (isinstance(pattern, str) and pattern and isinstance(value, str) and value):
        return None
    try:
        replaced, replacement = everywhere(pattern), _replacement(value, with_groups(pattern))
    except ValueError:
        return None
    return lambda text: replaced(replacement, text) if text else None


@stellar("REGEXP_REPLACE", surplus="refuse", prepare=_prepared_replace)
def regexp_replace(str_: str | None, pattern: str | None, value: str | None) -> str | None:
    """A text with another in each place that a regular expression matches.

    str: The text
    pattern: The regular expression, looked for everywhere in the text
    value: The other text. In it `$1` and `${name}` are what a group matched, and a backslash takes a $ its meaning
    returns: The new text; null for null and the empty text; the text itself if pattern or value is null or empty

        REGEXP_REPLACE('card 4111-1111', '\\\\d', '#')  // 'card ####-####'
        REGEXP_REPLACE('mary@example.com', '(\\\\w+)@(.*)', '$2: $1')  // 'example.com: mary'
        REGEXP_REPLACE('cost 5', '\\\\d', '\\\\$')  // 'cost $'
        REGEXP_REPLACE(null, '\\\\d', '#')  // null
        REGEXP_REPLACE('a', 'a', '$1')  // error
    """
    if not str_:
        return None
    if not pattern or not value:
        return str_
    return everywhere(pattern)(_replacement(value, with_groups(pattern)), str_)


def _replacement(template: str, expression: Any) -> Replacement:
    """A replacement as it is, or what makes one for a match. What can't be read is refused at the first match."""
    if "$" not in template and "\\" not in template:
        return template

    def expand(match: Any) -> str:
        parts = _parts(template, expression)
        return "".join([part if isinstance(part, str) else match[part[0]] or "" for part in parts])

    return expand


@lru_cache(_REMEMBERED)
def _parts(template: str, expression: Any) -> list[str | tuple[int]]:
    """A replacement taken apart: texts, and the numbers of groups in a tuple each."""
    parts: list[str | tuple[int]] = []
    at = 0
    while at < len(template):
        character = template[at]
        if character == "$":
            group, at = _group(template, at + 1, expression)
            parts.append((group,))
            continue
        if character == "\\":
            at += 1
            if at == len(template):
                raise ValueError("a replacement can't end in a backslash")
        parts.append(template[at])
        at += 1
    return parts


def _group(template: str, at: int, expression: Any) -> tuple[int, int]:
    """The group that `$` refers to, and where the template goes on."""
    if template.startswith("{", at):
        name, brace, _ = template[at + 1 :].partition("}")
        if not brace or name not in expression.groupindex:
            raise LookupError(f"the regular expression has no group named {name!r}")
        return expression.groupindex[name], at + len(name) + 2
    end = at
    while (
        end < len(template)
        and "0" <= template[end] <= "9"
        and (end == at or int(template[at : end + 1]) <= expression.groups)
    ):
        end += 1
    if end == at:
        raise ValueError(
            "in a replacement, $ stands before the number or the {name} of a group; \\$ is the sign itself"
        )
    group = int(template[at:end])
    if group > expression.groups:
        raise LookupError(f"the regular expression has no group {group}")
    return group, end
