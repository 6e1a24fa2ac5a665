"""A tree with three categories, as a PMML document."""

from __future__ import annotations

from stellar.models.loading import read_pmml
from stellar.models.scoring import ScoringModel

SPECIES = ("setosa", "versicolor", "virginica")
SHARES = "".join(
    f'<OutputField name="p.{name}" optype="continuous" dataType="double" feature="probability" value="{name}"/>'
    for name in SPECIES
)
NODE = '<OutputField name="node" feature="entityId"/>'


def make_document(
    target: str = '<MiningField name="species" usageType="target"/>',
    outputs: str = SHARES + NODE,
) -> bytes:
    counts = ((50, 0, 0), (0, 49, 5), (0, 1, 45))
    leaves = ("length &lt;= 2.5", "width &lt;= 1.7", "")
    return f"""<PMML xmlns="http://www.dmg.org/PMML-4_4" version="4.4"><Header/><DataDictionary>
<DataField name="species" optype="categorical" dataType="string"/>
<DataField name="length" optype="continuous" dataType="double"/>
<DataField name="width" optype="continuous" dataType="float"/></DataDictionary>
<TreeModel functionName="classification" splitCharacteristic="multiSplit" missingValueStrategy="none">
<MiningSchema>{target}<MiningField name="length"/><MiningField name="width"/></MiningSchema>
<Output>{outputs}</Output><Node id="1"><True/>{"".join(map(_make_leaf, range(2, 5), leaves, counts))}</Node>
</TreeModel></PMML>""".encode()


def _make_leaf(number: int, test: str, counts: tuple[int, ...]) -> str:
    field, _, value = test.partition(" &lt;= ")
    predicate = f'<SimplePredicate field="{field}" operator="lessOrEqual" value="{value}"/>' if test else "<True/>"
    shares = "".join(
        f'<ScoreDistribution value="{name}" recordCount="{count}"/>'
        for name, count in zip(SPECIES, counts, strict=True)
    )
    return f'<Node id="{number}" score="{SPECIES[counts.index(max(counts))]}">{predicate}{shares}</Node>'


def make_model(**parts: str) -> ScoringModel:
    return read_pmml(make_document(**parts))
