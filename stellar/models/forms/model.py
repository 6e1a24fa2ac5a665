"""A model: its fields around a body, which has the parameters of one kind of model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from stellar.models.forms.bodies import (
    AnomalyForm,
    AssociationForm,
    BayesForm,
    ClusteringForm,
    EnsembleForm,
    GeneralRegressionForm,
    NearestForm,
    NetworkForm,
    RegressionForm,
    RuleSetForm,
    ScorecardForm,
    TreeForm,
    VectorMachineForm,
)
from stellar.models.forms.boosting import BoosterForm

if TYPE_CHECKING:
    from stellar.models.errors import Origin
    from stellar.models.forms.fields import DataField, DerivedField, FunctionForm, MiningField, OutputField, TargetForm

Body: TypeAlias = (
    AnomalyForm
    | AssociationForm
    | BayesForm
    | BoosterForm
    | ClusteringForm
    | EnsembleForm
    | GeneralRegressionForm
    | NearestForm
    | NetworkForm
    | RegressionForm
    | RuleSetForm
    | ScorecardForm
    | TreeForm
    | VectorMachineForm
)


@dataclass(frozen=True, slots=True)
class Verification:
    """Records with the results that the model must give.

    fields: name, column, and the tolerance: relative precision and absolute zero threshold
    rows: of strings, by column
    """

    fields: tuple[tuple[str, str, float, float], ...]
    rows: tuple[dict[str, str], ...]
    origin: Origin


@dataclass(frozen=True, slots=True)
class ModelForm:
    """A model.

    function: regression, classification, clustering, associationRules, …
    is_single: it calculates with binary32 numbers
    derived: fields that are computed for this model alone
    """

    name: str | None
    function: str
    is_single: bool
    fields: tuple[MiningField, ...]
    derived: tuple[DerivedField, ...]
    targets: tuple[TargetForm, ...]
    outputs: tuple[OutputField, ...]
    verification: Verification | None
    body: Body
    origin: Origin


@dataclass(frozen=True, slots=True)
class ModelDocument:
    """A document: the fields of records, fields and functions of all models, and the model that is evaluated."""

    version: str
    fields: tuple[DataField, ...]
    derived: tuple[DerivedField, ...]
    functions: tuple[FunctionForm, ...]
    model: ModelForm
