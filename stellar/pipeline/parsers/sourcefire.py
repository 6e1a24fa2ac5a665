"""The parser of Sourcefire and Snort alerts that end with `{TCP} 10.5.200.245:45283 -> 72.163.0.129:21`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar

from stellar.language.conversions import JAVA_WHITESPACE
from stellar.pipeline.parsers.parser import Settings, find_missing_fields
from stellar.pipeline.records import Record
from stellar.util.abbreviate import quote
from stellar.util.clock import now

_SIGNATURE = re.compile(r"\[[0-9]+:[0-9]+:[0-9]\]")
_LINE_END = re.compile("\r\n|[\n\r\u0085\u2028\u2029]")
_FORM = "expected an alert that ends with '{TCP} 10.0.0.1:80 -> 10.0.0.2:1024'"


class SourcefireParser:
    """Parses alerts: protocol, addresses, ports and the id of the signature."""

    OPTIONS: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, settings: Settings) -> None:
        pass

    def __call__(self, text: str) -> Iterator[Record]:
        connection = text[_find(text, "{", last=True) :]
        protocol_end, arrow = _find(connection, "}"), _find(connection, "->")
        if arrow <= protocol_end:
            raise ValueError(f"'->' precedes '}}': {_FORM}")
        before, signature, after = _split_at_signature(text)
        yield {
            "key": connection,
            "protocol": connection[1:protocol_end].lower(),
            **_endpoint("src", connection[protocol_end + 1 : arrow]),
            **_endpoint("dst", connection[arrow + 2 :]),
            "timestamp": now(),
            "signature_id": signature,
            "original_string": f"{before} {signature} {after}" if signature else text,
        }

    def complaint(self, record: Record) -> str | None:
        return find_missing_fields(record)


def _find(text: str, sign: str, *, last: bool = False) -> int:
    at = text.rfind(sign) if last else text.find(sign)
    if at < 0:
        raise ValueError(f"no {quote(sign)} in the alert: {_FORM}")
    return at


def _endpoint(side: str, endpoint: str) -> Record:
    address, *ports = endpoint.strip(JAVA_WHITESPACE).split(":")
    if not ports:
        return {f"ip_{side}_addr": address}
    if not any(ports):
        raise ValueError(f"endpoint {quote(endpoint.strip())} has no port: {_FORM}")
    return {f"ip_{side}_addr": address, f"ip_{side}_port": ports[0]}


def _split_at_signature(text: str) -> tuple[str, str, str]:
    """Return the last line up to its last signature, the signature, and the rest; or the line and empty strings."""
    ends = [match.span() for match in _LINE_END.finditer(text)]
    stop = ends.pop()[0] if ends and ends[-1][1] == len(text) else len(text)
    line = text[ends[-1][1] if ends else 0 : stop]
    signatures = list(_SIGNATURE.finditer(line))
    if not signatures:
        return line, "", ""
    last = signatures[-1]
    return line[: last.start()], last[0], line[last.end() :]
