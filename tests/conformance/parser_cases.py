"""Cases of parsing: one raw message through the parser configuration of a sensor, compared with Metron's results.

A case agrees if messages and error documents are Metron's. A case with `mend` names the reasons for which this project
answers differently on purpose; each reason has a comparison of its own below. No reason excuses an internal error, a
count that does not balance, or a raw message that disappears.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest import mock

from stellar.language.errors import ConfigError
from stellar.pipeline.build import build_pipeline
from stellar.pipeline.config.loading import SensorConfig, parse_global, parse_parser
from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.config.schema import GlobalConfig
from stellar.pipeline.pipeline import Pipeline
from stellar.pipeline.records import Raw, Record
from stellar.pipeline.run import Counts, run_pipeline

Case = dict[str, Any]

DEFAULT_NOW = "2026-06-15T12:00:00Z"


@dataclass(frozen=True)
class Parsed:
    """The result of a case.

    messages: the finished records
    errors: the error documents
    config_error: the error of the configuration; None if it is valid
    counts: the counts of the run
    """

    messages: list[Record] = field(default_factory=list)
    errors: list[Record] = field(default_factory=list)
    config_error: str | None = None
    counts: Counts = field(default_factory=Counts)

    def __str__(self) -> str:
        if self.config_error is not None:
            return f"config error: {self.config_error}"
        shown = [{key: value for key, value in error.items() if key != "stack"} for error in self.errors]
        return f"messages {self.messages}\n            errors   {shown}"


# -- Running a case ---------------------------------------------------------------------------------------------------


def run_case(case: Case) -> Parsed:
    """Run the raw message of a case, with the clock of the case."""
    messages: list[Record] = []
    errors: list[Record] = []
    with _frozen_clock(case.get("now", DEFAULT_NOW)):
        try:
            pipeline = _build(case)
        except ConfigError as error:
            return Parsed(config_error=str(error))
        counts = run_pipeline(pipeline, [_raw(case)], messages.append, errors.append)
    return Parsed(messages, errors, counts=counts)


@contextmanager
def _frozen_clock(iso: str) -> Iterator[None]:
    seconds = datetime.fromisoformat(iso).timestamp()
    with mock.patch("time.time_ns", return_value=round(seconds * 1000) * 1_000_000):
        yield


def _build(case: Case) -> Pipeline:
    location = SourceLocation(f"parsers/{case['sensor']}.json")
    parser = parse_parser(_text(case["config"]), location)
    settings = parse_global(_text(case["global"]), SourceLocation("global.json")) if "global" in case else None
    with tempfile.TemporaryDirectory() as directory:
        for path, text in case.get("files", {}).items():
            file = Path(directory) / path.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(text.encode("utf-8", "surrogatepass"))
        config = SensorConfig(case["sensor"], parser, globals=settings or GlobalConfig(), directory=Path(directory))
        pipeline = build_pipeline(config)
    # Metron's parser runner ends here; enrichment has cases of its own
    return replace(pipeline, stages=tuple(each for each in pipeline.stages if each[0] in ("filter", "validate")))


def _text(config: object) -> str:
    return config if isinstance(config, str) else json.dumps(config)


def _raw(case: Case) -> Raw:
    key = base64.b64decode(case["key_b64"]) if "key_b64" in case else None
    if "key" in case:
        key = None if case["key"] is None else case["key"].encode("utf-8", "surrogatepass")
    return Raw(_content(case), key=key, topic=case.get("topic"))


def _content(case: Case) -> bytes:
    if "raw_b64" in case:
        return base64.b64decode(case["raw_b64"])
    text = case["raw"] if "raw" in case else "".join(part * times for part, times in case["raw_parts"])
    return text.encode("utf-8", "surrogatepass")


# -- Comparison -------------------------------------------------------------------------------------------------------

# Exceptions that mean a fault of ours, not of the message
INTERNAL = re.compile(
    r"(TypeError|AttributeError|KeyError|IndexError|AssertionError|RecursionError|NotImplementedError|MemoryError"
    r"|NameError|UnboundLocalError|ZeroDivisionError|OverflowError|StopIteration)\b"
)


def find_difference(case: Case) -> tuple[bool, str]:
    """Run a case. Return True if the result is exactly Metron's, and a description of a difference that is not allowed.

    The description is empty if there is no difference, or if a reason of `mend` explains it.
    """
    ours = run_case(case)
    if fault := _find_fault(ours):
        return False, fault
    if case["cat"] == "ise":  # Metron's parser sets no timestamp
        ours = _without_own_fields(ours, {"timestamp"})
    if not (difference := compare(case["result"], ours)):
        return True, ""
    for reason in case.get("mend", ()):
        if MENDED[reason](case, ours):
            return False, ""
    if len(case.get("mend", ())) > 1 and _is_mended_together(case, ours):
        return False, ""
    return False, difference


def _find_fault(ours: Parsed) -> str:
    counts = ours.counts
    if counts.parsed != counts.out + counts.dropped + counts.rejected:
        return f"counts do not balance: {counts}"
    for error in ours.errors:
        if INTERNAL.match(str(error.get("exception", ""))):
            return f"internal error: {error['exception']}\n{error.get('stack', '')}"
    return ""


def compare(theirs: Record, ours: Parsed) -> str:
    """Return the difference between Metron's result and ours, or an empty string."""
    if ("config_error" in theirs) != (ours.config_error is not None):
        return "only one is a config error"
    if ours.config_error is not None:
        return ""
    if len(theirs["messages"]) != len(ours.messages):
        return f"{len(theirs['messages'])} messages expected, got {len(ours.messages)}"
    types = theirs.get("types") or [{}] * len(ours.messages)
    for expected, message, names in zip(theirs["messages"], ours.messages, types, strict=True):
        if difference := _compare_maps(expected, message, names or {}):
            return f"message differs: {difference}"
    return _compare_errors(theirs["errors"], ours.errors)


def _compare_maps(expected: Record, ours: Record, types: Record) -> str:
    if missing := sorted(expected.keys() - ours.keys()):
        return f"missing {missing}"
    if added := sorted(ours.keys() - expected.keys()):
        return f"unexpected {added}"
    for name, value in expected.items():
        wanted = _as_float(value) if types.get(name) in ("Double", "Float") else value
        if not equal(wanted, ours[name]):
            return f"{name} is {ours[name]!r:.300}, expected {wanted!r:.300}"
    return ""


def _as_float(value: object) -> object:
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def equal(expected: Any, ours: Any) -> bool:
    """Return True if a value is the expected one, which may contain tags; true, 1 and 1.0 differ."""
    if isinstance(expected, dict):
        for tag, test in TAGS.items():
            if tag in expected:
                return test(expected, ours)
        return isinstance(ours, dict) and not _compare_maps(expected, ours, {})
    if isinstance(expected, list):
        return (
            isinstance(ours, list | tuple)
            and len(expected) == len(ours)
            and all(equal(each, other) for each, other in zip(expected, ours, strict=True))
        )
    if expected.__class__ is not ours.__class__:
        return False
    return bool(expected == ours)


def _is_uuid(_: object, ours: Any) -> bool:
    try:
        return uuid.UUID(ours).version == 4
    except (ValueError, TypeError, AttributeError):
        return False


def _is_json(expected: Record, ours: Any) -> bool:
    try:
        return equal(expected["$json"], json.loads(ours))
    except (ValueError, TypeError):
        return False


def _has_digest(expected: Record, ours: Any) -> bool:
    if not isinstance(ours, str):
        return False
    digest = hashlib.sha256(ours.encode("utf-8", "surrogatepass")).hexdigest()
    return bool(len(ours) == expected["$len"] and digest == expected["$sha256"])


def _is_float(expected: Record, ours: Any) -> bool:
    return isinstance(ours, float) and math.isclose(float(expected["$float"]), ours, rel_tol=1e-7)


def _is_set(expected: Record, ours: Any) -> bool:
    members = list(expected["$set"])
    if not isinstance(ours, set | frozenset | list) or len(members) != len(ours):
        return False
    return all(any(equal(member, each) for each in ours) for member in members)


TAGS: dict[str, Callable[[Record, Any], bool]] = {
    "$uuid": _is_uuid,
    "$any": lambda expected, ours: True,
    "$json": _is_json,
    "$sha256": _has_digest,
    "$inf": lambda expected, ours: isinstance(ours, float) and ours == expected["$inf"] * math.inf,
    "$nan": lambda expected, ours: isinstance(ours, float) and math.isnan(ours),
    "$float": _is_float,
    "$set": _is_set,
    "$ts": lambda expected, ours: isinstance(ours, str) and ours.isdigit(),
}

# Fields that are always there, or that name what differs between Java and Python
UNCOMPARED = {"guid", "source.type", "hostname", "stack", "exception", "message", "stage", "origin", "line"}

# The sentences of error documents that the specification names, up to where Java's own words begin
SENTENCES = re.compile(
    r"Grok statement produced a null message\. Original message was: .*"
    r"|Grok parser Error: .* pattern does not include field .*"
    r"|Grok parser Error: Unparseable date: .*"
    r"|Unable to process transformation: .* because "
    r"|Unable to process .* because value is a map\."
    r"|Unable to parse [Mm]essage: .*"
    r"|\[Metron\] Message .* does not match pattern .*"
    r"|The rule '.*' does not return a boolean value\."
    r"|Unable to parse metadata; expected JSON Map: .*"
    r"|Unsupported date format: .*"
    r"|(rt|devTime) field present in (CEF|LEEF) but cannot be parsed"
    r"|syslogLine cannot be null"
    r"|Unable to parse (?=.*: Un-terminated quoted field at end of CSV line).*"
    r"|Unable to parse (?=.*: Index \d+ out of bounds for length \d+).*",
    re.DOTALL,
)
CUT = "…"


def _compare_errors(expected: Sequence[Record], ours: Sequence[Record]) -> str:
    """Compare error documents without their order."""
    rest = list(ours)
    for document in expected:
        differences = [_compare_error(document, each) for each in rest]
        if "" not in differences:
            return f"error document differs: {differences[0] if differences else 'missing'}"
        del rest[differences.index("")]
    return f"{len(rest)} unexpected error documents: {rest[0].get('message', '')!r:.300}" if rest else ""


def _compare_error(expected: Record, ours: Record) -> str:
    for name in sorted((expected.keys() | ours.keys()) - UNCOMPARED):
        if name == "error_fields":
            left, right = (set(str(each.get(name, "")).split(",")) for each in (expected, ours))
            if left != right:
                return f"error_fields is {sorted(right)}, expected {sorted(left)}"
        elif name not in ours or name not in expected:
            return f"{name} is only in {'ours' if name in ours else 'the expected one'}"
        elif not equal(expected[name], ours[name]):
            return f"{name} is {ours[name]!r:.400}, expected {expected[name]!r:.400}"
    return _compare_sentence(expected.get("message"), str(ours.get("message")))


def _compare_sentence(expected: object, ours: str) -> str:
    if isinstance(expected, str) and (match := SENTENCES.match(expected)):
        sentence = match.group().removesuffix(CUT)
        if sentence not in ours:
            return f"message is {ours!r:.400}, expected {sentence!r:.400}"
    return ""


# -- Reasons for other answers ----------------------------------------------------------------------------------------


def _accounts_for_it(case: Case, ours: Parsed) -> bool:
    """Anything but silence: a message, an error document, a dropped record or a config error."""
    return ours.config_error is not None or bool(ours.messages or ours.errors or ours.counts.dropped)


def _reports_more(case: Case, ours: Parsed) -> bool:
    """All of Metron's messages, and at least one document for what Metron says nothing about."""
    if ours.config_error is not None or not _has_all_messages(case, ours):
        return False
    theirs = case["result"]
    return len(ours.messages) + len(ours.errors) > len(theirs["messages"]) + len(theirs["errors"])


def _has_all_messages(case: Case, ours: Parsed) -> bool:
    rest = list(ours.messages)
    for expected in case["result"]["messages"]:
        found = next((each for each in rest if not _compare_maps(expected, each, {})), None)
        if found is None:
            return False
        rest.remove(found)
    return True


def _saves_siblings(case: Case, ours: Parsed) -> bool:
    return _has_all_messages(case, ours) and bool(ours.messages or ours.errors)


def _agrees_without_charset(case: Case, ours: Parsed) -> bool:
    """Metron ignores `readCharset`, so that its result is ours for the configuration without it.

    But its Grok parser reads pattern files with it, and UTF-16 makes these unusable.
    """
    if str(case["config"]["parserConfig"]["readCharset"]).startswith("UTF-16"):
        return _accounts_for_it(case, ours)
    config = deepcopy(case["config"])
    config["parserConfig"].pop("readCharset", None)
    without = {**case, "config": config, "mend": [each for each in case["mend"] if each != "charset_ignored"]}
    return _accounts_for_it(case, ours) and not find_difference(without)[1]


def _differs_by_removed_fields(case: Case, ours: Parsed) -> bool:
    """REMOVE sees the whole message, so that it may fail, or remove fields that Metron leaves, such as `timestamp`."""
    if ours.errors and not ours.messages:
        return all(error["error_type"].startswith("parser_") for error in ours.errors)
    removed: set[str] = set()
    for each in case["config"]["fieldTransformations"]:
        if each["transformation"] == "REMOVE":
            names = each.get("output") or each.get("input") or ()
            removed |= {names} if isinstance(names, str) else set(names)
    return not compare(_without_fields(case["result"], removed), _without_own_fields(ours, removed))


def _without_fields(result: Record, names: set[str]) -> Record:
    messages = [{key: value for key, value in each.items() if key not in names} for each in result.get("messages", ())]
    return {**result, "messages": messages}


def _without_own_fields(ours: Parsed, names: set[str]) -> Parsed:
    messages = [{key: value for key, value in each.items() if key not in names} for each in ours.messages]
    return replace(ours, messages=messages)


def _is_refused(case: Case, ours: Parsed) -> bool:
    return ours.config_error is not None


def _accepts_integers(case: Case, ours: Parsed) -> bool:
    """A timestamp that is an Integer in Java makes a message invalid there; here the same message is valid."""
    theirs = case["result"]
    valid = [each for each in theirs["errors"] if _is_integer_timestamp(each)]
    others = [each for each in theirs["errors"] if not _is_integer_timestamp(each)]
    messages = [*theirs["messages"], *(each["raw_message"]["$json"] for each in valid)]
    return not compare({"messages": messages, "errors": others}, ours)


def _is_integer_timestamp(error: Record) -> bool:
    if error["error_type"] != "parser_invalid":
        return False
    timestamp = error["raw_message"]["$json"].get("timestamp")
    return isinstance(timestamp, int) and timestamp > 0


def _decodes_otherwise(case: Case, ours: Parsed) -> bool:
    """Java decodes an encoded surrogate to one U+FFFD, Python to three."""
    theirs = json.loads(re.sub(r"(\\ufffd)+", r"\\ufffd", json.dumps(case["result"])))
    errors = [{**each, "error_hash": {"$any": True}} for each in theirs["errors"]]

    def collapse(documents: list[Record]) -> list[Record]:
        return list(json.loads(re.sub("\ufffd+", "\ufffd", json.dumps(documents, ensure_ascii=False))))

    return not compare(
        {**theirs, "errors": errors},
        replace(ours, messages=collapse(ours.messages), errors=collapse(ours.errors)),
    )


def _reports_the_rest(case: Case, ours: Parsed) -> bool:
    """The same messages, and one error document for the text after the JSON value."""
    if len(ours.errors) != len(case["result"]["errors"]) + 1:
        return False
    return any(
        not compare(case["result"], replace(ours, errors=ours.errors[:index] + ours.errors[index + 1 :]))
        for index in range(len(ours.errors))
    )


def _is_in_milliseconds(case: Case, ours: Parsed) -> bool:
    """Java's syslog parser takes seconds for now, where ours takes milliseconds."""
    seconds = datetime.fromisoformat(case.get("now", DEFAULT_NOW)).timestamp()
    theirs = deepcopy(case["result"])
    for message in theirs["messages"]:
        if message["timestamp"] == int(seconds):
            message["timestamp"] = round(seconds * 1000)
    return not compare(theirs, ours)


def _differs_by_host(case: Case, ours: Parsed) -> bool:
    return not compare(_without_fields(case["result"], {"host"}), _without_own_fields(ours, {"host"}))


def _differs_by_order(case: Case, ours: Parsed) -> bool:
    """Java's answer depends on the order of a hash map, which orders words, JSON members and renamed fields."""
    theirs, ours = _with_invalid_records(case["result"], ours)
    if ours.config_error is not None or len(theirs["messages"]) != len(ours.messages):
        return False
    names = _unordered_fields(case)
    for expected, message in zip(theirs["messages"], ours.messages, strict=True):
        left, right = str(expected.get("original_string")), str(message.get("original_string"))
        if left != right and sorted(_members(left)) != sorted(_members(right)):
            return False
    names.add("original_string")
    return not compare(_without_fields(theirs, names), _without_own_fields(ours, names))


def _with_invalid_records(theirs: Record, ours: Parsed) -> tuple[Record, Parsed]:
    """Return both results with the records in the documents of invalid ones, in place of these documents."""
    invalid = [each for each in theirs.get("errors", ()) if "$json" in each["raw_message"]]
    if not invalid:
        return theirs, ours
    records = [each["raw_message"]["$json"] for each in invalid]
    rest = [each for each in theirs["errors"] if each not in invalid]
    own = [each for each in ours.errors if each["error_type"] == "parser_invalid"]
    return (
        {"messages": [*theirs["messages"], *records], "errors": rest},
        replace(
            ours,
            messages=[*ours.messages, *(json.loads(each["raw_message"]) for each in own)],
            errors=[each for each in ours.errors if each not in own],
        ),
    )


def _members(text: str) -> list[str]:
    try:
        return [json.dumps(json.loads(text), sort_keys=True)]
    except ValueError:
        return text.split()


def _unordered_fields(case: Case) -> set[str]:
    """The fields that RENAME and IP_PROTOCOL may take from one field or another."""
    names: set[str] = set()
    for each in case["config"].get("fieldTransformations", ()):
        if each["transformation"] == "RENAME":
            names |= set(each["config"]) | {str(name) for name in each["config"].values()}
        elif each["transformation"] == "IP_PROTOCOL":
            output = each.get("output") or each.get("input") or ()
            names |= {output} if isinstance(output, str) else set(output)
    return names


MENDED: dict[str, Callable[[Case, Parsed], bool]] = {
    "jvm_fault": _accounts_for_it,
    "silent_drop": _reports_more,
    "siblings_lost": _saves_siblings,
    "charset_ignored": _agrees_without_charset,
    "remove_condition": _differs_by_removed_fields,
    "strict": _is_refused,
    "timestamp_long": _accepts_integers,
    "decoding": _decodes_otherwise,
    "trailing": _reports_the_rest,
    "seconds": _is_in_milliseconds,
    "host": _differs_by_host,
    "order": _differs_by_order,
    "spelling": _accounts_for_it,
    "lenient": _accounts_for_it,
}


def _is_mended_together(case: Case, ours: Parsed) -> bool:
    """Two reasons apply at once: the host, the encoding or the order differs in a message that Metron loses."""
    reasons = set(case["mend"])
    if "host" in reasons:
        case = {**case, "result": _without_fields(case["result"], {"host"})}
        ours = _without_own_fields(ours, {"host"})
    if reasons >= {"order", "trailing"}:
        return any(
            _differs_by_order(case, replace(ours, errors=ours.errors[:index] + ours.errors[index + 1 :]))
            for index in range(len(ours.errors))
        )
    return any(MENDED[reason](case, ours) for reason in reasons - {"host"})
