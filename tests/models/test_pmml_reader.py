"""Tests of the reader of PMML: what is invalid or not supported is refused with the element and its line."""

from __future__ import annotations

import pytest

from stellar.models.errors import InvalidModel
from stellar.models.loading import read_pmml
from stellar.models.pmml.xml import XmlLimits, read_xml

FIELDS = """<DataField name="a" optype="continuous" dataType="double"/>
<DataField name="y" optype="continuous" dataType="double"/>"""
SCHEMA = '<MiningSchema><MiningField name="a"/><MiningField name="y" usageType="target"/></MiningSchema>'
CLUSTERING = f"""<PMML version="4.4"><DataDictionary>{FIELDS}</DataDictionary>
<ClusteringModel functionName="clustering" modelClass="centerBased" numberOfClusters="0"><MiningSchema>
<MiningField name="a"/></MiningSchema><ComparisonMeasure kind="distance"><euclidean/></ComparisonMeasure>
<ClusteringField field="a"/></ClusteringModel></PMML>"""
TABLE = '<RegressionTable intercept="1"><NumericPredictor name="a" coefficient="2"/></RegressionTable>'


UNKNOWN_FIELD = '<RegressionTable intercept="1"><NumericPredictor name="b" coefficient="2"/></RegressionTable>'
UNKNOWN_FUNCTION = """<LocalTransformations><DerivedField name="z" optype="continuous" dataType="double">
<Apply function="lnn"><FieldRef field="a"/></Apply></DerivedField></LocalTransformations>"""


def document(body: str = "", *, fields: str = FIELDS, version: str = "4.4", table: str = TABLE) -> str:
    return f"""<PMML version="{version}" xmlns="http://www.dmg.org/PMML-4_4">
<DataDictionary>
{fields}
</DataDictionary>
<RegressionModel functionName="regression">
{SCHEMA}
{body}
{table}
</RegressionModel>
</PMML>"""


def refuse(text: str) -> str:
    with pytest.raises(InvalidModel) as caught:
        read_pmml(text.encode())
    return str(caught.value)


def test_a_document_is_scored():
    assert read_pmml(document().encode()).score({"a": 3}) == {"y": 7.0}


@pytest.mark.parametrize("version", ["3.0", "3.2", "4.0", "4.1", "4.2.1", "4.3", "4.4"])
def test_versions_three_and_four_are_read(version):
    assert read_pmml(document(version=version).encode()).score({"a": 0}) == {"y": 1.0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (document(version="2.1"), "line 1: <PMML>: unsupported version '2.1'; 3.0 to 4.4 are supported"),
        ("<PMML", "line 1: <PMML>: invalid XML: unclosed token; export the model again"),
        ("<html/>", "line 1: <html>: expected <PMML> as the outermost element"),
        (
            "<!DOCTYPE PMML [<!ENTITY a 'b'>]><PMML/>",
            "line 1: <PMML>: a document type declaration is not accepted; remove <!DOCTYPE …>",
        ),
        (document("<Bogus/>"), "line 8: <Bogus>: unsupported within <RegressionModel>; remove it"),
        (document(table=UNKNOWN_FIELD), "line 9: <NumericPredictor>: unknown field 'b'; known are a, y"),
        (
            document(table='<RegressionTable intercept="x"/>'),
            "line 9: <RegressionTable>: invalid 'intercept': expected a number, got 'x'",
        ),
        (CLUSTERING, "line 3: <ClusteringModel>: missing <Cluster>; add one"),
        (document(table=""), "line 6: <RegressionModel>: missing <RegressionTable>; add it"),
        (document(UNKNOWN_FUNCTION), "line 9: <Apply>: unknown function 'lnn'; did you mean ln?"),
    ],
)
def test_a_message_has_the_element_and_its_line(text, message):
    assert refuse(text) == message


def test_fields_computed_from_each_other_are_refused():
    derived = "".join(
        f'<DerivedField name="{name}" optype="continuous" dataType="double"><FieldRef field="{other}"/></DerivedField>'
        for name, other in (("p", "q"), ("q", "p"))
    )
    message = refuse(document(f"<LocalTransformations>{derived}</LocalTransformations>"))
    assert "field 'p' is computed from itself: p → q → p" in message


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (XmlLimits(size=10), "bytes; at most 10 are read"),
        (XmlLimits(elements=3), "more than 3 elements"),
        (XmlLimits(depth=3), "nested deeper than 3"),
    ],
)
def test_a_document_beyond_a_limit_is_refused(limits, message):
    with pytest.raises(InvalidModel, match=message):
        read_xml(document().encode(), limits)


def test_a_document_of_many_levels_is_refused():
    assert "nested deeper than 1000" in refuse("<PMML>" + "<Node>" * 1_000_000)
