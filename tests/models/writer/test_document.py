"""Tests of the writer: the reader makes an equal form of each document that is written."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from stellar.models.errors import InvalidModel, Origin
from stellar.models.forms.model import ModelDocument
from stellar.models.pmml.reader import read_document
from stellar.models.writer.document import write_document

FOLDER = Path(__file__).parents[2] / "conformance" / "data" / "pmml" / "models"
DOCUMENTS = sorted(path.name for path in FOLDER.iterdir())


def strip_origins(form: Any) -> Any:
    """Return a form as tuples without origins, in which NaN is equal to itself."""
    if isinstance(form, Origin):
        return None
    if dataclasses.is_dataclass(form):
        return type(form).__name__, *(strip_origins(getattr(form, item.name)) for item in dataclasses.fields(form))
    if isinstance(form, dict):
        return {strip_origins(key): strip_origins(value) for key, value in form.items()}
    if isinstance(form, tuple | list):
        return tuple(map(strip_origins, form))
    return repr(form) if isinstance(form, float) else form


def read_again(document: ModelDocument) -> ModelDocument:
    return read_document(write_document(document).encode())


def read_corpus(name: str) -> ModelDocument | None:
    try:
        return read_document((FOLDER / name).read_bytes())
    except InvalidModel:
        return None


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_of_the_corpus_is_read_again_as_an_equal_form(name: str) -> None:
    document = read_corpus(name)
    if document is None:
        pytest.skip("the reader refuses this document")
    written = dataclasses.replace(document, version="4.4")
    assert strip_origins(read_again(document)) == strip_origins(written)
