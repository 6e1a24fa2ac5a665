"""Elements of an XML document with their lines, read by expat within bounds.

A document type declaration is refused, and with it entities and external references. Elements of other namespaces and
attributes with a prefix are kept with their local names.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from xml.parsers import expat

from stellar.models.errors import InvalidModel, Origin


@dataclass(frozen=True, slots=True)
class XmlLimits:
    """Bounds of a document.

    size: bytes
    elements: number of elements
    depth: nesting of elements
    """

    size: int = 64 * 2**20
    elements: int = 600_000
    depth: int = 1000


class Element:
    """An element.

    name: without its namespace
    attributes: by their names
    children: elements within it
    text: characters within it that are not within its children
    line: from 1
    """

    __slots__ = ("attributes", "children", "line", "name", "text")

    def __init__(self, name: str, attributes: dict[str, str], line: int) -> None:
        self.name = name
        self.attributes = attributes
        self.children: list[Element] = []
        self.text = ""
        self.line = line

    @property
    def origin(self) -> Origin:
        """The element as the source of a form."""
        return Origin(self.name, self.line)

    def find(self, name: str) -> Element | None:
        """Return the first child of a name."""
        return next((child for child in self.children if child.name == name), None)

    def find_all(self, name: str) -> Iterator[Element]:
        """Yield the children of a name."""
        return (child for child in self.children if child.name == name)


class _TreeReader:
    """The handlers of expat that build elements."""

    def __init__(self, limits: XmlLimits) -> None:
        self._limits = limits
        self._root = Element("", {}, 0)
        self._open = [self._root]
        self._count = 0
        self._texts: list[str] = []
        self.parser = parser = expat.ParserCreate(namespace_separator=" ")
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._texts.append
        parser.StartDoctypeDeclHandler = self._refuse_doctype
        parser.buffer_text = True

    def read(self, data: bytes) -> Element:
        """Return the root element of a document."""
        try:
            self.parser.Parse(data, True)
        except expat.ExpatError as error:
            reason = expat.errors.messages[error.code]
            raise self._refuse(f"invalid XML: {reason}; export the model again", error.lineno) from None
        except (LookupError, ValueError) as error:
            if isinstance(error, InvalidModel):
                raise
            raise self._refuse(f"invalid XML: {error}; export the model as UTF-8") from None
        return self._root.children[0]

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._count += 1
        element = Element(name.rpartition(" ")[2], attributes, self.parser.CurrentLineNumber)
        parent = self._open[-1]
        if self._texts:
            self._collect_text(parent)
        parent.children.append(element)
        self._open.append(element)
        if self._count > self._limits.elements:
            raise self._refuse(f"more than {self._limits.elements} elements; train a smaller model")
        if len(self._open) > self._limits.depth:
            raise self._refuse(f"elements are nested deeper than {self._limits.depth}; limit the depth of the model")

    def _end(self, _: str) -> None:
        element = self._open.pop()
        if self._texts:
            self._collect_text(element)

    def _collect_text(self, element: Element) -> None:
        text = "".join(self._texts)
        self._texts.clear()
        if not text.isspace():
            element.text += text

    def _refuse_doctype(self, *_: object) -> None:
        raise self._refuse("a document type declaration is not accepted; remove <!DOCTYPE …>")

    def _refuse(self, message: str, line: int | None = None) -> InvalidModel:
        name = self._open[-1].name or "PMML"
        return InvalidModel(message, Origin(name, line or self.parser.CurrentLineNumber))


def read_xml(data: bytes, limits: XmlLimits | None = None) -> Element:
    """Return the root element of a document.

    Raise InvalidModel, with the line, if the XML is invalid or exceeds a limit.
    """
    limits = limits or XmlLimits()
    if len(data) > limits.size:
        raise InvalidModel(f"{len(data)} bytes; at most {limits.size} are read", Origin("PMML", 1))
    return _TreeReader(limits).read(data)
