"""Parameters of each kind of model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stellar.models.errors import Origin
    from stellar.models.forms.expressions import ExpressionForm
    from stellar.models.forms.fields import DerivedField
    from stellar.models.forms.model import ModelForm
    from stellar.models.forms.predicates import Predicate

# -- Regression -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Term:
    """A term of a sum: a coefficient times the powers of fields, or if a field has a category.

    factors: pairs of field and exponent
    category: of the single field; None for numbers
    """

    coefficient: float
    factors: tuple[tuple[str, float], ...]
    category: str | None
    origin: Origin


@dataclass(frozen=True, slots=True)
class Equation:
    """A sum, for a category of the target if it has any."""

    category: str | None
    intercept: float
    terms: tuple[Term, ...]
    origin: Origin


@dataclass(frozen=True, slots=True)
class RegressionForm:
    """Sums of terms, normalized by a function."""

    normalization: str
    equations: tuple[Equation, ...]
    origin: Origin


@dataclass(frozen=True, slots=True)
class Predictor:
    """A predictor of a general regression.

    categories: in order, of the matrix of a contrast
    matrix: rows of the contrast, or empty
    """

    field: str
    categories: tuple[str, ...] = ()
    matrix: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Cell:
    """The predictor's share of a parameter: its power, or its category."""

    field: str
    parameter: str
    value: str


@dataclass(frozen=True, slots=True)
class Coefficient:
    """The coefficient of a parameter, for a category of the target if it has any."""

    parameter: str
    category: str | None
    value: float


@dataclass(frozen=True, slots=True)
class BaselineHazard:
    """Cumulative hazards by time, of a stratum if there are any."""

    stratum: str | None
    max_time: float
    cells: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class GeneralRegressionForm:
    """A generalized linear, multinomial, ordinal or Cox model."""

    kind: str
    link: str | None
    cumulative_link: str | None
    distribution: str | None
    link_parameter: float | None
    distribution_parameter: float | None
    trials: float | None
    trials_variable: str | None
    offset: float | None
    offset_variable: str | None
    end_time: str | None
    strata: str | None
    reference: str | None
    parameters: dict[str, float]
    factors: tuple[Predictor, ...]
    covariates: tuple[Predictor, ...]
    cells: tuple[tuple[str | None, Cell], ...]
    coefficients: tuple[Coefficient, ...]
    hazards: tuple[BaselineHazard, ...]
    origin: Origin


# -- Trees, rules, scorecards -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ScoreShare:
    """The share of a category among the records of a node."""

    value: str
    count: float
    confidence: float | None
    probability: float | None


@dataclass(frozen=True, slots=True)
class TreeNode:
    """A node of a tree.

    children: indexes of nodes
    model: of an embedded model
    """

    id: str | None
    score: str | None
    count: float | None
    default_child: str | None
    predicate: Predicate
    shares: tuple[ScoreShare, ...]
    children: tuple[int, ...]
    origin: Origin


@dataclass(frozen=True, slots=True)
class TreeForm:
    """A tree of nodes in the order of the document; the first is the root."""

    nodes: tuple[TreeNode, ...]
    missing: str
    penalty: float
    no_true_child: str
    origin: Origin


@dataclass(frozen=True, slots=True)
class SimpleRule:
    """A score if a predicate is true."""

    id: str | None
    predicate: Predicate
    score: str
    weight: float
    confidence: float
    origin: Origin


@dataclass(frozen=True, slots=True)
class CompoundRule:
    """Rules that apply if a predicate is true."""

    predicate: Predicate
    rules: tuple[SimpleRule | CompoundRule, ...]
    origin: Origin


@dataclass(frozen=True, slots=True)
class RuleSetForm:
    """Rules, and the criteria of the selection among those that apply."""

    rules: tuple[SimpleRule | CompoundRule, ...]
    criteria: tuple[str, ...]
    default_score: str | None
    default_confidence: float | None
    origin: Origin


@dataclass(frozen=True, slots=True)
class AttributeForm:
    """A partial score if a predicate is true."""

    predicate: Predicate
    score: float | None
    expression: ExpressionForm | None
    reason: str | None
    origin: Origin


@dataclass(frozen=True, slots=True)
class Characteristic:
    """Attributes of which the first that is true counts."""

    name: str | None
    baseline: float | None
    reason: str | None
    attributes: tuple[AttributeForm, ...]
    origin: Origin


@dataclass(frozen=True, slots=True)
class ScorecardForm:
    """A sum of partial scores, with reasons."""

    initial: float
    uses_reasons: bool
    algorithm: str
    baseline: float | None
    characteristics: tuple[Characteristic, ...]
    origin: Origin


# -- Distances --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Measure:
    """A measure of distance or similarity.

    kind: distance or similarity
    parameters: p of Minkowski, or the four of binary similarity
    """

    name: str
    kind: str
    compare: str
    parameters: tuple[float, ...]
    origin: Origin


@dataclass(frozen=True, slots=True)
class ComparedField:
    """A field of a distance."""

    field: str
    weight: float
    compare: str | None
    similarity_scale: float | None
    is_center_field: bool = True


@dataclass(frozen=True, slots=True)
class ClusterCenter:
    """A cluster with its centre."""

    id: str | None
    name: str | None
    center: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ClusteringForm:
    """Clusters by the distance of their centres."""

    measure: Measure
    fields: tuple[ComparedField, ...]
    missing_weights: tuple[float, ...] | None
    clusters: tuple[ClusterCenter, ...]
    origin: Origin


@dataclass(frozen=True, slots=True)
class NearestForm:
    """The nearest of stored instances.

    instances: strings by field
    """

    neighbors: int
    measure: Measure
    fields: tuple[ComparedField, ...]
    instances: tuple[dict[str, str], ...]
    id_variable: str | None
    continuous_method: str
    categorical_method: str
    threshold: float
    origin: Origin


# -- Networks, vector machines, Bayes ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Neuron:
    """A neuron: connections are pairs of the origin's id and weight."""

    id: str
    bias: float
    width: float | None
    altitude: float | None
    connections: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer of neurons."""

    activation: str
    normalization: str
    threshold: float
    width: float | None
    altitude: float | None
    neurons: tuple[Neuron, ...]
    origin: Origin


@dataclass(frozen=True, slots=True)
class NetworkForm:
    """A neural network: inputs, layers, and outputs as pairs of a neuron's id and a derived field."""

    inputs: tuple[tuple[str, DerivedField], ...]
    layers: tuple[Layer, ...]
    outputs: tuple[tuple[str, DerivedField], ...]
    origin: Origin


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel: linear, polynomial, radialBasis or sigmoid."""

    name: str
    gamma: float
    coef0: float
    degree: float
    origin: Origin


@dataclass(frozen=True, slots=True)
class VectorEntry:
    """An entry of a vector: a field, or a category of a field with a coefficient."""

    field: str
    category: str | None
    coefficient: float


@dataclass(frozen=True, slots=True)
class VectorMachine:
    """Support vectors with their coefficients."""

    category: str | None
    alternate: str | None
    threshold: float | None
    vectors: tuple[str, ...]
    coefficients: tuple[float, ...]
    absolute: float
    origin: Origin


@dataclass(frozen=True, slots=True)
class VectorMachineForm:
    """Machines over the vectors of a dictionary."""

    kernel: Kernel
    representation: str
    method: str
    uses_max_wins: bool
    threshold: float
    entries: tuple[VectorEntry, ...]
    dictionary: dict[str, tuple[float, ...]]
    machines: tuple[VectorMachine, ...]
    origin: Origin


@dataclass(frozen=True, slots=True)
class BayesInput:
    """A field with its counts by value and category, or its distributions by category.

    counts: value → category → count
    distributions: category → kind and parameters
    """

    field: str
    counts: dict[str, dict[str, float]]
    distributions: dict[str, tuple[str, tuple[float, float]]]
    derived: DerivedField | None
    origin: Origin


@dataclass(frozen=True, slots=True)
class BayesForm:
    """A naive Bayes classifier."""

    threshold: float
    inputs: tuple[BayesInput, ...]
    output: str
    counts: dict[str, float]
    origin: Origin


# -- Ensembles, associations ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SegmentForm:
    """A model of an ensemble, used if a predicate is true."""

    id: str | None
    predicate: Predicate
    weight: float
    model: ModelForm
    origin: Origin


@dataclass(frozen=True, slots=True)
class EnsembleForm:
    """Models whose results are combined by a method."""

    method: str
    missing: str
    missing_threshold: float
    segments: tuple[SegmentForm, ...]
    origin: Origin


@dataclass(frozen=True, slots=True)
class AssociationRule:
    """A rule from items to items."""

    id: str | None
    antecedent: frozenset[str]
    consequent: frozenset[str]
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AssociationForm:
    """Association rules.

    items: values by id, in order
    """

    items: tuple[str, ...]
    rules: tuple[AssociationRule, ...]
    origin: Origin


@dataclass(frozen=True, slots=True)
class AnomalyForm:
    """A score of anomaly from the result of another model.

    algorithm: iforest, ocsvm, clusterMeanDist or other
    """

    algorithm: str
    sample_size: float | None
    mean_distances: tuple[float, ...]
    model: ModelForm
    origin: Origin
