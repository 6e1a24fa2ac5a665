"""Elements of neural networks, support vector machines and naive Bayes."""

from __future__ import annotations

from collections.abc import Iterator

from stellar.models.errors import InvalidModel
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
from stellar.models.pmml.attributes import (
    boolean,
    choice,
    find_array,
    find_required,
    number,
    optional_number,
    read_numbers,
    required,
)
from stellar.models.pmml.fields import read_derived
from stellar.models.pmml.xml import Element
from stellar.util.abbreviate import quote

ACTIVATIONS = (
    "threshold",
    "logistic",
    "tanh",
    "identity",
    "exponential",
    "reciprocal",
    "square",
    "Gauss",
    "sine",
    "cosine",
    "Elliott",
    "arctan",
    "rectifier",
    "radialBasis",
)


def read_network(element: Element) -> NetworkForm:
    """Return the layers of a NeuralNetwork."""
    inputs = tuple(_read_ends(find_required(element, "NeuralInputs"), "NeuralInput", "id"))
    layers = tuple(_read_layer(child, element) for child in element.find_all("NeuralLayer"))
    outputs = tuple(_read_ends(find_required(element, "NeuralOutputs"), "NeuralOutput", "outputNeuron"))
    _check_connections(element, inputs, layers, outputs)
    return NetworkForm(inputs, layers, outputs, element.origin)


def _check_connections(
    element: Element,
    inputs: tuple[tuple[str, DerivedField], ...],
    layers: tuple[Layer, ...],
    outputs: tuple[tuple[str, DerivedField], ...],
) -> None:
    known = {name for name, _ in inputs}
    for layer in layers:
        for neuron in layer.neurons:
            for name, _ in neuron.connections:
                if name not in known:
                    raise InvalidModel(f"neuron {quote(neuron.id)} is connected to unknown {quote(name)}", layer.origin)
        known |= {neuron.id for neuron in layer.neurons}
    for name, _ in outputs:
        if name not in known:
            raise InvalidModel(f"unknown outputNeuron {quote(name)}", element.origin)


def _read_ends(element: Element, name: str, attribute: str) -> Iterator[tuple[str, DerivedField]]:
    for child in element.find_all(name):
        yield required(child, attribute), read_derived(find_required(child, "DerivedField"))


def _read_layer(element: Element, network: Element) -> Layer:
    source = element if "activationFunction" in element.attributes else network
    normalization = element if "normalizationMethod" in element.attributes else network
    width, altitude = (optional_number(element, name) for name in ("width", "altitude"))
    return Layer(
        choice(source, "activationFunction", ACTIVATIONS),
        choice(normalization, "normalizationMethod", ("none", "simplemax", "softmax"), "none"),
        number(element, "threshold", number(network, "threshold", 0.0)),
        optional_number(network, "width") if width is None else width,
        number(network, "altitude", 1.0) if altitude is None else altitude,
        tuple(_read_neuron(child) for child in element.find_all("Neuron")),
        element.origin,
    )


def _read_neuron(element: Element) -> Neuron:
    connections = tuple((required(child, "from"), number(child, "weight")) for child in element.find_all("Con"))
    return Neuron(
        required(element, "id"),
        number(element, "bias", 0.0),
        optional_number(element, "width"),
        optional_number(element, "altitude"),
        connections,
    )


# -- Support vector machines ------------------------------------------------------------------------------------------

KERNELS = {
    "LinearKernelType": "linear",
    "PolynomialKernelType": "polynomial",
    "RadialBasisKernelType": "radialBasis",
    "SigmoidKernelType": "sigmoid",
}


def read_vector_machine(element: Element) -> VectorMachineForm:
    """Return the machines of a SupportVectorMachineModel."""
    kernel = find_required(element, *KERNELS)
    dictionary = find_required(element, "VectorDictionary")
    entries = tuple(_read_entries(find_required(dictionary, "VectorFields")))
    vectors = {
        required(child, "id"): _read_vector(child, len(entries)) for child in dictionary.find_all("VectorInstance")
    }
    representation = choice(element, "svmRepresentation", ("SupportVectors", "Coefficients"), "SupportVectors")
    machines = tuple(
        _read_machine(child, vectors, representation) for child in element.find_all("SupportVectorMachine")
    )
    return VectorMachineForm(
        Kernel(
            KERNELS[kernel.name],
            number(kernel, "gamma", 1.0),
            number(kernel, "coef0", 1.0),
            number(kernel, "degree", 1.0),
            kernel.origin,
        ),
        representation,
        choice(element, "classificationMethod", ("OneAgainstAll", "OneAgainstOne"), "OneAgainstAll"),
        bool(boolean(element, "maxWins", False)),
        number(element, "threshold", 0.0),
        entries,
        vectors,
        machines,
        element.origin,
    )


def _read_entries(element: Element) -> Iterator[VectorEntry]:
    for child in element.children:
        if child.name == "CategoricalPredictor":
            yield VectorEntry(required(child, "name"), required(child, "value"), number(child, "coefficient"))
        elif child.name == "FieldRef":
            yield VectorEntry(required(child, "field"), None, 1.0)


def _read_vector(element: Element, length: int) -> tuple[float, ...]:
    array = find_array(element)
    numbers = read_numbers(array, length)
    if len(numbers) < length and array.name != "Array":
        numbers += (0.0,) * (length - len(numbers))
    if len(numbers) != length:
        raise InvalidModel(f"expected {length} numbers as there are fields, got {len(numbers)}", array.origin)
    return numbers


def _read_machine(element: Element, vectors: dict[str, tuple[float, ...]], representation: str) -> VectorMachine:
    names: tuple[str, ...] = ()
    if (child := element.find("SupportVectors")) is not None:
        names = tuple(required(vector, "vectorId") for vector in child.find_all("SupportVector"))
    for name in names:
        if name not in vectors:
            raise InvalidModel(f"unknown vectorId {quote(name)}", element.origin)
    block = find_required(element, "Coefficients")
    coefficients = tuple(number(child, "value", 0.0) for child in block.find_all("Coefficient"))
    if representation == "SupportVectors" and len(coefficients) != len(names):
        raise InvalidModel(f"{len(coefficients)} coefficients for {len(names)} vectors", block.origin)
    return VectorMachine(
        element.attributes.get("targetCategory"),
        element.attributes.get("alternateTargetCategory"),
        optional_number(element, "threshold"),
        names,
        coefficients,
        number(block, "absoluteValue", 0.0),
        element.origin,
    )


# -- Naive Bayes ------------------------------------------------------------------------------------------------------

DISTRIBUTIONS = {
    "GaussianDistribution": ("mean", "variance"),
    "PoissonDistribution": ("mean", "mean"),
    "AnyDistribution": ("mean", "variance"),
    "UniformDistribution": ("lower", "upper"),
}


def read_bayes(element: Element) -> BayesForm:
    """Return the counts of a NaiveBayesModel."""
    inputs = tuple(_read_bayes_input(child) for child in find_required(element, "BayesInputs").find_all("BayesInput"))
    output = find_required(element, "BayesOutput")
    counts = _read_counts(find_required(output, "TargetValueCounts"))
    return BayesForm(number(element, "threshold"), inputs, required(output, "fieldName"), counts, element.origin)


def _read_counts(element: Element) -> dict[str, float]:
    return {required(child, "value"): number(child, "count") for child in element.find_all("TargetValueCount")}


def _read_bayes_input(element: Element) -> BayesInput:
    counts = {
        required(pair, "value"): _read_counts(find_required(pair, "TargetValueCounts"))
        for pair in element.find_all("PairCounts")
    }
    distributions = {}
    if (statistics := element.find("TargetValueStats")) is not None:
        for child in statistics.find_all("TargetValueStat"):
            distribution = find_required(child, *DISTRIBUTIONS)
            if distribution.name not in ("GaussianDistribution", "PoissonDistribution"):
                raise InvalidModel("not supported", distribution.origin)
            one, other = (number(distribution, name) for name in DISTRIBUTIONS[distribution.name])
            distributions[required(child, "value")] = (distribution.name, (one, other))
    derived = element.find("DerivedField")
    if not counts and not distributions:
        raise InvalidModel("missing <PairCounts> or <TargetValueStats>; add one", element.origin)
    return BayesInput(
        required(element, "fieldName"),
        counts,
        distributions,
        None if derived is None else read_derived(derived),
        element.origin,
    )
