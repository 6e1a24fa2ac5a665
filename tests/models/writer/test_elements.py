"""Tests of the text of documents: what XML cannot express is an error, and all else is read again."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellar.models.errors import KeyOrigin, NotExported
from stellar.models.forms.bodies import RegressionForm, Term
from stellar.models.forms.boosting import BoosterForm, Link
from stellar.models.forms.model import ModelDocument
from stellar.models.loading import read_pmml
from stellar.models.pmml.attributes import read_array
from stellar.models.pmml.reader import read_document
from stellar.models.pmml.xml import read_xml
from stellar.models.writer.document import write_document
from stellar.models.writer.elements import build, build_array, build_text, write_value, write_xml

# Characters of XML 1.0; others are refused
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"], exclude_characters="￾￿"))
SOURCE = """<PMML version="4.4"><DataDictionary><DataField name="a" optype="continuous" dataType="double"/>
</DataDictionary><RegressionModel functionName="regression"><MiningSchema><MiningField name="a"/></MiningSchema>
<RegressionTable intercept="1"><NumericPredictor name="a" coefficient="2"/></RegressionTable></RegressionModel>
</PMML>"""


@pytest.fixture
def document() -> ModelDocument:
    return read_document(SOURCE.encode())


@given(TEXTS, TEXTS)
def test_strings_are_read_again(attribute: str, text: str) -> None:
    if text.isspace():
        return
    element = read_xml(write_xml(build("A", build_text("B", text), name=attribute)).encode())
    assert element.attributes == {"name": attribute}
    assert element.children[0].text == text


@pytest.mark.parametrize("value", ["a\tb", "a\nb", "a\rb", "]]>", "<&'\">"])
def test_characters_with_a_meaning_are_escaped(value: str) -> None:
    element = read_xml(write_xml(build("A", build_text("B", value), name=value)).encode())
    assert (element.attributes["name"], element.children[0].text) == (value, value)


@given(st.lists(TEXTS.filter(lambda text: '\\"' not in f'{text}"')))
def test_arrays_are_read_again(items: list[str]) -> None:
    element = read_xml(write_xml(build_array(items, "string")).encode())
    assert list(read_array(element)) == items


@given(st.floats())
def test_numbers_are_read_again(number: float) -> None:
    table = SOURCE.replace('coefficient="2"', f'coefficient="{write_value(number)}"')
    body = read_document(table.encode()).model.body
    assert isinstance(body, RegressionForm)
    assert repr(body.equations[0].terms[0].coefficient) == repr(number)


def test_a_character_that_xml_has_not_is_refused() -> None:
    with pytest.raises(NotExported, match=r"XML has no character .*x00.*; remove it from names and categories"):
        write_xml(build("A", name="a\0b"))


def test_a_blank_category_is_refused() -> None:
    with pytest.raises(NotExported, match="<B> cannot have whitespace alone as its value"):
        build_text("B", " ")


@pytest.mark.parametrize("category", ["a\\", 'a\\"b'], ids=["end", "quote"])
def test_a_backslash_before_a_quote_is_refused(category: str) -> None:
    with pytest.raises(NotExported, match="backslash before a quote, or at its end, cannot be written; rename it"):
        build_array([category], "string")


def test_a_power_in_a_product_is_refused(document: ModelDocument) -> None:
    body = document.model.body
    assert isinstance(body, RegressionForm)
    term = Term(2.0, (("a", 2.0), ("a", 1.0)), None, body.origin)
    changed = replace(body, equations=(replace(body.equations[0], terms=(term,)),))
    with pytest.raises(NotExported, match="a product with a power of a has no element; use a derived field"):
        write_document(replace(document, model=replace(document.model, body=changed)))


def test_a_model_of_another_library_is_refused(document: ModelDocument) -> None:
    body = BoosterForm((), (), (0.0,), Link("identity", "number"), False, 1, 0.0, KeyOrigin("trees", 1))
    with pytest.raises(NotExported, match="is not written as PMML; deploy its own file"):
        write_document(replace(document, model=replace(document.model, body=body)))


def test_a_written_document_is_scored(document: ModelDocument) -> None:
    assert read_pmml(write_document(document).encode()).score({"a": 3.0}) == {"prediction": 7.0}
