"""Models that are data, for tests of their deployment."""

from __future__ import annotations

from pathlib import Path

FFSN = """<PMML version="4.4" xmlns="http://www.dmg.org/PMML-4_4">
  <DataDictionary>
    <DataField name="n_systems" optype="continuous" dataType="integer"/>
    <DataField name="tld" optype="categorical" dataType="string"><Value value="com"/><Value value="ru"/></DataField>
    <DataField name="ffsn" optype="categorical" dataType="string"><Value value="0"/><Value value="1"/></DataField>
  </DataDictionary>

  <TreeModel functionName="classification" noTrueChildStrategy="returnLastPrediction">
    <MiningSchema>
      <MiningField name="n_systems"/>
      <MiningField name="tld"/>
      <MiningField name="ffsn" usageType="target"/>
    </MiningSchema>
    <ModelVerification recordCount="2"><VerificationFields>
      <VerificationField field="n_systems" column="n"/><VerificationField field="ffsn" column="ffsn"/>
    </VerificationFields><InlineTable><row><n>1</n><ffsn>0</ffsn></row><row><n>9</n><ffsn>1</ffsn></row></InlineTable>
    </ModelVerification>
    <Node id="1" score="0" recordCount="10"><True/>
      <ScoreDistribution value="0" recordCount="8"/><ScoreDistribution value="1" recordCount="2"/>
      <Node id="2" score="1" recordCount="2"><SimplePredicate field="n_systems" operator="greaterThan" value="6"/>
        <ScoreDistribution value="0" recordCount="0"/><ScoreDistribution value="1" recordCount="2"/>
      </Node>
    </Node>
  </TreeModel>
</PMML>
"""

BOOSTERS = Path(__file__).parents[2] / "models/boosters/data"
XGBOOST_FILE, LIGHTGBM_FILE = BOOSTERS / "binary.json", BOOSTERS / "binary.txt"


def write_model(folder: Path, content: str = FFSN, name: str = "model.pmml") -> Path:
    """Write a model file into a folder, which is created. Return its path."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(content)
    return folder / name
