"""Errors of models: of a document when it is read, and of a record when it is scored."""

from __future__ import annotations

from dataclasses import dataclass

from stellar.util.abbreviate import quote


@dataclass(frozen=True, slots=True)
class Origin:
    """The element of a document that a form was read from.

    element: name of the element
    line: its line, from 1
    """

    element: str
    line: int

    def __str__(self) -> str:
        return f"line {self.line}: <{self.element}>"


@dataclass(frozen=True, slots=True)
class KeyOrigin(Origin):
    """The key of a model file, for formats other than XML.

    element: the key, or its path in a JSON document
    line: its line; 0 in files that have none
    """

    def __str__(self) -> str:
        return f"line {self.line}: {self.element}" if self.line else self.element


class InvalidModel(ValueError):
    """A document that is invalid as a model, or has an element that is not supported.

    origin: the element at fault
    """

    def __init__(self, message: str, origin: Origin) -> None:
        super().__init__(f"{origin}: {message}")
        self.origin = origin


class NotExported(ValueError):
    """A model that cannot be written as PMML, with the step or field, the reason, and what to use instead."""


class NotScored(ValueError):
    """A record for which the model has no score, with the field or element and the reason."""


class InvalidField(NotScored):
    """A value that a field of the model does not accept.

    field: name of the field
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"invalid value of field {quote(field)}: {reason}")
        self.field = field


class InvalidColumns(ValueError):
    """Columns of a batch that are not those of records: a missing one, or one of another length."""
