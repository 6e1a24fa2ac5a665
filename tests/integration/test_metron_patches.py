"""JSON Patches of zk_load_configs.sh, beside the Java libraries that Metron's command uses."""

from __future__ import annotations

import base64
import json
import random
import re
import subprocess
from typing import Any

import pytest

from engines.daemon import JVM
from stellar.java.jackson import read_first_value, to_indented_bytes
from stellar.util.json_patch import PatchError, apply_patch

pytestmark = pytest.mark.engine

DOCUMENT = """{
  "es.ip": "node1:9300", /* comment */ "n": 1, "f": 1.50, "big": 12345678901234567890, "e": 1e5, "small": 1.0E-7,
  "text": "a/b \\u00fc \\u2028 \\u0001 \\t \\" \\\\ é 😀", "none": null, "yes": true, // comment
  "empty": {}, "list": [1, [], {"a": []}, "x"], "deep": {"a": {"b": [{"c": 1}, 2]}}, "a/b": {"m~n": 0}, "": 0
}"""
POINTERS = [
    "/n", "/new", "/none", "/empty/x", "/list/0", "/list/-", "/list/2/a/-", "/list/4", "/list/9", "/deep/a/b/0/c",
    "/deep/a/b", "/deep", "/missing/x", "/a~1b/m~0n", "/text/x", "/", "/empty", "/list/1/0",
]  # fmt: skip
VALUES = [1, -0.0, 1.5, 1e21, 1e-5, 100.0, "x", "é\u2028/\x7f", None, True, [], {}, [1, {"a": [{}]}], {"b": {"c": []}}]


def make_patches() -> list[list[dict[str, Any]]]:
    """Return patches of one operation of each kind at each path, and random ones of several operations."""
    chance = random.Random(7)
    single: list[dict[str, Any]] = []
    for path in POINTERS:
        single += [{"op": "add", "path": path, "value": value} for value in VALUES]
        single += [{"op": "replace", "path": path, "value": value} for value in chance.sample(VALUES, 4)]
        single += [{"op": "remove", "path": path}]
        single += [{"op": op, "from": path, "path": to} for op in ("move", "copy") for to in chance.sample(POINTERS, 4)]
        single += [{"op": "test", "path": path, "value": value} for value in (1, 0, {}, [], None)]
    several = [chance.sample(single, chance.randint(2, 4)) for _ in range(400)]
    return [[each] for each in single] + several


def apply_here(patch: list[dict[str, Any]]) -> str | PatchError:
    try:
        return to_indented_bytes(apply_patch(read_first_value(DOCUMENT)[0], patch)).decode()
    except PatchError as error:
        return error


def apply_in_java(classpath: str, patches: list[list[dict[str, Any]]]) -> list[str | None]:
    def encode(text: str) -> str:
        return base64.b64encode(text.encode()).decode()

    lines = "".join(f"{encode(DOCUMENT)} {encode(json.dumps(patch))}\n" for patch in patches)
    command = ["java", *JVM, "-cp", classpath, "Patches"]
    printed = subprocess.run(command, input=lines, capture_output=True, text=True, timeout=120, check=True).stdout
    return [None if line.startswith("!") else base64.b64decode(line).decode() for line in printed.splitlines()]


def test_patches_have_the_results_of_java(classpath: str) -> None:
    """To the byte, except that a value that does not exist is neither replaced nor moved nor copied here."""
    patches = make_patches()
    theirs = apply_in_java(classpath, patches)
    assert len(theirs) == len(patches)
    both = 0
    for patch, java in zip(patches, theirs, strict=True):
        ours = apply_here(patch)
        if java is None or isinstance(ours, str):
            assert ours == java or (java is None and isinstance(ours, PatchError)), patch
            both += java is not None
        else:
            assert re.search(r"'(replace|move|copy)' at .*(no such path|no index|invalid index|removed)", str(ours)), (
                patch
            )
    assert both > len(patches) / 4
