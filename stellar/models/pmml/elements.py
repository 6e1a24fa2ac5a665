"""The elements that are read, and those that are known to change no score."""

from __future__ import annotations

from stellar.models.errors import InvalidModel
from stellar.models.pmml.xml import Element

_EXPRESSIONS = "Constant FieldRef NormContinuous NormDiscrete Discretize MapValues Apply Aggregate TextIndex Lag"
_PREDICATES = "SimplePredicate SimpleSetPredicate CompoundPredicate True False"
_MODEL = "MiningSchema Output ModelStats ModelExplanation Targets LocalTransformations ModelVerification"
_MODELS = (
    "AnomalyDetectionModel AssociationModel ClusteringModel GeneralRegressionModel MiningModel NaiveBayesModel"
    " NearestNeighborModel NeuralNetwork RegressionModel RuleSetModel Scorecard SupportVectorMachineModel TreeModel"
)
_UNKNOWN_MODELS = " BaselineModel BayesianNetworkModel GaussianProcessModel SequenceModel TextModel TimeSeriesModel"
_KERNELS = "LinearKernelType PolynomialKernelType RadialBasisKernelType SigmoidKernelType"
_MEASURES = "euclidean squaredEuclidean chebychev cityBlock minkowski simpleMatching jaccard tanimoto binarySimilarity"
_ARRAYS = "Array REAL-SparseArray INT-SparseArray"

# Names of elements, with the names of those that they may contain
_CHILDREN = {
    "PMML": f"Header MiningBuildTask DataDictionary TransformationDictionary {_MODELS}{_UNKNOWN_MODELS}",
    "DataDictionary": "DataField Taxonomy",
    "DataField": "Interval Value",
    "Value": "",
    "Interval": "",
    "TransformationDictionary": "DefineFunction DerivedField",
    "LocalTransformations": "DerivedField",
    "DefineFunction": f"ParameterField {_EXPRESSIONS}",
    "DerivedField": f"{_EXPRESSIONS} Value Interval",
    "Apply": _EXPRESSIONS,
    "NormContinuous": "LinearNorm",
    "Discretize": "DiscretizeBin",
    "DiscretizeBin": "Interval",
    "MapValues": "FieldColumnPair InlineTable",
    "TextIndex": f"TextIndexNormalization {_EXPRESSIONS}",
    "TextIndexNormalization": "InlineTable",
    "MiningSchema": "MiningField",
    "Targets": "Target",
    "Target": "TargetValue",
    "TargetValue": "",
    "Output": "OutputField",
    "OutputField": f"Decisions Value {_EXPRESSIONS}",
    "ModelVerification": "VerificationFields InlineTable",
    "SimplePredicate": "",
    "SimpleSetPredicate": "Array",
    "CompoundPredicate": _PREDICATES,
    "AnomalyDetectionModel": f"{_MODEL} MeanClusterDistances {_MODELS}",
    "MeanClusterDistances": "Array",
    "AssociationModel": f"{_MODEL} Item Itemset AssociationRule",
    "Itemset": "ItemRef",
    "ClusteringModel": f"{_MODEL} ComparisonMeasure ClusteringField MissingValueWeights Cluster CenterFields",
    "ComparisonMeasure": _MEASURES,
    "ClusteringField": "Comparisons",
    "MissingValueWeights": _ARRAYS,
    "Cluster": f"KohonenMap Partition Covariances {_ARRAYS}",
    "GeneralRegressionModel": f"{_MODEL} ParameterList FactorList CovariateList PPMatrix PCovMatrix ParamMatrix"
    " EventValues BaseCumHazardTables",
    "ParameterList": "Parameter",
    "FactorList": "Predictor",
    "CovariateList": "Predictor",
    "Predictor": "Categories Matrix",
    "PPMatrix": "PPCell",
    "ParamMatrix": "PCell",
    "BaseCumHazardTables": "BaselineStratum BaselineCell",
    "BaselineStratum": "BaselineCell",
    "MiningModel": f"{_MODEL} Regression DecisionTree Segmentation",
    "Segmentation": "LocalTransformations Segment",
    "Segment": f"{_PREDICATES} {_MODELS}{_UNKNOWN_MODELS} VariableWeight",
    "NaiveBayesModel": f"{_MODEL} BayesInputs BayesOutput",
    "BayesInputs": "BayesInput",
    "BayesInput": "DerivedField PairCounts TargetValueStats",
    "PairCounts": "TargetValueCounts",
    "TargetValueCounts": "TargetValueCount",
    "TargetValueStats": "TargetValueStat",
    "BayesOutput": "TargetValueCounts",
    "NearestNeighborModel": f"{_MODEL} TrainingInstances ComparisonMeasure KNNInputs",
    "TrainingInstances": "InstanceFields InlineTable TableLocator",
    "InstanceFields": "InstanceField",
    "KNNInputs": "KNNInput",
    "NeuralNetwork": f"{_MODEL} NeuralInputs NeuralLayer NeuralOutputs",
    "NeuralInputs": "NeuralInput",
    "NeuralInput": "DerivedField",
    "NeuralLayer": "Neuron",
    "Neuron": "Con",
    "NeuralOutputs": "NeuralOutput",
    "NeuralOutput": "DerivedField",
    "RegressionModel": f"{_MODEL} RegressionTable",
    "RegressionTable": "NumericPredictor CategoricalPredictor PredictorTerm",
    "PredictorTerm": "FieldRef",
    "RuleSetModel": f"{_MODEL} RuleSet",
    "RuleSet": "RuleSelectionMethod ScoreDistribution SimpleRule CompoundRule",
    "SimpleRule": f"{_PREDICATES} ScoreDistribution",
    "CompoundRule": f"{_PREDICATES} SimpleRule CompoundRule",
    "Scorecard": f"{_MODEL} Characteristics",
    "Characteristics": "Characteristic",
    "Characteristic": "Attribute",
    "Attribute": f"{_PREDICATES} ComplexPartialScore",
    "ComplexPartialScore": _EXPRESSIONS,
    "SupportVectorMachineModel": f"{_MODEL} {_KERNELS} VectorDictionary SupportVectorMachine",
    "VectorDictionary": "VectorFields VectorInstance",
    "VectorFields": "FieldRef CategoricalPredictor",
    "VectorInstance": _ARRAYS,
    "SupportVectorMachine": "SupportVectors Coefficients",
    "SupportVectors": "SupportVector",
    "Coefficients": "Coefficient",
    "TreeModel": f"{_MODEL} Node",
    "Node": f"{_PREDICATES} Partition ScoreDistribution Node Regression DecisionTree",
}
CHILDREN = {name: frozenset(children.split()) for name, children in _CHILDREN.items()}


def check_children(root: Element) -> None:
    """Raise InvalidModel for an element that is not known where it is.

    Children of an element without an entry are not checked: they describe the model, or are rows of a table.
    """
    stack = [root]
    while stack:
        element = stack.pop()
        if (known := CHILDREN.get(element.name)) is None:
            continue
        for child in element.children:
            if child.name not in known and child.name != "Extension":
                raise InvalidModel(f"unsupported within <{element.name}>; remove it", child.origin)
        stack.extend(element.children)
