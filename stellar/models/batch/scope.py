"""Names of fields in a batch: inputs, derived fields and outputs, each an array of numbers or of codes of strings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from stellar.models.batch.fields import InputFields
from stellar.models.batch.program import BatchProgram
from stellar.models.compiled.fields import NotCompiled
from stellar.models.forms.fields import DerivedField


@dataclass(frozen=True, slots=True)
class BatchField:
    """A field of a batch.

    array: name of its array
    kind: double, float, integer or string; an integer is stored as a double
    """

    array: str
    kind: str


class BatchScope:
    """The fields of a document and of its models.

    inputs: fields of records
    program: to which derived fields are added on first use
    """

    def __init__(self, inputs: InputFields, program: BatchProgram) -> None:
        self.inputs = inputs
        self.program = program
        self.derived: dict[str, DerivedField] = {}
        self._known: dict[str, BatchField] = {}

    def derive(self, forms: Iterable[DerivedField]) -> None:
        """Add derived fields. Raise NotCompiled for one that hides another field."""
        for form in forms:
            self._check_new(form.name)
            self.derived[form.name] = form

    def declare(self, name: str, field: BatchField) -> None:
        """Add a field that is computed. Raise NotCompiled if it hides another one."""
        self._check_new(name)
        self._known[name] = field

    def _check_new(self, name: str) -> None:
        if name in self._known or name in self.derived or name in self.inputs:
            raise NotCompiled

    def find_known(self, name: str) -> BatchField | None:
        """Return an input or a field that is declared; None for a derived field that is not computed yet."""
        if name not in self._known:
            if name not in self.inputs:
                return None
            self._known[name] = BatchField(name, self.inputs.declare(name))
        return self._known[name]
