"""A model as it is sent to executors: the content of its file, and the columns that are read and added."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from stellar.models.scoring import ScoringModel
from stellar.spark.result_columns import ResultColumn
from stellar.util.version import __version__

ERROR = "error"  # the field of the result of a row that has the reason


@dataclass(frozen=True)
class ShippedModel:
    """A model, with the columns that executors read and add.

    content: of the file
    fields: the index of the column of each field
    columns: of the results
    fails: True if a row that the model does not accept fails the job
    version: the version of this package on the driver
    """

    content: bytes
    fields: Mapping[str, int]
    columns: tuple[ResultColumn, ...]
    fails: bool
    version: str = __version__

    @classmethod
    def of(
        cls, model: ScoringModel, fields: Mapping[str, int], columns: Sequence[ResultColumn], *, fails: bool
    ) -> ShippedModel:
        """Return a model to be sent. Raises ValueError if it was not read from a file."""
        if model.content is None:
            raise ValueError("the model has no file, whose content executors get; write it, and use load_model")
        return cls(model.content, fields, tuple(columns), fails)

    def encode(self) -> str:
        """Return the model as JSON."""
        return json.dumps({**asdict(self), "content": b64encode(self.content).decode()})

    @classmethod
    def decode(cls, text: str) -> ShippedModel:
        """Return the model of JSON."""
        fields = json.loads(text)
        columns = (ResultColumn(each["name"], each["type"], tuple(each["keys"])) for each in fields["columns"])
        return cls(**{**fields, "content": b64decode(fields["content"]), "columns": tuple(columns)})
