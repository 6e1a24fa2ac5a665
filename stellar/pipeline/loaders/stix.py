"""The extractor of STIX 1.x documents: addresses, domains, hostnames and URIs, with Metron's types and values.

A document is read as a stream: only the properties of one CybOX object are held in memory. It has the form

    STIX_Package/Observables/Observable/Object/Properties
    STIX_Package/Indicators/Indicator/Observable/Object/Properties

and `xsi:type` of the properties names their kind. Elements are compared by their local names, because each minor
version of STIX and CybOX has other namespaces. Document types are rejected, and so are all entities.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser, tostring

from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.loaders.rows import IGNORED, Extracted, ExtractedRow, RejectedRow
from stellar.pipeline.loaders.sources import Source, UnreadableLine
from stellar.util.abbreviate import quote
from stellar.util.suggestions import suggest_name

if TYPE_CHECKING:
    from stellar.pipeline.config.schema import ExtractorOptions

# The enumeration of Metron's Java classes, by the value in a document
CATEGORIES = {"ipv4-addr": "IPV_4_ADDR", "ipv6-addr": "IPV_6_ADDR", "e-mail": "E_MAIL", "mac": "MAC"}
_DEFAULT_CATEGORY = "ipv4-addr"
_DOMAIN = "FQDN"
_DELIMITER = "##comma##"
_XSI_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"
_PATHS = {
    ("STIX_Package", "Observables", "Observable", "Object", "Properties"),
    ("STIX_Package", "Indicators", "Indicator", "Observable", "Object", "Properties"),
}
_MAX_PROPERTIES = 16 * 1024 * 1024  # characters of one object
_MAX_DEPTH = 200


class _Rejected(ValueError):
    """The document cannot be read any further."""


@dataclass(frozen=True, slots=True)
class StixOptions:
    """The types of the rows, and the categories of addresses that are loaded."""

    address: str
    domain: str
    hostname: str
    categories: frozenset[str]

    @classmethod
    def of(cls, options: ExtractorOptions, location: SourceLocation) -> StixOptions:
        """Return the options of an extractor. Raises ConfigError for unknown categories."""
        known = list(CATEGORIES.values())
        categories = _read_names(options.stix_address_categories, known, location / "stix_address_categories")
        _read_names(options.stix_domain_categories, [_DOMAIN], location / "stix_domain_categories")
        return cls(
            options.stix_address_type or "address",
            options.stix_domain_type or "domainname",
            options.stix_hostname_type or "hostname",
            categories,
        )


def _read_names(text: str | None, known: list[str], location: SourceLocation) -> frozenset[str]:
    if text is None:
        return frozenset(known)
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in known:
            raise location.error(f"unknown category {quote(name)}; {suggest_name(name, known)}")
    return frozenset(names)


class StixExtractor:
    """Extracts a row of each value in the objects of STIX documents.

    A value with the delimiter `##comma##` is a list of values. Other objects, and conditions other than `Equals`, are
    ignored, as by Metron.

    is_whole: True if a file is one document; otherwise each line is one
    """

    extracts_lines = False

    def __init__(self, options: ExtractorOptions, location: SourceLocation, *, is_whole: bool = True) -> None:
        self._options = StixOptions.of(options, location)
        self._is_whole = is_whole

    def __call__(self, source: Source) -> Iterator[Extracted]:
        """Yield the rows of a file. A document that is not readable is rejected, after the rows before the error."""
        if self._is_whole:
            yield from self._extract(source.chunks(), 1)
            return
        for line in source.lines():
            if isinstance(line, UnreadableLine):
                yield RejectedRow(line.number, line.reason, line.start)
            elif line.text.strip():
                yield from self._extract(iter((line.text.encode(),)), line.number)
            else:
                yield IGNORED

    def _extract(self, chunks: Iterator[bytes], first_line: int) -> Iterator[Extracted]:
        reader = _DocumentReader(self._options, first_line)
        parser = XMLParser(target=reader)
        try:
            for chunk in chunks:
                parser.feed(chunk)
                yield from reader.take()
            parser.close()
        except (ParseError, _Rejected) as error:
            yield from reader.take()
            yield RejectedRow(*_describe(error, first_line), "")
        else:
            yield from reader.take()


def _describe(error: Exception, first_line: int) -> tuple[int, str]:
    """Return the line and the description of an error in a document."""
    if not isinstance(error, ParseError):
        return first_line, str(error)
    line, column = error.position
    message = str(error).rpartition(": line ")[0] or str(error)
    hint = "; set inputFormat to BY_LINE if each line is a document" if "junk after document" in message else ""
    return first_line + line - 1, f"invalid XML at column {column + 1}: {message}{hint}"


@dataclass
class _DocumentReader:
    """A target of an XML parser, which makes rows of the properties of objects."""

    options: StixOptions
    line: int  # the first line of the document
    _path: list[str] = field(default_factory=list)
    _builder: TreeBuilder | None = None
    _depth: int = 0  # of the path at which the current properties start
    _size: int = 0
    _found: list[Extracted] = field(default_factory=list)

    def take(self) -> list[Extracted]:
        """Return the rows since the last call."""
        found, self._found = self._found, []
        return found

    def doctype(self, name: str, public_id: str | None, system: str | None) -> None:
        raise _Rejected("the document has a document type, which is not accepted; remove <!DOCTYPE …>")

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._path.append(tag.rpartition("}")[2])
        if self._path[0] != "STIX_Package":
            raise _Rejected(f"expected the element STIX_Package of STIX 1.x, got {self._path[0][:80]}")
        if len(self._path) > _MAX_DEPTH:
            raise _Rejected(f"the document has more than {_MAX_DEPTH} levels")
        if self._builder is None and self._path[-1] == "Properties":
            if tuple(self._path) not in _PATHS:
                self._found.append(IGNORED)
            else:
                self._builder, self._depth, self._size = TreeBuilder(), len(self._path), 0
        if self._builder is not None:
            self._builder.start(tag, attributes)
            self._count(sum(map(len, attributes.values())) + len(tag))

    def data(self, text: str) -> None:
        if self._builder is not None:
            self._builder.data(text)
            self._count(len(text))

    def _count(self, size: int) -> None:
        self._size += size
        if self._size > _MAX_PROPERTIES:
            raise _Rejected(f"the properties of an object have more than {_MAX_PROPERTIES:,} characters")

    def end(self, tag: str) -> None:
        if self._builder is not None:
            self._builder.end(tag)
            if len(self._path) == self._depth:
                properties, self._builder = self._builder.close(), None
                self._found += _extract_rows(properties, self.options, self.line) or [IGNORED]
        self._path.pop()

    def close(self) -> None:
        """End the document."""


def _extract_rows(properties: Element, options: StixOptions, line: int) -> list[Extracted]:
    kind = properties.get(_XSI_TYPE, "").rpartition(":")[2]
    read = _READERS.get(kind)
    found = None if read is None else read(properties, options)
    if found is None:
        return []
    row_type, indicators = found
    properties.tail = None
    source = tostring(properties, encoding="unicode")
    value = {"source-type": "STIX", "indicator-type": row_type, "source": source}
    return [
        ExtractedRow(row_type, each, {**value, "uri": each} if read is _read_uri else dict(value), line, source[:1000])
        for each in indicators
    ]


# The type of the rows, and their indicators; None for an object that is not loaded
Found = tuple[str, list[str]] | None


def _read_address(properties: Element, options: StixOptions) -> Found:
    category = CATEGORIES.get(properties.get("category", _DEFAULT_CATEGORY))
    if category not in options.categories:
        return None
    return f"{options.address}:{category}", _read_values(properties, "Address_Value")


def _read_domain(properties: Element, options: StixOptions) -> Found:
    if properties.get("type", _DOMAIN) != _DOMAIN:
        return None
    return f"{options.domain}:{_DOMAIN}", _read_values(properties, "Value")


def _read_hostname(properties: Element, options: StixOptions) -> Found:
    return options.hostname, _read_values(properties, "Hostname_Value")


def _read_uri(properties: Element, options: StixOptions) -> Found:
    values = [text for each in _find(properties, "Value") if (text := "".join(each.itertext()).strip())]
    return "uriobjecttype", values


_READERS: dict[str, Callable[[Element, StixOptions], Found]] = {
    "AddressObjectType": _read_address,
    "DomainNameObjectType": _read_domain,
    "HostnameObjectType": _read_hostname,
    "URIObjectType": _read_uri,
}


def _find(properties: Element, name: str) -> list[Element]:
    return [each for each in properties if each.tag.rpartition("}")[2] == name]


def _read_values(properties: Element, name: str) -> list[str]:
    """Return the values of an element; none if their condition is not equality with any of them."""
    values: list[str] = []
    for element in _find(properties, name):
        # "Equal" is an error of some producers, which Metron accepts, too
        if element.get("condition", "Equals") in ("Equals", "Equal") and element.get("apply_condition", "ANY") == "ANY":
            texts = "".join(element.itertext()).split(element.get("delimiter") or _DELIMITER)
            values += [text.strip() for text in texts if text.strip()]
    return values
