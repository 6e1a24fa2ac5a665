"""JSON Patch, by the rules of RFC 6902 and RFC 6901, and Metron's rule for members that do not exist."""

from __future__ import annotations

import copy
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellar.util.json_patch import PatchError, apply_patch, parse_pointer


@pytest.mark.parametrize(
    ("document", "operation", "result"),
    [
        ({"a": 1}, {"op": "add", "path": "/b", "value": 2}, {"a": 1, "b": 2}),
        ({"a": 1}, {"op": "add", "path": "/a", "value": None}, {"a": None}),
        ({"a": 1}, {"op": "add", "path": "", "value": []}, []),
        ({"a": [1, 2]}, {"op": "add", "path": "/a/1", "value": 9}, {"a": [1, 9, 2]}),
        ({"a": [1, 2]}, {"op": "add", "path": "/a/2", "value": 9}, {"a": [1, 2, 9]}),
        ({"a": []}, {"op": "add", "path": "/a/-", "value": [9]}, {"a": [[9]]}),
        ({"a": {"b": {}}}, {"op": "add", "path": "/a/b/c", "value": 1}, {"a": {"b": {"c": 1}}}),
        ({"-": {}}, {"op": "add", "path": "/-/0", "value": 1}, {"-": {"0": 1}}),
        ({}, {"op": "add", "path": "/", "value": 1}, {"": 1}),
        ({"a/b": 0, "m~n": 0}, {"op": "add", "path": "/a~1b", "value": 1}, {"a/b": 1, "m~n": 0}),
        ({"~1": 0}, {"op": "replace", "path": "/~01", "value": 1}, {"~1": 1}),
        ({"a": 1, "b": 2}, {"op": "remove", "path": "/a"}, {"b": 2}),
        ({"a": 1}, {"op": "remove", "path": "/b"}, {"a": 1}),
        ({"a": [1, 2, 3]}, {"op": "remove", "path": "/a/1"}, {"a": [1, 3]}),
        ({"a": 1}, {"op": "replace", "path": "/a", "value": {"b": 1}}, {"a": {"b": 1}}),
        ({"a": [1]}, {"op": "replace", "path": "/a/0", "value": 2}, {"a": [2]}),
        ({"a": 1}, {"op": "replace", "path": "", "value": 2}, 2),
        ({"a": {"b": 1}}, {"op": "move", "from": "/a/b", "path": "/c"}, {"a": {}, "c": 1}),
        ({"a": [1, 2, 3]}, {"op": "move", "from": "/a/0", "path": "/a/2"}, {"a": [2, 3, 1]}),
        ({"a": 1, "b": 2}, {"op": "move", "from": "/a", "path": "/a"}, {"b": 2, "a": 1}),
        ({"a": 1}, {"op": "move", "from": "", "path": ""}, {"a": 1}),
        ({"a": {"b": 1}}, {"op": "move", "from": "/a/b", "path": ""}, 1),
        ({"a": {"b": [1]}}, {"op": "copy", "from": "/a", "path": "/c"}, {"a": {"b": [1]}, "c": {"b": [1]}}),
        ({"a": [1]}, {"op": "copy", "from": "/a/0", "path": "/a/-"}, {"a": [1, 1]}),
        ({"a": [1, {"b": 1.0}]}, {"op": "test", "path": "/a", "value": [1.0, {"b": 1}]}, {"a": [1, {"b": 1.0}]}),
        ({"a": None}, {"op": "test", "path": "/a", "value": None, "comment": "ignored"}, {"a": None}),
    ],
)
def test_an_operation_changes_the_document(document: Any, operation: Any, result: Any) -> None:
    before = copy.deepcopy(document)
    assert json.dumps(apply_patch(document, [operation])) == json.dumps(result)
    assert document == before


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        ({"op": "add", "path": "/x/y", "value": 1}, "operation 1, 'add' at '/x/y': no such path '/x'"),
        ({"op": "add", "path": "/a/3", "value": 1}, "no index 3 in a list: expected 0 to 2"),
        ({"op": "add", "path": "/a/01", "value": 1}, "invalid index '01' of a list"),
        ({"op": "add", "path": "/a/99999999999999999999999", "value": 1}, "no index 99999999999999999999 in a list"),
        ({"op": "add", "path": "/s/0", "value": 1}, "'/s' is neither an object nor a list"),
        ({"op": "add", "path": "/b"}, "missing member 'value'"),
        ({"op": "add", "path": "b", "value": 1}, "invalid path 'b': expected a JSON Pointer"),
        ({"op": "add", "path": "/~2", "value": 1}, "invalid path '/~2': write ~ as ~0"),
        ({"op": "add", "path": None, "value": 1}, "invalid path null"),
        ({"op": "remove", "path": "/x/y"}, "no such path '/x'"),
        ({"op": "remove", "path": "/a/2"}, "no index 2 in a list: expected 0 to 1"),
        ({"op": "remove", "path": "/e/0"}, "no index 0 in a list: expected an item"),
        ({"op": "remove", "path": "/a/-"}, "invalid index '-' of a list"),
        ({"op": "remove", "path": "/s/0"}, "'/s' is neither an object nor a list"),
        ({"op": "remove", "path": ""}, "the whole document cannot be removed"),
        ({"op": "replace", "path": "/x", "value": 1}, "no such path '/x'"),
        ({"op": "move", "path": "/x"}, "missing member 'from'"),
        ({"op": "move", "from": "/x", "path": "/y"}, "no such path '/x'"),
        ({"op": "move", "from": "/o", "path": "/o/p"}, "a value cannot be moved into itself"),
        ({"op": "copy", "from": "/x", "path": "/y"}, "no such path '/x'"),
        ({"op": "test", "path": "/n", "value": True}, "expected true, got 1"),
        ({"op": "test", "path": "/o", "value": {"p": False}}, "expected"),
        ({"op": "test", "path": "/a", "value": [1]}, "expected"),
        ({"op": "rename", "path": "/n"}, "unknown operation 'rename'; expected one of add, remove, replace, move"),
        ({"op": 1, "path": "/n"}, "operation 1: unknown operation 1"),
        ({"path": "/n"}, "operation 1: missing member 'op'"),
        ("add", "operation 1: expected an object, got 'add'"),
    ],
)
def test_an_operation_that_cannot_be_applied_is_an_error(operation: Any, message: str) -> None:
    document = {"a": [1, 2], "e": [], "s": "text", "n": 1, "o": {"p": 0}}
    before = copy.deepcopy(document)
    with pytest.raises(PatchError) as refused:
        apply_patch(document, [operation])
    assert message in str(refused.value)
    assert document == before


def test_a_patch_is_a_list() -> None:
    with pytest.raises(PatchError, match="expected a list of operations, as in"):
        apply_patch({}, {"op": "add"})
    assert apply_patch({"a": 1}, []) == {"a": 1}


def test_a_document_that_is_nested_too_deep_is_an_error() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(PatchError, match="nested too deeply"):
        apply_patch({}, [{"op": "add", "path": "/a", "value": deep}])


def test_the_message_has_the_number_of_the_operation() -> None:
    operations = [{"op": "add", "path": "/a", "value": 1}, {"op": "replace", "path": "/b", "value": 1}]
    with pytest.raises(PatchError, match=r"^operation 2, 'replace' at '/b': no such path '/b'$"):
        apply_patch({}, operations)


def test_values_of_a_patch_are_not_shared_with_the_document() -> None:
    value: list[int] = []
    patched = apply_patch({}, [{"op": "add", "path": "/a", "value": value}, {"op": "copy", "from": "/a", "path": "/b"}])
    patched["a"].append(1)
    assert (value, patched["b"]) == ([], [])


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
POINTERS = st.lists(st.sampled_from(["a", "b", "0", "1", "-", "~1", ""]), max_size=3).map(
    lambda steps: "".join(f"/{step}" for step in steps)
)
OPERATIONS = st.fixed_dictionaries(
    {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test"]), "path": POINTERS | VALUES},
    optional={"value": VALUES, "from": POINTERS | VALUES},
)


@given(VALUES, st.lists(OPERATIONS | VALUES, max_size=4))
def test_any_patch_gives_a_document_or_a_patch_error(document: Any, patch: list[Any]) -> None:
    before = json.dumps(document)
    with suppress(PatchError):
        json.dumps(apply_patch(document, patch))
    assert json.dumps(document) == before


@given(st.lists(st.text(max_size=4), max_size=4))
def test_a_pointer_names_any_key(steps: list[str]) -> None:
    pointer = "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps)
    assert parse_pointer(pointer) == steps
