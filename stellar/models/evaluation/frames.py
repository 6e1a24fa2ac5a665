"""Names of fields: resolved when a model is compiled, and looked up when a record is scored.

A `FieldScope` belongs to a model; it knows the type of each field and how its value is computed. A `Frame` has the
values of one record in a scope. A value is computed on first use, so fields that a score does not need cannot fail it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from stellar.models.errors import InvalidModel, NotScored, Origin
from stellar.models.evaluation.tracing import ScoreStep
from stellar.models.forms.fields import DerivedField, FieldType, FunctionForm
from stellar.util.abbreviate import quote
from stellar.util.suggestions import suggest_name

LONGEST_CHAIN = 100  # derived fields that are computed from each other


class Frame:
    """The values of one record in the scope of a model.

    values: those that are known; a missing value is None
    parent: the frame of the model around this one
    record: the fields of the record
    steps: of an explanation, None unless there is one
    """

    __slots__ = ("parent", "record", "resolvers", "steps", "values")

    def __init__(
        self,
        resolvers: Mapping[str, Resolver],
        record: Mapping[str, Any],
        parent: Frame | None = None,
        values: dict[str, Any] | None = None,
    ) -> None:
        self.resolvers = resolvers
        self.record = record
        self.parent = parent
        self.values = {} if values is None else values
        self.steps: list[ScoreStep] | None = None if parent is None else parent.steps

    def get(self, name: str) -> Any:
        """Return the value of a field."""
        values = self.values
        if name in values:
            return values[name]
        value = values[name] = self.resolvers[name](self)
        return value


Resolver = Callable[[Frame], Any]
Evaluation = Callable[[Frame], Any]


@dataclass(frozen=True, slots=True)
class ScopeField:
    """A field of a scope.

    type: None if it is known only for each value
    is_invalid: tests a value that is not missing, for the function isValid
    """

    type: FieldType | None
    resolve: Resolver
    is_invalid: Callable[[Any], bool] | None = None


class FunctionTable:
    """The functions of a document, each compiled on first use."""

    def __init__(self, forms: Iterable[FunctionForm]) -> None:
        self.forms = {form.name: form for form in forms}
        self.compiled: dict[str, Callable[..., Any]] = {}
        self.costs: dict[str, int] = {}
        self.open: set[str] = set()


class FieldScope:
    """The fields of a model, of those around it, and of the document.

    Derived fields are compiled on first use, in any order. Raise InvalidModel for one that is computed from itself.
    """

    def __init__(self, functions: FunctionTable, parent: FieldScope | None = None) -> None:
        self.functions = functions
        self.parent = parent
        self.resolvers: dict[str, Resolver] = {}
        self._fields: dict[str, ScopeField] = {}
        self._pending: dict[str, tuple[DerivedField, Callable[[DerivedField], Evaluation]]] = {}
        self._open: list[str] = []

    def declare(self, name: str, field: ScopeField) -> None:
        """Add a field."""
        self._fields[name] = field
        self.resolvers[name] = field.resolve

    def derive(self, fields: Iterable[DerivedField], compile_field: Callable[[DerivedField], Evaluation]) -> None:
        """Add fields that are computed from others."""
        for field in fields:
            self._pending[field.name] = (field, compile_field)

    def compile_pending(self) -> None:
        """Compile the derived fields that no expression uses, so that their errors are found."""
        for name, (field, _) in list(self._pending.items()):
            self.require(name, field.origin)

    def find(self, name: str, origin: Origin) -> ScopeField | None:
        """Return a field, or None if it is unknown."""
        if name in self._fields:
            return self._fields[name]
        if name in self._pending:
            return self._compile(name, origin)
        if self.parent is None or (outer := self.parent.find(name, origin)) is None:
            return None
        field = ScopeField(outer.type, _resolve_outside(name), outer.is_invalid)
        self.declare(name, field)
        return field

    def require(self, name: str, origin: Origin) -> ScopeField:
        """Return a field. Raise InvalidModel if it is unknown."""
        if (field := self.find(name, origin)) is None:
            raise InvalidModel(f"unknown field {quote(name, 80)}; {suggest_name(name, self.names())}", origin)
        return field

    def names(self) -> set[str]:
        """Return the names of all fields."""
        outer = set() if self.parent is None else self.parent.names()
        return {*self._fields, *self._pending, *outer}

    def _compile(self, name: str, origin: Origin) -> ScopeField:
        if name in self._open:
            chain = " → ".join([*self._open[self._open.index(name) :], name])
            raise InvalidModel(f"field {quote(name, 80)} is computed from itself: {chain:.300}", origin)
        if len(self._open) > LONGEST_CHAIN:
            raise InvalidModel(f"more than {LONGEST_CHAIN} fields are computed from each other", origin)
        self._open.append(name)
        form, compile_field = self._pending[name]
        field = ScopeField(form.type, compile_field(form))
        self._open.pop()
        del self._pending[name]
        self.declare(name, field)
        return field


def _resolve_outside(name: str) -> Resolver:
    def resolve(frame: Frame) -> Any:
        assert frame.parent is not None  # the scope has one
        return frame.parent.get(name)

    return resolve


def resolve_undefined(name: str) -> Resolver:
    """Return the resolver of an output before its segment is evaluated."""

    def resolve(_: Frame) -> Any:
        raise NotScored(f"field {quote(name)} is not defined, as its segment has no result for this record")

    return resolve
