"""Tests of invalid files of boosters: each is refused with its location, within bounds."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stellar.models.boosters.json_document import JsonLimits
from stellar.models.boosters.lightgbm_text import TextLimits
from stellar.models.errors import InvalidModel, NotScored
from stellar.models.loading import read_lightgbm, read_xgboost

DATA = Path(__file__).parent / "data"
XGBOOST = (DATA / "binary.json").read_bytes()
XGBOOST_BINARY = (DATA / "binary.ubj").read_bytes()
LIGHTGBM = (DATA / "binary.txt").read_bytes()
Change = Callable[[Any], None]


def refuse(data: bytes) -> str:
    with pytest.raises(InvalidModel) as caught:
        read_xgboost(data)
    return str(caught.value)


def refuse_change(change: Change) -> str:
    """Return the error for a document whose learner was changed."""
    document = json.loads(XGBOOST)
    change(document["learner"])
    return refuse(json.dumps(document).encode())


def refuse_text(old: str, new: str) -> str:
    """Return the error for a file of LightGBM in which one string was replaced."""
    assert old.encode() in LIGHTGBM
    with pytest.raises(InvalidModel) as caught:
        read_lightgbm(LIGHTGBM.replace(old.encode(), new.encode(), 1))
    return str(caught.value)


def first_tree(learner: Any) -> Any:
    return learner["gradient_booster"]["model"]["trees"][0]


def set_in_tree(key: str, index: int, value: Any) -> Change:
    return lambda learner: first_tree(learner)[key].__setitem__(index, value)


TREE = "$.learner.gradient_booster.model.trees[0]"


# -- XGBoost ----------------------------------------------------------------------------------------------------------


def test_what_is_not_supported_is_named_with_its_path() -> None:
    message = refuse_change(lambda learner: learner["objective"].update(name="custom:mine"))
    assert message.startswith("$.learner.objective.name: objective 'custom:mine' is not supported; supported are")
    message = refuse_change(lambda learner: learner["gradient_booster"].update(name="gblinear"))
    assert message == "$.learner.gradient_booster.name: booster 'gblinear' is not supported; use gbtree or dart"
    message = refuse_change(lambda learner: first_tree(learner)["tree_param"].update(size_leaf_vector="3"))
    assert message.startswith(
        f"{TREE}.tree_param: trees with several outputs are not supported; train with multi_strat"
    )
    assert "files of XGBoost 4 are not supported" in refuse(XGBOOST.replace(b'"version":[', b'"version":[4,0,0],"v":['))
    assert refuse(b"binf" + bytes(100)).startswith("byte 0: XGBoost's old binary format is not supported; save")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_in_tree("left_children", 0, 0), f"{TREE}: node 0 has two parents or is below itself"),
        (set_in_tree("left_children", 1, 0), f"{TREE}: node 0 has two parents or is below itself"),
        (set_in_tree("left_children", 0, 2**31), f"{TREE}: node 0 has the child 2147483648"),
        (set_in_tree("right_children", 0, -1), f"{TREE}: node 0 has the child -1"),
        (set_in_tree("right_children", 0, "2"), f"{TREE}.right_children[0]: expected an array of integers, got '2'"),
        (set_in_tree("split_indices", 0, 99), f"{TREE}: node 0 has feature 99, expected 0 to 3"),
        (set_in_tree("split_conditions", 0, None), f"{TREE}.split_conditions[0]: expected an array of numbers"),
        (set_in_tree("default_left", 0, 7), f"{TREE}.default_left: expected an array of booleans"),
        (lambda learner: first_tree(learner).pop("left_children"), f"{TREE}: missing key 'left_children'"),
        (lambda learner: first_tree(learner)["left_children"].pop(), f"{TREE}.left_children: expected "),
        (lambda learner: first_tree(learner)["split_type"].__setitem__(0, 1), f"{TREE}: 'split_type' and"),
        (lambda learner: learner.update(gradient_booster=[]), "$.learner.gradient_booster: expected an object"),
        (
            lambda learner: learner["learner_model_param"].update(base_score="half"),
            "$.learner.learner_model_param.base_score: expected 1 numbers, got 'half'",
        ),
        (
            lambda learner: learner["learner_model_param"].update(base_score="0"),
            "$.learner.learner_model_param.base_score: base score 0 is out of the range",
        ),
        (
            lambda learner: learner["learner_model_param"].update(num_class="1e9"),
            "$.learner.learner_model_param.num_class: expected an integer from 0 to 10000, got '1e9'",
        ),
        (
            lambda learner: learner.update(feature_names=["a", "a", "b", "c"]),
            "$.learner: two features have the name 'a'",
        ),
    ],
)
def test_invalid_values_are_refused_with_their_path(change: Change, message: str) -> None:
    assert refuse_change(change).startswith(message)


def test_numbers_that_no_model_has_are_refused() -> None:
    for number in ("NaN", "1" * 5000, "-1e999"):
        document = json.loads(XGBOOST)
        document["learner"]["gradient_booster"]["model"]["trees"][0]["split_conditions"] = "HERE"
        count = len(first_tree(json.loads(XGBOOST)["learner"])["split_conditions"])
        data = json.dumps(document).replace('"HERE"', "[" + ",".join([number] * count) + "]")
        assert ".split_conditions: node " in refuse(data.encode())


def test_json_is_refused_with_the_character() -> None:
    assert refuse(XGBOOST[:500]).startswith("line 1: character ")
    assert refuse(b'{"a": 1, "a": 2}') == "'a': the object has the key twice; remove one"
    assert refuse(b'{"a": \xff}').startswith("byte 6: invalid UTF-8")
    assert refuse(b"[" * 400_000) == "$: objects or arrays are nested too deep"
    assert refuse(b"").startswith("line 1: character 0: invalid JSON")
    assert refuse(b"[1]") == "$: expected an object, got an array of 1; export the model again"


def test_ubjson_is_refused_with_the_byte() -> None:
    for end in range(1, len(XGBOOST_BINARY), 17):
        assert "byte " in refuse(XGBOOST_BINARY[:end]) or "line 1" in refuse(XGBOOST_BINARY[:end])
    assert "bytes after the end of the document" in refuse(XGBOOST_BINARY + b"Z")
    assert refuse(b"{i\x01a" + b"[" * 40).startswith("byte 36: invalid UBJSON: objects or arrays are nested deeper")
    huge = struct.pack(">q", 2**62)
    assert "too many values" in refuse(b"{i\x01a[$d#L" + huge)
    assert "the document ends within a value" in refuse(b"{i\x01aSL" + huge)
    assert "unsupported type 'T' of a container" in refuse(b"{i\x01a[$T#L" + huge)
    assert "negative length -1" in refuse(b"{i\x01aSi\xff")


def test_sizes_are_bounded_before_memory_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(XGBOOST)
    with pytest.raises(InvalidModel, match="more than 1000 bytes; train a smaller model"):
        read_xgboost(path.read_bytes(), JsonLimits(size=1000))
    with pytest.raises(InvalidModel, match="more than 50 values; train a smaller model"):
        read_xgboost(path.read_bytes(), JsonLimits(values=50))
    path.write_bytes(XGBOOST_BINARY)
    with pytest.raises(InvalidModel, match="too many values"):
        read_xgboost(path.read_bytes(), JsonLimits(values=50))
    with pytest.raises(InvalidModel, match="too many objects and arrays"):
        read_xgboost(path.read_bytes(), JsonLimits(containers=5))
    path.write_bytes(LIGHTGBM)
    with pytest.raises(InvalidModel, match="more than 1000 bytes; train a smaller model"):
        read_lightgbm(path.read_bytes(), TextLimits(size=1000))
    with pytest.raises(InvalidModel, match="line 21: file: more than 20 lines"):
        read_lightgbm(path.read_bytes(), TextLimits(lines=20))


def test_a_deep_tree_is_scored() -> None:
    depth = 20_000
    nodes = 2 * depth + 1
    tree = {
        "left_children": [index + 1 if index % 2 == 0 and index < 2 * depth else -1 for index in range(nodes)],
        "right_children": [index + 2 if index % 2 == 0 and index < 2 * depth else -1 for index in range(nodes)],
    }
    document = json.loads(XGBOOST)
    model = document["learner"]["gradient_booster"]["model"]
    flags = [0] * nodes
    stored = {"split_conditions": [0.5] * nodes, "split_indices": flags, "default_left": flags, "split_type": flags}
    # Each split leads to a leaf on its left and to the next split on its right
    model["trees"][0].update(stored, **tree, tree_param={"num_nodes": str(nodes), "size_leaf_vector": "1"})
    scored = read_xgboost(json.dumps(document).encode())
    record = {field.name: 1.0 for field in scored.inputs()}
    # Also after the code of the other trees is generated
    assert len({scored.score(record)["probability(1)"] for _ in range(120)}) == 1


# -- LightGBM ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("objective=binary", "objective=mine", "line 7: objective of the header: objective 'mine' is not supported"),
        (
            "sigmoid:1",
            "sigmoid:-1",
            "line 7: objective of the header: expected a positive number for sigmoid",
        ),
        ("sigmoid:1", "tanh:1", "line 7: objective of the header: option 'tanh:1' is not supported"),
        ("version=v4", "version=v9", "line 2: version of the header: version 'v9' is not supported"),
        ("label_index", "leaf_functions", "line 5: leaf_functions of the header: the key is not supported"),
        ("num_class=1", "num_class=3", "line 3: num_class of the header: num_class does not match the objective"),
        ("Tree=1", "Tree=5", "expected Tree=1"),
        ("end of trees", "end", "the file ends before 'end of trees'; export the model again"),
        ("left_child=1", "left_child=0", "tree 0: node 0 has two parents or is below itself"),
        ("left_child=1", "left_child=99", "tree 0: node 0 has the child 99"),
        ("left_child=1", "left_child=x", "left_child of tree 0: expected integers: got 'x'"),
        ("split_feature=", "split_feature=9", "tree 0: node 0 has feature 9"),
        ("leaf_value=", "leaf_value=nan ", "leaf_value of tree 0: expected 8 numbers, got 9"),
        ("threshold=", "threshold=nan", "threshold of tree 0: expected numbers: got 'nan"),
        ("num_leaves=8", "num_leaves=7", "of tree 0: expected 7 numbers, got 8"),
        ("num_leaves=8", "num_leaves=999999999999", "num_leaves of tree 0: expected an integer from 1 to 2000000"),
        ("is_linear=0", "is_linear=1", "is_linear of tree 0: linear trees are not supported"),
        ("shrinkage=", "num_leaves=", "num_leaves: the key occurs twice"),
        ("pandas_categorical:null", "pandas_categorical:[[1.5]]", "pandas_categorical: expected arrays of strings"),
        ("pandas_categorical:null", "pandas_categorical:{", "pandas_categorical: invalid JSON"),
        ("tree_sizes=", "tree_sizes=1 ", "tree_sizes of the header: expected "),
        ("tree\n", "forest\n", "line 1: file: expected 'tree', as in a model file of LightGBM"),
    ],
)
def test_invalid_lines_are_refused_with_their_numbers(old: str, new: str, message: str) -> None:
    found = refuse_text(old, new)
    assert found.startswith("line ")
    assert message in found


def test_a_truncated_file_is_refused() -> None:
    for end in range(0, LIGHTGBM.index(b"end of trees"), 97):
        with pytest.raises(InvalidModel):
            read_lightgbm(LIGHTGBM[:end])


# -- Both -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "read"),
    [(XGBOOST, read_xgboost), (XGBOOST_BINARY, read_xgboost), (LIGHTGBM, read_lightgbm)],
    ids=["json", "ubj", "text"],
)
def test_mutated_files_are_scored_or_refused(data: bytes, read: Callable[[bytes], Any]) -> None:
    numbers = random.Random(4)
    outcomes = set()
    for _ in range(1500):
        mutated = bytearray(data)
        for _ in range(numbers.randint(1, 3)):
            at = numbers.randrange(len(mutated))
            match numbers.randrange(3):
                case 0:
                    mutated[at] = numbers.randrange(256)
                case 1:
                    del mutated[at : at + numbers.randint(1, 20)]
                case 2:
                    mutated[at:at] = data[at : at + numbers.randint(1, 20)]
        try:
            model = read(bytes(mutated))
            model.score({field.name: numbers.choice([1.0, -5, None, "3"]) for field in model.inputs()})
            outcomes.add("scored")
        except (InvalidModel, NotScored) as error:
            outcomes.add(type(error).__name__)
    assert {"scored", "InvalidModel"} <= outcomes


@pytest.mark.parametrize(
    "value", ["high", [1], {"a": 1}, b"1", 10**400, object()], ids=lambda value: type(value).__name__
)
def test_a_value_that_is_not_a_number_names_its_field(value: Any) -> None:
    for model in (read_xgboost(XGBOOST), read_lightgbm(LIGHTGBM)):
        name = model.inputs()[0].name
        with pytest.raises(NotScored, match=name):
            model.score({name: value})


def test_an_infinite_number_is_refused_as_by_xgboost() -> None:
    model = read_xgboost(XGBOOST)
    complete = {field.name: 1.0 for field in model.inputs()}
    for name in complete:
        for value in (float("inf"), 1e39):
            with pytest.raises(NotScored, match=f"{name!r}: the model does not accept"):
                model.score({name: value})
            with pytest.raises(NotScored, match=f"{name!r}: the model does not accept"):
                model.score(complete | {name: value})
