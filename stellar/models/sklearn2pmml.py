"""Export of scikit-learn to PMML: `write_pmml`, and `sklearn2pmml` in the call shape of the package of that name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stellar.models.errors import InvalidModel, NotExported
from stellar.models.forms.model import ModelDocument
from stellar.models.loading import read_pmml
from stellar.models.scoring import ScoringModel
from stellar.models.sklearn.document import build_document
from stellar.models.sklearn.mapper import DataFrameMapper
from stellar.models.writer.document import write_document
from stellar.util.abbreviate import describe_type

__all__ = ["DataFrameMapper", "sklearn2pmml", "write_pmml"]

PathLike = str | os.PathLike[str]


def write_pmml(
    estimator: Any, path: PathLike, features: Sequence[str] | None = None, target: str = "y"
) -> ScoringModel:
    """Write a fitted estimator or Pipeline as PMML 4.4, and return the model that was written.

    features: names of the columns of the training data; those of a DataFrame by default, else x1, x2, …
    target: name of the predicted field
    Raise NotExported for an estimator that is not fitted or has no PMML; no file is written then.
    """
    return _write(build_document(estimator, features, target), path)


def sklearn2pmml(estimator: Any, mapper: DataFrameMapper | None = None, pmml: PathLike | None = None) -> ScoringModel:
    """Write a fitted estimator or Pipeline as PMML 4.4, and return the model that was written.

    mapper: the columns that the estimator was trained with; the last one is the target if the estimator has one less
    pmml: path of the file
    Raise NotExported for an estimator that is not fitted or has no PMML; no file is written then.
    """
    if pmml is None:
        raise NotExported("no path; pass pmml=PATH")
    if mapper is not None and not isinstance(mapper, DataFrameMapper):
        raise NotExported(f"expected a DataFrameMapper of this module as mapper, got {describe_type(mapper)}")
    return _write(build_document(estimator, mapper=mapper), pmml)


def _write(document: ModelDocument, path: PathLike) -> ScoringModel:
    data = write_document(document).encode()
    try:
        model = read_pmml(data)
    except InvalidModel as error:
        raise NotExported(f"the document exceeds what is read: {error}") from error
    Path(path).write_bytes(data)
    return model
