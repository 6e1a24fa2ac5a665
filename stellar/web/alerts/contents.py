"""The contents of a document: its fields in order, and the reasons of its score."""

from __future__ import annotations

import json
import re
from typing import Any

from stellar.pipeline.records import Record
from stellar.util.abbreviate import quote

MOST_REASONS = 20
RULE_KEYS = ("name", "comment", "score", "reason")

# Search engines have `:` in the names of fields, by Metron's conversion
_RULE = re.compile(r"threat[.:]triage[.:]rules[.:](\d{1,6})[.:](name|comment|score|reason)")


def parse_document(text: str) -> Record:
    """Return the fields of a document. Raises ValueError if it is not a JSON object."""
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError("the document is nested too deeply") from error
    except ValueError as error:
        raise ValueError(f"the document is invalid JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"the document is {quote(value, 40)}; expected a JSON object")
    return value


def list_reasons(document: Record) -> tuple[str, ...]:
    """Return the reasons of the rules that matched a document, after their names."""
    reasons = []
    for rule in list_rules(document)[:MOST_REASONS]:
        words = [str(rule[key]) for key in ("name", "reason") if rule[key] is not None]
        reasons.append(": ".join(words) or f"score {rule['score']}")
    return tuple(reasons)


def list_rules(document: Record) -> list[dict[str, Any]]:
    """Return the rules that are stored in a document: maps with the keys of RULE_KEYS, and null for missing fields."""
    rules: dict[int, dict[str, Any]] = {}
    for name, value in document.items():
        if (match := _RULE.fullmatch(name)) is not None:
            rules.setdefault(int(match[1]), dict.fromkeys(RULE_KEYS))[match[2]] = value
    return [rules[index] for index in sorted(rules)]
