"""Elements of neural networks, support vector machines and naive Bayes."""

from __future__ import annotations

from collections.abc import Mapping

from stellar.models.forms.bodies import (
    BayesForm,
    BayesInput,
    Kernel,
    Layer,
    NetworkForm,
    Neuron,
    VectorEntry,
    VectorMachine,
    VectorMachineForm,
)
from stellar.models.forms.fields import DerivedField
from stellar.models.pmml.networks import DISTRIBUTIONS, KERNELS
from stellar.models.pmml.xml import Element
from stellar.models.writer.elements import build, build_list, build_numbers, unless
from stellar.models.writer.fields import write_derived

_ELEMENTS = {name: element for element, name in KERNELS.items()}


def write_network(form: NetworkForm) -> tuple[list[Element], dict[str, str | float | None]]:
    """Return the children and attributes of a NeuralNetwork."""
    children = [
        build("NeuralInputs", *(_write_end("NeuralInput", "id", *end) for end in form.inputs)),
        *map(_write_layer, form.layers),
        build("NeuralOutputs", *(_write_end("NeuralOutput", "outputNeuron", *end) for end in form.outputs)),
    ]
    return children, {"activationFunction": form.layers[0].activation if form.layers else "identity"}


def _write_end(name: str, attribute: str, neuron: str, field: DerivedField) -> Element:
    return build(name, write_derived(field), **{attribute: neuron})


def _write_layer(form: Layer) -> Element:
    return build(
        "NeuralLayer",
        *map(_write_neuron, form.neurons),
        numberOfNeurons=len(form.neurons),
        activationFunction=form.activation,
        normalizationMethod=unless(form.normalization, "none"),
        threshold=unless(form.threshold, 0.0),
        width=form.width,
        altitude=unless(form.altitude, 1.0),
    )


def _write_neuron(form: Neuron) -> Element:
    connections = (build("Con", weight=weight, **{"from": origin}) for origin, weight in form.connections)
    return build("Neuron", *connections, id=form.id, bias=form.bias, width=form.width, altitude=form.altitude)


# -- Support vector machines ------------------------------------------------------------------------------------------


def write_vector_machine(form: VectorMachineForm) -> tuple[list[Element], dict[str, str | float | None]]:
    """Return the children and attributes of a SupportVectorMachineModel."""
    entries = build("VectorFields", *map(_write_entry, form.entries), numberOfFields=len(form.entries))
    vectors = (build("VectorInstance", build_numbers(numbers), id=name) for name, numbers in form.dictionary.items())
    children = [
        _write_kernel(form.kernel),
        build("VectorDictionary", entries, *vectors, numberOfVectors=len(form.dictionary)),
        *map(_write_machine, form.machines),
    ]
    return children, {
        "svmRepresentation": unless(form.representation, "SupportVectors"),
        "classificationMethod": unless(form.method, "OneAgainstAll"),
        "maxWins": unless(form.uses_max_wins, False),
        "threshold": unless(form.threshold, 0.0),
    }


def _write_kernel(form: Kernel) -> Element:
    return build(
        _ELEMENTS[form.name],
        gamma=unless(form.gamma, 1.0),
        coef0=unless(form.coef0, 1.0),
        degree=unless(form.degree, 1.0),
    )


def _write_entry(form: VectorEntry) -> Element:
    if form.category is None:
        return build("FieldRef", field=form.field)
    return build("CategoricalPredictor", name=form.field, value=form.category, coefficient=form.coefficient)


def _write_machine(form: VectorMachine) -> Element:
    vectors = (build("SupportVector", vectorId=name) for name in form.vectors)
    coefficients = (build("Coefficient", value=value) for value in form.coefficients)
    return build(
        "SupportVectorMachine",
        build_list("SupportVectors", vectors, numberOfSupportVectors=len(form.vectors)),
        build("Coefficients", *coefficients, absoluteValue=unless(form.absolute, 0.0)),
        targetCategory=form.category,
        alternateTargetCategory=form.alternate,
        threshold=form.threshold,
    )


# -- Naive Bayes ------------------------------------------------------------------------------------------------------


def write_bayes(form: BayesForm) -> tuple[list[Element], dict[str, str | float | None]]:
    """Return the children and attributes of a NaiveBayesModel."""
    inputs = build("BayesInputs", *map(_write_bayes_input, form.inputs))
    output = build("BayesOutput", _write_counts(form.counts), fieldName=form.output)
    return [inputs, output], {"threshold": form.threshold}


def _write_counts(counts: Mapping[str, float]) -> Element:
    return build(
        "TargetValueCounts", *(build("TargetValueCount", value=value, count=count) for value, count in counts.items())
    )


def _write_bayes_input(form: BayesInput) -> Element:
    pairs = (build("PairCounts", _write_counts(counts), value=value) for value, counts in form.counts.items())
    return build(
        "BayesInput",
        None if form.derived is None else write_derived(form.derived),
        *pairs,
        _write_distributions(form),
        fieldName=form.field,
    )


def _write_distributions(form: BayesInput) -> Element | None:
    return build_list(
        "TargetValueStats",
        (
            build(
                "TargetValueStat", build(kind, **dict(zip(DISTRIBUTIONS[kind], parameters, strict=True))), value=value
            )
            for value, (kind, parameters) in form.distributions.items()
        ),
    )
