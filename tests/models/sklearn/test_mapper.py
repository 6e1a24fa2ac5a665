"""Tests of sklearn2pmml: the call of the package of that name, and its mapper."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from models.sklearn.agreement import compare_results, find_error, make_classes, make_data, make_records

from stellar.models.errors import NotExported
from stellar.models.loading import load_model
from stellar.models.sklearn2pmml import DataFrameMapper, sklearn2pmml

preprocessing = pytest.importorskip("sklearn.preprocessing")
tree = pytest.importorskip("sklearn.tree")

FEATURES = ["systems", "ttl", "entropy"]


@pytest.fixture(scope="module")
def data() -> Any:
    frame = make_data()
    frame["label"] = make_classes(frame)
    return frame


def test_the_boilerplate_of_users_writes_a_document(data: Any, tmp_path: Path) -> None:
    classifier = tree.DecisionTreeClassifier(max_depth=4, random_state=0).fit(data[FEATURES], data["label"])
    mapper = DataFrameMapper([(i, None) for i in [*FEATURES, "label"]])
    sklearn2pmml(estimator=classifier, mapper=mapper, pmml=tmp_path / "tree.pmml")
    model = load_model(tmp_path / "tree.pmml")
    assert compare_results(model, classifier, data[FEATURES], "label") == 0
    assert [field.name for field in model.inputs()] == ["systems", "ttl", "entropy"]


def test_transformers_of_a_mapper_become_derived_fields(data: Any, tmp_path: Path) -> None:
    mapper = DataFrameMapper(
        [
            (["systems", "ttl"], preprocessing.StandardScaler()),
            ("entropy", None),
            (["tld"], preprocessing.OneHotEncoder()),
        ]
    )
    matrix = mapper.fit_transform(data)
    classifier = tree.DecisionTreeClassifier(max_depth=4, random_state=0).fit(matrix, data["label"])
    model = sklearn2pmml(estimator=classifier, mapper=mapper, pmml=tmp_path / "tree.pmml")
    results = [model.score(record)["y"] for record in make_records(data)]
    assert results == classifier.predict(matrix).tolist()


def test_a_mapper_returns_the_columns_of_a_frame_in_its_order(data: Any) -> None:
    matrix = DataFrameMapper([("ttl", None), (["entropy", "systems"], None)]).fit_transform(data)
    assert matrix.tolist() == data[["ttl", "entropy", "systems"]].to_numpy().tolist()


def test_a_pipeline_needs_no_mapper(data: Any, tmp_path: Path) -> None:
    classifier = tree.DecisionTreeClassifier(max_depth=3).fit(data[FEATURES].to_numpy(), data["label"])
    model = sklearn2pmml(classifier, pmml=tmp_path / "tree.pmml")
    row = data[FEATURES].iloc[0].tolist()
    result = model.score(dict(zip(["x1", "x2", "x3"], row, strict=True)))
    assert find_error(result["y"], classifier.predict([row])[0].item()) == 0


@pytest.mark.parametrize(
    ("mapper", "message"),
    [
        ("tree.pmml", "expected a DataFrameMapper of this module as mapper, got an object of type str"),
        (DataFrameMapper([("systems", None), ("label", None)]), "was fitted with 3 features, but gets 2"),
    ],
    ids=["path", "too few columns"],
)
def test_an_invalid_mapper_is_an_error(data: Any, tmp_path: Path, mapper: Any, message: str) -> None:
    classifier = tree.DecisionTreeClassifier(max_depth=3).fit(data[FEATURES], data["label"])
    with pytest.raises(NotExported, match=message):
        sklearn2pmml(estimator=classifier, mapper=mapper, pmml=tmp_path / "tree.pmml")
    assert not (tmp_path / "tree.pmml").exists()


def test_a_path_is_required(data: Any) -> None:
    classifier = tree.DecisionTreeClassifier(max_depth=3).fit(data[FEATURES], data["label"])
    with pytest.raises(NotExported, match="pass pmml=PATH"):
        sklearn2pmml(classifier)


def test_an_entry_of_a_mapper_is_a_pair() -> None:
    with pytest.raises(NotExported, match="expected a pair of columns and a transformer or None, got 'systems'"):
        DataFrameMapper(["systems"])


def test_a_feature_that_the_score_does_not_need_is_supplementary(tmp_path: Path) -> None:
    classifier = tree.DecisionTreeClassifier().fit([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0], [3.0, 1.0]], [0, 0, 1, 1])
    mapper = DataFrameMapper([("a", None), ("b", None), ("label", None)])
    model = sklearn2pmml(estimator=classifier, mapper=mapper, pmml=tmp_path / "tree.pmml")
    usages = {field.name: field.usage for field in model.document.model.fields}
    assert usages == {"label": "target", "a": "active", "b": "supplementary"}
    assert [field.name for field in model.inputs()] == ["a", "b"]
    assert model.score({"a": 3.0, "b": 1.0}) == model.score({"a": 3.0})


@pytest.mark.parametrize("names", [["com", "net", "ru"], ["com", "ru"]], ids=["several", "two"])
def test_labels_become_columns(data: Any, tmp_path: Path, names: list[str]) -> None:
    known = data[data["tld"].isin(names)]
    mapper = DataFrameMapper([("tld", preprocessing.LabelBinarizer()), ("ttl", None)])
    matrix = mapper.fit_transform(known)
    classifier = tree.DecisionTreeClassifier(max_depth=5, random_state=0).fit(matrix, known["label"])
    model = sklearn2pmml(estimator=classifier, mapper=mapper, pmml=tmp_path / "tree.pmml")
    results = [model.score(record)["y"] for record in make_records(known)]
    assert results == classifier.predict(mapper.transform(known)).tolist()
