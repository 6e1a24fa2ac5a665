"""Cases of parsing that carry no `mend`, and in which this project answers differently from Metron on purpose.

Each rule is one that the documentation of the parsers names. It says when it applies, by the category and the error of
Metron or by the content, and checks that the difference is no other than that.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from parser_cases import (
    DEFAULT_NOW,
    Case,
    Parsed,
    _compare_error,
    _content,
    _has_all_messages,
    _reports_the_rest,
    _without_fields,
    _without_own_fields,
    compare,
    run_case,
)

# Categories, and errors of Metron for a message that is read here
ACCEPTED: tuple[tuple[str, str, str], ...] = (
    ("syslog3164", r"Unsupported date format: ", "a day of one digit after one space, or a fraction of a second"),
    ("syslog3164", r"Syntax error .* no viable alternative at input '[a-z]'", "a month in lowercase"),
    ("syslog3164", r"Syntax error .* missing ':' at '\d'", "a year after the day"),
    ("syslog3164", r"Syntax error .* missing ' ' at '<EOF>'", "no message after the host"),
    ("", r"Invalid date 'February 29' as '\d+' is not a leap year", "29 February of a leap year"),
    ("syslog", r"Syntax error .* token recognition error at: ", "a character beyond U+00FF"),
    ("cef", r"For input string: ", "a port that is no integer, or a bar in the header after a backslash"),
    ("cef", r"rt field present in CEF but cannot be parsed", "a receipt time in ISO 8601"),
    ("cef", r"Cannot parse syslog timestamp", "the full name of a month, or a day of one digit after one space"),
    ("leef", r"Cannot parse syslog timestamp", "the full name of a month, or a day of one digit after one space"),
)


UNKNOWN_ZONE = "an unknown time zone of a parser, which Java takes for GMT"


def find_reason(case: Case, ours: Parsed) -> str:
    """Return the rule by which a result differs from Metron's, or an empty string."""
    if "config_error" in case["result"]:
        return ""
    if ours.config_error is not None:
        return UNKNOWN_ZONE if "unknown time zone" in ours.config_error else ""
    if "host" in case.get("mend", ()):
        case = {**case, "result": _without_fields(case["result"], {"host"})}
        ours = _without_own_fields(ours, {"host"})
    return next((reason for reason, applies in RULES.items() if applies(case, ours)), "") or _find_accepted(case, ours)


def _find_accepted(case: Case, ours: Parsed) -> str:
    """Find the form that is read here: some of Metron's errors are records here, and nothing else differs."""
    theirs = case["result"]
    rest = list(theirs["errors"])
    for error in ours.errors:
        index = next((i for i, each in enumerate(rest) if not _compare_error(each, error)), None)
        if index is None:
            return ""
        del rest[index]
    if not rest or len(ours.messages) != len(theirs["messages"]) + len(rest) or not _has_all_messages(case, ours):
        return ""
    reasons = [_name_form(case["cat"], str(error.get("message", ""))) for error in rest]
    return "; ".join(dict.fromkeys(reasons)) if all(reasons) else ""


def _name_form(category: str, message: str) -> str:
    return next(
        (form for start, error, form in ACCEPTED if category.startswith(start) and re.match(error, message)), ""
    )


def _has_equals_in_a_value(case: Case, ours: Parsed) -> bool:
    """Metron loses what precedes or follows the last `=` in a value."""
    theirs = case["result"]
    if not case["cat"].startswith(("cef", "leef")) or len(theirs["messages"]) != len(ours.messages):
        return False
    messages = [dict(each) for each in ours.messages]
    found = False
    for expected, message in zip(theirs["messages"], messages, strict=True):
        for name, value in expected.items():
            mine = message.get(name)
            if isinstance(value, str) and isinstance(mine, str) and mine != value and "=" in mine:
                found = found or mine.startswith(f"{value}=") or mine.endswith(f"={value}")
                message[name] = value
    return found and not compare(theirs, replace(ours, messages=messages))


def _has_tab_between_pairs(case: Case, ours: Parsed) -> bool:
    """Metron reads one pair where a tab separates two; only values and the number of fields may differ."""
    theirs = case["result"]
    if not case["cat"].startswith("cef") or b"\t" not in _content(case):
        return False
    pairs = zip(theirs["messages"], ours.messages, strict=False)
    return len(theirs["messages"]) == len(ours.messages) and all(
        expected["timestamp"] == message["timestamp"] and len(expected) < len(message) for expected, message in pairs
    )


def _has_time_zone(case: Case, ours: Parsed) -> bool:
    """Metron's CSV parser ignores `timeZone`: its result is ours for the configuration without it."""
    if not case["cat"].startswith("csv") or "timeZone" not in case["config"]["parserConfig"]:
        return False
    config = deepcopy(case["config"])
    del config["parserConfig"]["timeZone"]
    return not compare(case["result"], run_case({**case, "config": config}))


def _has_text_after_json(case: Case, ours: Parsed) -> bool:
    return case["cat"].startswith("json") and _reports_the_rest(case, ours)


def _has_equal_lines(case: Case, ours: Parsed) -> bool:
    """Each line of a message that is not matched has an error document; in Metron equal lines share one."""
    different = {str(each.get("raw_message")): each for each in ours.errors}
    return len(different) < len(ours.errors) and not compare(
        case["result"], replace(ours, errors=list(different.values()))
    )


def _is_a_year_earlier(case: Case, ours: Parsed) -> bool:
    """A time of WebSphere is never more than four days ahead; Metron's is in the current year."""
    if case["cat"] != "websphere":
        return False
    limit = (datetime.fromisoformat(case.get("now", DEFAULT_NOW)) + timedelta(days=4)).timestamp() * 1000
    theirs = deepcopy(case["result"])
    for message in theirs["messages"]:
        if message["timestamp"] > limit:
            time = datetime.fromtimestamp(message["timestamp"] / 1000, UTC)
            message["timestamp"] = round(time.replace(year=time.year - 1).timestamp() * 1000)
    return not compare(theirs, ours)


RULES: dict[str, Callable[[Case, Parsed], bool]] = {
    "an equals sign in a value": _has_equals_in_a_value,
    "a tab between pairs": _has_tab_between_pairs,
    "the time zone of CSV": _has_time_zone,
    "text after a JSON object": _has_text_after_json,
    "equal lines of a message": _has_equal_lines,
    "the year of a time of WebSphere": _is_a_year_earlier,
}
