"""Scores of a model as columns of data frames, with the builder of JPMML-Spark.

    model = load_model(Path("ffsn.pmml"))
    builder = TransformerBuilder(model).withLabelCol("ffsn").withProbabilityCol("ffsn_prob").exploded(True)
    scored = builder.build().transform(frame)

A data frame is one of PySpark or of pandas. Names of methods, names and types of columns are those of JPMML-Spark 1.2.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from stellar.models.results import ResultField, list_outputs, list_shares, list_targets
from stellar.models.scoring import ScoringModel
from stellar.models.values import to_string
from stellar.spark.result_columns import CONVERSIONS, VECTOR, ResultColumn
from stellar.util.abbreviate import describe_type, quote

SYNTHETIC = "_target"  # the column of a target without a name

Frame = TypeVar("Frame")


class TransformerBuilder:
    """Builds a transformer of data frames.

    evaluator: the model, as `load_model` returns it
    """

    def __init__(self, evaluator: ScoringModel) -> None:
        self._model = evaluator
        self._columns: list[ResultColumn] = []
        self._is_exploded = False
        self._error: str | None = None

    def withTargetCols(self) -> TransformerBuilder:
        """Add a column for each target. A target without a name has the column `_target`."""
        for target in list_targets(self._model.document):
            self._add(SYNTHETIC if not target.is_declared else target.key, target)
        return self

    def withOutputCols(self) -> TransformerBuilder:
        """Add a column for each output of the model that its score contains. One without a type is a string."""
        for output in list_outputs(self._model.document):
            if output.is_final:
                kind = "string" if output.type is None else output.type.data
                self._add(output.name, ResultField(output.name, kind))
        return self

    def withLabelCol(self, name: str | None = None) -> TransformerBuilder:
        """Add a column with the prediction of the only target.

        name: of the column; by default that of the target

        Raises ValueError for a model without targets, or with several.
        """
        target = self._find_target()
        self._add(name or (target.key if target.is_declared else SYNTHETIC), target)
        return self

    def withProbabilityCol(self, name: str | None = None, labels: Sequence[Any] | None = None) -> TransformerBuilder:
        """Add a column with the shares of the categories of the only target, as a vector.

        name: of the column; by default `probability`
        labels: the categories in the order of the vector; by default that of the outputs of the model

        Raises ValueError for a model without targets, with several, or without shares as outputs, and if the labels are
        not its categories.
        """
        keys = self._find_shares()
        wanted = list(keys) if labels is None else [to_string(label) for label in labels]
        if sorted(wanted) != sorted(keys):
            raise ValueError(
                "the model has an incompatible set of probability-type output fields: "
                f"expected {quote(wanted)}, got {quote(list(keys))}; pass these labels in any order"
            )
        self._columns.append(ResultColumn(name or "probability", VECTOR, tuple(keys[label] for label in wanted)))
        return self

    def withErrorCol(self, name: str) -> TransformerBuilder:
        """Add a column with the reason why the model does not accept a row, otherwise null.

        Without it, such a row raises an error. With it, the results of the row are null.
        """
        self._error = name
        return self

    def exploded(self, is_exploded: bool) -> TransformerBuilder:
        """Return results as columns if True; by default as one column `pmml`, a struct."""
        self._is_exploded = is_exploded
        return self

    def build(self) -> Transformer:
        """Return the transformer. Raises ValueError if there are no columns, or if two have the same name."""
        if not self._columns:
            raise ValueError("no columns; call withTargetCols, withOutputCols, withLabelCol or withProbabilityCol")
        names = [column.name for column in self._columns] + ([] if self._error is None else [self._error])
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two columns are named {quote(name)}; pass another name")
        return Transformer(self._model, tuple(self._columns), self._error, self._is_exploded)

    def _add(self, name: str, field: ResultField) -> None:
        if field.type not in CONVERSIONS:
            raise ValueError(
                f"{quote(field.key)} of the model has the type {field.type}; a column has {', '.join(CONVERSIONS)}"
            )
        self._columns.append(ResultColumn(name, field.type, (field.key,)))

    def _find_target(self) -> ResultField:
        targets = list_targets(self._model.document)
        if not targets:
            raise ValueError("the model does not have a target field; use withOutputCols")
        if len(targets) > 1:
            names = ", ".join(quote(target.key) for target in targets)
            raise ValueError(f"the model has multiple target fields ({names}); use withTargetCols")
        return targets[0]

    def _find_shares(self) -> dict[str, str]:
        """Return the names of results by the category, in the order of the outputs."""
        self._find_target()
        shares = list_shares(self._model.document)
        if not shares:
            raise ValueError(
                "the model does not have probability-type output fields; in PMML, add an OutputField with "
                'feature="probability" for each category'
            )
        keys: dict[str, str] = {}
        for share in shares:
            if share.category is None:
                raise ValueError(f"the output {quote(share.key)} names no category; add the attribute 'value'")
            keys[share.category] = share.key
        return keys


@dataclass(frozen=True)
class Transformer:
    """Adds the results of a model to data frames.

    columns: in the order in which they are added
    error: the name of the column of errors; None to raise an error for a row that the model does not accept
    is_exploded: True for columns, False for one struct
    """

    model: ScoringModel
    columns: tuple[ResultColumn, ...]
    error: str | None
    is_exploded: bool

    def transform(self, frame: Frame) -> Frame:
        """Return a data frame with the results; a column of the same name is replaced.

        frame: of PySpark or pandas, with a column for each active field of the model. In PySpark a null is a missing
            value; in pandas NaN is one, too.

        Raises ValueError if a column is missing, and NotScored (in pandas) for a row that the model does not accept. In
        PySpark such a row fails the job when its result is computed.
        """
        if _is_frame(frame, "pandas"):
            from stellar.spark.pandas_frames import transform_pandas

            return cast("Frame", transform_pandas(self, frame))
        if _is_frame(frame, "pyspark.sql"):
            from stellar.spark.scored_frames import transform_spark

            return cast("Frame", transform_spark(self, frame))
        raise TypeError(f"expected a DataFrame of PySpark or pandas, got {describe_type(frame)}")


def _is_frame(value: object, module: str) -> bool:
    """Return True for a data frame of a module, which is loaded if there is one."""
    loaded = sys.modules.get(module)
    return loaded is not None and isinstance(value, loaded.DataFrame)
