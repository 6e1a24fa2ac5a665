"""The parser of the log of IBM WebSphere DataPower, which is a Grok parser."""

from __future__ import annotations

from stellar.java.calendar import MS_A_DAY, LocalDateTime
from stellar.pipeline.parsers.grok import Captures, GrokParser
from stellar.pipeline.records import Record
from stellar.util.abbreviate import quote
from stellar.util.clock import now

# A time without a year is in the past, but clocks of devices may be ahead by this much
_TOLERANCE_MS = 4 * MS_A_DAY


class GrokWebSphereParser(GrokParser):
    """Parses lines with a Grok pattern, and the message in the field `message` by its words.

    The timestamp has no year: it is the latest time that is at most four days ahead.
    """

    def _read_timestamp(self, record: Record, captures: Captures) -> int:
        """Return the time of the field; the current time if it is missing or unreadable."""
        current = now()
        value = record.get(str(self.timestamp_field))
        if value is None:
            return current
        year = max(LocalDateTime(current, offset).year for offset in (0, self.zone.offset(current)))
        try:
            timestamp = self.read_date(f"{year} {value}")
            return timestamp if timestamp <= current + _TOLERANCE_MS else self.read_date(f"{year - 1} {value}")
        except ValueError:
            return current

    def _finish(self, record: Record) -> Record:
        record = super()._finish(record)
        record = {field: value for field, value in record.items() if value is not None and value != ""}
        record.pop("timestamp_string", None)
        message = record.get("message")
        if isinstance(message, str):
            _interpret(message, record)
        return record


def _interpret(message: str, record: Record) -> None:
    """Set the fields of a message by its kind. Raises ValueError for a message that breaks off."""
    if "logged into" in message:
        _interpret_login(message, record)
    elif "logged out" in message:
        _interpret_logout(message, record)
    elif "(" in message:
        record["process"] = message[: message.index("(")]
        _, colon, rest = message.partition(":")
        if colon and not rest:
            raise ValueError("the message has nothing after its first colon")
        if colon:
            record["message"] = rest[1:]


def _interpret_login(message: str, record: Record) -> None:
    """Interpret `user(NAME): [ADDRESS]: User logged into 'DOMAIN'.`"""
    record["event_subtype"] = "login"
    if ":" not in message:
        return
    user, *others = message.rstrip(":").split(":")
    if not others:
        raise ValueError("the message of a login has nothing after its first colon")
    if "user(" in user and ")" in user:
        record["username"] = _extract(user, "user(", ")")
    _set_address(others[0], record)
    del record["message"]


def _interpret_logout(message: str, record: Record) -> None:
    """Interpret `[ADDRESS]: User 'NAME' logged out from 'DOMAIN'.`"""
    record["event_subtype"] = "logout"
    parts = message.split("'")
    if len(parts) < 5:
        return
    if not any(parts[3:]):
        raise ValueError("the message of a logout has nothing after its third quote")
    _set_address(parts[0], record)
    record["username"], record["security_domain"] = parts[1], parts[3]
    del record["message"]


def _set_address(text: str, record: Record) -> None:
    if "[" in text and "]" in text:
        record["ip_src_addr"] = _extract(text, "[", "]")


def _extract(text: str, opening: str, closing: str) -> str:
    """Return the substring between the first opening and the next closing. Raises ValueError if that is missing."""
    inner, found, _ = text[text.index(opening) + len(opening) :].partition(closing)
    if not found:
        raise ValueError(f"expected {quote(closing)} after {quote(opening)}, got {text[:100]!r}")
    return inner
