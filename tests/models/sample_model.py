"""A small model with inputs of several types, for tests of records and of servers."""

from __future__ import annotations

DOCUMENT = b"""<PMML version="4.4" xmlns="http://www.dmg.org/PMML-4_4">
<DataDictionary>
<DataField name="x" optype="continuous" dataType="double"><Interval closure="closedOpen" leftMargin="0"/></DataField>
<DataField name="n" optype="continuous" dataType="integer"/>
<DataField name="tld" optype="categorical" dataType="string"><Value value="ru"/><Value value="com"/></DataField>
<DataField name="flag" optype="categorical" dataType="boolean"/>
<DataField name="born" optype="ordinal" dataType="date"/>
<DataField name="y" optype="continuous" dataType="double"/>
</DataDictionary>
<RegressionModel functionName="regression">
<MiningSchema>
<MiningField name="x" missingValueTreatment="returnInvalid"/>
<MiningField name="n" missingValueReplacement="7"/>
<MiningField name="tld"/>
<MiningField name="flag"/>
<MiningField name="born"/>
<MiningField name="y" usageType="target"/>
</MiningSchema>
<Output><OutputField name="doubled" optype="continuous" dataType="double" feature="transformedValue">
<Apply function="*"><FieldRef field="x"/><Constant>2</Constant></Apply></OutputField>
<OutputField name="origin" optype="categorical" dataType="string" feature="transformedValue"><FieldRef field="tld"/>
</OutputField>
<OutputField name="ratio" optype="continuous" dataType="double" feature="transformedValue"><Apply function="*">
<FieldRef field="x"/><Constant dataType="double">1e308</Constant></Apply></OutputField>
<OutputField name="born on" optype="ordinal" dataType="date" feature="transformedValue"><FieldRef field="born"/>
</OutputField></Output>
<RegressionTable intercept="1"><NumericPredictor name="x" coefficient="2"/><NumericPredictor name="n" coefficient="1"/>
</RegressionTable>
</RegressionModel></PMML>"""
